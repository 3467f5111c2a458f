package http

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"sync/atomic"
)

// Token is a write token as the server keeps it: never the token itself.
type Token struct {
	Name string // for the audit line
	Sum  [sha256.Size]byte
}

// NewToken is the token with this secret.
func NewToken(name, secret string) Token {
	return Token{name, sha256.Sum256([]byte(secret))}
}

// ParseTokens reads a file of tokens: a line for each, with its name, a blank,
// and the SHA-256 of its secret in hexadecimal. Empty lines and those that
// begin with # are left out. The error names the line, not what is in it.
func ParseTokens(text []byte) ([]Token, error) {
	var tokens []Token
	number := 0
	for line := range bytes.Lines(text) {
		number++
		fields := bytes.Fields(line)
		if len(fields) == 0 || fields[0][0] == '#' {
			continue
		}
		var token Token
		if len(fields) != 2 || len(fields[1]) != hex.EncodedLen(sha256.Size) {
			return nil, fmt.Errorf("line %d: expected a name and a SHA-256 of 64 hexadecimal digits", number)
		}
		if _, err := hex.Decode(token.Sum[:], fields[1]); err != nil {
			return nil, fmt.Errorf("line %d: the SHA-256 is not hexadecimal", number)
		}
		token.Name = string(fields[0])
		tokens = append(tokens, token)
	}
	return tokens, nil
}

// Tokens are the write tokens in force. They can be replaced while requests
// are being answered. The zero value has none: writes are off.
type Tokens struct {
	list atomic.Pointer[[]Token]
}

// Set replaces all tokens. The list must not be changed afterwards.
func (t *Tokens) Set(list []Token) { t.list.Store(&list) }

// find returns the name of the token in an Authorization header. It compares
// sums, all of them and each in constant time, so that how long it takes says
// nothing about any secret. off says that there are no tokens at all.
func (t *Tokens) find(authorization []byte) (name string, ok, off bool) {
	list := t.list.Load()
	if list == nil || len(*list) == 0 {
		return "", false, true
	}
	scheme, secret := cut(trim(authorization), ' ')
	secret = trim(secret)
	sum := sha256.Sum256(secret)
	for i := range *list {
		if subtle.ConstantTimeCompare(sum[:], (*list)[i].Sum[:]) == 1 {
			name, ok = (*list)[i].Name, true
		}
	}
	if !equalFold(scheme, "bearer") || len(secret) == 0 {
		return "", false, false
	}
	return name, ok, false
}
