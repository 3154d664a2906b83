package formats

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/array"
	"github.com/voxelstream/voxelstream/ingest/columnar"
	"github.com/voxelstream/voxelstream/ingest/h5"
	"github.com/voxelstream/voxelstream/ingest/lidar"
)

// Created lists the extensions of the files that [Create] creates.
func Created() []string {
	return []string{".npy", ".npz", ".h5", ".hdf5", ".pcd", ".ply", ".parquet", ".feather"}
}

// Create creates a file of samples in the format given by its extension: .npy, .npz, .h5, .pcd, .ply, .parquet or
// .feather (an Arrow file).
func Create(path string) (ingest.Writer, error) {
	switch ext := strings.ToLower(filepath.Ext(path)); ext {
	case ".npy":
		return array.CreateNPY(path)
	case ".npz":
		return array.CreateNPZ(path)
	case ".h5", ".hdf5":
		return h5.Create(path)
	case ".pcd":
		return lidar.CreatePCD(path)
	case ".ply":
		return lidar.CreatePLY(path)
	case ".parquet":
		return columnar.CreateParquet(path)
	case ".feather":
		return columnar.CreateArrow(path)
	default:
		return nil, fmt.Errorf("%s: found extension %q, want one of %s", path, ext, strings.Join(Created(), ", "))
	}
}
