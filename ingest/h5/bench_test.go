//go:build cgo && !nohdf5

package h5

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"testing"

	hdf "github.com/voxelstream/voxelstream/internal/h5"
)

// BenchmarkClouds streams 1,000 groups of 5,000 points, packed as in the archive.
func BenchmarkClouds(b *testing.B) {
	path := filepath.Join(b.TempDir(), "clouds.h5")
	w, err := hdf.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	defer w.Abort()
	const groups, points = 1000, 5000
	for i := range groups {
		g := fmt.Sprintf("/%d", i)
		err := errors.Join(hdf.WriteDataset(w, g+"/points", hdf.Layout{Dims: []int{points, 3}, Gzip: 4}, values(points, 3)), w.SetAttr(g, "label", i%10))
		if err != nil {
			b.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		src, err := Open(b.Context(), path, Options{})
		if err != nil {
			b.Fatal(err)
		}
		for err == nil {
			_, err = src.Read(b.Context())
		}
		if !errors.Is(err, io.EOF) {
			b.Fatal(err)
		}
		if err := src.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(groups*float64(b.N)/b.Elapsed().Seconds(), "clouds/s")
}
