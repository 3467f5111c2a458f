package etl

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Limit is how many rejected lines a load may have: a number, or a percentage
// of all data lines read. The zero value is no limit.
type Limit struct {
	set     bool
	percent bool
	value   float64 // whole where percent is false
}

// ParseLimit reads a limit such as 100 or 0.5%. "" is no limit.
func ParseLimit(s string) (Limit, error) {
	if s == "" {
		return Limit{}, nil
	}
	l := Limit{set: true}
	var err error
	if number, ok := strings.CutSuffix(s, "%"); ok {
		l.percent = true
		l.value, err = strconv.ParseFloat(number, 64)
		if err == nil && (math.IsNaN(l.value) || l.value > 100) {
			err = strconv.ErrRange
		}
	} else {
		var n uint64
		// Whole numbers up to 2^53 are exact in a float64.
		n, err = strconv.ParseUint(s, 10, 53)
		l.value = float64(n)
	}
	if err != nil || l.value < 0 {
		return Limit{}, fmt.Errorf("%q is no limit: expected a number of lines such as 100, or a percentage such as 0.5%%", s)
	}
	return l, nil
}

// UnmarshalText reads what ParseLimit reads, so that a flag can be a Limit.
func (l *Limit) UnmarshalText(text []byte) error {
	parsed, err := ParseLimit(string(text))
	if err == nil {
		*l = parsed
	}
	return err
}

// String is the form that ParseLimit reads.
func (l Limit) String() string {
	if !l.set {
		return ""
	}
	s := strconv.FormatFloat(l.value, 'f', -1, 64)
	if l.percent {
		s += "%"
	}
	return s
}

// checkCount fails where a fixed number is passed.
func (l Limit) checkCount(rejected int64) error {
	if l.set && !l.percent && float64(rejected) > l.value {
		return fmt.Errorf("too many lines were rejected: the limit is %s", l)
	}
	return nil
}

// check fails where the limit is passed after all lines are read.
func (l Limit) check(rejected, lines int64) error {
	if l.set && l.percent && float64(rejected)*100 > l.value*float64(lines) {
		return fmt.Errorf("too many lines were rejected: %d of %d, the limit is %s", rejected, lines, l)
	}
	return l.checkCount(rejected)
}
