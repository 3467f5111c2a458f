# Who may connect to whom. There is no way in but HTTP: shells are the Systems
# Manager's business.

resource "aws_security_group" "public" {
  name        = "${var.name}-public"
  description = "The edge, or the single server"
  vpc_id      = aws_vpc.main.id
}

resource "aws_security_group" "server" {
  name        = "${var.name}-server"
  description = "The servers"
  vpc_id      = aws_vpc.main.id
}

resource "aws_security_group" "database" {
  count       = local.database_count
  name        = "${var.name}-database"
  description = "The database on an instance of its own"
  vpc_id      = aws_vpc.main.id
}

resource "aws_vpc_security_group_ingress_rule" "public" {
  security_group_id = aws_security_group.public.id
  description       = "HTTP from everywhere"
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "tcp"
  from_port         = 80
  to_port           = 80
}

resource "aws_vpc_security_group_ingress_rule" "server" {
  count                        = local.edge_count
  security_group_id            = aws_security_group.server.id
  description                  = "HTTP from the edge"
  referenced_security_group_id = aws_security_group.public.id
  ip_protocol                  = "tcp"
  from_port                    = local.server_port
  to_port                      = local.server_port
}

resource "aws_vpc_security_group_ingress_rule" "database" {
  count                        = local.database_count
  security_group_id            = aws_security_group.database[0].id
  description                  = "PostgreSQL from the servers"
  referenced_security_group_id = aws_security_group.server.id
  ip_protocol                  = "tcp"
  from_port                    = 5432
  to_port                      = 5432
}

resource "aws_vpc_security_group_egress_rule" "all" {
  for_each = merge(
    { public = aws_security_group.public.id, server = aws_security_group.server.id },
    { for group in aws_security_group.database : "database" => group.id },
  )
  security_group_id = each.value
  description       = "Updates, the Systems Manager, S3, the database"
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "-1"
}
