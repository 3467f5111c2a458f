package embedtest_test

import (
	"context"
	"fmt"
	"os"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/hotshelf/hotshelf/embedded/embedtest"
)

var pg = embedtest.Server{Prepare: func(ctx context.Context, url string) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	_, err = conn.Exec(ctx, "CREATE TABLE prepared (n int)")
	return err
}}

func TestMain(m *testing.M) { os.Exit(pg.Run(m)) }

// Each test has a database of its own: none sees another's rows.
func TestDatabase(t *testing.T) {
	for i := range 4 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			conn, err := pgx.Connect(t.Context(), pg.Database(t))
			if err != nil {
				t.Fatal(err)
			}
			// Left open on purpose: the drop must not mind.
			var rows int
			if err := conn.QueryRow(t.Context(), "SELECT count(*) FROM prepared").Scan(&rows); err != nil {
				t.Fatal(err)
			}
			if rows != 0 {
				t.Fatalf("a fresh database has %d rows", rows)
			}
			if _, err := conn.Exec(t.Context(), "INSERT INTO prepared VALUES (1)"); err != nil {
				t.Fatal(err)
			}
		})
	}
}
