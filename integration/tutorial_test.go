package integration

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/internal/testenv"
)

// TestTutorial types the pages of the tutorial: their shell blocks run one after another in one shell and one empty
// folder. A text block shows what the shell block before it prints, see checkOutput.
func TestTutorial(t *testing.T) {
	slow(t)
	for name, want := range map[string]int{"README.md": 14, "walk.md": 7} {
		t.Run(name, func(t *testing.T) {
			page, err := os.ReadFile(filepath.Join(testenv.Root(), "docs", "tutorial", name))
			if err != nil {
				t.Fatal(err)
			}
			blocks := runnable(t, shellBlocks(string(page)))
			ports := strings.NewReplacer("9092", strconv.Itoa(freePort(t)), "8080", strconv.Itoa(freePort(t)))
			// The pages show what AVX2 computes, which processors with AVX-512 have too.
			s := session{dir: t.TempDir(), local: ports.Replace, env: []string{"VOXELSTREAM_TIER=avx2"}}
			outputs := s.typeBlocks(t, blocks)
			shown := 0
			for i, b := range blocks {
				if b.output != "" {
					shown++
					if err := checkOutput(b.output, outputs[i]); err != nil {
						t.Errorf("line %d: %v\nof the output\n%s", b.line, err, outputs[i])
					}
				}
			}
			if shown < want {
				t.Errorf("found %d blocks with their output, want at least %d", shown, want)
			}
		})
	}
}

// What differs from run to run: durations, rates and latencies.
var timing = regexp.MustCompile(`^[\d.,]+$`)

// checkOutput wants each line of a page in the output, in order; "..." stands for further lines or for the rest of one.
// Words and whole numbers must be the same. Numbers with a decimal point depend on the processor, whose instructions
// round differently: they may differ by a twentieth of the whole, which is 1, or 100 if a percent sign follows. Numbers
// before s, ms, samples/s and the like are not compared.
func checkOutput(page, output string) error {
	rest := strings.Split(output, "\n")
	for line := range strings.Lines(page) {
		line = strings.TrimSpace(line)
		if line == "..." || line == "" {
			continue
		}
		found := -1
		for i, got := range rest {
			if sameLine(line, got) {
				found = i
				break
			}
		}
		if found < 0 {
			return fmt.Errorf("the page shows %q, which is not printed, or not after the line before it", line)
		}
		rest = rest[found+1:]
	}
	return nil
}

func sameLine(page, got string) bool {
	want, have := strings.Fields(page), strings.Fields(got)
	if n := len(want); n > 0 && want[n-1] == "..." {
		want = want[:n-1]
		have = have[:min(n-1, len(have))]
	}
	if len(want) != len(have) {
		return false
	}
	for i := range want {
		unit := ""
		if i+1 < len(want) {
			unit = want[i+1]
		}
		if !sameWord(want[i], have[i], unit) {
			return false
		}
	}
	return true
}

func sameWord(want, have, unit string) bool {
	if want == have {
		return true
	}
	unit = strings.Trim(unit, "(),;")
	a, b := strings.Trim(want, "(),;"), strings.Trim(have, "(),;")
	if !timing.MatchString(a) || !timing.MatchString(b) {
		// A rate in one word, such as (1919/s)
		x, isRate := strings.CutSuffix(a, "/s")
		y, isRate2 := strings.CutSuffix(b, "/s")
		return isRate && isRate2 && timing.MatchString(x) && timing.MatchString(y)
	}
	if unit == "s" || unit == "ms" || strings.HasSuffix(unit, "/s") {
		return true
	}
	if !strings.Contains(a, ".") {
		return false
	}
	x, err := strconv.ParseFloat(a, 64)
	y, err2 := strconv.ParseFloat(b, 64)
	whole := 1.0
	if unit == "%" {
		whole = 100
	}
	return err == nil && err2 == nil && math.Abs(x-y) <= whole/20
}

// TestCheckOutput: the comparison of a page with an output accepts and refuses what it should.
func TestCheckOutput(t *testing.T) {
	for _, c := range []struct {
		page, output string
		want         bool
	}{
		{"a.h5: 10 rows, 4.4 s", "x\na.h5: 10 rows, 9.1 s\ny", true},
		{"a.h5: 10 rows", "a.h5: 11 rows", false},
		{"accuracy 0.80, loss", "accuracy 0.84, loss", true},
		{"accuracy 0.80, loss", "accuracy 0.86, loss", false},
		{"accuracy 92.7 %", "accuracy 90.1 %", true},
		{"accuracy 92.7 %", "accuracy 80.1 %", false},
		{"in 0.52 s (1919/s), p50 171.5 ms", "in 9.00 s (19/s), p50 1.5 ms", true},
		{"one\ntwo", "two\none", false},
		{"one\n...\ntwo", "one\n1\ntwo", true},
		{"one 0.9 ...", "one 0.9 and more", true},
		{"one", "one two", false},
	} {
		if err := checkOutput(c.page, c.output); (err == nil) != c.want {
			t.Errorf("checkOutput(%q, %q): %v", c.page, c.output, err)
		}
	}
}
