package e2e

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/hotshelf/hotshelf/blob"
	"github.com/hotshelf/hotshelf/store"
)

// TestRandomWrites sends random bodies, valid and not, to the write routes:
// none ends in a 5xx, a refused one leaves nothing, one that is valid by the
// description is taken and no other; and at the end every blob is what the
// builder makes of the rows, and what the server answers with.
func TestRandomWrites(t *testing.T) {
	t.Parallel()
	count := 400
	if testing.Short() {
		count = 100
	}
	randomWrites(t, "pulsar", count, 1)
	randomWrites(t, "atelier", count, 2)
}

// everyRow is a digest of all that a write may touch.
const everyRow = `
select md5(string_agg(t, E'\n' order by t)) from (
	select 'p' || p::text from catalog.products p union all select 'f' || f::text from catalog.features f union all
	select 's' || s::text from catalog.styles s union all select 'r' || r::text from catalog.related r union all
	select 'o' || o::text from catalog.photos o union all select 'k' || k::text from catalog.skus k union all
	select 'b' || b::text from shelf.blobs b union all select 'e' || e::text from hotshelf.feed e union all
	select 'w' || w::text from hotshelf.written w) all_rows (t)`

func randomWrites(t *testing.T, contract string, count int, seed uint64) {
	t.Helper()
	dir := t.TempDir()
	database, _ := shop(t, dir, 20, contract)
	url := strings.TrimPrefix(database, "--database-url=")
	tokens := filepath.Join(dir, "tokens")
	tokensFile(t, tokens, writeToken)
	r := &randomWriter{t: t, writer: newWriter(t, serve(t, dir, database, "--admin-addr=off", "--write-tokens-file", tokens))}
	db, err := store.Open(t.Context(), url, "test", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	r.bodies = &bodies{Rand: rand.New(rand.NewPCG(seed, 7)), ids: r.id}
	if err := db.LiveIDs(t.Context(), func(id int64) { r.live = append(r.live, id) }); err != nil {
		t.Fatal(err)
	}
	r.query = session(t, url)
	before := r.query(everyRow)
	for range count {
		body, got := r.write()
		if t.Failed() {
			t.Fatalf("the body was %s", body)
		}
		if got.status/100 == 2 {
			r.taken++
			before = r.query(everyRow)
		} else if after := r.query(everyRow); after != before {
			t.Fatalf("%d %s, but something was written of %s", got.status, got.body, body)
		}
	}
	if r.taken < count/4 || count-r.taken < count/4 {
		t.Errorf("%d of %d were taken", r.taken, count)
	}
	if verified := program(t, dir, "warm", database, "--verify", "--quiet"); verified.code != 0 {
		t.Errorf("warm --verify: exit code %d\n%s%s", verified.code, verified.stdout, verified.stderr)
	}
	rows, err := db.Lookup(t.Context(), r.live)
	if err != nil || len(rows) != len(r.live) {
		t.Fatalf("%d of %d products: %v", len(rows), len(r.live), err)
	}
	for _, row := range rows {
		for path, stored := range map[string][]byte{"": row.Detail, "/styles": row.Styles, "/related": row.Related} {
			if _, _, body := r.server.get(t, fmt.Sprintf("/products/%d%s", row.ProductID, path)); !bytes.Equal(body, blob.AppendWire(nil, stored)) {
				t.Errorf("%d%s is answered as %s, but stored as %s", row.ProductID, path, body, stored)
			}
		}
	}
	t.Logf("%s: %d of %d were taken, %d products", contract, r.taken, count, len(r.live))
}

type randomWriter struct {
	*writer
	*bodies
	t     *testing.T
	query func(sql string) string
	live  []int64
	taken int
	// What an element of the next body may keep.
	styles, skus []string
}

// id is an id for a field; each style and SKU occurs once.
func (r *randomWriter) id(field string) string {
	from := &r.styles
	switch field {
	case "related":
		return strconv.FormatInt(pick(r.bodies, r.live...), 10)
	case "id":
		from = &r.skus
	}
	if len(*from) == 0 {
		return ""
	}
	i := r.IntN(len(*from))
	id := (*from)[i]
	*from = slices.Delete(*from, i, i+1)
	return id
}

// write makes one write and checks its answer.
func (r *randomWriter) write() (body string, got response) {
	r.styles, r.skus = nil, nil
	id := pick(r.bodies, r.live...)
	at := fmt.Sprintf("/products/%d", id)
	var schema *openapi3.Schema
	kind := r.IntN(10)
	if len(r.live) < 10 {
		kind = 3
	} else if len(r.live) > 60 {
		kind = 0
	}
	r.spoiled = false
	switch {
	case kind < 1:
		got = r.send("DELETE", productPath, at, "")
	case kind < 4:
		schema = bodyOf(r.document, "POST", productsPath)
		body = r.body(schema)
		got = r.send("POST", productsPath, "/products", body)
	case kind < 8:
		r.styles = strings.Fields(r.query(fmt.Sprintf("select string_agg(id::text, ' ') from catalog.styles where product_id = %d", id)))
		r.skus = strings.Fields(r.query(fmt.Sprintf("select string_agg(k.id::text, ' ') from catalog.skus k join catalog.styles s on s.id = k.style_id where s.product_id = %d", id)))
		schema = bodyOf(r.document, "PUT", productPath)
		body = r.body(schema)
		got = r.send("PUT", productPath, at, body)
	default:
		sku := r.query(fmt.Sprintf("select min(k.id) from catalog.skus k join catalog.styles s on s.id = k.style_id where s.product_id = %d", id))
		schema = bodyOf(r.document, "PATCH", skuPath)
		body = r.body(schema)
		got = r.send("PATCH", skuPath, at+"/skus/"+max(sku, "1"), body)
		if sku == "" && got.status/100 == 2 {
			r.t.Error("stock was set of a SKU that is another product's")
		}
		r.spoiled = r.spoiled || sku == ""
	}
	switch {
	case got.status >= 500:
		r.t.Errorf("%d %s", got.status, got.body)
	case got.status/100 != 2 && !r.spoiled:
		r.t.Errorf("a valid body was refused: %d %s", got.status, got.body)
	case got.status/100 == 2 && schema != nil:
		if err := asDescribed(schema, body); err != nil {
			r.t.Errorf("a body was taken that is not as described: %v", err)
		}
	}
	switch got.status {
	case 201:
		created, _ := strconv.ParseInt(strings.TrimPrefix(got.header.Get("Location"), "/products/"), 10, 64)
		r.live = append(r.live, created)
	case 200:
		if schema == nil {
			r.live = slices.DeleteFunc(r.live, func(x int64) bool { return x == id })
		}
	}
	return body, got
}

// session keeps one psql, which answers each statement with one value: to
// start one for each would take most of the test's time.
func session(t *testing.T, url string) (query func(sql string) string) {
	t.Helper()
	path, err := exec.LookPath("psql")
	if err != nil {
		t.Skip("psql isn't installed: what the database holds is not looked at")
	}
	cmd := exec.Command(path, "--no-psqlrc", "-qAt", "-v", "ON_ERROR_STOP=1", "-d", url)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
	})
	lines := bufio.NewReader(out)
	return func(sql string) string {
		t.Helper()
		if _, err := io.WriteString(in, sql+";\n"); err != nil {
			t.Fatal(err)
		}
		line, err := lines.ReadString('\n')
		if err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
		return strings.TrimSuffix(line, "\n")
	}
}
