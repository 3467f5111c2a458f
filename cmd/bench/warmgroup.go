package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"
)

// The group that load and warm run in, with PostgreSQL and a server.
const (
	groupRate        = 100 // requests/s
	groupConnections = 16
	contenderGroup   = "the group"
)

var warmColumns = append(append([]Column{}, runColumns...), append([]Column{{columnRate, "requests/s", Rate}},
	append(latencyColumns, Column{columnPeakBox, "peak, page cache included", Bytes},
		Column{columnKills, "killed for memory", Count})...)...)

// edit changes the name of one product in editEvery, to one it never had.
func (b *warmBench) edit() error {
	b.edits++
	path := filepath.Join(b.csv, "product.csv")
	err := func() error {
		in, err := os.Open(path)
		if err != nil {
			return err
		}
		defer func() { _ = in.Close() }()
		out, err := os.Create(path + ".new")
		if err != nil {
			return err
		}
		defer func() { _ = out.Close() }()
		lines, w := bufio.NewScanner(in), bufio.NewWriter(out)
		for n := int64(0); lines.Scan(); n++ {
			line := lines.Bytes()
			if n > 0 && n%editEvery == 0 { // the header is line 0
				line = bytes.Replace(line, []byte(`","`), fmt.Appendf(nil, ` %d","`, b.edits), 1)
			}
			_, _ = w.Write(line)
			_ = w.WriteByte('\n')
		}
		return errors.Join(lines.Err(), w.Flush(), out.Close(), os.Rename(path+".new", path))
	}()
	if err != nil {
		return fmt.Errorf("change %s: %w", filepath.Base(path), err)
	}
	return nil
}

// inGroup loads and warms once more in a control group of 1 CPU and 1 GiB,
// with PostgreSQL and a server that answers a steady load in it too.
func (b *warmBench) inGroup(ctx context.Context) (err error) {
	group, err := newBox(cgroupRoot)
	if errors.Is(err, errNoGroups) {
		b.note("No control groups can be made here: what load and warm take of a server beside them was not measured.")
		b.say("no control group: left out")
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, group.remove()) }()
	if err := errors.Join(group.bytes(boxMemory), group.share(1)); err != nil {
		return err
	}
	if err := b.edit(); err != nil {
		return err
	}
	db := b.watch.db
	if err := errors.Join(db.exec(ctx, dropShelf), db.stop(), evict(db.dir), evict(b.csv)); err != nil {
		return err
	}
	if err := b.serveInGroup(ctx, group, db.dir); err != nil {
		return err
	}
	values := make(map[string]float64)
	for column, n := range map[string]int64{columnPeakBox: group.account().peak, columnKills: group.account().kills} {
		if n >= 0 {
			values[column] = float64(n)
		}
	}
	b.f.Runs = append(b.f.Runs, Run{contenderGroup, 0, values})
	return db.restart(ctx)
}

func (b *warmBench) serveInGroup(ctx context.Context, group *box, data string) (err error) {
	enter := []string{"/bin/sh", "-c", group.entrance(), "sh"}
	server, err := b.serverAs(ctx, b.servers, enter, "--data-dir", data)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.stop()) }()
	client, err := dial(server.addr, groupConnections)
	if err != nil {
		return err
	}
	defer client.close()
	inside := func(path string, args ...string) program {
		return program{path: enter[0], dir: b.work, cpus: b.servers, args: slices.Concat(enter[1:], []string{path}, args)}
	}
	for _, c := range []struct {
		name string
		program
	}{
		{"nothing else", inside("sleep", strconv.Itoa(int(b.warmSuite.calm.Seconds())+1))},
		{"during load", inside(filepath.Join(b.serving.programs, "load"), b.csv, "--data-dir", data, "--quiet")},
		{"during warm", inside(filepath.Join(b.serving.programs, "warm"), "--full", "--data-dir", data, "--quiet")},
	} {
		name := "in the group, " + c.name
		if err := b.beside(ctx, client, name, c.program); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// beside asks the server for as long as a program takes.
func (b *warmBench) beside(ctx context.Context, c *client, name string, p program) error {
	type result struct {
		usage
		err error
	}
	began := time.Now()
	ended := make(chan result, 1)
	go func() {
		used, err := p.run(ctx)
		ended <- result{used, err}
	}()
	next := mix(b.Products, source(1), uniform(source(2)))
	var sum outcome
	for {
		o, err := c.run(ctx, plan{rate: groupRate, duration: time.Second, next: next, inTurn: true})
		if err != nil {
			return errors.Join(err, (<-ended).err)
		}
		sum.add(o)
		select {
		case r := <-ended:
			if r.err != nil {
				return r.err
			}
			sum.latencies = sorted(sum.latencies)
			values := sum.values()
			values[columnWall] = time.Since(began).Seconds()
			if r.peak > 0 {
				values[columnPeak] = float64(r.peak)
			}
			b.f.Runs = append(b.f.Runs, Run{name, 0, values})
			b.f.Latencies = append(b.f.Latencies, curve(name, sum.latencies))
			b.f.bound(name, columnErrors, 1)
			if sum.errors > 0 {
				b.note("%s, the first error: %s", name, sum.first)
			}
			b.say("%s: %.1f s, p99 %.2f ms, %d errors", name, values[columnWall], values[columnP99]*1e3, sum.errors)
			return nil
		default:
		}
	}
}

// conclude holds the figures against the targets.
func (b *warmBench) conclude() {
	b.f.compare(contenderWarm, contenderShelf, columnWall, warmToCopy)
	b.f.compare(contenderWarm, contenderFrozen, columnWall, 0)
	b.f.compare(contenderWarm+oneCPU, contenderShelf+oneCPU, columnWall, warmToCopy1)
	b.f.compare(contenderEdit, contenderWarm, columnWall, editToWarm)
	b.f.compare(contenderVerify, contenderWarm, columnWall, verifyToWarm)
	b.f.compare(contenderWarm, contenderShelf, columnBoth, 0)
	for _, name := range []string{contenderWarm, contenderVerify, contenderEdit, contenderWarm + oneCPU, b.largeName(), "in the group, during warm"} {
		b.f.bound(name, columnPeak, warmMemory)
	}
	b.f.bound(contenderGroup, columnKills, 1)
	if b.psql != "" {
		b.note("`%s` is one psql that copies the finished blobs from a file into an equal, logged table, which then gets its key and "+
			"ANALYZE. `%s` makes and fills the table in one transaction, which saves the write-ahead log. `%s` builds the same "+
			"blobs from the rows by `jsonb_agg` over merge joins, ran once, and was compared product by product.",
			contenderShelf, contenderFrozen, contenderSQL)
	}
	b.note("A full warm replaces the live shelf and drops it, checks its number of products, compares every hash, and analyses the key only. Before `%s` one "+
		"product in %d was changed in product.csv and all six files were loaded again, which is not in its time.", contenderEdit, editEvery)
	b.note("Before each run a checkpoint was made. On one CPU ran both sides and PostgreSQL; the bench itself was idle. The group is "+
		"a control group of 1 CPU and 1 GiB, page cache included, with load, warm, PostgreSQL and a server that is asked %d times "+
		"a second from outside.", groupRate)
}
