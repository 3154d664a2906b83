package formats

import (
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/internal/option"
)

// TestList: every format is complete, its name its own, and its documentation fits into a table.
func TestList(t *testing.T) {
	listed := map[string]bool{}
	for _, f := range All() {
		if listed[f.Name] || f.Name == "" {
			t.Errorf("found two formats named %q", f.Name)
		}
		listed[f.Name] = true
		if f.Detect == nil || f.Open == nil || f.Inspect == nil {
			t.Errorf("format %s: found no Detect, Open or Inspect", f.Name)
		}
		if text := f.Doc + f.Assumes + f.Refuses + f.Library + f.Tested; f.Doc == "" || strings.ContainsAny(text, "|\n") {
			t.Errorf("format %s: found documentation %q, want phrases for a table", f.Name, text)
		}
		for _, ext := range f.Extensions {
			if ext != strings.ToLower(ext) || !strings.Contains(ext, ".") {
				t.Errorf("format %s: found extension %q, want lower case and a dot", f.Name, ext)
			}
		}
	}
	if len(listed) < 40 {
		t.Errorf("found %d formats", len(listed))
	}
}

// TestNewOptions: the options of all readers are there once, and those of two calls are not the same memory.
func TestNewOptions(t *testing.T) {
	a, b := NewOptions(), NewOptions()
	fa, fb := option.Settings(&a), option.Settings(&b)
	for _, key := range []string{"max_file", "max_points", "depth_units", "fx", "part", "calibration", "min_track"} {
		if _, ok := option.Find(fa, key); !ok {
			t.Errorf("found no option %s", key)
		}
	}
	f, _ := option.Find(fa, "part")
	if err := f.Set("train"); err != nil {
		t.Fatal(err)
	}
	if g, _ := option.Find(fb, "part"); g.String() != "" {
		t.Errorf("another call's options: found part %q, want none", g)
	}
	c := a.Clone()
	if g, _ := option.Find(option.Settings(&c), "part"); g.String() != "train" {
		t.Errorf("a clone: found part %q, want train", g)
	}
	if err := f.Set("test"); err != nil {
		t.Fatal(err)
	}
	if g, _ := option.Find(option.Settings(&c), "part"); g.String() != "train" {
		t.Errorf("a clone after a change of the original: found part %q, want train", g)
	}
}
