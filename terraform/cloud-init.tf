# What each kind of instance does at its first start: the files of templates/
# and one script, which it runs to the end or says in its log why not.
# Nothing secret is in here.
locals {
  common_files = [
    { path = "/opt/hotshelf/common.sh", content = templatefile("${path.module}/templates/common.sh", { REGION = var.region }) },
  ]

  database_files = concat(local.common_files, [
    {
      path = "/etc/hotshelf/postgresql.conf"
      content = templatefile("${path.module}/templates/postgresql.conf", {
        LISTEN         = local.database_on_server ? "" : "*"
        SSL            = local.database_on_server ? "off" : "on"
        SHARED_BUFFERS = local.shared_buffers
      })
    },
    {
      path    = "/etc/hotshelf/pg_hba.conf"
      content = templatefile("${path.module}/templates/pg_hba.conf", { NETWORK = local.network })
    },
    {
      path    = "/etc/systemd/system/hotshelf-database.service"
      content = templatefile("${path.module}/templates/hotshelf-database.service", { MEMORY_MAX = local.database_memory })
    },
    {
      path = "/opt/hotshelf/database.sh"
      content = templatefile("${path.module}/templates/database.sh", {
        PASSWORD_PARAMETER = local.database_on_server ? "" : "${local.parameters}/database-password"
      })
    },
  ])

  server_files = concat(local.common_files, [
    {
      path = "/etc/hotshelf/hotshelf.env"
      content = templatefile("${path.module}/templates/hotshelf.env", {
        DATABASE_URL = local.database_url
      })
    },
    {
      path    = "/opt/hotshelf/secrets.sh"
      content = templatefile("${path.module}/templates/secrets.sh", { SECRETS = local.server_secrets })
    },
    {
      path    = "/etc/systemd/system/hotshelf-secrets.service"
      content = file("${path.module}/templates/hotshelf-secrets.service")
    },
    {
      path = "/etc/systemd/system/hotshelf.service"
      content = templatefile("${path.module}/templates/hotshelf.service", {
        PORT       = local.server_port
        MEMORY     = local.server_memory
        MEMORY_MAX = local.server_memory_max
        CPU_QUOTA  = local.server_cpu_quota
      })
    },
    {
      path    = "/usr/local/bin/hotshelf"
      content = file("${path.module}/templates/hotshelf.sh")
    },
    {
      path = "/opt/hotshelf/server.sh"
      content = templatefile("${path.module}/templates/server.sh", {
        ARTIFACT        = var.server_artifact
        ARTIFACT_SHA256 = var.server_artifact_sha256
      })
    },
    {
      path    = "/opt/hotshelf/catalogue.sh"
      content = templatefile("${path.module}/templates/catalogue.sh", { CATALOGUE = trimsuffix(var.catalogue, "/") })
    },
  ])

  edge_files = concat(local.common_files, [
    {
      path    = "/opt/hotshelf/nginx.conf"
      content = file("${path.module}/../deploy/nginx/nginx.conf")
    },
    {
      path = "/opt/hotshelf/hotshelf.conf"
      content = templatefile("${path.module}/../deploy/nginx/hotshelf.conf.template", {
        LISTEN          = "80"
        RESOLVER        = "169.254.169.253"
        LEGACY_UPSTREAM = var.legacy_upstream
        SERVERS         = join("\n    ", [for ip in local.server_ips : "server ${ip}:${local.server_port} max_fails=3 fail_timeout=3s;"])
        SERVERS_ANYWAY  = join("\n    ", [for ip in local.server_ips : "server ${ip}:${local.server_port} max_fails=0;"])
      })
    },
    {
      path    = "/opt/hotshelf/edge.sh"
      content = file("${path.module}/templates/edge.sh")
    },
  ])

  # The first server also makes the first catalogue.
  server_user_data = [for i in range(var.server_count) : templatefile("${path.module}/templates/cloud-init.yaml", {
    FILES = local.database_on_server ? distinct(concat(local.database_files, local.server_files)) : local.server_files
    SCRIPTS = concat(
      local.database_on_server ? ["/opt/hotshelf/database.sh"] : [],
      ["/opt/hotshelf/server.sh"],
      i == 0 ? ["/opt/hotshelf/catalogue.sh"] : [],
    )
  })]

  database_user_data = templatefile("${path.module}/templates/cloud-init.yaml", {
    FILES   = local.database_files
    SCRIPTS = ["/opt/hotshelf/database.sh"]
  })

  edge_user_data = templatefile("${path.module}/templates/cloud-init.yaml", {
    FILES   = local.edge_files
    SCRIPTS = ["/opt/hotshelf/edge.sh"]
  })
}
