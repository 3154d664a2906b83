//go:build cgo && !nohdf5

package h5

import (
	"path/filepath"
	"testing"
)

// BenchmarkRead reads an archive of 10,000 rows of 4096 float64, one value in eight not zero, through the worker in
// blocks of 128 rows.
func BenchmarkRead(b *testing.B) {
	const rows, cells, block = 10_000, 4096, 128
	for name, l := range map[string]Layout{
		"contiguous": {Dims: []int{rows, cells}},
		"gzip":       {Dims: []int{rows, cells}, Chunks: []int{128, cells}, Gzip: 4},
	} {
		path := filepath.Join(b.TempDir(), name+".h5")
		w, err := Create(path)
		if err != nil {
			b.Fatal(err)
		}
		o, err := AddDataset[float64](w, "/x", l)
		if err != nil {
			b.Fatal(err)
		}
		row := make([]float64, cells)
		for r := range rows {
			for i := range row {
				row[i] = 0
				if h := uint32(r*cells+i) * 2654435761; h>>29 == 0 {
					row[i] = float64(h>>16&31) / 39
				}
			}
			if err := o.Append(row); err != nil {
				b.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			b.Fatal(err)
		}
		f, err := Open(b.Context(), path)
		if err != nil {
			b.Fatal(err)
		}
		defer f.Close() //nolint:errcheck // opened for reading
		f32, f64 := make([]float32, block*cells), make([]float64, block*cells)
		run := func(kind string, read func(row, n int) error) {
			b.Run(name+"/"+kind, func(b *testing.B) {
				b.SetBytes(rows * cells * 8)
				for b.Loop() {
					for row := 0; row < rows; row += block {
						if err := read(row, min(block, rows-row)); err != nil {
							b.Fatal(err)
						}
					}
				}
				b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
			})
		}
		run("float32", func(row, n int) error { return f.ReadFloat32(b.Context(), "/x", row, n, f32) })
		run("float64", func(row, n int) error { return f.ReadFloat64(b.Context(), "/x", row, n, f64) })
	}
}
