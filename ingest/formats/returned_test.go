package formats

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/internal/budget"
	"github.com/voxelstream/voxelstream/internal/testenv"
)

// TestReturned: an input that is closed holds no memory of the budget, whether it was read to its end or not. Otherwise a
// service would stand still after some thousand inputs.
func TestReturned(t *testing.T) {
	t.Parallel()
	const (
		maxSize    = 256 << 10 // of a sample, so that the test takes seconds
		maxSamples = 10        // that are read of each
	)
	dir := filepath.Dir(testenv.Sample(t, "MANIFEST.tsv"))
	b := budget.New(1 << 30)
	o := NewOptions()
	o.Budget = b
	for f := range Files(t.Context(), dir, ingest.Options{}) {
		info, err := os.Stat(f.Path)
		if err != nil || f.Skipped != "" || info.Size() > maxSize {
			continue
		}
		for _, samples := range []int{1, maxSamples} {
			src, err := OpenSingle(t.Context(), f.Path, o)
			if err != nil {
				break
			}
			for range samples {
				_, err := src.Read(t.Context())
				if _, item := errors.AsType[*ingest.ItemError](err); err != nil && !item {
					break
				}
			}
			if err := src.Close(); err != nil {
				t.Errorf("%s: %v", f.Path, err)
			}
			if n := b.InUse(); n != 0 {
				t.Fatalf("%s: found %d bytes in use after %d samples", f.Path, n, samples)
			}
		}
		_, _ = Inspect(t.Context(), f.Path, o)
		if n := b.InUse(); n != 0 {
			t.Fatalf("%s: found %d bytes in use after Inspect", f.Path, n)
		}
	}
}
