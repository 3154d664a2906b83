package train

import (
	"context"
	"encoding/json"

	"github.com/voxelstream/voxelstream/nn"
)

// Stream is labelled rows that come one after the other, once. Its position is stored together with the weights
// that its rows have made, so that a training that is resumed neither leaves out nor repeats any of them.
type Stream interface {
	// Colours is what the indices of a row stand for; nil where rows are floats.
	Colours() *nn.Palette
	// Seek goes to a position that Position returned; nil is the beginning. It is called once, before Next.
	Seek(ctx context.Context, position json.RawMessage) error
	// Next waits for the following rows and fills b with them.
	Next(ctx context.Context, b *Batch) error
	// Position is behind the rows that Next returned so far.
	Position() json.RawMessage
	// Stored tells that a checkpoint with that position is safe. An error ends the training.
	Stored(ctx context.Context, position json.RawMessage) error
}

// streamed makes a source of a stream: the training asks for the rows in their order.
type streamed struct{ Stream }

func (s streamed) load(ctx context.Context, b *Batch, _, _ int) error { return s.Next(ctx, b) }
