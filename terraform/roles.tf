# What each kind of instance may do: be managed, read its own secrets, and,
# the servers, fetch the archive and the first catalogue.

data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

locals {
  arn = "arn:${data.aws_partition.current.partition}"

  # The parameters that each kind reads.
  reads = {
    edge     = []
    server   = values(local.server_secrets)
    database = ["${local.parameters}/database-password"]
  }

  objects = [for uri in [var.server_artifact, var.catalogue] : trimprefix(uri, "s3://") if startswith(uri, "s3://")]
}

resource "aws_iam_role" "instance" {
  for_each = local.reads
  name     = "${var.name}-${each.key}"

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "ec2.amazonaws.com" }
    }]
  })
}

resource "aws_iam_instance_profile" "instance" {
  for_each = aws_iam_role.instance
  name     = each.value.name
  role     = each.value.name
}

resource "aws_iam_role_policy_attachment" "managed" {
  for_each   = aws_iam_role.instance
  role       = each.value.name
  policy_arn = "${local.arn}:iam::aws:policy/AmazonSSMManagedInstanceCore"
}

resource "aws_iam_role_policy" "secrets" {
  for_each = { for kind, names in local.reads : kind => names if length(names) > 0 }
  name     = "secrets"
  role     = aws_iam_role.instance[each.key].name

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect   = "Allow"
      Action   = "ssm:GetParameter"
      Resource = [for name in each.value : "${local.arn}:ssm:${var.region}:${data.aws_caller_identity.current.account_id}:parameter${name}"]
    }]
  })
}

resource "aws_iam_role_policy" "objects" {
  count = length(local.objects) > 0 ? 1 : 0
  name  = "objects"
  role  = aws_iam_role.instance["server"].name

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Effect   = "Allow"
        Action   = "s3:GetObject"
        Resource = [for path in local.objects : "${local.arn}:s3:::${path}*"]
      },
      {
        Effect   = "Allow"
        Action   = "s3:ListBucket"
        Resource = distinct([for path in local.objects : "${local.arn}:s3:::${split("/", path)[0]}"])
      },
    ]
  })
}
