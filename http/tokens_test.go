package http

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"
)

func TestParseTokens(t *testing.T) {
	sum := fmt.Sprintf("%x", sha256.Sum256([]byte("hidden")))
	tokens, err := ParseTokens([]byte("# ours\n\nshop " + sum + "\r\n  till\t" + strings.ToUpper(sum)))
	if err != nil || len(tokens) != 2 || tokens[0] != NewToken("shop", "hidden") || tokens[1] != NewToken("till", "hidden") {
		t.Errorf("%v, %v", tokens, err)
	}
	for text, want := range map[string]string{
		"shop":                              "line 1",
		"\nshop " + sum[1:]:                 "line 2",
		"a " + sum + "\nshop " + sum + " x": "line 2",
		"shop z" + sum[1:]:                  "line 1",
	} {
		if _, err := ParseTokens([]byte(text)); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), sum[1:]) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestFindToken(t *testing.T) {
	var tokens Tokens
	if _, ok, off := tokens.find([]byte("Bearer x")); ok || !off {
		t.Error("no tokens, but writes are on")
	}
	tokens.Set([]Token{NewToken("shop", "one"), NewToken("till", "two"), NewToken("empty", "")})
	for header, want := range map[string]string{
		"Bearer one": "shop", "bearer  two ": "till", "BEARER two": "till",
		"": "", "Bearer": "", "Bearer ": "", "Bearer three": "", "Basic one": "", "one": "", "Bearer one two": "", "Bearerone": "",
	} {
		if name, ok, off := tokens.find([]byte(header)); name != want || ok != (want != "") || off {
			t.Errorf("%q: %q, %t, %t", header, name, ok, off)
		}
	}
	tokens.Set([]Token{NewToken("shop", "new")})
	if _, ok, _ := tokens.find([]byte("Bearer one")); ok {
		t.Error("a token that was taken away still works")
	}
	tokens.Set(nil)
	if _, _, off := tokens.find([]byte("Bearer new")); !off {
		t.Error("writes are on without tokens")
	}
}
