package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// issue writes a new certificate with its key and returns its serial number.
func issue(t *testing.T, files secure, serial int64) int64 {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{files.TLSCert: {Type: "CERTIFICATE", Bytes: der}, files.TLSKey: {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return serial
}

// notes is a log that may be read while it is written.
type notes struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (n *notes) Write(p []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.text.Write(p)
}

func (n *notes) count(part string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return strings.Count(n.text.String(), part)
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// TestCertificate: connections go on with the newest pair that can be used.
func TestCertificate(t *testing.T) {
	dir := t.TempDir()
	files := secure{TLSCert: filepath.Join(dir, "cert.pem"), TLSKey: filepath.Join(dir, "key.pem")}
	issue(t, files, 1)
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var log notes
	listener, stop, err := files.wrap(plain, slog.New(slog.NewTextHandler(&log, nil)), time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	defer listener.Close()
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_, _ = io.Copy(c, c)
			}()
		}
	}()
	dial := func(config *tls.Config) (*tls.Conn, error) {
		config.InsecureSkipVerify = true
		return tls.Dial("tcp", plain.Addr().String(), config)
	}
	serial := func() int64 {
		c, err := dial(&tls.Config{})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
	}
	open, err := dial(&tls.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	if n := serial(); n != 1 {
		t.Errorf("the certificate %d", n)
	}
	if c, err := dial(&tls.Config{MaxVersion: tls.VersionTLS11}); err == nil {
		defer c.Close()
		t.Error("TLS 1.1 is spoken")
	}

	issue(t, files, 2)
	until(t, "the second certificate", func() bool { return serial() == 2 })
	if _, err := open.Write([]byte("x")); err != nil {
		t.Errorf("an open connection: %v", err)
	}
	if _, err := io.ReadFull(open, make([]byte, 1)); err != nil {
		t.Errorf("an open connection: %v", err)
	}
	// Of each of these only one line, however often it is looked at.
	for i, breakIt := range []func() error{
		func() error { return os.WriteFile(files.TLSCert, []byte("no certificate"), 0o600) },
		func() error { return os.Remove(files.TLSKey) },
	} {
		if err := breakIt(); err != nil {
			t.Fatal(err)
		}
		until(t, "the fault is logged", func() bool { return log.count("the certificate in force stays") >= i+1 })
		if n := serial(); n != 2 {
			t.Errorf("with a broken pair the certificate %d is in force", n)
		}
	}
	issue(t, files, 3)
	until(t, "the third certificate", func() bool { return serial() == 3 })
	// Between the two files of a pair there may be one fault more.
	if n, faults := log.count("a new certificate is in force"), log.count("level=ERROR"); n != 2 || faults > 5 {
		t.Errorf("log:\n%s", log.text.String())
	}
}

func TestCertificateThatIsNone(t *testing.T) {
	dir := t.TempDir()
	files := secure{TLSCert: filepath.Join(dir, "cert.pem"), TLSKey: filepath.Join(dir, "key.pem")}
	wrong := func(parts ...string) {
		t.Helper()
		_, _, err := files.wrap(nil, slog.New(slog.DiscardHandler), time.Hour)
		for _, part := range parts {
			if err == nil || !strings.Contains(err.Error(), part) {
				t.Errorf("no %q in: %v", part, err)
			}
		}
	}
	wrong("--tls-cert", "cert.pem", "no such file")
	issue(t, files, 1)
	if err := os.Remove(files.TLSKey); err != nil {
		t.Fatal(err)
	}
	wrong("--tls-key", "key.pem", "no such file")
	other := secure{TLSCert: filepath.Join(dir, "other.pem"), TLSKey: files.TLSKey}
	issue(t, other, 2)
	wrong("cert.pem", "key.pem", "does not match")
	for _, half := range []secure{{TLSCert: "x"}, {TLSKey: "x"}} {
		if err := half.Validate(); err == nil {
			t.Errorf("%+v is let pass", half)
		}
	}
}
