package deploy

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/VictoriaMetrics/metricsql"
	"go.yaml.in/yaml/v4"
)

// scraped are the metrics of a real server, each with its labels.
func scraped(t *testing.T) map[string]map[string]bool {
	t.Helper()
	address, admin := freeAddress(t), freeAddress(t)
	cmd := exec.Command(filepath.Join(bin, "server"), "--addr", address, "--admin-addr", admin, "--memory", "64MiB")
	cmd.Env = append(os.Environ(), "DATABASE_URL="+catalogue(t))
	p := background(t, cmd)
	until(t, "the server is ready", p, func() bool { return status("http://"+address+"/readyz") == http.StatusOK })
	response, err := http.Get("http://" + admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	// What Prometheus adds itself.
	metrics := map[string]map[string]bool{"up": {}}
	name, label := regexp.MustCompile(`^[a-zA-Z_:][a-zA-Z0-9_:]*`), regexp.MustCompile(`([a-zA-Z_]+)="`)
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		metric := name.FindString(line)
		if metrics[metric] == nil {
			metrics[metric] = map[string]bool{}
		}
		for _, m := range label.FindAllStringSubmatch(line, -1) {
			metrics[metric][m[1]] = true
		}
	}
	for _, labels := range metrics {
		labels["job"], labels["instance"] = true, true
	}
	return metrics
}

// functions are those of PromQL that the files use; the parser knows more,
// which Prometheus would refuse.
var functions = []string{
	"changes", "histogram_quantile", "increase", "label_values", "max", "rate", "sum", "vector",
}

// checkQuery says what is wrong with a query to a server that has these metrics.
func checkQuery(metrics map[string]map[string]bool, query string) (faults []string) {
	query = strings.NewReplacer("$__rate_interval", "1m", "$job", "hotshelf", "$instance", ".*").Replace(query)
	expr, err := metricsql.Parse(query)
	if err != nil {
		return []string{err.Error()}
	}
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	named := 0
	metricsql.VisitAll(expr, func(e metricsql.Expr) {
		switch e := e.(type) {
		case *metricsql.FuncExpr:
			if !slices.Contains(functions, e.Name) {
				fault("the function %s is none of PromQL's that are in use here", e.Name)
			}
			if e.Name == "rate" || e.Name == "increase" {
				series := string(e.AppendString(nil))
				if !regexp.MustCompile(`_(total|bucket|count|sum)[{\[]`).MatchString(series) {
					fault("%s is of no counter", series)
				}
			}
		case *metricsql.AggrFuncExpr:
			if !slices.Contains(functions, e.Name) {
				fault("the aggregation %s is none that is in use here", e.Name)
			}
		case *metricsql.MetricExpr:
			for _, filters := range e.LabelFilterss {
				labels, found := metrics[filters[0].Value]
				if filters[0].Label != "__name__" || !found {
					fault("the server has no metric like %s", e.AppendString(nil))
					continue
				}
				named++
				for _, f := range filters[1:] {
					if !labels[f.Label] {
						fault("%s has no label %s", filters[0].Value, f.Label)
					}
				}
			}
		}
	})
	if named == 0 && len(faults) == 0 {
		fault("no metric is named")
	}
	return faults
}

// alertFile is what Prometheus reads from a rule file.
type alertFile struct {
	Groups []struct {
		Name  string `yaml:"name"`
		Rules []struct {
			Alert       string            `yaml:"alert"`
			Expr        string            `yaml:"expr"`
			For         string            `yaml:"for"`
			Labels      map[string]string `yaml:"labels"`
			Annotations map[string]string `yaml:"annotations"`
		} `yaml:"rules"`
	} `yaml:"groups"`
}

// TestAlertsAndDashboard: all that they ask for is there in a scrape.
func TestAlertsAndDashboard(t *testing.T) {
	metrics := scraped(t)

	var alerts alertFile
	if err := yaml.Load([]byte(readFile(t, "deploy/prometheus/alerts.yaml")), &alerts, yaml.WithKnownFields()); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, g := range alerts.Groups {
		for _, r := range g.Rules {
			if seen[r.Alert] || !strings.HasPrefix(r.Alert, "Hotshelf") {
				t.Errorf("the alert %q is there twice, or has no name", r.Alert)
			}
			seen[r.Alert] = true
			if !slices.Contains([]string{"critical", "warning", "info"}, r.Labels["severity"]) || r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
				t.Errorf("%s lacks a severity, a summary or a description: %v, %v", r.Alert, r.Labels, r.Annotations)
			}
			if r.For != "" && !regexp.MustCompile(`^[0-9]+[smh]$`).MatchString(r.For) {
				t.Errorf("%s: for %q", r.Alert, r.For)
			}
			for _, fault := range checkQuery(metrics, r.Expr) {
				t.Errorf("%s: %s", r.Alert, fault)
			}
		}
	}
	if len(seen) < 10 {
		t.Errorf("%d alerts", len(seen))
	}
	checkDashboard(t, metrics)
}

func checkDashboard(t *testing.T, metrics map[string]map[string]bool) {
	t.Helper()
	var dashboard struct {
		UID, Title string
		Templating struct {
			List []struct {
				Name, Type string
				Definition string
			}
		}
		Annotations struct{ List []struct{ Name, Expr string } }
		Panels      []struct {
			ID                   int
			Type, Title          string
			GridPos              struct{ X, Y, W, H int }
			Datasource           struct{ UID string }
			Targets              []struct{ RefID, Expr, LegendFormat string }
			FieldConfig, Options json.RawMessage
		}
	}
	if err := json.Unmarshal([]byte(readFile(t, "deploy/grafana/hotshelf.json")), &dashboard); err != nil {
		t.Fatal(err)
	}
	if dashboard.UID != "hotshelf" || dashboard.Title != "hotshelf" {
		t.Errorf("the dashboard is %q, %q", dashboard.UID, dashboard.Title)
	}
	for _, v := range dashboard.Templating.List {
		if v.Type != "query" {
			continue
		}
		series, label, found := strings.Cut(strings.TrimSuffix(strings.TrimPrefix(v.Definition, "label_values("), ")"), ", ")
		if !found || label != v.Name {
			t.Errorf("the variable %s is %s", v.Name, v.Definition)
		}
		for _, fault := range checkQuery(metrics, series) {
			t.Errorf("the variable %s: %s", v.Name, fault)
		}
	}
	for _, a := range dashboard.Annotations.List {
		for _, fault := range checkQuery(metrics, a.Expr) {
			t.Errorf("the annotation %s: %s", a.Name, fault)
		}
	}
	ids, queries, taken := map[int]bool{}, 0, map[[2]int]string{}
	for _, p := range dashboard.Panels {
		if ids[p.ID] {
			t.Errorf("%s: the id %d is there twice", p.Title, p.ID)
		}
		ids[p.ID] = true
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other := taken[[2]int{x, y}]; other != "" || x >= 24 {
					t.Fatalf("%s lies over %s or the edge", p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
		for _, q := range p.Targets {
			queries++
			for _, fault := range checkQuery(metrics, q.Expr) {
				t.Errorf("the panel %s: %s", p.Title, fault)
			}
		}
		if (p.Type != "row") != (len(p.Targets) > 0) || p.Type != "row" && p.Datasource.UID != "${datasource}" {
			t.Errorf("the panel %s of the type %s has %d queries to %q", p.Title, p.Type, len(p.Targets), p.Datasource.UID)
		}
	}
	if queries < 30 {
		t.Errorf("%d queries", queries)
	}
}

// TestQueryFaultsAreFound plants one fault in each query.
func TestQueryFaultsAreFound(t *testing.T) {
	metrics := map[string]map[string]bool{"a_total": {"status": true}, "b": {}}
	for query, want := range map[string]string{
		`rate(a_total{status="200"}[1m])`:         "",
		`sum by (status) (rate(a_total[1m])) > b`: "",
		`rate(a_total[$__rate_interval])`:         "",
		`rate(c_total[1m])`:                       "no metric",
		`sum(rate(a_total[1m])) / sum(c)`:         "no metric",
		`a_total{code="200"}`:                     "no label",
		`rate(b[1m])`:                             "of no counter",
		`rate(a_total[1m]`:                        "unparsed",
		`range_median(b)`:                         "none of PromQL's",
		`outliersk(1, b)`:                         "none that is in use",
		`1 + 1`:                                   "no metric is named",
	} {
		faults := checkQuery(metrics, query)
		if want == "" && len(faults) > 0 || want != "" && (len(faults) != 1 || !strings.Contains(faults[0], want)) {
			t.Errorf("%s: %v", query, faults)
		}
	}
}
