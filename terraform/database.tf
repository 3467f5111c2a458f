# The database that is set up where no other is given: its volume, its daily
# snapshots, and, from two servers on, its instance. The volume moves with it.

resource "aws_ebs_volume" "database" {
  count             = local.own_database ? 1 : 0
  availability_zone = aws_subnet.main.availability_zone
  type              = "gp3"
  size              = var.database_volume_gb
  encrypted         = true
  tags              = { Name = "${var.name}-database", Snapshots = var.name }
}

resource "aws_volume_attachment" "database" {
  count       = local.own_database ? 1 : 0
  device_name = "/dev/sdf"
  volume_id   = aws_ebs_volume.database[0].id
  instance_id = local.database_on_server ? aws_instance.server[0].id : aws_instance.database[0].id

  # PostgreSQL ends before its disk does.
  stop_instance_before_detaching = true
}

resource "aws_instance" "database" {
  count                       = local.database_count
  ami                         = data.aws_ssm_parameter.debian.value
  instance_type               = local.instance_type
  subnet_id                   = aws_subnet.main.id
  private_ip                  = local.database_ip
  vpc_security_group_ids      = [aws_security_group.database[0].id]
  iam_instance_profile        = aws_iam_instance_profile.instance["database"].name
  user_data                   = local.database_user_data
  user_data_replace_on_change = true
  tags                        = { Name = "${var.name}-database" }

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

  depends_on = [aws_ssm_parameter.database_password, aws_route_table_association.main]
}

resource "aws_iam_role" "snapshots" {
  count = local.own_database ? 1 : 0
  name  = "${var.name}-snapshots"

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "dlm.amazonaws.com" }
    }]
  })
}

resource "aws_iam_role_policy_attachment" "snapshots" {
  count      = local.own_database ? 1 : 0
  role       = aws_iam_role.snapshots[0].name
  policy_arn = "${local.arn}:iam::aws:policy/service-role/AWSDataLifecycleManagerServiceRole"
}

resource "aws_dlm_lifecycle_policy" "database" {
  count              = local.own_database ? 1 : 0
  description        = "Daily snapshots of the database of ${var.name}"
  execution_role_arn = aws_iam_role.snapshots[0].arn
  state              = "ENABLED"

  policy_details {
    resource_types = ["VOLUME"]
    target_tags    = { Snapshots = var.name }

    schedule {
      name      = "daily"
      copy_tags = true

      create_rule {
        interval      = 24
        interval_unit = "HOURS"
        times         = ["03:00"]
      }

      retain_rule {
        count = var.snapshots_kept
      }
    }
  }
}
