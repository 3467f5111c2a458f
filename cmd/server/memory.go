package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// memory is what the server may use, in bytes.
type memory int64

const (
	// leastMemory is what a server needs to keep anything in its cache.
	leastMemory = 64 << 20
	// unknownMemory stands in where the system does not say how much it has.
	unknownMemory = 1 << 30
)

// UnmarshalText reads a size such as 256MiB, 1GiB or 268435456; or auto, a
// quarter of what the container or the machine has: PostgreSQL and its page
// cache want the rest where they are on the same machine.
func (m *memory) UnmarshalText(text []byte) error {
	if string(text) == "auto" {
		total, err := memlimit.FromCgroup()
		if err != nil || total == 0 {
			total, err = memlimit.FromSystem()
		}
		if err != nil || total == 0 {
			total = unknownMemory
		}
		*m = max(memory(min(total, 1<<50)/4), leastMemory)
		return nil
	}
	number, shift := string(text), 0
	for unit, bits := range map[string]int{"KiB": 10, "MiB": 20, "GiB": 30} {
		if n, found := strings.CutSuffix(number, unit); found {
			number, shift = n, bits
			break
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n<<shift>>shift != n {
		return fmt.Errorf("%q is no size: expected auto, or a number with KiB, MiB or GiB, such as 256MiB", text)
	}
	if n<<shift < leastMemory {
		return fmt.Errorf("%s is too little: the server needs 64MiB at least", text)
	}
	*m = memory(n << shift)
	return nil
}

// limit is the point from which Go's collector works harder.
func (m memory) limit() int64 { return int64(m) / 10 * 9 }

// cache is the share of the cache. The collector lets the heap grow to about
// twice what is in use, so half of the limit is as much as it can be.
func (m memory) cache() int64 { return m.limit() / 2 }
