package tabletest

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/sinks"
	"github.com/voxelstream/voxelstream/sinks/sinktest"
	"github.com/voxelstream/voxelstream/sinks/table"
)

// RunKind runs the suites of sinks for the kind of a format.
func RunKind(t *testing.T, k *sinks.Kind, f *table.Format) {
	sinktest.Run(t, func(t *testing.T) sinktest.Harness {
		return Harness(k, f, filepath.Join(t.TempDir(), "new", "c"+f.Extensions[0]))
	})
}

// Kill runs the suite that kills processes.
func Kill(t *testing.T, k *sinks.Kind, f *table.Format) {
	sinktest.Kill(t, func(t *testing.T) string { return filepath.Join(t.TempDir(), "c"+f.Extensions[0]) },
		func(_ *testing.T, path string) sinktest.Harness { return Harness(k, f, path) })
}

// Harness is the staged sink for a file.
func Harness(k *sinks.Kind, f *table.Format, path string) sinktest.Harness {
	return sinktest.Harness{
		Kind: k,
		Open: func(t *testing.T) sinks.Sink {
			t.Helper()
			target := sinks.Target{Path: path}
			s, err := k.Open(t.Context(), target, k.Options(target), sinks.Services{})
			if err != nil {
				t.Fatal(err)
			}
			return s
		},
		Stored: func(t *testing.T) (ids []string) {
			t.Helper()
			for _, c := range Stored(t, f, path) {
				ids = append(ids, c.EventID)
			}
			return ids
		},
	}
}

// Stored returns the rows of a file and those of its journal that are not in the file.
func Stored(t testing.TB, f *table.Format, path string) []record.Classification {
	t.Helper()
	rows, err := Read(f, path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for i := range rows {
		known[rows[i].Key()] = true
	}
	r, err := table.Journal(path)
	if errors.Is(err, os.ErrNotExist) {
		return rows
	}
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close() //nolint:errcheck // opened for reading
	if _, err := table.Each(r, func(cs []record.Classification) error {
		for i := range cs {
			if !known[cs[i].Key()] {
				rows = append(rows, cs[i])
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return rows
}
