package cache

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"testing"

	kgzip "github.com/klauspost/compress/gzip"

	"github.com/hotshelf/hotshelf/blob"
)

// manyIDs has small products and a million ids, or fewer.
type manyIDs struct{ count int64 }

func (m manyIDs) Lookup(_ context.Context, ids []int64) (found []blob.Row, err error) {
	for _, id := range ids {
		found = append(found, row(id, 1))
	}
	return found, nil
}

func (m manyIDs) LiveIDs(_ context.Context, each func(int64)) error {
	for id := range m.count {
		each(id + 1)
	}
	return nil
}

func BenchmarkHit(b *testing.B) {
	ctx := context.Background()
	for _, count := range []int64{1, 10_000, 100_000} {
		c := newSized(b, manyIDs{count}, 1<<30)
		var ids []int64
		for id := int64(1); id <= count; id++ {
			if ids = append(ids, id); len(ids) == 500 || id == count {
				if _, _, err := c.Many(ctx, nil, ids); err != nil {
					b.Fatal(err)
				}
				ids = ids[:0]
			}
		}
		b.Run(fmt.Sprintf("products=%d", count), func(b *testing.B) {
			b.ReportAllocs()
			for i := int64(0); b.Loop(); i++ {
				if _, _, err := c.Get(ctx, 1+i*7919%count); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("products=%d/parallel", count), func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for i := rand.Int64N(count); pb.Next(); i++ {
					if _, _, err := c.Get(ctx, 1+i*7919%count); err != nil {
						b.Fatal(err)
					}
				}
			})
		})
	}
}

// BenchmarkMiss is what a miss costs besides the database.
func BenchmarkMiss(b *testing.B) {
	ctx := context.Background()
	rows := make([]blob.Row, 1000)
	for i := range rows {
		rows[i] = realistic(int64(i + 1))
	}
	for name, callers := range map[string]int{"callers=1": 1, "callers=64": 64} {
		b.Run(name, func(b *testing.B) {
			c := newSized(b, prebuilt(rows), 4<<20)
			b.ReportAllocs()
			b.SetParallelism(callers / 2)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, _, err := c.Get(ctx, rand.Int64N(1<<40)); err != nil {
						b.Fatal(err)
					}
				}
			})
			s := c.Stats()
			b.ReportMetric(float64(s.Misses)/float64(max(s.RoundTrips, 1)), "products/trip")
		})
	}
}

// prebuilt answers any id with one of its rows.
type prebuilt []blob.Row

func (p prebuilt) Lookup(_ context.Context, ids []int64) (found []blob.Row, err error) {
	for _, id := range ids {
		r := p[id%int64(len(p))]
		r.ProductID = id
		found = append(found, r)
	}
	return found, nil
}

func (p prebuilt) LiveIDs(context.Context, func(int64)) error { return nil }

func BenchmarkPage(b *testing.B) {
	ctx := context.Background()
	const count = 1_000_000
	c := newSized(b, manyIDs{count}, 64<<20)
	dst := make([]*blob.Answers, 0, 500)
	for _, size := range []int64{5, 500} {
		for _, offset := range []int64{0, count / 2, count - size} {
			b.Run(fmt.Sprintf("size=%d/offset=%d", size, offset), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, _, _, err := c.Page(ctx, dst, offset, size); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
	b.Run("ids of 5", func(b *testing.B) {
		var room [5]int64
		for b.Loop() {
			c.ids.page(room[:0], count-5, 5)
		}
	})
	b.Run("ids of 5, parallel", func(b *testing.B) {
		b.RunParallel(func(pb *testing.PB) {
			var room [5]int64
			for pb.Next() {
				c.ids.page(room[:0], count-5, 5)
			}
		})
	})
	b.Run("a copy of the bitmap", func(b *testing.B) {
		for b.Loop() {
			c.ids.live.Clone()
		}
	})
}

// BenchmarkForms measures what a product takes in memory in each form, and what
// the form costs to make and to send: the choice of builder.build.
func BenchmarkForms(b *testing.B) {
	const count = 2000
	type bodies [3][]byte
	all := make([]bodies, count)
	sizes := [3]int{}
	for i := range all {
		r := realistic(int64(i + 1))
		for j, stored := range [][]byte{r.Detail, r.Styles, r.Related} {
			all[i][j] = blob.AppendWire(nil, stored)
			sizes[j] += len(all[i][j])
		}
	}
	b.Logf("average detail %d, styles %d, related %d bytes", sizes[0]/count, sizes[1]/count, sizes[2]/count)
	pack := func(keep func(j int, body []byte) (identity, zipped bool)) (bytes int) {
		for i := range all {
			var data []byte
			for j, body := range all[i] {
				identity, zipped := keep(j, body)
				if identity {
					data = append(data, body...)
				}
				if zipped {
					data = append(data, zip(body)...)
				}
			}
			bytes += cap(append([]byte(nil), data...)) + entryOverhead
		}
		return bytes / count
	}
	long := func(body []byte) bool { return len(body) >= gzipMin }
	for _, form := range []struct {
		name string
		keep func(j int, body []byte) (bool, bool)
	}{
		{"identity only", func(int, []byte) (bool, bool) { return true, false }},
		{"identity and gzip of all", func(int, []byte) (bool, bool) { return true, true }},
		{"identity and gzip of the long", func(_ int, body []byte) (bool, bool) { return true, long(body) }},
		{"gzip instead of identity for the long", func(_ int, body []byte) (bool, bool) { return !long(body), long(body) }},
	} {
		b.Run(form.name, func(b *testing.B) {
			var bytes int
			for b.Loop() {
				bytes = pack(form.keep)
			}
			b.ReportMetric(b.Elapsed().Seconds()*1e6/float64(b.N*count), "µs/product")
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(float64(bytes), "B/product")
		})
	}
	long1 := all[0][1]
	for i := range all {
		if d := len(all[i][1]) - sizes[1]/count; d*d < 100*100 {
			long1 = all[i][1]
			break
		}
	}
	b.Run("inflate styles", func(b *testing.B) {
		zipped := zip(long1)
		var readers = sync.Pool{New: func() any { return new(kgzip.Reader) }}
		var out bytes.Buffer
		for b.Loop() {
			r := readers.Get().(*kgzip.Reader)
			_ = r.Reset(bytes.NewReader(zipped))
			out.Reset()
			_, _ = io.Copy(&out, r)
			readers.Put(r)
		}
		b.ReportMetric(float64(len(long1)), "B")
	})
	for _, level := range []int{1, 3, 5, 6, 7, 9} {
		b.Run(fmt.Sprintf("gzip styles/level=%d", level), func(b *testing.B) {
			z, _ := kgzip.NewWriterLevel(nil, level)
			var out bytes.Buffer
			for b.Loop() {
				out.Reset()
				z.Reset(&out)
				_, _ = z.Write(long1)
				_ = z.Close()
			}
			b.ReportMetric(float64(out.Len())/float64(len(long1)), "ratio")
		})
	}
	b.Run("gzip styles/standard library, level=6", func(b *testing.B) {
		z, _ := gzip.NewWriterLevel(nil, 6)
		var out bytes.Buffer
		for b.Loop() {
			out.Reset()
			z.Reset(&out)
			_, _ = z.Write(long1)
			_ = z.Close()
		}
		b.ReportMetric(float64(out.Len())/float64(len(long1)), "ratio")
	})
}
