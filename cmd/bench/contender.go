package main

import (
	"context"
	"fmt"
	"time"

	"github.com/hotshelf/hotshelf/cmd/internal/cli"
)

// contender is one side of a comparison: run does the work that is timed, check
// fails where it wasn't done in full.
type contender struct {
	name     string
	products int64
	run      func(ctx context.Context) (usage, error)
	check    func(ctx context.Context) error
}

// The columns of a run that is timed.
const (
	columnWall   = "wall"
	columnCPU    = "cpu"
	columnPeak   = "peak"
	columnServer = "server_cpu"
	columnBoth   = "both_cpu"
	columnWAL    = "wal"
	columnOthers = "others_cpu"
)

var runColumns = []Column{
	{columnWall, "time", Seconds},
	{columnCPU, "CPU", Seconds},
	{columnServer, "CPU of PostgreSQL", Seconds},
	{columnBoth, "CPU of both", Seconds},
	{columnPeak, "peak memory", Bytes},
	{columnWAL, "WAL", Bytes},
	{columnOthers, "CPU of all else", Seconds},
}

// stopwatch times contenders on one database.
type stopwatch struct {
	io     cli.IO
	db     *database
	f      *Figures
	calm   time.Duration // how long a run waits at most for a calm machine
	before string        // a statement before each run, for the room that it needs
}

func (s *stopwatch) say(format string, args ...any) { fmt.Fprintf(s.io.Stderr, format+"\n", args...) }

func (s *stopwatch) note(format string, args ...any) {
	s.f.Notes = append(s.f.Notes, fmt.Sprintf(format, args...))
}

// time runs a contender after a checkpoint and keeps its figures.
func (s *stopwatch) time(ctx context.Context, c contender, round int) error {
	ctx, cancel := context.WithTimeout(ctx, timeLimit(c.products))
	defer cancel()
	if err := s.db.exec(ctx, s.before); err != nil {
		return err
	}
	if err := s.db.exec(ctx, `checkpoint`); err != nil {
		return err
	}
	waitForCalm(ctx, s.calm)

	wal, err := s.db.walBytes(ctx)
	if err != nil {
		return err
	}
	server, own, all, began := s.db.cpu(), ownCPU(), busy(), time.Now()
	used, err := c.run(ctx)
	wall := time.Since(began)
	server, own, all = s.db.cpu()-server, ownCPU()-own, busy()-all
	if err != nil {
		return fmt.Errorf("%s: %w", c.name, err)
	}
	walEnd, err := s.db.walBytes(ctx)
	if err != nil {
		return err
	}
	if err := c.check(ctx); err != nil {
		return fmt.Errorf("%s: %w", c.name, err)
	}
	run := Run{Contender: c.name, Round: round, Values: map[string]float64{
		columnWall: wall.Seconds(), columnCPU: used.cpu.Seconds(), columnWAL: float64(walEnd - wal),
	}}
	if used.peak > 0 {
		run.Values[columnPeak] = float64(used.peak)
	}
	if s.db.postmaster > 0 {
		run.Values[columnServer] = server.Seconds()
		run.Values[columnBoth] = (used.cpu + server).Seconds()
		run.Values[columnOthers] = max(0, all-own-used.cpu-server).Seconds()
	}
	s.f.Runs = append(s.f.Runs, run)
	s.say("%s: %.1f s", c.name, wall.Seconds())
	return nil
}
