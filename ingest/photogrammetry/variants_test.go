package photogrammetry

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/ingest"
)

// TestPointsWithoutComments: tables of points by hand and by other programs.
func TestPointsWithoutComments(t *testing.T) {
	const three = "1 10.5 20 30 255 128 64 0.5\n2 11 21 31 250 120 60 0.5\n3 12 22 32 250 120 60 0.5\n"
	for name, c := range map[string]struct {
		text string
		want ingest.Confidence
	}{
		"points3D.txt":       {three, ingest.Likely},
		"POINTS3D.TXT":       {three, ingest.Likely},
		"other.txt":          {three, ingest.Likely},
		"tracks.txt":         {strings.ReplaceAll(three, " 0.5\n", " 0.5 1 2 3 4\n"), ingest.Likely},
		"a/points3D.txt":     {"7 10.5 20 30 255 128 64\n", ingest.Likely}, // neither error nor track
		"b/points3D.txt":     {"\n# by hand\n9 10.5 20 30 255 128 64 1\n", ingest.Likely},
		"two.txt":            {"1 2 3 4 5 6 7 8\n2 2 3 4 5 6 7 8\n", ingest.No},
		"time.txt":           {"10 2 3 4 5 6 7 8\n11 2 3 4 5 6 7 8\n12 2 3 4 5 6 7 8\n", ingest.No},
		"normals.txt":        {"1 2 3 4 0.5 0.5 0.7 8\n2 2 3 4 0.5 0.5 0.7 8\n3 2 3 4 0.5 0.5 0.7 8\n", ingest.No},
		"odd.txt":            {"1 2 3 4 5 6 7 8 9\n2 2 3 4 5 6 7 8 9\n3 2 3 4 5 6 7 8 9\n", ingest.No},
		"words/points3D.txt": {"no points\n", ingest.No},
	} {
		path := filepath.Join(t.TempDir(), filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		head, err := ingest.ReadHead(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := COLMAPText.Detect(head); got != c.want {
			t.Errorf("%s: found confidence %d, want %d", name, got, c.want)
		}
		if c.want == ingest.No {
			continue
		}
		d, err := COLMAPText.Inspect(t.Context(), path, ingest.Options{})
		if p, ok := d.(*Model); err != nil || !ok || *p.First != [3]float64{10.5, 20, 30} {
			t.Errorf("%s: found %+v, %v", name, d, err)
		}
	}
}

// TestTruncatedPoints: the whole points of a truncated file are kept.
func TestTruncatedPoints(t *testing.T) {
	whole := colmap(t)
	o := ingest.Options{Notes: new(ingest.Notes)}.WithDefaults()
	for _, cut := range []int{1, 8, 17, 30} {
		c, _, err := decodeCOLMAP(whole[:len(whole)-cut], o)
		if err != nil || c.Clouds[0].Len() != 1 {
			t.Errorf("cut by %d: found %v, %v", cut, c, err)
		}
		if got := fmt.Sprint(o.Notes.Take()); got != "[the file is truncated: found 1 of 2 points]" {
			t.Errorf("cut by %d: found notes %s", cut, got)
		}
	}
	if _, _, err := decodeCOLMAP(whole[:40], o); err == nil || !strings.Contains(err.Error(), "no whole point of 2") {
		t.Errorf("found error %v", err)
	}
}

// cameraOf is a camera of a binary file.
func cameraOf(id, model uint32, params int) []byte {
	le := binary.LittleEndian
	b := le.AppendUint32(le.AppendUint32(nil, id), model)
	b = le.AppendUint64(le.AppendUint64(b, 640), 480)
	for i := range params {
		b, _ = binary.Append(b, le, float64(i+1)) // numbers can be written
	}
	return b
}

// TestNewerCameraModels: the models of newer versions are known, and an unknown one costs the cameras from there on.
func TestNewerCameraModels(t *testing.T) {
	le := binary.LittleEndian
	for model, c := range colmapModels {
		data := append(le.AppendUint64(nil, 1), cameraOf(3, uint32(model), c.params)...)
		m, err := decodeCameras(data)
		if err != nil || len(m.Cameras) != 1 || m.Cameras[0].Model != c.name || len(m.Cameras[0].Params) != c.params {
			t.Errorf("%s: found %+v, %v", c.name, m, err)
		}
		words := fmt.Sprint("3 ", c.name, " 640 480", strings.Repeat(" 1", c.params))
		if m, err := decodeCamerasText([]byte(words)); err != nil || len(m.Cameras) != 1 {
			t.Errorf("%s: found %+v, %v", c.name, m, err)
		}
	}
	data := append(append(append(le.AppendUint64(nil, 3), cameraOf(1, 1, 4)...), cameraOf(2, 99, 4)...),
		cameraOf(3, 1, 4)...)
	m, err := decodeCameras(data)
	if err != nil || len(m.Cameras) != 1 || len(m.notes) != 1 || !strings.HasPrefix(m.notes[0], "left out 2 of 3 cameras") {
		t.Errorf("found %+v, %v", m, err)
	}
	if _, err := decodeCameras(append(le.AppendUint64(nil, 1), cameraOf(1, 99, 4)...)); err == nil {
		t.Error("found no error for a file without a known camera")
	}
	if p := colmapIntrinsics("SIMPLE_FISHEYE", []float64{100, 50.5, 40.5}); p == nil ||
		p.Lens.Model != ingest.Fisheye || p.Cx != 50 {
		t.Errorf("found %+v", p)
	}
}

// TestModelWithoutCameras: cameras that cannot be read do not hide the points.
func TestModelWithoutCameras(t *testing.T) {
	dir := t.TempDir()
	cameras := append(binary.LittleEndian.AppendUint64(nil, 1), cameraOf(1, 99, 4)...)
	for name, data := range map[string][]byte{
		"points3D.bin": colmap(t), "cameras.bin": cameras,
		"images.bin": make([]byte, 8),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	o := ingest.Options{Notes: new(ingest.Notes)}
	d, err := COLMAPModel.Inspect(t.Context(), dir, o)
	if m, ok := d.(*Model); err != nil || !ok || m.Count != 2 || len(m.Cameras) != 0 {
		t.Errorf("found %+v, %v", d, err)
	}
	if got := fmt.Sprint(o.Notes.Take()); !strings.Contains(got, "found model 99, want 0 to 17") {
		t.Errorf("found notes %s", got)
	}
}
