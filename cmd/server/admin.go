package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	httpd "github.com/hotshelf/hotshelf/http"
)

// adminAddress is where the admin listener is, "" where there is none.
type adminAddress string

// UnmarshalText reads HOST:PORT; empty and "off" turn the listener off. The
// word is for environments, where empty stands for the default.
func (a *adminAddress) UnmarshalText(text []byte) error {
	if len(text) == 0 || string(text) == "off" {
		*a = ""
		return nil
	}
	return (*address)(a).UnmarshalText(text)
}

// listen opens the admin listener; nil where there is to be none.
func (a adminAddress) listen() (net.Listener, error) {
	if a == "" {
		return nil, nil
	}
	listener, err := net.Listen("tcp", string(a))
	if err != nil {
		return nil, fmt.Errorf("can't listen on %s (--admin-addr; off does without): %w", a, cause(err))
	}
	return listener, nil
}

// serveAdmin serves the admin listener until the function it returns is called.
func serveAdmin(listener net.Listener, server *httpd.Server, log *slog.Logger) (stop func()) {
	if listener == nil {
		return func() {}
	}
	admin := httpd.NewAdmin(server)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := admin.Serve(listener); err != nil {
			log.Error("the admin listener has ended", "error", err)
		}
	}()
	log.Info("metrics, health and profiles", "url", "http://"+reachable(listener.Addr().String()))
	return func() {
		// A profile that is being taken ends with the server.
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		defer cancel()
		_ = admin.Shutdown(ctx)
		<-done
	}
}

// reachable is a listener's address as a client on this machine dials it.
func reachable(addr string) string {
	host, port, _ := net.SplitHostPort(addr)
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return net.JoinHostPort(host, port)
}

// checkTimeout is how long a check waits for the answer.
const checkTimeout = 3 * time.Second

// check asks the server that runs with these flags whether it is ready: at its
// admin listener, which answers however many connections the public one has,
// else at the public one. It is for health checks where there is no shell.
func check(ctx context.Context, f flags, out io.Writer) error {
	scheme, addr := "http", string(f.AdminAddr)
	if addr == "" {
		scheme, addr = f.scheme(), string(f.Addr)
	}
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	url := scheme + "://" + reachable(addr) + "/readyz"
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return fmt.Errorf("ask %s: %w", url, err)
	}
	// A proxy has no business in between, and the certificate is for the name
	// that clients know.
	client := http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
	}}
	response, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("ask %s: %w", url, cause(err))
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode == http.StatusOK {
		fmt.Fprintln(out, "ready")
		return nil
	}
	var problem struct {
		Reasons []string `json:"reasons"`
	}
	_ = json.NewDecoder(io.LimitReader(response.Body, 64<<10)).Decode(&problem)
	if len(problem.Reasons) == 0 {
		return fmt.Errorf("%s answers %s", url, response.Status)
	}
	return errors.New("not ready: " + strings.Join(problem.Reasons, "; "))
}
