package embedded

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

const (
	user     = "hotshelf"
	database = "hotshelf"

	socketName = ".s.PGSQL.5432"
	// maxSocket is the longest path of a socket, without its end mark, on the
	// strictest system (macOS: sun_path has 104 bytes).
	maxSocket = 103
)

// settings are for a machine of 1 GiB that runs the service as well. What
// isn't here is PostgreSQL's default; fsync and synchronous_commit are on.
const settings = `# Written by hotshelf at every start. Settings of your own: ALTER SYSTEM.
listen_addresses = ''
unix_socket_permissions = 0700
port = 5432
ssl = off
max_connections = 50
cluster_name = 'hotshelf'

shared_buffers = 128MB
effective_cache_size = 384MB
work_mem = 8MB
maintenance_work_mem = 64MB
jit = off
random_page_cost = 1.1

# A load writes each table in the transaction that made it: at this level its
# rows go to disk once, not also through the log. The price is that pg_basebackup
# and replicas don't work; pg_dump does. Whoever needs the others has a server
# of their own, and gives its URL.
wal_level = minimal
max_wal_senders = 0
wal_compression = on
max_wal_size = 2GB
checkpoint_timeout = 15min

# How often autovacuum looks at each database, of which there are three: a look
# that finds nothing takes 8 ms, and on a tenth of a CPU all wait for 80 ms then.
autovacuum_naptime = 5min

# Errors of statements reach the client that caused them. The log is for what
# happens to the server itself, and so stays small.
log_min_messages = log
log_checkpoints = off
log_timezone = 'UTC'
log_line_prefix = '%m [%p] '

timezone = 'UTC'
datestyle = 'iso, mdy'
lc_messages = 'C'
lc_monetary = 'C'
lc_numeric = 'C'
lc_time = 'C'
`

// ephemeralSettings are for tests, where a crash of the machine may lose all
// and several pools share one server.
const ephemeralSettings = `
max_connections = 200
fsync = off
synchronous_commit = off
full_page_writes = off
`

// access admits whoever can open the socket: its directory is the lock.
const access = `# Written by hotshelf at every start.
local all all trust
`

// writeSettings makes the cluster's settings those of this program.
func (c *cluster) writeSettings(acct account) error {
	conf := settings
	if c.ephemeral {
		conf += ephemeralSettings
	}
	dir, err := c.makeSocketDir(acct)
	if err != nil {
		return fmt.Errorf("making a directory for the socket: %w", err)
	}
	conf += "\nunix_socket_directories = " + quoteSocketDir(dir) + "\n"
	if err := c.writeFile(acct, "postgresql.conf", conf); err != nil {
		return err
	}
	return c.writeFile(acct, "pg_hba.conf", access)
}

func (c *cluster) writeFile(acct account, name, text string) error {
	path := filepath.Join(c.data(), name)
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		return err
	}
	if err := acct.own(path + ".new"); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// makeSocketDir returns the server's directory for its socket, "." for the
// cluster's own. That one is private already, but its path may be too long for
// a socket, or hold a comma, which separates hosts in a URL: then it is a
// directory of a random name, so that nobody can have made it before us.
func (c *cluster) makeSocketDir(acct account) (string, error) {
	path := filepath.Join(c.data(), socketName)
	if len(path) <= maxSocket && !strings.Contains(path, ",") {
		return ".", nil
	}
	parent := os.TempDir()
	if len(parent) > 60 || strings.ContainsAny(parent, `,"'\`) || !filepath.IsAbs(parent) {
		parent = "/tmp"
	}
	dir, err := os.MkdirTemp(parent, "hotshelf-")
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(c.path("socket"), []byte(dir), 0o600); err != nil {
		return "", errors.Join(err, os.Remove(dir))
	}
	return dir, acct.own(dir)
}

// removeSocket removes the socket of a server that has ended, and the directory
// that makeSocketDir has made for it, sparing whatever else is in there.
func (c *cluster) removeSocket() {
	_ = os.Remove(c.socketFile())
	_ = os.Remove(c.socketFile() + ".lock")
	if c.socketDir() != c.data() {
		_ = os.Remove(c.socketDir())
	}
	_ = os.Remove(c.path("socket"))
}

// socketDir is where the socket is, as an absolute path.
func (c *cluster) socketDir() string {
	if dir, err := os.ReadFile(c.path("socket")); err == nil && filepath.IsAbs(string(dir)) {
		return string(dir)
	}
	return c.data()
}

func (c *cluster) socketFile() string { return filepath.Join(c.socketDir(), socketName) }

func (c *cluster) url() string {
	// libpq reads a plus as a plus: blanks need the other form.
	host := strings.ReplaceAll(url.QueryEscape(c.socketDir()), "+", "%20")
	return "postgres://" + user + "@/" + database + "?host=" + host + "&port=5432&sslmode=disable"
}

// quoteSocketDir writes a directory as the list of one that PostgreSQL reads.
func quoteSocketDir(dir string) string { return `'"` + dir + `"'` }

func onOff(b bool) string {
	if b {
		return "on"
	}
	return "off"
}
