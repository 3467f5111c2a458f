package main

import (
	"encoding/binary"
	"io"
	"net"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
)

// message is one of PostgreSQL's, as its server sends it.
func message(kind byte, content string) string {
	head := binary.BigEndian.AppendUint32([]byte{kind}, uint32(len(content)+4))
	return string(head) + content
}

func TestRelayKeepsNotificationsBack(t *testing.T) {
	said := []string{message('R', "\x00\x00\x00\x00"), message('A', "hotshelf_feed"), message('D', strings.Repeat("A", 70000)),
		message('A', ""), message('Z', "I")}
	for _, deaf := range []bool{false, true} {
		dir := t.TempDir()
		var config net.ListenConfig
		database, err := config.Listen(t.Context(), "unix", filepath.Join(dir, ".s.PGSQL.5432"))
		if err != nil {
			t.Fatal(err)
		}
		asked := make(chan string, 1)
		go func() {
			c, err := database.Accept()
			if err != nil {
				return
			}
			defer func() { _ = c.Close() }()
			question := make([]byte, 5)
			_, _ = io.ReadFull(c, question)
			asked <- string(question)
			_, _ = io.WriteString(c, strings.Join(said, ""))
		}()
		r, err := newRelay(t.Context(), "postgres://hotshelf@/hotshelf?host="+url.QueryEscape(dir)+"&port=5432", deaf)
		if err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse(r.url())
		if err != nil {
			t.Fatal(err)
		}
		var dialer net.Dialer
		c, err := dialer.DialContext(t.Context(), "tcp", u.Host)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(c, "hello"); err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(c)
		if err != nil {
			t.Fatal(err)
		}
		want := strings.Join(said, "")
		if deaf {
			want = said[0] + said[2] + said[4]
		}
		if string(got) != want {
			t.Errorf("deaf %v: %d bytes came, want %d", deaf, len(got), len(want))
		}
		if q := <-asked; q != "hello" {
			t.Errorf("the database was asked %q", q)
		}
		_, _ = c.Close(), database.Close()
		if err := r.close(); err != nil {
			t.Error(err)
		}
	}
}

func TestVersionOf(t *testing.T) {
	if got, err := versionOf(`"41-9f3c2a10"`); got != 41 || err != nil {
		t.Errorf("got %d, %v", got, err)
	}
	for _, tag := range []string{"", `"41"`, `W/"41-9f3c2a10"`, "x-y"} {
		if got, err := versionOf(tag); err == nil {
			t.Errorf("%q has version %d", tag, got)
		}
	}
}
