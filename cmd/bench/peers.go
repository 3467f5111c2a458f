package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/hotshelf/hotshelf/cmd/internal/cli"
)

// answer is what a server said to one request.
type answer struct {
	Path    string      `json:"path"`
	Headers [][2]string `json:"headers"`
	Body    []byte      `json:"body"`

	status int
	etag   string
}

// fetched are the headers that matter to a peer which sends the same; the
// others each server makes by itself.
var fetched = []string{"Content-Type", "ETag", "Cache-Control", "Vary", "X-Total-Count",
	"Access-Control-Allow-Origin", "Access-Control-Expose-Headers"}

// fetch asks for one path, uncompressed.
func fetch(ctx context.Context, addr, path string) (answer, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+path, nil)
	if err != nil {
		return answer{}, err
	}
	request.Header.Set("Accept-Encoding", "identity")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = response.Body.Close() }()
	a := answer{Path: path, status: response.StatusCode, etag: response.Header.Get("ETag")}
	for _, name := range fetched {
		if value := response.Header.Get(name); value != "" {
			a.Headers = append(a.Headers, [2]string{name, value})
		}
	}
	a.Body, err = io.ReadAll(response.Body)
	return a, err
}

// bareServer is the least that fasthttp can do for the same answers: one look
// into a map, and the bytes. It is run as a process of its own.
type bareServer struct {
	chosen bool `kong:"-"`
}

// AfterApply is called by kong where the command line names this command.
func (s *bareServer) AfterApply() error { s.chosen = true; return nil } //nolint:unparam // kong asks for an error

// run answers what standard input lists, until ctx ends.
func (s *bareServer) run(ctx context.Context, io cli.IO) error {
	var answers []answer
	if err := json.NewDecoder(os.Stdin).Decode(&answers); err != nil {
		return fmt.Errorf("read the answers: %w", err)
	}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp4", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	server := bareFasthttp(answers)
	go func() {
		<-ctx.Done()
		_ = server.Shutdown()
	}()
	fmt.Fprintf(io.Stdout, "listens on http://%s\n", listener.Addr())
	return server.Serve(listener)
}

func bareFasthttp(answers []answer) *fasthttp.Server {
	type ready struct {
		names, values [][]byte
		kind, body    []byte
	}
	all := make(map[string]*ready, len(answers))
	for _, a := range answers {
		r := &ready{body: a.Body}
		for _, h := range a.Headers {
			if h[0] == "Content-Type" {
				r.kind = []byte(h[1])
				continue
			}
			r.names, r.values = append(r.names, []byte(h[0])), append(r.values, []byte(h[1]))
		}
		all[a.Path] = r
	}
	return &fasthttp.Server{
		Handler: func(ctx *fasthttp.RequestCtx) {
			r := all[string(ctx.RequestURI())]
			if r == nil {
				ctx.SetStatusCode(fasthttp.StatusNotFound)
				return
			}
			ctx.Response.Header.SetContentTypeBytes(r.kind)
			for i, name := range r.names {
				ctx.Response.Header.SetCanonical(name, r.values[i])
			}
			ctx.Response.SetBodyRaw(r.body)
		},
		NoDefaultServerHeader: true,
		NoDefaultContentType:  true,
		CloseOnShutdown:       true,
	}
}

// bare starts the bare server with the answers given, and checks that it gives
// them.
func (b *serving) bare(ctx context.Context, answers []answer) (*service, error) {
	path, err := build(ctx, "bench", b.programs)
	if err != nil {
		return nil, err
	}
	input, err := json.Marshal(answers)
	if err != nil {
		return nil, fmt.Errorf("hand the answers over: %w", err)
	}
	cmd := exec.CommandContext(ctx, path, "bare")
	cmd.Stdin = bytes.NewReader(input)
	s, err := serve(b.servers, cmd)
	if err != nil {
		return nil, err
	}
	b.atEnd(s.stop)
	for _, want := range answers {
		got, err := fetch(ctx, s.addr, want.Path)
		if err != nil {
			return nil, fmt.Errorf("ask the bare server: %w", err)
		}
		if fmt.Sprint(got.Headers) != fmt.Sprint(want.Headers) || !bytes.Equal(got.Body, want.Body) {
			return nil, fmt.Errorf("the bare server answers %s differently: headers %q, want %q", want.Path, got.Headers, want.Headers)
		}
	}
	return s, nil
}

// nginxConfig has one worker, which the bench holds to one CPU, and files that
// stay open. Without sendfile a small body goes out in one call with its
// headers: a third less CPU than with it. PORT and the headers are filled in.
const nginxConfig = `daemon off;
master_process off;
worker_processes 1;
pid nginx.pid;
error_log stderr error;
events {
    worker_connections 1024;
    use epoll;
}
http {
    access_log off;
    default_type application/json;
    sendfile off;
    tcp_nodelay on;
    server_tokens off;
    keepalive_timeout 1h;
    keepalive_requests 1000000000;
    open_file_cache max=20000 inactive=1h;
    open_file_cache_valid 1h;
    open_file_cache_min_uses 1;
    client_body_temp_path temp;
    proxy_temp_path temp;
    fastcgi_temp_path temp;
    uwsgi_temp_path temp;
    scgi_temp_path temp;
    server {
        listen 127.0.0.1:PORT;
        root files;
HEADERS    }
}
`

// nginxPath is where nginx finds an answer: its files can't have the names that
// the answers have, as /products/1 would be a file and a directory.
func (r route) nginxPath(b []byte, n int64) []byte {
	b = append(append(append(b, '/'), r.String()...), '/')
	return strconv.AppendInt(b, n, 10)
}

// nginx starts nginx with the bodies as files; nil where it isn't installed.
func (b *serving) nginx(ctx context.Context, bodies map[string][]byte, headers [][2]string) (*service, error) {
	path := find("nginx", "/usr/sbin", "/usr/local/sbin", "/opt/homebrew/bin")
	if path == "" {
		b.note("nginx is missing, and with it the comparison to its files.")
		b.say("nginx is missing: no comparison to it")
		return nil, nil
	}
	home := filepath.Join(b.work, "nginx")
	var lines strings.Builder
	for _, h := range headers {
		// nginx makes these itself: the type by default_type, the tag from time and size.
		if h[0] != "Content-Type" && h[0] != "ETag" {
			fmt.Fprintf(&lines, "        add_header %s \"%s\";\n", h[0], h[1])
		}
	}
	config := strings.Replace(nginxConfig, "HEADERS", lines.String(), 1)
	b.f.Files = append(b.f.Files, File{"nginx.conf", config})
	port, err := freePort(ctx)
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{"/nginx.conf": []byte(strings.Replace(config, "PORT", strconv.Itoa(port), 1))}
	for name, body := range bodies {
		files["/files"+name] = body
	}
	for name, text := range files {
		err := os.MkdirAll(filepath.Dir(home+name), 0o755)
		if err == nil {
			err = os.WriteFile(home+name, text, 0o644)
		}
		if err != nil {
			return nil, fmt.Errorf("write nginx's files: %w", err)
		}
	}
	s, err := start(b.servers, exec.CommandContext(ctx, path, "-p", home+"/", "-c", "nginx.conf", "-e", "stderr"))
	if err != nil {
		return nil, err
	}
	s.watch()
	b.atEnd(s.stop)
	s.addr = "127.0.0.1:" + strconv.Itoa(port)
	for name, body := range bodies {
		if err := s.answers(ctx, name, body); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// answers waits until a server can be asked, and checks what it answers.
func (s *service) answers(ctx context.Context, path string, want []byte) error {
	for end := time.Now().Add(10 * time.Second); ; {
		got, err := fetch(ctx, s.addr, path)
		if err == nil {
			if !bytes.Equal(got.Body, want) {
				return fmt.Errorf("%s answers %s with %d bytes, expected %d", s.name, path, len(got.Body), len(want))
			}
			return nil
		}
		select {
		case <-s.done:
			return fmt.Errorf("%s ended: %w\n%s", s.name, s.err, s.log)
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(end) {
			return fmt.Errorf("ask %s: %w", s.name, err)
		}
	}
}

// freePort returns a port that nothing listens on at this moment.
func freePort(ctx context.Context) (int, error) {
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp4", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("look for a free port: %w", err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port, nil
}
