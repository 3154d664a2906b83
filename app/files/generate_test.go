package files

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/apptest"
)

func TestRecord(t *testing.T) {
	a, dir := apptest.New(t), t.TempDir()
	a.Force = false
	out := filepath.Join(dir, "scans")
	for _, c := range []struct {
		o    RecordOptions
		want string // part of the error
	}{
		{RecordOptions{Scene: "street", Sensor: "vlp16", Count: 2, Out: out}, ""},
		{RecordOptions{Scene: "street", Sensor: "vlp16", Count: 2, Out: out}, "--force"},
		{RecordOptions{Scene: "sphere", Out: dir}, "has no objects"},
		{RecordOptions{Scene: "moon", Out: dir}, "found \"moon\""},
		{RecordOptions{Scene: "street"}, "--out"},
		{RecordOptions{Scene: "street", Out: dir, Sensor: "radar"}, "hdl64"},
		{RecordOptions{Scene: "street", Out: dir, Count: -1}, "found -1"},
	} {
		s, err := Record(t.Context(), a, c.o)
		if c.want == "" {
			if err != nil || s.Scans != 2 || s.Points < 20000 || s.Objects < 20 {
				t.Errorf("%+v: found %+v, %v", c.o, s, err)
			}
		} else if err == nil || !strings.Contains(err.Error(), c.want) || !app.IsUsage(err) {
			t.Errorf("%+v: found %v, want an error of usage with %q", c.o, err, c.want)
		}
	}
}
