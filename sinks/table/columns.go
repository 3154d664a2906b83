package table

import (
	"fmt"
	"math"
	"strings"
	"time"
	"unicode/utf8"

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
	Bool                // bool
	Time                // time.Time in UTC, with nanoseconds
	JSON                // string that holds a JSON document
)

// Column is a column of a table of classifications.
type Column struct {
	Name, Doc string
	Type      Type
	// Null reports whether values may be missing.
	Null bool
	// Since is the version of the schema ([record.SchemaVersion]) that added the column. It is 0 for the first columns.
	// Files of earlier versions lack the column.
	Since  int
	access access
}

// access reads and writes the field of a classification that a column holds.
type access interface {
	value(c *record.Classification) any
	set(c *record.Classification, v any) bool
	// gather appends the values of cs to a vector. scatter sets those of dst from the rows of a vector from one on.
	gather(v *Vector, cs []record.Classification)
	scatter(v *Vector, from int, dst []record.Classification) error
}

// Value returns the column's value for a classification: nil if it is missing, otherwise of the column's type.
func (col *Column) Value(c *record.Classification) any { return col.access.value(c) }

// Set sets the column's value, which is nil or of the column's type, in a classification.
func (col *Column) Set(c *record.Classification, v any) error {
	if v == nil {
		if !col.Null {
			return fmt.Errorf("column %s: found no value", col.Name)
		}
		return nil
	}
	if !col.access.set(c, v) {
		return fmt.Errorf("column %s: found %v (%T), which it cannot hold", col.Name, v, v)
	}
	return nil
}

// Columns returns the columns in their order. Columns are only ever added, at the end.
func Columns() []Column { return columns }

// MaxText is the maximum length of a text in bytes, and MaxTopK that of the list of the best classes.
const (
	MaxText = 1 << 16
	MaxTopK = 1 << 16
)

// The times that fit into a signed 64-bit number of nanoseconds since 1970.
var (
	firstTime = time.Unix(0, math.MinInt64)
	lastTime  = time.Unix(0, math.MaxInt64)
)

// Check returns an error if a classification has a value that its column cannot hold.
func Check(c *record.Classification) error {
	for _, n := range []struct {
		name  string
		value uint64
	}{{"seq", c.Seq}, {"track", c.Track}} {
		if n.value > math.MaxInt64 {
			return fmt.Errorf("%.200s: found %s %d, limit %d", c.EventID, n.name, n.value, int64(math.MaxInt64))
		}
	}
	if !c.Time.IsZero() && (c.Time.Before(firstTime) || c.Time.After(lastTime)) {
		return fmt.Errorf("%.200s: found the time %s, want one from 1677 to 2262", c.EventID, c.Time)
	}
	for _, text := range []*string{
		&c.EventID, &c.Stream, &c.Model.Name, &c.Model.Version, &c.Model.Digest, &c.Name,
	} {
		if len(*text) > MaxText {
			return fmt.Errorf("%.200s: found a text of %d bytes, limit %d", c.EventID, len(*text), MaxText)
		}
		if !utf8.ValidString(*text) || strings.IndexByte(*text, 0) >= 0 {
			return fmt.Errorf("%.200q: found the text %.200q, want UTF-8 without zero bytes", c.EventID, *text)
		}
	}
	if len(c.TopK) > MaxTopK {
		return fmt.Errorf("%.200s: found %d classes in top_k, limit %d", c.EventID, len(c.TopK), MaxTopK)
	}
	if !isInt32(c.Class) {
		return fmt.Errorf("%.200s: found class %d, which is not an int32", c.EventID, c.Class)
	}
	for _, k := range c.TopK {
		if !isInt32(k.Class) {
			return fmt.Errorf("%.200s: found class %d in top_k, which is not an int32", c.EventID, k.Class)
		}
	}
	return nil
}

func isInt32(n int) bool { return int(int32(n)) == n }

var columns = []Column{
	text("event_id", "ID of the volume.", func(c *record.Classification) *string { return &c.EventID }),
	text("stream", "Stream of the volume. For a file: its name without the folder, a hyphen and 8 digits of a digest.",
		func(c *record.Classification) *string { return &c.Stream }),
	number("seq", "Position in the stream, from 0.",
		func(c *record.Classification) int64 { return int64(c.Seq) },
		func(c *record.Classification, v int64) bool { c.Seq = uint64(v); return v >= 0 }),
	number("object", "Number of the object in its scan, from 1; 0 for the whole scan.",
		func(c *record.Classification) int64 { return int64(c.Object) },
		func(c *record.Classification, v int64) bool { c.Object = uint32(v); return int64(c.Object) == v }),
	number("view", "Number of the view, from 1; 0 if there is only one.",
		func(c *record.Classification) int64 { return int64(c.View) },
		func(c *record.Classification, v int64) bool { c.View = uint32(v); return int64(c.View) == v }),
	{Name: "time", Doc: "Time of the measurement.", Type: Time, Null: true, access: moment{}},
	text("model", "Name of the model.", func(c *record.Classification) *string { return &c.Model.Name }),
	text("model_version", "Version of the model.", func(c *record.Classification) *string { return &c.Model.Version }),
	text("model_digest", "SHA-256 of the model file.", func(c *record.Classification) *string { return &c.Model.Digest }),
	number("class", "Class with the highest score.",
		func(c *record.Classification) int32 { return int32(c.Class) },
		func(c *record.Classification, v int32) bool { c.Class = int(v); return true }),
	optionalText("name", "Name of the class, if the model names its classes.",
		func(c *record.Classification) *string { return &c.Name }),
	number("score", "Probability of the class.",
		func(c *record.Classification) float32 { return c.Score },
		func(c *record.Classification, v float32) bool { c.Score = v; return true }),
	{
		Name: "label", Doc: "True class, if the source has one.", Type: Int32, Null: true, access: field[int32]{
			get: func(c *record.Classification) (int32, bool) {
				if c.Label == nil {
					return 0, false
				}
				return *c.Label, true
			},
			put: func(c *record.Classification, v int32) bool { c.Label = &v; return true },
		},
	},
	number("latency_ms", "Time from reading the volume from its topic to the end of inference, in milliseconds; 0 "+
		"without a topic.",
		func(c *record.Classification) float64 { return c.LatencyMS },
		func(c *record.Classification, v float64) bool { c.LatencyMS = v; return true }),
	{
		Name: "top_k", Doc: "The best classes, best first, each with class and score.", Type: JSON, access: topK{},
	},
	within("box_x", 0, "Centre of the bounding box, in metres.", box,
		func(b *record.Box) *float64 { return &b.Center[0] }),
	within("box_y", 0, "Centre of the bounding box, in metres.", box,
		func(b *record.Box) *float64 { return &b.Center[1] }),
	within("box_z", 0, "Centre of the bounding box, in metres.", box,
		func(b *record.Box) *float64 { return &b.Center[2] }),
	within("box_length", 0, "Length of the bounding box, in metres.", box,
		func(b *record.Box) *float32 { return &b.Size[0] }),
	within("box_width", 0, "Width of the bounding box, in metres.", box,
		func(b *record.Box) *float32 { return &b.Size[1] }),
	within("box_height", 0, "Height of the bounding box, in metres.", box,
		func(b *record.Box) *float32 { return &b.Size[2] }),
	within("box_yaw", 0, "Rotation of the length from the x axis towards the y axis, in radians.", box,
		func(b *record.Box) *float32 { return &b.Yaw }),
	number("track", "Number that identifies the object across frames; 0 for none.",
		func(c *record.Classification) int64 { return int64(c.Track) },
		func(c *record.Classification, v int64) bool { c.Track = uint64(v); return v >= 0 }),
	{
		Name: "energy", Doc: "Measure of how unlike the training data the volume is, if the model has a " +
			"threshold.", Type: Float32,
		Null: true, Since: 3, access: field[float32]{
			get: func(c *record.Classification) (float32, bool) {
				if c.Energy == nil {
					return 0, false
				}
				return *c.Energy, true
			},
			put: func(c *record.Classification, v float32) bool { c.Energy = &v; return true },
		},
	},
	{
		Name: "unfamiliar", Doc: "Whether the energy is above the threshold of the model, if it has one.", Type: Bool,
		Null: true, Since: 3, access: unfamiliar{},
	},
	within("distance_nearest", 4, "Distance of the nearest surface from the sensor, in metres.", distance,
		func(d *record.Distance) *float64 { return &d.Nearest }),
	within("distance_median", 4, "Median distance of the measurements, in metres.", distance,
		func(d *record.Distance) *float64 { return &d.Median }),
	within("distance_center", 4, "Distance of the centre of the bounding box, in metres; 0 for a whole frame.",
		distance, func(d *record.Distance) *float64 { return &d.Center }),
	within("distance_deviation", 4, "Standard deviation of distance_nearest, in metres; 0 if unknown.", distance,
		func(d *record.Distance) *float64 { return &d.Deviation }),
	within("distance_valid", 4, "Fraction of pixels with a measurement, from 0 to 1; 0 for a scan.", distance,
		func(d *record.Distance) *float64 { return &d.Valid }),
	within("velocity_x", 4, "Velocity of the object along the x axis, in metres per second.", velocity,
		func(v *[3]float32) *float32 { return &v[0] }),
	within("velocity_y", 4, "Velocity of the object along the y axis, in metres per second.", velocity,
		func(v *[3]float32) *float32 { return &v[1] }),
	within("velocity_z", 4, "Velocity of the object along the z axis, in metres per second.", velocity,
		func(v *[3]float32) *float32 { return &v[2] }),
}

// The parts of a classification that several columns hold.
func box(c *record.Classification) **record.Box           { return &c.Box }
func distance(c *record.Classification) **record.Distance { return &c.Distance }
func velocity(c *record.Classification) **[3]float32      { return &c.Velocity }

func text(name, doc string, of func(c *record.Classification) *string) Column {
	return Column{Name: name, Doc: doc, Type: Text, access: textField{of: of}}
}

// optionalText is missing if it is empty.
func optionalText(name, doc string, of func(c *record.Classification) *string) Column {
	return Column{Name: name, Doc: doc, Type: Text, Null: true, access: textField{of: of, optional: true}}
}

func number[T numeric](name, doc string, get func(c *record.Classification) T,
	put func(c *record.Classification, v T) bool,
) Column {
	return Column{Name: name, Doc: doc, Type: typeOf[T](), access: field[T]{
		get: func(c *record.Classification) (T, bool) { return get(c), true }, put: put,
	}}
}

// within is a column of a part of the classification, which is missing as a whole or not at all.
func within[P any, T float32 | float64](name string, since int, doc string, part func(*record.Classification) **P,
	of func(*P) *T,
) Column {
	return Column{
		Name: name, Doc: doc, Type: typeOf[T](), Null: true, Since: since, access: field[T]{
			get: func(c *record.Classification) (T, bool) {
				if p := *part(c); p != nil {
					return *of(p), true
				}
				return 0, false
			},
			put: func(c *record.Classification, v T) bool {
				p := part(c)
				if *p == nil {
					*p = new(P)
				}
				*of(*p) = v
				return true
			},
		},
	}
}
