package main

import "testing"

// TestDivide: the parts are never more than the whole, and none is left out.
func TestDivide(t *testing.T) {
	for m := memory(leastMemory); m < 1<<40; m += m/3 + 4096 {
		for tls, each := range map[bool]int64{false: connection, true: encrypted} {
			s := m.divide(tls)
			sum := program + base + lookUps + int64(s.connections)*each + s.lists + s.cache
			if s.cache < 2<<20 || s.connections < 256 || s.lists < 4<<20 || sum > int64(m) || s.goes > int64(m)-program {
				t.Errorf("%d bytes, TLS %v: %+v, %d together", m, tls, s, sum)
			}
		}
	}
}

func TestMemoryText(t *testing.T) {
	for text, want := range map[string]memory{
		"64MiB": 64 << 20, "1GiB": 1 << 30, "131072KiB": 128 << 20, "134217728": 128 << 20,
		"63MiB": 0, "-1": 0, "": 0, "1GB": 0, "8589934592GiB": 0, "1.5GiB": 0, "AUTO": 0,
	} {
		var m memory
		if err := m.UnmarshalText([]byte(text)); (err == nil) != (want > 0) || m != want {
			t.Errorf("%q: %d, %v", text, m, err)
		}
	}
	var m memory
	if err := m.UnmarshalText([]byte("auto")); err != nil || m < leastMemory {
		t.Errorf("auto: %d, %v", m, err)
	}
}
