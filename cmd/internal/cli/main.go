// Package cli is what the commands share: flags with their environment twins,
// exit codes, the database they work on, progress, and the load and warm jobs,
// which the server runs too when it makes its sample catalogue.
package cli

import (
	"context"
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
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM}
	// A terminal that closes must not leave PostgreSQL behind, but under nohup
	// the command is to go on.
	if !signal.Ignored(syscall.SIGHUP) {
		signals = append(signals, syscall.SIGHUP)
	}
	ctx, stop := signal.NotifyContext(context.Background(), signals...)
	// Nor must a reader of the output that goes away: writing fails instead.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	code := execute(ctx, name, description, run, IO{Args: os.Args[1:], Stdout: os.Stdout, Stderr: os.Stderr})
	stop()
	os.Exit(code)
}

func execute[Flags any](ctx context.Context, name, description string,
	run func(context.Context, Flags, IO) error, io IO,
) int {
	var flags struct {
		Command Flags `embed:""`
		// Not by a variable: deployments use HOTSHELF_VERSION to name what they run.
		Version kong.VersionFlag `help:"Say which version this is." env:"-"`
	}
	helped := false
	parser, err := kong.New(&flags, kong.Name(name), kong.Description(description),
		kong.DefaultEnvars("HOTSHELF"), kong.Vars{"version": name + " " + version()}, kong.Writers(io.Stdout, io.Stderr),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}), kong.ValueFormatter(describe),
		kong.Exit(func(int) { helped = true }))
	if err != nil {
		panic(err) // a mistake in a struct tag; every run of the tests sees it
	}
	// An empty variable is how a compose file or a unit leaves a setting out.
	for _, flag := range parser.Model.Flags {
		for _, env := range flag.Envs {
			if os.Getenv(env) == "" {
				_ = os.Unsetenv(env)
			}
		}
	}
	_, err = parser.Parse(io.Args)
	if helped {
		return 0
	}
	if err != nil {
		message := strings.Replace(err.Error(), "(from envar ", "(from the environment: ", 1)
		fmt.Fprintf(io.Stderr, "%s: %s\nUsage: %s%s (%s --help says more)\n", name, message, name, parser.Model.Summary(), name)
		return exitUsage
	}
	err = run(ctx, flags.Command, io)
	switch {
	case err == nil:
		return 0
	case ctx.Err() != nil:
		fmt.Fprintf(io.Stderr, "%s: stopped before it was done: run it again\n", name)
	default:
		fmt.Fprintf(io.Stderr, "%s: %s\n", name, strings.TrimSpace(err.Error()))
	}
	return exitFailed
}

// describe adds to a flag's help what it is by default and its environment twin.
func describe(value *kong.Value) string {
	var more []string
	if value.Default != "" {
		more = append(more, "default "+value.Default)
	}
	for _, env := range value.Tag.Envs {
		more = append(more, "$"+env)
	}
	if len(more) == 0 {
		return value.Help
	}
	return strings.TrimSuffix(value.Help, ".") + " (" + strings.Join(more, "; ") + ")."
}
