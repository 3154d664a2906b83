//go:build linux

package confined

import (
	"os"
	"testing"

	"github.com/voxelstream/voxelstream/ingest/formats"
)

// BenchmarkRead reads VOXELSTREAM_BENCH_FILE with and without a worker.
func BenchmarkRead(b *testing.B) {
	path := os.Getenv("VOXELSTREAM_BENCH_FILE")
	if path == "" {
		b.Skip("set VOXELSTREAM_BENCH_FILE")
	}
	p := NewPool(0, 2)
	defer p.Close()
	for name, confined := range map[string]bool{"here": false, "worker": true} {
		b.Run(name, func(b *testing.B) {
			o := formats.NewOptions()
			if confined {
				o.Confined = p
			}
			for b.Loop() {
				src, err := formats.Open(b.Context(), path, o)
				if err != nil {
					b.Fatal(err)
				}
				for err == nil {
					_, err = src.Read(b.Context())
				}
				if err := src.Close(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
