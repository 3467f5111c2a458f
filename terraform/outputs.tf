output "url" {
  description = "The service, with its storefront."
  value       = "http://${aws_eip.public.public_ip}"
}

output "docs_url" {
  description = "The API's page."
  value       = "http://${aws_eip.public.public_ip}/docs"
}

output "write_token_command" {
  description = "Prints the bearer token of writes."
  value       = "aws ssm get-parameter --region ${var.region} --name ${aws_ssm_parameter.write_token.name} --with-decryption --query Parameter.Value --output text"
}

output "shell_commands" {
  description = "Opens a shell on a server, for imports and a look around."
  value       = [for server in aws_instance.server : "aws ssm start-session --region ${var.region} --target ${server.id}"]
}

output "database_volume" {
  description = "The volume that the daily snapshots are taken of."
  value       = one(aws_ebs_volume.database[*].id)
}
