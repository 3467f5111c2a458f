package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"time"
)

// findPgbench returns where pgbench is; "" where it isn't installed.
func (b *serving) findPgbench() string {
	path := find("pgbench", "/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/usr/local/pgsql/bin")
	if path == "" {
		b.note("pgbench is missing, and with it the comparison to it.")
		b.say("pgbench is missing: no comparison to it")
	}
	return path
}

// transactions is what a run of pgbench found; CPU in seconds for each.
type transactions struct {
	perSecond        float64
	client, postgres float64
}

var (
	pgbenchRate   = regexp.MustCompile(`tps = ([0-9.]+)`)
	pgbenchCount  = regexp.MustCompile(`number of transactions actually processed: ([0-9]+)`)
	pgbenchFailed = regexp.MustCompile(`number of failed transactions: ([0-9]+)`)
)

// pgbench runs a script for whole seconds, prepared, on the CPU that the
// servers have.
func (b *serving) pgbench(ctx context.Context, db *database, path, script string, clients int, span time.Duration) (transactions, error) {
	var t transactions
	file := filepath.Join(b.work, "pgbench.sql")
	if err := os.WriteFile(file, []byte(script), 0o644); err != nil {
		return t, fmt.Errorf("write pgbench's script: %w", err)
	}
	seconds := max(int((span + time.Second/2).Seconds()), 1)
	cmd := exec.CommandContext(ctx, path, "-n", "-M", "prepared", "-c", strconv.Itoa(clients), "-j", "1",
		"-T", strconv.Itoa(seconds), "-f", file, db.server.URL())
	var out tail
	cmd.Stdout, cmd.Stderr, cmd.Env = &out, &out, plainEnvironment()
	postgres := db.cpu()
	if err := startOn(cmd, b.servers); err != nil {
		return t, fmt.Errorf("start pgbench: %w", err)
	}
	if err := cmd.Wait(); err != nil {
		return t, fmt.Errorf("pgbench: %w\n%s", err, &out)
	}
	postgres = db.cpu() - postgres
	rate, count := pgbenchRate.FindStringSubmatch(out.String()), pgbenchCount.FindStringSubmatch(out.String())
	if rate == nil || count == nil {
		return t, fmt.Errorf("pgbench printed something unexpected:\n%s", &out)
	}
	if failed := pgbenchFailed.FindStringSubmatch(out.String()); len(failed) == 2 && failed[1] != "0" {
		return t, fmt.Errorf("transactions of pgbench failed:\n%s", &out)
	}
	n, _ := strconv.ParseFloat(count[1], 64)
	t.perSecond, _ = strconv.ParseFloat(rate[1], 64)
	t.client = (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds() / n
	t.postgres = postgres.Seconds() / n
	return t, nil
}

// admit restarts PostgreSQL so that it admits more clients than it does by
// default, until the suite ends. Nothing else that the figures rest on changes.
func (b *serving) admit(ctx context.Context, db *database, clients int) error {
	if err := db.exec(ctx, fmt.Sprintf(`alter system set max_connections = %d`, clients)); err != nil {
		return err
	}
	b.atEnd(func() error { return db.exec(context.WithoutCancel(ctx), resetSettings) })
	return db.restart(ctx)
}
