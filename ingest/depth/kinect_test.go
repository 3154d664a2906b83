package depth

import (
	"encoding/binary"
	"fmt"
	"image/color"
	"math"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/ingesttest"
	"github.com/voxelstream/voxelstream/internal/mutants"
)

// scene is a Kinect frame: a slope from disparity 500 to 1000 with a hole in the first columns.
func scene() []uint16 {
	raw := make([]uint16, kinectPixels)
	for i := range raw {
		if u := i % kinectWidth; u < 8 {
			raw[i] = kinectNone
		} else {
			raw[i] = uint16(500 + u*500/kinectWidth)
		}
	}
	return raw
}

func unpacked(raw []uint16) []byte {
	var b []byte
	for _, v := range raw {
		b = binary.LittleEndian.AppendUint16(b, v)
	}
	return b
}

// packed writes each number bit by bit, the high bit first, which is slow and plain.
func packed(raw []uint16) []byte {
	b := make([]byte, (len(raw)*11+7)/8)
	for i, v := range raw {
		for k := range 11 {
			if at := i*11 + k; v>>(10-k)&1 != 0 {
				b[at/8] |= 0x80 >> (at % 8)
			}
		}
	}
	return b
}

func TestKinectRaw(t *testing.T) {
	raw := scene()
	dir := t.TempDir()
	put(t, dir, map[string]string{
		"packed": string(packed(raw)), "unpacked": string(unpacked(raw)),
		"short": string(packed(raw)[:99]), "zeros": strings.Repeat("\x00", kinectPacked),
	})
	for _, name := range []string{"packed", "unpacked"} {
		path := dir + "/" + name
		head, err := ingest.ReadHead(path)
		if err != nil || detectKinect(head) != ingest.Likely {
			t.Errorf("%s: not recognized: %v", name, err)
		}
		f, err := readKinect(path, settingsOf(ingest.Options{}))
		if err != nil {
			t.Fatal(err)
		}
		for i, d := range f.Depth {
			want := 0.1236 * math.Tan(float64(raw[i])/2842.5+1.1863)
			if raw[i] == kinectNone {
				want = 0
			}
			if math.Abs(float64(d)-want) > 1e-6 {
				t.Fatalf("%s, pixel %d: found %g m, want %g", name, i, d, want)
			}
		}
		if f.Cam != KinectV1 {
			t.Errorf("%s: found camera %+v", name, f.Cam)
		}
		info, err := Kinect.Inspect(t.Context(), path, ingest.Options{})
		if d, ok := info.(*ingest.Depth); err != nil || !ok || d.Unit != unitDisparity ||
			d.Valid != (kinectWidth-8)*kinectHeight {
			t.Errorf("%s: found %+v, %v", name, info, err)
		}
	}
	for _, name := range []string{"short", "zeros"} {
		head, err := ingest.ReadHead(dir + "/" + name)
		if err != nil || detectKinect(head) != ingest.No {
			t.Errorf("%s: taken for a frame: %v", name, err)
		}
	}
	if _, err := readKinect(dir+"/short", settingsOf(ingest.Options{})); err == nil ||
		!strings.Contains(err.Error(), "422400") {
		t.Errorf("short: found error %v", err)
	}
}

// TestKinectFormulasAgree: the formula of the NYU dataset's toolbox (camera_params.m), fitted by others to another
// device, gives the same distances within a fiftieth of them where Kinects are used.
func TestKinectFormulasAgree(t *testing.T) {
	for d := 550; d <= 1000; d += 50 {
		other := 351.3 / (1092.5 - float64(d))
		if got := float64(kinectMetres[d]); math.Abs(got-other) > 0.02*other {
			t.Errorf("disparity %d: found %.4f m, the other formula %.4f", d, got, other)
		}
	}
	if kinectMetres[1092] != 0 || kinectMetres[kinectNone] != 0 || kinectMetres[0] <= 0 {
		t.Errorf("found %g, %g, %g at 1092, 2047 and 0", kinectMetres[1092], kinectMetres[kinectNone], kinectMetres[0])
	}
}

func TestKinectDamage(t *testing.T) { // too large for every truncation of the suite
	raw := scene()
	raw[5] = 3000
	dir := t.TempDir()
	put(t, dir, map[string]string{"d": string(unpacked(raw))})
	if _, err := readKinect(dir+"/d", settingsOf(ingest.Options{})); err == nil ||
		!strings.Contains(err.Error(), "pixel 5: found disparity 3000") {
		t.Errorf("found error %v", err)
	}
}

func FuzzKinect(f *testing.F) {
	m := mutants.New(f, "kinect, packed")
	m.Add(packed(scene())[:700])
	m.Add([]byte{0xff})
	m.Fuzz(func(t *testing.T, data []byte) {
		raw := unpack11(data)
		if len(raw) != len(data)*8/11 {
			t.Errorf("found %d numbers in %d bytes", len(raw), len(data))
		}
		if again := packed(raw); len(raw) > 0 && string(unpacked(unpack11(again)[:len(raw)])) != string(unpacked(raw)) {
			t.Error("packed again: found other numbers")
		}
		isDisparity(raw)
	})
}

// TestFakenect: depths by their times, colours by the cameras' places. Where pixels fall was found by other means,
// with numpy.
func TestFakenect(t *testing.T) {
	raw := make([]uint16, kinectPixels)
	for i := range raw {
		raw[i] = 800
	}
	head := fmt.Sprintf("P5 %d %d 65535\n", kinectWidth, kinectHeight)
	ppm := []byte(fmt.Sprintf("P6 %d %d 255\n", kinectWidth, kinectHeight))
	for i := range kinectPixels {
		ppm = append(ppm, byte(i%kinectWidth), byte(i%kinectWidth>>8), byte(i/kinectWidth/2))
	}
	millimetre := make([]uint16, kinectPixels)
	for i := range millimetre {
		millimetre[i] = 3000
	}
	dir := t.TempDir()
	put(t, dir, map[string]string{
		"INDEX.txt":           "d-10.000000-111.pgm\nr-10.010000-222.ppm\n",
		"d-10.000000-111.pgm": head + string(unpacked(raw)), "r-10.010000-222.ppm": string(ppm),
		"a-10.0-3.dump": "xyz", "d-11.500000-444.pgm": head + string(unpacked(millimetre)),
	})
	frames := framesOf(t, Fakenect, dir, ingest.Options{})
	if len(frames) != 2 {
		t.Fatalf("found %d frames", len(frames))
	}
	f := frames[0]
	if z := f.Depth[9]; math.Abs(float64(z)-1.195123) > 1e-6 || frames[1].Depth[9] != 3 || frames[1].Color != nil {
		t.Errorf("found %g m and %g m", z, frames[1].Depth[9])
	}
	for at, want := range map[[2]int][2]float64{
		{320, 240}: {311.146, 258.206}, {100, 80}: {97.853, 104.405},
		{550, 400}: {524.770, 406.562},
	} {
		c := f.Color[at[1]*kinectWidth+at[0]]
		u, v := math.Floor(want[0]+0.5), math.Floor(want[1]+0.5)
		if c != (color.RGBA{R: byte(int(u)), G: byte(int(u) >> 8), B: byte(int(v) / 2), A: 255}) {
			t.Errorf("pixel %v: found colour %v, want that of %g %g", at, c, u, v)
		}
	}
	info, err := Fakenect.Inspect(t.Context(), dir, ingest.Options{})
	if d, ok := info.(*ingest.Depth); err != nil || !ok || d.Frames != 2 || d.Unit != unitDisparity {
		t.Errorf("found %+v, %v", info, err)
	}
}

func TestPPM(t *testing.T) {
	good := "P6 2 1 255\nabcdef"
	pixels, w, h, err := decodeColor([]byte(good), settingsOf(ingest.Options{}))
	if err != nil || w != 2 || h != 1 || pixels[1] != (color.RGBA{'d', 'e', 'f', 255}) {
		t.Errorf("found %v, %d x %d, %v", pixels, w, h, err)
	}
	for _, bad := range []string{"P6 2 1 255\nabcde", "P6 2 1 65535\nabcdefabcdef", "P6 2 x", "P6", "P6 99999 99999 255\n"} {
		if _, _, _, err := decodeColor([]byte(bad), settingsOf(ingest.Options{})); err == nil {
			t.Errorf("%q: found no error", bad)
		}
	}
}

func FuzzPPM(f *testing.F) {
	m := mutants.New(f, "ppm")
	m.Add([]byte("P6 2 1 255\nabcdef"))
	m.Fuzz(func(t *testing.T, data []byte) {
		pixels, w, h, err := decodePPM(data, settingsOf(ingesttest.Options))
		if err == nil && len(pixels) != w*h {
			t.Errorf("found %d pixels of %d x %d", len(pixels), w, h)
		}
	})
}
