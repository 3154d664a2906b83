package arrow

import (
	"testing"

	"github.com/voxelstream/voxelstream/sinks/table/tabletest"
)

func TestFormat(t *testing.T) { tabletest.Run(t, &Format, 2*rowsPerBatch+1) }

func FuzzOpen(f *testing.F) { tabletest.Fuzz(f, &Format) }

func BenchmarkFormat(b *testing.B) { tabletest.Benchmark(b, &Format) }
