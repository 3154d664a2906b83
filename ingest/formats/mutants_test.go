package formats

import (
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/ingesttest"
	"github.com/voxelstream/voxelstream/internal/mutants"
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
				mutant := mutants.Mutate(r, data)
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

// maxFolder limits the files of a sample folder that is damaged.
const maxFolder = 4 << 20

// TestMutantsOfFolders damages one file of a folder at a time, of every sample that is a folder.
func TestMutantsOfFolders(t *testing.T) {
	dir := filepath.Dir(testenv.Sample(t, "MANIFEST.tsv"))
	folders := map[string]bool{}
	for name := range manifest(t) {
		for d := filepath.Dir(name); d != "."; d = filepath.Dir(d) {
			folders[d] = true
		}
	}
	for name := range folders {
		f, err := Detect(t.Context(), filepath.Join(dir, name), ingest.Options{})
		if err != nil {
			continue
		}
		t.Run(name, func(t *testing.T) {
			files, out := copyFolder(t, filepath.Join(dir, name))
			if files == nil {
				t.Skip("large")
			}
			names := slices.Sorted(maps.Keys(files))
			r := rand.New(rand.NewPCG(uint64(len(names)), 1))
			for i := range max(4, mutants.Count()) {
				file := names[r.IntN(len(names))]
				path := filepath.Join(out, file)
				if err := os.WriteFile(path, mutants.Mutate(r, files[file]), 0o600); err != nil {
					t.Fatal(err)
				}
				tryMutant(t, out, fmt.Sprintf("%s, mutant %d of %s", f.Name, i, file))
				if err := os.WriteFile(path, files[file], 0o600); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// copyFolder copies a folder without its folders; the files are nil if they are large.
func copyFolder(t *testing.T, from string) (files map[string][]byte, to string) {
	t.Helper()
	entries, err := os.ReadDir(from)
	if err != nil {
		t.Fatal(err)
	}
	files, to = map[string][]byte{}, t.TempDir()
	size := 0
	for _, e := range entries {
		if !e.Type().IsRegular() {
			continue
		}
		data, err := os.ReadFile(filepath.Join(from, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if size += len(data); size > maxFolder {
			return nil, to
		}
		files[e.Name()] = data
		if err := os.WriteFile(filepath.Join(to, e.Name()), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if len(files) == 0 {
		return nil, to
	}
	return files, to
}
