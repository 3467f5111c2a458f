package store

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// plan is a node of a plan, as EXPLAIN (format json) has it.
type plan struct {
	Type     string `json:"Node Type"`
	Relation string `json:"Relation Name"`
	Plans    []plan
}

// scanned lists the tables that are read from end to end.
func (p *plan) scanned() (tables []string) {
	if p.Type == "Seq Scan" {
		tables = append(tables, p.Relation)
	}
	for i := range p.Plans {
		tables = append(tables, p.Plans[i].scanned()...)
	}
	return tables
}

// planner notes how each statement of a DB was run, also those that check
// foreign keys.
type planner struct {
	mu    sync.Mutex
	plans map[string][]string // the tables that a statement scans, by its text
	fault error
}

// explained opens a database whose connections tell the plans of what they run.
func explained(t *testing.T, url, mode string) (*DB, *planner) {
	t.Helper()
	db := open(t, url)
	p := &planner{plans: map[string][]string{}}
	config := db.pool.Config()
	maps.Copy(config.ConnConfig.RuntimeParams, map[string]string{
		"session_preload_libraries":             "auto_explain",
		"auto_explain.log_min_duration":         "0",
		"auto_explain.log_format":               "json",
		"auto_explain.log_nested_statements":    "on",
		"client_min_messages":                   "log",
		"plan_cache_mode":                       mode,
		"max_parallel_workers_per_gather":       "0",
		"auto_explain.log_parameter_max_length": "0",
	})
	config.ConnConfig.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) { p.note(n.Message) }
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	db.pool.Close()
	db.pool = pool
	return db, p
}

func (p *planner) note(message string) {
	_, text, found := strings.Cut(message, "plan:\n")
	if !found {
		return
	}
	var told struct {
		Text string `json:"Query Text"`
		Plan plan
	}
	err := json.Unmarshal([]byte(text), &told)
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.fault = fmt.Errorf("%w in %s", err, text)
	}
	p.plans[strings.TrimSpace(told.Text)] = told.Plan.scanned()
}

// many fills a database with as many products as make a scan expensive.
func many(t *testing.T, db *DB) {
	t.Helper()
	const products = 20_000
	for _, sql := range []string{
		`insert into catalog.products select id, 'name', 'slogan', 'description', 'category', 1 from generate_series(1000, 1000 + $1) id`,
		`insert into catalog.features select id, id, 'Fabric', 'Canvas' from generate_series(1000, 1000 + $1) id`,
		`insert into catalog.styles select id, id, 'style', null, 1, true from generate_series(1000, 1000 + $1) id`,
		`insert into catalog.related select id, id, 1000 + id * 7 % $1 from generate_series(1000, 1000 + $1) id`,
		`insert into catalog.photos select id, id, 'https://images.example.com/1', '' from generate_series(1000, 1000 + $1) id`,
		`insert into catalog.skus select id, id, 'XL', 5 from generate_series(1000, 1000 + $1) id`,
		`insert into shelf.blobs select id, 1, 1, 0, d.text, d.text, '[]'
from generate_series(1000, 1000 + $1) id, (select jsonb_build_object('text', repeat('x', 500)) as text) d`,
		`insert into hotshelf.feed (version, changed, at) select nextval('hotshelf.version'), '{1}', now() - interval '2 hours' from generate_series(1, $1)`,
		`insert into hotshelf.written (product_id, deleted) select 1000000 + id, true from generate_series(1, $1) id`,
	} {
		exec(t, db, sql, products)
	}
	exec(t, db, `select setval('hotshelf.' || s, 100000) from unnest('{product_id,feature_id,style_id,related_id,photo_id,sku_id}'::text[]) s`)
	exec(t, db, `analyze`)
}

// TestNoTableIsScanned: whatever a server asks of its database, however often,
// no statement reads a table from end to end that grows with the catalogue or
// with time. The ids of all products are the exception by nature: they are read
// at the start and after a publish.
func TestNoTableIsScanned(t *testing.T) {
	address := pg.Database(t)
	filler := open(t, address)
	fill(t, filler, 1, 2, 3)
	publish(t, filler)
	many(t, filler)
	// One row, and what PostgreSQL knows of its databases and tables.
	small := map[string]bool{"catalogue": true, "pg_database": true, "pg_namespace": true, "pg_class": true}

	for i, mode := range []string{"force_custom_plan", "force_generic_plan"} {
		t.Run(mode, func(t *testing.T) {
			db, p := explained(t, address, mode)
			use(t, db, int64(5000+i))

			p.mu.Lock()
			defer p.mu.Unlock()
			if len(p.plans) == 0 {
				t.Skip("this PostgreSQL comes without auto_explain: nothing tells the plans")
			}
			if p.fault != nil {
				t.Fatal(p.fault)
			}
			for text, tables := range p.plans {
				for _, table := range tables {
					if !small[table] {
						t.Errorf("scans %s:\n%s", table, text)
					}
				}
			}
			for _, sql := range []string{
				selectBlob, selectBlobs, selectState, fmt.Sprintf(selectFeed, databaseIdentity), cleanFeed,
				selectForWrite, selectKnown, updateProduct, insertProduct, insertFeatures, deleteFeatures, insertRelated, deleteRelated,
				upsertStyles, deleteStyles, insertPhotos, deletePhotos, insertSKUs, deleteSKUs, updateQuantity,
				fmt.Sprintf(selectProducts, "catalog"), insertBlobs, updateBlobs, insertChange, upsertWritten,
				selectListing, deleteProduct, deleteBlobs, updateRelated, selectRowsWaiting,
			} {
				if _, seen := p.plans[strings.TrimSpace(sql)]; !seen {
					t.Errorf("was not run:\n%s", sql)
				}
			}
			cascades := slices.ContainsFunc(slices.Collect(maps.Keys(p.plans)), func(text string) bool {
				return strings.HasPrefix(text, `DELETE FROM ONLY "catalog"."photos"`)
			})
			if !cascades {
				t.Error("the statements of foreign keys were not seen")
			}
		})
	}

	// And a scan is found.
	db, p := explained(t, address, "auto")
	exec(t, db, `select from catalog.skus where quantity = 7`)
	p.mu.Lock()
	defer p.mu.Unlock()
	if scans := p.plans[`select from catalog.skus where quantity = 7`]; len(p.plans) > 0 && !slices.Equal(scans, []string{"skus"}) {
		t.Errorf("a planted scan is seen as %v", scans)
	}
}

// use does once what servers do, and deletes a product.
func use(t *testing.T, db *DB, deleted int64) {
	t.Helper()
	ctx := t.Context()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	_, err := db.State(ctx)
	check(err)
	_, err = db.Lookup(ctx, []int64{5000})
	check(err)
	ids := make([]int64, 512)
	for i := range ids {
		ids[i] = int64(2000 + 3*i)
	}
	_, err = db.Lookup(ctx, ids)
	check(err)
	_, err = db.RowsWaiting(ctx)
	check(err)
	r := newRecorder()
	byHand(t, db, r)()
	_, err = db.cleanFeed(ctx)
	check(err)

	all := fmt.Sprintf(`{"name":"new","category":"c","default_price":1,"features":[{"feature":"f"}],"related":[%d,5002],
"styles":[{"name":"s","original_price":1,"photos":[{"url":"https://images.example.com/1","thumbnail_url":"https://images.example.com/1"}],"skus":[{"size":"S","quantity":1}]}]}`, deleted)
	done, err := db.Create(ctx, input(t, all, false))
	check(err)
	_, err = db.Update(ctx, done.Row.ProductID, input(t, all, true), nil)
	check(err)
	_, err = db.Update(ctx, 6000, input(t, all, true), func(_, _ int64) bool { return true })
	check(err)
	_, err = db.SetQuantity(ctx, 7000, 7000, 3, nil)
	check(err)
	// One that two others list.
	_, err = db.Delete(ctx, deleted, nil)
	check(err)
}
