// Package hotshelf holds the database schema; the programs are below cmd.
package hotshelf

import _ "embed"

// Schema is schema.sql: the whole database, idempotent.
//
//go:embed schema.sql
var Schema string

// SchemaVersion is the version that Schema creates and that this program
// reads. A database of a newer one is refused.
const SchemaVersion = 2
