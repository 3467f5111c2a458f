package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sort"
	"strconv"
)

// route is one of the reads that the suites ask for.
type route int

const (
	detailRoute route = iota
	stylesRoute
	relatedRoute
	listRoute
)

var routes = []route{detailRoute, stylesRoute, relatedRoute, listRoute}

// listCount is how many products a page of the list has: the contract's default.
const listCount = 5

func (r route) String() string { return [...]string{"detail", "styles", "related", "list"}[r] }

// path appends the path of a product's answer, or of the n-th page.
func (r route) path(b []byte, n int64) []byte {
	if r == listRoute {
		b = append(b, "/products/list?page="...)
		b = strconv.AppendInt(b, n, 10)
		return append(b, "&count=5"...)
	}
	b = append(b, "/products/"...)
	b = strconv.AppendInt(b, n, 10)
	switch r {
	case stylesRoute:
		b = append(b, "/styles"...)
	case relatedRoute:
		b = append(b, "/related"...)
	}
	return b
}

const (
	requestBegin = "GET "
	requestEnd   = " HTTP/1.1\r\nHost: bench\r\n\r\n"
)

func (r route) request(b []byte, n int64) []byte {
	return append(r.path(append(b, requestBegin...), n), requestEnd...)
}

// reach is how many there are of what a route's number names, of so many products.
func (r route) reach(products int64) int64 {
	if r == listRoute {
		return max(products/listCount, 1)
	}
	return products
}

// picker draws which product, or page, from 1 to a limit.
type picker func(limit int64) int64

func source(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 17)) }

// uniform draws each as often as any other.
func uniform(random *rand.Rand) picker {
	return func(limit int64) int64 { return 1 + random.Int64N(limit) }
}

// zipf draws by Zipf's law with exponent 1.0: the k-th most popular of n is
// asked for 1/k as often as the most popular one. math/rand's needs an
// exponent above 1.
//
// Popularity is scattered over the ids, for products that are asked for much do
// not lie side by side in a table.
func zipf(random *rand.Rand, most int64) picker {
	// weights[k] is the share of the k+1 most popular, not yet divided by all.
	weights := make([]float64, most)
	sum := 0.0
	for k := range weights {
		sum += 1 / float64(k+1)
		weights[k] = sum
	}
	return func(limit int64) int64 {
		k := sort.SearchFloat64s(weights[:limit], random.Float64()*weights[limit-1])
		return scatter(int64(k), limit)
	}
}

// scatter gives each rank from 0 an id from 1 to limit of its own. The factor
// is a prime far above any limit, and so has no divisor in common with it.
func scatter(rank, limit int64) int64 {
	const prime = 2_654_435_761
	return 1 + rank*prime%limit
}

// of asks for one route.
func (r route) of(products int64, pick picker) requestMaker {
	limit := r.reach(products)
	return func(b []byte) []byte { return r.request(b, pick(limit)) }
}

// mix asks for detail, styles, related and list 40/30/20/10.
func mix(products int64, random *rand.Rand, pick picker) requestMaker {
	return func(b []byte) []byte {
		r := listRoute
		switch of := random.IntN(10); {
		case of < 4:
			r = detailRoute
		case of < 7:
			r = stylesRoute
		case of < 9:
			r = relatedRoute
		}
		return r.request(b, pick(r.reach(products)))
	}
}

// inTurn asks for the same requests over and over, in an order that is not
// that of their ids.
func inTurn(requests [][]byte) requestMaker {
	order := slices.Clone(requests)
	random := source(1)
	random.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	k := 0
	return func(b []byte) []byte {
		if k++; k == len(order) {
			k = 0
		}
		return append(b, order[k]...)
	}
}

// named is a contender's name: what it was asked for, and who answered.
func named(r fmt.Stringer, who string) string { return r.String() + ": " + who }
