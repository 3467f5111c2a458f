package main

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hotshelf/hotshelf/blob"
	"github.com/hotshelf/hotshelf/cache"
	"github.com/hotshelf/hotshelf/store"
)

// firstState is how long a start waits to know what the database has: a
// million ids take half a second on a disk that is awake.
const firstState = 10 * time.Second

// node keeps the cache informed of what happens in the database.
type node struct {
	cache *cache.Cache
	log   *slog.Logger

	// Of the newest change that was taken in, for the metrics.
	version, generation atomic.Int64

	mu     sync.Mutex
	reason string // why there is no catalogue to serve; "" when there is

	// What only the follower uses.
	loaded bool // the cache has taken a catalogue in
	lost   bool // the feed can't be read
}

func newNode(c *cache.Cache, log *slog.Logger) *node {
	return &node{cache: c, log: log, reason: blob.ErrNotReady.Error()}
}

// follow starts following the feed and returns once the state of the database
// was taken in for the first time, or could not be for a while. It also keeps
// the feed short. The function ends both.
func (n *node) follow(ctx context.Context, db *store.DB, maxStaleness time.Duration) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	first := make(chan struct{})
	var work sync.WaitGroup
	var once sync.Once
	work.Go(func() {
		db.Follow(ctx, maxStaleness, store.Node{
			Reset: func(ctx context.Context, s store.State, why string) error {
				defer once.Do(func() { close(first) })
				if why != "" {
					n.log.Warn("what is cached may not hold any longer", "reason", why)
				}
				return n.reset(ctx, s)
			},
			Apply:   n.apply,
			Current: n.current,
			Lost: func(err error) {
				n.lost = true
				n.log.Warn("the database can't be followed", "error", err)
			},
			Deaf: func(err error) {
				n.log.Info("changes are found by looking for them: the database sends no notifications", "reason", err)
			},
		})
	})
	work.Go(func() {
		db.KeepFeedShort(ctx, func(err error) { n.log.Warn("the change feed grows", "error", err) })
	})
	select {
	case <-first:
	case <-ctx.Done():
	case <-time.After(firstState):
	}
	return func() { cancel(); work.Wait() }
}

func (n *node) reset(ctx context.Context, s store.State) error {
	n.loaded = false
	n.version.Store(s.Head)
	n.generation.Store(s.Generation)
	if s.OldSchema {
		n.cache.Unload()
		n.setReason("the database was set up by an older hotshelf: run warm, which brings it up to date")
		return nil
	}
	if s.Generation == 0 {
		n.cache.Unload()
		reason := blob.ErrNotReady.Error()
		if s.LoadWaits {
			reason = "a load waits to be published: run warm"
		}
		n.setReason(reason)
		return nil
	}
	if s.BuilderVersion != blob.BuilderVersion {
		n.log.Warn("the shelf was made by another version of the builder: run warm",
			"theirs", s.BuilderVersion, "ours", blob.BuilderVersion)
	}
	return n.load(ctx, s.Head)
}

func (n *node) apply(_ context.Context, c blob.Change) error {
	// Where nothing was published, or the schema is old, there is nothing to
	// apply it to: the next reset loads all.
	if n.loaded {
		n.cache.Apply(c)
	}
	n.version.Store(c.Version)
	if c.Generation > 0 {
		n.generation.Store(c.Generation)
		n.log.Info("a new catalogue is live", "generation", c.Generation)
	}
	return nil
}

func (n *node) current(asOf time.Time) {
	n.cache.Fresh(asOf)
	if n.lost {
		n.lost = false
		n.log.Info("the database is followed again")
	}
}

func (n *node) load(ctx context.Context, head int64) error {
	if err := n.cache.Load(ctx, head); err != nil {
		return err
	}
	n.loaded = true
	n.setReason("")
	return nil
}

func (n *node) setReason(reason string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.reason = reason
}

// ready lists why reads can't be answered.
func (n *node) ready() []string {
	n.mu.Lock()
	reason := n.reason
	n.mu.Unlock()
	if reason != "" {
		return []string{reason}
	}
	if err := n.cache.Ready(); err != nil {
		n.log.Debug("not ready", "error", err)
		if errors.Is(err, blob.ErrNotReady) {
			return []string{blob.ErrNotReady.Error()}
		}
		return []string{"the list of products is not loaded yet"}
	}
	return nil
}
