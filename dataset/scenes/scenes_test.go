package scenes

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/voxelstream/voxelstream/ingest"
	reader "github.com/voxelstream/voxelstream/ingest/h5"
	"github.com/voxelstream/voxelstream/internal/h5"
	"github.com/voxelstream/voxelstream/perception"
)

// digest returns a digest of all objects, and their number by class.
func digest(t *testing.T, o Options) (string, map[string]int) {
	t.Helper()
	h := sha256.New()
	classes := map[string]int{}
	last := 0
	if err := Generate(t.Context(), o, func(object *Object) error {
		classes[object.Class]++
		if object.Scene < last {
			t.Errorf("found scene %d after scene %d", object.Scene, last)
		}
		last = object.Scene
		if n := object.Points.Len(); n < least {
			t.Errorf("found an object of %d points, want at least %d", n, least)
		}
		fmt.Fprintln(h, object.Class, object.Scene, object.Distance)
		for _, column := range [][]float64{object.Points.X, object.Points.Y, object.Points.Z} {
			if err := binary.Write(h, binary.LittleEndian, column); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", h.Sum(nil)), classes
}

// TestGenerate checks that the objects depend on the seed alone, and that streets have cars and rooms furniture.
func TestGenerate(t *testing.T) {
	o := Options{Scenes: 4, Seed: 3, Workers: 1, Perception: perception.DefaultOptions()}
	one, classes := digest(t, o)
	o.Workers = 3
	if three, _ := digest(t, o); three != one {
		t.Error("the objects depend on the number of workers")
	}
	o.Seed = 4
	if other, _ := digest(t, o); other == one {
		t.Error("two seeds have the same objects")
	}
	furniture := classes["table"] + classes["chair"] + classes["shelf"] + classes["sofa"] + classes["carton"]
	if classes["car"] == 0 || classes["structure"] == 0 || furniture == 0 {
		t.Errorf("found %v, want cars, structures and furniture", classes)
	}
}

// TestGenerateStops checks that an error of the receiver, and steps that remove points, end the generation.
func TestGenerateStops(t *testing.T) {
	o := Options{Scenes: 9, Perception: perception.DefaultOptions()}
	if err := Generate(t.Context(), o, func(*Object) error { return context.DeadlineExceeded }); !errors.Is(err,
		context.DeadlineExceeded) {
		t.Errorf("found %v, want the error of the receiver", err)
	}
	o.Perception.Scan = append([]string{"crop-range", "downsample"}, o.Perception.Scan...)
	if err := Generate(t.Context(), o, func(*Object) error { return nil }); err == nil {
		t.Error("steps that remove points were accepted")
	}
	o.Scenes = 0
	if err := Generate(t.Context(), o, func(*Object) error { return nil }); err == nil {
		t.Error("a dataset of no scenes was accepted")
	}
}

// TestArchive checks that the archive can be read as labelled clouds.
func TestArchive(t *testing.T) {
	if h5.LibraryVersion() == "" {
		t.Skip(h5.ErrNoHDF5)
	}
	path := filepath.Join(t.TempDir(), "objects.h5")
	o := Options{Scenes: 1, Perception: perception.DefaultOptions()}
	a, err := Create(path, o)
	if err != nil {
		t.Fatal(err)
	}
	var first *Object
	if err := Generate(t.Context(), o, func(object *Object) error {
		if first == nil {
			first = object
		}
		return a.Write(object)
	}); err != nil {
		t.Fatal(err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	src, err := reader.HDF5.Open(t.Context(), path, ingest.Options{}.WithDefaults())
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close() //nolint:errcheck // opened for reading
	sample, err := src.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	cloud, ok := sample.Data.(*ingest.PointCloud)
	if !ok || cloud.Len() != first.Points.Len() || float32(cloud.X[0]) != float32(first.Points.X[0]) {
		t.Errorf("found %T, want the %d points of the first object", sample.Data, first.Points.Len())
	}
	if names := ingest.ClassesOf(t.Context(), src); sample.Label < 0 || names[sample.Label] != first.Class {
		t.Errorf("found label %d of %v, want %s", sample.Label, names, first.Class)
	}
}
