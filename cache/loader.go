package cache

import (
	"context"
	"errors"
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

	mu     sync.Mutex
	latest *attempt                // the one under way, or the next
	cancel context.CancelCauseFunc // of the one under way
	ended  int64                   // the number of the load last attempted
	err    error                   // how that ended
}

// attempt is one attempt at a load. err may be read once done is closed.
type attempt struct {
	done chan struct{}
	err  error
}

// errOvertaken ends a load whose ids nobody wants any more.
var errOvertaken = errors.New("a newer load of the ids is needed")

func (l *loader) start(c *Cache) {
	l.wake = make(chan struct{}, 1)
	l.latest = &attempt{done: make(chan struct{})}
	ctx, stop := context.WithCancel(context.Background())
	l.stop = stop
	l.done.Go(func() { l.run(ctx, c) })
}

func (l *loader) close() {
	l.stop()
	l.done.Wait()
}

// ask makes the loader look what is wanted.
func (l *loader) ask() {
	select {
	case l.wake <- struct{}{}:
	default: // one is waiting already
	}
}

// overtake is ask where a load under way is of no use any more; its connection
// may even be one that has died.
func (l *loader) overtake() {
	l.mu.Lock()
	if l.cancel != nil {
		l.cancel(errOvertaken)
	}
	l.mu.Unlock()
	l.ask()
}

// next is the attempt that ends next.
func (l *loader) next() *attempt {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.latest
}

// wait asks for a load and waits until it, or a later one, has been attempted.
func (l *loader) wait(ctx context.Context, load int64) error {
	l.overtake()
	for {
		l.mu.Lock()
		latest, ended, err := l.latest, l.ended, l.err
		l.mu.Unlock()
		if ended >= load {
			return err
		}
		select {
		case <-latest.done:
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
		load := c.ids.begin(c.fresh.now())
		if load == 0 {
			continue
		}
		err := l.attempt(ctx, c, load)
		if errors.Is(err, errOvertaken) {
			continue // what overtook it has its own wake
		}
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

func (l *loader) attempt(ctx context.Context, c *Cache, load int64) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	l.mu.Lock()
	l.cancel = cancel
	l.mu.Unlock()
	err := c.loadIDs(ctx, load)
	l.mu.Lock()
	l.cancel = nil
	l.mu.Unlock()
	if err != nil && errors.Is(context.Cause(ctx), errOvertaken) {
		return errOvertaken
	}
	return err
}

func (l *loader) tell(load int64, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended, l.err, l.latest.err = load, err, err
	close(l.latest.done)
	l.latest = &attempt{done: make(chan struct{})}
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
	c.flights.answered()
	if load != c.divided {
		if err := c.divide(ctx, ids.live, load); err != nil {
			c.ids.finish(load, nil)
			return err
		}
		c.divided = load
	}
	c.ids.finish(load, ids.live)
	if c.filler.filling() {
		c.filler.begin()
	}
	return nil
}
