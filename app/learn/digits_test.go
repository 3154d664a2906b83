package learn

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/apptest"
	"github.com/voxelstream/voxelstream/classify"
	"github.com/voxelstream/voxelstream/dataset/mnist3d"
	"github.com/voxelstream/voxelstream/ingest/h5"
	"github.com/voxelstream/voxelstream/nn/format"
	"github.com/voxelstream/voxelstream/nn/train"
)

// drawn returns a dataset of drawn digits for a model with one channel.
func drawn(t *testing.T, count int) *dataset {
	t.Helper()
	a := apptest.New(t, "seed", "3")
	in, err := classify.NewInput(a.Config.Voxelize)
	if err != nil {
		t.Fatal(err)
	}
	d, err := digitData(a, in, TrainOptions{Drawn: count})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestDigitRows compares upright rows with those of an archive. Rotated rows are the same in validation, and others in
// each epoch.
func TestDigitRows(t *testing.T) {
	const count = 60
	dir := t.TempDir()
	d := drawn(t, count)
	a := apptest.New(t)
	in, err := classify.NewInput(a.Config.Voxelize)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "d.h5")
	apptest.NeedHDF5(t)
	o := mnist3d.Options{Count: count, Grid: 16, Seed: 3}
	f, err := mnist3d.CreateArchive(path, mnist3d.Vectors, o)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Abort()
	if err := errors.Join(mnist3d.Generate(t.Context(), o, f.Write), f.Close()); err != nil {
		t.Fatal(err)
	}
	want, err := readData(t.Context(), a, []string{path}, "", []h5.Split{h5.Train}, in, naming{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer want.close() //nolint:errcheck // opened for reading
	if d.digits.Len() != 2*count || len(d.labels) != 2*count {
		t.Fatalf("found %d rows and %d labels, want %d", d.digits.Len(), len(d.labels), 2*count)
	}
	batch := func() *train.Batch {
		return &train.Batch{
			Index: make([]uint8, 4096), Labels: make([]int32, 1), Weights: make([]float32, 1), Mixed: make([]train.Mixed, 1),
		}
	}
	kept := 0
	for row := range 2 * count {
		first, again, one, other := batch(), batch(), batch(), batch()
		for b, read := range map[*train.Batch]func(b *train.Batch) error{
			first: func(b *train.Batch) error { return d.rows().Read(row, b) },
			again: func(b *train.Batch) error { return d.rows().Read(row, b) },
			one:   func(b *train.Batch) error { return d.digits.ReadEpoch(1, row, 1, b) },
			other: func(b *train.Batch) error { return d.digits.ReadEpoch(2, row, 99, b) },
		} {
			if err := read(b); err != nil {
				t.Fatal(err)
			}
			if b.Labels[0] != int32(row/2%10) || b.Labels[0] != d.labels[row] || b.Weights[0] != 1 {
				t.Fatalf("row %d: label %d, weight %g", row, b.Labels[0], b.Weights[0])
			}
		}
		if !bytes.Equal(first.Index, again.Index) {
			t.Errorf("row %d is another one when it is read again", row)
		}
		upright := want.index[row/2*4096 : (row/2+1)*4096]
		if bytes.Equal(first.Index, upright) != (row%2 == 0) {
			t.Errorf("row %d: upright, as in the archive, is %v", row, row%2 == 1)
		}
		if bytes.Equal(one.Index, upright) {
			kept++
		} else if bytes.Equal(one.Index, other.Index) || bytes.Equal(one.Index, first.Index) {
			t.Errorf("row %d: an epoch does not have a rotation of its own", row)
		}
	}
	if kept < count/4 || kept > count*3/4 {
		t.Errorf("%d of %d rows of upright digits stay upright in an epoch, want about half", kept, count)
	}
}

// TestBest trains with the settings that the data decide, on several threads and with a break. The models are the same,
// average over four views, and are calibrated. Most rows are held out, since a temperature needs 200 of them.
func TestBest(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	fit := func(ctx context.Context, model, threads string, progress app.Progress) (*TrainResult, error) {
		a := apptest.New(t, "train.arch", "best", "train.epochs", "2", "train.validation_split", "0.92", "threads", threads,
			"seed", "4")
		a.Progress = progress
		return Train(ctx, a, nil, TrainOptions{Out: at(model), Drawn: 110, Resume: strings.HasPrefix(model, "broken")})
	}
	r, err := fit(t.Context(), "one.safetensors", "1", nil)
	if err != nil {
		t.Fatal(err)
	}
	if r.Final == nil || r.Final.Rows != 204 || r.Rows != 220 || r.Epochs != 2 {
		text, _ := json.Marshal(r)
		t.Errorf("found %s", text)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := fit(ctx, "broken.safetensors", "2", stopper{cancel}); !errors.Is(err, app.ErrInterrupted) {
		t.Fatalf("found error %v, want that of an interrupt", err)
	}
	if _, err := fit(t.Context(), "broken.safetensors", "2", nil); err != nil {
		t.Fatal(err)
	}
	one, err := os.ReadFile(at("one.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	if broken, err := os.ReadFile(at("broken.safetensors")); err != nil || !bytes.Equal(one, broken) {
		t.Errorf("two threads and a break gave another model (%v)", err)
	}
	m, err := format.Load(t.Context(), at("one.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	views := 0
	for _, l := range m.Layers() {
		if l.Class() == "PrincipalPlane" {
			views++
		}
	}
	if views != 4 || m.Trust.Temperature == 0 || !slices.Equal(m.Inputs()[0].Shape, []int{16, 16, 16, 1}) {
		t.Errorf("found %d views, temperature %g, input %v", views, m.Trust.Temperature, m.Inputs()[0].Shape)
	}
}

// TestFlatness looks at digits, which are flat in many directions.
func TestFlatness(t *testing.T) {
	thin, aligned, err := flatness(drawn(t, 100))
	if err != nil {
		t.Fatal(err)
	}
	if !(thin > .1 && thin < flat) || !(aligned > .4 && aligned < alike) {
		t.Errorf("found thinness %g and alignment %g, want less than %g and %g", thin, aligned, flat, alike)
	}
}

// TestDigitsRefuses has requests that --digits does not fulfil.
func TestDigitsRefuses(t *testing.T) {
	for _, c := range []struct {
		o     TrainOptions
		paths []string
		set   []string
		want  string
	}{
		{o: TrainOptions{Drawn: 10}, paths: []string{"x.h5"}, want: "found both files and --digits"},
		{o: TrainOptions{Drawn: -1}, want: "--drawn: found -1"},
		{o: TrainOptions{Digits: "train.gz"}, want: `found a name without "images"`},
		{o: TrainOptions{Digits: "no-images.gz"}, want: "no such file"},
		{
			o: TrainOptions{Drawn: 10}, set: []string{"train.average", "mirrors", "train.epochs", "1"},
			want: "no PrincipalPlane layer",
		},
		{o: TrainOptions{Drawn: 10, FromTopic: true}, want: "either files with labelled data or --from-topic"},
		{o: TrainOptions{Drawn: 10}, set: []string{"voxelize.method", "regular", "voxelize.grid", "16x16x8"}, want: "want a cube"},
	} {
		c.o.Out = filepath.Join(t.TempDir(), "m.safetensors")
		_, err := Train(t.Context(), apptest.New(t, c.set...), c.paths, c.o)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v %v: found error %v, want one that says %q", c.o, c.set, err, c.want)
		}
	}
}
