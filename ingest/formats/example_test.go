package formats_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/formats"
)

const scan = `VERSION .7
FIELDS x y z
SIZE 4 4 4
TYPE F F F
COUNT 1 1 1
WIDTH 3
HEIGHT 1
POINTS 3
DATA ascii
1 0 0
0 2 0
0 0 3
`

// Read every sample of a file. Its format is recognized by its content, not by its name.
func ExampleOpen() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "scan.pcd")
	if err := os.WriteFile(path, []byte(scan), 0o600); err != nil {
		panic(err)
	}

	ctx := context.Background()
	src, err := formats.Open(ctx, path, formats.NewOptions())
	if err != nil {
		panic(err)
	}
	defer src.Close()
	failed, err := ingest.Each(ctx, src, func(s ingest.Sample) error {
		if cloud, ok := s.Data.(*ingest.PointCloud); ok {
			fmt.Println(cloud.Len(), "points, the last at", cloud.X[2], cloud.Y[2], cloud.Z[2])
		}
		return nil
	}, func(err error) { fmt.Println(err) })
	if err != nil {
		panic(err)
	}
	fmt.Println(failed, "items failed")
	// Output:
	// 3 points, the last at 0 0 3
	// 0 items failed
}
