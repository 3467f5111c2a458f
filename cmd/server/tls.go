package main

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync/atomic"
	"time"
)

// secure says with what the public listener speaks TLS.
type secure struct {
	TLSCert string `name:"tls-cert" help:"The certificate chain, in PEM, to serve HTTPS with; read again when it changes." placeholder:"FILE"`
	TLSKey  string `name:"tls-key" help:"Its private key, in PEM." placeholder:"FILE"`
}

// Validate is called by the parser of the command line.
func (s secure) Validate() error {
	if (s.TLSCert == "") != (s.TLSKey == "") {
		return errors.New("--tls-cert and --tls-key belong together: give both or neither")
	}
	return nil
}

func (s secure) on() bool { return s.TLSCert != "" }

func (s secure) scheme() string {
	if s.on() {
		return "https"
	}
	return "http"
}

// renewal is how often the files are looked at. They are compared whole: the
// times of files that are copied or linked into place say little.
const renewal = 5 * time.Second

// wrap makes a listener speak TLS, where there is a certificate, until stop is
// called.
func (s secure) wrap(listener net.Listener, log *slog.Logger, every time.Duration) (_ net.Listener, stop func(), err error) {
	if !s.on() {
		return listener, func() {}, nil
	}
	c := &certificate{files: s, log: log}
	if err := c.read(); err != nil {
		return nil, nil, err
	}
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for tick := time.NewTicker(every); ; {
			select {
			case <-tick.C:
				c.renew()
			case <-quit:
				tick.Stop()
				return
			}
		}
	}()
	config := &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.current.Load(), nil },
	}
	return tls.NewListener(listener, config), func() { close(quit); <-done }, nil
}

// certificate is the one in force, and follows its files.
type certificate struct {
	files   secure
	log     *slog.Logger
	current atomic.Pointer[tls.Certificate]
	// What the files held when they were last read.
	cert, key []byte
	fault     string // what is wrong with them
}

// read takes in what the files hold now.
func (c *certificate) read() error {
	cert, err := os.ReadFile(c.files.TLSCert)
	if err != nil {
		return fmt.Errorf("read the certificate (--tls-cert): %w", err)
	}
	key, err := os.ReadFile(c.files.TLSKey)
	if err != nil {
		return fmt.Errorf("read the certificate's key (--tls-key): %w", err)
	}
	if bytes.Equal(cert, c.cert) && bytes.Equal(key, c.key) {
		return nil
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return fmt.Errorf("use the certificate %s with the key %s: %w", c.files.TLSCert, c.files.TLSKey, err)
	}
	c.current.Store(&pair)
	c.cert, c.key = cert, key
	return nil
}

// renew takes a new certificate into force. While the files can't be used,
// which they can't be between the writing of the one and of the other, the old
// one stays; that is logged once.
func (c *certificate) renew() {
	before := c.current.Load()
	err := c.read()
	switch {
	case err != nil && err.Error() != c.fault:
		c.fault = err.Error()
		c.log.Error("the certificate in force stays", "error", err)
	case err == nil:
		c.fault = ""
		if now := c.current.Load(); now != before {
			c.log.Info("a new certificate is in force", "expires", now.Leaf.NotAfter)
		}
	}
}
