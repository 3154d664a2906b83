package csv_test

import (
	"testing"

	"github.com/voxelstream/voxelstream/sinks/csv"
	"github.com/voxelstream/voxelstream/sinks/internal/appendfile/appendtest"
)

func TestSuite(t *testing.T) { appendtest.Suite(t, &csv.Kind, ".csv", ".tsv.gz", ".csv.zst") }

func TestKilled(t *testing.T)     { appendtest.Kill(t, &csv.Kind, ".csv") }
func TestKilledZstd(t *testing.T) { appendtest.Kill(t, &csv.Kind, ".tsv.zst") }
