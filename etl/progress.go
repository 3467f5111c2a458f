package etl

import (
	"sync/atomic"
	"time"
)

// progressEvery is how often Options.Progress is called.
const progressEvery = 250 * time.Millisecond

// Progress is how far a load has come, file by file, in the report's order.
type Progress struct {
	Files [6]FileProgress
}

// FileProgress is how far one file has come. Bytes and Size are those of the
// file as it lies there, compressed or not; Lines are the lines read so far,
// of any kind. Done is true once the file's table has taken all rows.
type FileProgress struct {
	File  string
	Bytes int64
	Size  int64
	Lines int64
	Done  bool
}

type fileProgress struct {
	file         string
	size         int64
	bytes, lines atomic.Int64
	done         atomic.Bool
}

type progress struct {
	files [6]fileProgress
}

func newProgress(tables []*table) *progress {
	p := &progress{}
	for i, t := range tables {
		p.files[i].file = t.file
	}
	return p
}

func (p *progress) now() Progress {
	var now Progress
	for i := range p.files {
		f := &p.files[i]
		now.Files[i] = FileProgress{File: f.file, Size: f.size, Bytes: f.bytes.Load(), Lines: f.lines.Load(), Done: f.done.Load()}
	}
	return now
}

// start calls report until stop is called, and once more then.
func (p *progress) start(report func(Progress)) (stop func()) {
	if report == nil {
		return func() {}
	}
	quit, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(progressEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				report(p.now())
			case <-quit:
				report(p.now())
				return
			}
		}
	}()
	return func() {
		close(quit)
		<-ended
	}
}
