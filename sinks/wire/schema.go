// Package wire encodes classifications as Avro and Protobuf. Schemas and encoders of both follow from one description
// of the fields.
package wire

import (
	"fmt"
	"io"
	"strings"

	"github.com/voxelstream/voxelstream/record"
)

// message is a record of Avro, and a message of Protobuf.
type message struct {
	name, doc string
	fields    []field
}

// scalar is a type of values, with its names in Avro and in Protobuf.
type scalar struct{ avro, proto string }

var (
	text    = &scalar{`"string"`, "string"}
	int32s  = &scalar{`"int"`, "int32"}
	uint32s = &scalar{`"long"`, "uint32"}
	uint64s = &scalar{`"long"`, "uint64"}
	float   = &scalar{`"float"`, "float"}
	double  = &scalar{`"double"`, "double"}
	boolean = &scalar{`"boolean"`, "bool"}
	instant = &scalar{`{"type": "long", "logicalType": "timestamp-nanos"}`, "google.protobuf.Timestamp"}
)

// zero returns the default value of numbers and truth values in Avro.
func (s *scalar) zero() string {
	if s == boolean {
		return "false"
	}
	return "0"
}

// field is a field of a message.
type field struct {
	name, doc string
	// number is the number of the field in Protobuf. since is the version of the schema that added it; later ones than
	// the first have defaults.
	number, since int
	// of is the type of the value, or message if it is nil.
	of      *scalar
	message *message
	// null means that the value may be missing. list means that there may be many.
	null, list bool
	// get returns the value in a Go struct: string, int32, uint32, uint64, float32, float64, bool, time.Time, a pointer
	// to
	// the struct of a message, or a list of these as []any. It is nil if the value is missing.
	get func(m any) any
}

// of makes the getter of a field in a struct of type T.
func of[T any](get func(m *T) any) func(any) any { return func(m any) any { return get(m.(*T)) } }

var model = &message{
	name: "Model", doc: "The network.",
	fields: []field{
		{
			name: "name", doc: "Name of the model.", number: 1, since: 1, of: text,
			get: of(func(m *record.Model) any { return m.Name }),
		},
		{
			name: "version", doc: "Version of the model.", number: 2, since: 1, of: text,
			get: of(func(m *record.Model) any { return m.Version }),
		},
		{
			name: "digest", doc: "SHA-256 of the model file in hexadecimal.", number: 3, since: 1, of: text,
			get: of(func(m *record.Model) any { return m.Digest }),
		},
	},
}

var score = &message{
	name: "Score", doc: "A class and its probability.",
	fields: []field{
		{
			name: "class", doc: "Number of the class.", number: 1, since: 1, of: int32s,
			get: of(func(s *record.Score) any { return int32(s.Class) }),
		},
		{
			name: "score", doc: "Probability of the class.", number: 2, since: 1, of: float,
			get: of(func(s *record.Score) any { return s.Score }),
		},
	},
}

var box = &message{
	name: "Box", doc: "An upright bounding box in the coordinates of its scan.",
	fields: []field{
		{
			name: "center", doc: "x, y and z in metres.", number: 1, since: 2, of: double, list: true,
			get: of(func(b *record.Box) any { return list(b.Center[:]) }),
		},
		{
			name: "size", doc: "Length, width and height in metres, along the axes of the box.", number: 2, since: 2,
			of: float, list: true, get: of(func(b *record.Box) any { return list(b.Size[:]) }),
		},
		{
			name: "yaw", doc: "Rotation of the length from the x axis towards the y axis, in radians.", number: 3,
			since: 2, of: float, get: of(func(b *record.Box) any { return b.Yaw }),
		},
	},
}

var distance = &message{
	name: "Distance", doc: "How far an object or the surfaces in a depth frame are from the sensor, in metres.",
	fields: []field{
		{
			name: "nearest_m", doc: "Distance of the nearest surface.", number: 1, since: 4, of: double,
			get: of(func(d *record.Distance) any { return d.Nearest }),
		},
		{
			name: "median_m", doc: "Median distance of the measurements.", number: 2, since: 4, of: double,
			get: of(func(d *record.Distance) any { return d.Median }),
		},
		{
			name: "center_m", doc: "Distance of the centre of the bounding box; 0 for a whole frame.", number: 3,
			since: 4, of: double, get: of(func(d *record.Distance) any { return d.Center }),
		},
		{
			name: "deviation_m", doc: "Standard deviation of nearest_m; 0 if unknown.", number: 4, since: 4, of: double,
			get: of(func(d *record.Distance) any { return d.Deviation }),
		},
		{
			name: "valid", doc: "Fraction of pixels with a measurement, from 0 to 1; 0 for a " +
				"scan.", number: 5, since: 4,
			of: double, get: of(func(d *record.Distance) any { return d.Valid }),
		},
	},
}

// classification is the description. Fields are only added, with new numbers and defaults.
var classification = &message{
	name: "Classification", doc: "What a network said of one volume.",
	fields: []field{
		{
			name: "event_id", doc: "ID of the volume. With the digest of the model it identifies the classification.",
			number: 1, since: 1, of: text, get: of(func(c *record.Classification) any { return c.EventID }),
		},
		{
			name: "stream", doc: "Stream of the volume; the key of the message.", number: 2, since: 1, of: text,
			get: of(func(c *record.Classification) any { return c.Stream }),
		},
		{
			name: "seq", doc: "Position in the stream, from 0.", number: 3, since: 1, of: uint64s,
			get: of(func(c *record.Classification) any { return c.Seq }),
		},
		{
			name: "time", doc: "Time of the measurement.", number: 4, since: 1, of: instant, null: true,
			get: of(func(c *record.Classification) any {
				if c.Time.IsZero() {
					return nil
				}
				return c.Time
			}),
		},
		{
			name: "model", doc: "The network.", number: 5, since: 1, message: model,
			get: of(func(c *record.Classification) any { return &c.Model }),
		},
		{
			name: "class", doc: "Class with the highest score.", number: 6, since: 1, of: int32s,
			get: of(func(c *record.Classification) any { return int32(c.Class) }),
		},
		{
			name: "name", doc: "Name of the class, if the model names its classes.", number: 7, since: 1, of: text,
			null: true, get: of(func(c *record.Classification) any {
				if c.Name == "" {
					return nil
				}
				return c.Name
			}),
		},
		{
			name: "score", doc: "Probability of the class.", number: 8, since: 1, of: float,
			get: of(func(c *record.Classification) any { return c.Score }),
		},
		{
			name: "top_k", doc: "The best classes, best first.", number: 9, since: 1, message: score, list: true,
			get: of(func(c *record.Classification) any {
				out := make([]any, len(c.TopK))
				for i := range c.TopK {
					out[i] = &c.TopK[i]
				}
				return out
			}),
		},
		{
			name: "label", doc: "True class, if the source has one.", number: 10, since: 1, of: int32s, null: true,
			get: of(func(c *record.Classification) any {
				if c.Label == nil {
					return nil
				}
				return *c.Label
			}),
		},
		{
			name:   "latency_ms",
			doc:    "Time from reading the volume from its topic to the end of inference, in milliseconds.",
			number: 11, since: 1, of: double, get: of(func(c *record.Classification) any { return c.LatencyMS }),
		},
		{
			name: "object", doc: "Number of the object in its scan, from 1; 0 for the whole scan.", number: 12, since: 2,
			of: uint32s, get: of(func(c *record.Classification) any { return c.Object }),
		},
		{
			name: "view", doc: "Number of the view, from 1; 0 if there is only one.", number: 13, since: 2, of: uint32s,
			get: of(func(c *record.Classification) any { return c.View }),
		},
		{
			name: "box", doc: "Bounding box of the object.", number: 14, since: 2, message: box, null: true,
			get: of(func(c *record.Classification) any {
				if c.Box == nil {
					return nil
				}
				return c.Box
			}),
		},
		{
			name: "track", doc: "Number that identifies the object across frames; 0 for none.", number: 15, since: 2,
			of: uint64s, get: of(func(c *record.Classification) any { return c.Track }),
		},
		{
			name:   "energy",
			doc:    "How unlike the training data the volume is; missing if the model has no threshold.",
			number: 16, since: 3, of: float, null: true, get: of(func(c *record.Classification) any {
				if c.Energy == nil {
					return nil
				}
				return *c.Energy
			}),
		},
		{
			name: "unfamiliar", doc: "Whether the energy is above the threshold of the model.", number: 17, since: 3,
			of: boolean, get: of(func(c *record.Classification) any { return c.Unfamiliar }),
		},
		{
			name: "distance", doc: "Distance of the object, or of the surfaces in a whole depth frame.", number: 18,
			since: 4, message: distance, null: true, get: of(func(c *record.Classification) any {
				if c.Distance == nil {
					return nil
				}
				return c.Distance
			}),
		},
		{
			name:   "velocity",
			doc:    "Velocity of the object along x, y and z in metres per second; empty if unknown.",
			number: 19, since: 4, of: float, list: true, get: of(func(c *record.Classification) any {
				if c.Velocity == nil {
					return []any{}
				}
				return list(c.Velocity[:])
			}),
		},
	},
}

func list[T any](values []T) []any {
	out := make([]any, len(values))
	for i, v := range values {
		out[i] = v
	}
	return out
}

// at returns the fields of a version.
func (m *message) at(version int) (fields []field) {
	for _, f := range m.fields {
		if f.since <= version {
			fields = append(fields, f)
		}
	}
	return fields
}

// WriteAvro writes the Avro schema of the newest version, as JSON.
func WriteAvro(w io.Writer) error { return writeAvro(w, record.SchemaVersion) }

func writeAvro(w io.Writer, version int) error {
	var b strings.Builder
	classification.avro(&b, version, "")
	_, err := io.WriteString(w, b.String()+"\n")
	return err
}

func (m *message) avro(b *strings.Builder, version int, indent string) {
	fmt.Fprintf(b, "{\n%s  \"type\": \"record\",\n%s  \"name\": %q,\n", indent, indent, m.name)
	if m == classification {
		fmt.Fprintf(b, "%s  \"namespace\": \"voxelstream\",\n", indent)
	}
	fmt.Fprintf(b, "%s  \"doc\": %q,\n%s  \"fields\": [", indent, m.doc, indent)
	for i, f := range m.at(version) {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(b, "\n%s    {\"name\": %q, \"doc\": %q, \"type\": ", indent, f.name, f.doc)
		if f.null {
			b.WriteString(`["null", `)
		}
		if f.list {
			b.WriteString(`{"type": "array", "items": `)
		}
		if f.message != nil {
			f.message.avro(b, version, indent+"    ")
		} else {
			b.WriteString(f.of.avro)
		}
		if f.list {
			b.WriteByte('}')
		}
		switch {
		case f.null:
			b.WriteString(`], "default": null`)
		case f.since > 1 && m == classification && f.list:
			b.WriteString(`, "default": []`)
		case f.since > 1 && m == classification:
			b.WriteString(`, "default": ` + f.of.zero())
		}
		b.WriteByte('}')
	}
	fmt.Fprintf(b, "\n%s  ]\n%s}", indent, indent)
}

// WriteProto writes the Protobuf schema of the newest version, in the language of proto3.
func WriteProto(w io.Writer) error { return writeProto(w, record.SchemaVersion) }

func writeProto(w io.Writer, version int) error {
	var b strings.Builder
	b.WriteString("syntax = \"proto3\";\n\npackage voxelstream;\n\nimport \"google/protobuf/timestamp.proto\";\n")
	all := []*message{classification}
	for i := 0; i < len(all); i++ {
		m := all[i]
		fmt.Fprintf(&b, "\n// %s\nmessage %s {\n", m.doc, m.name)
		for _, f := range m.at(version) {
			label, name := "", ""
			switch {
			case f.list:
				label = "repeated "
			case f.null && f.of != nil && f.of != instant:
				label = "optional " // messages are anyway
			}
			if f.message != nil {
				all = append(all, f.message)
				name = f.message.name
			} else {
				name = f.of.proto
			}
			fmt.Fprintf(&b, "  // %s\n  %s%s %s = %d;\n", f.doc, label, name, f.name, f.number)
		}
		b.WriteString("}\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}
