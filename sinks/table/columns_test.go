package table_test

import (
	"math"
	"reflect"
	"testing"
	"time"

	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/sinks/table"
)

// TestColumns: values of all columns restore a classification, and missing ones are nil exactly where that is allowed.
func TestColumns(t *testing.T) {
	label, energy := int32(7), float32(-.5)
	full := record.Classification{
		EventID: "s/1#2~3", Stream: "s", Seq: 1, Object: 2, View: 3, Time: time.Unix(1, 5).UTC(),
		Model: record.Model{Name: "m", Version: "v", Digest: "d"}, Class: 4, Name: "four", Score: .5,
		TopK: []record.Score{{Class: 4, Score: .5}, {Class: 1, Score: .25}}, Label: &label, LatencyMS: 6,
		Box: &record.Box{Center: [3]float64{1, 2, 3}, Size: [3]float32{4, 5, 6}, Yaw: 7}, Track: 8,
		Energy: &energy, Unfamiliar: true,
		Distance: &record.Distance{Nearest: 9, Median: 10, Center: 11, Deviation: 12, Valid: 13},
		Velocity: &[3]float32{14, 15, 16},
	}
	for _, want := range []record.Classification{full, {EventID: "s/0", Stream: "s"}} {
		var got record.Classification
		for _, c := range table.Columns() {
			v := c.Value(&want)
			if v == nil && !c.Null {
				t.Errorf("%s: found no value", c.Name)
			}
			if err := c.Set(&got, v); err != nil {
				t.Error(err)
			}
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("found %+v, want %+v", got, want)
		}
	}
	for _, c := range table.Columns() {
		if err := c.Set(&full, struct{}{}); err == nil {
			t.Errorf("%s took a struct", c.Name)
		}
	}
	for _, c := range []record.Classification{{Seq: math.MaxUint64}, {Track: math.MaxUint64}} {
		if table.Check(&c) == nil {
			t.Errorf("found no error for %+v", c)
		}
	}
}
