# From two servers on: nginx in front of them, with the configuration that
# compose.yaml uses too.
resource "aws_instance" "edge" {
  count                       = local.edge_count
  ami                         = data.aws_ssm_parameter.debian.value
  instance_type               = local.instance_type
  subnet_id                   = aws_subnet.main.id
  private_ip                  = local.edge_ip
  vpc_security_group_ids      = [aws_security_group.public.id]
  iam_instance_profile        = aws_iam_instance_profile.instance["edge"].name
  user_data                   = local.edge_user_data
  user_data_replace_on_change = true
  tags                        = { Name = "${var.name}-edge" }

  root_block_device {
    volume_type = "gp3"
    volume_size = 8
    encrypted   = true
  }

  metadata_options {
    http_tokens = "required"
  }

  lifecycle {
    ignore_changes = [ami]
  }

  depends_on = [aws_route_table_association.main]
}
