package cli

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/hotshelf/hotshelf/blob"
	"github.com/hotshelf/hotshelf/store"
)

// Guard is what an import may do to what is live before somebody has to say
// that it is meant: an export that was cut short, or a price column that is off
// by a factor of a hundred, must not go live by itself.
type Guard struct {
	MaxGone  Share `help:"The share of the live products, and of the rows of each table, that an import may take away before --accept is needed." default:"10%" placeholder:"PERCENT"`
	MaxMoved Share `help:"The share of the prices that an import may change by more than half before --accept is needed." default:"10%" placeholder:"PERCENT"`
}

// Share is a part of a whole in per cent.
type Share float64

// UnmarshalText reads a percentage such as 10%.
func (s *Share) UnmarshalText(text []byte) error {
	number, ok := strings.CutSuffix(string(text), "%")
	value, err := strconv.ParseFloat(number, 64)
	if !ok || err != nil || !(value >= 0 && value <= 100) {
		return fmt.Errorf("%q is no share: expected a percentage from 0%% to 100%%, such as 10%%", text)
	}
	*s = Share(value)
	return nil
}

func (s Share) String() string { return strconv.FormatFloat(float64(s), 'f', -1, 64) + "%" }

func (s Share) exceeded(part, whole int64) bool { return float64(part)*100 > float64(s)*float64(whole) }

// refuseWritten refuses an import that would take writes back, before anything
// is built.
func (r *warmRun) refuseWritten(ctx context.Context) error {
	if r.job.DiscardWrites {
		return nil
	}
	err := r.warm.RefuseWritten(ctx)
	if errors.Is(err, store.ErrWritten) {
		return fmt.Errorf("%w; --discard-writes says that this is meant", err)
	}
	return err
}

// guardEarly is the guard before anything is built, for an import that has lost
// too much by what is known of its tables without reading them.
func (r *warmRun) guardEarly(ctx context.Context) error {
	if !r.warm.ReplacesImport() {
		return nil
	}
	lost, err := r.warm.LostRows(ctx)
	if err != nil {
		return err
	}
	for _, l := range lost {
		if r.job.Guard.MaxGone.exceeded(l.Gone, l.Live) {
			return r.guard(ctx, r.warm.Impact)
		}
	}
	return nil
}

// guard finds out what an import would change, and refuses what nobody has said
// is meant. A first import and a sample give way without a question. Where few
// products differ, it is asked when the build has found them, and looks at those
// alone; where many do, as soon as that shows, so that an import that is broken
// is not built to its end.
func (r *warmRun) guard(ctx context.Context, impact func(context.Context) (store.Impact, error)) error {
	if !r.warm.ReplacesImport() || r.report.Impact != nil {
		return nil
	}
	i, err := impact(ctx)
	if err != nil {
		return err
	}
	r.report.Impact = &i
	if r.job.Accept {
		return nil
	}
	g := r.job.Guard
	var why []string
	if g.MaxGone.exceeded(i.Gone, i.Live) {
		why = append(why, fmt.Sprintf("%d of the %d live products would be gone (--max-gone %s)", i.Gone, i.Live, g.MaxGone))
	}
	for _, l := range i.Rows {
		if g.MaxGone.exceeded(l.Gone, l.Live) {
			why = append(why, fmt.Sprintf("%d of the %d rows of %s would be gone (--max-gone %s)", l.Gone, l.Live, l.Table, g.MaxGone))
		}
	}
	for _, p := range []struct {
		of string
		store.Moves
	}{{"prices of products", i.Prices}, {"prices of styles", i.Styles}} {
		if g.MaxMoved.exceeded(p.Moved, p.Compared) {
			why = append(why, fmt.Sprintf("%d of the %d %s would change by more than half (--max-moved %s)", p.Moved, p.Compared, p.of, g.MaxMoved))
		}
	}
	if len(why) > 0 {
		return fmt.Errorf("this import does not go live by itself: %s; nothing has changed, the load still waits; --accept says that this is meant",
			strings.Join(why, ", and "))
	}
	return nil
}

// tellImpact says what the guard has found.
func (r *warmRun) tellImpact() {
	i := r.report.Impact
	if i == nil || r.job.Quiet {
		return
	}
	fmt.Fprintf(r.io.Stdout, "the import has %d products, %d are live: %d new, %d gone\n", i.Products, i.Live, i.New, i.Gone)
	fmt.Fprintf(r.io.Stdout, "prices of products: %d up, %d down; of styles: %d up, %d down\n", i.Prices.Up, i.Prices.Down, i.Styles.Up, i.Styles.Down)
	for _, l := range i.Rows {
		if l.Gone > 0 {
			fmt.Fprintf(r.io.Stdout, "%d of %d rows of %s gone\n", l.Gone, l.Live, l.Table)
		}
	}
	for n, m := range i.Largest {
		if n == 0 {
			fmt.Fprintln(r.io.Stdout, "the largest changes:")
		}
		what := fmt.Sprintf("product %d", m.Product)
		if m.Style != 0 {
			what += fmt.Sprintf(", style %d", m.Style)
		}
		fmt.Fprintf(r.io.Stdout, "  %s: %s to %s\n", what, amount(m.Old), amount(m.New))
	}
}

func amount(p blob.Price) string { return fmt.Sprintf("%d.%02d", p/100, p%100) }
