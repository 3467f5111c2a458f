package main

import (
	"strings"
	"testing"
	"time"
)

func TestStalenessFlags(t *testing.T) {
	for _, c := range []struct {
		text  string
		want  time.Duration
		fault string
	}{
		{"1s", time.Second, ""},
		{"100ms", 100 * time.Millisecond, ""},
		{"99ms", 0, "too short"},
		{"0s", 0, "too short"},
		{"-1s", 0, "no duration"},
		{"1", 0, "no duration"},
		{"", 0, "no duration"},
		{"soon", 0, `"soon" is no duration`},
	} {
		var s staleness
		err := s.UnmarshalText([]byte(c.text))
		if c.fault == "" && (err != nil || time.Duration(s) != c.want) || c.fault != "" && (err == nil || !strings.Contains(err.Error(), c.fault)) {
			t.Errorf("%q: %v, %v; want %v, %q", c.text, time.Duration(s), err, c.want, c.fault)
		}
	}
	var d duration
	if err := d.UnmarshalText([]byte("0s")); err != nil || d != 0 {
		t.Errorf("0s: %v, %v", time.Duration(d), err)
	}
	if err := d.UnmarshalText([]byte("-1ns")); err == nil {
		t.Error("a duration below zero was taken")
	}
}
