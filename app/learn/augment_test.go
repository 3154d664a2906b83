package learn

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/apptest"
	"github.com/voxelstream/voxelstream/app/files"
	"github.com/voxelstream/voxelstream/augment"
	"github.com/voxelstream/voxelstream/classify"
	"github.com/voxelstream/voxelstream/dataset/mnist3d"
	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/nn/format"
	"github.com/voxelstream/voxelstream/nn/train"
	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/voxelize"
)

// archive generates an archive of drawn digits.
func archive(t *testing.T, path, layout string, count int) string {
	t.Helper()
	apptest.NeedHDF5(t)
	g := files.GenerateOptions{Count: count, Grid: 16, Layout: layout, Out: path}
	if _, err := files.Generate(t.Context(), apptest.New(t), g); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestTrainAugmented trains on augmented points with several numbers of threads, with points in memory and in a file,
// and with a break: all models are the same, and say how they were augmented.
func TestTrainAugmented(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	data := archive(t, at("clouds.h5"), "clouds", 30)
	fit := func(ctx context.Context, model, recipe, threads, memory string, progress app.Progress) error {
		a := apptest.New(t, "train.epochs", "2", "train.batch_size", "8", "train.augment", recipe, "threads", threads,
			"train.memory_limit", memory, "seed", "4", "train.validation_split", "0.2")
		a.Progress = progress
		o := TrainOptions{Out: at(model), History: at(model + ".csv"), Resume: strings.HasPrefix(model, "broken")}
		_, err := Train(ctx, a, []string{data}, o)
		return err
	}
	read := func(model string) []byte {
		b, err := os.ReadFile(at(model))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	const recipe = "rotate:axis=x;jitter;dropout;mixup:probability=0.5"
	for model, how := range map[string][3]string{
		"one.safetensors": {recipe, "1", "1GiB"}, "file.safetensors": {recipe, "2", "4MiB"},
		"plain.safetensors": {"", "2", "1GiB"},
	} {
		if err := fit(t.Context(), model, how[0], how[1], how[2], nil); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(read("one.safetensors"), read("file.safetensors")) {
		t.Error("points in a file, or more threads, give another model")
	}
	if bytes.Equal(read("one.safetensors"), read("plain.safetensors")) {
		t.Error("the augmentation has no effect")
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if err := fit(ctx, "broken.safetensors", recipe, "2", "1GiB", stopper{cancel}); !errors.Is(err, app.ErrInterrupted) {
		t.Fatalf("found %v, want an interrupt after the first epoch", err)
	}
	if err := fit(t.Context(), "broken.safetensors", "rotate", "2", "1GiB", nil); err == nil ||
		!strings.Contains(err.Error(), "augmentation: the checkpoint has points: rotate:axis=x,") {
		t.Errorf("found %v, want a refusal to resume with another augmentation", err)
	}
	if err := fit(t.Context(), "broken.safetensors", recipe, "3", "1GiB", nil); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(read("one.safetensors"), read("broken.safetensors")) {
		t.Error("a resumed training gives another model")
	}

	want := "points: rotate:axis=x,degrees=180,about=middle,probability=1;jitter:sigma=0.01,probability=1;" +
		"dropout:most=0.5,probability=1;mixup:alpha=0.2,probability=0.5"
	m, err := format.Load(t.Context(), at("one.safetensors"))
	if err != nil || m.Augmentation != want {
		t.Errorf("found the augmentation %q, %v, want %q", m.Augmentation, err, want)
	}
	rows, err := csv.NewReader(bytes.NewReader(read("one.safetensors.csv"))).ReadAll()
	if err != nil || len(rows) != 3 || rows[0][6] != "augmentation" || rows[2][6] != want {
		t.Errorf("found the history %q, %v", rows, err)
	}
}

// TestAugmentRefuses checks what is said about augmentations that cannot be applied.
func TestAugmentRefuses(t *testing.T) {
	dir := t.TempDir()
	data := archive(t, filepath.Join(dir, "grids.h5"), "vectors", 10)
	a := apptest.New(t, "train.augment", "mirror,jitter")
	_, err := Train(t.Context(), a, []string{data}, TrainOptions{Out: filepath.Join(dir, "m.keras")})
	if !app.IsUsage(err) || !strings.Contains(err.Error(), "train.augment: jitter: found voxel grids, want points") {
		t.Errorf("found %v", err)
	}
	o := TrainOptions{Out: filepath.Join(dir, "m.keras"), FromTopic: true, Follow: true, Classes: 2}
	_, err = Train(t.Context(), a, nil, o)
	if !app.IsUsage(err) || !strings.Contains(err.Error(), "--follow reads each volume once") {
		t.Errorf("found %v", err)
	}
}

// readAugmented reads a dataset with an augmentation.
func readAugmented(t *testing.T, path, recipe string, values voxelize.Encoding) *dataset {
	t.Helper()
	a := apptest.New(t, "train.augment", recipe, "voxelize.values", string(values))
	in, err := classify.NewInput(a.Config.Voxelize)
	if err != nil {
		t.Fatal(err)
	}
	g, err := newAugmentation(a)
	if err != nil {
		t.Fatal(err)
	}
	d, err := readData(t.Context(), a, []string{path}, "", nil, in, naming{}, g)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.close() })
	return d
}

// rowOfEpoch reads one row of a dataset as it is in an epoch.
func rowOfEpoch(t *testing.T, d *dataset, epoch, row int) *train.Batch {
	t.Helper()
	n, indices := d.input.Size()
	b := &train.Batch{Labels: make([]int32, 1), Weights: make([]float32, 1), Mixed: make([]train.Mixed, 1)}
	if indices {
		b.Index = make([]uint8, n)
	} else {
		b.X = make([]float32, n)
	}
	var err error
	if rows := d.trained(); epoch == 0 {
		err = rows.Read(row, b)
	} else {
		err = rows.(train.Varied).ReadEpoch(epoch, row, len(d.labels), b)
	}
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestAugmentedRows checks rows of points and of grids: an augmentation that never happens gives the rows as they are,
// others depend on epoch and row alone, and mixup mixes labels in the shares of the values.
func TestAugmentedRows(t *testing.T) {
	dir := t.TempDir()
	for _, path := range []string{
		archive(t, filepath.Join(dir, "clouds.h5"), "clouds", 10), archive(t, filepath.Join(dir, "grids.h5"), "vectors", 10),
	} {
		for _, values := range []voxelize.Encoding{voxelize.PaletteIndices, voxelize.RawValues} {
			d := readAugmented(t, path, "rotate:probability=0,mixup:probability=0", values)
			if points := d.augmentation.of() == augment.Points; points != strings.HasSuffix(path, "clouds.h5") {
				t.Errorf("%s: found %s", path, d.augmentation.of())
			}
			for row := range d.labels {
				if got, want := rowOfEpoch(t, d, 1, row), rowOfEpoch(t, d, 0, row); !slices.Equal(got.Index, want.Index) ||
					!slices.Equal(got.X, want.X) || got.Labels[0] != want.Labels[0] || got.Weights[0] != 1 {
					t.Fatalf("%s, %s: row %d without augmentation differs", path, values, row)
				}
			}
			d = readAugmented(t, path, "rotate3d,scale:each=true,mixup", values)
			first := rowOfEpoch(t, d, 1, 3)
			if again := rowOfEpoch(t, d, 1, 3); !reflect.DeepEqual(first, again) {
				t.Errorf("%s, %s: a row of an epoch is not always the same", path, values)
			}
			for _, other := range []*train.Batch{rowOfEpoch(t, d, 2, 3), rowOfEpoch(t, d, 0, 3)} {
				if slices.Equal(first.Index, other.Index) && slices.Equal(first.X, other.X) {
					t.Errorf("%s, %s: a row is the same in different epochs", path, values)
				}
			}
		}
	}
	d := readAugmented(t, filepath.Join(dir, "grids.h5"), "mixup:alpha=1", voxelize.RawValues)
	for row := range d.labels {
		b, own := rowOfEpoch(t, d, 1, row), rowOfEpoch(t, d, 0, row)
		if b.Labels[0] != own.Labels[0] {
			t.Errorf("row %d: found label %d, want %d", row, b.Labels[0], own.Labels[0])
		}
		share := b.Mixed[0].Share
		least := 1e9
		for other := range d.labels { // one of the rows of the other label explains the values
			if d.labels[other] != b.Mixed[0].Label {
				continue
			}
			x, worst := rowOfEpoch(t, d, 0, other).X, 0.0
			for i := range x {
				d := float64(b.X[i] - (1-share)*own.X[i] - share*x[i])
				worst = max(worst, d, -d)
			}
			least = min(least, worst)
		}
		if least > 1e-6 {
			t.Errorf("row %d: the values are not those of labels %d and %d with share %g", row, b.Labels[0],
				b.Mixed[0].Label, share)
		}
	}
}

// TestClouds compares clouds in memory and in a file with what was stored.
func TestClouds(t *testing.T) {
	var want []*ingest.PointCloud
	for i := range 20 {
		p := &ingest.PointCloud{X: []float64{}, Y: []float64{}, Z: []float64{}}
		for j := range 3 * i {
			p.X, p.Y, p.Z = append(p.X, float64(i)), append(p.Y, float64(j)/2), append(p.Z, 1e6)
			if i%2 == 0 {
				p.Z[j] = 1. / 3
			}
			if i%3 > 0 {
				p.Intensity = append(p.Intensity, float32(j)/3)
			}
			if i%5 > 0 {
				p.R, p.G, p.B = append(p.R, uint8(j)), append(p.G, uint8(j+1)), append(p.B, uint8(j+2))
			}
		}
		if i%4 == 1 {
			p.Fields = []ingest.Field{{Name: "ring", Values: slices.Clone(p.X)}, {Name: "time", Values: slices.Clone(p.Y)}}
		}
		if i == 7 {
			p.Pose = &ingest.Pose{T: [3]float64{1, 2, 3}}
		}
		want = append(want, p)
	}
	sums := map[uint32]bool{}
	for _, limit := range []int64{1 << 20, 3000, 0} {
		c := &clouds{limit: limit}
		for _, p := range want {
			if err := c.add(p); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.finish(); err != nil {
			t.Fatal(err)
		}
		if c.held > limit || (c.file == nil) != (limit == 1<<20) {
			t.Errorf("limit %d: %d bytes are in memory, %d in the file", limit, c.held, c.stored)
		}
		var b cloudBuffer
		for i, w := range slices.Backward(want) {
			if got, err := c.read(i, &b); err != nil || !reflect.DeepEqual(got, w) {
				t.Errorf("limit %d, cloud %d: found %+v, %v, want %+v", limit, i, got, err, w)
			}
		}
		sums[c.sum] = true
		if err := c.close(); err != nil {
			t.Error(err)
		}
	}
	if len(sums) != 1 {
		t.Errorf("found the checksums %v, want the same for all limits", sums)
	}
}

// TestAugmentedTrust trains on masks that are rotated and thereby interpolated. Masks as they are in the file must not be
// unlike the training data.
func TestAugmentedTrust(t *testing.T) {
	const rows, side = 120, 10
	r := rand.New(rand.NewPCG(3, 4))
	x, y := make([]float32, rows*side*side*side), make([]float32, rows)
	for i := range rows {
		y[i] = float32(i % 2)
		wide := 2 + int(y[i])*2 + r.IntN(2)
		for range 3 {
			at := [3]int{1 + r.IntN(side-2-wide), 1 + r.IntN(side-2-wide), 1 + r.IntN(side-2-wide)}
			for c := range wide * wide * wide {
				z, v, u := at[0]+c/wide/wide, at[1]+c/wide%wide, at[2]+c%wide
				x[((i*side+z)*side+v)*side+u] = 255
			}
		}
	}
	data := writeNPZ(t, "x", []int{rows, side, side, side}, x, "y", []int{rows}, y)
	model := filepath.Join(t.TempDir(), "m.safetensors")
	a := apptest.New(t, "train.epochs", "1", "train.batch_size", "30", "train.validation_split", "0", "train.arch", "medical",
		"train.augment", "rotate:degrees=20", "voxelize.values", "window:0:255", "voxelize.grid", "10")
	if _, err := Train(t.Context(), a, []string{data}, TrainOptions{Out: model}); err != nil {
		t.Fatal(err)
	}
	e, err := Evaluate(t.Context(), apptest.New(t, "model.path", model), []string{data}, EvaluateOptions{})
	if err != nil || e.Unfamiliar == nil {
		t.Fatalf("found %+v, %v, want an energy", e, err)
	}
	if *e.Unfamiliar > rows/10 {
		t.Errorf("found %d unfamiliar rows of %d", *e.Unfamiliar, rows)
	}
}

// BenchmarkAugmentedRow makes rows of 16x16x16 cells from digits of about 25,000 points. A probability of 0 leaves
// voxelization alone.
func BenchmarkAugmentedRow(b *testing.B) {
	var digits clouds
	for i := range 20 {
		image := mnist3d.Draw(1, i).Image
		c, err := mnist3d.Upright(&image)
		if err != nil {
			b.Fatal(err)
		}
		digits.limit = 1 << 30
		if err := digits.add(c.Points); err != nil {
			b.Fatal(err)
		}
	}
	for _, text := range []string{"rotate:probability=0", "rotate3d", "rotate3d,jitter", "mnist3d", "rotate3d,jitter,mixup"} {
		b.Run(text, func(b *testing.B) {
			recipe, _ := augment.Parse(text)
			of, err := augment.New(recipe, augment.Points)
			if err != nil {
				b.Fatal(err)
			}
			o := voxelize.DefaultOptions()
			in, err := classify.NewInput(o)
			if err != nil {
				b.Fatal(err)
			}
			v, err := voxelize.New(in.Options(o))
			if err != nil {
				b.Fatal(err)
			}
			g := &augmentation{recipe: recipe, points: of, clouds: &digits, voxelizer: v}
			g.scratch.New = func() any { return &scratch{} }
			d := &dataset{input: in, labels: make([]int32, 20), ids: make([]record.ID, 20), augmentation: g}
			row := &train.Batch{
				Index: make([]uint8, 4096), Labels: make([]int32, 1), Weights: make([]float32, 1), Mixed: make([]train.Mixed, 1),
			}
			points := 0
			for i := 0; b.Loop(); i++ {
				if err := (augmented{d.rows(), d}).ReadEpoch(1+i, i%20, 20, row); err != nil {
					b.Fatal(err)
				}
				points += digits.rows[i%20].points
			}
			b.ReportMetric(float64(points)/float64(b.N), "points")
		})
	}
}
