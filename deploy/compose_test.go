package deploy

import (
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
	"go.yaml.in/yaml/v4"
)

// compose reads the compose file, with all profiles and with what its variables
// stand for; nil leaves them as they are written.
func compose(t *testing.T, text string, env types.Mapping) (*types.Project, error) {
	t.Helper()
	top, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	return loader.LoadWithContext(t.Context(), types.ConfigDetails{
		WorkingDir:  top,
		ConfigFiles: []types.ConfigFile{{Filename: "compose.yaml", Content: []byte(text)}},
		Environment: env,
	}, func(o *loader.Options) {
		o.Profiles = []string{"*"}
		o.SkipInterpolation = env == nil
		o.SkipNormalization = env == nil
		o.SkipConsistencyCheck = env == nil
	})
}

func mustCompose(t *testing.T, env types.Mapping) *types.Project {
	t.Helper()
	p, err := compose(t, readFile(t, "compose.yaml"), env)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

var someEnv = types.Mapping{"POSTGRES_PASSWORD": "not-a-real-one"}

// composeFaults says what the compose file should not be; raw is the same with
// its variables as they are written.
func composeFaults(p, raw *types.Project) (faults []string) {
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	secret := regexp.MustCompile(`PASSWORD|TOKEN|SECRET`)
	for _, name := range slices.Sorted(maps.Keys(p.Services)) {
		s := p.Services[name]
		_, tag, _ := strings.Cut(s.Image, ":")
		if s.Build == nil && (tag == "" || tag == "latest") {
			fault("%s: the image %s is another one every day", name, s.Image)
		}
		if s.ContainerName != "" {
			fault("%s: a container with a name can't be there twice", name)
		}
		if s.Deploy == nil || s.Deploy.Resources.Limits == nil || s.Deploy.Resources.Limits.MemoryBytes == 0 || s.Deploy.Resources.Limits.NanoCPUs == 0 {
			fault("%s: no limits of memory and processors", name)
		}
		if s.Privileged || s.Build != nil && (!s.ReadOnly || !slices.Equal(s.CapDrop, []string{"ALL"})) {
			fault("%s: may do more than it has to", name)
		}
		for _, v := range s.Volumes {
			if v.Type != types.VolumeTypeBind {
				continue
			}
			if _, err := os.Stat(v.Source); err != nil || !v.ReadOnly {
				fault("%s: %s has to be there, and read-only (%v)", name, v.Source, err)
			}
		}
		for _, port := range s.Ports {
			if port.HostIP != "127.0.0.1" && name != "edge" {
				fault("%s: port %s is open to everybody", name, port.Published)
			}
			if name == "server" && !strings.Contains(port.Published, "-") {
				fault("server: the second one finds port %s taken", port.Published)
			}
		}
		for other := range s.DependsOn {
			if dependency, ok := p.Services[other]; !ok {
				fault("%s: depends on %s, which is not there", name, other)
			} else if len(s.Profiles) == 0 && len(dependency.Profiles) > 0 {
				fault("%s: depends on %s, which is not always there", name, other)
			}
		}
		for variable, value := range raw.Services[name].Environment {
			if secret.MatchString(variable) && (value == nil || !strings.HasPrefix(*value, "${") || regexp.MustCompile(`:-.+\}`).MatchString(*value)) {
				fault("%s: %s is written down", name, variable)
			}
		}
	}
	if len(p.Services["database"].Ports) > 0 || !p.Networks["database"].Internal {
		fault("database: can be reached from outside")
	}
	return faults
}

func TestCompose(t *testing.T) {
	p, raw := mustCompose(t, someEnv), mustCompose(t, nil)
	for _, fault := range composeFaults(p, raw) {
		t.Error(fault)
	}
	if want := []string{"database", "edge", "grafana", "load", "prometheus", "sample", "server", "warm"}; !slices.Equal(p.ServiceNames(), want) {
		t.Errorf("services %q, want %q", p.ServiceNames(), want)
	}
	for name, profile := range map[string]string{"edge": "edge", "prometheus": "observe", "grafana": "observe", "server": "", "warm": ""} {
		if got := strings.Join(p.Services[name].Profiles, " "); got != profile {
			t.Errorf("%s has the profiles %q, want %q", name, got, profile)
		}
	}
	for _, c := range []struct{ service, on, condition string }{
		{"load", "database", types.ServiceConditionHealthy},
		{"load", "sample", types.ServiceConditionCompletedSuccessfully},
		{"warm", "load", types.ServiceConditionCompletedSuccessfully},
		{"server", "warm", types.ServiceConditionCompletedSuccessfully},
		{"server", "database", types.ServiceConditionHealthy},
		{"edge", "server", types.ServiceConditionHealthy},
	} {
		if got := p.Services[c.service].DependsOn[c.on].Condition; got != c.condition {
			t.Errorf("%s waits for %s until %q, want %q", c.service, c.on, got, c.condition)
		}
	}
}

func TestComposeFaultsAreFound(t *testing.T) {
	text := readFile(t, "compose.yaml")
	for name, change := range map[string][2]string{
		"an image of the day":      {"image: nginx:1.28-alpine", "image: nginx:latest"},
		"a fixed port":             {"127.0.0.1:8080-8099:8080", "127.0.0.1:8080:8080"},
		"a port for all":           {"127.0.0.1:9090:9090", "9090:9090"},
		"a password":               {"POSTGRES_PASSWORD: ${POSTGRES_PASSWORD:?see the first lines of compose.yaml}", "POSTGRES_PASSWORD: hotshelf"},
		"a password by default":    {"HOTSHELF_WRITE_TOKEN:-}", "HOTSHELF_WRITE_TOKEN:-changeme}"},
		"a file that is not there": {"./deploy/nginx/nginx.conf:", "./deploy/nginx/none.conf:"},
		"no limits":                {`limits: {cpus: "1", memory: 128M}`, "{}"},
		"an open database":         {"internal: true", "internal: false"},
		"a writable root":          {"read_only: true", "read_only: false"},
	} {
		t.Run(name, func(t *testing.T) {
			changed := strings.Replace(text, change[0], change[1], 1)
			if changed == text {
				t.Fatalf("compose.yaml has no %q", change[0])
			}
			p, err := compose(t, changed, someEnv)
			if err != nil {
				t.Fatal(err)
			}
			raw, err := compose(t, changed, nil)
			if err != nil {
				t.Fatal(err)
			}
			if len(composeFaults(p, raw)) == 0 {
				t.Error("passed")
			}
		})
	}
}

// TestComposeAsksForAPassword: there is none by default.
func TestComposeAsksForAPassword(t *testing.T) {
	if _, err := compose(t, readFile(t, "compose.yaml"), types.Mapping{}); err == nil || !strings.Contains(err.Error(), "first lines of compose.yaml") {
		t.Errorf("without a password: %v", err)
	}
}

// TestComposeCatalogue: a directory takes the sample's place, which never
// writes into it.
func TestComposeCatalogue(t *testing.T) {
	for value, want := range map[string]string{"": "volume catalogue", "./csv": "bind csv"} {
		p := mustCompose(t, types.Mapping{"POSTGRES_PASSWORD": "x", "CATALOGUE": value})
		for _, v := range p.Services["load"].Volumes {
			if got := v.Type + " " + filepath.Base(v.Source); v.Target == "/catalogue" && (got != want || !v.ReadOnly) {
				t.Errorf("CATALOGUE=%q mounts %s, want %s", value, got, want)
			}
		}
		if v := p.Services["sample"].Volumes[0]; v.Type != types.VolumeTypeVolume {
			t.Errorf("CATALOGUE=%q: sample writes to %s", value, v.Source)
		}
	}
}

// TestComposeStarts runs what the file runs, in its order and with its
// environment, against a real database; and once more, as the second start.
func TestComposeStarts(t *testing.T) {
	p := mustCompose(t, someEnv)
	database, dir := pg.Database(t), t.TempDir()
	address, admin := freeAddress(t), freeAddress(t)
	command := func(name string) (args, env []string) {
		s := p.Services[name]
		args = slices.Clone([]string(s.Command))
		if name == "server" {
			args = []string{"server"} // the image's own
		}
		for i := range args {
			args[i] = strings.ReplaceAll(args[i], "/catalogue", dir)
		}
		help := must(t, nil, args[0], "--help")
		for variable, value := range s.Environment {
			if variable != "PGPASSWORD" && !strings.Contains(help, "$"+variable) {
				t.Errorf("%s: %s has no variable %s", name, args[0], variable)
			}
			env = append(env, variable+"="+*value)
		}
		return args, append(env, "DATABASE_URL="+database, "HOTSHELF_ADDR="+address, "HOTSHELF_ADMIN_ADDR="+admin)
	}
	for _, want := range []string{"generation 1", ""} {
		out := ""
		for _, name := range []string{"sample", "load", "warm"} {
			args, env := command(name)
			out = must(t, env, args[0], args[1:]...)
		}
		if !strings.Contains(out, want) || want == "" && out != "" {
			t.Errorf("warm printed %q, want %q", out, want)
		}
	}
	args, env := command("server")
	cmd := exec.Command(filepath.Join(bin, args[0]), args[1:]...)
	cmd.Env = append(os.Environ(), env...)
	server := background(t, cmd)
	until(t, "the server is ready", server, func() bool { return status("http://"+address+"/readyz") == http.StatusOK })
	// The image's health check asks with the same environment.
	must(t, env, "server", "--check")
}

// TestComposeObserve: Prometheus asks every server where it has its figures,
// and all that is provisioned is where it is looked for.
func TestComposeObserve(t *testing.T) {
	p := mustCompose(t, someEnv)
	targets := map[string]bool{}
	for _, s := range p.Services {
		for _, v := range s.Volumes {
			targets[v.Target] = true
		}
	}
	var prometheus struct {
		RuleFiles     []string `yaml:"rule_files"`
		ScrapeConfigs []struct {
			JobName      string `yaml:"job_name"`
			DNSSDConfigs []struct {
				Names []string `yaml:"names"`
				Port  int      `yaml:"port"`
			} `yaml:"dns_sd_configs"`
		} `yaml:"scrape_configs"`
	}
	if err := yaml.Unmarshal([]byte(readFile(t, "deploy/prometheus/prometheus.yaml")), &prometheus); err != nil {
		t.Fatal(err)
	}
	job := prometheus.ScrapeConfigs[0]
	server := p.Services[job.DNSSDConfigs[0].Names[0]]
	if admin := fmt.Sprintf(":%d", job.DNSSDConfigs[0].Port); server.Name != "server" || admin != *server.Environment["HOTSHELF_ADMIN_ADDR"] {
		t.Errorf("Prometheus asks %s%s", server.Name, admin)
	}
	if alerts := readFile(t, "deploy/prometheus/alerts.yaml"); !strings.Contains(alerts, `job="`+job.JobName+`"`) {
		t.Errorf("no alert is about the job %s", job.JobName)
	}
	var dashboards struct {
		Providers []struct {
			Options struct{ Path string }
		}
	}
	if err := yaml.Unmarshal([]byte(readFile(t, "deploy/grafana/provisioning/dashboards/hotshelf.yaml")), &dashboards); err != nil {
		t.Fatal(err)
	}
	for _, path := range append(prometheus.RuleFiles, dashboards.Providers[0].Options.Path+"/hotshelf.json") {
		if !targets[path] {
			t.Errorf("nothing is mounted at %s", path)
		}
	}
}

// TestComposeEdge: the compose file gives the edge all that its template asks for.
func TestComposeEdge(t *testing.T) {
	env := mustCompose(t, someEnv).Services["edge"].Environment
	for _, name := range edgeNames {
		if env[name] == nil {
			t.Errorf("the edge is not given %s", name)
		}
	}
	filter := regexp.MustCompile(*env["NGINX_ENVSUBST_FILTER"])
	for name := range env {
		if filter.MatchString(name) != slices.Contains(edgeNames, name) {
			t.Errorf("the filter %s and the name %s", filter, name)
		}
	}
	if got, want := *env["SERVERS"], upstream(failing, "server:8080 resolve"); got != want {
		t.Errorf("SERVERS %q, want %q", got, want)
	}
	if got, want := *env["SERVERS_ANYWAY"], upstream(anyway, "server:8080 resolve"); got != want {
		t.Errorf("SERVERS_ANYWAY %q, want %q", got, want)
	}
}
