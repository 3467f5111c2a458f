package http

// queryValue finds a parameter of a query as it was sent: its last value,
// without any decoding, and how often it was given. Names are compared as sent
// too, so a name that is percent-encoded is an unknown one.
func queryValue(query []byte, name string) (value []byte, times int) {
	for len(query) > 0 {
		var pair []byte
		pair, query = cut(query, '&')
		if key, v := cut(pair, '='); string(key) == name {
			value, times = v, times+1
		}
	}
	return value, times
}

// pageNumber reads page or count: an absent or an empty one is its default.
// One that is given twice is no number, rather than either of them.
func pageNumber(query []byte, name string, absent int64) (n int64, ok bool) {
	value, times := queryValue(query, name)
	if times > 1 {
		return 0, false
	}
	if len(value) == 0 {
		return absent, true
	}
	return parseNumber(value)
}

// parseIDs appends the ids of a list to dst, in their order; fault says what is
// wrong with it. An empty list names no products. Commas may be
// percent-encoded, as browsers' URLSearchParams does; digits may not.
func parseIDs(dst []int64, list []byte) (ids []int64, fault string) {
	for more := len(list) > 0; more; {
		end, width := len(list), 0
		for i, ch := range list {
			if ch == ',' {
				end, width = i, 1
				break
			}
			if ch == '%' && len(list) >= i+3 && list[i+1] == '2' && list[i+2]|0x20 == 'c' {
				end, width = i, 3
				break
			}
		}
		id, ok := parseNumber(list[:end])
		if !ok {
			return dst, "The query's ids is a list of product ids separated by commas, each a whole number from 1 to 9223372036854775807."
		}
		if len(dst) == maxIDs {
			return dst, "The query's ids names more than 100 products."
		}
		dst = append(dst, id)
		list, more = list[end+width:], width > 0
	}
	return dst, ""
}
