package main

import (
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"time"
)

// logging says what is logged and how.
type logging struct {
	LogFormat string `help:"The form of the log: text or json." enum:"text,json" default:"text" placeholder:"FORMAT"`
	LogLevel  string `help:"What is logged at least: debug, info, warn or error." enum:"debug,info,warn,error" default:"info" placeholder:"LEVEL"`
	AccessLog share  `help:"The share of the requests that get a line in the log, from 0 to 1." default:"0" placeholder:"RATE"`
}

func (l logging) logger(w io.Writer) *slog.Logger {
	var options slog.HandlerOptions
	var level slog.Level
	if level.UnmarshalText([]byte(l.LogLevel)) == nil { // the flag takes no others
		options.Level = level
	}
	if l.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, &options))
	}
	return slog.New(slog.NewTextHandler(w, &options))
}

// share is a part of a whole, from 0 to 1.
type share float64

// UnmarshalText reads a number such as 0.01.
func (s *share) UnmarshalText(text []byte) error {
	f, err := strconv.ParseFloat(string(text), 64)
	if err != nil || !(f >= 0 && f <= 1) {
		return fmt.Errorf("%q is no rate: expected a number from 0 to 1, such as 0.01", text)
	}
	*s = share(f)
	return nil
}

// settings are the flags as they are in force, under their names, without what
// is secret: database stands for its URL, and tokens are no flags.
func (f flags) settings(database string) []any {
	if f.Embedded() {
		database = "private, in " + f.DataDir
	}
	return []any{
		"database", database, "addr", string(f.Addr), "admin_addr", string(f.AdminAddr), "memory", int64(f.Memory),
		"max_staleness", time.Duration(f.MaxStaleness), "stale_if_error", time.Duration(f.StaleIfError),
		"cors_origin", strings.Join(f.CORSOrigin, ","), "write_tokens_file", f.WriteTokensFile, "storefront", f.Storefront,
		"tls_cert", f.TLSCert, "tls_key", f.TLSKey,
		"log_format", f.LogFormat, "log_level", f.LogLevel, "access_log", float64(f.AccessLog),
	}
}
