package mnist3d

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/voxelstream/voxelstream/augment"
	"github.com/voxelstream/voxelstream/internal/h5"
)

// TestMain looks for goroutines left behind. The thread that owns libhdf5 lives as long as the process, so it is
// started before.
func TestMain(m *testing.M) {
	if w, err := h5.Create(filepath.Join(os.TempDir(), "mnist3d-test.h5")); err == nil {
		w.Abort()
	}
	goleak.VerifyTestMain(m, goleak.IgnoreCurrent())
}

func TestUprightCountsPoints(t *testing.T) {
	// Two pixels side by side at the left border: 50 points each, and six exposed sides of 150.
	var m Image
	m[5*Side], m[5*Side+1] = 1, 200
	c, err := Upright(&m)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := c.Points.Len(), 2*50+6*150; got != want {
		t.Fatalf("%d points, want %d", got, want)
	}
	// The longest side is the depth, 6, which becomes x; it is scaled to 1.
	lo, hi := math.Inf(1), math.Inf(-1)
	var sum float64
	for _, x := range c.Points.X {
		lo, hi, sum = min(lo, x), max(hi, x), sum+x
	}
	if math.Abs(hi-lo-1) > 1e-12 || math.Abs(sum) > 1e-9 {
		t.Errorf("x from %v to %v, sum %v: want a length of 1 and a sum of 0", lo, hi, sum)
	}
	if _, err := Upright(&Image{}); !errors.Is(err, ErrBlank) {
		t.Errorf("blank image: %v, want ErrBlank", err)
	}
}

// TestNormals: one pixel is a box, so each point lies on the face that its normal names, before and after a rotation.
func TestNormals(t *testing.T) {
	var m Image
	m[10*Side+10] = 255
	upright, err := Upright(&m)
	if err != nil {
		t.Fatal(err)
	}
	turned := *upright
	turn := augment.Rotation(2, 0.3).Times(augment.Rotation(1, -1)).Times(augment.Rotation(0, 2))
	p := *upright.Points
	p.X, p.Y, p.Z = append([]float64(nil), p.X...), append([]float64(nil), p.Y...), append([]float64(nil), p.Z...)
	for i := range p.X {
		p.X[i], p.Y[i], p.Z[i] = turn.Apply(p.X[i], p.Y[i], p.Z[i])
	}
	turned.Points, turned.turn = &p, upright.turn.Times(turn)
	for name, c := range map[string]*Cloud{"upright": upright, "turned": &turned} {
		n := c.Normals()
		if n.Len() != c.Points.Len() || n.Len() != 50+4*150 {
			t.Fatalf("%s: %d normals for %d points, want 650", name, n.Len(), c.Points.Len())
		}
		for i := range n.X {
			out := n.X[i]*c.Points.X[i] + n.Y[i]*c.Points.Y[i] + n.Z[i]*c.Points.Z[i]
			// Faces lie half a depth (1/2) or half a pixel (1/12) away from the middle.
			if math.Abs(out-0.5) > 1e-9 && math.Abs(out-1./12) > 1e-9 {
				t.Fatalf("%s: point %d lies %v along its normal, want 1/2 or 1/12", name, i, out)
			}
		}
	}
}

func TestAugmentKeepsTheShape(t *testing.T) {
	d := Draw(1, 3)
	c, err := Upright(&d.Image)
	if err != nil {
		t.Fatal(err)
	}
	a := c.Augment(rand.New(rand.NewPCG(1, 2)))
	if a.Points.Len() != c.Points.Len() {
		t.Fatalf("%d points became %d", c.Points.Len(), a.Points.Len())
	}
	// A rotation keeps each distance from the origin; the noise moves it by less than a quarter of the three
	// deviations.
	limit := 0.25 * math.Hypot(math.Hypot(deviation(a.Points.X), deviation(a.Points.Y)), deviation(a.Points.Z))
	moved := 0.0
	for i := range a.Points.X {
		before := math.Hypot(math.Hypot(c.Points.X[i], c.Points.Y[i]), c.Points.Z[i])
		after := math.Hypot(math.Hypot(a.Points.X[i], a.Points.Y[i]), a.Points.Z[i])
		moved = max(moved, math.Abs(after-before))
	}
	if moved > limit || moved < limit/10 {
		t.Errorf("points moved by up to %v from the origin, want noise below %v", moved, limit)
	}
}

// deviation returns the population standard deviation.
func deviation(v []float64) float64 {
	var sum, squares float64
	for _, x := range v {
		sum, squares = sum+x, squares+x*x
	}
	n := float64(len(v))
	return math.Sqrt(squares/n - sum/n*sum/n)
}

func TestDrawnDigits(t *testing.T) {
	h := fnv.New64a()
	ink := 0
	for i := range 1000 {
		d := Draw(42, i)
		if int(d.Label) != i%10 {
			t.Fatalf("digit %d has label %d", i, d.Label)
		}
		if d != Draw(42, i) {
			t.Fatalf("digit %d is not the same twice", i)
		}
		if d.Image == Draw(43, i).Image || d.Image == Draw(42, i+10).Image {
			t.Fatalf("digit %d looks like another", i)
		}
		inked, darkest := 0, uint8(0)
		for _, v := range d.Image {
			if v > 0 {
				inked++
			}
			darkest = max(darkest, v)
		}
		if inked < 30 || inked > 350 || darkest < 128 {
			t.Errorf("digit %d has %d inked pixels, the darkest %d", i, inked, darkest)
		}
		ink += inked
		h.Write(d.Image[:])
	}
	// MNIST has 151 inked pixels a digit.
	if mean := ink / 1000; mean < 130 || mean > 170 {
		t.Errorf("%d inked pixels a digit, want about 150", mean)
	}
	t.Logf("drawings %x", h.Sum64())
}

// digest generates and folds all that emit gets.
func digest(t *testing.T, o Options) (string, int) {
	t.Helper()
	h, rows := fnv.New64a(), 0
	err := Generate(t.Context(), o, func(r Row) error {
		if r.Number != rows {
			t.Errorf("row %d came as number %d", r.Number, rows)
		}
		rows++
		fmt.Fprint(h, r.Number, r.Rotated, r.Test, r.Label)
		for _, v := range [][]float64{r.Cloud.Points.X, r.Cloud.Points.Y, r.Cloud.Points.Z, r.Values} {
			if err := binary.Write(h, binary.LittleEndian, v); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", h.Sum64()), rows
}

func TestGenerateIsDeterministic(t *testing.T) {
	o := Options{Count: 13, Test: 3, Augment: true, Grid: 16, Seed: 5, Workers: 1}
	want, rows := digest(t, o)
	train, test := o.Rows()
	if rows != 26 || train != 20 || test != 6 {
		t.Fatalf("%d rows, %d and %d announced; want 26, 20 and 6", rows, train, test)
	}
	for _, workers := range []int{2, 7} {
		o.Workers = workers
		if got, _ := digest(t, o); got != want {
			t.Errorf("%d workers give %s, one gives %s", workers, got, want)
		}
	}
	o.Seed++
	if got, _ := digest(t, o); got == want {
		t.Error("another seed gives the same dataset")
	}
}

func TestGenerateRows(t *testing.T) {
	digits := []Digit{Draw(1, 4), Draw(1, 5)}
	var rows []Row
	err := Generate(t.Context(), Options{Digits: digits, Test: 1, Augment: true, Grid: 8},
		func(r Row) error { rows = append(rows, r); return nil })
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range rows {
		most := 0.0
		for _, v := range r.Values {
			most = max(most, v)
		}
		if r.Rotated != (i%2 == 1) || r.Test != (i >= 2) || r.Label != digits[i/2].Label || len(r.Values) != 512 ||
			most != 1 {
			t.Errorf("row %d: rotated %v, test %v, label %d, %d values up to %v", i, r.Rotated, r.Test, r.Label,
				len(r.Values), most)
		}
		if r.Image[Padded*15+15] != digits[i/2].Image[Side*14+14] {
			t.Errorf("row %d: image is not the padded digit", i)
		}
	}
}

func TestGenerateEnds(t *testing.T) {
	stop := errors.New("stop")
	err := Generate(t.Context(), Options{Count: 100, Workers: 3}, func(r Row) error {
		if r.Number == 5 {
			return stop
		}
		return nil
	})
	if !errors.Is(err, stop) {
		t.Errorf("error of emit: %v", err)
	}
	err = Generate(t.Context(), Options{Digits: make([]Digit, 3)}, func(Row) error { return nil })
	if !errors.Is(err, ErrBlank) || !strings.Contains(err.Error(), "digit 0") {
		t.Errorf("blank digit: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	err = Generate(ctx, Options{Count: 1000}, func(Row) error { cancel(); return nil })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	for _, o := range []Options{
		{},
		{Count: 2, Test: 3},
		{Count: 1, Grid: 1},
		{Count: 1, Workers: -1},
		{Digits: make([]Digit, 2), Count: 3},
		{Count: 1, First: -1},
	} {
		if err := Generate(t.Context(), o, func(Row) error { return nil }); err == nil {
			t.Errorf("options %+v were accepted", o)
		}
	}
}

// idx makes a pair of IDX files.
func idx(n int) (images, labels []byte) {
	images = binary.BigEndian.AppendUint32(nil, magicImages)
	for _, v := range []int{n, Side, Side} {
		images = binary.BigEndian.AppendUint32(images, uint32(v))
	}
	labels = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, magicLabels), uint32(n))
	for i := range n {
		images = append(images, bytes.Repeat([]byte{byte(i + 1)}, Side*Side)...)
		labels = append(labels, byte(i%10))
	}
	return images, labels
}

func zipped(b []byte) []byte {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	if _, err := z.Write(b); err != nil {
		panic(err)
	}
	if err := z.Close(); err != nil {
		panic(err)
	}
	return out.Bytes()
}

func TestReadIDX(t *testing.T) {
	images, labels := idx(5)
	for _, gz := range []bool{false, true} {
		i, l := images, labels
		if gz {
			i, l = zipped(images), zipped(labels)
		}
		digits, err := ReadIDX(bytes.NewReader(i), bytes.NewReader(l), 2, 2)
		if err != nil {
			t.Fatal(err)
		}
		if len(digits) != 2 || digits[0].Label != 2 || digits[1].Image[783] != 4 {
			t.Errorf("gzip %v: %d digits, want the third and the fourth", gz, len(digits))
		}
		if digits, err = ReadIDX(bytes.NewReader(i), bytes.NewReader(l), 1, 0); err != nil || len(digits) != 4 {
			t.Errorf("gzip %v: %d digits from 1 to the end, %v; want 4", gz, len(digits), err)
		}
	}
	huge := bytes.Clone(images)
	binary.BigEndian.PutUint32(huge[4:], 1<<31)
	many, manyLabels := bytes.Clone(images), bytes.Clone(labels)
	binary.BigEndian.PutUint32(many[4:], maxDigits)
	binary.BigEndian.PutUint32(manyLabels[4:], maxDigits)
	badLabel := bytes.Clone(labels)
	badLabel[8] = 10
	wide := bytes.Clone(images)
	wide[15] = 32
	_, fewer := idx(4)
	for _, tt := range []struct {
		name, want     string
		images, labels []byte
		first, count   int
	}{
		{"labels for images", "magic number 0x00000801, want 0x00000803", labels, labels, 0, 0},
		{"count", "2147483648 items, want at most", huge, labels, 0, 0},
		{"count beyond the file", "unexpected EOF", many, manyLabels, 0, 0},
		{"first beyond the file", "images before 9", many, manyLabels, 9, 1},
		{"label", "label 0: found 10, want 0 to 9", images, badLabel, 0, 0},
		{"size", "items of size [28 32], want [28 28]", wide, labels, 0, 0},
		{"pairs", "5 images but 4 labels", images, fewer, 0, 0},
		{"short", "image 4 of 5: unexpected EOF", images[:len(images)-1], labels, 0, 0},
		{"short labels", "label 4 of 5: unexpected EOF", images, labels[:len(labels)-1], 0, 0},
		{"empty", "header: unexpected EOF", nil, labels, 0, 0},
		{"too many wanted", "first digit 3 and count 3, want digits within a file of 5", images, labels, 3, 3},
		{"negative", "want at least 0", images, labels, -1, 3},
		{"broken gzip", "EOF", zipped(images)[:20], labels, 0, 0},
	} {
		_, err := ReadIDX(bytes.NewReader(tt.images), bytes.NewReader(tt.labels), tt.first, tt.count)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want it to say %q", tt.name, err, tt.want)
		}
		if errors.Is(err, io.EOF) {
			t.Errorf("%s: io.EOF looks like an orderly end", tt.name)
		}
	}
}

func TestRealDigits(t *testing.T) {
	digits := testDigits(t, 0, 0)
	if len(digits) != 10_000 {
		t.Fatalf("%d digits, want 10000", len(digits))
	}
	for i, want := range []uint8{7, 2, 1, 0, 4, 1, 4, 9, 5, 9} {
		if digits[i].Label != want {
			t.Errorf("label %d is %d, want %d", i, digits[i].Label, want)
		}
	}
	inked := 0
	for _, v := range digits[0].Image {
		if v > 0 {
			inked++
		}
	}
	if inked != 116 {
		t.Errorf("first digit has %d inked pixels, want 116", inked)
	}
}

func FuzzReadIDX(f *testing.F) {
	images, labels := idx(2)
	f.Add(images, labels, 0, 2)
	f.Add(zipped(images), labels, 1, 0)
	f.Fuzz(func(t *testing.T, images, labels []byte, first, count int) {
		digits, err := ReadIDX(bytes.NewReader(images), bytes.NewReader(labels), first, count)
		if err == nil && count > 0 && len(digits) != count {
			t.Errorf("%d digits, want %d", len(digits), count)
		}
	})
}

func BenchmarkGenerate(b *testing.B) {
	for _, augment := range []bool{false, true} {
		b.Run(fmt.Sprintf("augment=%v", augment), func(b *testing.B) {
			o := Options{Count: b.N, Augment: augment, Grid: 16, Seed: 1}
			if err := Generate(b.Context(), o, func(Row) error { return nil }); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "digits/s")
		})
	}
}

func BenchmarkDraw(b *testing.B) {
	for i := 0; b.Loop(); i++ {
		Draw(1, i)
	}
}

// TestWrite draws what a hand might: a line at any scale is the same image in the middle, a tap is a dot, and nothing
// leaves no ink.
func TestWrite(t *testing.T) {
	line := Write([][]Point{{{0, 0}, {0, 1}}}, 1.2)
	if large := Write([][]Point{{{300, 100}, {300, 500}}}, 1.2); large != line {
		t.Error("the size and place of the line change the image")
	}
	var rows int
	for y := range Side {
		if line[y*Side+Side/2] > 128 || line[y*Side+Side/2-1] > 128 {
			rows++
		}
	}
	if rows < 19 || rows > 21 {
		t.Errorf("the line covers %d rows, want about 20", rows)
	}
	ink := func(m Image) (n int) {
		for _, v := range m {
			n += int(v)
		}
		return n / 255
	}
	if n := ink(Write([][]Point{{{5, 5}}}, 1.2)); n < 4 || n > 9 {
		t.Errorf("a dot has the ink of %d pixels, want 4 to 9", n)
	}
	if n := ink(Write(nil, 1.2)); n != 0 {
		t.Errorf("no line has the ink of %d pixels", n)
	}
}
