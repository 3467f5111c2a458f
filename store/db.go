// Package store is Postgres: look-ups, the change feed, bulk copy in and out,
// locks and publishing. All SQL is here.
//
// The commands wire it to cache, etl and warm, each of which owns the
// interface that it needs of a store. What must always hold: nothing live
// changes except in one transaction under the write lock, and whatever goes
// live does so whole.
package store

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/hotshelf/hotshelf"
	"github.com/hotshelf/hotshelf/blob"
)

// DB is a database that holds, or will hold, a catalogue.
type DB struct {
	pool   *pgxpool.Pool
	name   string // the connections' application_name, "hotshelf load (process 12 on shop1)"
	writes writeQueue
}

// Open connects to the database of url on behalf of a command, such as "load".
// So many connections are kept ready, whether or not anybody needs them, but one
// fewer than the pool may have: while a database does not answer, those that are
// dialled ahead must not take the place of one that is waited for.
//
// It fails where the database does not answer within ten seconds, and where it
// holds a schema newer than this program's; it changes nothing.
func Open(ctx context.Context, url, command string, ready int32) (*DB, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		// The parser's words may quote the password.
		return nil, errors.New("the database URL can't be read: expected postgres://user:password@host:port/database")
	}
	host, _ := os.Hostname()
	db := &DB{
		name: fmt.Sprintf("hotshelf %s (process %d on %s)", command, os.Getpid(), host),
	}
	config.ConnConfig.RuntimeParams["application_name"] = db.name
	config.ConnConfig.ConnectTimeout = 10 * time.Second
	config.MinConns = max(config.MinConns, min(ready, config.MaxConns-1))
	// Later, somebody waits for an answer that may be in the cache as well.
	var opened atomic.Bool
	config.BeforeConnect = func(_ context.Context, c *pgx.ConnConfig) error {
		if opened.Load() {
			c.ConnectTimeout = connectLimit
		}
		return nil
	}
	db.pool, err = pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("connect to the database: %w", err)
	}
	if _, err := db.State(ctx); err != nil && !errors.Is(err, blob.ErrNotReady) {
		go db.Close() // waits for connections that are still being dialled
		return nil, err
	}
	opened.Store(true)
	return db, nil
}

// address is where a database is: host and port, or the socket's directory.
func address(c *pgconn.Config) string {
	if strings.HasPrefix(c.Host, "/") {
		return c.Host
	}
	return net.JoinHostPort(c.Host, strconv.Itoa(int(c.Port)))
}

// Settings of the connections that load and warm work on. The first makes a
// statement end when this program was killed while it runs; not every system
// can do that.
const (
	endWithClient = `set client_connection_check_interval = '2s'`
	// Differences are written after a checkpoint more often than not, and so with
	// an image of each page. To compress those in PostgreSQL's default way took
	// most of the time that writing them takes. Not everybody may say so (the
	// database's log then has a line for it), and PostgreSQL before 15 does not
	// know it.
	compressQuickly = `
select set_config('wal_compression', 'lz4', false) from pg_settings where name = 'wal_compression' and setting = 'pglz'`
	workerMemory = `set maintenance_work_mem = '64MB'; set work_mem = '32MB';
set tcp_keepalives_idle = 30; set tcp_keepalives_interval = 10; set tcp_keepalives_count = 3`
	// In a transaction that holds the write lock: a host that is gone in the
	// middle must not keep it.
	endWithHost = `set local idle_in_transaction_session_timeout = '1min'`
)

// worker connects for long work; its user closes the connection.
func (db *DB) worker(ctx context.Context) (*pgx.Conn, error) {
	return connectWorker(ctx, db.pool.Config().ConnConfig)
}

func connectWorker(ctx context.Context, config *pgx.ConnConfig) (*pgx.Conn, error) {
	// A cancelled statement is cancelled in the server too, instead of going
	// on there, with its locks, when nobody waits for it any longer.
	config.BuildContextWatcherHandler = func(conn *pgconn.PgConn) ctxwatch.Handler {
		return &pgconn.CancelRequestContextWatcherHandler{Conn: conn, DeadlineDelay: 5 * time.Second}
	}
	config.DialFunc = writeInBulk(config.DialFunc)
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("connect to the database: %w", classify(err))
	}
	_, _ = conn.Exec(ctx, endWithClient)
	_, _ = conn.Exec(ctx, compressQuickly)
	if _, err := conn.PgConn().Exec(ctx, workerMemory).ReadAll(); err != nil {
		closeConn(conn)
		return nil, fmt.Errorf("set up a connection: %w", classify(err))
	}
	return conn, nil
}

// Close ends all connections.
func (db *DB) Close() { db.pool.Close() }

// State is the catalogue's record at one moment, with the head of its feed.
type State struct {
	Epoch          string // another epoch is another database
	Generation     int64  // 0 while nothing was ever published
	Head           int64  // version of the newest feed entry, 0 without one
	Contract       blob.Contract
	BuilderVersion int
	Source         string // "sample" or "import"; "" before the first publish
	LoadWaits      bool   // a complete load waits for warm
	// OldSchema says that the database was set up by an older program: load and
	// warm bring it up to date, everything else has to wait for them.
	OldSchema bool
}

const (
	selectState = `
select ` + stateColumns + `
from hotshelf.catalogue c`
	stateColumns = `c.epoch::text, c.schema_version, c.generation, c.contract, c.builder_version,
       coalesce(c.source, ''), c.next_loaded_at is not null,
       coalesce((select max(f.version) from hotshelf.feed f), 0)`
)

// stateScan is what stateColumns are read into beside a State.
type stateScan struct {
	schema   int
	contract string
}

func (r *stateScan) targets(s *State) []any {
	return []any{
		&s.Epoch, &r.schema, &s.Generation, &r.contract, &s.BuilderVersion,
		&s.Source, &s.LoadWaits, &s.Head,
	}
}

func (r *stateScan) finish(s *State) (err error) {
	if r.schema > hotshelf.SchemaVersion {
		return errNewerSchema(r.schema)
	}
	s.OldSchema = r.schema < hotshelf.SchemaVersion
	s.Contract, err = blob.ParseContract(r.contract)
	return err
}

// State reads the record. It returns blob.ErrNotReady where the database has
// no hotshelf schema, and an error where the schema is newer than the program.
func (db *DB) State(ctx context.Context) (State, error) {
	return readState(ctx, db.pool)
}

// querier is what a pool, a connection and a transaction have in common.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

func readState(ctx context.Context, q querier) (State, error) {
	var s State
	var r stateScan
	err := q.QueryRow(ctx, selectState).Scan(r.targets(&s)...)
	if errors.Is(err, pgx.ErrNoRows) {
		return s, blob.ErrNotReady
	}
	if err != nil {
		return s, fmt.Errorf("read the catalogue's record: %w", classify(err))
	}
	err = r.finish(&s)
	return s, err
}

func errNewerSchema(version int) error {
	return fmt.Errorf("the database has schema version %d, this program knows %d: use a newer hotshelf",
		version, hotshelf.SchemaVersion)
}

const selectSchemaVersion = `select schema_version from hotshelf.catalogue`

// ensureSchema sets the database up, or brings it to this program's version.
// It leaves one that is up to date alone, so that no lock is taken on tables
// that are being read.
func ensureSchema(ctx context.Context, conn *pgx.Conn) error {
	var version int
	err := conn.QueryRow(ctx, selectSchemaVersion).Scan(&version)
	if err == nil && version == hotshelf.SchemaVersion {
		return nil
	}
	if err == nil && version > hotshelf.SchemaVersion {
		return errNewerSchema(version)
	}
	if err != nil && !errors.Is(err, pgx.ErrNoRows) && !errors.Is(classify(err), blob.ErrNotReady) {
		return fmt.Errorf("read the schema version: %w", classify(err))
	}
	// Without arguments a script runs as one transaction.
	if _, err := conn.PgConn().Exec(ctx, hotshelf.Schema).ReadAll(); err != nil {
		return fmt.Errorf("set up the database: %w", classify(err))
	}
	return nil
}

// classify adds the sentinel that callers ask for to an error of the driver:
// blob.ErrNotReady where hotshelf's tables don't exist, blob.ErrUnavailable
// where the database can't be reached, is starting or stopping, or is full.
func classify(err error) error {
	if err == nil || errors.Is(err, blob.ErrUnavailable) {
		return err
	}
	// The driver tells each attempt on a line of its own: one is enough. A server
	// that answered has said why itself.
	var connect *pgconn.ConnectError
	if errors.As(err, &connect) {
		err = fmt.Errorf("connect to %s: %w", address(connect.Config), innermost(connect))
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		switch {
		case pg.Code == "42P01", pg.Code == "3F000": // undefined_table, invalid_schema_name
			return fmt.Errorf("%w (%w)", blob.ErrNotReady, err)
		case strings.HasPrefix(pg.Code, "08"), strings.HasPrefix(pg.Code, "53"), strings.HasPrefix(pg.Code, "57"):
			return fmt.Errorf("%w: %w", blob.ErrUnavailable, err)
		}
		return err
	}
	if errors.Is(err, context.Canceled) {
		return err
	}
	return fmt.Errorf("%w: %w", blob.ErrUnavailable, err)
}

// innermost is where a chain of errors began, by its first branch.
func innermost(err error) error {
	for {
		var next error
		switch e := err.(type) { //nolint:errorlint // this is the walk down the chain
		case interface{ Unwrap() error }:
			next = e.Unwrap()
		case interface{ Unwrap() []error }:
			if all := e.Unwrap(); len(all) > 0 {
				next = all[0]
			}
		}
		if next == nil {
			return err
		}
		err = next
	}
}
