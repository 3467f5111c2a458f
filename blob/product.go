// Package blob is the domain: a Product, the two storefront contracts, and
// Build, which turns a product into the bytes that answer its requests.
//
// Everything else uses it: warm and the write path call Build, the server
// sends what it made. It does no I/O. The blobs of a product are a pure
// function of its rows and the contract, so they can be checked at any time.
package blob

// Product is one product with everything that its responses show.
//
// The lists are in source order, by ascending row id. Texts are valid UTF-8
// without NUL.
type Product struct {
	ID           int64
	Name         string
	Slogan       string
	Description  string
	Category     string
	DefaultPrice Price
	Features     []Feature
	Styles       []Style
	Related      []int64 // product ids; duplicates and the product itself may occur
}

// Feature is a property such as Fabric: Canvas. HasValue is false where the
// source has no value.
type Feature struct {
	Name     string
	Value    string
	HasValue bool
}

// Style is one look of a product, with its own price, photos and stock.
// OnSale says that SalePrice holds; a sale price of zero is never on sale.
type Style struct {
	ID            int64
	Name          string
	OriginalPrice Price
	SalePrice     Price
	OnSale        bool
	Default       bool
	Photos        []Photo
	SKUs          []SKU
}

// Photo is a pair of URLs, kept as the source has them.
type Photo struct {
	URL          string
	ThumbnailURL string
}

// SKU is the stock of one size of a style. Two SKUs of a style may have the
// same size.
type SKU struct {
	ID       int64
	Size     string
	Quantity int64
}
