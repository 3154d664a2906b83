package photogrammetry

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/ingesttest"
	"github.com/voxelstream/voxelstream/internal/mutants"
	"github.com/voxelstream/voxelstream/internal/testenv"
)

func modelOf(t *testing.T, f ingest.Format, path string) *Model {
	t.Helper()
	head, err := ingest.ReadHead(path)
	if err != nil || f.Detect(head) == ingest.No {
		t.Fatalf("%s: not recognized: %v", f.Name, err)
	}
	d, err := f.Inspect(t.Context(), path, ingest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	m, ok := d.(*Model)
	if !ok {
		t.Fatalf("found %T", d)
	}
	return m
}

// appendAll appends values, little endian.
func appendAll(tb testing.TB, b []byte, values ...any) []byte {
	tb.Helper()
	for _, v := range values {
		var err error
		if b, err = binary.Append(b, binary.LittleEndian, v); err != nil {
			tb.Fatal(err)
		}
	}
	return b
}

// camerasBin is one camera of model OPENCV; imagesBin two images, the first turned a quarter about z, at (1, 2, 3).
func camerasBin(tb testing.TB) []byte {
	return appendAll(tb, nil, uint64(1), uint32(7), int32(4), uint64(640), uint64(480),
		[]float64{500, 501, 320, 240, 0.1, 0.2, 0.3, 0.4})
}

func imagesBin(tb testing.TB) []byte {
	s := math.Sqrt(0.5)
	b := appendAll(tb, nil, uint64(2), uint32(3), []float64{s, 0, 0, s, 2, -1, -3}, uint32(7),
		[]byte("a b.jpg\x00"), uint64(1), []float64{1, 2}, uint64(9))
	return appendAll(tb, b, uint32(4), []float64{1, 0, 0, 0, 0, 0, 0}, uint32(7), []byte("c.jpg\x00"), uint64(0))
}

const (
	camerasText = "# Camera list with one line of data per camera:\n#   CAMERA_ID, MODEL, WIDTH, HEIGHT, PARAMS[]\n7 " +
		"OPENCV 640 480 500 501 320 240 0.1 0.2 0.3 0.4\n"
	imagesText = "# Image list with two lines of data per image:\n3 0.70710678 0 0 0.70710678 2 -1 -3 7 a b.jpg\n1 " +
		"2 9\n4 1 0 0 0 0 0 0 7 c.jpg\n\n"
	sfm = `[{"cameras":{"v2 x":{"projection_type":"brown","width":640,"height":480,` +
		`"focal_x":0.78125,"focal_y":0.7828125,"c_x":0,"c_y":0,` +
		`"k1":0.1,"k2":0.2,"p1":0.3,"p2":0.4,"k3":0}},"shots":{"a b.jpg":{"rotation":[0,0,1.5707963267948966],"translation":[2,-1,-3],"camera":"v2 x"},` +
		`"c.jpg":{"rotation":[0,0,0],"translation":[0,0,0],"camera":"v2 x"}},"points":{"10":{"coordinates":[-1,-2,-3],"color":[7,8,9],` +
		`"reprojection_errors":{"a b.jpg":[3,4]}},"9":{"coordinates":[1,2,3],"color":[4,5,6],"reprojection_errors":{"a b.jpg":[0.3,0.4],"c.jpg":[0.5,0]}}}}]`
)

func TestCamerasAndImages(t *testing.T) {
	for name, c := range map[string]struct {
		format ingest.Format
		data   string
	}{
		"cameras.bin": {COLMAPCameras, string(camerasBin(t))}, "cameras.txt": {COLMAPCamerasText, camerasText},
		"images.bin": {COLMAPImages, string(imagesBin(t))}, "images.txt": {COLMAPImagesText, imagesText},
		"reconstruction.json": {OpenSfM, sfm},
	} {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(c.data), 0o600); err != nil {
			t.Fatal(err)
		}
		m := modelOf(t, c.format, path)
		if !strings.HasPrefix(name, "images") {
			in := m.Cameras[0].Intrinsics
			want := ingest.Intrinsics{Fx: 500, Fy: 501, Cx: 319.5, Cy: 239.5, Lens: ingest.Brown(0.1, 0.2, 0.3, 0.4)}
			if len(m.Cameras) != 1 || in == nil || *in != want || m.Cameras[0].Size != [2]int{640, 480} {
				t.Errorf("%s: found %+v", name, m.Cameras)
			}
		}
		if !strings.HasPrefix(name, "cameras") {
			im := m.Images[0]
			if len(m.Images) != 2 || im.Name != "a b.jpg" ||
				math.Abs(im.Position[0]-1)+math.Abs(im.Position[1]-2)+math.Abs(im.Position[2]-3) > 1e-6 ||
				math.Abs(im.Rotation[1]-1) > 1e-6 {
				t.Errorf("%s: found %+v", name, m.Images)
			}
			if want := 1; strings.HasPrefix(name, "images") && im.Features != want {
				t.Errorf("%s: found %d features", name, im.Features)
			}
		}
		if b, err := json.Marshal(ingest.Info{File: name, Format: c.format.Name, Detail: m}); err != nil ||
			!json.Valid(b) || !strings.Contains(string(b), `"images":[`) {
			t.Errorf("%s: found %s, %v", name, b, err)
		}
		if name != "reconstruction.json" {
			if _, err := c.format.Open(t.Context(), path, ingest.Options{}); err == nil ||
				!strings.Contains(err.Error(), "but no points") {
				t.Errorf("%s: open: found error %v", name, err)
			}
		}
	}
}

func TestOpenSfMPoints(t *testing.T) {
	for _, c := range []struct {
		o    ingest.Options
		want string
	}{
		{ingest.Options{}, "[1 -1] [4 7]"},
		{ingest.Options{Readers: []any{&Options{MinTrack: 2}}}, "[1] [4]"},
		{ingest.Options{Readers: []any{&Options{MaxReprojection: 1}}}, "[1] [4]"},
	} {
		clouds, _, err := decodeOpenSfM([]byte(sfm), c.o.WithDefaults())
		if err != nil {
			t.Fatal(err)
		}
		if p := clouds.Clouds[0]; fmt.Sprint(p.X, p.R) != c.want {
			t.Errorf("%+v: found %v %v, want %s", c.o, p.X, p.R, c.want)
		}
	}
	for _, bad := range []string{`[`, `{}`, `[{"cameras":{"a":{"width":-1}}}]`, `[{"points":{"1":{"coordinates":["x"]}}}]`} {
		if _, _, err := decodeOpenSfM([]byte(bad), ingest.Options{}.WithDefaults()); err == nil {
			t.Errorf("%s: found no error", bad)
		}
	}
	if _, _, err := decodeOpenSfM([]byte(sfm), ingest.Options{MaxPoints: 1}); err == nil ||
		!strings.Contains(err.Error(), "more than 1 points") {
		t.Errorf("found error %v", err)
	}
}

// TestSamples: the facts of MANIFEST.tsv, and what the poses mean: the points project onto the photographs that saw
// them.
func TestSamples(t *testing.T) {
	cameras := modelOf(t, COLMAPCameras, testenv.Sample(t, "sfm/sbcv_colmap_bin_cameras.bin"))
	if c := cameras.Cameras[0]; len(cameras.Cameras) != 1 || c.ID != "1" || c.Model != "SIMPLE_RADIAL" ||
		c.Size != [2]int{2832, 2128} ||
		fmt.Sprintf("%.6g", c.Params) != "[2971.71 1416 1064 -0.164224]" {
		t.Errorf("found %+v", cameras.Cameras)
	}
	images := modelOf(t, COLMAPImages, testenv.Sample(t, "sfm/sbcv_colmap_bin_images.bin"))
	features := 0
	for _, im := range images.Images {
		features += im.Features
	}
	if len(images.Images) != 11 || images.Images[0].Name != "100_7109.JPG" || images.Images[0].Camera != "1" ||
		features != 116437 {
		t.Errorf("found %d images, first %+v, %d features", len(images.Images), images.Images[0], features)
	}
	text := modelOf(t, COLMAPCamerasText, testenv.Sample(t, "sfm/sbcv_colmap_notshared_cameras.txt"))
	if c := text.Cameras; len(c) != 11 || fmt.Sprint(c[0].Params) != "[2986.17 1416 1064 -0.177315]" ||
		c[10].ID != "11" || c[10].Params[0] != 2953.11 {
		t.Errorf("found %+v", c)
	}
	nvm := modelOf(t, NVM, testenv.Sample(t, "sfm/VisualSFM_example.nvm"))
	if len(nvm.Images) != 11 || nvm.Images[0].Name != "images/100_7103.JPG" ||
		nvm.Images[0].Position != [3]float64{-2.43948, -0.336453, -1.61413} || nvm.Count != 7817 {
		t.Errorf("found %+v", nvm.Images)
	}
}

func TestCOLMAPFolder(t *testing.T) {
	dir := t.TempDir()
	for name, sample := range map[string]string{
		"points3D.bin": "points3D", "cameras.bin": "cameras",
		"images.bin": "images",
	} {
		if err := os.Symlink(testenv.Sample(t, "sfm/sbcv_colmap_bin_"+sample+".bin"), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	m := modelOf(t, COLMAPModel, dir)
	if m.Count != 7862 || len(m.Cameras) != 1 || len(m.Images) != 11 || m.Kind() != "points" ||
		!strings.Contains(m.Text(), "images  11") {
		t.Errorf("found %d points, %d cameras, %d images", m.Count, len(m.Cameras), len(m.Images))
	}
	src, err := COLMAPModel.Open(t.Context(), dir, ingest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := src.Read(t.Context())
	p, ok := s.Data.(*ingest.PointCloud)
	if err != nil || !ok || p.Len() != 7862 {
		t.Fatalf("found %T, %v", s.Data, err)
	}
	// A sparse point was seen by two cameras or more, so most points lie in any one image of this ring of photographs.
	camera := m.Cameras[0]
	for _, im := range m.Images {
		pose := ingest.Pose{R: im.Rotation, T: im.Position}
		inv := pose.Inverse()
		to := ingest.NewProjector(*camera.Intrinsics, camera.Size[0], camera.Size[1])
		inside := 0
		for i := range p.X {
			u, v, ok := to.Pixel(inv.Apply(p.X[i], p.Y[i], p.Z[i]))
			if ok && u >= 0 && v >= 0 && u < float64(camera.Size[0]) && v < float64(camera.Size[1]) {
				inside++
			}
		}
		if inside < p.Len()/3 {
			t.Errorf("%s: found %d of %d points in the image", im.Name, inside, p.Len())
		}
	}
}

// decoders are those that the suite of sources cannot drive: their files hold no points.
func decoders() map[string]func([]byte) (*Model, error) {
	return map[string]func([]byte) (*Model, error){
		"cameras.bin": decodeCameras, "cameras.txt": decodeCamerasText, "images.bin": decodeImages,
		"images.txt": decodeImagesText,
	}
}

func TestDamagedCameras(t *testing.T) {
	good := map[string][]byte{
		"cameras.bin": camerasBin(t), "cameras.txt": []byte(camerasText),
		"images.bin": imagesBin(t), "images.txt": []byte(imagesText),
	}
	for name, decode := range decoders() {
		data := good[name]
		for n := range data {
			if _, err := decode(data[:n]); err == nil && strings.HasSuffix(name, ".bin") {
				t.Errorf("%s: first %d of %d bytes: found no error", name, n, len(data))
			}
		}
		r := rand.New(rand.NewPCG(1, 2))
		for range 1000 {
			check(t, name, decode, mutants.Mutate(r, data))
		}
	}
}

// check: whatever the input, what is decoded is finite and marshals.
func check(t *testing.T, name string, decode func([]byte) (*Model, error), data []byte) {
	t.Helper()
	m, err := decode(data)
	if err != nil {
		return
	}
	if _, err := json.Marshal(m); err != nil {
		t.Errorf("%s: %v in %q", name, err, data)
	}
	head := &ingest.Head{Path: name, Size: int64(len(data)), Bytes: data}
	detectImages(head)
	detectBin(decodeCameras)(head)
}

func FuzzCameras(f *testing.F) {
	m := mutants.New(f, "colmap-cameras")
	for _, seed := range [][]byte{camerasBin(f), []byte(camerasText), imagesBin(f), []byte(imagesText)} {
		m.Add(seed)
	}
	m.Fuzz(func(t *testing.T, data []byte) {
		for name, decode := range decoders() {
			check(t, name, decode, data)
		}
	})
}

func FuzzOpenSfM(f *testing.F) { ingesttest.Fuzz(f, OpenSfM, "reconstruction.json", []byte(sfm)) }

func TestOpenSfMSuite(t *testing.T) {
	ingesttest.Format(t, OpenSfM, "reconstruction.json", []byte(sfm))
}
