package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	nethttp "net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// issue writes a new certificate for loopback, with its key, into dir.
func issue(t *testing.T, dir string, serial int64) {
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
	for name, block := range map[string]*pem.Block{"cert.pem": {Type: "CERTIFICATE", Bytes: der}, "key.pem": {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestTLS: the same bytes over HTTPS, with the certificate that is there now.
func TestTLS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	database := "--database-url=" + pg.Database(t)
	must(t, dir, "sample", "csv", "--products", "200")
	must(t, dir, "load", database, "csv", "--quiet")
	must(t, dir, "warm", database, "--quiet")
	issue(t, dir, 1)
	plain := serve(t, dir, database)
	secure := serve(t, dir, database, "--tls-cert=cert.pem", "--tls-key=key.pem")
	if !strings.HasPrefix(secure.url, "https://127.0.0.1:") {
		t.Fatalf("the server listens on %s", secure.url)
	}
	get := func(path string) (string, int64) {
		// A connection each, for its certificate.
		client := nethttp.Client{Transport: &nethttp.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
		response, err := client.Get(secure.url + path)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(body), response.TLS.PeerCertificates[0].SerialNumber.Int64()
	}
	for _, path := range []string{"/products/1", "/products/7/styles", "/products/list?count=200", "/healthz"} {
		_, _, want := plain.get(t, path)
		if got, _ := get(path); got != string(want) {
			t.Errorf("%s: %d bytes over HTTPS, %d without", path, len(got), len(want))
		}
	}
	if _, serial := get("/healthz"); serial != 1 {
		t.Errorf("the certificate %d", serial)
	}
	issue(t, dir, 2)
	until(t, "the new certificate is in force", func() bool { _, serial := get("/healthz"); return serial == 2 })
	address := strings.TrimPrefix(secure.url, "https://")
	if out := must(t, dir, "server", "--check", "--admin-addr=off", "--addr="+address, "--tls-cert=cert.pem", "--tls-key=key.pem"); out != "ready\n" {
		t.Errorf("check: %s", out)
	}
	if code := secure.stop(t, syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d\n%s", code, secure.printed())
	}
}
