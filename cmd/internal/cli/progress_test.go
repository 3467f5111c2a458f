package cli

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestPlainProgress: without a terminal, a line every five seconds at most for
// each piece of work.
func TestPlainProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		p := NewProgress(&out, false)
		file, products := p.Bar("photos.csv", 1_000e6, "bytes"), p.Bar("warm", 10_000, "products")
		for second := range int64(12) {
			file.Set(50e6 * second)
			products.Set(1000 * second)
			time.Sleep(time.Second)
		}
		p.Close()
		const want = `photos.csv: 250 MB of 1.0 GB (25 %), 50 MB/s, 15s left
warm: 5000 of 10000 products (50 %), 1000/s, 5s left
photos.csv: 500 MB of 1.0 GB (50 %), 50 MB/s, 10s left
warm: 10000 of 10000 products (100 %), 1000/s, 0s left
`
		if out.String() != want {
			t.Errorf("got\n%swant\n%s", out.String(), want)
		}
	})
}

func TestQuietProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		bar := NewProgress(&out, true).Bar("warm", 100, "products")
		time.Sleep(time.Hour)
		bar.Set(50)
		if out.Len() > 0 {
			t.Errorf("quiet, and says %s", out.String())
		}
	})
}
