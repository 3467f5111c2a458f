package sample

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// target is the directory that gets the files. They are written into a hidden
// directory inside it and moved when all are complete.
type target struct {
	dir   string
	work  string
	made  []string // directories that didn't exist, the innermost first
	moved []string
}

func openTarget(dir string) (_ *target, err error) {
	if dir == "" {
		return nil, errors.New("no directory is named")
	}
	t := &target{dir: dir}
	for f := range numFiles {
		path := filepath.Join(dir, fileName(f))
		switch _, err := os.Lstat(path); {
		case err == nil:
			return nil, fmt.Errorf("%s exists already: choose another directory or remove it", path)
		case !errors.Is(err, fs.ErrNotExist):
			return nil, err
		}
	}
	for missing := filepath.Clean(dir); ; missing = filepath.Dir(missing) {
		if _, err := os.Stat(missing); !errors.Is(err, fs.ErrNotExist) {
			break // it exists, or what is wrong with it shows below
		}
		t.made = append(t.made, missing)
	}
	if err = os.MkdirAll(dir, 0o755); err == nil {
		t.work, err = os.MkdirTemp(dir, ".sample-*")
	}
	if err != nil {
		return nil, errors.Join(err, t.discard())
	}
	return t, nil
}

// publish moves the files to their names. A file that has appeared there in
// the meantime is not replaced: linking fails on it, renaming would not.
func (t *target) publish() error {
	for f := range numFiles {
		from, to := filepath.Join(t.work, fileName(f)), filepath.Join(t.dir, fileName(f))
		if err := os.Link(from, to); errors.Is(err, fs.ErrExist) {
			return err
		} else if err != nil { // a file system without links
			if err := os.Rename(from, to); err != nil {
				return err
			}
		}
		t.moved = append(t.moved, to)
	}
	return os.RemoveAll(t.work)
}

// discard removes all that was made.
func (t *target) discard() error {
	var errs []error
	for _, path := range t.moved {
		errs = append(errs, os.Remove(path))
	}
	if t.work != "" {
		errs = append(errs, os.RemoveAll(t.work))
	}
	for _, dir := range t.made {
		// Another's files in it are a reason to leave it.
		_ = os.Remove(dir)
	}
	return errors.Join(errs...)
}
