package medical

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/ingesttest"
)

// mgh makes a file of two frames of 2 x 3 x 1 voxels (i, j, k), int16 values 100*frame+10*i+j, whose second axis
// runs to the back.
func mgh(directions bool) []byte {
	o := binary.BigEndian
	b := make([]byte, mghHeader)
	for i, v := range []uint32{1, 2, 3, 1, 2, 4} {
		o.PutUint32(b[4*i:], v)
	}
	if directions {
		o.PutUint16(b[28:], 1)
	}
	for i, v := range []float32{0.5, 1, 2, 1, 0, 0, 0, -1, 0, 0, 0, 1} {
		o.PutUint32(b[30+4*i:], math.Float32bits(v))
	}
	for frame := range 2 {
		for j := range 3 {
			for i := range 2 {
				b = o.AppendUint16(b, uint16(100*frame+10*i+j))
			}
		}
	}
	return b
}

func TestMGH(t *testing.T) {
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"directions": {mgh(true), "[1 3 2] [2 12 1 11 0 10] [0.002 0.001 0.0005]"},
		"coronal":    {mgh(false), "[3 1 2] [12 2 11 1 10 0] [0.001 0.001 0.001]"},
	} {
		g, err := readGrid(t, MGH, "a.mgh", c.data)
		if err != nil || fmt.Sprint(g.Dims, g.Values, g.Cell) != c.want {
			t.Errorf("%s: found %+v, %v, want %s", name, g, err, c.want)
		}
	}
	_, grids, err := readMGH(file(t, "a.mgh", mgh(true)), ingest.Options{})
	if err != nil || len(grids) != 2 || grids[1].Values[0] != 102 {
		t.Errorf("found %d frames, %v", len(grids), err)
	}
}

// TestMGHAgreesWithNibabel reads a .mgz that nibabel 5.4 wrote:
//
//	nib.save(nib.MGHImage(np.arange(24, dtype=np.float32).reshape(2, 3, 4), np.array([[0, 0, -2, 5], [1, 0, 0, 6], [0, 3, 0, 7], [0, 0, 0, 1]])), f)
//	nib.as_closest_canonical(nib.load(f)).get_fdata().T
func TestMGHAgreesWithNibabel(t *testing.T) {
	packed, err := base64.StdEncoding.DecodeString(nibabelMGZ)
	if err != nil {
		t.Fatal(err)
	}
	g, err := readGrid(t, MGH, "a.mgz", packed)
	if want := nibabelValues; err != nil || fmt.Sprint(g.Dims, g.Values, g.Cell) != want {
		t.Errorf("found %+v, %v, want %s", g, err, want)
	}
}

func TestMGHErrors(t *testing.T) {
	for name, c := range map[string]struct {
		at   int
		v    byte
		want string
	}{
		"version": {3, 2, "version: found 2, want 1"},
		"empty":   {7, 0, "axis 0: found 0 cells"},
		"huge":    {4, 0x7f, "limit"},
		"type":    {23, 9, "type 9 (RGB) is not supported"},
		"cut":     {11, 30, "truncated: found 308 bytes, want 240 from byte 284"},
		"frames":  {16, 1, "frames, limit 65536"},
	} {
		b := mgh(true)
		b[c.at] = c.v
		if _, err := readGrid(t, MGH, "a.mgh", b); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: found error %v, want %q", name, err, c.want)
		}
	}
}

// TestMGHRepairs checks what is made of invalid fields, and that whole frames are kept.
func TestMGHRepairs(t *testing.T) {
	for want, change := range map[string]func(b []byte) []byte{
		"1 frames, [0.002 0.001 0.0005], [truncated: 1 of 2 volumes are whole, the others are left out]": func(b []byte) []byte {
			return b[:len(b)-1]
		},
		"2 frames, [0.002 0.001 0.001], [the voxel size along axis 0 is 0: 1 mm is assumed]": func(b []byte) []byte {
			clear(b[30:34])
			return b
		},
		"2 frames, [0.001 0.001 0.001], [no directions: coronal slices with voxels of 1 mm are assumed]": func(b []byte) []byte {
			clear(b[28:30])
			return b
		},
	} {
		grids, notes, err := readNoted(t, MGH, file(t, "a.mgh", change(mgh(true))))
		if err != nil || len(grids) == 0 {
			t.Errorf("found %v, want %s", err, want)
			continue
		}
		if got := fmt.Sprintf("%d frames, %v, %s", len(grids), grids[0].Cell, notes); got != want {
			t.Errorf("found %s, want %s", got, want)
		}
	}
}

func TestMGHSuite(t *testing.T) {
	ingesttest.Format(t, MGH, "a.mgh", mgh(true))
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := z.Write(mgh(false)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	ingesttest.Format(t, MGH, "a.mgz", packed.Bytes())
}

func FuzzMGH(f *testing.F) {
	ingesttest.Fuzz(f, MGH, "a.mgh", mgh(true), mgh(false))
}

const (
	nibabelMGZ    = "H4sIAAAAAAAE/9WQvRFAYBBE108BSlCCUOa7DpSgBCUIhUKhUCiUUYpSvGPMCDRgZ97s7c0le5IiSTEkkIJnn5mqTgoBCC7Pb3ne4NF1f0hWPpu/uwXadzRyKGPT/QWr2TNbDxnM95eswXfyADks5IC3+IGPUMCqT50rFaQzkAEAAA=="
	nibabelValues = "[3 2 4] [3 2 1 0 15 14 13 12 7 6 5 4 19 18 17 16 11 10 9 8 23 22 21 20] [0.003 0.001 0.002]"
)
