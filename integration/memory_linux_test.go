package integration

import "testing"

// TestMemory wants the tutorial's network, in batches of 128, to stay within the memory that docs/performance.md
// promises, the program's own pages included.
func TestMemory(t *testing.T) {
	for mode, limit := range map[string]int{"infer": 71_000_000, "train": 150_000_000} {
		p := start(t, voxelstream(t), t.TempDir(), nil, "model", "bench", "--mode", mode, "--batch", "128", "--time",
			"1s")
		most := p.peak(t)
		p.wait(t, 0)
		t.Logf("%s: %d bytes", mode, most)
		if most > limit {
			t.Errorf("%s: the process took %d bytes, want at most %d", mode, most, limit)
		}
	}
}
