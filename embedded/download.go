package embedded

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	embeddedpostgres "github.com/fergusstrange/embedded-postgres"
)

// fetchLimit bounds a download of about 20 MB. A network that refuses, or has
// no names, is noticed at once.
const fetchLimit = 5 * time.Minute

var downloads = map[int]embeddedpostgres.PostgresVersion{
	14: embeddedpostgres.V14,
	15: embeddedpostgres.V15,
	16: embeddedpostgres.V16,
	17: embeddedpostgres.V17,
	18: embeddedpostgres.V18,
}

// fetch downloads binaries of a major version, 0 for the usual one, into a
// directory below cache, and returns the directory of the programs.
func fetch(ctx context.Context, major int, cache string) (string, error) {
	if major == 0 {
		major = 17
	}
	version, ok := downloads[major]
	if !ok {
		return "", errNoVersion
	}
	return fetchFrom(ctx, embeddedpostgres.DefaultConfig().Version(version), major, cache)
}

func fetchFrom(ctx context.Context, config embeddedpostgres.Config, major int, cache string) (string, error) {
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", err
	}
	tmp, err := os.MkdirTemp(cache, "download-")
	if err != nil {
		return "", err
	}
	defer func() {
		_ = os.RemoveAll(tmp)
		_ = os.Remove(cache) // where nothing came of it
	}()
	unpacked := filepath.Join(tmp, "unpacked")

	// The library downloads, unpacks, makes a cluster and starts it. Only the
	// first two are wanted (it can't do the others as root, nor share them), so
	// the cluster gets an encoding that no initdb accepts.
	config = config.CachePath(filepath.Join(tmp, "archive")).
		BinariesPath(unpacked).
		RuntimePath(filepath.Join(tmp, "run")).
		DataPath(filepath.Join(tmp, "data")).
		Encoding("unpack-only").
		Port(0).
		Logger(io.Discard)
	ctx, cancel := context.WithTimeout(ctx, fetchLimit)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		defer func() {
			if r := recover(); r != nil {
				done <- fmt.Errorf("unpacking: %v", r)
			}
		}()
		done <- embeddedpostgres.NewDatabase(config).Start()
	}()
	select {
	case err = <-done:
	case <-ctx.Done():
		// The library can't be interrupted; it ends with the process.
		return "", fmt.Errorf("the download was given up: %w", ctx.Err())
	}
	if err == nil {
		return "", errors.New("the downloader started a server where it should not")
	}
	if !executable(filepath.Join(unpacked, "bin", "postgres")) || !executable(filepath.Join(unpacked, "bin", "initdb")) {
		return "", err
	}
	if err := os.Chmod(unpacked, 0o755); err != nil {
		return "", err
	}
	final := filepath.Join(cache, fmt.Sprintf("postgresql-%d", major))
	if err := os.Rename(unpacked, final); err != nil && !executable(filepath.Join(final, "bin", "postgres")) {
		return "", err
	}
	return filepath.Join(final, "bin"), nil
}
