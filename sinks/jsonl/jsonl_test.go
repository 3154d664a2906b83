package jsonl_test

import (
	"testing"

	"github.com/voxelstream/voxelstream/sinks/internal/appendfile/appendtest"
	"github.com/voxelstream/voxelstream/sinks/jsonl"
	"github.com/voxelstream/voxelstream/sinks/table/tabletest"
)

func TestSuite(t *testing.T) { appendtest.Suite(t, &jsonl.Kind, ".jsonl", ".jsonl.gz", ".ndjson.zst") }

func TestKilled(t *testing.T)     { appendtest.Kill(t, &jsonl.Kind, ".jsonl") }
func TestKilledGzip(t *testing.T) { appendtest.Kill(t, &jsonl.Kind, ".jsonl.gz") }

func TestFormat(t *testing.T) { tabletest.RoundTrip(t, &jsonl.Format, 3001) }

func BenchmarkFormat(b *testing.B) { tabletest.Benchmark(b, &jsonl.Format) }

func BenchmarkSink(b *testing.B) { appendtest.Benchmark(b, &jsonl.Kind) }
