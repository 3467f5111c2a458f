package cache

import (
	"context"
	"fmt"

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
)

// besides is what entries may take besides packed rows. The collector wants a
// quarter free of what it has to look through, which packed rows are not: it
// works the less the more is free.
func besides(bytes, packed int64) int64 {
	return min(bytes-packed-min(bytes/4, leastSpare), (bytes-packed)/4*3)
}

// apportion says what packed rows get of a budget when the products, so many,
// take so much as an entry and packed; and whether that is enough for all of
// them. A catalogue that fits as entries is not packed. One that fits packed,
// and leaves a thirty-second to the entries of what is asked for most, is packed
// as a whole. Of another the packed rows get three quarters: a byte of them
// saves look-ups of eight times as many products as a byte of entries, and what
// an entry saves over a packed row is a fifth of what a look-up costs.
func apportion(bytes, count, entrySize, packedSize int64) (packed int64, whole bool) {
	if count*entrySize <= besides(bytes, 0) {
		return 0, false
	}
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
	codec, entrySize, packedSize, err := measure(rows)
	if err != nil {
		return err
	}
	packed, whole := apportion(c.bytes, int64(count), entrySize, packedSize)
	entries := besides(c.bytes, packed)
	c.usable.Store(entries + packed)
	c.packed.reset(codec, packed/packedSize, packed, whole)
	if whole {
		c.filler.wanted.Store(load)
	}
	c.ristretto.UpdateMaxCost(entries)
	if c.ristretto.RemainingCost() < 0 {
		// It would give the room back only little by little.
		c.ristretto.Clear()
	}
	return nil
}

// measure makes a codec for products like these, and says how many bytes one
// takes as an entry and packed.
func measure(rows []blob.Row) (c *codec, entrySize, packedSize int64, err error) {
	if len(rows) == 0 {
		return nil, 0, 0, fmt.Errorf("look up a sample of products: none is there: %w", blob.ErrUnavailable)
	}
	b := newBuilder()
	samples := make([][]byte, len(rows))
	entries := make([]entry, len(rows))
	for i := range rows {
		a, size := b.build(&rows[i])
		entries[i] = entry{answers: a}
		entrySize += entryOverhead + size
		samples[i] = append(append(append(samples[i], a.Detail.Body...), a.Styles.Body...), a.Related.Body...)
	}
	if c, err = newCodec(samples, dictionarySize, packLevel); err != nil {
		return nil, 0, 0, err
	}
	for i := range entries {
		packedSize += int64(linkSize + len(b.record(c, &entries[i])))
	}
	n := int64(len(rows))
	// A twentieth more, for what lies dead between the others; and the chain.
	return c, entrySize / n, packedSize*21/20/n + 12, nil
}
