package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/hotshelf/hotshelf/cmd/internal/cli"
	"github.com/hotshelf/hotshelf/sample"
	"github.com/hotshelf/hotshelf/store"
)

// The catalogue of a first start.
const (
	sampleProducts = 1000
	sampleSeed     = 1
)

// firstCatalogue makes, loads and warms a sample catalogue where the private
// database has neither a catalogue nor a load that waits for warm. Of servers
// that start together, one makes it, and the others wait for it.
func firstCatalogue(ctx context.Context, db *store.DB, dataDir string, streams cli.IO, log *slog.Logger) error {
	unlock, err := lockDir(ctx, dataDir)
	if err != nil {
		return fmt.Errorf("make the sample catalogue: %w", err)
	}
	defer unlock()
	dir := filepath.Join(dataDir, "sample")
	// What a server that was killed here has left.
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("make the sample catalogue: %w", err)
	}
	empty, err := cli.Empty(ctx, db)
	if err != nil || !empty {
		return err
	}
	log.Info("the database is empty: making a sample catalogue", "products", sampleProducts)
	defer func() { _ = os.RemoveAll(dir) }()
	if _, err := sample.Write(ctx, sample.Options{Dir: dir, Products: sampleProducts, Seed: sampleSeed}); err != nil {
		return fmt.Errorf("make the sample catalogue: %w", err)
	}
	if err := cli.Load(ctx, db, cli.LoadJob{Dir: dir, Source: "sample", DataDir: dataDir, Quiet: true}, streams); err != nil {
		return fmt.Errorf("load the sample catalogue: %w", err)
	}
	if err := cli.Warm(ctx, db, cli.WarmJob{DataDir: dataDir, Quiet: true}, streams); err != nil {
		return fmt.Errorf("warm the sample catalogue: %w", err)
	}
	return nil
}

// lockDir takes an exclusive lock on a directory, which ends with the process
// at the latest.
func lockDir(ctx context.Context, dir string) (unlock func(), err error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { _ = f.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			_ = f.Close()
			return nil, fmt.Errorf("lock %s: %w", dir, err)
		}
		select {
		case <-ctx.Done():
			_ = f.Close()
			return nil, ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// greet says where the server listens and what to try.
func greet(w io.Writer, scheme string, addr net.Addr, storefront bool, notReady []string) {
	base := scheme + "://" + reachable(addr.String())
	if len(notReady) > 0 {
		fmt.Fprintf(w, "hotshelf listens on %s, but is not ready: %s\n", base, notReady[0])
		return
	}
	fmt.Fprintf(w, "hotshelf listens on %s. Try:\n\n", base)
	if storefront {
		fmt.Fprintf(w, "  %s        a small storefront, in a browser\n", base)
	}
	fmt.Fprintf(w, `  %[1]s/docs   the API, in a browser
  curl '%[1]s/products/list?page=1&count=2'
  curl '%[1]s/products/1'
  curl '%[1]s/products/1/styles'
  curl '%[1]s/products/1/related'

`, base)
}
