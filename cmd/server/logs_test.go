package main

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

// TestSettingsAreComplete: each flag is among the settings that are logged, and
// the database's URL is not.
func TestSettingsAreComplete(t *testing.T) {
	f := flags{}
	f.DatabaseURL = "postgres://shop:hunter2@db/shop"
	settings := f.settings("shop@db:5432/shop")
	names := map[string]bool{}
	for i := 0; i < len(settings); i += 2 {
		names[strings.ReplaceAll(settings[i].(string), "_", "")] = true
	}
	var check func(reflect.Type)
	check = func(of reflect.Type) {
		for field := range of.Fields() {
			switch {
			case field.Anonymous:
				check(field.Type)
			case field.Name == "DatabaseURL", field.Name == "DataDir", field.Name == "Check":
			default:
				if !names[strings.ToLower(field.Name)] {
					t.Errorf("the flag of the field %s is not among the settings", field.Name)
				}
			}
		}
	}
	check(reflect.TypeFor[flags]())
	var out bytes.Buffer
	slog.New(slog.NewJSONHandler(&out, nil)).Info("settings", settings...)
	if !json.Valid(out.Bytes()) || strings.Contains(out.String(), "hunter2") || settings[1] != "shop@db:5432/shop" {
		t.Errorf("settings: %s", out.String())
	}
	f.DatabaseURL, f.DataDir = "", "/srv/.hotshelf"
	if s := f.settings("x"); s[1] != "private, in /srv/.hotshelf" {
		t.Errorf("the private database is %v", s[1])
	}
}

func TestLogger(t *testing.T) {
	for _, c := range []struct {
		flags logging
		want  string
	}{
		{logging{LogFormat: "text", LogLevel: "info"}, `^time=\S+ level=INFO msg=i\ntime=\S+ level=WARN msg=w k=v\n$`},
		{logging{LogFormat: "json", LogLevel: "warn"}, `^\{"time":"[^"]+","level":"WARN","msg":"w","k":"v"\}\n$`},
		{logging{LogFormat: "text", LogLevel: "debug"}, `level=DEBUG msg=d`},
		{logging{LogFormat: "text", LogLevel: "error"}, `^$`},
	} {
		var out bytes.Buffer
		log := c.flags.logger(&out)
		log.Debug("d")
		log.Info("i")
		log.Warn("w", "k", "v")
		if !regexp.MustCompile(c.want).MatchString(out.String()) {
			t.Errorf("%+v: %s", c.flags, out.String())
		}
	}
}

func TestShare(t *testing.T) {
	for text, want := range map[string]share{"0": 0, "1": 1, "0.01": 0.01, "1e-3": 0.001, "": -1, "1.1": -1, "-0.1": -1, "NaN": -1, "1%": -1} {
		got := share(-1)
		err := got.UnmarshalText([]byte(text))
		if (err != nil) != (want < 0) || got != want {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
}
