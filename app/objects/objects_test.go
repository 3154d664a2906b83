package objects

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"image/color"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/parquet"
	"github.com/apache/arrow/go/v15/parquet/file"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/apptest"
	"github.com/voxelstream/voxelstream/classify"
	"github.com/voxelstream/voxelstream/dataset/scenes"
	"github.com/voxelstream/voxelstream/ingest"
)

// writeScan writes a scan of two cubes, at 5 m and at 9 m in front of the sensor.
func writeScan(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	for _, x := range []float64{9, 5} {
		for i := range 7 * 7 * 7 {
			fmt.Fprintf(&b, "%g %g %g\n", x+float64(i%7)*0.1, float64(i/7%7)*0.1-0.3, float64(i/49)*0.1)
		}
	}
	path := filepath.Join(dir, "scan.xyz")
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// find returns the frames of the files.
func find(t *testing.T, a *app.Env, paths ...string) (frames []*Frame) {
	t.Helper()
	if _, err := Find(t.Context(), a, paths, nil, func(f *Frame) error {
		frames = append(frames, f)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return frames
}

func TestFind(t *testing.T) {
	dir := t.TempDir()
	path := writeScan(t, dir)
	frames := find(t, apptest.New(t, "perception.scan", "euclidean-clusters"), path)
	if len(frames) != 1 || frames[0].Objects != 2 || frames[0].Points != 2*343 {
		t.Fatalf("found %+v, want one frame of 2 objects", frames)
	}
	for i, x := range []float64{5, 9} {
		o := frames[0].List[i]
		if o.Object != i+1 || o.Points != 343 || math.Abs(o.Distance-x) > 0.02 || math.Abs(o.Center[0]-x-0.3) > 0.01 {
			t.Errorf("found %+v, want object %d at %g m", o, i+1, x)
		}
		for k, side := range o.Size {
			if math.Abs(side-0.6) > 0.02 {
				t.Errorf("object %d: found %g along axis %d, want 0.6 m", i+1, side, k)
			}
		}
	}
}

// TestAxes: a cloud that is one object without ground, as that of a camera whose axes are others, is reported once.
func TestAxes(t *testing.T) {
	var b strings.Builder
	for i := range 40 * 40 {
		fmt.Fprintf(&b, "%g %g %g\n", float64(i%40)*0.02-0.4, float64(i/40)*0.02-0.4, 1+float64(i%7)*0.01)
	}
	path := filepath.Join(t.TempDir(), "camera.xyz")
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	for steps, want := range map[string]int{"ground-zones,euclidean-clusters": 1, "euclidean-clusters": 0} {
		a := apptest.New(t, "perception.scan", steps)
		var log strings.Builder
		a.Log = slog.New(slog.NewTextHandler(&log, nil))
		find(t, a, path)
		if n := strings.Count(log.String(), "z up"); n != want {
			t.Errorf("%s: found %d warnings about axes, want %d", steps, n, want)
		}
	}
}

// TestOutputs checks that each format holds both objects.
func TestOutputs(t *testing.T) {
	dir := t.TempDir()
	frames := find(t, apptest.New(t, "perception.scan", "euclidean-clusters"), writeScan(t, dir))
	read := func(name string) []byte {
		path := filepath.Join(dir, name)
		out, err := Create(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := out.Write(frames[0]); err != nil {
			t.Fatal(err)
		}
		if err := out.Commit(); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	rows, err := csv.NewReader(bytes.NewReader(read("o.csv"))).ReadAll()
	if err != nil || len(rows) != 3 || len(rows[0]) != len(columns()) || rows[2][3] != "2" {
		t.Errorf("CSV: found %q, %v", rows, err)
	}
	lines := bytes.Split(bytes.TrimSpace(read("o.jsonl")), []byte("\n"))
	var second Object
	if err := json.Unmarshal(lines[1], &second); err != nil || len(lines) != 3 || second.Object != 2 {
		t.Errorf("JSON lines: found %s, %v", lines, err)
	}
	ply := string(read("o.ply"))
	if !strings.Contains(ply, "element vertex 16\n") || !strings.Contains(ply, "element face 12\n") {
		t.Errorf("PLY: found %s", ply)
	}
	p, err := file.NewParquetReader(bytes.NewReader(read("o.parquet")))
	if err != nil {
		t.Fatal(err)
	}
	if n := p.NumRows(); n != 2 {
		t.Fatalf("Parquet: found %d rows, want 2", n)
	}
	for i, c := range columns() {
		column, err := p.RowGroup(0).Column(i)
		if err != nil {
			t.Fatal(err)
		}
		for row := range 2 {
			if got := parquetCell(t, column); got != rows[row+1][i] {
				t.Errorf("Parquet: column %s, row %d: found %q, want %q as in CSV", c.name, row, got, rows[row+1][i])
			}
		}
	}
	box := drawn(&frames[0].List[0])
	corner := box.Corners()[0]
	if want := fmt.Sprintf("end_header\n%.4f %.4f %.4f ", corner[0], corner[1], corner[2]); !strings.Contains(ply, want) {
		t.Errorf("PLY: found %.600s, want the corner %q", ply, want)
	}
	if _, err := Create(filepath.Join(dir, "o.xls")); !app.IsUsage(err) {
		t.Errorf("found %v, want a usage error", err)
	}
}

// parquetCell reads the next value of a column as text, which is empty if there is none.
func parquetCell(t *testing.T, column file.ColumnChunkReader) string {
	t.Helper()
	present := make([]int16, 1)
	var text string
	var n int64
	var err error
	switch c := column.(type) {
	case *file.Float64ColumnChunkReader:
		v := make([]float64, 1)
		n, _, err = c.ReadBatch(1, v, present, nil)
		text = strconv.FormatFloat(v[0], 'f', -1, 64)
	case *file.Int64ColumnChunkReader:
		v := make([]int64, 1)
		n, _, err = c.ReadBatch(1, v, present, nil)
		text = strconv.FormatInt(v[0], 10)
	case *file.ByteArrayColumnChunkReader:
		v := make([]parquet.ByteArray, 1)
		n, _, err = c.ReadBatch(1, v, present, nil)
		text = string(v[0])
	}
	if err != nil || n != 1 {
		t.Fatalf("found %d values, %v", n, err)
	}
	if present[0] == 0 {
		return ""
	}
	return text
}

// TestPicture checks that the picture shows both objects in colours of their own.
func TestPicture(t *testing.T) {
	frames := find(t, apptest.New(t, "perception.scan", "euclidean-clusters"), writeScan(t, t.TempDir()))
	p, err := Picture(t.Context(), frames[0])
	if err != nil {
		t.Fatal(err)
	}
	img := p.Image()
	seen := map[color.RGBA]bool{}
	for y := range img.Rect.Dy() {
		for x := range img.Rect.Dx() {
			seen[img.RGBAAt(x, y)] = true
		}
	}
	for i := range frames[0].List {
		if o := drawn(&frames[0].List[i]); !seen[o.Color()] {
			t.Errorf("object %d is not in the picture", i+1)
		}
	}
}

// TestWithoutSteps checks that steps that cannot find an object are refused.
func TestWithoutSteps(t *testing.T) {
	a := apptest.New(t, "perception.scan", "ground-zones")
	if _, err := Find(t.Context(), a, []string{writeScan(t, t.TempDir())}, nil, nil); !app.IsUsage(err) {
		t.Errorf("found %v, want a usage error", err)
	}
}

// TestUseFails checks that an error of the function that receives the frames is returned as it is.
func TestUseFails(t *testing.T) {
	_, err := Find(t.Context(), apptest.New(t), []string{writeScan(t, t.TempDir())}, nil,
		func(*Frame) error { return context.DeadlineExceeded })
	if err != context.DeadlineExceeded { //nolint:errorlint // not wrapped
		t.Errorf("found %v", err)
	}
}

// TestBuiltinModel checks the built-in model of objects on simulated scenes that it was not trained on.
func TestBuiltinModel(t *testing.T) {
	a := apptest.New(t)
	namer, err := NewNamer(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	defer namer.Close()
	right, all := 0, 0
	o := scenes.Options{Scenes: 4, Seed: 3000, Perception: a.Config.Perception.Options}
	if err := scenes.Generate(t.Context(), o, func(object *scenes.Object) error {
		v, err := namer.voxels.Volume(ingest.Sample{Data: object.Points})
		if err != nil {
			return err
		}
		c, err := namer.classifier.ProcessBatch(t.Context(), []classify.Item{{Volume: v}})
		if err != nil {
			return err
		}
		all++
		if c[0].Name == object.Class {
			right++
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d of %d", right, all)
	if all < 200 || float64(right) < 0.65*float64(all) {
		t.Errorf("found %d of %d right, want 65 %% of 200 or more", right, all)
	}
}
