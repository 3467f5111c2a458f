package blob

import "sync/atomic"

// Answers are one product's responses, ready to send. They are shared by all
// requests, unless Lent, and never changed, but for gzip forms that are added
// when they are first asked for.
type Answers struct {
	// What a list needs comes first, and fills the 64 bytes that a processor
	// fetches at once. The whole is 192 bytes, which Go puts at such a boundary.
	ProductID int64
	Version   int64
	Hash      int64 // of the row, see Row
	Contract  Contract
	// Lent says that nobody else has these answers, and that whoever made them
	// would like their memory back.
	Lent bool
	// FeaturesFrom and FeaturesTo are FeaturesSpan of Detail.Body: what a list
	// of products leaves out.
	FeaturesFrom, FeaturesTo int32
	Detail                   Answer
	Styles                   Answer
	Related                  Answer
	// Tags are ETag and, behind it, GzipETag.
	Tags []byte
}

// ETag is strong, quoted, and belongs to the identity form.
func (a *Answers) ETag() []byte { return a.Tags[:(len(a.Tags)-len(GzipSuffix))/2] }

// GzipETag is the one of the gzip form.
func (a *Answers) GzipETag() []byte { return a.Tags[(len(a.Tags)-len(GzipSuffix))/2:] }

// Answer is one response body.
type Answer struct {
	Body []byte
	// Zip compresses a body, to the same bytes each time, or returns nil where
	// that is not worth it; nil where there is no gzip form.
	Zip func(body []byte) []byte

	zipped atomic.Pointer[[]byte]
}

// Gzip returns what Zip makes of the body. The first call makes it: most bodies
// that are looked up are gone before somebody asks for it.
func (a *Answer) Gzip() []byte {
	if zipped := a.zipped.Load(); zipped != nil {
		return *zipped
	}
	zipped := a.Zip(a.Body)
	a.zipped.Store(&zipped) // of two at once either does
	return zipped
}

// Size is how many bytes the forms take that there are.
func (a *Answer) Size() int {
	size := len(a.Body)
	if zipped := a.zipped.Load(); zipped != nil {
		size += len(*zipped)
	}
	return size
}
