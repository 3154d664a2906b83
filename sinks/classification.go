// Package sinks defines the contract of a [Sink], which stores what comes out at the end of the pipeline. Each sink is a folder; sinktest is
// the suite that each must pass.
package sinks

import (
	"context"

	"github.com/voxelstream/voxelstream/record"
)

// Sink stores classifications. Write returns nil only when all are durable; repeats of a Key are dropped, across restarts too.
type Sink interface {
	Write(ctx context.Context, cs []record.Classification) error
	Close(ctx context.Context) error
}
