package cache

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/RoaringBitmap/roaring/v2/roaring64"

	"github.com/hotshelf/hotshelf/blob"
)

const (
	// sampled is of how many products the dictionary is made. Four times as
	// many make records no smaller (BenchmarkPacked).
	sampled = 256
	// fewest is how many products a catalogue has at least for which rows are
	// packed. The entries of a smaller one fit into any budget.
	fewest = 4 * sampled
	// leastSpare is what the collector has at least, if that is no more than a
	// quarter of the budget: with less it would run many times a second, to find
	// what look-ups have left.
	leastSpare = 24 << 20
	// The sample is measured so many products at a time, which takes up to a
	// millisecond, and then as long nothing is done.
	measuredAtOnce = 32
	measureRest    = time.Millisecond
)

// besides is what entries may take besides packed rows. The collector wants a
// quarter free of what it has to look through, which packed rows are not: it
// works the less the more is free.
func besides(bytes, packed int64) int64 {
	return min(bytes-packed-min(bytes/4, leastSpare), (bytes-packed)/4*3)
}

// fits says whether so many products fit as entries, of this size. They are not
// packed then.
func fits(bytes, count, entrySize int64) bool { return count*entrySize <= besides(bytes, 0) }

// apportion says what packed rows get of a budget that the catalogue does not fit
// into as entries; and whether that is enough for all of them. A catalogue that
// fits packed, and leaves a thirty-second to the entries of what is asked for
// most, is packed as a whole. Of another the packed rows get three quarters: a
// byte of them saves look-ups of eight times as many products as a byte of
// entries, and what an entry saves over a packed row is a fifth of what a look-up
// costs.
func apportion(bytes, count, packedSize int64) (packed int64, whole bool) {
	packed = count*packedSize + 2*segmentSize
	if besides(bytes, packed) >= bytes/32 {
		return packed, true
	}
	return (bytes - min(bytes/4, leastSpare)) / 4 * 3, false
}

// divide divides the budget between entries and packed rows, from what a
// sample of the catalogue takes in either form.
//
// It is called when all that was cached has become outdated.
func (c *Cache) divide(ctx context.Context, live *roaring64.Bitmap, load int64) error {
	count := live.GetCardinality()
	if c.ristretto == nil || count < fewest {
		return nil
	}
	ids := make([]int64, 0, sampled)
	for i := range uint64(sampled) {
		id, err := live.Select(i * count / sampled)
		if err != nil {
			return fmt.Errorf("choose products for a sample: %w", err)
		}
		ids = append(ids, int64(id))
	}
	rows, err := c.source.Lookup(ctx, ids)
	if err != nil {
		return fmt.Errorf("look up a sample of %d products: %w", len(ids), err)
	}
	entries, entrySize, err := makeEntries(ctx, rows)
	if err != nil {
		return err
	}
	var packed int64
	if fits(c.bytes, int64(count), entrySize) {
		c.packed.reset(nil, 0, 0, false)
	} else {
		codec, packedSize, err := makeCodec(ctx, entries)
		if err != nil {
			return err
		}
		var whole bool
		packed, whole = apportion(c.bytes, int64(count), packedSize)
		c.packed.reset(codec, packed/packedSize, packed, whole)
		if whole {
			c.filler.wanted.Store(load)
		}
	}
	room := besides(c.bytes, packed)
	c.usable.Store(room + packed)
	c.ristretto.UpdateMaxCost(room)
	if c.ristretto.RemainingCost() < 0 {
		// It would give the room back only little by little.
		c.ristretto.Clear()
	}
	return nil
}

// makeEntries makes entries of a sample, and says how many bytes one takes.
func makeEntries(ctx context.Context, rows []blob.Row) (entries []entry, size int64, err error) {
	if len(rows) == 0 {
		return nil, 0, fmt.Errorf("look up a sample of products: none is there: %w", blob.ErrUnavailable)
	}
	b := newBuilder()
	entries = make([]entry, len(rows))
	for i := range rows {
		if err := letOthers(ctx, i); err != nil {
			return nil, 0, err
		}
		a, bytes := b.build(&rows[i])
		entries[i].answers = a
		size += entryOverhead + bytes
	}
	return entries, size / int64(len(rows)), nil
}

// makeCodec makes a codec for products like these, and says how many bytes one
// takes packed.
func makeCodec(ctx context.Context, entries []entry) (c *codec, size int64, err error) {
	samples := make([][]byte, len(entries))
	for i := range entries {
		a := entries[i].answers
		samples[i] = slices.Concat(a.Detail.Body, a.Styles.Body, a.Related.Body)
	}
	if c, err = newCodec(samples, dictionarySize, packLevel); err != nil {
		return nil, 0, err
	}
	b := newBuilder()
	for i := range entries {
		if err := letOthers(ctx, i); err != nil {
			return nil, 0, err
		}
		size += int64(linkSize + len(b.record(c, &entries[i])))
	}
	// A twentieth more, for what lies dead between the others; and the chain.
	return c, size*21/20/int64(len(entries)) + 12, nil
}

// letOthers pauses before the n-th product now and then, for the reads that come
// after a publish. On one processor Go's scheduler looks for requests that have
// come in when nothing else can run, or after 10 ms; so it takes a sleep.
func letOthers(ctx context.Context, n int) error {
	if n%measuredAtOnce == 0 && !pause(ctx, measureRest) {
		return fmt.Errorf("measure a sample of products: %w", context.Cause(ctx))
	}
	return nil
}
