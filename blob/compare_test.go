package blob

import "testing"

func TestFirstDifference(t *testing.T) {
	for name, c := range map[string]struct {
		stored, built     string
		inStored, inBuilt int
		equal             bool
	}{
		"equal":                         {`{"a": [1, 2], "b c": "x, y: z"}`, `{"a":[1,2],"b c":"x, y: z"}`, 31, 27, true},
		"both empty":                    {``, ``, 0, 0, true},
		"a number":                      {`{"a": 1}`, `{"a":2}`, 6, 5, false},
		"a blank inside a string":       {`{"a": "x y"}`, `{"a":"xy"}`, 8, 7, false},
		"a blank after an escape":       {`["\" x"]`, `["\"x"]`, 4, 4, false},
		"an escaped backslash ends not": {`["\\", " "]`, `["\\",""]`, 8, 7, false},
		"stored is shorter":             {`[1`, `[1,2]`, 2, 2, false},
		"built is shorter":              {`[1, 2]`, `[1`, 2, 2, false},
	} {
		t.Run(name, func(t *testing.T) {
			inStored, inBuilt, equal := FirstDifference(c.stored, []byte(c.built))
			if inStored != c.inStored || inBuilt != c.inBuilt || equal != c.equal {
				t.Errorf("%d, %d, %v", inStored, inBuilt, equal)
			}
		})
	}
}
