package learn

import (
	"errors"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/apptest"
	"github.com/voxelstream/voxelstream/app/models"
	"github.com/voxelstream/voxelstream/ingest"
	hdf "github.com/voxelstream/voxelstream/internal/h5"
)

func TestClassNames(t *testing.T) {
	var c naming
	label := func(names []string, number int32) (int32, error) {
		s := ingest.Sample{Label: number}
		err := c.relabel(&s, names)
		return s.Label, err
	}
	first, second := []string{"chair", "table"}, []string{"lamp", "table"}
	for _, x := range []struct {
		names        []string
		number, want int32
	}{
		{first, 1, 1},
		{first, 0, 0},
		{second, 1, 1},
		{second, 0, 2},
		{first, 0, 0},
		{nil, 7, 7},
		{first, 5, 5},
		{first, ingest.NoLabel, ingest.NoLabel},
	} {
		if got, err := label(x.names, x.number); err != nil || got != x.want {
			t.Errorf("%q, %d: found %d, %v, want %d", x.names, x.number, got, err, x.want)
		}
	}
	if got, want := c.padded(4), []string{"chair", "table", "lamp", "3"}; !slices.Equal(got, want) {
		t.Errorf("found %q, want %q", got, want)
	}
	if got := c.padded(2); got != nil {
		t.Errorf("found %q for fewer classes than names", got)
	}
	c = fixedNames([]string{"table", "chair"})
	if got, err := label(first, 0); err != nil || got != 1 {
		t.Errorf("found %d, %v, want the number of the model", got, err)
	}
	if _, err := label(second, 0); err == nil || !strings.Contains(err.Error(), `label "lamp"`) {
		t.Errorf("found %v", err)
	}
	if c := fixedNames([]string{"0", "1"}); c.fixed {
		t.Error("numbers are no names")
	}
}

// namedArchive writes an archive of levels whose classes have names, in a given order.
func namedArchive(t *testing.T, path string, seed uint64, names ...string) {
	t.Helper()
	const rows = 24
	x, y := levels(rand.New(rand.NewPCG(seed, 1)), rows, 1)
	labels := make([]uint8, rows)
	for i := range y {
		labels[i] = uint8(slices.Index(names, []string{"low", "high"}[int(y[i])]))
	}
	w, err := hdf.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(
		hdf.WriteDataset(w, "/x", hdf.Layout{Dims: []int{rows, levelSide, levelSide, levelSide}}, x),
		hdf.WriteDataset(w, "/y", hdf.Layout{Dims: []int{rows}}, labels),
		w.SetAttr("/", "class_names", names), w.Close(),
	); err != nil {
		t.Fatal(err)
	}
}

// TestNamesTravel checks that archives that number their classes differently agree by name, that the names are written
// into the model, and that evaluation reports and obeys them.
func TestNamesTravel(t *testing.T) {
	apptest.NeedHDF5(t)
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	namedArchive(t, at("a.h5"), 1, "low", "high")
	namedArchive(t, at("b.h5"), 2, "high", "low")
	namedArchive(t, at("c.h5"), 3, "low", "high", "middle")
	settings := []string{
		"voxelize.grid", strconv.Itoa(levelSide), "voxelize.values", "window:-40:40", "train.epochs", "20", "seed", "4",
		"train.validation_split", "0", "train.batch_size", "8", "train.learning_rate", "0.01",
	}
	for _, extension := range []string{".keras", ".h5", ".onnx", ".safetensors"} {
		init := TrainOptions{Out: at("m" + extension), Init: levelModel(t, 1, false)}
		if _, err := Train(t.Context(), apptest.New(t, settings...), []string{at("a.h5"), at("b.h5")},
			init); err != nil {
			t.Fatal(err)
		}
		a := apptest.New(t, append(settings, "model.path", init.Out)...)
		m, err := models.Configured(t.Context(), a)
		if err != nil || !slices.Equal(m.Classes, []string{"low", "high"}) {
			t.Fatalf("%s: found %v, want the names of the first archive", extension, err)
		}
		e, err := Evaluate(t.Context(), a, []string{at("b.h5")}, EvaluateOptions{})
		if err != nil || e.Accuracy != 1 || e.PerClass[1].Name != "high" {
			t.Errorf("%s: found %+v, %v, want every row right", extension, e, err)
		}
		a = apptest.New(t, append(settings, "model.path", init.Out, "model.classes", "high,low")...)
		if e, err = Evaluate(t.Context(), a, []string{at("b.h5")}, EvaluateOptions{}); err != nil || e.Accuracy != 0 {
			t.Errorf("%s: found %+v, %v, want every row wrong with the names exchanged", extension, e, err)
		}
		a = apptest.New(t, append(settings, "model.path", init.Out, "model.classes", "high,low,middle")...)
		if _, err := Evaluate(t.Context(), a, []string{at("b.h5")}, EvaluateOptions{}); !app.IsUsage(err) {
			t.Errorf("%s: found %v for too many names", extension, err)
		}
	}
	// A class that the model does not have.
	a := apptest.New(t, append(settings, "model.path", at("m.keras"), "model.classes", "low,other")...)
	if _, err := Evaluate(t.Context(), a, []string{at("a.h5")}, EvaluateOptions{}); !errors.Is(err, app.ErrSkipped) {
		t.Errorf("found %v, want that the rows of another class are left out", err)
	}
}
