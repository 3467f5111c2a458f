package cli

import (
	"fmt"
	"syscall"

	"github.com/hotshelf/hotshelf/etl"
)

// roomPerByte is how much the rows of each file take in the database, with
// their keys and indexes, for each byte of the file: measured on samples of
// 200,000 and 1,000,000 products.
var roomPerByte = map[string]float64{
	"product.csv": 1.2, "features.csv": 2.95, "styles.csv": 2.8,
	"related.csv": 5.05, "photos.csv": 1.3, "skus.csv": 3.9,
}

const (
	// While keys are made and checked, what is sorted takes some more for a while.
	roomToSort = 1.1
	// What a load adds to the write-ahead log, and what grows with the small tables.
	roomBesides = 64 << 20
	// What PostgreSQL may keep of the write-ahead log before it makes a checkpoint.
	// The private one writes next to none of a new shelf.
	keptLog = 2 << 30
)

// roomForLoad is about how much disk a load of the files in dir takes.
func roomForLoad(dir string) (int64, error) {
	sizes, err := etl.Sizes(dir)
	if err != nil {
		return 0, err
	}
	rows := 0.0
	for file, size := range sizes {
		rows += roomPerByte[file] * float64(size)
	}
	return int64(rows*roomToSort) + roomBesides, nil
}

// roomForShelf is about how much disk a share of a new shelf takes, of which the
// whole has so many bytes: up to half of the whole may be there twice, while it is
// put together from two COPYs.
func roomForShelf(shelf int64, share float64) int64 {
	return int64(float64(shelf)*share) + shelf/2 + roomBesides
}

// checkRoom fails where the disk of the private PostgreSQL's directory has less
// than need, with what the work itself gives back before.
func checkRoom(what, dataDir string, need, givenBack int64) error {
	free, err := freeRoom(dataDir)
	if err != nil {
		return fmt.Errorf("ask for the free space of %s: %w", dataDir, err)
	}
	if has := free + givenBack; has < need {
		return fmt.Errorf("%s needs about %s of disk, and %s has %s for it: make room, or choose another --data-dir (nothing was changed)",
			what, size(need), dataDir, size(has))
	}
	return nil
}

// freeRoom is how much an ordinary user can still write to the disk of path.
func freeRoom(path string) (int64, error) {
	var disk syscall.Statfs_t
	if err := syscall.Statfs(path, &disk); err != nil {
		return 0, err
	}
	return int64(disk.Bavail) * int64(disk.Bsize), nil //nolint:unconvert // the types differ between systems
}

// size writes bytes for people.
func size(bytes int64) string {
	switch {
	case bytes < 1e6:
		return fmt.Sprintf("%d kB", bytes/1e3)
	case bytes < 1e9:
		return fmt.Sprintf("%d MB", bytes/1e6)
	default:
		return fmt.Sprintf("%.1f GB", float64(bytes)/1e9)
	}
}
