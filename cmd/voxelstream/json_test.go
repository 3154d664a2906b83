package main

import (
	"encoding/json"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/app/apptest"
)

// TestJSONFields: scripts rely on these fields of the last line of --json.
func TestJSONFields(t *testing.T) {
	apptest.NeedHDF5(t)
	t.Chdir(t.TempDir())
	if err := os.WriteFile("c.xyz", []byte("0 0 0\n1 2 3\n2 1 0\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, code := run("generate", "--count", "24", "--test", "8", "--augment", "--out", "d.h5"); code != exitDone {
		t.Fatal(out)
	}
	for _, c := range []struct{ line, fields string }{
		{"inspect c.xyz", "file format kind count finite fields min max first time"},
		{"inspect d.h5", "file format kind rows shape labels"},
		{"predict c.xyz", "file item class score top_k"},
		{"objects c.xyz", "file frame objects ground_points points"},
		{"run d.h5", "volumes classified new repeated failed seconds per_second files dead_letters"},
		{"classify --once", "volumes classified new repeated failed seconds per_second files dead_letters"},
		{"reprocess d.h5 --out r", "rows classified failed skipped seconds rows_per_second files outputs"},
		{"train d.h5 --epochs 1 --out m.keras", "epochs history samples_per_second parameters model"},
		{"inspect m.keras", "file format kind layers parameters trainable"},
		{"evaluate d.h5", "rows accuracy loss per_class confusion ece"},
		{"model bench --time 1ms --batch 1", "batch mode samples_per_second latency_ms tier threads"},
	} {
		out, code := run(append(strings.Fields(c.line), "--json", "--quiet")...)
		lines := strings.Split(strings.TrimSpace(out), "\n")
		var last map[string]any
		if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil || code != exitDone {
			t.Errorf("%s: found exit code %d, %q and error %v", c.line, code, out, err)
			continue
		}
		for field := range strings.FieldsSeq(c.fields) {
			if _, ok := last[field]; !ok {
				t.Errorf("%s: found the fields %v, want %s", c.line, slices.Sorted(maps.Keys(last)), field)
			}
		}
	}
}
