package cache

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/hotshelf/hotshelf/blob"
)

const (
	// loadLimit is for a load of ids whose connection has died unnoticed. A
	// million ids take well under a second, so it leaves room for more of them
	// on a small share of a CPU.
	loadLimit = time.Minute
	// A load that failed is tried again after retryFirst, then after twice as
	// long, up to retryLast: a database that comes back is found in a second.
	retryFirst = 50 * time.Millisecond
	retryLast  = time.Second
)

// loader loads the ids, one load at a time, in a goroutine of its own: the
// feed must not wait for it, or the node would be behind with everything else.
type loader struct {
	stop context.CancelFunc
	done sync.WaitGroup
	wake chan struct{} // holds one wish at most

	mu       sync.Mutex
	attempts chan struct{} // closed, and made anew, at the end of an attempt
	ended    int64         // the number of the load last attempted
	err      error         // how that ended
}

func (l *loader) start(c *Cache) {
	l.wake = make(chan struct{}, 1)
	l.attempts = make(chan struct{})
	ctx, stop := context.WithCancel(context.Background())
	l.stop = stop
	l.done.Go(func() { l.run(ctx, c) })
}

func (l *loader) close() {
	l.stop()
	l.done.Wait()
}

func (l *loader) ask() {
	select {
	case l.wake <- struct{}{}:
	default: // one is waiting already
	}
}

// wait asks for a load and waits until it, or a later one, has been attempted.
func (l *loader) wait(ctx context.Context, load int64) error {
	l.ask()
	for {
		l.mu.Lock()
		attempts, ended, err := l.attempts, l.ended, l.err
		l.mu.Unlock()
		if ended >= load {
			return err
		}
		select {
		case <-attempts:
		case <-ctx.Done():
			return fmt.Errorf("load the ids of the list: %w", context.Cause(ctx))
		}
	}
}

func (l *loader) lastError() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

func (l *loader) run(ctx context.Context, c *Cache) {
	pause := retryFirst
	retry := time.NewTimer(0)
	defer retry.Stop()
	for {
		select {
		case <-l.wake:
		case <-retry.C:
		case <-ctx.Done():
			l.tell(1<<62, fmt.Errorf("load the ids of the list: the cache is closed: %w", blob.ErrUnavailable))
			return
		}
		load := c.ids.begin()
		if load == 0 {
			continue
		}
		err := c.loadIDs(ctx, load)
		l.tell(load, err)
		if err == nil {
			pause = retryFirst
			// Another wish may have come meanwhile; it has its own wake.
			continue
		}
		retry.Reset(pause)
		pause = min(2*pause, retryLast)
	}
}

func (l *loader) tell(load int64, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended, l.err = load, err
	close(l.attempts)
	l.attempts = make(chan struct{})
}

// loadIDs makes one attempt at the load that begin has numbered.
func (c *Cache) loadIDs(ctx context.Context, load int64) error {
	ctx, cancel := context.WithTimeout(ctx, loadLimit)
	defer cancel()
	ids := newCollector()
	if err := c.source.LiveIDs(ctx, ids.add); err != nil {
		c.ids.finish(load, nil)
		return fmt.Errorf("load the ids of the list: %w", err)
	}
	ids.flush()
	c.ids.finish(load, ids.live)
	c.ready.Store(true)
	return nil
}
