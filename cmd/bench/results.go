package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const resultsName = "RESULTS.md"

type resultsPage struct {
	Dir string `help:"Where the figures are kept." default:"bench" type:"path" placeholder:"DIR"`

	chosen bool `kong:"-"`
}

// AfterApply is called by kong where the command line names this command.
func (r *resultsPage) AfterApply() error { r.chosen = true; return nil } //nolint:unparam // kong asks for an error

func writeResultsBeside(out string) error { return writeResults(filepath.Dir(out)) }

// writeResults makes the page of all figures kept in dir.
func writeResults(dir string) error {
	all, err := readFigures(dir)
	if err != nil {
		return err
	}
	if len(all) == 0 {
		return fmt.Errorf("no figures in %s: run a suite first", dir)
	}
	if err := os.WriteFile(filepath.Join(dir, resultsName), page(all), 0o644); err != nil {
		return fmt.Errorf("write the page of results: %w", err)
	}
	for _, f := range all {
		if len(f.Latencies) == 0 {
			continue
		}
		drawing, err := f.plot()
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, f.plotName()), drawing, 0o644)
		}
		if err != nil {
			return fmt.Errorf("write the plot of %s: %w", f.Suite, err)
		}
	}
	return nil
}

// plotName is the file of a suite's plot, beside the page.
func (f *Figures) plotName() string { return f.Suite + ".svg" }

// readFigures reads the figures of all suites kept in dir, by file name. JSON
// that names no suite is something else, such as the report of a load.
func readFigures(dir string) ([]*Figures, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return nil, fmt.Errorf("look for figures: %w", err)
	}
	var all []*Figures
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("read the figures: %w", err)
		}
		f := new(Figures)
		if err := json.Unmarshal(text, f); err != nil {
			return nil, fmt.Errorf("read the figures in %s: %w", path, err)
		}
		if f.Suite != "" {
			all = append(all, f)
		}
	}
	return all, nil
}

// page writes the figures of all suites as Markdown.
func page(all []*Figures) []byte {
	var out bytes.Buffer
	out.WriteString("# Results\n\n")
	out.WriteString("Made by `go run ./cmd/bench results` from the JSON files in this directory, which have every single run.\n" +
		"Each section names the command that made its figures. Absolute times are those of one machine; both sides of a\n" +
		"ratio ran in turn on it, and a ratio is taken round by round.\n")
	for _, f := range all {
		fmt.Fprintf(&out, "\n## %s\n\n", f.Title)
		fmt.Fprintf(&out, "    %s\n\n", f.Command)
		fmt.Fprintf(&out, "%s, took %s. %s.\n", f.Began.UTC().Format("2 January 2006"),
			(time.Duration(f.Seconds) * time.Second).String(), f.machine())
		if len(f.Settings) > 0 {
			fmt.Fprintf(&out, "Settings of PostgreSQL: %s.\n", f.settings())
		}
		for _, t := range f.tables() {
			out.WriteByte('\n')
			t.markdown(&out)
		}
		if len(f.Latencies) > 0 {
			fmt.Fprintf(&out, "\n![Latency by share of requests](%s)\n", f.plotName())
		}
		if len(f.Notes) > 0 {
			out.WriteByte('\n')
		}
		for _, note := range f.Notes {
			fmt.Fprintf(&out, "- %s\n", note)
		}
		for _, file := range f.Files {
			fmt.Fprintf(&out, "\n`%s`:\n\n```\n%s```\n", file.Name, file.Text)
		}
	}
	return out.Bytes()
}

func (f *Figures) settings() string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(f.Settings)) {
		parts = append(parts, "`"+name+" = "+f.Settings[name]+"`")
	}
	return strings.Join(parts, ", ")
}
