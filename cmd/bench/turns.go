package main

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// racer is a server with what it is asked, and what came of it in a round.
type racer struct {
	name   string
	server *service
	client *client
	next   requestMaker

	outcome
	cpu time.Duration
}

// turns is how many parts a round has. In each of them all racers run one after
// the other, so that whatever else goes on in the machine slows all of them.
const turns = 10

// race runs servers against each other, each as fast as it goes for span in
// all. alone says that the load generator has a CPU of its own.
func race(ctx context.Context, span time.Duration, alone bool, racers []*racer) error {
	for range turns {
		for _, r := range racers {
			if _, err := r.client.run(ctx, plan{duration: span / turns / 5, next: r.next, spin: alone}); err != nil {
				return err
			}
			o, cpu, err := measured(ctx, r.client, r.server.pid, plan{duration: span / turns, next: r.next, spin: alone})
			if err == nil {
				err = o.strict()
			}
			if err != nil {
				return fmt.Errorf("%s: %w", r.name, err)
			}
			r.add(o)
			r.cpu += cpu
		}
		slices.Reverse(racers) // nobody always comes after the same one
	}
	for _, r := range racers {
		r.latencies = sorted(r.latencies)
	}
	return nil
}

// run is what came of a race.
func (r *racer) run(round int) Run {
	values := r.values()
	values[columnRequest] = r.cpu.Seconds() / float64(r.requests)
	return Run{r.name, round, values}
}
