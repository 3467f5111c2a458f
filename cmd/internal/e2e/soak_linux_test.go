//go:build soak

package e2e

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// TestSoakDiskFull: the disk of the database fills up during a load. The server
// goes on with what is live, and once there is room, the next load succeeds.
func TestSoakDiskFull(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("takes root, to mount a small disk")
	}
	disk, err := os.MkdirTemp("", "hotshelf-") // of a short name, for the socket in it
	if err != nil {
		t.Fatal(err)
	}
	mount := func(flags uintptr, size string) error {
		return syscall.Mount("tmpfs", disk, "tmpfs", flags, "size="+size)
	}
	switch err := mount(0, "400m"); {
	case errors.Is(err, syscall.EPERM):
		t.Skip("mounting a small disk isn't allowed here")
	case err != nil:
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(syscall.Unmount(disk, 0), os.Remove(disk)); err != nil {
			t.Error(err)
		}
	})

	dir, data := t.TempDir(), filepath.Join(disk, "data")
	must(t, dir, "sample", "old", "--products", "200", "--seed", "41")
	must(t, dir, "sample", "new", "--products", "20000", "--seed", "42")
	must(t, dir, "load", "old", "--quiet", "--data-dir", data)
	must(t, dir, "warm", "--quiet", "--data-dir", data)
	before, after := catalogueIn(t, filepath.Join(dir, "old"), "pulsar"), catalogueIn(t, filepath.Join(dir, "new"), "pulsar")[:200]
	s := serve(t, dir, "--data-dir", data)
	defer s.stop(t, syscall.SIGTERM)

	var room syscall.Statfs_t
	if err := syscall.Statfs(disk, &room); err != nil {
		t.Fatal(err)
	}
	used := (room.Blocks - room.Bfree) * uint64(room.Bsize)
	if err := mount(syscall.MS_REMOUNT, strconv.FormatUint(used+50<<20, 10)); err != nil {
		t.Fatal(err)
	}
	r := read(t, s.url, before)
	// Its own database would be found too small before it begins.
	wantSentence(t, program(t, dir, "load", "new", "--quiet", "--data-dir", data), 1, "of disk, and "+data+" has 5")
	url := "--database-url=postgres://hotshelf@/hotshelf?host=" + filepath.Join(data, "postgres")
	wantSentence(t, program(t, dir, "load", "new", "--quiet", url), 1, "No space left on device")
	r.stop()

	if err := mount(syscall.MS_REMOUNT, "600m"); err != nil {
		t.Fatal(err)
	}
	r = read(t, s.url, before, after)
	must(t, dir, "load", "new", "--quiet", "--data-dir", data)
	must(t, dir, "warm", "--quiet", "--accept", "--data-dir", data)
	showsAll(t, s, after)
	r.stop()
	if strings.Contains(s.printed(), "WARN") {
		t.Errorf("the server warns:\n%s", s.printed())
	}
}
