//go:build unix

package integration

import (
	"bytes"
	"encoding/json"
	"image"
	"image/color"
	"image/png"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/doctor"
)

// document is a JSON object of the command line.
type document = map[string]any

// wantKeys wants keys of an object, and gives the object on.
func wantKeys(t *testing.T, o document, keys ...string) document {
	t.Helper()
	for _, k := range keys {
		if _, ok := o[k]; !ok {
			t.Errorf("found the keys %v, %q is missing", slices.Sorted(maps.Keys(o)), k)
		}
	}
	return o
}

// json runs a command with --json and wants one object.
func (w *world) json(args ...string) document {
	w.t.Helper()
	return one[document](w.t, w.do(exitDone, append(args, "--json")...).stdout.String())
}

// TestUsage: a wrong command line is exit code 2, and nothing is begun.
func TestUsage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, c := range []struct {
		args string
		says string
	}{
		{"run --frobnicate x", "frobnicate"},
		{"run", "missing INPUT"},
		{"frobnicate", "unknown command"},
		{"classify stray", "stray"},
		{"generate", "--out"},
		{"generate --out x.h5 --digits y", "--labels"},
		{"generate --out x.h5 --count -1", "-1"},
		{"train x.h5", "--out"},
		{"train x.h5 --out model.txt", ".txt"},
		{"train --out m.keras", "--from-topic"},
		{"evaluate x.h5 --report r.pdf", ".pdf"},
		{"model bench --mode walk", "walk"},
		{"model bench --batch 0", "--batch"},
		{"model predict", "--input"},
		{"run x --threads many", "threads"},
		{"run x --grid 16x", "16x"},
		{"run x --method magic", "magic"},
	} {
		p := w.do(exitUsage, strings.Fields(c.args)...)
		p.says(t, "voxelstream: ", c.says)
		if p.stdout.String() != "" {
			t.Errorf("%s: standard output: %s", c.args, p.stdout.String())
		}
	}
	// Volumes that the model cannot take are not sent to become dead letters.
	cloud := w.write("cloud.xyz", []byte("0 0 0\n1 2 1\n"))
	w.do(exitUsage, "run", cloud, "--grid", "12").says(t, "voxelize.grid", "12x12x12", "16x16x16")
	w.do(exitUsage, "run", cloud, "--colormap", "gray").says(t, "voxelize.colormap", "gray", "Oranges")
}

// TestConfigErrors: everything that is wrong with the configuration is reported at once, with key path, found and
// allowed.
func TestConfigErrors(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("bad.yaml", []byte("threds: 1\nkafka:\n  partitions: many\n  session_timeout: 5\npipeline:\n  exhausted: "+
		"explode\n"))
	w.write("good.yaml", []byte("threads: 1\nkafka:\n  session_timeout: 8s\n"))
	w.set("no_such_key", 1)
	w.set("train.epochs", "several")
	want := [][]string{
		{"threds", "did you mean threads"},
		{"kafka.partitions", `"many"`, "whole number"},
		{"kafka.session_timeout", `"5"`, "200ms"},
		{"pipeline.exhausted", `"explode"`, "stop, dead-letter"},
		{"VOXELSTREAM_NO_SUCH_KEY", "unknown"},
		{"train.epochs", `"several"`},
	}
	lint := w.do(exitUsage, "config", "lint", "bad.yaml", "--json")
	r := one[struct {
		File     string
		Problems []string
	}](t, lint.stdout.String())
	if r.File != "bad.yaml" || len(r.Problems) != len(want) {
		t.Errorf("found %d problems, want %d: %q", len(r.Problems), len(want), r.Problems)
	}
	for _, parts := range want {
		if !slices.ContainsFunc(r.Problems, func(p string) bool {
			return !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(p, part) })
		}) {
			t.Errorf("no problem says %q: %q", parts, r.Problems)
		}
	}
	// Every command refuses such a configuration, with the same report.
	for _, args := range [][]string{{"run", "x"}, {"classify"}, {"broker"}, {"version"}} {
		p := w.do(exitUsage, append(args, "--config", "bad.yaml")...)
		for _, parts := range want {
			p.says(t, parts...)
		}
	}
	w.env = w.env[:len(w.env)-2]
	if r := w.json("config", "lint", "good.yaml"); len(r["problems"].([]any)) != 0 {
		t.Errorf("problems of a good file: %v", r)
	}
	if p := w.do(exitUsage, "config", "lint", "absent.yaml"); !strings.Contains(p.stdout.String(), "absent.yaml") {
		t.Errorf("config lint of an absent file says %s", p.stdout.String())
	}
}

// TestPrecedence: defaults, file, environment, flag; print says where each value came from.
func TestPrecedence(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("c.yaml", []byte("seed: 5\nthreads: 3\nlog:\n  level: warn\n"))
	w.set("threads", 2)
	w.set("seed", 6)
	settings := one[[]struct {
		Key    string
		Value  any
		Origin string
	}](t, w.do(exitDone, "config", "print", "--json", "--config", "c.yaml", "--seed", "7").stdout.String())
	want := map[string][2]string{
		"seed": {"7", "--seed"}, "threads": {"2", "VOXELSTREAM_THREADS"},
		"log.level": {`"warn"`, "c.yaml"}, "log.format": {`"text"`, "default"},
	}
	for _, s := range settings {
		if x, ok := want[s.Key]; ok {
			if v := string(must(json.Marshal(s.Value))(t)); v != x[0] || !strings.Contains(s.Origin, x[1]) {
				t.Errorf("%s: %s from %s, want %v", s.Key, v, s.Origin, x)
			}
			delete(want, s.Key)
		}
	}
	if len(want) > 0 {
		t.Errorf("config print does not show %v", want)
	}
}

// TestInspect: a line per file, by what the files hold; one that cannot be read does not stop the others.
func TestInspect(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("cloud.xyz", []byte("0 1 2\n3 -4 5\n1.5 0 8\n"))
	w.write("grids.npy", npyOf([]int{7, 16, 16, 16}, make([]float32, 7*4096)))
	depth := image.NewGray16(image.Rect(0, 0, 6, 4))
	for i, mm := range []uint16{0, 1000, 2500, 4000} {
		depth.SetGray16(i, 1, color.Gray16{Y: mm})
	}
	var b bytes.Buffer
	if err := png.Encode(&b, depth); err != nil {
		t.Fatal(err)
	}
	w.write("depth.png", b.Bytes())
	w.write("noise.bin", []byte("neither this nor that"))
	model := must(smallModel())(t)

	p := w.do(exitFailed, "inspect", "--json", "cloud.xyz", "noise.bin", "grids.npy", "absent", "depth.png", model)
	all := jsonLines[document](t, p.stdout.String())
	if len(all) != 6 {
		t.Fatalf("found %d lines, want 6: %s", len(all), p.stdout.String())
	}
	for i, want := range []struct{ file, kind, rest string }{
		{"cloud.xyz", "points", `{"count":3,"finite":3,"fields":["x","y","z"],"min":[0,-4,2],"max":[3,1,8],"first":[0,1,2],"time":null}`},
		{"noise.bin", "", ""},
		{"grids.npy", "grid", `{"rows":7,"shape":[16,16,16],"labels":{}}`},
		{"absent", "", ""},
		{"depth.png", "depth", `{"width":6,"height":4,"unit":"mm","valid":3,"min_m":1,"max_m":4}`},
		{model, "model", `{"format":"keras","parameters":258058,"trainable":257866}`},
	} {
		o := all[i]
		if o["file"] != want.file {
			t.Errorf("line %d is about %v, want %s", i+1, o["file"], want.file)
		}
		if want.kind == "" {
			if e, ok := o["error"].(string); !ok || e == "" || len(o) != 2 {
				t.Errorf("%s: %v, want file and error", want.file, o)
			}
			continue
		}
		wantKeys(t, o, "format")
		if o["kind"] != want.kind {
			t.Errorf("%s: kind %v, want %s", want.file, o["kind"], want.kind)
		}
		for k, v := range one[document](t, want.rest) {
			if got, wanted := string(must(json.Marshal(o[k]))(t)), string(must(json.Marshal(v))(t)); got != wanted {
				t.Errorf("%s: %s is %s, want %s", want.file, k, got, wanted)
			}
		}
	}
	wantKeys(t, all[5], "layers")
	p.says(t, "2 of 6 files")
}

// TestTrainAndEvaluate: the JSON that scripts rely on, from an archive to a model and its evaluation.
func TestTrainAndEvaluate(t *testing.T) {
	t.Parallel()
	needHDF5(t)
	w := newWorld(t)
	g := wantKeys(t, w.json("generate", "--count", "30", "--test", "10", "--augment", "--out", "d.h5", "--seed",
		"3"), "file", "layout", "grid", "seconds")
	if g["train"] != 40.0 || g["test"] != 20.0 || g["seed"] != 3.0 {
		t.Errorf("generate: %v", g)
	}
	train := []string{
		"train", "d.h5", "--epochs", "3", "--batch-size", "8", "--validation-split", "0.25", "--seed",
		"3", "--history", "h.csv", "--plot", "p.png",
	}
	r := wantKeys(t, w.json(append(train, "--out", "m.keras")...), "samples_per_second", "parameters", "model")
	if r["epochs"] != 3.0 {
		t.Errorf("train: epochs %v, want 3", r["epochs"])
	}
	h := wantKeys(t, r["history"].(document), "loss", "accuracy", "val_loss", "val_accuracy")
	for k, v := range h {
		if n := len(v.([]any)); n != 3 {
			t.Errorf("train: %s has %d values, want 3", k, n)
		}
	}
	if n := lines(w.path("h.csv")); n != 4 {
		t.Errorf("history has %d lines, want 4", n)
	}
	// The same seed gives the same numbers, also with another number of threads.
	again := w.json(append(train, "--out", "again.keras", "--threads", "1", "--force")...)
	if a, b := must(json.Marshal(h))(t), must(json.Marshal(again["history"]))(t); !bytes.Equal(a, b) {
		t.Errorf("the history is not repeated with 1 thread:\n%s\n%s", a, b)
	}

	e := wantKeys(t, w.json("evaluate", "d.h5", "--model", "m.keras", "--report", "r.json"), "rows", "accuracy",
		"loss", "per_class", "confusion", "ece")
	sum := 0.0
	for _, row := range e["confusion"].([]any) {
		for _, n := range row.([]any) {
			sum += n.(float64)
		}
	}
	if e["rows"] != 20.0 || sum != 20 || len(e["per_class"].([]any)) != 10 {
		t.Errorf("evaluate: %v", e)
	}

	for _, mode := range []string{"infer", "train"} {
		for _, input := range []string{"palette", "dense"} {
			b := wantKeys(t, w.json("model", "bench", "m.keras", "--batch", "4", "--mode", mode, "--input", input,
				"--time", "50ms", "--threads", "1"), "tier")
			wantKeys(t, b["latency_ms"].(document), "p50", "p99")
			if b["batch"] != 4.0 || b["mode"] != mode || b["threads"] != 1.0 ||
				!(b["samples_per_second"].(float64) > 0) {
				t.Errorf("model bench: %v", b)
			}
		}
	}

	// The model in another format is the same network.
	w.json("model", "convert", "m.keras", "m.safetensors")
	if a := w.json("evaluate", "d.h5", "--model", "m.safetensors"); a["loss"] != e["loss"] ||
		a["accuracy"] != e["accuracy"] {
		t.Errorf("evaluate: the converted model gives %v and %v, want %v and %v", a["loss"], a["accuracy"],
			e["loss"], e["accuracy"])
	}
	if v := w.json("model", "verify", "m.keras"); v["max_difference_threads"] != 0.0 ||
		!(v["max_difference_passes"].(float64) < 1e-4) {
		t.Errorf("model verify: %v", v)
	}
	if s := w.json("model", "summary", "m.keras"); s["parameters"] != r["parameters"] {
		t.Errorf("model summary: %v parameters, train says %v", s["parameters"], r["parameters"])
	}
}

// TestConvertAndVoxelize: a cloud in another format keeps its points, and voxel grids go to a file.
func TestConvertAndVoxelize(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("cloud.xyz", []byte("0 1 2\n3 -4 5\n1.5 0 8\n"))
	points := func(file string) string {
		o := w.json("inspect", file)
		return string(must(json.Marshal([]any{o["count"], o["min"], o["max"], o["first"]}))(t))
	}
	want := points("cloud.xyz")
	for _, name := range []string{"cloud.pcd", "cloud.ply"} {
		w.do(exitDone, "convert", "cloud.xyz", name)
		if got := points(name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	for _, name := range []string{"grid.npy", "grid.npz"} {
		if v := w.json("voxelize", "cloud.xyz", "--grid", "8", "--out", name); v["volumes"] != 1.0 {
			t.Errorf("voxelize: %v", v)
		}
		if o := w.json("inspect", name); o["kind"] != "grid" || o["rows"] != 1.0 {
			t.Errorf("%s: %v", name, o)
		}
	}
}

// TestVersion: what a report of a problem needs.
func TestVersion(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	v := wantKeys(t, w.json("version"), "version", "commit", "go", "hdf5", "tier")
	if v["version"] != app.Version {
		t.Errorf("version %v, want %s", v["version"], app.Version)
	}
	if !strings.Contains(w.do(exitDone, "version").stdout.String(), app.Version) {
		t.Error("version says something else without --json")
	}
	for _, c := range one[[]doctor.Check](t, w.do(exitDone, "doctor", "--json").stdout.String()) {
		if c.Name == "" || c.Found == "" || !c.OK {
			t.Errorf("doctor: %+v", c)
		}
	}
}

// TestQuantize writes a model of low precision, which every command takes for one of its own, or refuses to where it
// loses too much.
func TestQuantize(t *testing.T) {
	t.Parallel()
	needHDF5(t)
	w := newWorld(t)
	w.json("generate", "--count", "40", "--augment", "--out", "d.h5", "--seed", "4")
	w.json("train", "d.h5", "--epochs", "6", "--batch-size", "8", "--validation-split", "0", "--out", "m.keras")
	e := w.json("evaluate", "d.h5", "--model", "m.keras")
	for _, kind := range []string{"int8", "bfloat16"} {
		q := wantKeys(t, w.json("model", "quantize", "m.keras", "d.h5", "--precision", kind, "--max-drop", "5",
			"--out", kind+".keras"), "agreement", "largest_difference", "drop_points")
		if q["kind"] != kind || q["calibration_rows"] != 16.0 || q["rows"] != 64.0 || q["model"] != kind+".keras" {
			t.Errorf("quantize: %v", q)
		}
		low := w.json("evaluate", "d.h5", "--model", kind+".keras")
		if low["loss"] == e["loss"] || low["digest"] == e["digest"] ||
			low["accuracy"].(float64) < e["accuracy"].(float64)-.05 {
			t.Errorf("evaluate in %s: loss %v and accuracy %v of version %v, want other ones than %v, %v, "+
				"%v, but near", kind, low["loss"], low["accuracy"], low["digest"], e["loss"], e["accuracy"],
				e["digest"])
		}
		if s := w.json("model", "summary", kind+".keras"); s["precision"] != kind {
			t.Errorf("model summary: precision %v, want %s", s["precision"], kind)
		}
		if v := w.json("model", "verify", kind+".keras"); v["max_difference_threads"] != 0.0 {
			t.Errorf("model verify: %v", v)
		}
	}
	// A limit that no model keeps.
	p := w.do(1, "model", "quantize", "m.keras", "d.h5", "--max-drop=-101", "--out", "refused.keras")
	p.says(t, "not written")
	if _, err := os.Stat(w.path("refused.keras")); err == nil {
		t.Error("the refused model was written")
	}
	w.json("model", "quantize", "m.keras", "d.h5", "--max-drop=-101", "--force", "--out", "forced.keras")
	w.do(2, "model", "quantize", "m.keras", "d.h5", "--precision", "int4").says(t, "int4", "int8")
}
