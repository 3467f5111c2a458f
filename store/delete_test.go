package store

import (
	"runtime"
	"runtime/metrics"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// TestDeleteOfPopular: a delete runs as many statements for a product that
// thousands list as for one that two list.
func TestDeleteOfPopular(t *testing.T) {
	many := 10_000
	if testing.Short() {
		many = 500
	}
	few, _ := deletePopular(t, 3)
	if got, _ := deletePopular(t, many); got != few {
		t.Errorf("%d statements for 3 products, %d for %d", few, got, many)
	}
}

// deletePopular deletes one of the given number of products, which all others
// list, and returns how many statements that took, and how many bytes of heap
// at its height.
func deletePopular(t *testing.T, products int) (statements int, heap int64) {
	t.Helper()
	var ids []int64
	for id := range products {
		ids = append(ids, int64(id+1))
	}
	db := catalogue(t, ids...)
	config := db.pool.Config()
	count := new(counter)
	config.ConnConfig.Tracer = count
	traced, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer traced.Close()
	counted := &DB{pool: traced}
	height := watchHeap()
	done, err := counted.Delete(t.Context(), 1, nil)
	heap = height()
	if err != nil {
		t.Fatal(err)
	}
	if len(done.Change.Changed) != products-1 || !slices.Equal(done.Change.Removed, []int64{1}) {
		t.Errorf("changed %d, removed %v", len(done.Change.Changed), done.Change.Removed)
	}
	if n := query[int](t, db, `select count(*)::int from shelf.blobs where version = $1 and related = '[]'`, done.Change.Version); n[0] != products-1 {
		t.Errorf("%d of %d lists are rebuilt", n[0], products-1)
	}
	return count.n, heap
}

// watchHeap measures the heap until the function is called, which returns by
// how many bytes it has grown at most.
func watchHeap() (height func() int64) {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	runtime.GC()
	metrics.Read(sample)
	before := sample[0].Value.Uint64()
	highest, stop, stopped := before, make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for {
			metrics.Read(sample)
			highest = max(highest, sample[0].Value.Uint64())
			select {
			case <-stop:
				return
			case <-tick.C:
			}
		}
	}()
	return func() int64 { close(stop); <-stopped; return int64(highest - before) }
}
