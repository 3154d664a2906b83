package jsonl_test

import (
	"testing"

	"github.com/voxelstream/voxelstream/sinks/internal/appendfile/appendtest"
	"github.com/voxelstream/voxelstream/sinks/jsonl"
)

func TestSuite(t *testing.T) { appendtest.Suite(t, &jsonl.Kind, ".jsonl", ".jsonl.gz", ".ndjson.zst") }

func TestKilled(t *testing.T)     { appendtest.Kill(t, &jsonl.Kind, ".jsonl") }
func TestKilledGzip(t *testing.T) { appendtest.Kill(t, &jsonl.Kind, ".jsonl.gz") }
