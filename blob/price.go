package blob

import "strconv"

// Price is an exact amount in hundredths, 0 to MaxPrice.
type Price int64

// MaxPrice is 9999999999.99, the largest amount of the column type
// numeric(12,2).
const MaxPrice Price = 999_999_999_999

// appendShort appends the amount without a trailing ".00": 140, 140.50.
func appendShort(b []byte, p Price) []byte {
	if p%100 == 0 {
		return strconv.AppendInt(b, int64(p/100), 10)
	}
	return appendExact(b, p)
}

// appendExact appends the amount with two decimals: 140.00.
func appendExact(b []byte, p Price) []byte {
	b = strconv.AppendInt(b, int64(p/100), 10)
	cents := p % 100
	return append(b, '.', byte('0'+cents/10), byte('0'+cents%10))
}
