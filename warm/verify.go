package warm

import (
	"context"
	"fmt"
	"sync"

	"github.com/hotshelf/hotshelf/blob"
)

// Difference is one response that is not what its rows give.
type Difference struct {
	Product int64 `json:"product"`
	// Response is detail, styles or related; or shelf where the product's row
	// as a whole is wrong.
	Response string `json:"response"`
	What     string `json:"what"`
}

func (d Difference) String() string {
	return fmt.Sprintf("product %d, %s: %s", d.Product, d.Response, d.What)
}

// Verify builds the blobs of all products and compares each with what is
// stored. It tells differences as they are found, one at a time, and returns how
// many products it has compared and how many of them differ.
func Verify(ctx context.Context, s Source, tell func(Difference)) (compared, differ int64, err error) {
	v := &verifier{contract: s.Contract, tell: tell}
	err = run(ctx, s, verifyExtent, "blobs", func(context.Context) (sink, error) { return &comparison{of: v}, nil })
	return v.compared, v.differ, err
}

// verifier has what the lanes of a verification share.
type verifier struct {
	contract blob.Contract

	mu               sync.Mutex // guards the rest
	tell             func(Difference)
	compared, differ int64
}

// comparison is the sink of one lane.
type comparison struct {
	of    *verifier
	found []Difference // of one product
	done  int64
}

func (c *comparison) product(id int64, b *blob.Blobs, live Rows) error {
	c.done++
	if live == nil {
		return c.report(Difference{id, "shelf", "it has rows, and is not on the shelf"})
	}
	c.found = c.found[:0]
	for i, r := range [...]struct {
		name  string
		built []byte
	}{{"detail", b.Detail}, {"styles", b.Styles}, {"related", b.Related}} {
		stored := live.Text(4 + i)
		if stored != "" {
			stored = stored[1:] // jsonb's format version
		}
		if inStored, inBuilt, equal := blob.FirstDifference(stored, r.built); !equal {
			c.found = append(c.found, Difference{id, r.name, fmt.Sprintf("at byte %d: stored %q, its rows give %q",
				inBuilt, around(stored, inStored), around(string(r.built), inBuilt))})
		}
	}
	if hash := b.Hash(); live.Int(2) != hash {
		c.found = append(c.found, Difference{id, "shelf", fmt.Sprintf("the stored hash is %x, its rows give %x", uint64(live.Int(2)), uint64(hash))})
	}
	if stored := blob.Contract(live.Int(3)); stored != c.of.contract {
		c.found = append(c.found, Difference{id, "shelf", fmt.Sprintf("it is stored in the contract %v, the catalogue's is %v", stored, c.of.contract)})
	}
	return c.report(c.found...)
}

func (c *comparison) gone(id int64) error {
	return c.report(Difference{id, "shelf", "it is on the shelf, and has no rows"})
}

func (c *comparison) report(found ...Difference) error {
	if len(found) == 0 {
		return nil
	}
	c.of.mu.Lock()
	defer c.of.mu.Unlock()
	c.of.differ++
	for _, d := range found {
		c.of.tell(d)
	}
	return nil
}

func (c *comparison) end(error) error {
	c.of.mu.Lock()
	defer c.of.mu.Unlock()
	c.of.compared += c.done
	return nil
}

// around is a part of a text that begins a little before an index.
func around(text string, at int) string {
	const before, after = 20, 40
	return text[max(0, at-before):min(len(text), at+after)]
}
