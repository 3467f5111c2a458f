package cache

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hotshelf/hotshelf/blob"
)

// heldLimit is how long a read waits for the database where there is an
// answer that is only too old: a database that says nothing is found out
// without making everybody wait for as long as a miss may take.
const heldLimit = 500 * time.Millisecond

// Get returns the answers of a product. stale is 0, or, where the database
// can't be reached and the answer may be older than MaxStaleness, how old it
// may be. Errors: blob.ErrNotFound (which may be stale too), ErrNotReady,
// ErrUnavailable, ErrOverloaded, and the cause of ctx's end.
func (c *Cache) Get(ctx context.Context, id int64) (a *blob.Answers, stale time.Duration, err error) {
	e, good := c.hit(id, c.fresh.oldest())
	if !good {
		if e, stale, err = c.miss(ctx, id, e); err != nil {
			return nil, 0, err
		}
	}
	if e.answers == nil {
		return nil, stale, blob.ErrNotFound
	}
	return e.answers, stale, nil
}

// Done gives answers back that are read no more; once, and only by the caller of
// Get, Many or Page. Those that are Lent make room for others. What is never given
// back is the collector's.
func (c *Cache) Done(a *blob.Answers) { c.packed.takeBack(a) }

// hit returns what the cache has of a product. Where that is no older than
// oldest it is good; else it is nil, or may be served when nothing newer can
// be had.
func (c *Cache) hit(id, oldest int64) (e *entry, good bool) {
	e, ok := c.store.Get(id)
	if !ok || !c.fence.Holds(id, e.stamp) {
		if e, ok = c.packed.get(id); !ok {
			return nil, false
		}
	}
	return e, e.moment >= oldest
}

// held says whether an entry may be served that nothing newer could be had
// for, and how old it is; 0 is not too old after all.
func (c *Cache) held(id int64, e *entry) (stale time.Duration, ok bool) {
	if e == nil {
		return 0, false
	}
	age := c.fresh.age(e.moment)
	// After the feed's moment was read, as in oldest.
	if !c.fence.Holds(id, e.stamp) {
		return 0, false
	}
	if age <= c.fresh.bound {
		return 0, true
	}
	return age, age <= c.fresh.limit
}

func (c *Cache) miss(ctx context.Context, id int64, held *entry) (*entry, time.Duration, error) {
	var room [1]want
	room[0] = want{id: id, held: held}
	stale, err := c.lookUp(ctx, room[:], c.fresh.oldest())
	return room[0].entry, stale, err
}

// want is a product that a read has no good entry of.
type want struct {
	id    int64
	place int    // where its answers go
	held  *entry // what the store has
	entry *entry // what is served
}

// lookUp gets the entries of products, all or none, that are not older than
// oldest, or else how old they are.
func (c *Cache) lookUp(ctx context.Context, wants []want, oldest int64) (stale time.Duration, err error) {
	if !c.ids.ready.Load() {
		c.flights.misses.Add(int64(len(wants)))
		return 0, blob.ErrNotReady
	}
	var room [1]*flight
	var idRoom [1]int64
	ids, limit := idRoom[:0], heldLimit
	for _, w := range wants {
		ids = append(ids, w.id)
		if w.held == nil {
			limit = c.limit
		} else {
			c.through.Add(1)
		}
	}
	joined, err := c.flights.join(room[:0], oldest, ids...)
	if err != nil {
		joined = nil
	}
	timeUp := make(chan struct{})
	timer := time.AfterFunc(min(limit, c.limit), func() { close(timeUp) })
	defer timer.Stop()
	for i := range wants {
		w := &wants[i]
		if joined != nil {
			w.entry, err = c.flights.wait(ctx, joined[i], timeUp)
		}
		if err == nil {
			continue
		}
		age, ok := time.Duration(0), false
		if errors.Is(err, blob.ErrUnavailable) {
			age, ok = c.held(w.id, w.held)
		}
		if !ok {
			if joined != nil {
				for _, rest := range joined[i+1:] {
					c.flights.leave(rest)
				}
			}
			return 0, err
		}
		w.entry, stale = w.held, max(stale, age)
		if age > 0 {
			c.stale.Add(1)
		}
	}
	return stale, nil
}

// Many appends the answers of the products to dst, in the order of ids, all
// of one contract. Products that don't exist are left out. Those that are not
// in the cache travel together; stale and the errors are those of Get, for all
// of them or none.
func (c *Cache) Many(ctx context.Context, dst []*blob.Answers, ids []int64) (many []*blob.Answers, stale time.Duration, err error) {
	from := len(dst)
	oldest := c.fresh.oldest()
	var wants []want
	holes := false
	c.listed.Add(int64(len(ids)))
	c.flights.store.touch(ids)
	for _, id := range ids {
		e, good := c.hit(id, oldest)
		if !good {
			wants = append(wants, want{id: id, place: len(dst), held: e})
			dst = append(dst, nil)
			continue
		}
		holes = holes || e.answers == nil
		dst = append(dst, e.answers)
	}
	if len(wants) > 0 {
		if stale, err = c.lookUp(ctx, wants, oldest); err != nil {
			return dst[:from], 0, err
		}
		for _, w := range wants {
			holes = holes || w.entry.answers == nil
			dst[w.place] = w.entry.answers
		}
	}
	// A publish of another contract is seen product by product until the feed
	// has told of it.
	for round := 0; mixed(dst[from:]); round++ {
		if round == maxRounds {
			return dst[:from], 0, fmt.Errorf("the contract changed %d times while %d products were read: %w", round, len(ids), blob.ErrUnavailable)
		}
		if err := c.renew(ctx, dst[from:], ids); err != nil {
			return dst[:from], 0, err
		}
		holes = true
	}
	if holes {
		kept := dst[:from]
		for _, a := range dst[from:] {
			if a != nil {
				kept = append(kept, a)
			}
		}
		dst = kept
	}
	return dst, stale, nil
}

// maxRounds is how often answers of two contracts are looked up again. One is
// enough unless the next publish comes meanwhile.
const maxRounds = 3

// mixed says whether answers, nil among them, are of more than one contract.
func mixed(answers []*blob.Answers) bool {
	var first *blob.Answers
	for _, a := range answers {
		switch {
		case a == nil:
		case first == nil:
			first = a
		case a.Contract != first.Contract:
			return true
		}
	}
	return false
}

// renew looks up anew what is not of the contract that the newest of the
// answers has. What it finds replaces their entries, so that they don't come
// back.
func (c *Cache) renew(ctx context.Context, answers []*blob.Answers, ids []int64) error {
	var newest *blob.Answers
	for _, a := range answers {
		if a != nil && (newest == nil || a.Version > newest.Version) {
			newest = a
		}
	}
	var wants []want
	for i, a := range answers {
		if a != nil && a.Contract != newest.Contract {
			wants = append(wants, want{id: ids[i], place: i})
		}
	}
	c.listed.Add(int64(len(wants)))
	if _, err := c.lookUp(ctx, wants, c.fresh.now()+1); err != nil {
		return err
	}
	for _, w := range wants {
		answers[w.place] = w.entry.answers
	}
	return nil
}

// Page appends the answers of up to count live products to dst, by ascending
// id, from the offset-th on, counted from 0; and returns how many products
// there are. A product that was deleted a moment ago is left out, so a page
// may be shorter. stale and the errors are those of Many.
func (c *Cache) Page(ctx context.Context, dst []*blob.Answers, offset, count int64) (page []*blob.Answers, total int64, stale time.Duration, err error) {
	var room [64]int64
	oldest := c.fresh.oldest()
	ids, total, set := c.ids.page(room[:0], offset, count)
	if !c.listable(set, oldest) {
		if ids, total, stale, err = c.pageAnew(ctx, set, offset, count); err != nil {
			return dst, 0, 0, err
		}
	}
	page, older, err := c.Many(ctx, dst, ids)
	return page, total, max(stale, older), err
}

// listable says whether a set of ids is good for a read whose oldest was asked
// for before the set. One that awaits a load is only kept up in part.
func (c *Cache) listable(set idsState, oldest int64) bool {
	if set.outdated {
		oldest = c.fresh.now() - int64(c.fresh.bound)
	}
	return set.loaded && set.moment >= oldest
}

// pageAnew waits for ids that are good, or settles for those that there are.
func (c *Cache) pageAnew(ctx context.Context, set idsState, offset, count int64) (ids []int64, total int64, stale time.Duration, err error) {
	if !c.ids.ready.Load() {
		return nil, 0, 0, blob.ErrNotReady
	}
	limit := c.limit
	if set.loaded {
		limit = min(limit, heldLimit)
	}
	timeUp := make(chan struct{})
	timer := time.AfterFunc(limit, func() { close(timeUp) })
	defer timer.Stop()
	for err == nil {
		oldest := c.fresh.oldest()
		ids, total, set = c.ids.page(ids[:0], offset, count)
		if c.listable(set, oldest) {
			return ids, total, 0, nil
		}
		attempt := c.loader.next()
		c.ids.need(c.fresh.now() - int64(c.fresh.bound))
		c.loader.ask()
		if set.loaded && c.fresh.ageOf(set) <= c.fresh.limit && c.flights.isDown() {
			err = fmt.Errorf("load the ids of the list while the database does not answer: %w", blob.ErrUnavailable)
			break
		}
		select {
		case <-attempt.done:
			err = attempt.err
		case <-ctx.Done():
			err = fmt.Errorf("load the ids of the list: %w", context.Cause(ctx))
		case <-timeUp:
			err = fmt.Errorf("load the ids of the list: no answer in time: %w", blob.ErrUnavailable)
		}
	}
	age := c.fresh.ageOf(set)
	if !set.loaded || age > c.fresh.limit || !errors.Is(err, blob.ErrUnavailable) {
		return nil, 0, 0, err
	}
	return ids, total, age, nil
}
