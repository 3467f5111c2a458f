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
		total := uint64(unknownMemory)
		if machine, err := memlimit.FromSystem(); err == nil {
			total = machine
		}
		// A container may be promised more than the machine has.
		if container, err := memlimit.FromCgroup(); err == nil {
			total = min(total, container)
		}
		*m = max(memory(total/4), leastMemory)
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

// What the parts of the server may take, besides the cache.
const (
	// program is outside of Go's heap: the binary and its tables.
	program = 16 << 20
	// base is a server with an empty catalogue and no clients: the runtime, the
	// database's connections, the fence, compressors.
	base = 12 << 20
	// lookUps is for three look-ups of up to 4 MiB of rows, while entries are
	// made of them.
	lookUps = 12 << 20
	// connection is what a client takes that asks for small answers and is slow
	// to read them: buffers, a stack, an answer that the cache has dropped.
	connection = 32 << 10
	// encrypted is a connection that speaks TLS.
	encrypted = 64 << 10
	// mostConnections is more than a balancer opens, and few enough that a large
	// budget goes to the cache.
	mostConnections = 2048
)

// shares are how a budget is divided, in bytes but for the connections.
type shares struct {
	goes        int64 // Go's memory limit, from which its collector works harder
	connections int
	lists       int64
	cache       int64 // what the collector needs for it included
}

// divide gives a quarter of the budget to connections, a sixteenth to long
// lists, less to what does not grow, and the rest to the cache. With small
// budgets that costs cache, but a server that is killed has none.
func (m memory) divide(tls bool) shares {
	s := shares{goes: int64(m) - program, lists: int64(m) / 16}
	each := int64(connection)
	if tls {
		each = encrypted
	}
	s.connections = int(min(int64(m)/4/each, mostConnections))
	ids := int64(m) / 64 // a million take 125 kB where they are dense, sparse ones more
	s.cache = s.goes - base - lookUps - ids - s.lists - int64(s.connections)*each
	return s
}
