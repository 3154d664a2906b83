//go:build cgo && !nohdf5

package h5

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestAtomic wants a file to appear whole or not at all, and nothing to be left beside it.
func TestAtomic(t *testing.T) {
	for name, spoil := range map[string]func(t *testing.T, w *Writer){
		"abort": func(_ *testing.T, w *Writer) { w.Abort() },
		"missing rows": func(t *testing.T, w *Writer) {
			o, err := AddDataset[float64](w, "/x", Layout{Dims: []int{3, 2}})
			must(t, err)
			must(t, o.Append([]float64{1, 2}))
		},
		"too many rows": func(t *testing.T, w *Writer) {
			if err := WriteDataset(w, "/x", Layout{Dims: []int{1}}, []float64{1, 2}); err == nil {
				t.Error("no error")
			}
		},
		"part of a row": func(t *testing.T, w *Writer) {
			if err := WriteDataset(w, "/x", Layout{Dims: []int{1, 2}}, []float64{1}); err == nil {
				t.Error("no error")
			}
		},
		"twice": func(t *testing.T, w *Writer) {
			must(t, WriteDataset(w, "/x", Layout{Dims: []int{1}}, []float64{1}))
			if err := WriteDataset(w, "/x", Layout{Dims: []int{1}}, []float64{1}); err == nil || !strings.Contains(err.Error(), "exists") {
				t.Errorf("error %v, want libhdf5's: it exists", err)
			}
		},
		"large attribute": func(t *testing.T, w *Writer) {
			if err := w.SetAttr("/", "a", make([]float64, 9000)); err == nil || !strings.Contains(err.Error(), "limit") {
				t.Errorf("error %v, want the limit", err)
			}
		},
		"attribute type": func(t *testing.T, w *Writer) {
			if err := w.SetAttr("/", "a", struct{}{}); err == nil {
				t.Error("no error")
			}
		},
		"attribute of nothing": func(t *testing.T, w *Writer) {
			if err := w.SetAttr("/none", "a", 1); err == nil || !strings.Contains(err.Error(), "/none@a") {
				t.Errorf("error %v, want one that names /none@a", err)
			}
		},
		"chunks": func(t *testing.T, w *Writer) {
			if _, err := AddDataset[float64](w, "/x", Layout{Dims: []int{1}, Chunks: []int{2}}); err == nil {
				t.Error("no error")
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "out.h5")
			must(t, os.WriteFile(path, []byte("old"), 0o600))
			w, err := Create(path)
			must(t, err)
			spoil(t, w)
			if err := w.Close(); err == nil {
				t.Error("closed without error")
			}
			entries, err := os.ReadDir(dir)
			must(t, err)
			if len(entries) != 1 {
				t.Errorf("left behind: %v", entries)
			}
			if b, _ := os.ReadFile(path); string(b) != "old" {
				t.Errorf("the old file holds %.20q", b)
			}
			if err := w.Group("/late"); err == nil {
				t.Error("a closed writer took a group")
			}
		})
	}
}

// TestDeterministic writes the same twice and wants the same bytes.
func TestDeterministic(t *testing.T) {
	var files [2][]byte
	for i := range files {
		w, path := create(t)
		must(t, WriteDataset(w, "/g/x", Layout{Dims: []int{100, 64}, Gzip: 4}, ramp[float32](6400)))
		must(t, w.SetAttr("/g", "text", "a text"))
		must(t, w.SetAttr("/g/x", "names", []string{"a", "b"}))
		must(t, w.Close())
		var err error
		files[i], err = os.ReadFile(path)
		must(t, err)
	}
	if !bytes.Equal(files[0], files[1]) {
		t.Error("the bytes differ")
	}
}
