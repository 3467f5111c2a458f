package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	intercept "github.com/chromedp/cdproto/fetch"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// This file drives a real browser. It is started by the first test that needs
// one, and ended by TestMain.

// screenshots is where the tests leave pictures of what they saw; nowhere
// where it is empty. It is read before TestMain clears the environment.
var screenshots = os.Getenv("HOTSHELF_SCREENSHOTS")

// patience is how long a page may take to get where a test waits for it.
const patience = 30 * time.Second

// browser is a running Chromium, whose tabs the tests open.
type browser struct {
	ctx     context.Context
	end     func()
	profile string
}

var (
	chromium    = sync.OnceValues(startChromium)
	started     atomic.Pointer[browser]
	errNoBinary = errors.New("no Chromium or Chrome is installed")
)

func startChromium() (*browser, error) {
	var path string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		return nil, errNoBinary
	}
	profile, err := os.MkdirTemp("", "hotshelf-chromium-")
	if err != nil {
		return nil, err
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.UserDataDir(profile),
		chromedp.DisableGPU, chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("hide-scrollbars", true))
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox)
	}
	allocator, end := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, cancel := chromedp.NewContext(allocator)
	b := &browser{ctx: ctx, end: func() { cancel(); end() }, profile: profile}
	started.Store(b)
	if err := chromedp.Do(ctx); err != nil {
		return nil, fmt.Errorf("start %s: %w", path, err)
	}
	return b, nil
}

// stopChromium ends the browser, if there is one. Its last processes may still
// write for a moment.
func stopChromium() {
	b := started.Load()
	if b == nil {
		return
	}
	b.end()
	for range 50 {
		if os.RemoveAll(b.profile) == nil {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// The host of the sample's photos, which is nowhere.
const photoHost = "images.example.com"

// tab is a page in a browser of its own. What goes wrong in it fails the test
// at its end.
type tab struct {
	t   *testing.T
	ctx context.Context
	// hosts are those that the page may ask besides the photos'.
	hosts []string
	// photos says whether photos come; they don't at first.
	photos atomic.Bool
	asked  atomic.Int64 // how many photos were asked for

	mu       sync.Mutex
	faults   []string
	expected []string // parts of faults that the test brought about
}

func newTab(t *testing.T, servers ...*server) *tab {
	t.Helper()
	if testing.Short() {
		t.Skip("a browser takes long")
	}
	b, err := chromium()
	if errors.Is(err, errNoBinary) && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatalf("%v; on Debian, install the package chromium", err)
	}
	ctx, cancel := chromedp.NewContext(b.ctx, chromedp.WithNewBrowserContext())
	tb := &tab{t: t, ctx: ctx}
	for _, s := range servers {
		tb.hosts = append(tb.hosts, strings.TrimPrefix(s.url, "http://"))
	}
	t.Cleanup(func() {
		if t.Failed() {
			tb.shot(strings.NewReplacer("/", "-", " ", "-").Replace(t.Name()) + "-failed")
		}
		cancel()
		tb.mu.Lock()
		defer tb.mu.Unlock()
		for _, fault := range tb.faults {
			if !slices.ContainsFunc(tb.expected, func(part string) bool { return strings.Contains(fault, part) }) {
				t.Errorf("the page: %s", fault)
			}
		}
	})
	tb.must(chromedp.Do(ctx))
	tb.must(chromedp.Listen(ctx, tb.see))
	_, err = chromedp.Call(ctx, intercept.Enable, intercept.EnableParams{Patterns: []*intercept.RequestPattern{{URLPattern: "*://" + photoHost + "/*"}}})
	tb.must(err)
	tb.window(1280, 900)
	return tb
}

func (tb *tab) must(err error) {
	tb.t.Helper()
	if err != nil {
		tb.t.Fatal(err)
	}
}

// see takes the tab's events.
func (tb *tab) see(event any) {
	fault := func(format string, args ...any) {
		tb.mu.Lock()
		defer tb.mu.Unlock()
		tb.faults = append(tb.faults, fmt.Sprintf(format, args...))
	}
	switch e := event.(type) {
	case *intercept.EventRequestPaused:
		tb.asked.Add(1)
		// Not in here: it would wait for what only this function's end lets come.
		go tb.answerPhoto(e.RequestID)
	case *network.EventRequestWillBeSent:
		u, err := url.Parse(e.Request.URL)
		if err != nil || u.Scheme != "data" && u.Host != photoHost && !slices.Contains(tb.hosts, u.Host) {
			fault("asks elsewhere: %s", e.Request.URL)
		}
	case *runtime.EventExceptionThrown:
		fault("exception: %s", e.ExceptionDetails.Text+" "+describe(e.ExceptionDetails.Exception))
	case *runtime.EventConsoleAPICalled:
		if e.Type == "error" || e.Type == "warning" || e.Type == "assert" {
			var text []string
			for _, a := range e.Args {
				text = append(text, describe(a))
			}
			fault("console: %s", strings.Join(text, " "))
		}
	case *log.EventEntryAdded:
		if (e.Entry.Level == "error" || e.Entry.Level == "warning") && !strings.Contains(e.Entry.URL, photoHost) {
			fault("log: %s %s", e.Entry.Text, e.Entry.URL)
		}
	}
}

func describe(o *runtime.RemoteObject) string {
	if o == nil {
		return ""
	}
	if o.Description != "" {
		return o.Description
	}
	return string(o.Value)
}

func (tb *tab) answerPhoto(id intercept.RequestID) {
	if !tb.photos.Load() {
		_, _ = chromedp.Call(tb.ctx, intercept.FailRequest, intercept.FailRequestParams{RequestID: id, ErrorReason: network.ErrorReasonNameNotResolved})
		return
	}
	_, _ = chromedp.Call(tb.ctx, intercept.FulfillRequest, intercept.FulfillRequestParams{
		RequestID: id, ResponseCode: 200, Body: samplePhoto(),
		ResponseHeaders: []*intercept.HeaderEntry{{Name: "Content-Type", Value: "image/png"}},
	})
}

var samplePhoto = sync.OnceValue(func() []byte {
	photo := image.NewRGBA(image.Rect(0, 0, 80, 100))
	for i := range 8000 {
		photo.Set(i%80, i/80, color.RGBA{uint8(90 + i/80), 120, uint8(250 - 2*(i%80)), 255})
	}
	var b bytes.Buffer
	if err := png.Encode(&b, photo); err != nil {
		panic(err)
	}
	return b.Bytes()
})

// expect takes faults that contain part for what the test is about.
func (tb *tab) expect(part string) {
	tb.mu.Lock()
	defer tb.mu.Unlock()
	tb.expected = append(tb.expected, part)
}

// do runs actions.
func (tb *tab) do(actions ...chromedp.Action[chromedp.Void]) {
	tb.t.Helper()
	ctx, cancel := context.WithTimeout(tb.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		tb.t.Fatal(err)
	}
}

// open goes to an address and waits until the page is complete, in the sense of
// its own aria-busy.
func (tb *tab) open(address string) {
	tb.t.Helper()
	// The same document with another fragment would not be loaded anew.
	tb.do(chromedp.Navigate("about:blank"), chromedp.Navigate(address))
	tb.settled()
}

func (tb *tab) settled() {
	tb.t.Helper()
	tb.wait(`document.readyState === "complete" && !document.querySelector("[aria-busy]") && (!document.getElementById("announcer") || document.querySelector("main h1"))`)
}

func (tb *tab) click(selector string) {
	tb.t.Helper()
	tb.do(chromedp.Click(chromedp.CSS(selector)))
}

// keys presses keys one after another.
func (tb *tab) keys(keys ...string) {
	tb.t.Helper()
	for _, key := range keys {
		tb.do(chromedp.KeyEvent(key))
	}
}

// eval is the value of an expression in the page.
func eval[T any](tb *tab, expression string) T {
	tb.t.Helper()
	ctx, cancel := context.WithTimeout(tb.ctx, patience)
	defer cancel()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		tb.t.Fatalf("%s: %v", expression, err)
	}
	return value
}

// text is what an element says, with its blanks drawn together.
func (tb *tab) text(selector string) string {
	tb.t.Helper()
	return eval[string](tb, fmt.Sprintf(`(document.querySelector(%q)?.innerText ?? "(no "+%[1]q+")").replace(/\s+/g, " ").trim()`, selector))
}

// wait waits for a condition in the page.
func (tb *tab) wait(condition string) {
	tb.t.Helper()
	deadline := time.Now().Add(patience)
	for !eval[bool](tb, "Boolean("+condition+")") {
		if time.Now().After(deadline) {
			tb.t.Fatalf("waited in vain: %s\nin %s:\n%s", condition, eval[string](tb, "location.href"), eval[string](tb, "document.body.innerText"))
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// says fails unless an element comes to say want.
func (tb *tab) says(selector, want string) {
	tb.t.Helper()
	deadline := time.Now().Add(patience)
	for tb.text(selector) != want {
		if time.Now().After(deadline) {
			tb.t.Fatalf("%s says %q, want %q", selector, tb.text(selector), want)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// window makes the tab a window of a desk.
func (tb *tab) window(width, height int64) {
	tb.t.Helper()
	tb.do(chromedp.EmulateViewport(width, height))
}

// phone makes the tab a phone of that width.
func (tb *tab) phone(width int64) {
	tb.t.Helper()
	tb.do(chromedp.EmulateViewport(width, 844, chromedp.EmulateMobile, chromedp.EmulatePortrait, chromedp.EmulateTouch))
}

// colours makes the user one who likes "dark" or "light".
func (tb *tab) colours(scheme string) {
	tb.t.Helper()
	tb.do(func(ctx context.Context, target *chromedp.Target) (chromedp.Void, error) {
		_, err := cdp.Call(ctx, target, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
		})
		return chromedp.Void{}, err
	})
}

// shot keeps a picture of the whole page, and view one of what is in the window.
func (tb *tab) shot(name string) { tb.t.Helper(); tb.keep(name, chromedp.FullScreenshot(100)) }
func (tb *tab) view(name string) { tb.t.Helper(); tb.keep(name, chromedp.CaptureScreenshot()) }

func (tb *tab) keep(name string, take chromedp.Action[[]byte]) {
	tb.t.Helper()
	if screenshots == "" {
		return
	}
	ctx, cancel := context.WithTimeout(tb.ctx, patience)
	defer cancel()
	picture, err := chromedp.Run(ctx, take)
	if err == nil {
		if err = os.MkdirAll(screenshots, 0o755); err == nil {
			err = os.WriteFile(filepath.Join(screenshots, name+".png"), picture, 0o644)
		}
	}
	if err != nil {
		tb.t.Errorf("screenshot %s: %v", name, err)
	}
}
