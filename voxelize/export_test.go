package voxelize

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/ingest"
)

func TestExport(t *testing.T) {
	o := options(Regular, 2)
	o.Origin, o.Edge = At(0, 0, 0), Cubes(1)
	v := mustNew(t, o)
	s := sampleOf(cloudOf(0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 1.5, 0.5, 0.5))
	for f, want := range map[Format][]float32{
		FormatIndex:   {255, 128},
		FormatDensity: {1, 0.5},
		FormatRGB:     {127. / 255, 39. / 255, 4. / 255},
	} {
		got, err := v.Export(s, f)
		if err != nil {
			t.Fatal(err)
		}
		g := got.Data.(*ingest.Grid)
		if g.Dims != o.Dims || len(g.Values) != 8*g.Channels || got.Stream != s.Stream || got.Label != s.Label {
			t.Errorf("%s: found %v cells, %d channels and %d values", f, g.Dims, g.Channels, len(g.Values))
		}
		if !slices.Equal(g.Values[:len(want)], want) {
			t.Errorf("%s: found %v, want it to start with %v", f, g.Values, want)
		}
	}
	_, err := v.Export(s, "colour")
	if want := `found "colour", want one of index, rgb, density, distance`; err == nil ||
		!strings.Contains(err.Error(), want) {
		t.Errorf("unknown format: found error %v, want %q", err, want)
	}
	for _, f := range []Format{FormatIndex, FormatRGB, FormatDensity} {
		if _, err := v.Export(sampleOf(cloudOf()), f); !errors.Is(err, ErrEmpty) {
			t.Errorf("%s of an empty cloud: found error %v, want ErrEmpty", f, err)
		}
	}
}

func TestWriteBinvox(t *testing.T) {
	o := options(Regular, 1)
	o.Dims, o.Origin, o.Edge = [3]int{4, 3, 2}, At(10, 20, 30), Cubes(0.5) // 2 cells along x, 3 along y, 4 along z
	f, err := mustNew(t, o).Field(sampleOf(cloudOf(10, 20, 30, 10.6, 21.1, 30.6)))
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := WriteBinvox(&b, f); err != nil {
		t.Fatal(err)
	}
	// Cell (x,y,z) is number x*12 + z*3 + y: (0,0,0) is 0 and (1,2,1) is 17 of 24.
	want := "#binvox 1\ndim 2 4 3\ntranslate 10 20 30\nscale 2\ndata\n\x01\x01\x00\x10\x01\x01\x00\x06"
	if b.String() != want {
		t.Errorf("found %q, want %q", b.String(), want)
	}
	// The axis order of the method does not matter: pyntcloud's array, which runs [x][y][z], gives the same cells as
	// mnist3d's.
	p := cloudOf(0, 0, 0, 1, 2, 3, 3, 1, 2, 0.5, 0.25, 3, 2, 2, 2)
	var files [2]bytes.Buffer
	for i, o := range []Options{options(Pyntcloud, 8), options(MNIST3D, 8)} {
		f, err := mustNew(t, o).Field(sampleOf(p))
		if err != nil {
			t.Fatal(err)
		}
		if err := WriteBinvox(&files[i], f); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(files[0].Bytes(), files[1].Bytes()) {
		t.Errorf("pyntcloud %q, mnist3d %q", files[0].String(), files[1].String())
	}
	// Runs of more than 255 cells are split.
	b.Reset()
	long := &Field{Grid: Grid{Dims: [3]int{1, 1, 300}}, Stride: [3]int{1, 300, 300}, Values: make([]float64, 300)}
	if err := WriteBinvox(&b, long); err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(b.String(), "scale 1\ndata\n\x00\xff\x00\x2d") {
		t.Errorf("300 empty cells: found %q", b.String())
	}
}
