package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	nethttp "net/http"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// TestRewarmed: three kills.
func TestRewarmed(t *testing.T) {
	t.Parallel()
	rewarmed(t, 3)
}

// rewarmed kills warms at random moments while products are written and read
// through a server: each answer is one state of its product, in one contract,
// and no older than the last write that was answered before it was asked for;
// and in the end every blob is what its rows give.
func rewarmed(t *testing.T, kills int) {
	dir := t.TempDir()
	flag := "--database-url=" + pg.Database(t)
	must(t, dir, "sample", "csv", "--products", "3000", "--seed", "5")
	must(t, dir, "load", flag, "csv", "--quiet")
	must(t, dir, "warm", flag, "--quiet")
	tokensFile(t, filepath.Join(dir, "tokens"), writeToken)
	s := serve(t, dir, flag, "--write-tokens-file", "tokens")
	p := &population{t: t, url: s.url, states: make([]written, 300), quit: make(chan struct{})}
	for range 2 {
		p.all.Go(p.write)
		p.all.Go(p.read)
	}

	k := killing{t, dir, map[string]time.Duration{"warm": time.Second}}
	contracts := []string{"atelier", "pulsar"}
	for n := range kills {
		warm := []string{"warm", flag, "--quiet", "--contract", contracts[n%2]}
		if n%3 == 2 {
			warm = []string{"warm", flag, "--quiet", "--full"}
		}
		k.end(syscall.SIGKILL, warm...)
		k.again(warm...)
	}
	close(p.quit)
	p.all.Wait()
	if p.writes == 0 || p.reads == 0 {
		t.Errorf("%d writes, %d reads", p.writes, p.reads)
	}
	t.Logf("%d writes, %d reads", p.writes, p.reads)
	if out := must(t, dir, "warm", flag, "--verify"); !strings.Contains(out, "3000 products compared") {
		t.Errorf("warm --verify: %s", out)
	}
}

// population is products that are written and read at once. Each write puts
// one number into several places of a product.
type population struct {
	t    *testing.T
	url  string
	quit chan struct{}
	all  sync.WaitGroup

	mu            sync.Mutex
	states        []written // by product, less 1
	reads, writes int
	failed        bool
}

// written is what is known of a product: the number of its last write that was
// answered, and that of the last one that was sent.
type written struct {
	busy           sync.Mutex // of the one who writes it
	answered, sent int
}

func (p *population) running() bool {
	select {
	case <-p.quit:
		return false
	default:
		p.mu.Lock()
		defer p.mu.Unlock()
		return !p.failed
	}
}

func (p *population) fail(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failed = true
	p.t.Errorf(format, args...)
}

func (p *population) write() {
	for p.running() {
		id := rand.IntN(len(p.states))
		state := &p.states[id]
		state.busy.Lock()
		p.mu.Lock()
		state.sent++
		n := state.sent
		p.mu.Unlock()
		body := fmt.Sprintf(`{"slogan":"%d","features":[{"feature":"%d","value":"%d"}],"default_price":%d.50,"styles":[{"name":"%d","original_price":%d.50}]}`, n, n, n, n, n, n)
		request, err := nethttp.NewRequest("PUT", fmt.Sprintf("%s/products/%d", p.url, id+1), bytes.NewReader([]byte(body)))
		if err != nil {
			p.fail("%v", err)
			return
		}
		request.Header.Set("Authorization", "Bearer "+writeToken)
		request.Header.Set("Content-Type", "application/json")
		if status, answer := p.do(request); status != nethttp.StatusOK {
			p.fail("write %d of product %d: %d %s", n, id+1, status, answer)
		}
		p.mu.Lock()
		state.answered = n
		p.writes++
		p.mu.Unlock()
		state.busy.Unlock()
	}
}

func (p *population) do(request *nethttp.Request) (int, []byte) {
	response, err := nethttp.DefaultClient.Do(request)
	if err != nil {
		return 0, []byte(err.Error())
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, []byte(err.Error())
	}
	return response.StatusCode, body
}

func (p *population) read() {
	for p.running() {
		time.Sleep(time.Millisecond) // the programs want the processors too
		id := rand.IntN(len(p.states))
		p.mu.Lock()
		least := p.states[id].answered
		p.mu.Unlock()
		for _, part := range []string{"", "/styles"} {
			request, err := nethttp.NewRequest("GET", fmt.Sprintf("%s/products/%d%s", p.url, id+1, part), nil)
			if err != nil {
				p.fail("%v", err)
				return
			}
			status, body := p.do(request)
			p.mu.Lock()
			most := p.states[id].sent
			p.reads++
			p.mu.Unlock()
			if status != nethttp.StatusOK {
				p.fail("GET product %d%s: %d %s", id+1, part, status, body)
				return
			}
			if n, ok := p.stateOf(part, body); !ok || n < least || n > most {
				p.fail("product %d%s is no state from %d to %d: %s", id+1, part, least, most, body)
			}
		}
	}
}

// stateOf finds the number of the write that an answer shows; 0 stands for the
// state of the import, whatever it is. It is not ok where the answer mixes two.
func (p *population) stateOf(part string, body []byte) (n int, ok bool) {
	var detail struct {
		Slogan   string
		Price    string `json:"default_price"`
		Features []struct{ Feature, Value string }
		Results  []struct {
			Name    string
			Price   string `json:"original_price"`
			Sale    any    `json:"sale_price"`
			Default any    `json:"default?"`
		}
	}
	if err := json.Unmarshal(body, &detail); err != nil {
		return 0, false
	}
	if part == "" {
		n, err := strconv.Atoi(detail.Slogan)
		if err != nil {
			return 0, true
		}
		number := fmt.Sprint(n)
		return n, detail.Price == number+".50" && len(detail.Features) == 1 &&
			detail.Features[0].Feature == number && detail.Features[0].Value == number
	}
	if len(detail.Results) == 0 {
		return 0, false
	}
	for _, s := range detail.Results {
		// A style is of one contract: pulsar has 1 or 0 and "0", atelier a boolean and null.
		_, atelier := s.Default.(bool)
		if atelier && s.Sale != nil && !strings.Contains(fmt.Sprint(s.Sale), ".") || !atelier && s.Sale == nil {
			return 0, false
		}
	}
	s := detail.Results[0]
	n, err := strconv.Atoi(s.Name)
	if err != nil {
		return 0, true
	}
	return n, len(detail.Results) == 1 && s.Price == fmt.Sprintf("%d.50", n)
}
