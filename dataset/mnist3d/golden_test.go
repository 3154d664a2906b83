package mnist3d

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"io"
	"math"
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
	defer z.Close()
	f, err := z.Open(name + ".npy")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
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
	digits, err := OpenIDX(testenv.Sample(t, "mnist/t10k-images-idx3-ubyte.gz"), testenv.Sample(t, "mnist/t10k-labels-idx1-ubyte.gz"), first, count)
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

// TestAuthorsRows: generator and voxelizer give the 500 test rows that the archive's authors made of the first test digits of MNIST.
func TestAuthorsRows(t *testing.T) {
	want := npyFloats(t, "X_test_0_499")
	digits := testDigits(t, 0, 500)
	if len(want) != 500*512 || len(digits) != 500 {
		t.Fatalf("%d values and %d digits: want 500 rows of 512", len(want), len(digits))
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
	t.Logf("500 rows, largest difference %.2g", worst)
}
