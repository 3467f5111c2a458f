package http

import (
	"mime"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/hotshelf/hotshelf/blob"
)

// sites are the two, by the paths of their pages.
func sites() map[string]site { return map[string]site{"/": storefront(), "/docs": docs()} }

func folder(page string) string {
	if page == "/" {
		return "/storefront/"
	}
	return page + "/"
}

// TestAssetForms: every file is there in two forms that are the same, each
// under a tag of its own, with a type that browsers take.
func TestAssetForms(t *testing.T) {
	s := start(t, Config{Catalogue: newShelf(t, blob.Pulsar), Storefront: true})
	for page, files := range sites() {
		for name, a := range files {
			target := folder(page) + name
			if name == "index.html" {
				target = page
			}
			plain := s.do("GET", target)
			zipped := s.do("GET", target, "Accept-Encoding: gzip")
			body := zipped.body
			if zipped.header.Get("Content-Encoding") == "gzip" {
				body = gunzip(t, body)
			} else if a.zipped != nil {
				t.Errorf("%s has a gzip form that is not sent", target)
			}
			if plain.status != 200 || zipped.status != 200 || plain.body == "" || plain.body != body {
				t.Errorf("%s: %d with %d bytes, gzip %d with %d", target, plain.status, len(plain.body), zipped.status, len(body))
			}
			if tag := zipped.header.Get("ETag"); a.zipped != nil && tag == plain.header.Get("ETag") {
				t.Errorf("%s: both forms have the tag %s", target, tag)
			}
			if kind, _, err := mime.ParseMediaType(plain.header.Get("Content-Type")); err != nil || kind != strings.Split(mime.TypeByExtension(name[strings.LastIndex(name, "."):]), ";")[0] {
				t.Errorf("%s has the type %q", target, kind)
			}
			for _, held := range []reply{plain, zipped} {
				got := s.do("GET", target, "Accept-Encoding: gzip", "If-None-Match: "+held.header.Get("ETag"))
				if got.status != 304 || got.body != "" || got.header.Get("ETag") != held.header.Get("ETag") {
					t.Errorf("%s: %d to a client that holds %s", target, got.status, held.header.Get("ETag"))
				}
			}
			if head := s.do("HEAD", target); head.status != 200 || head.header.Get("Content-Length") != plain.header.Get("Content-Length") {
				t.Errorf("HEAD %s: %d, %s bytes", target, head.status, head.header.Get("Content-Length"))
			}
		}
	}
}

// TestPagesNameWhatIsThere: all that the pages and scripts refer to is served,
// all that is served is referred to, and nothing is fetched from elsewhere.
func TestPagesNameWhatIsThere(t *testing.T) {
	reference := regexp.MustCompile(`(?:src|href)="([^"]*)"|from "\./([^"]*)"`)
	for page, files := range sites() {
		named := map[string]bool{}
		for name, a := range files {
			if strings.HasPrefix(name, "swagger-ui") {
				continue
			}
			for _, m := range reference.FindAllStringSubmatch(string(a.plain()), -1) {
				target := m[1] + m[2]
				file, ours := strings.CutPrefix(target, folder(page))
				switch {
				case m[2] != "":
					file = m[2]
				case !ours && !strings.HasPrefix(target, "#") && !slices.Contains([]string{"/docs", "/products", "/openapi.yaml"}, target):
					t.Errorf("%s of %s refers to %s", name, page, target)
					continue
				case !ours:
					continue
				}
				named[file] = true
				if files[file] == nil {
					t.Errorf("%s of %s refers to %s, which is not there", name, page, target)
				}
			}
		}
		for name := range files {
			if !named[name] && name != "index.html" {
				t.Errorf("nothing in %s refers to %s", page, name)
			}
		}
	}
}

// TestPagesKeepTheirPolicy: what the policy would block is not in the files,
// and no file turns text into markup.
func TestPagesKeepTheirPolicy(t *testing.T) {
	forbidden := regexp.MustCompile(`(?i)<script>|<style|\sstyle="|\son[a-z]+="|innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function`)
	if !forbidden.MatchString(`<a onclick="x()">`) || forbidden.MatchString(`{ onclick: show }`) {
		t.Fatal("the pattern is wrong")
	}
	for page, files := range sites() {
		for name, a := range files {
			if found := forbidden.FindString(string(a.plain())); found != "" && !strings.HasPrefix(name, "swagger-ui") {
				t.Errorf("%s of %s has %s", name, page, found)
			}
		}
		policy := string(files["index.html"].policy)
		if strings.Contains(policy, "unsafe") || strings.Contains(policy, "*") {
			t.Errorf("%s allows too much: %s", page, policy)
		}
	}
}

// TestStorefrontOff: without the storefront its paths are none.
func TestStorefrontOff(t *testing.T) {
	s := start(t, Config{Catalogue: newShelf(t, blob.Pulsar)})
	for target, status := range map[string]int{"/": 404, "/storefront/app.js": 404, "/docs": 200, "/docs/docs.js": 200, "/docs/index.html": 404, "/docs/%2e%2e/docs.js": 404, "/docs/..%2fdocs.js": 404} {
		if got := s.do("GET", target); got.status != status {
			t.Errorf("GET %s: %d, want %d", target, got.status, status)
		}
	}
	if got := s.do("POST", "/docs"); got.status != 405 || got.header.Get("Allow") == "" {
		t.Errorf("POST /docs: %d, Allow %q", got.status, got.header.Get("Allow"))
	}
}
