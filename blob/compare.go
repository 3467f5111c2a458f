package blob

// FirstDifference compares a stored blob, as jsonb gives it back, with a built
// one, ignoring the blanks that jsonb puts between tokens. It returns where in
// each they first differ; equal says that they don't.
func FirstDifference(stored string, built []byte) (inStored, inBuilt int, equal bool) {
	i, inString, escaped := 0, false, false
	for j, ch := range built {
		for !inString && i < len(stored) && stored[i] == ' ' {
			i++
		}
		if i == len(stored) || stored[i] != ch {
			return i, j, false
		}
		i++
		switch {
		case escaped:
			escaped = false
		case ch == '\\':
			escaped = true
		case ch == '"':
			inString = !inString
		}
	}
	return i, len(built), i == len(stored)
}
