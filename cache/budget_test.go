package cache

import (
	"fmt"
	"math"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/hotshelf/hotshelf/blob"
	"github.com/hotshelf/hotshelf/cache/fence"
)

// BenchmarkPacked measures what packed rows take and cost, by the size of the
// dictionary and of the sample it is made from.
func BenchmarkPacked(b *testing.B) {
	const count = 1000
	plain := make([][]byte, count)
	for i := range plain {
		r := realistic(int64(5_000_000 + i))
		plain[i] = blob.AppendWire(blob.AppendWire(blob.AppendWire(nil, r.Detail), r.Styles), r.Related)
	}
	samples := make([][]byte, 4*sampled)
	for i := range samples {
		r := realistic(int64(1 + i*997))
		samples[i] = blob.AppendWire(blob.AppendWire(blob.AppendWire(nil, r.Detail), r.Styles), r.Related)
	}
	for _, form := range []struct {
		level   zstd.EncoderLevel
		size    int
		samples int
	}{
		{packLevel, dictionarySize, sampled},
		{packLevel, dictionarySize, 4 * sampled},
		{packLevel, dictionarySize / 2, sampled},
		{packLevel, 2 * dictionarySize, sampled},
		{zstd.SpeedDefault, dictionarySize, sampled},
	} {
		name := fmt.Sprintf("level=%v/dictionary=%d/samples=%d", form.level, form.size, form.samples)
		var packed [][]byte
		b.Run(name+"/pack", func(b *testing.B) {
			c, err := newCodec(samples[:form.samples], form.size, form.level)
			if err != nil {
				b.Fatal(err)
			}
			packed = packed[:0]
			total := 0
			for _, wire := range plain {
				packed = append(packed, c.pack(nil, wire))
				total += len(packed[len(packed)-1])
			}
			var dst []byte
			for i := 0; b.Loop(); i++ {
				dst = c.pack(dst[:0], plain[i%count])
			}
			b.ReportMetric(float64(total)/count, "B/product")
		})
		b.Run(name+"/unpack", func(b *testing.B) {
			c, err := newCodec(samples[:form.samples], form.size, form.level)
			if err != nil {
				b.Fatal(err)
			}
			var dst []byte
			for i := 0; b.Loop(); i++ {
				if dst, err = c.unpack(dst[:0], packed[i%count]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkUnpacked is a read that is answered from a packed row.
func BenchmarkUnpacked(b *testing.B) {
	p := filled(b, 8)
	keepRealistic(p, 1000)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		e, ok := p.get(int64(1 + i%1000))
		if !ok {
			b.Fatal("not there")
		}
		p.takeBack(e.answers)
	}
}

func keepRealistic(p *packed, count int64) (kept []*entry) {
	w := newBuilder()
	for id := int64(1); id <= count; id++ {
		r := realistic(id)
		e := &entry{stamp: p.fence.Stamp(id)}
		e.answers, _ = w.build(&r)
		p.keep(w, e)
		kept = append(kept, e)
	}
	return kept
}

// cpuTime is what this process has used. Unlike the clock it hardly minds what
// else the machine does.
func cpuTime(t testing.TB) time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		t.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// BenchmarkBudget computes, for a million products, what share of the reads a
// budget answers without the database and what CPU a read takes, from the sizes
// and times of this machine. The caches are taken to be perfect: they hold
// what is asked for most.
func BenchmarkBudget(b *testing.B) {
	const (
		products = 1_000_000
		lookup   = 100 // µs of CPU for a look-up, half of it PostgreSQL's
		count    = 1000
	)
	rows := make([]blob.Row, count)
	for i := range rows {
		rows[i] = realistic(int64(1 + i))
	}
	w := newBuilder()
	micros := func(f func(i int)) float64 {
		const times = 3
		began := cpuTime(b)
		for i := range times * count {
			f(i % count)
		}
		return float64((cpuTime(b) - began).Microseconds()) / (times * count)
	}
	p := newPacked(newTableStore(), new(fence.Fence))
	codec, entrySize, packedSize, err := measure(rows[:sampled])
	if err != nil {
		b.Fatal(err)
	}
	p.reset(codec, 2*count, 8<<20, false)
	entries := keepRealistic(p, count)
	build := micros(func(i int) { w.build(&rows[i]) })
	unpack := micros(func(i int) {
		e, _ := p.get(int64(1 + i))
		p.takeBack(e.answers)
	})
	pack := micros(func(i int) { w.record(codec, entries[i]) })
	zipped := 0
	for i := range rows {
		wire := blob.AppendWire(nil, rows[i].Styles)
		if len(wire) >= gzipMin {
			zipped += len(zip(wire))
		}
	}
	gzip := micros(func(i int) { zip(rows[i].Styles) })
	identity := entrySize - int64(zipped/count)
	b.Logf("bytes: entry %d, without gzip %d, packed %d; µs: build %.0f, pack %.0f, unpack %.0f, gzip of styles %.0f",
		entrySize, identity, packedSize, build, pack, unpack, gzip)

	uniform := func(k float64) float64 { return min(k/products, 1) }
	zipf := func(k float64) float64 {
		return min((math.Log(max(k, 1))+0.577)/(math.Log(products)+0.577), 1)
	}
	for _, load := range []struct {
		name  string
		share func(k float64) float64
	}{{"uniform", uniform}, {"Zipf 1.0", zipf}} {
		for _, mib := range []float64{35, 120, 320, 640} {
			bytes := mib * (1 << 20)
			entries := load.share(bytes / float64(entrySize))
			plain := load.share(bytes / float64(identity))
			room := min(bytes*3/4, products*float64(packedSize))
			hot := load.share((bytes - room) / float64(entrySize))
			all := max(load.share(room/float64(packedSize)), hot)
			b.Logf("%-8s %3.0f MiB: entries with gzip %3.0f %%, %3.0f µs; without %3.0f %%, %3.0f µs; packed too %3.0f %%, %3.0f µs",
				load.name, mib,
				100*entries, (1-entries)*(lookup+build),
				100*plain, (1-plain)*(lookup+build)+gzip/3, // a third of the reads are of styles
				100*all, (1-all)*(lookup+build+pack/keepOneIn)+(all-hot)*unpack)
		}
	}
	for b.Loop() {
	}
}
