package mnist3d

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"io"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/internal/testenv"
	"github.com/voxelstream/voxelstream/voxelize"
)

// npyFloats reads an array of the archive of the authors' rows: float32, C order.
func npyFloats(t testing.TB, name string) []float32 {
	t.Helper()
	z, err := zip.OpenReader(testenv.Sample(t, "mnist3d/voxelgrid_dev.npz"))
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close() //nolint:errcheck // opened for reading
	f, err := z.Open(name + ".npy")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // opened for reading
	b, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(b[:128], []byte("'<f4', 'fortran_order': False")) {
		t.Fatalf("%s: header %q, want float32 in C order", name, b[:128])
	}
	b = b[10+int(binary.LittleEndian.Uint16(b[8:])):]
	v := make([]float32, len(b)/4)
	for i := range v {
		v[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return v
}

func testDigits(t testing.TB, first, count int) []Digit {
	t.Helper()
	digits, err := OpenIDX(testenv.Sample(t, "mnist/t10k-images-idx3-ubyte.gz"),
		testenv.Sample(t, "mnist/t10k-labels-idx1-ubyte.gz"), first, count)
	if err != nil {
		t.Fatal(err)
	}
	return digits
}

func field(t testing.TB, p *ingest.PointCloud, n int) *voxelize.Field {
	t.Helper()
	o := voxelize.DefaultOptions()
	o.Dims = [3]int{n, n, n}
	v, err := voxelize.New(o)
	if err != nil {
		t.Fatal(err)
	}
	f, err := v.Field(ingest.Sample{Data: p})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// TestAuthorsRows: generator and voxelizer give the 500 test rows that the archive's authors made of the first test
// digits of MNIST.
func TestAuthorsRows(t *testing.T) {
	compareRows(t, testDigits(t, 0, 500), npyFloats(t, "X_test_0_499"))
}

// TestAuthorsTrainingRows is TestAuthorsRows for the upright training rows, of train[0:5000]. make mnist fetches the
// digits.
func TestAuthorsTrainingRows(t *testing.T) {
	dir := filepath.Join(testenv.Root(), "build", "mnist")
	if _, err := os.Stat(dir); err != nil {
		t.Skip("build/mnist is not here: run make mnist")
	}
	digits, err := OpenIDX(filepath.Join(dir, "train-images-idx3-ubyte.gz"), filepath.Join(dir,
		"train-labels-idx1-ubyte.gz"), 0, 5000)
	if err != nil {
		t.Fatal(err)
	}
	compareRows(t, digits, npyFloats(t, "X_train"))
}

// compareRows compares the rows of digits in a grid of 8 cells with those of the authors.
func compareRows(t *testing.T, digits []Digit, want []float32) {
	t.Helper()
	if len(want) != len(digits)*512 {
		t.Fatalf("%d values and %d digits: want rows of 512", len(want), len(digits))
	}
	worst := 0.0
	for i := range digits {
		c, err := Upright(&digits[i].Image)
		if err != nil {
			t.Fatal(err)
		}
		for j, got := range field(t, c.Points, 8).Values {
			d := math.Abs(got - float64(want[512*i+j]))
			worst = max(worst, d)
			if d > 1e-6 {
				t.Fatalf("row %d value %d: %v, want %v", i, j, got, want[512*i+j])
			}
		}
	}
	t.Logf("%d rows, largest difference %.2g", len(digits), worst)
}

// firstTraining is which pixels of the first training digit of MNIST, a five, have ink: row, first column, width.
var firstTraining = [][3]int{
	{5, 12, 12},
	{6, 8, 16},
	{7, 7, 16},
	{8, 7, 11},
	{9, 8, 7},
	{9, 16, 2},
	{10, 9, 5},
	{11, 11, 4},
	{12, 11, 4},
	{13, 12, 6},
	{14, 13, 6},
	{15, 14, 6},
	{16, 15, 5},
	{17, 17, 4},
	{18, 14, 7},
	{19, 12, 8},
	{20, 10, 9},
	{21, 8, 10},
	{22, 6, 10},
	{23, 4, 10},
	{24, 4, 8},
}

// TestAuthorsFirstValues: what the authors print of their first training digit.
func TestAuthorsFirstValues(t *testing.T) {
	var m Image
	for _, run := range firstTraining {
		for c := range run[2] {
			m[run[0]*Side+run[1]+c] = 255
		}
	}
	c, err := Upright(&m)
	if err != nil {
		t.Fatal(err)
	}
	if c.Points.Len() != 25_700 {
		t.Fatalf("%d points, want 25700", c.Points.Len())
	}
	for a, want := range []float64{0.13965517, -0.1094358, 0.47305447} {
		if got := [][]float64{c.Points.X, c.Points.Y, c.Points.Z}[a][340]; math.Abs(got-want) > 1e-8 {
			t.Errorf("point 340, %c: %.8f, want %.8f", "xyz"[a], got, want)
		}
	}
	values := field(t, c.Points, 8).Values
	for i, want := range npyFloats(t, "X_train")[:512] {
		if math.Abs(values[i]-float64(want)) > 1e-6 {
			t.Errorf("value %d: %v, want %v", i, values[i], want)
		}
	}
	// Without point 340 its cell, which is (5,3,7) and has index 491, holds one point less.
	if got := values[491] * 420; math.Abs(got-math.Round(got)) > 1e-9 || got < 1 {
		t.Fatalf("cell 491 holds %v points", got)
	}
	c.Points.X[340], c.Points.Y[340], c.Points.Z[340] = math.NaN(), math.NaN(), math.NaN()
	if got, want := field(t, c.Points, 8).Values[491]*420, values[491]*420-1; math.Abs(got-want) > 1e-9 {
		t.Errorf("cell 491 without point 340 holds %v points, want %v", got, want)
	}
}
