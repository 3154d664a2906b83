package wire

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bufbuild/protocompile"
	"github.com/hamba/avro/v2"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/voxelstream/voxelstream/internal/testenv"
	"github.com/voxelstream/voxelstream/record"
)

var update = flag.Bool("update", false, "write golden files of the newest version")

// golden compares with a file. Files of older versions are never written: they are what older programs have left.
func golden(t *testing.T, name string, found []byte, version int) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update && version == record.SchemaVersion {
		if err := os.WriteFile(path, found, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(found, want) {
		t.Errorf("%s: found\n%s\nwant\n%s", name, found, want)
	}
}

func written(t *testing.T, write func(io.Writer, int) error, version int) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := write(&b, version); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// sample is a classification in which no field is missing that a version has.
func sample(version int) *record.Classification {
	label := int32(-1)
	c := &record.Classification{
		EventID: "süd/17", Stream: "süd", Seq: 1 << 40, Time: time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.UTC),
		Model: record.Model{Name: "digits", Version: "7", Digest: strings.Repeat("ab", 32)}, Class: 300, Name: "cone",
		Score: .75, TopK: []record.Score{{Class: 300, Score: .75}, {Class: 0, Score: .25}}, Label: &label,
		LatencyMS: 1.5,
	}
	if version >= 2 {
		c.EventID, c.Object, c.View, c.Track = "süd/17#3~4000000000", 3, 4_000_000_000, math.MaxInt64
		c.Box = &record.Box{Center: [3]float64{6.9e5, -2, 1e-9}, Size: [3]float32{4.5, 0, 1.5}, Yaw: -3.125}
	}
	if version >= 3 {
		energy := float32(-2.5)
		c.Energy, c.Unfamiliar = &energy, true
	}
	if version >= 4 {
		c.Distance = &record.Distance{Nearest: 1.25, Median: 1.5, Center: 1.75, Deviation: 1e-3, Valid: .875}
		c.Velocity = &[3]float32{-1.5, 0, .25}
	}
	return c
}

func encoded(t *testing.T, e Encoding, c *record.Classification, version int) []byte {
	t.Helper()
	if e == Protobuf {
		return appendProto(nil, classification, c, version)
	}
	b, err := appendAvro(nil, classification, c, version)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestGolden: the schemas and bytes of every version are those of the files, and a reader with the newest schema reads
// what each version wrote.
func TestGolden(t *testing.T) {
	newest, err := avro.Parse(string(written(t, writeAvro, record.SchemaVersion)))
	if err != nil {
		t.Fatal(err)
	}
	messages := compiled(t, string(written(t, writeProto, record.SchemaVersion)))
	for version := 1; version <= record.SchemaVersion; version++ {
		name := fmt.Sprintf("classification-%d", version)
		golden(t, name+".avsc", written(t, writeAvro, version), version)
		golden(t, name+".proto", written(t, writeProto, version), version)
		golden(t, name+".avro", encoded(t, Avro, sample(version), version), version)
		golden(t, name+".pb", encoded(t, Protobuf, sample(version), version), version)

		want := expected(sample(version))
		schema, err := os.ReadFile(filepath.Join("testdata", name+".avsc"))
		if err != nil {
			t.Fatal(err)
		}
		writer, err := avro.Parse(string(schema))
		if err != nil {
			t.Fatal(err)
		}
		resolved, err := avro.NewSchemaCompatibility().Resolve(newest, writer)
		if err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(filepath.Join("testdata", name+".avro"))
		if err != nil {
			t.Fatal(err)
		}
		same(t, name+".avro", readAvro(t, resolved, b), want)
		if b, err = os.ReadFile(filepath.Join("testdata", name+".pb")); err != nil {
			t.Fatal(err)
		}
		same(t, name+".pb", readProto(t, messages, b), want)
	}
}

// TestPublished: the schemas in the documentation are the newest.
func TestPublished(t *testing.T) {
	for name, write := range map[string]func(io.Writer, int) error{"avsc": writeAvro, "proto": writeProto} {
		b, err := os.ReadFile(filepath.Join(testenv.Root(), "docs", "reference", "classification."+name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(b, written(t, write, record.SchemaVersion)) {
			t.Errorf("classification.%s is not up to date; run make generate", name)
		}
	}
}

// compiled returns the message of a schema.
func compiled(t *testing.T, source string) protoreflect.MessageDescriptor {
	t.Helper()
	c := protocompile.Compiler{Resolver: protocompile.WithStandardImports(&protocompile.SourceResolver{
		Accessor: protocompile.SourceAccessorFromMap(map[string]string{"classification.proto": source}),
	})}
	files, err := c.Compile(context.Background(), "classification.proto")
	if err != nil {
		t.Fatal(err)
	}
	d := files[0].Messages().Get(0) // the index in the wire format of Confluent
	if d.Name() != "Classification" {
		t.Fatalf("found the first message %s", d.Name())
	}
	return d
}

// value is a classification as a map, in which integers are int64 and floating-point numbers float64.
type value = map[string]any

// expected converts a classification.
func expected(c *record.Classification) value {
	v := value{
		"event_id": c.EventID, "stream": c.Stream, "seq": int64(c.Seq), "object": int64(c.Object),
		"view": int64(c.View),
		"time": nil, "class": int64(c.Class), "name": nil, "score": float64(c.Score), "label": nil,
		"latency_ms": c.LatencyMS, "track": int64(c.Track), "box": nil, "energy": nil, "unfamiliar": c.Unfamiliar,
		"distance": nil, "velocity": []any{},
		"model": value{"name": c.Model.Name, "version": c.Model.Version, "digest": c.Model.Digest},
	}
	if !c.Time.IsZero() {
		v["time"] = c.Time.UnixNano()
	}
	if c.Name != "" {
		v["name"] = c.Name
	}
	if c.Label != nil {
		v["label"] = int64(*c.Label)
	}
	if c.Energy != nil {
		v["energy"] = float64(*c.Energy)
	}
	scores := []any{}
	for _, s := range c.TopK {
		scores = append(scores, value{"class": int64(s.Class), "score": float64(s.Score)})
	}
	v["top_k"] = scores
	if b := c.Box; b != nil {
		v["box"] = value{
			"center": []any{b.Center[0], b.Center[1], b.Center[2]}, "yaw": float64(b.Yaw),
			"size": []any{float64(b.Size[0]), float64(b.Size[1]), float64(b.Size[2])},
		}
	}
	if d := c.Distance; d != nil {
		v["distance"] = value{
			"nearest_m": d.Nearest, "median_m": d.Median, "center_m": d.Center, "deviation_m": d.Deviation,
			"valid": d.Valid,
		}
	}
	if x := c.Velocity; x != nil {
		v["velocity"] = []any{float64(x[0]), float64(x[1]), float64(x[2])}
	}
	return v
}

func same(t *testing.T, what string, found, want value) {
	t.Helper()
	if !reflect.DeepEqual(found, want) {
		t.Errorf("%s: found %v\nwant %v", what, found, want)
	}
}

func readAvro(t *testing.T, schema avro.Schema, b []byte) value {
	t.Helper()
	var v any
	r := bytes.NewReader(b)
	d := avro.NewReader(r, 64)
	if d.ReadVal(schema, &v); d.Error != nil && d.Error != io.EOF { //nolint:errorlint // as the library returns it
		t.Fatal(d.Error)
	}
	return plain(v).(value)
}

// plain converts what the library for Avro returns.
func plain(v any) any {
	switch v := v.(type) {
	case map[string]any:
		// A union is a map of the name of its type.
		if len(v) == 1 {
			for name, content := range v {
				switch name {
				case "string", "int", "long", "float", "long.timestamp-nanos", "voxelstream.Box", "voxelstream.Distance":
					return plain(content)
				}
			}
		}
		out := value{}
		for name, x := range v {
			out[name] = plain(x)
		}
		return out
	case []any:
		out := []any{}
		for _, x := range v {
			out = append(out, plain(x))
		}
		return out
	case int:
		return int64(v)
	case int32:
		return int64(v)
	case float32:
		return float64(v)
	case time.Time:
		return v.UnixNano()
	}
	return v
}

func readProto(t *testing.T, d protoreflect.MessageDescriptor, b []byte) value {
	t.Helper()
	m := dynamicpb.NewMessage(d)
	if err := (proto.UnmarshalOptions{}).Unmarshal(b, m); err != nil {
		t.Fatal(err)
	}
	if len(m.GetUnknown()) > 0 {
		t.Errorf("found unknown fields %x", m.GetUnknown())
	}
	return ofProto(m).(value)
}

func ofProto(m protoreflect.Message) any {
	if m.Descriptor().FullName() == "google.protobuf.Timestamp" {
		f := m.Descriptor().Fields()
		return m.Get(f.ByName("seconds")).Int()*1e9 + m.Get(f.ByName("nanos")).Int()
	}
	out := value{}
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		name := string(f.Name())
		switch {
		case f.IsList():
			items := []any{}
			for j := range m.Get(f).List().Len() {
				items = append(items, ofProtoValue(m.Get(f).List().Get(j)))
			}
			out[name] = items
		case f.HasPresence() && !m.Has(f):
			out[name] = nil
		default:
			out[name] = ofProtoValue(m.Get(f))
		}
	}
	return out
}

func ofProtoValue(v protoreflect.Value) any {
	switch x := v.Interface().(type) {
	case protoreflect.Message:
		return ofProto(x)
	case uint32:
		return int64(x)
	case uint64:
		return int64(x)
	default:
		return plain(x)
	}
}

// TestRandom: independent decoders read what the encoders write.
func TestRandom(t *testing.T) {
	schema, err := avro.Parse(string(written(t, writeAvro, record.SchemaVersion)))
	if err != nil {
		t.Fatal(err)
	}
	messages := compiled(t, string(written(t, writeProto, record.SchemaVersion)))
	r := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		c := *sample(1 + r.IntN(record.SchemaVersion))
		c.Seq, c.Class, c.Score = r.Uint64()>>1>>r.IntN(63), r.IntN(1<<31)>>r.IntN(31), r.Float32()
		c.LatencyMS, c.View = r.NormFloat64(), r.Uint32()
		c.TopK = c.TopK[:r.IntN(3)]
		if r.IntN(2) == 0 {
			c.Label, c.Time, c.Name, c.Model.Version, c.Score = nil, time.Time{}, "", "", 0
		}
		if r.IntN(2) == 0 {
			c.Label = new(int32) // 0 is not missing
			c.Time = time.Unix(-r.Int64N(1e9), r.Int64N(1e9)).UTC()
		}
		want := expected(&c)
		same(t, "Avro", readAvro(t, schema, encoded(t, Avro, &c, record.SchemaVersion)), want)
		same(t, "Protobuf", readProto(t, messages, encoded(t, Protobuf, &c, record.SchemaVersion)), want)
	}
}

// TestEncode: JSON is what the JSON encoder writes, the prefix of Confluent comes first, and what an encoding cannot
// hold is an error.
func TestEncode(t *testing.T) {
	c := sample(2)
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	want := map[Encoding][]byte{
		JSON: text, Avro: encoded(t, Avro, c, record.SchemaVersion),
		Protobuf: encoded(t, Protobuf, c, record.SchemaVersion),
	}
	for _, e := range []Encoding{JSON, Avro, Protobuf} {
		prefix := []byte{0, 0, 1, 0, 2}
		if e == Protobuf {
			prefix = append(prefix, 0)
		}
		for id, want := range map[uint32][]byte{0: want[e], 1<<16 + 2: slices.Concat(prefix, want[e])} {
			if found, err := e.Encode(c, id); err != nil || !bytes.Equal(found, want) {
				t.Errorf("%s, schema %d: found %x, %v, want %x", e, id, found, err, want)
			}
		}
	}
	bad := *c
	bad.Track = math.MaxUint64
	if _, err := Avro.Encode(&bad, 0); err == nil || !strings.Contains(err.Error(), "track: found 184467440737095") {
		t.Errorf("found %v, want an error that names the track", err)
	}
	bad = *c
	bad.Time = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)
	if _, err := Avro.Encode(&bad, 0); err == nil || !strings.Contains(err.Error(), "time: found 9999") {
		t.Errorf("found %v, want an error that names the time", err)
	}
	for name, set := range map[string]func(c *record.Classification){
		"class: found 4294967297": func(c *record.Classification) { c.Class = 1<<32 + 1 },
		"top_k: found the class -2147483649": func(c *record.Classification) {
			c.TopK = []record.Score{{Class: -1<<31 - 1}}
		},
		`model.name: found "a\xff"`: func(c *record.Classification) { c.Model.Name = "a\xff" },
	} {
		bad := *c
		set(&bad)
		for _, e := range []Encoding{Avro, Protobuf} {
			if _, err := e.Encode(&bad, 0); err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("%s: found %v, want %q", e, err, name)
			}
		}
	}
	bad = *c
	bad.Score = float32(math.NaN())
	if _, err := JSON.Encode(&bad, 0); err == nil {
		t.Error("found no error for NaN in JSON")
	}
	for _, e := range []Encoding{Avro, Protobuf} {
		if _, err := e.Encode(&bad, 0); err != nil {
			t.Errorf("%s, NaN: %v", e, err)
		}
	}
}

// TestJSONSchemaHasTheFields: the JSON schema describes the same fields.
func TestJSONSchemaHasTheFields(t *testing.T) {
	b, err := os.ReadFile(filepath.Join(testenv.Root(), "docs", "reference", "classification.schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	type object struct {
		Properties map[string]*object
		Items      *object
	}
	var schema object
	if err := json.Unmarshal(b, &schema); err != nil {
		t.Fatal(err)
	}
	var compare func(m *message, o *object)
	compare = func(m *message, o *object) {
		if len(m.fields) != len(o.Properties) {
			t.Errorf("%s: found %d fields, want %d", m.name, len(m.fields), len(o.Properties))
		}
		for _, f := range m.fields {
			p := o.Properties[f.name]
			switch {
			case p == nil:
				t.Errorf("%s.%s: the JSON schema has no such field", m.name, f.name)
			case f.message != nil && f.list:
				compare(f.message, p.Items)
			case f.message != nil:
				compare(f.message, p)
			}
		}
	}
	compare(classification, &schema)
}
