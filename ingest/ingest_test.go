package ingest

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/voxelstream/voxelstream/internal/unpack"
)

func TestStreamNameFollowsContent(t *testing.T) {
	a, b := t.TempDir(), t.TempDir()
	big := bytes.Repeat([]byte("0123456789abcdef"), 20<<10) // 320 KiB
	names := map[string]string{}
	for _, f := range []struct {
		key, path string
		data      []byte
	}{
		{"here", filepath.Join(a, "scan 1.pcd"), big},
		{"elsewhere", filepath.Join(b, "scan 1.pcd"), big},
		{"longer", filepath.Join(a, "longer", "scan 1.pcd"), append(bytes.Clone(big), '!')},
		{"empty", filepath.Join(a, "empty"), nil},
		{"short", filepath.Join(a, "short"), []byte("abc")},
	} {
		if err := os.MkdirAll(filepath.Dir(f.path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(f.path, f.data, 0o600); err != nil {
			t.Fatal(err)
		}
		var err error
		if names[f.key], err = StreamName(f.path); err != nil {
			t.Fatal(err)
		}
	}
	if names["here"] != names["elsewhere"] || names["here"] == names["longer"] {
		t.Errorf("found %v", names)
	}
	// The SHA-256 of 8 zero bytes, the size, begins with af5570f5.
	if names["empty"] != "empty-af5570f5" || !strings.HasPrefix(names["here"], "scan_1.pcd-") {
		t.Errorf("found %v", names)
	}
}

func TestReadFileLimits(t *testing.T) {
	dir := t.TempDir()
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := z.Write(make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	bomb, plain := filepath.Join(dir, "bomb.gz"), filepath.Join(dir, "plain")
	for path, data := range map[string][]byte{bomb: packed.Bytes(), plain: make([]byte, 5000)} {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]string{
		bomb:  "too many uncompressed bytes, limit 4096",
		plain: "found 5000 bytes, limit 4096", dir: "want a regular file",
	} {
		if _, err := ReadFile(path, Options{MaxBytes: 4096}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: found error %v, want %q", path, err, want)
		}
	}
	if data, err := ReadFile(bomb, Options{}); err != nil || len(data) != 1<<20 {
		t.Errorf("found %d bytes, %v", len(data), err)
	}
	head, err := ReadHead(bomb)
	if err != nil || !head.Gzip || head.Size != 1<<20 || len(head.Bytes) != HeadBytes || head.Ext != "" {
		t.Errorf("found %v bytes of %d, ext %q, %v", len(head.Bytes), head.Size, head.Ext, err)
	}
	for n := 0; n < packed.Len(); n += 1 + n/16 {
		if _, _, err := decompress(packed.Bytes()[:n], unpack.Limits{Bytes: 1 << 21}, Options{}); err == nil {
			t.Errorf("first %d of %d bytes: found no error", n, packed.Len())
		}
	}
}

func TestInfoJSON(t *testing.T) {
	nan := math.NaN()
	taken := time.Date(2026, 1, 2, 3, 4, 5, 6000000, time.UTC)
	for want, info := range map[string]Info{
		`{"file":"a.pcd","format":"pcd","kind":"points","count":3,"finite":2,"fields":["x","y","z"],"min":[1,2,-3],"max":[4,5,6],"first":[4,2,6],` +
			`"time":"2026-01-02T03:04:05.006Z"}`: {File: "a.pcd", Format: "pcd", Detail: PointsOf(&Clouds{
			Fields: []string{"x", "y", "z"}, Time: taken,
			Clouds: []*PointCloud{{X: []float64{nan, 4, 1}, Y: []float64{0, 2, 5}, Z: []float64{0, 6, -3}}},
		})},
		`{"file":"e","format":"xyz","kind":"points","count":0,"finite":0,"fields":[],"min":null,"max":null,"first":null,"time":null,"clouds":2}`: {
			File: "e", Format: "xyz", Detail: PointsOf(&Clouds{Clouds: []*PointCloud{{}, {}}}),
		},
		`{"file":"d.png","format":"png-depth","kind":"depth","width":2,"height":2,"unit":"mm","valid":2,"min_m":0.6,"max_m":2.702,` +
			`"distance":{"nearest_m":0.6,"median_m":0.6,"deviation_m":0.000576,"valid":0.5,"regions":[[null,null,null],` +
			`[null,null,{"nearest_m":0.6,"median_m":0.6,"deviation_m":0.000576,"valid":1}],` +
			`[null,{"nearest_m":2.702,"median_m":2.702,"deviation_m":0.011681,"valid":1},null]],` +
			`"noise":"structured-light"}}`: {
			File: "d.png", Format: "png-depth", Detail: DepthOf(&Frame{
				Width: 2, Height: 2,
				Depth: []Metres{0, 0.6, 2.702, 0},
			}, 1000),
		},
		`{"file":"g.npy","format":"npy","kind":"grid","rows":2,"shape":[4,4,4],"labels":{"1":2}}`: {
			File: "g.npy", Format: "npy", Detail: &Grids{Rows: 2, Shape: []int{4, 4, 4}, Labels: map[string]int{"1": 2}},
		},
		`{"file":"v.pcap","format":"pcap","kind":"packets","sensor":"VLP-16","packets":7,"frames":1,"returns":9,"lost":0,"repeated":0}`: {
			File: "v.pcap", Format: "pcap", Detail: &Packets{Sensor: "VLP-16", Packets: 7, Frames: 1, Returns: 9},
		},
	} {
		got, err := json.Marshal(info)
		if err != nil || string(got) != want {
			t.Errorf("found %s, %v\nwant  %s", got, err, want)
		}
		if text := info.String(); !strings.Contains(text, info.File) || strings.Contains(text, "%!") {
			t.Errorf("found text %q", text)
		}
	}
}

func TestNewFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out")
	f, err := CreateFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("half"); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if entries, err := os.ReadDir(filepath.Dir(path)); err != nil || len(entries) != 0 {
		t.Errorf("found %v, %v, want nothing left of what was not committed", entries, err)
	}
	if f, err = CreateFile(path); err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("whole"); err != nil {
		t.Fatal(err)
	}
	if err := f.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(path); err != nil || string(data) != "whole" {
		t.Errorf("found %q, %v", data, err)
	}
}

// TestGzipTails: what follows the last member is no part of the file, and several members are one file.
func TestGzipTails(t *testing.T) {
	pack := func(s string) []byte {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		if _, err := z.Write([]byte(s)); err != nil {
			t.Fatal(err)
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	zeros := make([]byte, 100_000)
	for name, c := range map[string]struct {
		data  []byte
		want  string
		notes int
	}{
		"plain":              {pack("abc"), "abc", 0},
		"zeros":              {append(pack("abc"), zeros[:512]...), "abc", 0},
		"one zero":           {append(pack("abc"), 0), "abc", 0},
		"many zeros":         {append(pack("abc"), zeros...), "abc", 0},
		"garbage":            {append(pack("abc"), "tail"...), "abc", 1},
		"two members":        {append(pack("abc"), pack("defg")...), "abcdefg", 0},
		"empty last member":  {append(pack("abc"), pack("")...), "abc", 0},
		"two members, zeros": {slices.Concat(pack("abc"), pack("defg"), zeros[:9]), "abcdefg", 0},
	} {
		path := filepath.Join(t.TempDir(), "x.gz")
		if err := os.WriteFile(path, c.data, 0o600); err != nil {
			t.Fatal(err)
		}
		o := Options{Notes: new(Notes)}
		got, err := ReadFile(path, o)
		head, herr := ReadHead(path)
		if err != nil || herr != nil || string(got) != c.want || string(head.Bytes) != c.want ||
			head.Size != int64(len(c.want)) || len(o.Notes.Take()) != c.notes {
			t.Errorf("%s: found %q, %v; head %q of %d, %v", name, got, err, head.Bytes, head.Size, herr)
		}
	}
}

// TestGzipHeads: the head of a gzip file that does not fit into the bytes that are read, and of one that is cut.
func TestGzipHeads(t *testing.T) {
	noise := make([]byte, 300_000)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range noise {
		noise[i] = byte(r.Uint32())
	}
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write(noise); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{b.Len(), 200_000, 70_000, 1000, 40} {
		path := filepath.Join(t.TempDir(), "x.gz")
		if err := os.WriteFile(path, b.Bytes()[:size], 0o600); err != nil {
			t.Fatal(err)
		}
		h, err := ReadHead(path)
		if err != nil || !bytes.HasPrefix(noise, h.Bytes) || size == b.Len() && h.Size != int64(len(noise)) {
			t.Errorf("%d bytes: found %d bytes of %d, %v", size, len(h.Bytes), h.Size, err)
		}
	}
}

func TestColumn(t *testing.T) {
	p := &PointCloud{
		X: []float64{1}, Y: []float64{2}, Z: []float64{3}, Intensity: []float32{4}, R: []uint8{5}, G: []uint8{6},
		B: []uint8{7}, Fields: []Field{{Name: "Ring", Values: []float64{8}}},
	}
	for i, name := range []string{"x", "y", "z", "intensity", "red", "green", "blue", "ring"} {
		if c, err := p.Column(name); err != nil || len(c) != 1 || c[0] != float64(i+1) {
			t.Errorf("%s: found %v, %v, want [%d]", name, c, err, i+1)
		}
	}
	two := &PointCloud{X: []float64{1, 2}, Fields: []Field{{"ring", []float64{8, 9}}}}
	kept, at := two.Kept([]bool{false, true}), two.At([]int32{1, 1, 0})
	if k, a := kept.Fields[0], at.Fields[0]; k.Name != "ring" || !slices.Equal(k.Values, []float64{9}) ||
		!slices.Equal(a.Values, []float64{9, 9, 8}) {
		t.Errorf("found fields %v and %v of the points kept", kept.Fields, at.Fields)
	}
	_, err := p.Column("time")
	if err == nil || err.Error() != "found points with x, y, z, Ring, intensity, red, green, blue, want time" {
		t.Errorf("time: found error %v", err)
	}
}
