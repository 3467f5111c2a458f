package blob

// Answers are one product's responses, ready to send. They are built once,
// shared by all requests, and never changed.
type Answers struct {
	ProductID int64
	Version   int64
	Contract  Contract
	// ETag is strong, quoted, and belongs to the identity form; GzipETag to
	// the gzip form.
	ETag     []byte
	GzipETag []byte
	Detail   Answer
	Styles   Answer
	Related  Answer
	// FeaturesFrom and FeaturesTo are FeaturesSpan of Detail.Body: what a list
	// of products leaves out.
	FeaturesFrom, FeaturesTo int
}

// Answer is one response body. Gzip is nil where compression gains nothing.
type Answer struct {
	Body []byte
	Gzip []byte
}
