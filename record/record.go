// Package record defines the output of Voxelstream: the ID of an item and its classification. It imports no other
// package of this module, so every other package may import it.
package record

import "time"

// Classification is the network's result for one volume. It is encoded as JSON in messages on the topic
// "classifications" and in JSON Lines files. The schema is docs/reference/classification.schema.json. Fields are only
// ever added, and readers ignore fields that they do not know.
type Classification struct {
	// EventID is the volume's ID as text. A volume and a model digest have one classification, however often the
	// volume is delivered.
	EventID string `json:"event_id"`
	Stream  string `json:"stream"`
	Seq     uint64 `json:"seq"`
	// Object and View are from the volume's ID. They are absent for a whole scan or frame.
	Object uint32    `json:"object,omitempty"`
	View   uint32    `json:"view,omitempty"`
	Time   time.Time `json:"time,omitzero"`
	Model  Model     `json:"model"`
	Class  int       `json:"class"`
	// Name is the name of the class, if the model names its classes.
	Name  string  `json:"name,omitempty"`
	Score float32 `json:"score"`
	TopK  []Score `json:"top_k"`
	// Label is the true class, if the source provides it.
	Label *int32 `json:"label,omitempty"`
	// LatencyMS is the time from reading the volume from the topic to the end of inference, in milliseconds.
	LatencyMS float64 `json:"latency_ms"`
	// Box is the bounding box of the object. Track identifies the object across frames. Both are absent for a whole
	// scan or frame.
	Box   *Box   `json:"box,omitempty"`
	Track uint64 `json:"track,omitempty"`
}

// SchemaVersion is the version of the JSON schema of a classification. Version 2 added object, view, box and track.
const SchemaVersion = 2

// Model identifies the network.
type Model struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	// Digest is the SHA-256 of the model file in hexadecimal.
	Digest string `json:"digest"`
}

// Score is a class and its probability.
type Score struct {
	Class int     `json:"class"`
	Score float32 `json:"score"`
}

// Box is an upright bounding box in the coordinates of its scan.
type Box struct {
	// Center is x, y, z in metres. Size is length, width, height in metres, along the axes of the box.
	Center [3]float64 `json:"center"`
	Size   [3]float32 `json:"size"`
	// Yaw is the rotation of the box's length from the x axis towards the y axis, in radians.
	Yaw float32 `json:"yaw"`
}

// ID returns the ID of the classified item.
func (c *Classification) ID() ID {
	return ID{Stream: c.Stream, Seq: c.Seq, Object: c.Object, View: c.View}
}

// Key identifies the classification. A sink stores the first classification with a key and drops duplicates.
func (c *Classification) Key() string { return c.EventID + "@" + c.Model.Digest }
