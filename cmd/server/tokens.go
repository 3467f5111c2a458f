package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	httpd "github.com/hotshelf/hotshelf/http"
)

// tokenVariable may hold a write token. It has no flag: everybody on a machine
// sees the command lines of its processes.
const tokenVariable = "HOTSHELF_WRITE_TOKEN"

// leastToken is how many characters a token has at least: fewer can be guessed.
const leastToken = 16

// writeTokens returns the tokens in force: the one of the environment and
// those of the file, where there is one. reload, nil without a file, reads
// that again.
func writeTokens(file string, log *slog.Logger) (tokens *httpd.Tokens, reload func(), err error) {
	var own []httpd.Token
	if secret := os.Getenv(tokenVariable); secret != "" {
		if err := checkToken(secret); err != nil {
			return nil, nil, fmt.Errorf("$%s %w", tokenVariable, err)
		}
		own = []httpd.Token{httpd.NewToken("environment", secret)}
		// The private PostgreSQL, which inherits ours, has no business with it.
		_ = os.Unsetenv(tokenVariable)
	}
	tokens = new(httpd.Tokens)
	if file == "" {
		tokens.Set(own)
		return tokens, nil, nil
	}
	read := func() error {
		text, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("read the write tokens: %w", err)
		}
		listed, err := httpd.ParseTokens(text)
		if err != nil {
			return fmt.Errorf("read the write tokens of %s: %w", file, err)
		}
		tokens.Set(append(listed, own...))
		log.Info("write tokens are in force", "file", len(listed), "environment", len(own))
		return nil
	}
	reload = func() {
		if err := read(); err != nil {
			log.Error("the write tokens in force stay", "error", err)
		}
	}
	return tokens, reload, read()
}

// checkToken says what is wrong with a token, and nothing of what is in it.
func checkToken(secret string) error {
	if len(secret) < leastToken {
		return fmt.Errorf("is too short: a write token has at least %d characters; try openssl rand -hex 32", leastToken)
	}
	other := func(r rune) bool {
		letter := r|0x20 >= 'a' && r|0x20 <= 'z'
		return !letter && (r < '0' || r > '9') && !strings.ContainsRune("-._~+/=", r)
	}
	if strings.ContainsFunc(secret, other) {
		return errors.New("has a character that no write token can have: expected letters, digits and - . _ ~ + / =")
	}
	return nil
}

// onHangup calls reload for each SIGHUP until stop, in the place of ending the
// server. Without a reload it changes nothing.
func onHangup(reload func()) (stop func()) {
	if reload == nil {
		return func() {}
	}
	// Takes the signal away from those who have it, and from nohup.
	signal.Ignore(syscall.SIGHUP)
	hangups, done := make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(hangups, syscall.SIGHUP)
	go func() {
		for {
			select {
			case <-hangups:
				reload()
			case <-done:
				return
			}
		}
	}()
	// The channel stays registered: a SIGHUP must not end a server that stops.
	return func() { close(done) }
}
