package main

import (
	"testing"

	"github.com/voxelstream/voxelstream/ingest/simulate"
	"github.com/voxelstream/voxelstream/perception"
)

// TestDefaults: the default steps are about as good as docs/reference/perception-accuracy.md says.
func TestDefaults(t *testing.T) {
	m := measurement{options: perception.DefaultOptions(), scans: 8}
	for _, sensor := range []string{"vlp16", "hdl64"} {
		f, err := m.street(t.Context(), &condition{sensor: sensor, street: driving}, 1100)
		if err != nil {
			t.Fatal(err)
		}
		moving, _ := f.tracking.SpeedError(0.5)
		if f.ground.IoU() < 0.93 || f.segments.Recall() < 0.85 || f.segments.Precision() < 0.7 ||
			f.tracking.Switches > f.tracking.Objects/50 || !(moving < 0.5) || f.visible.Recall() < 0.5 {
			t.Errorf("%s: found ground %+v, objects %+v, %d switches, speed %g, visible boxes %+v", sensor, f.ground,
				f.segments, f.tracking.Switches, moving, f.visible)
		}
	}
	f, err := m.room(t.Context(), 1100)
	if err != nil {
		t.Fatal(err)
	}
	if f.ground.IoU() < 0.8 || f.segments.Recall() < 0.5 {
		t.Errorf("room: found floor %+v, objects %+v", f.ground, f.segments)
	}
}

// TestFalseText: classes are named by their number, the most frequent first.
func TestFalseText(t *testing.T) {
	want := "\n4 clusters are false. Most of their points belong to these classes. Clusters in objects are pieces of one, " +
		"or of several.\n\n| ground | car |\n|---|---|\n| 75.0 % | 25.0 % |\n"
	if got := falseText(map[string]int{simulate.Car.String(): 1, "ground": 3}); got != want {
		t.Errorf("found %q, want %q", got, want)
	}
}
