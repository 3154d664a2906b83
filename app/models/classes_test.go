package models

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/apptest"
)

const digitNames = "zero,one,two,three,four,five,six,seven,eight,nine"

// TestLabels checks that names are written into every format and read back, and that nothing else changes.
func TestLabels(t *testing.T) {
	apptest.NeedHDF5(t)
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	data, err := builtin.ReadFile("builtin/digits.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	list := strings.Split(digitNames, ",")
	for name, text := range map[string]string{
		"m.safetensors": string(data), "lines.txt": strings.Join(list, "\n") + "\n",
		"list.json": `["` + strings.Join(list, `","`) + `"]`,
	} {
		if err := os.WriteFile(at(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	a := apptest.New(t)
	for extension, names := range map[string]string{
		".keras": at("lines.txt"), ".h5": at("list.json"), ".onnx": digitNames, ".safetensors": at("lines.txt"),
	} {
		in, out := at("in"+extension), at("out"+extension)
		if _, err := Convert(t.Context(), a, at("m.safetensors"), in); err != nil {
			t.Fatal(err)
		}
		before, err := SetLabels(t.Context(), a, in, "", "")
		if err != nil || before.Out != "" {
			t.Fatalf("%s: found %+v, %v", extension, before, err)
		}
		r, err := SetLabels(t.Context(), a, in, names, out)
		if err != nil || !slices.Equal(r.Classes, list) || r.Out != out || r.Digest == before.Digest {
			t.Errorf("%s: found %+v, %v", extension, r, err)
			continue
		}
		if after, err := SetLabels(t.Context(), a, in, "", ""); err != nil || after.Digest != before.Digest {
			t.Errorf("%s: the model itself was changed (%v)", extension, err)
		}
		s, err := Summarize(t.Context(), a, out, "")
		if err != nil || !slices.Equal(s.Classes, list) || s.Digest != r.Digest {
			t.Errorf("%s: found %+v, %v", extension, s, err)
		}
		if _, err := SetLabels(t.Context(), a, out, names, ""); err != nil {
			t.Errorf("%s in place: %v", extension, err)
		}
	}
	for names, want := range map[string]string{
		"a,b":               "found 2 class names, want 10",
		digitNames + ",one": `found the name "one", which is that of class 1`,
		digitNames + ",":    "empty name",
		at("none.txt"):      "no such file",
		at("m.safetensors"): "class",
	} {
		if r, err := SetLabels(t.Context(), a, at("m.safetensors"), names, at("never.safetensors")); err == nil ||
			!strings.Contains(err.Error(), want) || !app.IsUsage(err) {
			t.Errorf("%s: found %+v, %v, want %q", names, r, err, want)
		}
	}
	if _, err := os.Stat(at("never.safetensors")); err == nil {
		t.Error("refused names were written")
	}
	m, err := Configured(t.Context(), apptest.New(t, "model.classes", digitNames))
	if err != nil || m.ClassName(3) != "three" {
		t.Errorf("found %v, want the configured names", err)
	}
}
