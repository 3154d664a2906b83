package depth

import (
	"encoding/binary"
	"fmt"
	"math"
	"testing"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/ingesttest"
	"github.com/voxelstream/voxelstream/internal/testenv"
)

// TestTangoStandsUpright: the phone of the sample was held upright, so the image's down is the world's; its
// accelerometer says so, too.
func TestTangoStandsUpright(t *testing.T) {
	path := testenv.Sample(t, "rgbd/tango/20171122163055_zenfone_ar.ply")
	c, err := readTango(path)
	if err != nil || c.pose == nil {
		t.Fatalf("found %+v, %v", c, err)
	}
	if down := c.pose.R[7]; down > -0.99 { // the camera's y along the world's z
		t.Errorf("found the camera's y axis at %g of the world's up", down)
	}
	src, err := Tango.Open(t.Context(), path, ingest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := src.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p, ok := s.Data.(*ingest.PointCloud)
	x, y, z := c.pose.Apply(-0.2285864, -0.2082213, 0.4771425) // the file's first point
	if !ok || p.Len() != 25038 || math.Abs(p.X[0]-x)+math.Abs(p.Y[0]-y)+math.Abs(p.Z[0]-z) > 1e-6 {
		t.Errorf("found %v %v %v, want %g %g %g", p.X[0], p.Y[0], p.Z[0], x, y, z)
	}
}

// tangoBytes is two points of confidence 0.9 and 0.2, or without; pad is the compiler's padding.
func tangoBytes(tb testing.TB, confidence bool, pad int) []byte {
	tb.Helper()
	padding := make([]byte, pad)
	var b []byte
	put := func(values ...any) {
		for _, v := range values {
			var err error
			if b, err = binary.Append(b, binary.LittleEndian, v); err != nil {
				tb.Fatal(err)
			}
		}
	}
	put(uint32(1), padding, 12.5, uint32(2), padding)
	for i, c := range []float32{0.9, 0.2} {
		put([]float32{float32(i) - 0.5, 0.25, 1.5})
		if confidence {
			put(c)
		}
	}
	return b
}

func TestTangoBuffers(t *testing.T) {
	for _, c := range []struct {
		confidence bool
		pad        int
		least      float64
		want       string
	}{
		{true, 0, 0, "[-0.5 0.5] [0.25 0.25] [1.5 1.5] [0.9 0.2]"},
		{true, 4, 0.5, "[-0.5] [0.25] [1.5] [0.9]"},
		{false, 0, 0.5, "[-0.5 0.5] [0.25 0.25] [1.5 1.5] []"},
		{false, 4, 0, "[-0.5 0.5] [0.25 0.25] [1.5 1.5] []"},
	} {
		clouds, err := decodeTango("", tangoBytes(t, c.confidence, c.pad),
			ingest.Options{Readers: []any{&Options{MinConfidence: c.least}}})
		if err != nil {
			t.Fatal(err)
		}
		p := clouds.Clouds[0]
		if got := fmt.Sprint(p.X, p.Y, p.Z, p.Intensity); got != c.want || clouds.Time.UnixNano() != 12.5e9 {
			t.Errorf("%+v: found %s at %v", c, got, clouds.Time)
		}
	}
}

func TestTangoBufferSuite(t *testing.T) {
	ingesttest.Format(t, TangoBuffer, "cloud.bin", tangoBytes(t, true, 0))
}

func FuzzTangoBuffer(f *testing.F) {
	ingesttest.Fuzz(f, TangoBuffer, "cloud.bin", tangoBytes(f, true, 0), tangoBytes(f, false, 4))
}
