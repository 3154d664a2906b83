//go:build !chaos

package app

import (
	"github.com/voxelstream/voxelstream/nn/infer"
	"github.com/voxelstream/voxelstream/pipeline"
)

// slowly is the identity; see the build tag chaos.
func slowly(s pipeline.Sink[infer.Item]) pipeline.Sink[infer.Item] { return s }
