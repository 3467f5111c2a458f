package main

import (
	"fmt"
	"time"
)

// duration is a time of zero or more, as Go writes it.
type duration time.Duration

// UnmarshalText reads a duration such as 90s or 5m.
func (d *duration) UnmarshalText(text []byte) error {
	t, err := time.ParseDuration(string(text))
	if err != nil || t < 0 {
		return fmt.Errorf("%q is no duration: expected a number with a unit, such as 500ms, 90s or 5m", text)
	}
	*d = duration(t)
	return nil
}

// leastStaleness is the bound that the change feed can be looked at often
// enough for.
const leastStaleness = 100 * time.Millisecond

// staleness is how old an answer may be.
type staleness duration

// UnmarshalText reads a duration of leastStaleness or more.
func (s *staleness) UnmarshalText(text []byte) error {
	if err := (*duration)(s).UnmarshalText(text); err != nil {
		return err
	}
	if time.Duration(*s) < leastStaleness {
		return fmt.Errorf("%s is too short: the change feed can keep %v at least", text, leastStaleness)
	}
	return nil
}
