package e2e

import (
	"bufio"
	"encoding/csv"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	nethttp "net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// peak is the most memory that a process has had resident, in bytes.
func (s *server) peak(t *testing.T) int64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		t.Skip("this system does not tell what a process uses")
	}
	for line := range strings.Lines(string(text)) {
		if rest, found := strings.CutPrefix(line, "VmHWM:"); found {
			kilobytes, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return kilobytes << 10
		}
	}
	t.Fatalf("no VmHWM in %s", text)
	return 0
}

// addSKUs gives the first style of a catalogue's files so many more SKUs, and
// returns its product.
func addSKUs(t *testing.T, dir string, count int) (product string) {
	t.Helper()
	styles, err := os.Open(filepath.Join(dir, "styles.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer styles.Close()
	rows := csv.NewReader(styles)
	_, _ = rows.Read()
	first, err := rows.Read()
	if err != nil {
		t.Fatal(err)
	}
	skus, err := os.OpenFile(filepath.Join(dir, "skus.csv"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	out := bufio.NewWriter(skus)
	for i := range count {
		fmt.Fprintf(out, "%d,%s,\"size %d\",%d\n", 1_000_000_000+i, first[0], i, i%100)
	}
	if err := out.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := skus.Close(); err != nil {
		t.Fatal(err)
	}
	return first[1]
}

// TestMemory: under everything at once a server stays inside its budget and
// goes on answering.
func TestMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("takes all the processors there are for some seconds")
	}
	underLoad(t, 20_000, 6*time.Second)
}

// underLoad lets a thousand clients at a server of 128 MiB for some time: most
// ask for random products, some for the longest lists, some for lists that they
// don't read, some for a product with 10,000 SKUs.
func underLoad(t *testing.T, products int, duration time.Duration) {
	const (
		budget = 128 << 20
		reads  = 700
		lists  = 100
		slow   = 150
		skus   = 50
	)
	dir := t.TempDir()
	flag := "--database-url=" + pg.Database(t)
	must(t, dir, "sample", "csv", "--products", strconv.Itoa(products), "--seed", "7")
	large := addSKUs(t, filepath.Join(dir, "csv"), 10_000)
	must(t, dir, "load", flag, "csv", "--quiet")
	must(t, dir, "warm", flag, "--quiet")
	s := serve(t, dir, flag, "--memory", "128MiB")
	until(t, "the server is ready", func() bool { status, _, _ := s.get(t, "/readyz"); return status == 200 })
	atRest := s.peak(t)
	if _, _, body := s.get(t, "/products/"+large+"/styles"); len(body) < 100_000 {
		t.Errorf("10,000 SKUs in %d bytes", len(body))
	}

	addr := strings.TrimPrefix(s.url, "http://")
	deadline := time.Now().Add(duration)
	var statuses [600]atomic.Int64
	var clients sync.WaitGroup
	client := func(target func() string) {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		_ = c.SetDeadline(deadline.Add(20 * time.Second))
		in := bufio.NewReaderSize(c, 4096)
		for time.Now().Before(deadline) {
			if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\n\r\n", target()); err != nil {
				t.Error(err)
				return
			}
			response, err := nethttp.ReadResponse(in, nil)
			if err != nil {
				t.Error(err)
				return
			}
			_, err = io.Copy(io.Discard, response.Body)
			_ = response.Body.Close()
			if err != nil {
				t.Error(err)
				return
			}
			statuses[response.StatusCode].Add(1)
			if response.StatusCode == 503 {
				time.Sleep(100 * time.Millisecond) // less than Retry-After says
			}
		}
	}
	page := func() string { return fmt.Sprintf("/products/list?count=500&page=%d", 1+rand.IntN(products/500)) }
	var stuck []net.Conn
	t.Cleanup(func() {
		for _, c := range stuck {
			_ = c.Close()
		}
	})
	for range slow {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		_ = c.(*net.TCPConn).SetReadBuffer(4096)
		for range 8 { // more than the systems' buffers take
			_, _ = fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", page())
		}
		stuck = append(stuck, c)
	}
	for range reads {
		clients.Go(func() {
			client(func() string {
				return fmt.Sprintf("/products/%d%s", 1+rand.IntN(products), [...]string{"", "/styles", "/related"}[rand.IntN(3)])
			})
		})
	}
	for range lists {
		clients.Go(func() { client(page) })
	}
	for range skus {
		clients.Go(func() { client(func() string { return "/products/" + large + "/styles" }) })
	}
	clients.Wait()
	peak := s.peak(t)
	counts := map[int]int64{}
	for status := range statuses {
		if n := statuses[status].Load(); n > 0 {
			counts[status] = n
		}
	}
	t.Logf("%d MiB at rest, at most %d of %d MiB; answers by status: %v", atRest>>20, peak>>20, int64(budget)>>20, counts)
	if peak > budget {
		t.Errorf("%d bytes of memory, more than %d", peak, int64(budget))
	}
	ok, all := counts[200], int64(0)
	for _, n := range counts {
		all += n
	}
	if all != ok+counts[503] || ok < all/2 {
		t.Errorf("answers by status: %v", counts)
	}
	if status, _, _ := s.get(t, "/products/"+large); status != 200 {
		t.Errorf("afterwards, with %d clients that still don't read: status %d", len(stuck), status)
	}
}
