package depth

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"math"
	"math/bits"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/internal/mutants"
)

// azureJSON is the calibration of a device, with round places: its colour camera 32 mm beside the depth camera, not
// turned.
const azureJSON = `{"CalibrationInformation":{"Cameras":[
{"Intrinsics":{"ModelParameterCount":14,"ModelParameters":[0.51296979188919067,0.51692354679107666,0.4927808940410614,0.49290284514427185,0.54793977737426758,
-0.020971370860934258,-0.0026522316038608551,0.88967907428741455,0.086130209267139435,-0.013910384848713875,0,0,-7.2104157879948616E-5,2.0557534298859537E-5],
"ModelType":"CALIBRATION_LensDistortionModelBrownConrady"},"Purpose":"CALIBRATION_CameraPurposeDepth","Rt":{"Rotation":[1,0,0,0,1,0,0,0,1],"Translation":[0,0,0]}},
{"Intrinsics":{"ModelParameterCount":14,"ModelParameters":[0.49984714388847351,0.50661760568618774,0.47796511650085449,0.63742393255233765,0,0,0,0,0,0,0,0,0,0],
"ModelType":"CALIBRATION_LensDistortionModelBrownConrady"},"Purpose":"CALIBRATION_CameraPurposePhotoVideo",
"Rt":{"Rotation":[1,0,0,0,1,0,0,0,1],"Translation":[-0.032,0,0]}}]}}`

func grey16(tb testing.TB, w, h int, value func(i int) uint16) string {
	img := image.NewGray16(image.Rect(0, 0, w, h))
	for i := range w * h {
		img.SetGray16(i%w, i/w, color.Gray16{Y: value(i)})
	}
	return string(encode(tb, img))
}

func TestAzureFolder(t *testing.T) {
	const w, h = 1280, 720
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	for i := range w * h {
		img.SetRGBA(i%w, i/w, color.RGBA{R: uint8(i % w), G: uint8(i % w >> 8), B: uint8(i / w / 4), A: 255})
	}
	var colors bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.NoCompression}).Encode(&colors, img); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	put(t, dir, map[string]string{
		"calibration.json": azureJSON, "depth/0.png": grey16(t, 640, 576, func(int) uint16 { return 1600 }),
		"color/0.png": colors.String(),
		"depth/1.png": grey16(t, 640, 480, func(int) uint16 { return 1 }),
	})
	frames := framesOf(t, Frames, dir, ingest.Options{})
	if len(frames) != 1 { // 640 x 480 is no mode of the device
		t.Fatalf("found %d frames", len(frames))
	}
	f := frames[0]
	// 0.4927808940410614 * 1024, 0.51296979188919067 * 1024 - 192 - 0.5.
	if math.Abs(f.Cam.Fx-504.607635)+math.Abs(f.Cam.Cx-332.781067)+math.Abs(f.Cam.Cy-348.829712) > 1e-5 ||
		f.Cam.Lens.P != [2]float64{2.0557534298859537e-5, -7.2104157879948616e-5} {
		t.Errorf("found camera %+v", f.Cam)
	}
	// The middle of the depth image sees, at 1.6 m, what lies 32 mm to the left of the colour camera's axis: 0.02
	// of the focal length 611.795.
	c := f.Color[349*640+333]
	u, v := int(c.R)+int(c.G)<<8, int(c.B)*4
	wantU, wantV := 0.49984714388847351*1280-0.5-0.02*611.795, 0.50661760568618774*960-120-0.5
	if math.Abs(float64(u)-wantU) > 2 || math.Abs(float64(v)-wantV) > 4 {
		t.Errorf("found the colour of %d %d, want that of %g %g", u, v, wantU, wantV)
	}
}

func TestAzureRefuses(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"model":      {strings.Replace(azureJSON, "BrownConrady", "Theta", 1), "ModelTheta"},
		"parameters": {strings.Replace(azureJSON, "-7.2104157879948616E-5,", "", 1), "13 parameters"},
		"place":      {strings.Replace(azureJSON, `"Translation":[0,0,0]`, `"Translation":[0]`, 1), "translation of 1"},
		"no depth":   {`{"CalibrationInformation":{"Cameras":[]}}`, "no depth camera"},
		"cut":        {azureJSON[:99], "JSON"},
	} {
		if _, err := parseAzure([]byte(c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: found error %v, want %q", name, err, c.want)
		}
	}
}

func FuzzAzure(f *testing.F) {
	m := mutants.New(f, "azure")
	m.Add([]byte(azureJSON))
	m.Fuzz(func(_ *testing.T, data []byte) {
		if a, err := parseAzure(data); err == nil {
			_, _ = a.camera(640, 576)
			a.colorCamera(1280, 720)
		}
	})
}

func TestSUNFolder(t *testing.T) {
	// 2 m rising by 1 mm a pixel, so that there are many numbers.
	depth := grey16(t, 32, 16, func(i int) uint16 { return bits.RotateLeft16(uint16(2000+i), 3) })
	dir := t.TempDir()
	put(t, dir, map[string]string{
		"intrinsics.txt": "570 0 15.5\n0 571 7.5\n0 0 1\n", "depth_bfx/a.png": depth, "depth/a.png": "not taken",
		"image/b.jpg":         string(colorImage(t, 32, 16)),
		"extrinsics/2015.txt": "1 0 0 0\n0 0.6 -0.8 0\n0 0.8 0.6 0\n",
	})
	frames := framesOf(t, SUN, dir, ingest.Options{})
	if len(frames) != 1 {
		t.Fatalf("found %d frames", len(frames))
	}
	f := frames[0]
	if f.Depth[0] != 2 || f.Depth[511] != 2.511 || f.Cam.Fy != 571 || f.Pose == nil || f.Pose.R[7] != 0.8 ||
		len(f.Color) != 512 {
		t.Errorf("found %g and %g m, camera %+v, pose %+v", f.Depth[0], f.Depth[511], f.Cam, f.Pose)
	}
	// The image alone tells by its bits.
	alone, err := readPNG(dir+"/depth_bfx/a.png", settingsOf(ingest.Options{}))
	if err != nil || alone.Depth[511] != 2.511 {
		t.Errorf("alone: found %v, %v", alone.Depth[511], err)
	}
	if rotated(make([]uint16, 1000)) || rotated([]uint16{8, 16, 24}) {
		t.Error("an image of few numbers was taken for rotated")
	}
}
