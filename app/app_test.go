package app

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/voxelstream/voxelstream/app/config"
	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/internal/h5"
	"github.com/voxelstream/voxelstream/internal/screen"
	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/train"
	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/sinks"
)

// newApp makes an App with JSON results in the buffer; overrides are key, value, key, value.
func newApp(t *testing.T, overrides ...string) (*App, *bytes.Buffer) {
	t.Helper()
	var os []config.Override
	for i := 0; i+1 < len(overrides); i += 2 {
		os = append(os, config.Override{Key: overrides[i], Flag: "test", Value: overrides[i+1]})
	}
	l, err := config.Load("", nil, append(os, config.Override{Key: "log.level", Flag: "test", Value: "error"}))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	return New(l, &out, true, screen.Plain(t.Output())), &out
}

func result[T any](t *testing.T, out *bytes.Buffer) T {
	t.Helper()
	var v T
	if err := json.Unmarshal(out.Bytes(), &v); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	out.Reset()
	return v
}

func needHDF5(t *testing.T) {
	t.Helper()
	if h5.LibraryVersion() == "" {
		t.Skip("built without HDF5")
	}
}

// TestTrainEvaluate goes the way of the tutorial in small: generate, train, evaluate, and the same again gives the same bytes.
func TestTrainEvaluate(t *testing.T) {
	needHDF5(t)
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	a, out := newApp(t, "train.epochs", "2", "train.batch_size", "16", "seed", "3")
	if err := a.Generate(t.Context(), GenerateOptions{Count: 40, Test: 10, Augment: true, Grid: 16, Layout: "vectors", Out: at("d.h5")}); err != nil {
		t.Fatal(err)
	}
	if g := result[GenerateSummary](t, out); g.Train != 60 || g.Test != 20 {
		t.Errorf("found %+v", g)
	}
	o := TrainOptions{Out: at("m.safetensors"), History: at("h.csv"), Plot: at("h.png"), Classes: 10}
	if err := a.Train(t.Context(), []string{at("d.h5")}, o); err != nil {
		t.Fatal(err)
	}
	r := result[TrainResult](t, out)
	if r.Epochs != 2 || r.Rows != 60 || r.Parameters != 258058 || len(r.History.ValLoss) != 2 || r.SamplesPerSecond <= 0 {
		t.Errorf("found %+v", r)
	}
	checkHistory(t, at("h.csv"), at("h.png"), r.History)

	a.Config.Model.Path = at("m.safetensors")
	for split, rows := range map[string]int{"": 20, "test": 20, "train": 60, "all": 80} {
		if err := a.Evaluate(t.Context(), []string{at("d.h5")}, split, at("r.html")); err != nil {
			t.Fatal(err)
		}
		e := result[EvaluateResult](t, out)
		if e.Rows != rows || e.Upright == nil || e.Upright.Rows != rows/2 || len(e.Confusion) != 10 {
			t.Errorf("split %q: found %+v", split, e)
		}
		right := 0.5 * (e.Upright.Accuracy + e.Rotated.Accuracy)
		if d := right - e.Accuracy; d > 1e-9 || d < -1e-9 {
			t.Errorf("split %q: upright and rotated make %g, all %g", split, right, e.Accuracy)
		}
	}
	if page, err := os.ReadFile(at("r.html")); err != nil || !bytes.Contains(page, []byte("<caption>Confusion")) {
		t.Error("report:", err)
	}

	first, err := os.ReadFile(at("m.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Train(t.Context(), []string{at("d.h5")}, o); err != nil {
		t.Fatal(err)
	}
	if again, err := os.ReadFile(at("m.safetensors")); err != nil || !bytes.Equal(first, again) {
		t.Error("the same training gave another model", err)
	}
}

func checkHistory(t *testing.T, file, plot string, h *train.History) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // opened for reading
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil || len(rows) != 1+len(h.Loss) || strings.Join(rows[0], ",") != "epoch,accuracy,learning_rate,loss,val_accuracy,val_loss" {
		t.Fatalf("found %v, %v", rows, err)
	}
	if want := number(h.ValLoss[1]); rows[2][5] != want {
		t.Errorf("found val_loss %s, want %s", rows[2][4], want)
	}
	p, err := os.Open(plot)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close() //nolint:errcheck // opened for reading
	img, err := png.Decode(p)
	if err != nil || img.Bounds().Dx() < 800 {
		t.Error("plot:", err)
	}
}

// TestBuiltin: the embedded model loads, is sound, and knows drawn digits that it was not trained on.
func TestBuiltin(t *testing.T) {
	needHDF5(t)
	a, out := newApp(t, "seed", "20261")
	if err := a.ModelVerify(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	v := result[VerifyResult](t, out)
	if v.Name != builtinModel || len(v.Digest) != 64 || v.Version != v.Digest[:8] {
		t.Errorf("found %+v", v)
	}
	file := filepath.Join(t.TempDir(), "d.h5")
	if err := a.Generate(t.Context(), GenerateOptions{Count: 100, Augment: true, Grid: 16, Layout: "vectors", Out: file}); err != nil {
		t.Fatal(err)
	}
	out.Reset()
	if err := a.Evaluate(t.Context(), []string{file}, "", ""); err != nil {
		t.Fatal(err)
	}
	if e := result[EvaluateResult](t, out); e.Upright.Accuracy < 0.85 || e.Rotated.Accuracy < 0.4 {
		t.Errorf("found accuracy %g upright, %g rotated", e.Upright.Accuracy, e.Rotated.Accuracy)
	}
}

func TestModelFiles(t *testing.T) {
	dir := t.TempDir()
	a, out := newApp(t)
	copied := filepath.Join(dir, "copy.safetensors")
	data, err := builtin.ReadFile("builtin/digits.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(copied, data, 0o600); err != nil {
		t.Fatal(err)
	}
	again := filepath.Join(dir, "again.safetensors")
	if err := a.ModelConvert(t.Context(), copied, again); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(again); err != nil || !bytes.Equal(b, data) {
		t.Error("a model that is read and written is another one", err)
	}
	out.Reset()
	if err := a.Inspect(t.Context(), []string{copied, filepath.Join(dir, "missing")}, ""); err == nil {
		t.Error("found no error for a missing file")
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	for i, want := range [][]string{{`"kind":"model"`, `"format":"safetensors"`, `"parameters":258058`, `"trainable":257866`, `"layers":12`}, {`"error":`}} {
		for _, w := range want {
			if !strings.Contains(lines[i], w) {
				t.Errorf("found %s, want %s", lines[i], w)
			}
		}
	}
}

func TestPredictKeepsRows(t *testing.T) {
	dir := t.TempDir()
	in, res := filepath.Join(dir, "x.npy"), filepath.Join(dir, "y.npy")
	a, _ := newApp(t)
	const rows = 70 // more than a batch
	x := make([]float32, rows*16*16*16*3)
	for i := range x {
		x[i] = float32(i%257) / 257
	}
	if err := writeTo(in, func(w io.Writer) error { return writeNPY(w, []int{rows, 16, 16, 16, 3}, x) }); err != nil {
		t.Fatal(err)
	}
	if err := a.ModelPredict(t.Context(), "", in, res); err != nil {
		t.Fatal(err)
	}
	n, y, err := readNPY(res, nn.Shape{10})
	if err != nil || n != rows {
		t.Fatal(n, err)
	}
	for r := range rows {
		sum := float32(0)
		for _, p := range y[10*r : 10*r+10] {
			sum += p
		}
		if sum < 0.999 || sum > 1.001 {
			t.Fatalf("row %d: found the sum %g", r, sum)
		}
	}
	if _, _, err := readNPY(in, nn.Shape{16, 16, 16, 1}); err == nil || !strings.Contains(err.Error(), "want (N, 16, 16, 16, 1)") {
		t.Errorf("found %v for another shape", err)
	}
}

func TestNPYDamage(t *testing.T) {
	dir := t.TempDir()
	var b bytes.Buffer
	if err := writeNPY(&b, []int{4, 3}, make([]float32, 12)); err != nil {
		t.Fatal(err)
	}
	huge := bytes.Replace(b.Bytes(), []byte("(4, 3)"), []byte("(9999999999, 3)"), 1)
	for n := range b.Len() {
		path := filepath.Join(dir, "x.npy")
		if err := os.WriteFile(path, b.Bytes()[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := readNPY(path, nn.Shape{3}); err == nil {
			t.Fatalf("found no error at length %d of %d", n, b.Len())
		}
	}
	path := filepath.Join(dir, "huge.npy")
	if err := os.WriteFile(path, huge, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := readNPY(path, nn.Shape{3}); err == nil {
		t.Error("found no error for a shape larger than the file")
	}
}

func TestInPairs(t *testing.T) {
	pairs := make([]int32, 40)
	for i := range pairs {
		pairs[i] = int32(i / 2 % 10)
	}
	odd := slices.Clone(pairs)
	odd[7]++
	for name, c := range map[string]struct {
		labels []int32
		want   bool
	}{
		"pairs": {pairs, true}, "one pair broken": {odd, false}, "an odd number": {pairs[:39], false}, "too few": {pairs[:10], false},
		"one class": {make([]int32, 40), false},
	} {
		if got := inPairs(c.labels); got != c.want {
			t.Errorf("%s: found %t", name, got)
		}
	}
}

func TestVoxelizeAndConvert(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	var points strings.Builder
	for i := range 500 {
		fmt.Fprintf(&points, "%d %d %d\n", i%10, i/10%10, i/100)
	}
	if err := os.WriteFile(at("c.xyz"), []byte(points.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	a, out := newApp(t, "voxelize.method", "occupancy", "voxelize.edge", "1", "voxelize.grid", "12")
	for _, name := range []string{"c.npy", "c.npz", "c.arrow", "c.binvox"} {
		if err := a.Voxelize(t.Context(), at("c.xyz"), at(name), "density"); err != nil {
			t.Fatal(name, err)
		}
		if s := result[VoxelizeSummary](t, out); s.Volumes != 1 || s.Failed != 0 {
			t.Errorf("%s: found %+v", name, s)
		}
	}
	if err := a.Inspect(t.Context(), []string{at("c.npy")}, at("c.png")); err != nil {
		t.Fatal(err)
	}
	if d := result[ingest.Grids](t, out); d.Rows != 1 || !slices.Equal(d.Shape, []int{12, 12, 12}) {
		t.Errorf("found %+v", d)
	}
	for _, name := range []string{"c.pcd", "c.ply"} {
		if err := a.Convert(t.Context(), at("c.xyz"), at(name)); err != nil {
			t.Fatal(name, err)
		}
		out.Reset()
		if err := a.Inspect(t.Context(), []string{at(name)}, at("c.png")); err != nil {
			t.Fatal(err)
		}
		if p := result[ingest.Points](t, out); p.Count != 500 || *p.Max != [3]float64{9, 9, 4} {
			t.Errorf("%s: found %+v", name, p)
		}
	}
	if err := a.Voxelize(t.Context(), at("c.xyz"), at("c.txt"), "density"); err == nil {
		t.Error("found no error for an unknown extension")
	}
	if f, err := os.Open(at("c.png")); err != nil {
		t.Error(err)
	} else if _, err := png.Decode(f); err != nil {
		t.Error(err)
	}
}

func TestBench(t *testing.T) {
	a, out := newApp(t)
	for _, mode := range []string{"infer", "train"} {
		for _, input := range []string{"palette", "dense"} {
			o := BenchOptions{Batch: 8, Mode: mode, Input: input, Lasting: 20 * time.Millisecond, Without: []string{"winograd", "palette"}}
			if err := a.ModelBench(t.Context(), "", o); err != nil {
				t.Fatal(mode, input, err)
			}
			if r := result[BenchResult](t, out); r.Steps < 1 || r.PerSecond <= 0 || r.LatencyMS.P99 < r.LatencyMS.P50 || r.Tier == "" {
				t.Errorf("%s %s: found %+v", mode, input, r)
			}
		}
	}
	err := a.ModelBench(t.Context(), "", BenchOptions{Batch: 8, Mode: "infer", Input: "dense", Without: []string{"winograd", "nothing"}})
	if err == nil || !strings.Contains(err.Error(), `--without: got optimisation pass "nothing", want all or one of drop-identity, `) {
		t.Errorf("a pass that does not exist: found error %v", err)
	}
}

func TestSummaryText(t *testing.T) {
	label := int32(1)
	tally := sinks.NewTally()
	tally.Add([]record.Classification{{EventID: "s/0", Class: 1, Score: 0.5, Label: &label}, {EventID: "s/1", Class: 2, Score: 0.5, Label: &label}})
	total := tally.Total()
	s := &Summary{Inputs: 1, Volumes: 2, Classified: 2, Labelled: 2, Correct: 1, Accuracy: accuracy(total), Classes: []ClassCount{{Class: 1, Volumes: 2, Correct: 1, Accuracy: accuracy(total), MeanScore: 0.5}}}
	var b bytes.Buffer
	s.text(&b)
	for _, want := range []string{"50.00 % (1 of 2)", "class  volumes  correct  accuracy  mean score\n1      2        1        50.0 %    0.500"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("found %s, want %q", &b, want)
		}
	}
}

func TestExitCode(t *testing.T) {
	for _, c := range []struct {
		err  error
		want int
	}{
		{nil, 0}, {errors.New("x"), 1}, {errInterrupted, 1}, {Usage(errors.New("x")), 2}, {&config.Error{}, 2}, {fmt.Errorf("x: %w", ErrDeadLetters), 3},
	} {
		if got := ExitCode(c.err); got != c.want {
			t.Errorf("%v: found %d, want %d", c.err, got, c.want)
		}
	}
}

func FuzzParseNPY(f *testing.F) {
	var b bytes.Buffer
	if err := writeNPY(&b, []int{2, 3}, []float32{1, 2, 3, 4, 5, 6}); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add([]byte("\x93NUMPY\x02\x00\xff\xff\xff\xff{"))
	f.Fuzz(func(t *testing.T, data []byte) {
		rows, x, err := parseNPY(data, nn.Shape{3})
		if err == nil && (len(x) != 3*rows || len(x) > len(data)) {
			t.Errorf("found %d values of %d rows in %d bytes", len(x), rows, len(data))
		}
	})
}
