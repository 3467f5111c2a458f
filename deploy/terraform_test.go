package deploy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/zclconf/go-cty/cty"
)

// choice is what a user decides; the rest is what any will do.
func choice(servers int64, databaseURL string) map[string]cty.Value {
	return map[string]cty.Value{
		"server_count":           cty.NumberIntVal(servers),
		"database_url":           cty.StringVal(databaseURL),
		"server_artifact":        cty.StringVal("s3://a-bucket/hotshelf.tar.gz"),
		"server_artifact_sha256": cty.StringVal(strings.Repeat("0a", 32)),
		"legacy_upstream":        cty.StringVal("http://old.example:3000"),
	}
}

const theirDatabase = "postgres://shop:the-password@db.example:5432/shop"

func TestTerraformFormatted(t *testing.T) {
	for _, file := range terraformFiles(t) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(hclwrite.Format(text), text) {
			t.Errorf("%s: terraform fmt formats it differently", file)
		}
	}
	for _, tool := range []string{"terraform", "tofu"} {
		path, err := exec.LookPath(tool)
		if err != nil {
			continue
		}
		cmd := exec.Command(path, "fmt", "-check", "-recursive", "-diff", terraformDir)
		cmd.Env = append(os.Environ(), "CHECKPOINT_DISABLE=1", "TF_CLI_CONFIG_FILE="+os.DevNull)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s fmt: %v\n%s", tool, err, out)
		}
	}
}

// TestTerraformReferences: what is referred to is there, which terraform only
// says once it has the providers.
func TestTerraformReferences(t *testing.T) {
	c := configured(t, choice(1, ""))
	declared := map[string]bool{}
	for _, b := range c.blocks {
		switch b.Type {
		case "variable":
			declared["var."+b.Labels[0]] = true
		case "resource":
			declared[strings.Join(b.Labels, ".")] = true
		case "data", "ephemeral":
			declared[b.Type+"."+strings.Join(b.Labels, ".")] = true
		case "locals":
			for name := range b.Body.Attributes {
				declared["local."+name] = true
			}
		}
	}
	depth := map[string]int{"data": 3, "ephemeral": 3, "each": 0, "count": 0, "path": 0}
	seen := 0
	var check func(body *hclsyntax.Body)
	check = func(body *hclsyntax.Body) {
		for name, attribute := range body.Attributes {
			if name == "ignore_changes" || name == "type" && len(attribute.Expr.Variables()) == 1 { // words of terraform's own
				continue
			}
			for _, traversal := range attribute.Expr.Variables() {
				n, special := depth[traversal.RootName()]
				if !special {
					n = 2
				}
				if n == 0 {
					continue
				}
				path := []string{traversal.RootName()}
				for _, step := range traversal[1:n] {
					path = append(path, step.(hcl.TraverseAttr).Name)
				}
				seen++
				if !declared[strings.Join(path, ".")] {
					t.Errorf("%s: there is no %s", attribute.SrcRange, strings.Join(path, "."))
				}
			}
		}
		for _, b := range body.Blocks {
			check(b.Body)
		}
	}
	for _, b := range c.blocks {
		if b.Type != "terraform" {
			check(b.Body)
		}
	}
	if seen < 50 {
		t.Errorf("only %d references were looked at", seen)
	}
}

// TestTerraformCounts: what there is for how many servers.
func TestTerraformCounts(t *testing.T) {
	for _, c := range []struct {
		servers                          int64
		url                              string
		server, edge, database, volume   int
		url_, password, public, snapshot int
	}{
		{servers: 1, url: "", server: 1, volume: 1, snapshot: 1},
		{servers: 1, url: theirDatabase, server: 1, url_: 1},
		{servers: 2, url: "", server: 2, edge: 1, database: 1, volume: 1, password: 1, snapshot: 1},
		{servers: 5, url: "", server: 5, edge: 1, database: 1, volume: 1, password: 1, snapshot: 1},
		{servers: 2, url: theirDatabase, server: 2, edge: 1, url_: 1},
	} {
		counts := configured(t, choice(c.servers, c.url)).count()
		for resource, want := range map[string]int{
			"aws_instance.server": c.server, "aws_instance.edge": c.edge, "aws_instance.database": c.database,
			"aws_ebs_volume.database": c.volume, "aws_volume_attachment.database": c.volume,
			"aws_dlm_lifecycle_policy.database": c.snapshot, "aws_ssm_parameter.write_token": 1,
			"aws_ssm_parameter.database_url": c.url_, "aws_ssm_parameter.database_password": c.password,
			"aws_security_group.database": c.database,
		} {
			if counts[resource] != want {
				t.Errorf("%d servers, database_url %q: %d of %s, want %d", c.servers, c.url, counts[resource], resource, want)
			}
		}
		for resource := range counts {
			if strings.HasPrefix(resource, "aws_lb") || strings.HasPrefix(resource, "aws_elb") || strings.HasPrefix(resource, "aws_nat") {
				t.Errorf("there is a %s", resource)
			}
		}
	}
}

// TestTerraformInstances: all are t2.micro with encrypted disks, and only one
// of them, the edge or the single server, is in the group that the world reaches.
func TestTerraformInstances(t *testing.T) {
	for servers, public := range map[int64]string{1: "server", 2: "edge"} {
		c := configured(t, choice(servers, ""))
		counts := c.count()
		world := map[string]bool{}
		for _, b := range c.all("resource") {
			switch b.Labels[0] {
			case "aws_vpc_security_group_ingress_rule":
				if !c.value(b, "cidr_ipv4").IsNull() || !c.value(b, "cidr_ipv6").IsNull() {
					world[c.value(b, "security_group_id").AsString()] = true
				}
			case "aws_security_group":
				if len(b.Body.Blocks) > 0 || b.Body.Attributes["ingress"] != nil {
					t.Errorf("%q has rules of its own", b.Labels)
				}
			case "aws_ebs_volume":
				if c.value(b, "encrypted").False() {
					t.Errorf("%q is not encrypted", b.Labels)
				}
			}
		}
		if len(world) != 1 || !world["public"] {
			t.Fatalf("open to the world: %v", world)
		}
		for _, b := range c.all("resource") {
			if b.Labels[0] != "aws_instance" || counts["aws_instance."+b.Labels[1]] == 0 {
				continue
			}
			if got := c.value(b, "instance_type"); got.AsString() != "t2.micro" {
				t.Errorf("%s is a %s", b.Labels[1], got.AsString())
			}
			open := false
			for _, group := range c.value(b, "vpc_security_group_ids").AsValueSlice() {
				open = open || world[group.AsString()]
			}
			if open != (b.Labels[1] == public) {
				t.Errorf("%d servers: the world reaches %s: %v", servers, b.Labels[1], open)
			}
			encrypted, metadata := false, false
			for _, nested := range b.Body.Blocks {
				encrypted = encrypted || nested.Type == "root_block_device" && c.value(nested, "encrypted").True()
				metadata = metadata || nested.Type == "metadata_options" && c.value(nested, "http_tokens").AsString() == "required"
			}
			if !encrypted || !metadata {
				t.Errorf("%s: encrypted disk %v, metadata by token %v", b.Labels[1], encrypted, metadata)
			}
		}
	}
}

// TestTerraformSnapshots: daily, and of the database's volume.
func TestTerraformSnapshots(t *testing.T) {
	c := configured(t, choice(1, ""))
	found := false
	for _, b := range c.all("resource") {
		if b.Labels[0] != "aws_dlm_lifecycle_policy" {
			continue
		}
		details := b.Body.Blocks[0]
		rule := details.Body.Blocks[0].Body.Blocks[0]
		hours, _ := c.value(rule, "interval").AsBigFloat().Int64()
		tags := c.value(details, "target_tags")
		found = hours == 24 && c.value(rule, "interval_unit").AsString() == "HOURS" && c.value(b, "state").AsString() == "ENABLED"
		for _, volume := range c.all("resource") {
			if volume.Labels[0] == "aws_ebs_volume" {
				found = found && c.value(volume, "tags").GetAttr("Snapshots").RawEquals(tags.GetAttr("Snapshots"))
			}
		}
	}
	if !found {
		t.Error("no daily snapshots of the volume")
	}
}

// TestTerraformSecrets: none is in user data, nor in the state where that can be avoided.
func TestTerraformSecrets(t *testing.T) {
	for _, servers := range []int64{1, 2} {
		for _, url := range []string{"", theirDatabase} {
			c := configured(t, choice(servers, url))
			for _, name := range []string{"server_user_data", "database_user_data", "edge_user_data"} {
				for _, data := range userData(c, name) {
					if strings.Contains(data, "the-password") || strings.Contains(data, theirDatabase) {
						t.Errorf("%s has the database's password", name)
					}
					if len(data) > 16<<10 {
						t.Errorf("%s has %d bytes, AWS takes 16,384", name, len(data))
					}
				}
			}
		}
	}
	c := configured(t, choice(2, ""))
	for _, b := range c.all("resource") {
		switch b.Labels[0] {
		case "random_password":
			t.Errorf("%q would be in the state: ephemeral is not", b.Labels)
		case "aws_ssm_parameter":
			if c.value(b, "type").AsString() != "SecureString" || b.Body.Attributes["value"] != nil || b.Body.Attributes["value_wo"] == nil {
				t.Errorf("%q would be in the state", b.Labels)
			}
		}
	}
}

// userData are the user data of one kind of instance.
func userData(c *configuration, name string) (all []string) {
	value := c.local(name)
	if value.Type() == cty.String {
		return []string{value.AsString()}
	}
	for _, v := range value.AsValueSlice() {
		all = append(all, v.AsString())
	}
	return all
}

func TestTerraformValidations(t *testing.T) {
	long := strings.Repeat("ab", 32)
	for name, values := range map[string]struct{ good, bad []any }{
		"region":                 {[]any{"us-east-1", "ap-southeast-2"}, []any{"", "us-east", "US-EAST-1"}},
		"name":                   {[]any{"hotshelf", "shop-2"}, []any{"", "Shop", "2shop", strings.Repeat("a", 30)}},
		"server_count":           {[]any{1, 2, 20}, []any{0, -1, 21, 1.5}},
		"database_url":           {[]any{"", theirDatabase, "postgresql://a@b/c"}, []any{"mysql://a", "postgres://a'b", "postgres:// a"}},
		"server_artifact":        {[]any{"s3://my.bucket/a/b.tgz", "https://example.com/b.tgz"}, []any{"", "b.tgz", "http://example.com/b.tgz", "s3://bucket", "https://e.com/a'b"}},
		"server_artifact_sha256": {[]any{long}, []any{"", long[1:], strings.ToUpper(long)}},
		"catalogue":              {[]any{"", "s3://bucket", "s3://bucket/a/"}, []any{"bucket", "https://example.com/", "s3://b/'"}},
		"legacy_upstream":        {[]any{"", "http://10.0.0.1:3000", "https://old.example.com"}, []any{"old", "http://old/path", "http://old;"}},
		"database_volume_gb":     {[]any{8, 1024}, []any{7, 1025, 8.5}},
		"snapshots_kept":         {[]any{1, 365}, []any{0, 366, 1.5}},
		"secrets_version":        {[]any{1, 7}, []any{0, 1.5}},
	} {
		for i, list := range [][]any{values.good, values.bad} {
			for _, v := range list {
				value := cty.NullVal(cty.String)
				switch v := v.(type) {
				case string:
					value = cty.StringVal(v)
				case int:
					value = cty.NumberIntVal(int64(v))
				case float64:
					value = cty.NumberFloatVal(v)
				}
				if valid, want := valid(t, name, value), i == 0; valid != want {
					t.Errorf("%s = %v: valid %v, want %v", name, v, valid, want)
				}
			}
		}
	}
	for _, b := range configured(t, choice(1, "")).all("variable") {
		if b.Body.Attributes["description"] == nil || b.Body.Attributes["type"] == nil || len(b.Body.Blocks) == 0 {
			t.Errorf("variable %s has no description, type or validation", b.Labels[0])
		}
	}
}

func valid(t *testing.T, name string, value cty.Value) bool {
	t.Helper()
	c := configured(t, choice(1, ""))
	variables := c.ctx.Variables["var"].AsValueMap()
	variables[name] = value
	c.ctx.Variables["var"] = cty.ObjectVal(variables)
	for _, b := range c.all("variable") {
		if b.Labels[0] == name {
			return c.value(b.Body.Blocks[0], "condition").True()
		}
	}
	t.Fatalf("there is no variable %s", name)
	return false
}

// cloudFile is a file that an instance gets, from its user data.
func cloudFile(t *testing.T, data, path string) string {
	t.Helper()
	_, after, found := strings.Cut(data, "- path: "+path+"\n")
	_, after, also := strings.Cut(after, "content: ")
	line, _, _ := strings.Cut(after, "\n")
	var text string
	if err := json.Unmarshal([]byte(line), &text); err != nil || !found || !also {
		t.Fatal(errors.Join(err, fmt.Errorf("the user data have no %s", path)))
	}
	return text
}

// TestTerraformEvaluates: terraform itself, where it is installed, makes the
// same of the local values. They need no provider, so this needs no internet.
func TestTerraformEvaluates(t *testing.T) {
	terraform, err := exec.LookPath("terraform")
	if err != nil {
		t.Skip("terraform is not installed")
	}
	top := t.TempDir()
	dir := filepath.Join(top, "terraform")
	for from, to := range map[string]string{terraformDir + "/templates": dir + "/templates", "nginx": top + "/deploy/nginx"} {
		if err := os.CopyFS(to, os.DirFS(from)); err != nil {
			t.Fatal(err)
		}
	}
	files := map[string]string{"outputs.tf": ""}
	for _, name := range []string{"variables.tf", "locals.tf", "cloud-init.tf"} {
		files[name] = read(t, filepath.Join(terraformDir, name))
	}
	names := []string{"server_user_data", "database_user_data", "edge_user_data"}
	for _, name := range names {
		files["outputs.tf"] += fmt.Sprintf("output %q {\n  value = local.%s\n}\n", name, name)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run := func(args ...string) []byte {
		cmd := exec.Command(terraform, args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "CHECKPOINT_DISABLE=1", "TF_CLI_CONFIG_FILE="+os.DevNull, "TF_IN_AUTOMATION=1")
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("terraform %s: %v\n%s%s", args, err, out, stderr.Bytes())
		}
		return out
	}
	run("init", "-input=false", "-no-color")
	for _, servers := range []int64{1, 2} {
		for _, url := range []string{"", theirDatabase} {
			args := []string{"apply", "-auto-approve", "-input=false", "-no-color"}
			for name, value := range choice(servers, url) {
				text := fmt.Sprint(servers)
				if value.Type() == cty.String {
					text = value.AsString()
				}
				args = append(args, "-var", name+"="+text)
			}
			run(args...)
			var outputs map[string]struct{ Value json.RawMessage }
			if err := json.Unmarshal(run("output", "-json"), &outputs); err != nil {
				t.Fatal(err)
			}
			c := configured(t, choice(servers, url))
			for _, name := range names {
				var theirs []string
				if err := json.Unmarshal(outputs[name].Value, &theirs); err != nil {
					theirs = make([]string, 1)
					if err := json.Unmarshal(outputs[name].Value, &theirs[0]); err != nil {
						t.Fatal(err)
					}
				}
				if ours := userData(c, name); !slices.Equal(ours, theirs) {
					t.Errorf("%d servers, database_url %q: terraform makes another %s\n%s\n%s", servers, url, name, ours, theirs)
				}
			}
		}
	}
}
