// Package cli is what the commands share: flags with their environment twins,
// exit codes, the database they work on, progress, and the load and warm jobs,
// which the server runs too when it makes its sample catalogue.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
)

// Exit codes of all commands.
const (
	exitFailed = 1
	exitUsage  = 2
)

// IO is what a command reads and writes besides the database.
type IO struct {
	Args   []string
	Stdout io.Writer
	Stderr io.Writer
}

// Main runs a command until it ends or is interrupted, and exits: 0 when it
// did its work, 1 when that failed, 2 when the command line is wrong.
func Main[Flags any](name, description string, run func(ctx context.Context, flags Flags, io IO) error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := execute(ctx, name, description, run, IO{Args: os.Args[1:], Stdout: os.Stdout, Stderr: os.Stderr})
	stop()
	os.Exit(code)
}

func execute[Flags any](ctx context.Context, name, description string,
	run func(context.Context, Flags, IO) error, io IO,
) int {
	var flags Flags
	helped := false
	parser, err := kong.New(&flags, kong.Name(name), kong.Description(description),
		kong.DefaultEnvars("HOTSHELF"), kong.Writers(io.Stdout, io.Stderr),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.Exit(func(int) { helped = true }))
	if err != nil {
		panic(err) // a mistake in a struct tag; every run of the tests sees it
	}
	_, err = parser.Parse(io.Args)
	if helped {
		return 0
	}
	if err != nil {
		var parse *kong.ParseError
		if errors.As(err, &parse) {
			_ = parse.Context.PrintUsage(true)
		}
		fmt.Fprintf(io.Stderr, "%s: %v\n", name, err)
		return exitUsage
	}
	err = run(ctx, flags, io)
	switch {
	case err == nil:
		return 0
	case ctx.Err() != nil:
		fmt.Fprintf(io.Stderr, "%s: stopped before it was done; nothing that is live has changed\n", name)
	default:
		fmt.Fprintf(io.Stderr, "%s: %s\n", name, strings.TrimSpace(err.Error()))
	}
	return exitFailed
}
