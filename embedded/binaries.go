package embedded

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// minMajor is the oldest PostgreSQL that its makers still cared for when this
// was written, and that knows every setting we write.
const minMajor = 14

// binaries is a directory with postgres and initdb in it.
type binaries struct {
	dir   string
	major int
}

// finder is where to look for binaries, and how to fetch some where there are
// none. It is a value so that tests can have a machine of their own.
type finder struct {
	// places are glob patterns of directories, in order; of one pattern the
	// highest version comes first.
	places []string
	// path: look into $PATH, and ask pg_config, before all else.
	path  bool
	fetch func(ctx context.Context, major int, into string) (dir string, err error)
}

func newFinder() finder {
	return finder{
		path: true,
		places: []string{
			"/usr/lib/postgresql/*/bin",         // Debian, Ubuntu
			"/usr/pgsql-*/bin",                  // Red Hat, from postgresql.org
			"/usr/libexec/postgresql*",          // Alpine
			"/usr/lib/postgresql*/bin",          // Gentoo, SUSE
			"/usr/local/pgsql/bin",              // from source
			"/opt/homebrew/opt/postgresql*/bin", // macOS, ARM
			"/usr/local/opt/postgresql*/bin",    // macOS, Intel
			"/home/linuxbrew/.linuxbrew/opt/postgresql*/bin",
			"/Applications/Postgres.app/Contents/Versions/*/bin",
			"/opt/local/lib/postgresql*/bin", // MacPorts
		},
		fetch: fetch,
	}
}

// binaries finds those of the major version want, or with 0 the first that are
// new enough. Where the machine has none at all, they are downloaded into the
// user's cache.
func (f finder) binaries(ctx context.Context, c *cluster, want int, acct account) (binaries, error) {
	cache := c.cacheDir(acct)
	var seen []binaries
	for _, dir := range f.candidates(ctx, cache) {
		b, err := probe(ctx, dir)
		if err != nil {
			if ctx.Err() != nil {
				return binaries{}, ctx.Err()
			}
			continue
		}
		if b.major == want || want == 0 && b.major >= minMajor {
			return b, nil
		}
		seen = append(seen, b)
	}
	if want != 0 && len(seen) > 0 {
		return binaries{}, fmt.Errorf("the cluster in %s was made by PostgreSQL %d, but this machine has %s: install PostgreSQL %d, or use another data directory",
			c.path("postgres"), want, versions(seen), want)
	}

	missing := fmt.Sprintf("no PostgreSQL %d or newer was found on this machine", minMajor)
	if want != 0 {
		missing = fmt.Sprintf("no PostgreSQL %d, which made the cluster in %s, was found on this machine", want, c.path("postgres"))
	} else if len(seen) > 0 {
		missing += fmt.Sprintf(" (only %s)", versions(seen))
	}
	c.log(missing + ": downloading one")
	dir, err := f.fetch(ctx, want, cache)
	if err == nil {
		var b binaries
		if b, err = probe(ctx, dir); err == nil {
			return b, nil
		}
	}
	if ctx.Err() != nil {
		return binaries{}, ctx.Err()
	}
	return binaries{}, fmt.Errorf("%s, and downloading one failed (%w): install it (Debian, Ubuntu: apt-get install postgresql; macOS: brew install postgresql@17), or set DATABASE_URL to a server of your own",
		missing, err)
}

// candidates lists the directories that hold both programs, each once.
func (f finder) candidates(ctx context.Context, cache string) []string {
	var dirs []string
	if f.path {
		if path, err := exec.LookPath("postgres"); err == nil {
			// A link in PATH often stands for a directory that isn't.
			if real, err := filepath.EvalSymlinks(path); err == nil {
				dirs = append(dirs, filepath.Dir(real))
			}
			dirs = append(dirs, filepath.Dir(path))
		}
		if out, err := exec.CommandContext(ctx, "pg_config", "--bindir").Output(); err == nil {
			dirs = append(dirs, strings.TrimSpace(string(out)))
		}
	}
	for _, place := range append(slices.Clip(f.places), filepath.Join(globQuote(cache), "postgresql-*", "bin")) {
		found, err := filepath.Glob(place)
		if err != nil {
			continue
		}
		slices.SortStableFunc(found, func(x, y string) int { return cmp.Compare(numberIn(y), numberIn(x)) })
		dirs = append(dirs, found...)
	}
	var whole []string
	known := map[string]bool{}
	for _, dir := range dirs {
		real, err := filepath.EvalSymlinks(dir)
		if err != nil || known[real] || !executable(filepath.Join(real, "postgres")) || !executable(filepath.Join(real, "initdb")) {
			continue
		}
		known[real] = true
		whole = append(whole, real)
	}
	return whole
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

var versionLine = regexp.MustCompile(`\(PostgreSQL\) (\d+)`)

func probe(ctx context.Context, dir string) (binaries, error) {
	path := filepath.Join(dir, "postgres")
	out, err := exec.CommandContext(ctx, path, "--version").Output()
	if err != nil {
		return binaries{}, fmt.Errorf("%s --version: %w", path, err)
	}
	m := versionLine.FindSubmatch(out)
	if m == nil {
		return binaries{}, fmt.Errorf("%s --version says %.60q", path, out)
	}
	major, err := strconv.Atoi(string(m[1]))
	if err != nil {
		return binaries{}, fmt.Errorf("%s --version: %w", path, err)
	}
	return binaries{dir: dir, major: major}, nil
}

var versionNumber = regexp.MustCompile(`(\d+)(?:\.\d+)*`)

// numberIn is the major version in a path, such as 17 in /opt/pgsql-17.2/bin,
// and -1 where there is none.
func numberIn(path string) int {
	all := versionNumber.FindAllStringSubmatch(path, -1)
	if len(all) == 0 {
		return -1
	}
	n, err := strconv.Atoi(all[len(all)-1][1])
	if err != nil {
		return -1
	}
	return n
}

func versions(seen []binaries) string {
	var s []string
	for _, b := range seen {
		s = append(s, fmt.Sprintf("%d (%s)", b.major, b.dir))
	}
	return strings.Join(s, ", ")
}

// cacheDir is where downloaded binaries are kept: where the account that runs
// them can reach them, and only we can write.
func (c *cluster) cacheDir(acct account) string {
	if acct.other() {
		return "/var/cache/hotshelf"
	}
	if dir, err := os.UserCacheDir(); err == nil {
		return filepath.Join(dir, "hotshelf")
	}
	return c.path("cache")
}

var errNoVersion = errors.New("that version can't be downloaded")
