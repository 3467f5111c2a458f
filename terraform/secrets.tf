# Secrets are made here and written to SSM without passing through the state or
# user data. Instances read theirs when they start, by their role.

ephemeral "random_password" "write_token" {
  length  = 40
  special = false
}

ephemeral "random_password" "database" {
  length  = 40
  special = false
}

resource "aws_ssm_parameter" "write_token" {
  name             = "${local.parameters}/write-token"
  description      = "The bearer token of writes"
  type             = "SecureString"
  value_wo         = ephemeral.random_password.write_token.result
  value_wo_version = var.secrets_version
}

resource "aws_ssm_parameter" "database_password" {
  count            = local.database_count
  name             = "${local.parameters}/database-password"
  description      = "The password of the database on an instance of its own"
  type             = "SecureString"
  value_wo         = ephemeral.random_password.database.result
  value_wo_version = var.secrets_version
}

resource "aws_ssm_parameter" "database_url" {
  count            = local.own_database ? 0 : 1
  name             = "${local.parameters}/database-url"
  description      = "The URL of the database, with its password"
  type             = "SecureString"
  value_wo         = var.database_url
  value_wo_version = var.secrets_version
}
