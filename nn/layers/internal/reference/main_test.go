package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/voxelstream/voxelstream/nn/layers"
)

// TestPagesAreCurrent compares the pages of the checkout with what the sources say now.
func TestPagesAreCurrent(t *testing.T) {
	dir := t.TempDir()
	if err := write("../..", dir); err != nil {
		t.Fatal(err)
	}
	pages, err := filepath.Glob(filepath.Join(dir, "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	if len(pages) != len(layers.Classes)+1 {
		t.Errorf("got %d pages for %d layers", len(pages), len(layers.Classes))
	}
	for _, page := range pages {
		want, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join("..", "..", "..", "..", "docs", "reference", "layers", filepath.Base(page)))
		if err != nil {
			t.Error(err)
		} else if !bytes.Equal(got, want) {
			t.Errorf("%s is not current; run make generate", filepath.Base(page))
		}
	}
}
