package blob

import "errors"

// The errors that callers tell apart, whichever layer they come from. The
// http package has one table from these to status codes.
var (
	// ErrNotFound: no product has this id.
	ErrNotFound = errors.New("not found")
	// ErrNoSKU: the product has no SKU with this id.
	ErrNoSKU = errors.New("the product has no such SKU")
	// ErrNotReady: there is no published catalogue yet.
	ErrNotReady = errors.New("no catalogue is published: run load, then warm")
	// ErrUnavailable: the database can't be reached, or did not answer in time.
	ErrUnavailable = errors.New("the database is unavailable")
	// ErrOverloaded: too many requests wait for the database already.
	ErrOverloaded = errors.New("too many requests are waiting for the database")
	// ErrMovedOn: the product is not in the state that a write asks for.
	ErrMovedOn = errors.New("the product has moved on")
	// ErrOutcomeUnknown: the database may have committed a write or not; the
	// answer to the commit was lost.
	ErrOutcomeUnknown = errors.New("it is not known whether the write was committed")
)
