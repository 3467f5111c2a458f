# The decisions, in one place: what there is for how many servers.
locals {
  several      = var.server_count > 1
  own_database = nonsensitive(var.database_url == "")

  # One server alone is the public one, and has the database beside it.
  edge_count         = local.several ? 1 : 0
  database_count     = local.own_database && local.several ? 1 : 0
  database_on_server = local.own_database && !local.several

  instance_type = "t2.micro"
  server_port   = local.several ? 8080 : 80

  # What a box of 1 GiB and one processor has for whom.
  server_memory     = local.database_on_server ? "256MiB" : "640MiB"
  server_memory_max = local.database_on_server ? "320M" : "752M"
  server_cpu_quota  = local.database_on_server ? "80%" : "95%"
  database_memory   = local.database_on_server ? "384M" : "768M"
  shared_buffers    = local.database_on_server ? "128MB" : "256MB"

  # Addresses that don't change with the instances, so that what names them
  # does not have to be made anew.
  network     = "10.20.0.0/24"
  database_ip = cidrhost(local.network, 5)
  edge_ip     = cidrhost(local.network, 6)
  server_ips  = [for i in range(var.server_count) : cidrhost(local.network, 10 + i)]

  parameters = "/${var.name}"

  # With a database beside it the server is known by its user, elsewhere by a password.
  database_url = local.database_on_server ? "postgres://hotshelf@/hotshelf?host=/run/postgresql" : (
    local.own_database ? "postgres://hotshelf@${local.database_ip}/hotshelf?sslmode=require" : ""
  )

  # The variable that each secret of the server is read into, by its parameter.
  server_secrets = merge(
    { HOTSHELF_WRITE_TOKEN = "${local.parameters}/write-token" },
    local.database_count > 0 ? { PGPASSWORD = "${local.parameters}/database-password" } : {},
    local.own_database ? {} : { DATABASE_URL = "${local.parameters}/database-url" },
  )
}
