// Package all lists the kinds of sinks, and the formats of files of classifications.
package all

import (
	"github.com/voxelstream/voxelstream/sinks"
	"github.com/voxelstream/voxelstream/sinks/arrow"
	"github.com/voxelstream/voxelstream/sinks/csv"
	"github.com/voxelstream/voxelstream/sinks/hdf5"
	"github.com/voxelstream/voxelstream/sinks/jsonl"
	"github.com/voxelstream/voxelstream/sinks/kafka"
	"github.com/voxelstream/voxelstream/sinks/mqtt"
	"github.com/voxelstream/voxelstream/sinks/object"
	"github.com/voxelstream/voxelstream/sinks/parquet"
	"github.com/voxelstream/voxelstream/sinks/postgres"
	"github.com/voxelstream/voxelstream/sinks/sqlite"
	"github.com/voxelstream/voxelstream/sinks/stdout"
	"github.com/voxelstream/voxelstream/sinks/terminal"
	"github.com/voxelstream/voxelstream/sinks/webhook"
)

// Kinds lists all kinds of sinks, in the order of the reference page.
var Kinds = []*sinks.Kind{
	&jsonl.Kind,
	&csv.Kind,
	&parquet.Kind,
	&arrow.Kind,
	&sqlite.Kind,
	&hdf5.Kind,
	&stdout.Kind,
	object.Kind(Formats),
	&kafka.Kind,
	&postgres.Kind,
	&webhook.Kind,
	&mqtt.Kind,
	&terminal.Kind,
}
