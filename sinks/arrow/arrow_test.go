package arrow

import (
	"testing"

	"github.com/voxelstream/voxelstream/sinks/table/tabletest"
)

func TestFormat(t *testing.T) { tabletest.Run(t, &Format, rowsPerBatch+1, 600) }

func TestKind(t *testing.T) { tabletest.RunKind(t, &Kind, &Format) }

func TestKilled(t *testing.T) { tabletest.Kill(t, &Kind, &Format) }

func FuzzOpen(f *testing.F) { tabletest.Fuzz(f, &Format) }

func BenchmarkFormat(b *testing.B) { tabletest.Benchmark(b, &Format) }
