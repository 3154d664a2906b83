// Package all lists the kinds of live sources.
package all

import (
	"github.com/voxelstream/voxelstream/ingest/live"
	"github.com/voxelstream/voxelstream/ingest/live/push"
	"github.com/voxelstream/voxelstream/ingest/live/stdin"
	"github.com/voxelstream/voxelstream/ingest/live/udp"
	"github.com/voxelstream/voxelstream/ingest/live/watch"
)

// Kinds are all live sources, in the order of the documentation.
func Kinds() []live.Kind {
	return []live.Kind{stdin.Kind, watch.Kind, push.Kind, udp.Kind}
}
