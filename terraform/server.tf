# Debian's own image, as Debian publishes it.
data "aws_ssm_parameter" "debian" {
  name = "/aws/service/debian/release/12/latest/amd64"
}

resource "aws_instance" "server" {
  count                       = var.server_count
  ami                         = data.aws_ssm_parameter.debian.value
  instance_type               = local.instance_type
  subnet_id                   = aws_subnet.main.id
  private_ip                  = local.server_ips[count.index]
  vpc_security_group_ids      = local.several ? [aws_security_group.server.id] : [aws_security_group.server.id, aws_security_group.public.id]
  iam_instance_profile        = aws_iam_instance_profile.instance["server"].name
  user_data                   = local.server_user_data[count.index]
  user_data_replace_on_change = true
  tags                        = { Name = "${var.name}-server-${count.index + 1}" }

  root_block_device {
    volume_type = "gp3"
    volume_size = 8
    encrypted   = true
  }

  metadata_options {
    http_tokens = "required"
  }

  lifecycle {
    # A newer image is no reason to replace what runs.
    ignore_changes = [ami]
  }

  depends_on = [
    aws_ssm_parameter.write_token,
    aws_ssm_parameter.database_password,
    aws_ssm_parameter.database_url,
    aws_iam_role_policy.secrets,
    aws_iam_role_policy.objects,
    aws_route_table_association.main,
  ]
}
