// Package record holds what Voxelstream hands to its users: the identity of an item, and the classification of one.
// It imports nothing of ours, so every other package may use it.
package record

import (
	"time"
)

// Classification is what the network said of one volume. Its JSON form is the message on the topic "classifications"
// and the line of a JSON lines file; docs/reference/classification.schema.json is its schema. Fields are added, never
// renamed or removed: a reader ignores those that it does not know.
type Classification struct {
	// EventID is the volume's ID as text: one volume and one model digest give one classification, however often the
	// volume is delivered.
	EventID string `json:"event_id"`
	Stream  string `json:"stream"`
	Seq     uint64 `json:"seq"`
	// Object and View are those of the volume's ID; absent for a whole scan or frame.
	Object uint32    `json:"object,omitempty"`
	View   uint32    `json:"view,omitempty"`
	Time   time.Time `json:"time,omitzero"`
	Model  Model     `json:"model"`
	Class  int       `json:"class"`
	// Name is the class's name, where the model has names.
	Name  string  `json:"name,omitempty"`
	Score float32 `json:"score"`
	TopK  []Score `json:"top_k"`
	// Label is the true class where the source knew it.
	Label *int32 `json:"label,omitempty"`
	// LatencyMS is from reading the volume off the topic to the end of inference, in milliseconds.
	LatencyMS float64 `json:"latency_ms"`
	// Box is where the object is and Track which one it is from frame to frame; absent for a whole scan or frame.
	Box   *Box   `json:"box,omitempty"`
	Track uint64 `json:"track,omitempty"`
}

// SchemaVersion is the version of the classification's JSON schema. Version 2 added object, view, box and track to
// version 1.
const SchemaVersion = 2

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

// Box is a cuboid that stands upright, in the axes of the scan it is part of.
type Box struct {
	// Center is the middle as x, y, z in metres; Size is length, width and height along the box's own axes.
	Center [3]float64 `json:"center"`
	Size   [3]float32 `json:"size"`
	// Yaw turns the length from the x axis towards the y axis, in radians.
	Yaw float32 `json:"yaw"`
}

// ID is the identity of the item that was classified.
func (c *Classification) ID() ID {
	return ID{Stream: c.Stream, Seq: c.Seq, Object: c.Object, View: c.View}
}

// Key identifies the classification: a sink stores the first of a key and drops the repeats.
func (c *Classification) Key() string { return c.EventID + "@" + c.Model.Digest }
