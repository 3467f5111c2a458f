package cli

import (
	"context"
	"errors"

	"github.com/hotshelf/hotshelf/blob"
	"github.com/hotshelf/hotshelf/store"
)

// record is a database's record; one that was never set up has an empty one.
func record(ctx context.Context, db *store.DB) (store.State, error) {
	s, err := db.State(ctx)
	if errors.Is(err, blob.ErrNotReady) {
		return store.State{}, nil
	}
	return s, err
}

// Published says whether a catalogue is live in the database.
func Published(ctx context.Context, db *store.DB) (bool, error) {
	s, err := record(ctx, db)
	return s.Generation > 0, err
}

// Empty says whether the database has neither a catalogue that is live nor a
// load that waits.
func Empty(ctx context.Context, db *store.DB) (bool, error) {
	s, err := record(ctx, db)
	return s.Generation == 0 && !s.LoadWaits, err
}
