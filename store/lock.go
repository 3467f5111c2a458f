package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Advisory lock keys. Any two numbers would do; these spell "hs" and a role.
const (
	maintenanceLock = 0x6873_0001 // load, warm and verify: one at a time, for the session
	writeLock       = 0x6873_0002 // every change to what is live, for the transaction
	cleaningLock    = 0x6873_0003 // removing old entries of the feed, for the transaction
)

const (
	tryMaintenanceLock = `select pg_try_advisory_lock($1)`
	releaseLocks       = `select pg_advisory_unlock_all()`
	takeWriteLock      = `select pg_advisory_xact_lock($1)`

	selectLockHolder = `
select a.application_name, a.backend_start
from pg_locks l join pg_stat_activity a using (pid)
where l.locktype = 'advisory' and l.granted and l.classid = 0 and l.objid = $1 and l.objsubid = 1
  and l.database = (select oid from pg_database where datname = current_database())`
)

// lockMaintenance returns a connection that holds the maintenance lock until
// it is closed. Where another command holds it, the error names that command.
func (db *DB) lockMaintenance(ctx context.Context) (*pgx.Conn, error) {
	conn, err := db.worker(ctx)
	if err != nil {
		return nil, err
	}
	// A holder that is ending may be gone before it can be asked for.
	for range 10 {
		var got bool
		if err := conn.QueryRow(ctx, tryMaintenanceLock, int64(maintenanceLock)).Scan(&got); err != nil {
			closeConn(conn)
			return nil, fmt.Errorf("take the maintenance lock: %w", classify(err))
		}
		if got {
			return conn, nil
		}
		var holder string
		var since time.Time
		err = conn.QueryRow(ctx, selectLockHolder, int64(maintenanceLock)).Scan(&holder, &since)
		if err == nil {
			closeConn(conn)
			return nil, fmt.Errorf("%s is at work on this database since %s: load and warm run one at a time, try again when it has ended",
				holder, since.Local().Format(time.DateTime))
		}
		if !errors.Is(err, pgx.ErrNoRows) {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	closeConn(conn)
	return nil, fmt.Errorf("ask who holds the maintenance lock: %w", classify(err))
}

// unlockMaintenance ends a connection that holds the maintenance lock; when it
// returns, the next command can have it.
func unlockMaintenance(conn *pgx.Conn) {
	if !conn.IsClosed() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_, _ = conn.Exec(ctx, releaseLocks)
	}
	closeConn(conn)
}

// isLockTimeout says that a statement gave up waiting for a lock.
func isLockTimeout(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "55P03" // lock_not_available
}

// closeConn ends a connection although the work's context may be cancelled:
// the locks it holds have to go.
func closeConn(conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_ = conn.Close(ctx)
}
