package integration

import "testing"

// TestMemory checks that the tutorial's network and the built-in model stay within the memory that docs/performance.md
// states for batches of 128, including the pages of the program.
func TestMemory(t *testing.T) {
	w := newWorld(t)
	w.set("model.path", "")
	// As safetensors, like the built-in model: what reads .keras files adds 3 MB of the program's pages.
	tutorial := w.path("tutorial.safetensors")
	w.do(exitDone, "model", "convert", must(smallModel())(t), tutorial)
	for _, c := range []struct {
		name  string
		model []string
		mode  string
		limit int
	}{
		{"tutorial", []string{tutorial}, "infer", 73_000_000},
		{"tutorial", []string{tutorial}, "train", 150_000_000},
		{"built-in", nil, "infer", 80_000_000},
		{"built-in", nil, "train", 200_000_000},
	} {
		args := append([]string{"model", "bench", "--mode", c.mode, "--batch", "128", "--time", "1s"}, c.model...)
		p := w.start(args...)
		most := p.peak(t)
		p.wait(t, exitDone)
		t.Logf("%s, %s: %d bytes", c.name, c.mode, most)
		if most > c.limit {
			t.Errorf("%s, %s: the process took %d bytes, want at most %d", c.name, c.mode, most, c.limit)
		}
	}
}
