package blob

import "errors"

// The errors that callers tell apart, whichever layer they come from. The
// http package has one table from these to status codes.
var (
	// ErrNotFound: no product, style or SKU has this id.
	ErrNotFound = errors.New("not found")
	// ErrNotReady: there is no published catalogue yet.
	ErrNotReady = errors.New("no catalogue is published: run load, then warm")
	// ErrUnavailable: the database can't be reached, or did not answer in time.
	ErrUnavailable = errors.New("the database is unavailable")
	// ErrOverloaded: too many requests wait for the database already.
	ErrOverloaded = errors.New("too many requests are waiting for the database")
)
