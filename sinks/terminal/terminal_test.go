package terminal

import (
	"bytes"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/internal/screen"
	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/sinks"
	"github.com/voxelstream/voxelstream/sinks/sinktest"
)

var shown = regexp.MustCompile(`classified (\d+) .* last (\S+)/(\d+): `)

// TestSuite takes the totals that were shown last for what is "stored": n classifications, of which the last has that
// id.
func TestSuite(t *testing.T) {
	sinktest.Run(t, func(*testing.T) sinktest.Harness {
		var b bytes.Buffer
		return sinktest.Harness{
			Kind: &Kind,
			Open: func(*testing.T) sinks.Sink { return New(screen.Plain(&b), Options{Rows: 10}) },
			Stored: func(t *testing.T) (ids []string) {
				lines := strings.Split(strings.TrimSpace(b.String()), "\n")
				m := shown.FindStringSubmatch(lines[len(lines)-1])
				if m == nil {
					return nil
				}
				n, err := strconv.Atoi(m[1])
				if err != nil {
					t.Fatal(err)
				}
				last, err := strconv.Atoi(m[3])
				if err != nil {
					t.Fatal(err)
				}
				for i := range n {
					ids = append(ids, m[2]+"/"+strconv.Itoa(last-n+1+i))
				}
				return ids
			},
		}
	})
}

func TestLine(t *testing.T) {
	var b bytes.Buffer
	s := New(screen.Plain(&b), Options{Rows: 10})
	right, wrong := sinktest.Classification("s", 1), sinktest.Classification("s", 2)
	wrong.Class, wrong.Name = 7, "7"
	if err := s.Write(t.Context(), []record.Classification{right, wrong}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"classified 2 ", "accuracy 50.00 %", "latency p50 1.5 ms", "last s/2: 7 0.750 ≠ 2"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("found %q, want %q in it", b.String(), want)
		}
	}
}
