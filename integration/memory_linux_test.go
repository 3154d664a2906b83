package integration

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestMemory wants the tutorial's network, in batches of 128, to stay within the memory that docs/performance.md promises, the program's own pages included.
func TestMemory(t *testing.T) {
	for mode, limit := range map[string]int{"infer": 60_000_000, "train": 150_000_000} {
		p := start(t, voxelstream(t), t.TempDir(), nil, "model", "bench", "--mode", mode, "--batch", "128", "--time", "1s")
		most := 0
		p.until(t, "its end", func() bool {
			most = max(most, peak(p.cmd.Process.Pid))
			return p.ended()
		})
		p.wait(t, 0)
		t.Logf("%s: %d bytes", mode, most)
		if most == 0 || most > limit {
			t.Errorf("%s: the process took %d bytes, want at most %d", mode, most, limit)
		}
	}
}

// peak is the most memory that a process had so far in bytes, 0 when it is over.
func peak(pid int) int {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	_, after, _ := strings.Cut(string(b), "VmHWM:")
	kib := 0
	_, _ = fmt.Sscan(after, &kib) // nothing is found when the process is over
	return kib << 10
}
