variable "region" {
  description = "The AWS region. It has to offer t2.micro."
  type        = string
  default     = "us-east-1"

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "A region is written like us-east-1."
  }
}

variable "name" {
  description = "What the resources are called; another name is another installation."
  type        = string
  default     = "hotshelf"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,20}$", var.name))
    error_message = "A name has up to 21 lower-case letters, digits and hyphens, and begins with a letter."
  }
}

variable "server_count" {
  description = "How many servers there are. From two on, an edge balances between them and the database has an instance of its own."
  type        = number
  default     = 1

  validation {
    condition     = var.server_count >= 1 && var.server_count <= 20 && floor(var.server_count) == var.server_count
    error_message = "There can be 1 to 20 servers."
  }
}

variable "database_url" {
  description = "A PostgreSQL of your own, such as RDS, as postgres://user:password@host:port/database. Empty: one is set up."
  type        = string
  default     = ""
  sensitive   = true

  validation {
    condition     = var.database_url == "" || can(regex("^postgres(ql)?://[^\\s'\"]+$", var.database_url))
    error_message = "A database URL is written like postgres://user:password@host:5432/database, with special characters of the password percent-encoded."
  }
}

variable "server_artifact" {
  description = "The archive that `make dist` makes, as s3://bucket/key or https://host/path."
  type        = string

  validation {
    condition     = can(regex("^(s3://[a-z0-9][a-z0-9.-]+/|https://[^/\\s]+/)[^\\s'\"]+$", var.server_artifact))
    error_message = "The archive is named as s3://bucket/key or https://host/path."
  }
}

variable "server_artifact_sha256" {
  description = "The archive's SHA-256, which `make dist` prints. An instance starts nothing else."
  type        = string

  validation {
    condition     = can(regex("^[0-9a-f]{64}$", var.server_artifact_sha256))
    error_message = "A SHA-256 has 64 hexadecimal digits."
  }
}

variable "catalogue" {
  description = "Where an empty database gets its first catalogue from: the six CSV files below s3://bucket/prefix. Empty: a sample of 1,000 products."
  type        = string
  default     = ""

  validation {
    condition     = var.catalogue == "" || can(regex("^s3://[a-z0-9][a-z0-9.-]+(/[^\\s'\"]*)?$", var.catalogue))
    error_message = "A catalogue is named as s3://bucket/prefix."
  }
}

variable "legacy_upstream" {
  description = "With an edge: where paths go that are not hotshelf's, as http://host:port. Empty: they are answered with 404."
  type        = string
  default     = ""

  validation {
    condition     = var.legacy_upstream == "" || can(regex("^https?://[A-Za-z0-9.-]+(:[0-9]+)?$", var.legacy_upstream))
    error_message = "A legacy shop is named as http://host:port, without a path."
  }
}

variable "database_volume_gb" {
  description = "The size of the database's volume. A million products take about 10."
  type        = number
  default     = 16

  validation {
    condition     = var.database_volume_gb >= 8 && var.database_volume_gb <= 1024 && floor(var.database_volume_gb) == var.database_volume_gb
    error_message = "The volume has 8 to 1024 GB."
  }
}

variable "snapshots_kept" {
  description = "How many daily snapshots of the database's volume are kept."
  type        = number
  default     = 7

  validation {
    condition     = var.snapshots_kept >= 1 && var.snapshots_kept <= 365 && floor(var.snapshots_kept) == var.snapshots_kept
    error_message = "1 to 365 snapshots can be kept."
  }
}

variable "secrets_version" {
  description = "Raise it for a new write token and database password, or when database_url has changed, and restart the instances."
  type        = number
  default     = 1

  validation {
    condition     = var.secrets_version >= 1 && floor(var.secrets_version) == var.secrets_version
    error_message = "The version is a whole number from 1 on."
  }
}
