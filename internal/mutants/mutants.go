// Package mutants tests decoders with damaged inputs. Each fuzz target that uses it is also a test that reads a stated
// number of mutants: none may panic, take more than two seconds of processor time, or allocate more than the limit.
package mutants

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime/metrics"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	// CountEnv is the variable that says how many mutants of each decoder are read. Without it there are none, only the
	// seeds and the inputs in testdata/fuzz.
	CountEnv = "VOXELSTREAM_MUTANTS"
	// ReportEnv is the variable with the file to which a line is appended for each decoder: its name, the number of
	// mutants, the longest time in milliseconds and the largest allocation in MiB.
	ReportEnv = "VOXELSTREAM_MUTANTS_REPORT"
	// maxTime is the processor time that the process may use during one mutant.
	maxTime = 2 * time.Second
	// maxHang is the time after which a mutant ends the process, so that its input is known.
	maxHang = 2 * time.Minute
	// MaxAlloc is what a decoder may allocate for one mutant in all, in bytes: well above what the limits of tests let a
	// small input decode to.
	MaxAlloc = 512 << 20
)

// Count returns the number of mutants of each decoder.
func Count() int {
	n, err := strconv.Atoi(os.Getenv(CountEnv))
	if err != nil {
		return 0
	}
	return n
}

// Fuzz is a fuzz target of a decoder. With [CountEnv] it is a test of mutants of the seeds instead.
func Fuzz(f *testing.F, decoder string, seeds [][]byte, try func(t *testing.T, data []byte)) {
	f.Helper()
	n := Count()
	for _, s := range seeds {
		f.Add(s)
	}
	if n > 0 && len(seeds) > 0 {
		h := fnv.New64a()
		h.Write([]byte(decoder))
		r := rand.New(rand.NewPCG(h.Sum64(), 1))
		for range n {
			f.Add(Mutate(r, seeds[r.IntN(len(seeds))]))
		}
	}
	g := guard{decoder: decoder}
	if n > 0 {
		f.Cleanup(func() { g.report(f, n) })
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if n == 0 {
			try(t, data)
			return
		}
		g.try(t, data, func() { try(t, data) })
	})
}

// guard measures a decoder.
type guard struct {
	decoder string

	mu      sync.Mutex
	slowest time.Duration
	largest uint64
}

func (g *guard) try(t *testing.T, data []byte, try func()) {
	t.Helper()
	hang := time.AfterFunc(maxHang, func() {
		panic(fmt.Sprintf("%s: a mutant takes more than %v, kept in %s", g.decoder, maxHang, keep(g.decoder, data)))
	})
	defer hang.Stop()
	defer func() {
		if p := recover(); p != nil {
			t.Errorf("%s: panic, input kept in %s: %v", g.decoder, keep(g.decoder, data), p)
			panic(p)
		}
	}()
	allocated, used := allocations(), processorTime()
	try()
	allocated, used = allocations()-allocated, processorTime()-used
	g.mu.Lock()
	g.slowest, g.largest = max(g.slowest, used), max(g.largest, allocated)
	g.mu.Unlock()
	if used > maxTime {
		t.Errorf("%s: found %v of processor time, limit %v; input kept in %s", g.decoder, used, maxTime,
			keep(g.decoder, data))
	}
	if allocated > MaxAlloc {
		t.Errorf("%s: found %d bytes allocated, limit %d; input kept in %s", g.decoder, allocated, MaxAlloc,
			keep(g.decoder, data))
	}
}

// names makes names of files of those of decoders.
var names = strings.NewReplacer(" ", "-", ":", "", ",", "", "/", "-")

// keep writes an input that failed, in the form of the fuzzer's corpus, so that it can be moved to testdata/fuzz.
func keep(decoder string, data []byte) string {
	sum := sha256.Sum256(data)
	path := filepath.Join(os.TempDir(), fmt.Sprintf("mutant-%x-%s", sum[:8], names.Replace(decoder)))
	text := fmt.Sprintf("go test fuzz v1\n[]byte(%q)\n", data)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return err.Error()
	}
	return path
}

func (g *guard) report(tb testing.TB, n int) {
	path := os.Getenv(ReportEnv)
	if path == "" || tb.Failed() {
		return
	}
	const mode = os.O_CREATE | os.O_APPEND | os.O_WRONLY
	out, err := os.OpenFile(path, mode, 0o600) //nolint:gosec // the file that the variable names
	if err != nil {
		tb.Error(err)
		return
	}
	defer out.Close() //nolint:errcheck // Fprintf says it
	if _, err := fmt.Fprintf(out, "%s\t%d\t%d\t%.1f\n", g.decoder, n, g.slowest.Milliseconds(),
		float64(g.largest)/(1<<20)); err != nil {
		tb.Error(err)
	}
}

// allocations returns the bytes that the process has allocated so far.
func allocations() uint64 {
	s := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}

// Mutate damages a copy of data: some bytes changed, a piece removed or doubled, most often near the start where the
// headers are.
func Mutate(r *rand.Rand, data []byte) []byte {
	out := bytes.Clone(data)
	at := func() int {
		if r.IntN(3) > 0 {
			return r.IntN(min(len(out), 1024))
		}
		return r.IntN(len(out))
	}
	for range 1 + r.IntN(4) {
		if len(out) == 0 {
			break
		}
		i := at()
		switch r.IntN(5) {
		case 0:
			out[i] = byte(r.Uint32())
		case 1:
			out[i] ^= 1 << r.IntN(8)
		case 2:
			out[i] = []byte{0, 0xff, 0x7f, '9', '-'}[r.IntN(5)]
		case 3:
			n := min(r.IntN(64), len(out)-i)
			out = append(out[:i], out[i+n:]...)
		case 4:
			n := min(r.IntN(64), len(out)-i)
			out = append(out[:i+n:i+n], out[i:]...)
		}
	}
	return out
}

// Target is a fuzz target of a decoder whose inputs are bytes.
type Target struct {
	f       *testing.F
	decoder string
	seeds   [][]byte
}

// New returns a target without seeds.
func New(f *testing.F, decoder string) *Target { return &Target{f: f, decoder: decoder} }

// Add adds a seed.
func (t *Target) Add(seed []byte) { t.seeds = append(t.seeds, seed) }

// Fuzz is [Fuzz] with the seeds that were added.
func (t *Target) Fuzz(try func(t *testing.T, data []byte)) {
	t.f.Helper()
	Fuzz(t.f, t.decoder, t.seeds, try)
}
