package blob

// Change is one entry of the change feed: what one committed transaction did
// to the live catalogue. Entries come in commit order, by ascending Version.
type Change struct {
	Version int64
	// Generation is the catalogue's generation where any product may have
	// changed; else 0, and the lists are complete.
	Generation int64
	// Changed lists products whose blobs are new or different.
	Changed []int64
	// Removed lists products that no longer exist.
	Removed []int64
}

// Row is one product's row of the shelf as Postgres returns it: the blobs in
// the text form of jsonb, with jsonb's key order and blanks.
type Row struct {
	ProductID int64
	Version   int64
	Hash      int64 // xxHash64 of what Build made
	Contract  Contract
	Detail    []byte
	Styles    []byte
	Related   []byte
}

// Written is what a committed write did. Row is the product's new state, with
// the blobs in canonical form; after a delete only its ProductID is set.
// Change goes to the cache before anybody is told. Beside ErrOutcomeUnknown,
// its Version is 0 and it lists what the write may have touched.
type Written struct {
	Change Change
	Row    Row
	SKU    SKU // what SetQuantity changed
}

// Match says whether a product in this state may be written; nil allows any.
type Match func(version, hash int64) bool
