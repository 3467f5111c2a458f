package cli

import (
	"context"
	"fmt"

	"github.com/hotshelf/hotshelf/embedded"
	"github.com/hotshelf/hotshelf/store"
)

// Database says which database a command works on.
type Database struct {
	DatabaseURL string `help:"The PostgreSQL database, as postgres://user:password@host:port/database. Empty: a private PostgreSQL in the data directory." env:"DATABASE_URL" placeholder:"URL"`
	DataDir     string `help:"The directory of the private PostgreSQL." env:"HOTSHELF_DATA_DIR" default:".hotshelf" type:"path" placeholder:"DIR"`
}

// Lines returns what Open is given by commands that write plain lines.
func Lines(io IO, quiet bool) (say, warn func(string)) {
	warn = func(line string) { fmt.Fprintln(io.Stderr, line) }
	if quiet {
		return func(string) {}, warn
	}
	return warn, warn
}

// Embedded says whether the database is the private one.
func (d Database) Embedded() bool { return d.DatabaseURL == "" }

// Open connects to the database, starting the private one where it is that
// and does not run; command and ready are for store.Open. The function ends what
// was begun. say is told what takes long, warn what went wrong at the end.
func (d Database) Open(ctx context.Context, command string, ready int32, say, warn func(string)) (*store.DB, func(), error) {
	if !d.Embedded() {
		db, err := store.Open(ctx, d.DatabaseURL, command, ready)
		if err != nil {
			return nil, nil, err
		}
		return db, db.Close, nil
	}
	private, err := embedded.Start(ctx, d.DataDir, embedded.Options{Log: say})
	if err != nil {
		return nil, nil, err
	}
	stop := func() {
		if err := private.Stop(); err != nil {
			warn(err.Error())
		}
	}
	db, err := store.Open(ctx, private.URL(), command, ready)
	if err != nil {
		stop()
		return nil, nil, err
	}
	return db, func() { db.Close(); stop() }, nil
}
