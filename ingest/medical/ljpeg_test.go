package medical

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/ingesttest"
)

// TestJPEG: files of dcmtk's encoder have the pixels that pydicom sees; testdata/jpeg.py made both. Baseline JPEG
// may differ by rounding.
func TestJPEG(t *testing.T) {
	paths, err := filepath.Glob("testdata/jpeg/*.dcm")
	if err != nil || len(paths) != 10 {
		t.Fatalf("found %d files, %v", len(paths), err)
	}
	for _, path := range paths {
		s, frames, err := readFrames(path, ingesttest.Options)
		if err != nil {
			t.Error(err)
			continue
		}
		raw, err := os.ReadFile(strings.TrimSuffix(path, "dcm") + "raw")
		if err != nil {
			t.Fatal(err)
		}
		got := make([]float32, s.rows*s.cols*s.frames)
		for i, f := range frames {
			f.values(got[i*s.rows*s.cols:][:s.rows*s.cols])
		}
		if len(raw) != 4*len(got) {
			t.Errorf("%s: found %d pixels, want %d", path, len(got), len(raw)/4)
			continue
		}
		most := 0.0
		for i, v := range got {
			most = max(most, math.Abs(float64(v)-float64(int32(binary.LittleEndian.Uint32(raw[4*i:])))))
		}
		if lossy := strings.Contains(path, "baseline"); !lossy && most > 0 || most > 2 {
			t.Errorf("%s: pixels are off by up to %v", path, most)
		}
	}
}

// testImage is an image to be encoded, with all that a scan can be.
type testImage struct {
	rows, cols, precision, predictor, shift, restart int // restart in lines
	v                                                []uint16
}

// encode is the opposite of unLJPEG, with codes of five bits for all sizes.
func (m *testImage) encode() []byte {
	o := binary.BigEndian
	b := []byte{0xff, jpegSOI, 0xff, 0xe0, 0, 4, 'x', 'y', 0xff, jpegDHT, 0, 2 + 17 + 17, 0}
	b = append(b, 0, 0, 0, 0, 17, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	for size := range byte(17) {
		b = append(b, size)
	}
	b = append(b, 0xff, 0xff, jpegSOF3, 0, 11, byte(m.precision))
	b = o.AppendUint16(o.AppendUint16(b, uint16(m.rows)), uint16(m.cols))
	b = append(b, 1, 9, 0x11, 0)
	if m.restart > 0 {
		b = o.AppendUint16(append(b, 0xff, jpegDRI, 0, 4), uint16(m.restart*m.cols))
	}
	b = append(b, 0xff, jpegSOS, 0, 8, 1, 9, 0, byte(m.predictor), 0, byte(m.shift))
	var word uint64
	have := 0
	put := func(v uint64, n int) {
		word, have = word<<n|v, have+n
		for ; have >= 8; have -= 8 {
			c := byte(word >> (have - 8))
			if b = append(b, c); c == 0xff {
				b = append(b, 0)
			}
		}
	}
	pad := func() {
		n := (8 - have%8) % 8
		put(1<<n-1, n)
	}
	at := func(y, x int) int { return int(m.v[y*m.cols+x] >> m.shift) }
	for y := range m.rows {
		first := y == 0
		if m.restart > 0 && y > 0 && y%m.restart == 0 {
			first = true
			pad()
			b = append(b, 0xff, jpegRST0+byte(y/m.restart-1)%8)
		}
		for x := range m.cols {
			var p int
			switch {
			case first && x == 0:
				p = 1 << (m.precision - m.shift - 1)
			case x == 0:
				p = at(y-1, 0)
			case first || m.predictor == 1:
				p = at(y, x-1)
			default:
				a, b, c := at(y, x-1), at(y-1, x), at(y-1, x-1)
				p = []int{0, a, b, c, a + b - c, a + (b-c)>>1, b + (a-c)>>1, (a + b) >> 1}[m.predictor]
			}
			d := int(int16(at(y, x) - p))
			size := bits.Len(uint(max(d, -d)))
			put(uint64(size), 5)
			if size < 16 {
				if d < 0 {
					d += 1<<size - 1
				}
				put(uint64(d), size)
			}
		}
	}
	pad()
	return append(b, 0xff, jpegEOI)
}

func TestLJPEGProperty(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		m := &testImage{
			rows: 1 + r.IntN(9), cols: 1 + r.IntN(9), precision: 2 + r.IntN(15),
			predictor: 1 + r.IntN(7), restart: r.IntN(4),
		}
		m.shift = r.IntN(min(m.precision, 4))
		size := 2
		if m.precision <= 8 {
			size = 1 + r.IntN(2)
		}
		var want []byte
		for range m.rows * m.cols {
			v := uint16(r.IntN(1<<m.precision)) >> m.shift << m.shift
			if r.IntN(2) == 0 {
				v = uint16(1<<m.precision-1) >> m.shift << m.shift
			}
			m.v = append(m.v, v)
			want = append(want, []byte{byte(v), byte(v >> 8)}[:size]...)
		}
		got, err := unLJPEG(m.encode(), m.rows, m.cols, size)
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%+v: found %v, %v, want %v", m, got, err, want)
		}
	}
}

// sample is a small image for the tests of what can be wrong with one.
func sample() *testImage {
	return &testImage{rows: 2, cols: 3, precision: 12, predictor: 1, restart: 1, v: []uint16{1, 2, 3, 4, 5, 4095}}
}

func TestLJPEGErrors(t *testing.T) {
	good := sample().encode()
	find := func(marker byte) int { return bytes.Index(good, []byte{0xff, marker}) }
	change := func(at int, v ...byte) []byte {
		b := bytes.Clone(good)
		copy(b[at:], v)
		return b
	}
	for name, c := range map[string]struct {
		frame []byte
		want  string
	}{
		"empty":     {nil, "want ffd8 at the start"},
		"other":     {[]byte("GIF"), "want ffd8 at the start"},
		"cut":       {good[:8], "want a marker"},
		"length":    {change(4, 0xff), "found a length of"},
		"baseline":  {change(find(jpegSOF3), 0xff, 0xc0), "found a SOF0 frame, want SOF3"},
		"size":      {change(find(jpegSOF3)+5, 0, 9), "found 9 x 3 pixels, want 2 x 3"},
		"bits":      {change(find(jpegSOF3)+4, 17), "found 17 bits"},
		"table id":  {change(find(jpegDHT)+4, 16), "Huffman table 10"},
		"codes":     {change(find(jpegDHT)+5, 3), "too many codes"},
		"values":    {change(find(jpegDHT)+4+17, 17), "more than 16 bits"},
		"no table":  {change(find(jpegSOS)+6, 0x20), "found no Huffman table 2"},
		"component": {change(find(jpegSOS)+5, 8), "want one component"},
		"predictor": {change(find(jpegSOS)+7, 8), "found predictor 8"},
		"shift":     {change(find(jpegSOS)+9, 12), "point transform 12"},
		"restart": {
			change(find(jpegDRI)+4, 0, 4),
			"found a restart interval of 4 samples, want a multiple of the line length 3",
		},
		"resume":   {change(find(jpegRST0), 0xff, jpegEOI), "line 1: found ffd9"},
		"bits end": {good[:len(good)-6], "line 1: truncated"},
		"no frame": {
			append(bytes.Clone(good[:find(jpegSOF3)-1]), good[find(jpegDRI):]...),
			"found a scan before the frame header",
		},
		"no scan": {append(bytes.Clone(good[:find(jpegSOF3)-1]), 0xff, jpegEOI), "found the end"},
	} {
		if _, err := unLJPEG(c.frame, 2, 3, 2); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: found error %v, want %q", name, err, c.want)
		}
	}
	if _, err := unLJPEG(good, 2, 3, 1); err == nil || !strings.Contains(err.Error(), "found 12 bits, want 2 to 8") {
		t.Errorf("12 bits into a byte: found error %v", err)
	}
}

func TestRefusedSyntaxes(t *testing.T) {
	for syntax, want := range map[string]string{
		"1.2.840.10008.1.2.4.80": "lossless JPEG-LS", "1.2.840.10008.1.2.4.91": "JPEG 2000",
		"1.2.840.10008.1.2.4.102": "H.264 video", "1.2.3": "unknown",
	} {
		_, err := parseDICOM(dicom(t, syntax, `0\0\0`, axial), ingest.Options{}.WithDefaults())
		if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%q (%s)", syntax, want)) {
			t.Errorf("%s: found error %v, want it named %s", syntax, err, want)
		}
	}
}

// TestFragments: a frame may be several fragments; more frames than the file says are refused.
func TestFragments(t *testing.T) {
	c, err := codecOf("1.2.840.10008.1.2.4.70")
	if err != nil {
		t.Fatal(err)
	}
	f := sample().encode()
	for name, v := range map[string]struct {
		fragments [][]byte
		want      string
	}{
		"one":   {[][]byte{f, f}, ""},
		"split": {[][]byte{f[:9], {}, f[9:20], f[20:], f[:40], f[40:]}, ""},
		"three": {[][]byte{f, f, f}, ""}, // the first two are kept
		"claim": {[][]byte{f[:4], f}, "frame 0"},
	} {
		o := binary.LittleEndian
		b := appendElement(nil, o, true, element{tagItem, "", nil}, 0)
		for _, p := range v.fragments {
			b = appendElement(b, o, true, element{tagItem, "", p}, uint32(len(p)))
		}
		b = appendElement(b, o, true, element{tagSequenceEnd, "", nil}, 0)
		d := &dataSet{b: b, order: o, explicit: true, codec: c, limit: 1 << 20}
		out, err := d.unpack(&picture{rows: 2, cols: 3, bits: 16, frames: 2}, ingest.Options{})
		if v.want == "" && (err != nil || len(out) != 24 || !bytes.Equal(out[:12], out[12:])) {
			t.Errorf("%s: found %v, %v", name, out, err)
		}
		if v.want != "" && (err == nil || !strings.Contains(err.Error(), v.want)) {
			t.Errorf("%s: found error %v, want %q", name, err, v.want)
		}
	}
	if _, err := (&dataSet{codec: c, limit: 1 << 40}).frame(&picture{
		rows: 1 << 15, cols: 1 << 15, bits: 16,
		frames: 1,
	}, 0, f, nil, ingest.Options{}); err == nil {
		t.Error("found no error for a small frame that claims 2 GiB")
	}
}

func TestJPEGSuite(t *testing.T) {
	for _, name := range []string{"first16", "baseline"} {
		data, err := os.ReadFile("testdata/jpeg/" + name + ".dcm")
		if err != nil {
			t.Fatal(err)
		}
		ingesttest.Format(t, DICOM, "a.dcm", data)
	}
}

func FuzzLJPEG(f *testing.F) {
	f.Add(sample().encode(), byte(2))
	f.Fuzz(func(t *testing.T, frame []byte, size byte) {
		if size < 1 || size > 2 {
			return
		}
		if out, err := unLJPEG(frame, 2, 3, int(size)); err == nil && len(out) != 6*int(size) {
			t.Errorf("found %d bytes, want %d", len(out), 6*size)
		}
	})
}
