package train

import (
	"context"
	"encoding/json"

	"github.com/voxelstream/voxelstream/nn"
)

// Stream is a sequence of labelled rows that is read once. Its position is stored together with the weights trained
// on its rows, so that resumed training neither skips nor repeats any of them.
type Stream interface {
	// Colours returns the palette that the indices of a row refer to, or nil if rows are floats.
	Colours() *nn.Palette
	// Seek goes to a position that Position returned; nil is the beginning. It is called once, before Next.
	Seek(ctx context.Context, position json.RawMessage) error
	// Next waits for the next rows and fills b with them.
	Next(ctx context.Context, b *Batch) error
	// Position returns the position after the rows that Next has returned so far.
	Position() json.RawMessage
	// Stored is called once a checkpoint with that position is durable. An error ends the training.
	Stored(ctx context.Context, position json.RawMessage) error
}

// streamed adapts a stream to a source; training requests the rows in order.
type streamed struct{ Stream }

func (s streamed) load(ctx context.Context, b *Batch, _, _ int) error { return s.Next(ctx, b) }
