// Package record defines the output of Voxelstream: the ID of an item and its classification. It imports no other
// package of this module, so every other package may import it.
package record

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

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
	Name string `json:"name,omitempty"`
	// Score is the probability of the class. It is calibrated if the model's metadata has a temperature.
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
	// Distance is how far away the object is, or for a whole depth frame the surfaces in it; nil if unknown.
	Distance *Distance `json:"distance,omitempty"`
	// Velocity is that of the object, in metres per second along the axes of its scan; nil if unknown. It is relative
	// to the world if the sensor's pose is known, and to the sensor otherwise.
	Velocity *[3]float32 `json:"velocity,omitempty"`
	// Energy says how unlike the training data the volume is; the more, the higher. It is nil if the model has no
	// threshold. Unfamiliar reports that the energy is above the threshold.
	Energy     *float32 `json:"energy,omitempty"`
	Unfamiliar bool     `json:"unfamiliar,omitempty"`
	// Origin is where the volume was read; nil if it was no message. It is not part of the JSON.
	Origin *Origin `json:"-"`
}

// Origin is the position of a message on the topic of volumes.
type Origin struct {
	Partition int
	Offset    int64
	// Trace is the traceparent of the span that classifies the message; empty without traces.
	Trace string
}

// String returns PARTITION/OFFSET.
func (o Origin) String() string {
	b := strconv.AppendInt(make([]byte, 0, 24), int64(o.Partition), 10)
	return string(strconv.AppendInt(append(b, '/'), o.Offset, 10))
}

// ParseOrigin parses the output of String.
func ParseOrigin(text string) (Origin, error) {
	partition, offset, _ := strings.Cut(text, "/")
	p, err := strconv.ParseInt(partition, 10, 32)
	n, err2 := strconv.ParseInt(offset, 10, 64)
	o := Origin{Partition: int(p), Offset: n}
	if err != nil || err2 != nil || p < 0 || n < 0 || o.String() != text {
		return Origin{}, fmt.Errorf("origin: found %.64q, want PARTITION/OFFSET", text)
	}
	return o, nil
}

// SchemaVersion is the version of the JSON schema of a classification. Version 2 added object, view, box and track,
// version 3 energy and unfamiliar, version 4 distance and velocity.
const SchemaVersion = 4

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

// Distance is how far an object is from the sensor, or how far the surfaces in a depth frame are from the camera along
// its optical axis. All lengths are in metres.
type Distance struct {
	// Nearest is the distance of the nearest surface. A single measurement in front of all others does not count.
	Nearest float64 `json:"nearest_m"`
	// Median is the median distance of the measurements.
	Median float64 `json:"median_m"`
	// Center is the distance of the centre of the object's bounding box; 0 for a whole frame.
	Center float64 `json:"center_m,omitempty"`
	// Deviation is the standard deviation of Nearest according to the sensor's noise model; 0 if there is none.
	Deviation float64 `json:"deviation_m,omitempty"`
	// Valid is the share of pixels with a measurement, from 0 to 1; 0 for a scan, which has no pixels.
	Valid float64 `json:"valid,omitempty"`
}

// Values returns the fields in their order.
func (d Distance) Values() [5]float64 {
	return [5]float64{d.Nearest, d.Median, d.Center, d.Deviation, d.Valid}
}

// DistanceOf returns the distance with the given fields, in their order.
func DistanceOf(v [5]float64) Distance { return Distance{v[0], v[1], v[2], v[3], v[4]} }

// ID returns the ID of the classified item.
func (c *Classification) ID() ID {
	return ID{Stream: c.Stream, Seq: c.Seq, Object: c.Object, View: c.View}
}

// Key identifies the classification. A sink stores the first classification with a key and drops duplicates.
func (c *Classification) Key() string { return c.EventID + "@" + c.Model.Digest }

// AppendKey appends the key.
func (c *Classification) AppendKey(dst []byte) []byte {
	return append(append(append(dst, c.EventID...), '@'), c.Model.Digest...)
}
