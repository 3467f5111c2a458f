# One network in one zone. Instances without a public task have public addresses
# too, for updates and the Systems Manager: a NAT gateway would cost more than
# all of them. What can be reached is in security.tf.

data "aws_ec2_instance_type_offerings" "zones" {
  location_type = "availability-zone"

  filter {
    name   = "instance-type"
    values = [local.instance_type]
  }
}

resource "aws_vpc" "main" {
  cidr_block           = local.network
  enable_dns_support   = true
  enable_dns_hostnames = true
  tags                 = { Name = var.name }
}

resource "aws_internet_gateway" "main" {
  vpc_id = aws_vpc.main.id
  tags   = { Name = var.name }
}

resource "aws_subnet" "main" {
  vpc_id                  = aws_vpc.main.id
  cidr_block              = local.network
  availability_zone       = sort(data.aws_ec2_instance_type_offerings.zones.locations)[0]
  map_public_ip_on_launch = true
  tags                    = { Name = var.name }
}

resource "aws_route_table" "main" {
  vpc_id = aws_vpc.main.id
  tags   = { Name = var.name }

  route {
    cidr_block = "0.0.0.0/0"
    gateway_id = aws_internet_gateway.main.id
  }
}

resource "aws_route_table_association" "main" {
  subnet_id      = aws_subnet.main.id
  route_table_id = aws_route_table.main.id
}

# The address of the service: it stays when a second server brings the edge.
resource "aws_eip" "public" {
  domain   = "vpc"
  instance = local.several ? aws_instance.edge[0].id : aws_instance.server[0].id
  tags     = { Name = var.name }

  depends_on = [aws_internet_gateway.main]
}
