// Package sinks defines what comes out at the end of the pipeline, a [Classification], and the contract of a [Sink] that stores it. Each
// sink is a folder; sinktest is the suite that each must pass.
package sinks

import (
	"context"
	"time"
)

// Classification is what the network said of one volume. Its JSON form is the message on the topic "classifications"; the schema is
// published in docs/reference/classification.schema.json.
type Classification struct {
	// EventID is the volume's id (stream/seq): one volume and one model digest give one classification, whatever is redelivered.
	EventID string    `json:"event_id"`
	Stream  string    `json:"stream"`
	Seq     uint64    `json:"seq"`
	Time    time.Time `json:"time,omitzero"`
	Model   Model     `json:"model"`
	Class   int       `json:"class"`
	// Name is the class's name, where the model has names.
	Name  string  `json:"name,omitempty"`
	Score float32 `json:"score"`
	TopK  []Score `json:"top_k"`
	// Label is the true class where the source knew it.
	Label *int32 `json:"label,omitempty"`
	// LatencyMS is from reading the volume off the topic to the end of inference, in milliseconds.
	LatencyMS float64 `json:"latency_ms"`
}

// Model names the network that classified: its digest is the SHA-256 of the model file, as hex.
type Model struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Digest  string `json:"digest"`
}

// Score is a class with its probability.
type Score struct {
	Class int     `json:"class"`
	Score float32 `json:"score"`
}

// Key identifies the classification: a sink stores the first of a key and drops the repeats.
func (c *Classification) Key() string { return c.EventID + "@" + c.Model.Digest }

// Sink stores classifications. Write returns nil only when all are durable; repeats of a Key are dropped, across restarts too.
type Sink interface {
	Write(ctx context.Context, cs []Classification) error
	Close(ctx context.Context) error
}
