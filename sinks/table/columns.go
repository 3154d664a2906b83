package table

import (
	"encoding/json"
	"fmt"
	"math"
	"time"

	"github.com/voxelstream/voxelstream/record"
)

// Type is the type of a column's values.
type Type int

// The types, with the Go types of their values.
const (
	Text    Type = iota // string
	Int32               // int32
	Int64               // int64
	Float32             // float32
	Float64             // float64
	Time                // time.Time in UTC, with nanoseconds
	JSON                // string that holds a JSON document
)

// Column is a column of a table of classifications.
type Column struct {
	Name, Doc string
	Type      Type
	// Null reports whether values may be missing.
	Null bool
	// get returns a value of the column's type, or nil if it is missing. set is its inverse.
	get func(c *record.Classification) any
	set func(c *record.Classification, v any)
}

// Value returns the column's value for a classification: nil if it is missing, otherwise of the column's type.
func (col *Column) Value(c *record.Classification) any { return col.get(c) }

// Set sets the column's value, which is nil or of the column's type, in a classification.
func (col *Column) Set(c *record.Classification, v any) error {
	if v == nil {
		if !col.Null {
			return fmt.Errorf("column %s: found no value", col.Name)
		}
		return nil
	}
	if t, ok := typeOf(v); !ok || t != col.Type && (t != Text || col.Type != JSON) {
		return fmt.Errorf("column %s: found a %T", col.Name, v)
	}
	if col.Type == JSON && col.Name == "top_k" {
		if err := json.Unmarshal([]byte(v.(string)), &c.TopK); err != nil {
			return fmt.Errorf("column %s: %w", col.Name, err)
		}
		return nil
	}
	col.set(c, v)
	return nil
}

func typeOf(v any) (Type, bool) {
	switch v.(type) {
	case string:
		return Text, true
	case int32:
		return Int32, true
	case int64:
		return Int64, true
	case float32:
		return Float32, true
	case float64:
		return Float64, true
	case time.Time:
		return Time, true
	}
	return 0, false
}

// Columns returns the columns in their order. Columns are only ever added, at the end.
func Columns() []Column { return columns }

// Check returns an error if a classification has a value that its column cannot hold.
func Check(c *record.Classification) error {
	if c.Seq > math.MaxInt64 {
		return fmt.Errorf("%s: found seq %d, limit %d", c.EventID, c.Seq, int64(math.MaxInt64))
	}
	if c.Track > math.MaxInt64 {
		return fmt.Errorf("%s: found track %d, limit %d", c.EventID, c.Track, int64(math.MaxInt64))
	}
	return nil
}

var columns = []Column{
	text("event_id", "ID of the volume.", func(c *record.Classification) *string { return &c.EventID }),
	text("stream", "Stream of the volume.", func(c *record.Classification) *string { return &c.Stream }),
	number("seq", "Position in the stream, from 0.", Int64,
		func(c *record.Classification) int64 { return int64(c.Seq) },
		func(c *record.Classification, v int64) { c.Seq = uint64(v) }),
	number("object", "Number of the object in its scan, from 1; 0 for the whole scan.", Int64,
		func(c *record.Classification) int64 { return int64(c.Object) },
		func(c *record.Classification, v int64) { c.Object = uint32(v) }),
	number("view", "Number of the view, from 1; 0 if there is only one.", Int64,
		func(c *record.Classification) int64 { return int64(c.View) },
		func(c *record.Classification, v int64) { c.View = uint32(v) }),
	{
		Name: "time", Doc: "Time of the measurement.", Type: Time, Null: true,
		get: func(c *record.Classification) any {
			if c.Time.IsZero() {
				return nil
			}
			return c.Time.UTC()
		},
		set: func(c *record.Classification, v any) { c.Time = v.(time.Time).UTC() },
	},
	text("model", "Name of the model.", func(c *record.Classification) *string { return &c.Model.Name }),
	text("model_version", "Version of the model.", func(c *record.Classification) *string { return &c.Model.Version }),
	text("model_digest", "SHA-256 of the model file.", func(c *record.Classification) *string { return &c.Model.Digest }),
	number("class", "Class with the highest score.", Int32,
		func(c *record.Classification) int32 { return int32(c.Class) },
		func(c *record.Classification, v int32) { c.Class = int(v) }),
	{
		Name: "name", Doc: "Name of the class, if the model names its classes.", Type: Text, Null: true,
		get: func(c *record.Classification) any {
			if c.Name == "" {
				return nil
			}
			return c.Name
		},
		set: func(c *record.Classification, v any) { c.Name = v.(string) },
	},
	number("score", "Probability of the class.", Float32,
		func(c *record.Classification) float32 { return c.Score },
		func(c *record.Classification, v float32) { c.Score = v }),
	{
		Name: "label", Doc: "True class, if the source has one.", Type: Int32, Null: true,
		get: func(c *record.Classification) any {
			if c.Label == nil {
				return nil
			}
			return *c.Label
		},
		set: func(c *record.Classification, v any) {
			label := v.(int32)
			c.Label = &label
		},
	},
	number("latency_ms", "Time from reading the volume from its topic to the end of inference, in milliseconds; 0 "+
		"without a topic.", Float64,
		func(c *record.Classification) float64 { return c.LatencyMS },
		func(c *record.Classification, v float64) { c.LatencyMS = v }),
	{
		Name: "top_k", Doc: "The best classes, best first, each with class and score.", Type: JSON,
		get: func(c *record.Classification) any {
			b, err := json.Marshal(c.TopK)
			if err != nil {
				return "null" // a score that is not a number
			}
			return string(b)
		},
	},
	boxed("box_x", "Centre of the bounding box, in metres.", func(b *record.Box) *float64 { return &b.Center[0] }),
	boxed("box_y", "Centre of the bounding box, in metres.", func(b *record.Box) *float64 { return &b.Center[1] }),
	boxed("box_z", "Centre of the bounding box, in metres.", func(b *record.Box) *float64 { return &b.Center[2] }),
	boxed("box_length", "Length of the bounding box, in metres.", func(b *record.Box) *float32 { return &b.Size[0] }),
	boxed("box_width", "Width of the bounding box, in metres.", func(b *record.Box) *float32 { return &b.Size[1] }),
	boxed("box_height", "Height of the bounding box, in metres.", func(b *record.Box) *float32 { return &b.Size[2] }),
	boxed("box_yaw", "Rotation of the length from the x axis towards the y axis, in radians.",
		func(b *record.Box) *float32 { return &b.Yaw }),
	number("track", "Number that identifies the object across frames; 0 for none.", Int64,
		func(c *record.Classification) int64 { return int64(c.Track) },
		func(c *record.Classification, v int64) { c.Track = uint64(v) }),
}

func text(name, doc string, field func(c *record.Classification) *string) Column {
	return Column{
		Name: name, Doc: doc, Type: Text,
		get: func(c *record.Classification) any { return *field(c) },
		set: func(c *record.Classification, v any) { *field(c) = v.(string) },
	}
}

func number[T int32 | int64 | float32 | float64](name, doc string, t Type, get func(c *record.Classification) T,
	set func(c *record.Classification, v T),
) Column {
	return Column{
		Name: name, Doc: doc, Type: t,
		get: func(c *record.Classification) any { return get(c) },
		set: func(c *record.Classification, v any) { set(c, v.(T)) },
	}
}

// boxed is a column of the box, which is missing as a whole or not at all.
func boxed[T float32 | float64](name, doc string, field func(b *record.Box) *T) Column {
	t := Float64
	if _, single := any(T(0)).(float32); single {
		t = Float32
	}
	return Column{
		Name: name, Doc: doc, Type: t, Null: true,
		get: func(c *record.Classification) any {
			if c.Box == nil {
				return nil
			}
			return *field(c.Box)
		},
		set: func(c *record.Classification, v any) {
			if c.Box == nil {
				c.Box = new(record.Box)
			}
			*field(c.Box) = v.(T)
		},
	}
}
