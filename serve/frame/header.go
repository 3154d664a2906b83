package frame

import (
	"time"

	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/voxelize"
)

// TypeFrame is the type of a [Header].
const TypeFrame = "frame"

// Header is the header of a frame that shows an item: what the sensor saw, the volume, and the classification.
type Header struct {
	Type string `json:"type"` // TypeFrame
	// N numbers the frames of a connection from 1; 0 elsewhere. The client acknowledges it.
	N uint64 `json:"n,omitempty"`
	// Number numbers the live frames of the stream, with those that this client does not get; 0 elsewhere.
	Number  uint64    `json:"number,omitempty"`
	EventID string    `json:"event_id"`
	Stream  string    `json:"stream"`
	Seq     uint64    `json:"seq"`
	Object  uint32    `json:"object,omitempty"`
	View    uint32    `json:"view,omitempty"`
	Time    time.Time `json:"time,omitzero"`
	// Sent is when a live frame was sent, by the server's clock, so that Sent minus Time is its age.
	Sent time.Time `json:"sent,omitzero"`
	// Offset is where the classification is stored; nil for a frame that does not come from a topic.
	Offset         *Offset                `json:"offset"`
	Classification *record.Classification `json:"classification,omitempty"`
	Label          *int32                 `json:"label,omitempty"`
	// ClassNames are the names of the model's classes, if it has any.
	ClassNames []string `json:"class_names,omitempty"`
	// Volume describes the part "volume"; nil without one. Missing says why there is none.
	Volume  *Volume `json:"volume"`
	Missing string  `json:"missing,omitempty"`
	Sensor  *Sensor `json:"sensor"`
	// Boxes are the objects of the scan that have been classified. There are none of other scans.
	Boxes []Box `json:"boxes,omitempty"`
	// Skipped counts the frames of the stream that were left out since the previous one of this client. LeftOut counts
	// the points of the cloud, or the pixels of the image, that were thinned away.
	Skipped uint64 `json:"skipped"`
	LeftOut int    `json:"left_out"`
}

// Of returns the header of an item with its ID only.
func Of(id record.ID) Header {
	return Header{
		Type: TypeFrame, EventID: id.String(), Stream: id.Stream, Seq: id.Seq, Object: id.Object, View: id.View,
		Sensor: &Sensor{Kind: KindNone},
	}
}

// Offset is the position of a message.
type Offset struct {
	Topic     string `json:"topic"`
	Partition int    `json:"partition"`
	Offset    int64  `json:"offset"`
}

// Box is the bounding box of an object with its classification.
type Box struct {
	record.Box
	Track  uint64  `json:"track,omitempty"`
	Object uint32  `json:"object,omitempty"`
	Class  int     `json:"class"`
	Name   string  `json:"name,omitempty"`
	Score  float32 `json:"score"`
	// Distance and Velocity are those of the classification; nil if unknown.
	Distance *record.Distance `json:"distance,omitempty"`
	Velocity *[3]float32      `json:"velocity,omitempty"`
}

// BoxOf returns the box of a classification, or false if it has none.
func BoxOf(c *record.Classification) (Box, bool) {
	if c.Box == nil {
		return Box{}, false
	}
	return Box{*c.Box, c.Track, c.Object, c.Class, c.Name, c.Score, c.Distance, c.Velocity}, true
}

// Contents of a volume.
const (
	ContentPalette = "palette" // u8, indices into a colour map of 256 entries
	ContentBytes   = "bytes"   // u8, value = lo + (hi-lo) * byte/255
	ContentValues  = "values"  // f32
)

// Volume describes the part "volume" of shape (D, H, W, C).
type Volume struct {
	// Dims are the cells along z, y and x.
	Dims    [3]int `json:"dims"`
	Content string `json:"content"`
	// Palette is the name of the colour map.
	Palette string `json:"palette,omitempty"`
	// Lo and Hi are the values of the bytes 0 and 255, or the lowest and highest finite value.
	Lo float32 `json:"lo"`
	Hi float32 `json:"hi"`
	// Scale, Bias and Values are those of [voxelize.Content], so that a client can send the volume back unchanged.
	Scale  float32           `json:"scale,omitempty"`
	Bias   float32           `json:"bias,omitempty"`
	Values voxelize.Encoding `json:"values,omitempty"`
	// Origin is the lowest corner as x, y, z, Edge the size of a cell, in metres. Edge is 0 without a metric frame.
	Origin [3]float64 `json:"origin"`
	Edge   float32    `json:"edge"`
}

// Kinds of sensor data.
const (
	KindNone  = "none"
	KindCloud = "cloud"
	KindDepth = "depth"
)

// Sensor describes what the sensor saw.
type Sensor struct {
	Kind string `json:"kind"`
	// Points is the number of points or pixels in the frame, Total the number that the sensor saw.
	Points int `json:"points,omitempty"`
	Total  int `json:"total,omitempty"`
	// Origin and Scale convert the part "points" to metres: origin + scale * q.
	Origin *[3]float64 `json:"origin,omitempty"`
	Scale  *[3]float64 `json:"scale,omitempty"`
	// Fields are the parts "field:NAME".
	Fields []Field `json:"fields,omitempty"`
	// Camera has the focal lengths and the principal point in pixels of the part "depth"; nil if unknown.
	Camera *Camera `json:"camera,omitempty"`
}

// Field is a number per point, quantized to a byte: value = lo + (hi-lo) * q/255.
type Field struct {
	Name string  `json:"name"`
	Lo   float32 `json:"lo"`
	Hi   float32 `json:"hi"`
	Unit string  `json:"unit,omitempty"`
}

// Camera is a pinhole camera.
type Camera struct {
	Fx float64 `json:"fx"`
	Fy float64 `json:"fy"`
	Cx float64 `json:"cx"`
	Cy float64 `json:"cy"`
}
