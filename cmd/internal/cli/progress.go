package cli

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"
)

// plainInterval is how often a line is written where there is no terminal.
const plainInterval = 5 * time.Second

// Progress shows how far long work is: bars with rate and time left on a
// terminal, a line now and then elsewhere, nothing when quiet.
type Progress struct {
	w     io.Writer
	bars  *mpb.Progress // nil without a terminal
	all   []*mpb.Bar
	quiet bool
}

// NewProgress shows progress on w.
func NewProgress(w io.Writer, quiet bool) *Progress {
	p := &Progress{w: w, quiet: quiet}
	if f, ok := w.(*os.File); ok && !quiet && term.IsTerminal(int(f.Fd())) {
		p.bars = mpb.New(mpb.WithOutput(w), mpb.WithWidth(40))
	}
	return p
}

// Close leaves the bars as they are, drawn for a last time.
func (p *Progress) Close() {
	if p.bars == nil {
		return
	}
	for _, bar := range p.all {
		bar.Abort(false)
	}
	p.bars.Wait()
}

// Bar is the progress of one piece of work.
type Bar struct {
	p     *Progress
	name  string
	total int64
	unit  string
	bar   *mpb.Bar

	mu    sync.Mutex
	start time.Time
	said  time.Time
}

// Bar begins a piece of work of total units, such as products.
func (p *Progress) Bar(name string, total int64, unit string) *Bar {
	b := &Bar{p: p, name: name, total: total, unit: unit, start: time.Now(), said: time.Now()}
	if p.bars != nil {
		speed := decor.AverageSpeed(0, "%.0f "+unit+"/s", decor.WCSyncSpace)
		if unit == "bytes" {
			speed = decor.AverageSpeed(decor.SizeB1000(0), "% .0f", decor.WCSyncSpace)
		}
		b.bar = p.bars.AddBar(total,
			mpb.PrependDecorators(decor.Name(name, decor.WCSyncSpaceR)),
			mpb.AppendDecorators(decor.Percentage(decor.WCSyncSpace), speed,
				decor.AverageETA(decor.ET_STYLE_MMSS, decor.WCSyncSpace)))
		p.all = append(p.all, b.bar)
	}
	return b
}

// Set says that n units of the work are done.
func (b *Bar) Set(n int64) {
	if b.bar != nil {
		b.bar.SetCurrent(n)
		return
	}
	if b.p.quiet {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	if now.Sub(b.said) < plainInterval || n <= 0 {
		return
	}
	b.said = now
	spent := now.Sub(b.start)
	rate := float64(n) / spent.Seconds()
	left := time.Duration(float64(b.total-n) / rate * float64(time.Second))
	amount := func(n int64) string { return fmt.Sprint(n) }
	unit := " " + b.unit
	if b.unit == "bytes" {
		amount, unit = size, ""
	}
	fmt.Fprintf(b.p.w, "%s: %s of %s%s (%d %%), %s/s, %s left\n", b.name, amount(n), amount(b.total), unit,
		100*n/max(b.total, 1), amount(int64(rate)), max(left, 0).Round(time.Second))
}
