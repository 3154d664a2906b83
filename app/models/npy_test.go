package models

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/voxelstream/voxelstream/nn"
)

func TestNPYDamage(t *testing.T) {
	dir := t.TempDir()
	var b bytes.Buffer
	if err := writeNPY(&b, []int{4, 3}, make([]float32, 12)); err != nil {
		t.Fatal(err)
	}
	huge := bytes.Replace(b.Bytes(), []byte("(4, 3)"), []byte("(9999999999, 3)"), 1)
	for n := range b.Len() {
		path := filepath.Join(dir, "x.npy")
		if err := os.WriteFile(path, b.Bytes()[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := readNPY(path, nn.Shape{3}); err == nil {
			t.Fatalf("found no error at length %d of %d", n, b.Len())
		}
	}
	path := filepath.Join(dir, "huge.npy")
	if err := os.WriteFile(path, huge, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := readNPY(path, nn.Shape{3}); err == nil {
		t.Error("found no error for a shape larger than the file")
	}
}

func FuzzParseNPY(f *testing.F) {
	var b bytes.Buffer
	if err := writeNPY(&b, []int{2, 3}, []float32{1, 2, 3, 4, 5, 6}); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add([]byte("\x93NUMPY\x02\x00\xff\xff\xff\xff{"))
	f.Fuzz(func(t *testing.T, data []byte) {
		rows, x, err := parseNPY(data, nn.Shape{3})
		if err == nil && (len(x) != 3*rows || len(x) > len(data)) {
			t.Errorf("found %d values of %d rows in %d bytes", len(x), rows, len(data))
		}
	})
}
