package all

import (
	"github.com/voxelstream/voxelstream/sinks/arrow"
	"github.com/voxelstream/voxelstream/sinks/csv"
	"github.com/voxelstream/voxelstream/sinks/hdf5"
	"github.com/voxelstream/voxelstream/sinks/jsonl"
	"github.com/voxelstream/voxelstream/sinks/parquet"
	"github.com/voxelstream/voxelstream/sinks/sqlite"
	"github.com/voxelstream/voxelstream/sinks/table"
)

// Formats lists all formats of files of classifications, in the order of the reference page.
var Formats = []*table.Format{
	&jsonl.Format,
	&csv.Format,
	&parquet.Format,
	&arrow.Format,
	&sqlite.Format,
	&hdf5.Format,
}
