package blob

import "strconv"

// GzipSuffix marks the gzip form in an entity tag.
const GzipSuffix = "-gzip"

// AppendETag appends the entity tag of a product's state: its version and the
// low half of its hash, such as "41-9f3c2a10" in quotes. The hash tells bodies
// apart that had the same version before and after a restore. form marks
// another encoding than identity, as in "41-9f3c2a10-gzip".
func AppendETag(b []byte, version, hash int64, form string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	b = strconv.AppendInt(b, version, 10)
	b = append(b, '-')
	for shift := 28; shift >= 0; shift -= 4 {
		b = append(b, hex[hash>>shift&15])
	}
	b = append(b, form...)
	return append(b, '"')
}
