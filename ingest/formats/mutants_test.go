package formats

import (
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/ingesttest"
	"github.com/voxelstream/voxelstream/internal/testenv"
)

// maxMutated is the largest sample that is damaged: beyond it a mutant costs seconds and hits little but values.
const maxMutated = 512 << 10

// TestMutantsOfSamples damages every sample: nothing may panic or break the contract of a source, whatever format a
// mutant is taken for. VOXELSTREAM_MUTANTS says how many of each, 4 by default. HDF5 has tests of its own, with its
// worker processes.
func TestMutantsOfSamples(t *testing.T) {
	dir := filepath.Dir(testenv.Sample(t, "MANIFEST.tsv"))
	count := 4
	if s := os.Getenv("VOXELSTREAM_MUTANTS"); s != "" {
		var err error
		if count, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	for name := range manifest(t) {
		path := filepath.Join(dir, filepath.FromSlash(name))
		info, err := os.Stat(path)
		if err != nil || info.Size() > maxMutated {
			continue
		}
		f, err := Detect(t.Context(), path, ingest.Options{})
		if err != nil || f.Name == h5Name {
			continue
		}
		t.Run(name, func(t *testing.T) {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			seed := fnv.New64a()
			seed.Write([]byte(name))
			r := rand.New(rand.NewPCG(seed.Sum64(), 1))
			out := filepath.Join(t.TempDir(), filepath.Base(name))
			for i := range count {
				mutant := ingesttest.Mutant(r, data)
				_ = os.Remove(out)
				if err := os.WriteFile(out, mutant, 0o600); err != nil {
					t.Fatal(err)
				}
				tryMutant(t, out, fmt.Sprintf("mutant %d", i))
			}
		})
	}
}

// h5Name is the one format that is read in another process.
const h5Name = "hdf5"

func tryMutant(t *testing.T, path, what string) {
	t.Helper()
	f, err := Detect(t.Context(), path, ingest.Options{})
	if err != nil || f.Name == h5Name {
		return
	}
	if _, err := ingesttest.Drain(t.Context(), f, path); errors.Is(err, ingesttest.ErrContract) {
		t.Errorf("%s as %s: %v", what, f.Name, err)
	}
	_, _ = f.Inspect(t.Context(), path, ingest.Options{MaxBytes: 64 << 20, MaxPoints: 1 << 22, MaxCells: 1 << 24})
}
