package sinks_test

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/voxelstream/voxelstream/internal/testenv"
	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/sinks/sinktest"
)

// TestSchema: what we write is what the published schema describes, and the schema is strict enough to notice a
// difference.
func TestSchema(t *testing.T) {
	schema, err := jsonschema.NewCompiler().Compile(filepath.Join(testenv.Root(), "docs", "reference",
		"classification.schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	check := func(doc []byte) error {
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader(doc))
		if err != nil {
			t.Fatal(err)
		}
		return schema.Validate(v)
	}
	for i := range 20 {
		c := sinktest.Classification("archive.h5-0123abcd", i%10)
		if i >= 10 {
			c.Object, c.View, c.Track = uint32(i), 1, math.MaxUint64
			c.Box = &record.Box{Center: [3]float64{6.9e5, -2, 1e-9}, Size: [3]float32{4.5, 1.9, 1.6}, Yaw: -3.1}
			c.EventID = c.ID().String()
			energy := float32(-3.5)
			c.Energy, c.Unfamiliar = &energy, true
			c.Distance = &record.Distance{Nearest: 1.5, Median: 2, Center: 2.5, Deviation: .25, Valid: .75}
			c.Velocity = &[3]float32{1.5, -2, 0}
		}
		doc, err := json.Marshal(&c)
		if err != nil {
			t.Fatal(err)
		}
		if err := check(doc); err != nil {
			t.Errorf("%s: %v", doc, err)
		}
		changes := [][2]string{
			{`"seq":`, `"seq":-`},
			{`"score":0.75,"top`, `"score":7,"top`},
			{`"class":`, `"klass":`},
			{`"digest":"ab`, `"digest":"xy`},
		}
		if i >= 10 {
			changes = append(changes, [][2]string{
				{`"object":`, `"object":-`},
				{`"view":1`, `"view":0`},
				{`"track":`, `"track":-`},
				{`"center":[`, `"center":[7,`},
				{`"yaw":-3.1`, `"jaw":-3.1`},
				{`"energy":-3.5`, `"energy":"-3.5"`},
				{`"unfamiliar":true`, `"unfamiliar":1`},
				{`"nearest_m":`, `"nearest_m":-`},
				{`"median_m":`, `"middle_m":`},
				{`"valid":0.75`, `"valid":75`},
				{`"velocity":[1.5,`, `"velocity":[`},
			}...)
		}
		for _, change := range changes {
			other := strings.Replace(string(doc), change[0], change[1], 1)
			if other == string(doc) {
				t.Fatalf("found no %s in %s", change[0], doc)
			}
			if change[0] == `"seq":` && i%10 == 0 {
				continue // -0 is 0
			}
			if err := check([]byte(other)); err == nil {
				t.Errorf("the schema takes %s", other)
			}
		}
	}
}

// TestSchemaVersion checks that the version of the schema is the version of the program.
func TestSchemaVersion(t *testing.T) {
	b, err := os.ReadFile(filepath.Join(testenv.Root(), "docs", "reference", "classification.schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	var schema struct{ Version int }
	if err := json.Unmarshal(b, &schema); err != nil {
		t.Fatal(err)
	}
	if schema.Version != record.SchemaVersion {
		t.Errorf("found version %d, want %d", record.SchemaVersion, schema.Version)
	}
}
