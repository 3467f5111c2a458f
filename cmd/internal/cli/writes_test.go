package cli

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hotshelf/hotshelf/blob"
	"github.com/hotshelf/hotshelf/embedded/embedtest"
	"github.com/hotshelf/hotshelf/sample"
	"github.com/hotshelf/hotshelf/store"
)

var pg embedtest.Server

func TestMain(m *testing.M) { os.Exit(pg.Run(m)) }

// TestWritesLeaveWhatWarmBuilds: after many random writes, a warm of the same
// rows finds every blob as it would have built it.
func TestWritesLeaveWhatWarmBuilds(t *testing.T) {
	streams := IO{Stdout: io.Discard, Stderr: io.Discard}
	for _, contract := range []string{"pulsar", "atelier"} {
		t.Run(contract, func(t *testing.T) {
			db, err := store.Open(t.Context(), pg.Database(t), "test", 0)
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			dir := filepath.Join(t.TempDir(), "csv")
			if _, err := sample.Write(t.Context(), sample.Options{Dir: dir, Products: 40, Seed: 3}); err != nil {
				t.Fatal(err)
			}
			if err := Load(t.Context(), db, LoadJob{Dir: dir, Source: "sample", Quiet: true}, streams); err != nil {
				t.Fatal(err)
			}
			if err := Warm(t.Context(), db, WarmJob{Contract: contract, Quiet: true}, streams); err != nil {
				t.Fatal(err)
			}
			kept := writeAtRandom(t, db)
			before := shelf(t, db)
			if err := Warm(t.Context(), db, WarmJob{Quiet: true}, streams); err != nil {
				t.Fatal(err)
			}
			after := shelf(t, db)
			if len(before) != len(after) || len(before) < 20 || kept == 0 {
				t.Fatalf("%d products before the warm, %d after, %d styles kept their ids", len(before), len(after), kept)
			}
			for id, was := range before {
				if after[id] != was {
					t.Errorf("product %d:\nwritten %s\nwarmed  %s", id, was, after[id])
				}
			}
		})
	}
}

// shelf is what is stored of every product.
func shelf(t *testing.T, db *store.DB) map[int64]string {
	t.Helper()
	var ids []int64
	if err := db.LiveIDs(t.Context(), func(id int64) { ids = append(ids, id) }); err != nil {
		t.Fatal(err)
	}
	rows, err := db.Lookup(t.Context(), ids)
	if err != nil {
		t.Fatal(err)
	}
	all := map[int64]string{}
	for _, r := range rows {
		all[r.ProductID] = fmt.Sprint(r.Version, r.Hash, string(r.Detail), string(r.Styles), string(r.Related))
	}
	return all
}

// writeAtRandom makes writes, valid and invalid, and returns how many styles
// have kept their ids. A refused write is no error here, but one that fails
// for another reason is.
func writeAtRandom(t *testing.T, db *store.DB) (kept int) {
	random := rand.New(rand.NewPCG(1, 2))
	pick := func(of ...string) string { return of[random.IntN(len(of))] }
	text := func() string {
		return pick(`""`, `"plain"`, `"tab\t\"quote\" \\ \u0001"`, `"Größe \ud83d\ude00"`, `"null"`)
	}
	price := func() string { return pick(`0`, `140`, `"140.5"`, `9999999999.99`, `0.07`) }
	list := func(n int, element func() string) string {
		var all []string
		for range random.IntN(n) {
			all = append(all, element())
		}
		return "[" + strings.Join(all, ",") + "]"
	}
	style := func(id string) string {
		s := `{` + id + `"name":` + text() + `,"original_price":` + price() + `,"sale_price":` + pick(`null`, price()) + `,"default?":` + pick("true", "false")
		if random.IntN(2) == 0 {
			s += `,"photos":` + list(3, func() string { return `{"url":` + text() + `,"thumbnail_url":` + text() + `}` })
		}
		if random.IntN(2) == 0 {
			s += `,"skus":` + list(4, func() string {
				return `{"size":` + pick(`"XS"`, `"7.5"`, text()) + `,"quantity":` + pick("0", "2147483647", "5") + `}`
			})
		}
		return s + `}`
	}
	var live []int64
	if err := db.LiveIDs(t.Context(), func(id int64) { live = append(live, id) }); err != nil {
		t.Fatal(err)
	}
	for range 150 {
		id := live[random.IntN(len(live))]
		fields := []string{`"slogan":` + text()}
		if random.IntN(2) == 0 {
			fields = append(fields, `"features":`+list(4, func() string { return `{"feature":` + text() + `,"value":` + pick("null", text()) + `}` }))
		}
		if random.IntN(2) == 0 {
			fields = append(fields, `"related":`+list(4, func() string { return fmt.Sprint(live[random.IntN(len(live))] + int64(random.IntN(8)/7*1000)) }))
		}
		styles := func() string { return `"styles":` + list(3, func() string { return style("") }) }
		var done blob.Written
		var err error
		switch kind := random.IntN(10); {
		case kind == 0 && len(live) > 25:
			if done, err = db.Delete(t.Context(), id, nil); err == nil {
				live = slices.DeleteFunc(live, func(x int64) bool { return x == id })
			}
		case kind < 3:
			done, err = create(t, db, "{"+strings.Join(append(fields, styles(), `"name":`+text(), `"category":`+text(), `"default_price":`+price()), ",")+"}")
			if err == nil {
				live = append(live, done.Row.ProductID)
			}
		case kind < 6:
			rows, lookupErr := db.Lookup(t.Context(), []int64{id})
			if lookupErr != nil {
				t.Fatal(lookupErr)
			}
			// The first style that is there keeps its id.
			_, styleID, _ := strings.Cut(string(rows[0].Styles), `"style_id": `)
			styleID = styleID[:strings.IndexByte(styleID, ',')]
			if styleID != "null" {
				fields = append(fields, `"styles":[`+style(`"style_id":`+styleID+`,`)+`]`)
				kept++
			}
			done, err = update(t, db, id, "{"+strings.Join(fields, ",")+"}")
		default:
			done, err = update(t, db, id, "{"+strings.Join(append(fields, styles()), ",")+"}")
		}
		var invalid *blob.InvalidError
		if err != nil && !errors.As(err, &invalid) {
			t.Fatal(err)
		}
		if err == nil && done.Change.Version == 0 {
			t.Error("a write without a version")
		}
	}
	return kept
}

func create(t *testing.T, db *store.DB, body string) (blob.Written, error) {
	in, err := blob.ParseInput([]byte(body), false)
	if err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	return db.Create(t.Context(), in)
}

func update(t *testing.T, db *store.DB, id int64, body string) (blob.Written, error) {
	in, err := blob.ParseInput([]byte(body), true)
	if err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	return db.Update(t.Context(), id, in, nil)
}
