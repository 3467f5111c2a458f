package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	nethttp "net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/hotshelf/hotshelf/embedded/embedtest"
)

const writeToken = "till-token-0123456789"

// tokensFile writes a file with a token of that name for each secret.
func tokensFile(t *testing.T, path string, secrets ...string) {
	t.Helper()
	text := "# ours\n"
	for i, secret := range secrets {
		text += fmt.Sprintf("till%d %x\n", i, sha256.Sum256([]byte(secret)))
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// shop publishes a small sample in a database of its own and returns its
// address and the directory of the CSV files.
func shop(t *testing.T, dir string, products int, contract string) (database, csv string) {
	t.Helper()
	database = "--database-url=" + pg.Database(t)
	csv = filepath.Join(dir, "csv")
	must(t, dir, "sample", csv, "--products", strconv.Itoa(products), "--seed", "5")
	must(t, dir, "load", database, csv, "--quiet")
	must(t, dir, "warm", database, "--contract", contract, "--quiet")
	return database, csv
}

// writer sends requests to the write routes, and holds every answer against
// the server's own description.
type writer struct {
	t        *testing.T
	server   *server
	token    string
	document *openapi3.T
}

func newWriter(t *testing.T, s *server) *writer {
	t.Helper()
	_, _, text := s.get(t, "/openapi.yaml")
	document, err := openapi3.NewLoader().LoadFromData(text)
	if err != nil {
		t.Fatal(err)
	}
	return &writer{t, s, writeToken, document}
}

// send sends a body to the route that is described as path.
func (w *writer) send(method, path, target, body string, headers ...string) response {
	w.t.Helper()
	request, err := nethttp.NewRequestWithContext(w.t.Context(), method, w.server.url+target, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+w.token)
	request.Header.Set("Content-Type", "application/json")
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		request.Header.Set(name, value)
	}
	answer, err := nethttp.DefaultClient.Do(request)
	if err != nil {
		w.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	got := response{answer.StatusCode, answer.Header, text}
	if err := w.described(method, path, got); err != nil {
		w.t.Errorf("%s %s: %d %.500s: %v", method, target, got.status, text, err)
	}
	return got
}

// described says what of an answer is not as the description has it.
func (w *writer) described(method, path string, got response) error {
	ref := w.document.Paths.Value(path).GetOperation(method).Responses.Value(strconv.Itoa(got.status))
	if ref == nil {
		return errors.New("the status is not described")
	}
	for name, header := range ref.Value.Headers {
		if header.Value.Required && got.header.Get(name) == "" {
			return fmt.Errorf("the header %s is missing", name)
		}
	}
	content := ref.Value.Content[got.header.Get("Content-Type")]
	if content == nil {
		return fmt.Errorf("the type %s is not described", got.header.Get("Content-Type"))
	}
	var value any
	if err := json.Unmarshal(got.body, &value); err != nil {
		return err
	}
	return content.Schema.Value.VisitJSON(value, openapi3.EnableJSONSchema2020())
}

const (
	productsPath = "/products"
	productPath  = "/products/{product_id}"
	skuPath      = "/products/{product_id}/skus/{sku_id}"
)

// TestWriteRoutes goes through the life of a product: what a write answers is
// what the next read has, on this server at once, and on another one soon.
func TestWriteRoutes(t *testing.T) {
	t.Parallel()
	for _, contract := range []string{"pulsar", "atelier"} {
		t.Run(contract, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			database, csv := shop(t, dir, 30, contract)
			tokens := filepath.Join(dir, "tokens")
			tokensFile(t, tokens, writeToken)
			s := serve(t, dir, database, "--admin-addr=off", "--write-tokens-file", tokens)
			other := serve(t, dir, database, "--admin-addr=off")
			life(t, s, other, readCatalogue(t, csv), contract)
			if code := program(t, dir, "warm", database, "--verify", "--quiet").code; code != 0 {
				t.Errorf("warm --verify: exit code %d", code)
			}
			log := s.printed()
			for _, want := range []string{"token=till0 method=POST product=", "method=PATCH product=", "method=DELETE product=1 version=", "outcome=refused"} {
				if !strings.Contains(log, want) {
					t.Errorf("no %q in the log:\n%s", want, log)
				}
			}
			if strings.Contains(log, writeToken) || strings.Contains(log, "Camo") {
				t.Errorf("the log says too much:\n%s", log)
			}
		})
	}
}

func life(t *testing.T, s, other *server, c *catalogue, contract string) {
	w := newWriter(t, s)
	created := w.send("POST", productsPath, "/products", `{"name":"Camo","slogan":"\u00e9<&>","category":"Jackets","default_price":140.5,
		"features":[{"feature":"Fabric","value":"Canvas"},{"feature":"Plain"}],
		"styles":[{"name":"Green","original_price":"140.50","sale_price":99,"skus":[{"size":"XL","quantity":1},{"size":"XS","quantity":2}]}],"related":[1,2,1]}`)
	at := created.header.Get("Location")
	if created.status != 201 || !strings.HasPrefix(at, "/products/") {
		t.Fatalf("%+v %s", created, created.body)
	}
	same := func(written response) {
		t.Helper()
		_, header, body := s.get(t, at)
		if !bytes.Equal(body, written.body) || header.Get("ETag") != written.header.Get("ETag") {
			t.Errorf("written %s %s\nread    %s %s", written.header.Get("ETag"), written.body, header.Get("ETag"), body)
		}
		until(t, "the other server has it", func() bool {
			_, _, theirs := other.get(t, at)
			return bytes.Equal(theirs, body)
		})
	}
	same(created)
	if _, _, related := s.get(t, at+"/related"); string(related) != "[1,2,1]" {
		t.Errorf("related: %s", related)
	}
	if _, header, _ := s.get(t, "/products/list"); header.Get("X-Total-Count") != strconv.Itoa(len(c.products)+1) {
		t.Errorf("the list has %s products", header.Get("X-Total-Count"))
	}

	tag := created.header.Get("ETag")
	changed := w.send("PUT", productPath, at, `{"name":"Camo Onesie"}`, "If-Match: "+tag)
	if changed.status != 200 || !bytes.Equal(changed.body, bytes.Replace(created.body, []byte("Camo"), []byte("Camo Onesie"), 1)) {
		t.Errorf("%d %s", changed.status, changed.body)
	}
	same(changed)
	for name, refused := range map[string]response{
		"moved on":       w.send("PUT", productPath, at, `{"name":"x"}`, "If-Match: "+tag),
		"delete":         w.send("DELETE", productPath, at, "", "If-Match: "+tag),
		"PATCH":          w.send("PATCH", skuPath, "/products/2/skus/1", `{"quantity":1}`, "If-Match: "+tag),
		"no such state":  w.send("PUT", productPath, at, `{}`, `If-Match: "0-0"`),
		"a weak tag":     w.send("PUT", productPath, at, `{}`, "If-Match: W/"+changed.header.Get("ETag")),
		"an empty value": w.send("PUT", productPath, at, `{}`, "If-Match: "),
	} {
		if refused.status != 412 {
			t.Errorf("%s: %d %s", name, refused.status, refused.body)
		}
	}
	for name, refused := range map[string]response{
		"no product":      w.send("PUT", productPath, "/products/999999", `{}`, "If-Match: *"),
		"none to delete":  w.send("DELETE", productPath, "/products/999999", ""),
		"no SKU":          w.send("PATCH", skuPath, at+"/skus/1", `{"quantity":1}`),
		"neither of both": w.send("PATCH", skuPath, "/products/999999/skus/1", `{"quantity":1}`),
	} {
		if refused.status != 404 {
			t.Errorf("%s: %d %s", name, refused.status, refused.body)
		}
	}
	if got := w.send("PUT", productPath, at, `{"related":[1,999999,2,999998],"styles":[{"style_id":1,"name":"","original_price":1}]}`); got.status != 422 ||
		!strings.Contains(string(got.body), `"/related/1"`) || !strings.Contains(string(got.body), `"/related/3"`) || !strings.Contains(string(got.body), `"/styles/0/style_id"`) {
		t.Errorf("%d %s", got.status, got.body)
	}
	same(changed)
	stock(t, w, c, contract)

	// Product 1 leaves every list, those of new products too.
	if got := w.send("DELETE", productPath, "/products/1", ""); got.status != 200 || string(got.body) != `{"id":1}` {
		t.Errorf("%d %s", got.status, got.body)
	}
	if _, _, related := s.get(t, at+"/related"); string(related) != "[2]" {
		t.Errorf("related: %s", related)
	}
	if status, _, _ := s.get(t, "/products/1"); status != 404 {
		t.Errorf("the deleted product: %d", status)
	}
	if again := w.send("DELETE", productPath, "/products/1", ""); again.status != 404 {
		t.Errorf("deleted again: %d", again.status)
	}
	for _, p := range c.products[1:] {
		_, _, body := s.get(t, fmt.Sprintf("/products/%d/related", p.id))
		var ids []int64
		if err := json.Unmarshal(body, &ids); err != nil {
			t.Fatal(err)
		}
		var want []int64
		for _, id := range p.related {
			if id != 1 {
				want = append(want, id)
			}
		}
		if len(ids) != len(want) || len(want) > 0 && !reflect.DeepEqual(ids, want) {
			t.Errorf("related of %d: %v, want %v", p.id, ids, want)
		}
	}
}

// stock sets the stock of the first SKU that isn't product 1's.
func stock(t *testing.T, w *writer, c *catalogue, contract string) {
	t.Helper()
	i := 1 + slices.IndexFunc(c.products[1:], func(p *product) bool { return len(p.styles) > 0 && len(p.styles[0].skus) > 0 })
	p := c.products[i]
	k := &p.styles[0].skus[0]
	styles := fmt.Sprintf("/products/%d/styles", p.id)
	_, _, before := w.server.get(t, styles)
	got := w.send("PATCH", skuPath, fmt.Sprintf("/products/%d/skus/%d", p.id, k.id), `{"quantity":4321}`, "If-Match: *")
	if want := fmt.Sprintf(`{"id":%d,"size":%q,"quantity":4321}`, k.id, k.size); got.status != 200 || string(got.body) != want {
		t.Errorf("%d %s, want %s", got.status, got.body, want)
	}
	k.quantity = 4321
	_, header, after := w.server.get(t, styles)
	if bytes.Equal(before, after) || header.Get("ETag") != got.header.Get("ETag") || !reflect.DeepEqual(decode(t, after), any(p.allStyles(contract))) {
		t.Errorf("%s\nafter  %s\nbefore %s", header.Get("ETag"), after, before)
	}
}

// TestWriteTokens: where tokens come from, and how they are replaced.
func TestWriteTokens(t *testing.T) {
	dir := t.TempDir()
	database, _ := shop(t, dir, 5, "pulsar")
	tokens := filepath.Join(dir, "tokens")
	tokensFile(t, tokens, "first-0123456789")
	t.Setenv("HOTSHELF_WRITE_TOKEN", "env/token+0123456789=")
	s := serve(t, dir, database, "--admin-addr=off", "--write-tokens-file", tokens)
	w := newWriter(t, s)
	status := func(token string) int {
		t.Helper()
		w.token = token
		return w.send("PUT", productPath, "/products/1", `{}`).status
	}
	want := func(statuses map[string]int) {
		t.Helper()
		for token, want := range statuses {
			if got := status(token); got != want {
				t.Errorf("%s: %d, want %d", token, got, want)
			}
		}
	}
	hangup := func(says string) {
		t.Helper()
		times := strings.Count(s.printed(), says)
		if err := s.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		until(t, "the server says "+says, func() bool { return strings.Count(s.printed(), says) > times })
	}
	want(map[string]int{"first-0123456789": 200, "env/token+0123456789=": 200, "second-0123456789": 401, "": 401})

	tokensFile(t, tokens, "first-0123456789", "second-0123456789")
	hangup("write tokens are in force")
	want(map[string]int{"first-0123456789": 200, "second-0123456789": 200, "env/token+0123456789=": 200})

	// A file with a fault changes nothing.
	if err := os.WriteFile(tokens, []byte("# ours\ntill0 123\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	hangup("line 2")
	want(map[string]int{"first-0123456789": 200, "second-0123456789": 200})

	tokensFile(t, tokens, "second-0123456789")
	hangup("write tokens are in force")
	want(map[string]int{"first-0123456789": 401, "second-0123456789": 200, "env/token+0123456789=": 200})
	if code := s.stop(t, syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if log := s.printed(); !strings.Contains(log, "token=environment") || strings.Contains(log, "0123456789") {
		t.Errorf("log:\n%s", log)
	}

	// What can't be used ends the start.
	t.Setenv("HOTSHELF_WRITE_TOKEN", "fifteen-letters")
	wantSentence(t, program(t, dir, "server", database), 1, "$HOTSHELF_WRITE_TOKEN", "16 characters")
	t.Setenv("HOTSHELF_WRITE_TOKEN", "sixteen letters!")
	wantSentence(t, program(t, dir, "server", database), 1, "$HOTSHELF_WRITE_TOKEN", "letters, digits")
	t.Setenv("HOTSHELF_WRITE_TOKEN", "")
	wantSentence(t, program(t, dir, "server", database, "--write-tokens-file", "nowhere"), 1, "write tokens", "nowhere")
	if err := os.WriteFile(tokens, []byte("till0\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	wantSentence(t, program(t, dir, "server", database, "--write-tokens-file", tokens), 1, "write tokens", tokens, "line 1")

	// Without any, writes are off.
	s = serve(t, dir, database, "--admin-addr=off")
	w = newWriter(t, s)
	if got := w.send("PUT", productPath, "/products/1", `{}`); got.status != 403 {
		t.Errorf("%d %s", got.status, got.body)
	}
}

// TestUnknownOutcome: the database is cut off while it commits. Whether it
// then commits or not, the client is told that nobody knows, and reads have
// what became of it.
func TestUnknownOutcome(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	database, _ := shop(t, dir, 5, "pulsar")
	url := strings.TrimPrefix(database, "--database-url=")
	link := embedtest.NewLink(t, url)
	tokens := filepath.Join(dir, "tokens")
	tokensFile(t, tokens, writeToken)
	s := serve(t, dir, "--database-url="+link.URL(), "--admin-addr=off", "--write-tokens-file", tokens)
	w := newWriter(t, s)
	// A commit waits for whoever holds this lock.
	psql(t, url, `create function held() returns trigger language plpgsql as $$ begin perform pg_advisory_xact_lock(4711); return null; end $$`)
	psql(t, url, `create constraint trigger held after insert on hotshelf.feed deferrable initially deferred for each row execute function held()`)
	query := session(t, url)
	const waiting = `from pg_locks where locktype = 'advisory' and objid = 4711 and not granted`

	// cutOff makes a write, cuts the link while it commits, and decides.
	cutOff := func(decide, method, path, target, body string) response {
		t.Helper()
		query(`select pg_advisory_lock(4711)`)
		answer := make(chan response, 1)
		go func() { answer <- w.send(method, path, target, body) }()
		until(t, "the write commits", func() bool { return query(`select count(*) `+waiting) == "1" })
		link.Cut()
		got := <-answer
		if got.status != 504 {
			t.Errorf("%s %s: %d %s", method, target, got.status, got.body)
		}
		query(decide)
		query(`select pg_advisory_unlock_all()`)
		until(t, "the database has decided", func() bool {
			return query(`select count(*) from pg_locks where locktype = 'advisory' and objid = 4711`) == "0"
		})
		link.Heal()
		return got
	}
	shows := func(target, want string) {
		t.Helper()
		until(t, target+" shows "+want, func() bool {
			status, _, body := s.get(t, target)
			return strings.Contains(fmt.Sprint(status, " ", string(body)), want)
		})
	}
	const commit, refuse = `select 1`, `select pg_terminate_backend(pid) ` + waiting
	_, _, before := s.get(t, "/products/1")
	cutOff(refuse, "PUT", productPath, "/products/1", `{"name":"never"}`)
	shows("/products/1", string(before))
	cutOff(commit, "PUT", productPath, "/products/1", `{"name":"after all"}`)
	shows("/products/1", `"name":"after all"`)
	created := cutOff(commit, "POST", productsPath, "/products", `{"name":"new","category":"","default_price":1}`)
	shows(created.header.Get("Location"), `200 {"id"`)
	lost := cutOff(refuse, "POST", productsPath, "/products", `{"name":"lost","category":"","default_price":1}`)
	shows(lost.header.Get("Location"), `404 `)
	cutOff(commit, "DELETE", productPath, "/products/1", "")
	shows("/products/1", "404 ")
	if n := strings.Count(s.printed(), "outcome=unknown"); n != 5 {
		t.Errorf("%d unknown outcomes in the log:\n%s", n, s.printed())
	}
	if code := program(t, dir, "warm", database, "--verify", "--quiet").code; code != 0 {
		t.Errorf("warm --verify: exit code %d", code)
	}
}
