package medical

import (
	"encoding/binary"
	"slices"
	"testing"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/ingesttest"
)

// placed makes a NIfTI file of 2 x 3 x 4 voxels along right, anterior and superior, stored in the given orientation.
// The value of a voxel is its place in the patient: 100 * right + 10 * anterior + superior.
func placed(t *testing.T, stored ingest.Orientation) []byte {
	t.Helper()
	axes, reversed, err := stored.Axes()
	if err != nil {
		t.Fatal(err)
	}
	size, weight := [3]int{2, 3, 4}, [3]int{100, 10, 1}
	var srow [3][4]float64
	for k, a := range axes {
		if srow[a][k] = float64(a + 1); reversed[k] {
			srow[a][k] *= -1
		}
	}
	o := binary.LittleEndian
	b := nifti(1, o, srow)[:nifti1Size+4]
	for k, a := range axes {
		o.PutUint16(b[42+2*k:], uint16(size[a]))
		o.PutUint32(b[80+4*k:], 0x3f800000+uint32(a)<<23) // 1, 2 or 4 mm along right, anterior, superior
	}
	o.PutUint32(b[112:], 0) // no slope
	var at [3]int
	for at[2] = range size[axes[2]] {
		for at[1] = range size[axes[1]] {
			for at[0] = range size[axes[0]] {
				value := 0
				for k, a := range axes {
					place := at[k]
					if reversed[k] {
						place = size[a] - 1 - place
					}
					value += weight[a] * place
				}
				b = o.AppendUint16(b, uint16(value))
			}
		}
	}
	return b
}

// TestOrient stores volumes in every orientation and reads them in every orientation: each voxel must be where its
// value says, and each cell size along its axis.
func TestOrient(t *testing.T) {
	size, weight, mm := [3]int{2, 3, 4}, [3]int{100, 10, 1}, [3]float64{1, 2, 4}
	all := ingest.Orientations()
	for i, stored := range all {
		data := placed(t, stored)
		want := all[(i*29+5)%len(all)] // a permutation of all
		for _, option := range []Axes{Axes(want), asStored, ""} {
			o := ingesttest.Options
			o.Readers = []any{&Options{Orientation: option}}
			src, err := NIfTI.Open(t.Context(), file(t, "x.nii", data), o)
			if err != nil {
				t.Fatal(err)
			}
			s, err := src.Read(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			g, ok := s.Data.(*ingest.Grid)
			facing := map[Axes]ingest.Orientation{asStored: stored, "": ingest.RAS, Axes(want): want}[option]
			if !ok || g.Orientation != facing || g.Stored != stored {
				t.Fatalf("%s as %q: found %s stored as %s, want %s", stored, option, g.Orientation, g.Stored, facing)
			}
			axes, reversed, _ := facing.Axes()
			for cell, value := range g.Values {
				at := [3]int{cell % g.Dims[2], cell / g.Dims[2] % g.Dims[1], cell / g.Dims[2] / g.Dims[1]}
				place := 0
				for k, a := range axes {
					if g.Dims[2-k] != size[a] || g.Cell[2-k] != mm[a]/1000 {
						t.Fatalf("%s as %q: axis %d has %d cells of %g m", stored, option, k, g.Dims[2-k], g.Cell[2-k])
					}
					if reversed[k] {
						at[k] = size[a] - 1 - at[k]
					}
					place += weight[a] * at[k]
				}
				if float32(place) != value {
					t.Fatalf("%s as %q: cell %d holds the voxel of %g, want %d", stored, option, cell, value, place)
				}
			}
		}
	}
}

// TestStoredOrientation checks what inspect says about the axes of each format.
func TestStoredOrientation(t *testing.T) {
	for name, c := range map[string]struct {
		format ingest.Format
		data   []byte
		want   ingest.Orientation
	}{
		"a.nii": {NIfTI, placed(t, "PIR"), "PIR"},
		"a.mgh": {MGH, mgh(false), "LIA"}, // the axes of FreeSurfer's conformed volumes
		"a.dcm": {DICOM, dicom(t, implicitLittle, `0\0\0`, axial, 1, 2, 3, 4, 5, 6), "LPS"},
		"b.dcm": {DICOM, dicom(t, implicitLittle, `0\0\0`, `0\1\0\0\0\-1`, 1, 2, 3, 4, 5, 6), "PIR"},
	} {
		o := ingesttest.Options
		o.Readers = []any{&Options{Orientation: "LPS"}}
		o.Notes = &ingest.Notes{}
		d, err := c.format.Inspect(t.Context(), file(t, name, c.data), o)
		if err != nil {
			t.Fatal(err)
		}
		g, ok := d.(*ingest.Grids)
		if !ok || g.Orientation != "LPS" || g.Stored != c.want {
			t.Errorf("%s: found %+v, want LPS stored as %s", name, d, c.want)
		}
		noted := func(n ingest.Note) bool { return n.Text == "the axes x, y and z are those of the orientation LPS" }
		if !slices.ContainsFunc(o.Notes.Take(), noted) {
			t.Errorf("%s: found no note of the orientation", name)
		}
	}
}

func TestAxesText(t *testing.T) {
	for _, text := range []string{"RAS", "LPS", "ILA", "stored"} {
		var a Axes
		if err := a.UnmarshalText([]byte(text)); err != nil || a != Axes(text) {
			t.Errorf("%s: found %q, %v", text, a, err)
		}
	}
	for _, text := range []string{"", "ras", "RAL", "Stored", "RASP"} {
		a := Axes("LPS")
		if err := a.UnmarshalText([]byte(text)); err == nil || a != "LPS" {
			t.Errorf("%q: found %q, %v, want an error and the axes unchanged", text, a, err)
		}
	}
}
