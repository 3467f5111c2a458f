package store

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/hotshelf/hotshelf/blob"
	"github.com/hotshelf/hotshelf/embedded/embedtest"
)

// recorder is a node that notes what it is told.
type recorder struct {
	resets  chan string // the reasons
	changes chan blob.Change
	current chan time.Time // the newest only
	lost    chan error
	deaf    chan error
}

func newRecorder() *recorder {
	return &recorder{make(chan string, 100), make(chan blob.Change, 1000), make(chan time.Time, 1), make(chan error, 100), make(chan error, 100)}
}

func (r *recorder) node() Node {
	return Node{
		Reset: func(_ context.Context, _ State, why string) error { r.resets <- why; return nil },
		Apply: func(_ context.Context, c blob.Change) error { r.changes <- c; return nil },
		Current: func(asOf time.Time) {
			select {
			case <-r.current:
			default:
			}
			r.current <- asOf
		},
		Lost: func(err error) { r.lost <- err },
		Deaf: func(err error) { r.deaf <- err },
	}
}

// follow starts a follower; the function ends it.
func (r *recorder) follow(t *testing.T, db *DB, maxStaleness time.Duration) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		db.Follow(ctx, maxStaleness, r.node())
	}()
	return func() { cancel(); <-done }
}

// waitCurrent returns once the node is told that it is current as of now or later.
func (r *recorder) waitCurrent(t *testing.T) {
	t.Helper()
	now := time.Now()
	for receive(t, r.current).Before(now) {
	}
}

// byHand is a follower that polls when the test says so.
func byHand(t *testing.T, db *DB, r *recorder) (poll func()) {
	t.Helper()
	f := &follower{db: db, node: r.node(), patience: time.Minute, identify: databaseIdentity}
	conn, err := pgx.ConnectConfig(t.Context(), db.pool.Config().ConnConfig)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeConn(conn) })
	return func() {
		t.Helper()
		for more := true; more; {
			if more, err = f.catchUp(t.Context(), conn); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func exec(t *testing.T, db *DB, sql string, args ...any) {
	t.Helper()
	if _, err := db.pool.Exec(t.Context(), sql, args...); err != nil {
		t.Fatalf("%v in %s", err, sql)
	}
}

// addFeed appends entries, each that many seconds old, and returns the last version.
func addFeed(t *testing.T, db *DB, ages ...int) int64 {
	t.Helper()
	var last int64
	for _, age := range ages {
		last = query[int64](t, db, `
insert into hotshelf.feed (version, changed, at) values (nextval('hotshelf.version'), '{1}', now() - make_interval(secs => $1)) returning version`, age)[0]
	}
	return last
}

func (r *recorder) expect(t *testing.T, what string, resets []string, changes ...int64) {
	t.Helper()
	var whys []string
	for len(r.resets) > 0 {
		whys = append(whys, <-r.resets)
	}
	var versions []int64
	for len(r.changes) > 0 {
		versions = append(versions, (<-r.changes).Version)
	}
	if !slices.Equal(whys, resets) || !slices.Equal(versions, changes) {
		t.Errorf("%s: resets %q, changes %d; want %q, %d", what, whys, versions, resets, changes)
	}
}

// TestFeedOfAnotherHistory: whatever way a database can have gone back, and
// however far it has come again, the node starts anew; and only then.
func TestFeedOfAnotherHistory(t *testing.T) {
	db := catalogue(t, 1, 2)
	r := newRecorder()
	poll := byHand(t, db, r)
	const gone, back = "what was last read of the change feed is no longer in it", "the database has gone back in time"
	poll()
	r.expect(t, "at first", []string{""})
	a, b := addFeed(t, db, 30), addFeed(t, db, 20)
	poll()
	r.expect(t, "two changes", nil, a, b)
	poll()
	r.expect(t, "nothing new", nil)

	exec(t, db, `delete from hotshelf.feed where version = $1`, b)
	poll()
	r.expect(t, "behind", []string{back})
	poll()
	r.expect(t, "no second time", nil)

	// Another entry with the version that the node knows, and more behind it.
	exec(t, db, `delete from hotshelf.feed where version = $1`, a)
	exec(t, db, `insert into hotshelf.feed (version, changed) values ($1, '{2}'), ($2, '{2}')`, a, b)
	poll()
	r.expect(t, "another entry at the known version", []string{gone})
	c := addFeed(t, db, 0)
	poll()
	r.expect(t, "it goes on", nil, c)

	exec(t, db, `update hotshelf.catalogue set epoch = gen_random_uuid()`)
	poll()
	r.expect(t, "another database", []string{"the database was started anew, or is another one"})

	d, e := addFeed(t, db, 7200), addFeed(t, db, 7200)
	addFeed(t, db, 0)
	if n, err := db.cleanFeed(t.Context()); n != 0 || err != nil {
		t.Errorf("cleaned up %d entries behind a younger one, %v", n, err)
	}
	exec(t, db, `update hotshelf.feed set at = now() - interval '2 hours' where version < $1`, d)
	if n, err := db.cleanFeed(t.Context()); n < 3 || err != nil {
		t.Errorf("cleaned up %d entries, %v", n, err)
	}
	if floor := query[int64](t, db, `select feed_floor from hotshelf.catalogue`)[0]; floor != e {
		t.Errorf("floor %d, want %d", floor, e)
	}
	poll()
	r.expect(t, "behind the retention", []string{gone})
}

func TestFeedInManyPolls(t *testing.T) {
	db := catalogue(t, 1)
	r := newRecorder()
	poll := byHand(t, db, r)
	poll()
	r.expect(t, "at first", []string{""})
	for _, n := range []int{feedBatch - 1, feedBatch, feedBatch + 1} {
		exec(t, db, `insert into hotshelf.feed (version) select nextval('hotshelf.version') from generate_series(1, $1)`, n)
		poll()
		if len(r.changes) != n || len(r.resets) > 0 {
			t.Errorf("%d of %d changes, %d resets", len(r.changes), n, len(r.resets))
		}
		for len(r.changes) > 0 {
			<-r.changes
		}
	}
}

// TestFeedIsCleaned: the oldest go first, in steps; never the newest, never
// one behind a younger one, and none while load or warm may need them.
func TestFeedIsCleaned(t *testing.T) {
	url := pg.Database(t)
	db := open(t, url)
	fill(t, db, 1)
	publish(t, db)
	exec(t, db, `truncate hotshelf.feed`)
	left := func() int64 { return query[int64](t, db, `select count(*) from hotshelf.feed`)[0] }
	clean := func(want int64) {
		t.Helper()
		if n, err := db.cleanFeed(t.Context()); n != want || err != nil {
			t.Errorf("%d entries went, %v; want %d", n, err, want)
		}
	}
	clean(0)
	exec(t, db, `insert into hotshelf.feed (version, at) select nextval('hotshelf.version'), now() - interval '2 hours' from generate_series(1, $1)`, 2*cleanStep+10)

	lock, err := db.lockMaintenance(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	clean(0)
	unlockMaintenance(lock)

	clean(cleanStep)
	clean(cleanStep)
	clean(9) // not the newest
	clean(0)
	if n := left(); n != 1 {
		t.Errorf("%d entries left", n)
	}
	addFeed(t, db, 7200, 7200, 10, 7200, 5)
	clean(3)
	clean(0)
	if n := left(); n != 3 {
		t.Errorf("%d entries left", n)
	}
	if r := query[bool](t, db, `select feed_floor = (select min(version) - 1 from hotshelf.feed) from hotshelf.catalogue`); !r[0] {
		t.Error("the floor is not the highest version that went")
	}
	// Another node is at it.
	tx, err := db.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.Background()) }()
	if _, err := tx.Exec(t.Context(), tryCleaningLock, int64(cleaningLock)); err != nil {
		t.Fatal(err)
	}
	exec(t, db, `update hotshelf.feed set at = now() - interval '2 hours'`)
	clean(0)
	// And cleaning is in nobody's way.
	fill(t, db, 1)
	publish(t, db)
}

// TestFollowWithoutNotifications: the node is told, once, and goes on by
// looking.
func TestFollowWithoutNotifications(t *testing.T) {
	link := embedtest.NewLink(t, pg.Database(t))
	link.Deafen()
	db := open(t, link.URL())
	fill(t, db, 1)
	publish(t, db)
	r := newRecorder()
	defer r.follow(t, db, time.Second)()
	receive(t, r.resets)
	if err := receive(t, r.deaf); !errors.Is(err, errDeaf) {
		t.Error(err)
	}
	v := addFeed(t, db, 0)
	if c := receive(t, r.changes); c.Version != v {
		t.Errorf("change %d, want %d", c.Version, v)
	}
	link.Cut()
	if err := receive(t, r.lost); err == nil {
		t.Error("lost, without a reason")
	}
	link.Heal()
	link.Deafen()
	r.waitCurrent(t)
	if len(r.deaf)+len(r.resets)+len(r.lost) > 0 {
		t.Errorf("told again: %d deaf, %d resets, %d lost", len(r.deaf), len(r.resets), len(r.lost))
	}
}

// TestFollowFrozenLink: a connection over which nothing comes any more is
// given up, though it never ends; and afterwards nothing is missing.
func TestFollowFrozenLink(t *testing.T) {
	address := pg.Database(t)
	link := embedtest.NewLink(t, address)
	db, direct := open(t, link.URL()), open(t, address)
	fill(t, direct, 1)
	publish(t, direct)
	r := newRecorder()
	defer r.follow(t, db, time.Second)()
	receive(t, r.resets)
	r.waitCurrent(t)
	link.Freeze()
	if err := receive(t, r.lost); !errors.Is(err, errTooSlow) {
		t.Errorf("lost: %v", err)
	}
	v := addFeed(t, direct, 0)
	link.Heal()
	if c := receive(t, r.changes); c.Version != v {
		t.Errorf("change %d, want %d", c.Version, v)
	}
	r.waitCurrent(t)
	if len(r.deaf)+len(r.resets)+len(r.changes) > 0 {
		t.Errorf("told more: %d deaf, %d resets, %d changes", len(r.deaf), len(r.resets), len(r.changes))
	}
}

// TestFollowWithoutPrivileges: where the server's identity may not be asked
// for, the feed is followed by the rest.
func TestFollowWithoutPrivileges(t *testing.T) {
	address := pg.Database(t)
	owner := open(t, address)
	fill(t, owner, 1)
	publish(t, owner)
	exec(t, owner, `revoke execute on function pg_control_system() from public`)
	exec(t, owner, `do $$ begin create role reader login; exception when duplicate_object then null; end $$`)
	exec(t, owner, `grant usage on schema hotshelf, shelf to reader`)
	exec(t, owner, `grant select on all tables in schema hotshelf, shelf to reader`)
	t.Cleanup(func() { _, _ = owner.pool.Exec(context.Background(), `drop owned by reader`) })
	db := open(t, strings.Replace(address, "postgres://hotshelf@", "postgres://reader@", 1))
	r := newRecorder()
	defer r.follow(t, db, time.Second)()
	receive(t, r.resets)
	v := addFeed(t, owner, 0)
	if c := receive(t, r.changes); c.Version != v {
		t.Errorf("change %d, want %d", c.Version, v)
	}
	if len(r.lost)+len(r.resets) > 0 {
		t.Errorf("%d lost, %d resets", len(r.lost), len(r.resets))
	}
}
