package sinks_test

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/voxelstream/voxelstream/internal/testenv"
	"github.com/voxelstream/voxelstream/sinks/sinktest"
)

// TestSchema: what we write is what the published schema describes, and the schema is strict enough to notice a
// difference.
func TestSchema(t *testing.T) {
	schema, err := jsonschema.NewCompiler().Compile(filepath.Join(testenv.Root(), "docs", "reference", "classification.schema.json"))
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
	for i := range 10 {
		c := sinktest.Classification("archive.h5-0123abcd", i)
		doc, err := json.Marshal(&c)
		if err != nil {
			t.Fatal(err)
		}
		if err := check(doc); err != nil {
			t.Errorf("%s: %v", doc, err)
		}
		for _, change := range [][2]string{{`"seq":`, `"seq":-`}, {`"score":0.75,"top`, `"score":7,"top`}, {`"class":`, `"klass":`}, {`"digest":"ab`, `"digest":"xy`}} {
			other := strings.Replace(string(doc), change[0], change[1], 1)
			if change[0] == `"seq":` && i == 0 {
				continue // -0 is 0
			}
			if err := check([]byte(other)); err == nil {
				t.Errorf("the schema takes %s", other)
			}
		}
	}
}
