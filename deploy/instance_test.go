package deploy

import (
	"bufio"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"go.yaml.in/yaml/v4"
)

// instance is what cloud-init makes of user data.
type instance struct {
	WriteFiles []struct {
		Path, Permissions, Content string
	} `yaml:"write_files"`
	RunCmd []string
}

// cloudInit reads user data; cloud-init takes them for a script, or drops them,
// where they don't begin as they should.
func cloudInit(t *testing.T, data string) instance {
	t.Helper()
	var i instance
	if err := yaml.Unmarshal([]byte(data), &i); err != nil || !strings.HasPrefix(data, "#cloud-config\n") {
		t.Fatalf("no cloud-config (%v):\n%s", err, data)
	}
	return i
}

// install writes an instance's files below root.
func (i instance) install(t *testing.T, root string) {
	t.Helper()
	for _, f := range i.WriteFiles {
		mode, err := strconv.ParseUint(f.Permissions, 8, 32)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(root, f.Path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(f.Content), fs.FileMode(mode)); err != nil {
			t.Fatal(err)
		}
	}
}

// instances are all kinds that there are.
func instances(t *testing.T) map[string]instance {
	all := map[string]instance{}
	for servers, names := range map[int64][]string{1: {"server_user_data"}, 2: {"server_user_data", "database_user_data", "edge_user_data"}} {
		c := configured(t, choice(servers, ""))
		for _, name := range names {
			for i, data := range userData(c, name) {
				all[fmt.Sprintf("%d servers, %s %d", servers, name, i+1)] = cloudInit(t, data)
			}
		}
	}
	all["their database"] = cloudInit(t, userData(configured(t, choice(1, theirDatabase)), "server_user_data")[0])
	return all
}

// TestInstanceFiles: the scripts are scripts, nothing is left to fill in, and
// what is run is there.
func TestInstanceFiles(t *testing.T) {
	for name, i := range instances(t) {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			i.install(t, root)
			for _, f := range i.WriteFiles {
				if strings.Contains(f.Content, "${") || strings.Contains(f.Content, "%{") {
					t.Errorf("%s is not filled in", f.Path)
				}
				if strings.HasSuffix(f.Path, ".sh") || strings.HasPrefix(f.Content, "#!/bin/sh\n") {
					if out, err := exec.Command("sh", "-n", filepath.Join(root, f.Path)).CombinedOutput(); err != nil {
						t.Errorf("%s: %v\n%s", f.Path, err, out)
					}
				}
			}
			for _, script := range i.RunCmd {
				if info, err := os.Stat(filepath.Join(root, script)); err != nil || info.Mode()&0o100 == 0 {
					t.Errorf("%s can't be run: %v", script, err)
				}
			}
		})
	}
}

// TestInstanceUnits: systemd finds nothing to say against the units.
func TestInstanceUnits(t *testing.T) {
	analyze := need(t, "systemd-analyze")
	for name, i := range instances(t) {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			i.install(t, root)
			units, err := filepath.Glob(root + "/etc/systemd/system/*.service")
			if err != nil {
				t.Fatal(err)
			}
			if len(units) == 0 {
				return // Debian's own nginx
			}
			for _, unit := range units {
				// systemd asks whether what a unit starts is there.
				text := strings.NewReplacer("/opt/hotshelf/bin/", bin+"/", "/opt/hotshelf/", root+"/opt/hotshelf/",
					"/usr/lib/postgresql/15/bin/postgres", filepath.Join(bin, "server")).Replace(read(t, unit))
				if err := os.WriteFile(unit, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			cmd := exec.Command(analyze, append([]string{"verify", "--man=no", "--recursive-errors=no"}, units...)...)
			cmd.Env = append(os.Environ(), "SYSTEMD_UNIT_PATH="+filepath.Dir(units[0])+":")
			if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// TestInstanceServer starts the unit's exact command line, with the environment
// that its files make, as far as there is a database.
func TestInstanceServer(t *testing.T) {
	database := catalogue(t)
	for servers, port := range map[int64]string{1: "80", 2: "8080"} {
		t.Run(fmt.Sprint(servers), func(t *testing.T) {
			c := configured(t, choice(servers, ""))
			i := cloudInit(t, userData(c, "server_user_data")[0])
			unit := cloudFile(t, userData(c, "server_user_data")[0], "/etc/systemd/system/hotshelf.service")
			line := regexp.MustCompile(`(?m)^ExecStart=(.+)$`).FindStringSubmatch(unit)[1]
			if !strings.Contains(line, " --addr :"+port+" ") {
				t.Errorf("the port is not %s: %s", port, line)
			}
			// The same template, with ports that are free here.
			free := func() string {
				_, port, _ := net.SplitHostPort(freeAddress(t))
				return port
			}
			public, admin := free(), free()
			line = strings.NewReplacer(" :"+port+" ", " :"+public+" ", "127.0.0.1:8081", "127.0.0.1:"+admin).Replace(line)
			words := strings.Fields(line)
			cmd := exec.Command(filepath.Join(bin, filepath.Base(words[0])), words[1:]...)
			root := t.TempDir()
			i.install(t, root)
			cmd.Env = append(environment(t, read(t, root+"/etc/hotshelf/hotshelf.env")),
				"HOTSHELF_WRITE_TOKEN="+strings.Repeat("t", 40), "DATABASE_URL="+database)
			p := background(t, cmd)
			until(t, "the server is ready", p, func() bool { return status("http://127.0.0.1:"+public+"/readyz") == http.StatusOK })
			if got := status("http://127.0.0.1:" + admin + "/metrics"); got != http.StatusOK {
				t.Errorf("the admin listener answers %d", got)
			}
			p.stop(syscall.SIGTERM)
			if code := cmd.ProcessState.ExitCode(); code != 0 {
				t.Errorf("exit code %d: systemd would start it again", code)
			}
		})
	}
}

// environment reads a file as systemd does.
func environment(t *testing.T, text string) (env []string) {
	for lines := bufio.NewScanner(strings.NewReader(text)); lines.Scan(); {
		name, value, found := strings.Cut(lines.Text(), "=")
		if !found {
			t.Fatalf("%q sets nothing", lines.Text())
		}
		env = append(env, name+"="+strings.Trim(value, "'"))
	}
	return env
}

// TestInstanceSecrets runs the script that fetches the secrets, with an aws of
// the test's own: each is asked for by its own name.
func TestInstanceSecrets(t *testing.T) {
	for _, c := range []struct {
		servers int64
		url     string
		want    string
	}{
		{1, "", "HOTSHELF_WRITE_TOKEN=/hotshelf/write-token"},
		{2, "", "HOTSHELF_WRITE_TOKEN=/hotshelf/write-token PGPASSWORD=/hotshelf/database-password"},
		{1, theirDatabase, "DATABASE_URL=/hotshelf/database-url HOTSHELF_WRITE_TOKEN=/hotshelf/write-token"},
	} {
		root := t.TempDir()
		cloudInit(t, userData(configured(t, choice(c.servers, c.url)), "server_user_data")[0]).install(t, root)
		for _, dir := range []string{"/run/hotshelf", "/fake"} {
			if err := os.MkdirAll(root+dir, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		// It fails at first, as before the role is known everywhere.
		aws := "#!/bin/sh\n[ -e " + root + "/tried ] || { touch " + root + "/tried; exit 1; }\n[ \"$AWS_DEFAULT_REGION\" = us-east-1 ] && echo \"$4\"\n"
		for path, text := range map[string]string{
			"/fake/aws": aws, "/fake/sleep": "#!/bin/sh\n",
			"/opt/hotshelf/secrets.sh": strings.NewReplacer("/opt/hotshelf", root+"/opt/hotshelf", "/run/hotshelf", root+"/run/hotshelf").
				Replace(read(t, root+"/opt/hotshelf/secrets.sh")),
		} {
			if err := os.WriteFile(root+path, []byte(text), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		cmd := exec.Command(root + "/opt/hotshelf/secrets.sh")
		cmd.Env = append(os.Environ(), "PATH="+root+"/fake:"+os.Getenv("PATH"))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		path := root + "/run/hotshelf/secrets.env"
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		got := strings.Join(environment(t, read(t, path)), " ")
		if got != c.want || info.Mode().Perm() != 0o600 {
			t.Errorf("%d servers: %s %s, want %s", c.servers, info.Mode(), got, c.want)
		}
	}
}

// TestInstanceDatabase: PostgreSQL takes the settings.
func TestInstanceDatabase(t *testing.T) {
	binaries, err := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if err != nil || len(binaries) == 0 {
		t.Skip("PostgreSQL is not where Debian has it")
	}
	for _, name := range []string{"server_user_data", "database_user_data"} {
		servers := map[string]int64{"server_user_data": 1, "database_user_data": 2}[name]
		c := configured(t, choice(servers, ""))
		// Not t.TempDir, which is below a directory that is only ours.
		dir, err := os.MkdirTemp("", "hotshelf-deploy-")
		if err == nil {
			err = os.Chmod(dir, 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.RemoveAll(dir) })
		conf := cloudFile(t, userData(c, name)[0], "/etc/hotshelf/postgresql.conf")
		line := regexp.MustCompile(`(?m)^ExecStart=(.+)$`).FindStringSubmatch(cloudFile(t, userData(c, name)[0], "/etc/systemd/system/hotshelf-database.service"))[1]
		words := strings.Fields(strings.NewReplacer("/var/lib/hotshelf-database/15", dir, "/etc/hotshelf", dir).Replace(line))
		for file, text := range map[string]string{"postgresql.conf": conf, "PG_VERSION": "15\n"} {
			if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		for setting, want := range map[string]string{
			"listen_addresses": map[int64]string{1: "", 2: "*"}[servers],
			"ssl":              map[int64]string{1: "off", 2: "on"}[servers],
			"shared_buffers":   map[int64]string{1: "16384", 2: "32768"}[servers], // of 8 kB

			"autovacuum_naptime": "300", // seconds
		} {
			cmd := exec.Command(binaries[len(binaries)-1], append(words[1:len(words):len(words)], "-C", setting)...)
			if os.Getuid() == 0 { // which PostgreSQL refuses
				cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
				_ = os.Chown(dir, 65534, 65534)
			}
			var stderr strings.Builder
			cmd.Stderr = &stderr
			out, err := cmd.Output()
			if got := strings.TrimSpace(string(out)); err != nil || got != want {
				t.Errorf("%s: %s = %q, want %q (%v) %s", name, setting, got, want, err, stderr.String())
			}
		}
	}
}

// TestInstanceEdge: the edge names every server, in the two ways its template asks for.
func TestInstanceEdge(t *testing.T) {
	c := configured(t, choice(3, ""))
	conf := cloudFile(t, userData(c, "edge_user_data")[0], "/opt/hotshelf/hotshelf.conf")
	var addresses []string
	for _, ip := range c.local("server_ips").AsValueSlice() {
		addresses = append(addresses, ip.AsString()+":8080")
	}
	for _, list := range []string{upstream(failing, addresses...), upstream(anyway, addresses...)} {
		if !strings.Contains(conf, list) {
			t.Errorf("the edge lacks\n%s", list)
		}
	}
	dir := t.TempDir()
	nginx := need(t, "nginx")
	frame := strings.ReplaceAll(cloudFile(t, userData(c, "edge_user_data")[0], "/opt/hotshelf/nginx.conf"), "/etc/nginx/conf.d/*", dir+"/hotshelf")
	_, port, _ := net.SplitHostPort(freeAddress(t))
	for name, text := range map[string]string{"nginx.conf": frame, "hotshelf.conf": strings.Replace(conf, "listen 80;", "listen "+port+";", 1)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if os.Getuid() == 0 { // it makes its directories below /var
		out, err := exec.Command(nginx, "-t", "-c", filepath.Join(dir, "nginx.conf"), "-g", "pid "+dir+"/pid;").CombinedOutput()
		if err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
