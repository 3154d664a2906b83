package mnist3d

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/voxelstream/voxelstream/augment"
	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/voxelize"
)

// TestSampler compares the points of a sampler with those of Upright and the rotation of augment.MNIST3D: without noise
// they are the same, and the noise fills the same range evenly.
func TestSampler(t *testing.T) {
	for i := range 20 {
		digit := Draw(5, i)
		cloud, err := Upright(&digit.Image)
		if err != nil {
			t.Fatal(err)
		}
		rotation := augment.MNIST3DRotation(rand.New(rand.NewPCG(3, uint64(i))))
		p := cloud.Points
		for k := range p.X {
			p.X[k], p.Y[k], p.Z[k] = rotation.Apply(p.X[k], p.Y[k], p.Z[k])
		}
		e, err := extentOf(digit.Image.Pad())
		if err != nil {
			t.Fatal(err)
		}
		at := e.turned(rotation)
		var still, noisy Sampler
		calm := at
		calm.width = [3]float64{}
		still.scatter(rand.NewPCG(1, 2), digit.Image.Pad(), calm)
		noisy.scatter(rand.NewPCG(1, 2), digit.Image.Pad(), at)
		if len(still.points) != p.Len() {
			t.Fatalf("digit %d: %d points, want %d", i, len(still.points), p.Len())
		}
		for a, want := range [3][]float64{p.X, p.Y, p.Z} {
			var sum, squares, least, most float64
			for k, v := range want {
				if d := math.Abs(float64(still.points[k][a]) - v); d > 1e-6 {
					t.Fatalf("digit %d, point %d, axis %d: %v, want %v", i, k, a, still.points[k][a], v)
				}
				noise := float64(noisy.points[k][a] - still.points[k][a])
				sum, squares = sum+noise, squares+noise*noise
				least, most = min(least, noise), max(most, noise)
			}
			n, width := float64(len(want)), at.width[a]
			mean, sigma := 0., 0.
			for _, v := range want {
				mean += v / n
			}
			for _, v := range want {
				sigma += (v - mean) * (v - mean) / n
			}
			if math.Abs(width-.25*math.Sqrt(sigma)) > 1e-9 {
				t.Errorf("digit %d, axis %d: noise up to %v, want a quarter of %v", i, a, width, math.Sqrt(sigma))
			}
			// A uniform number between -w and w has the mean 0 and the variance w^2/3.
			if math.Abs(sum/n) > 4*width/math.Sqrt(3*n) || math.Abs(squares/n/(width*width/3)-1) > .05 ||
				least < -width-1e-6 || most > width+1e-6 || least > -.99*width || most < .99*width {
				t.Errorf("digit %d, axis %d: noise from %v to %v, mean %v, want uniform within %v", i, a, least, most, sum/n,
					width)
			}
		}
	}
}

// TestSamplerCounts compares the cells with those of the voxelization method.
func TestSamplerCounts(t *testing.T) {
	for _, n := range []int{16, 24} {
		o := voxelize.DefaultOptions()
		o.Method, o.Dims = voxelize.MNIST3D.Name, [3]int{n, n, n}
		v, err := voxelize.New(o)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 20 {
			digit := Draw(6, i)
			var s Sampler
			got := make([]float32, n*n*n)
			if err := s.Rotated(rand.NewPCG(1, uint64(i)), &digit.Image, n, got); err != nil {
				t.Fatal(err)
			}
			p := &ingest.PointCloud{}
			for _, at := range s.points {
				p.X, p.Y, p.Z = append(p.X, float64(at[0])), append(p.Y, float64(at[1])), append(p.Z, float64(at[2]))
			}
			f, err := v.Field(ingest.Sample{Data: p})
			if err != nil {
				t.Fatal(err)
			}
			different := 0. // points within a rounding error of an edge may fall to its other side
			for k, want := range f.Values {
				different += math.Abs(float64(got[k]) - want)
			}
			if different > .1 {
				t.Errorf("digit %d, %d cells a side: the densities differ by %v in all", i, n, different)
			}
		}
	}
	if err := new(Sampler).Rotated(rand.NewPCG(1, 2), &Image{}, 16, make([]float32, 4096)); !errors.Is(err, ErrBlank) {
		t.Errorf("found error %v for an image without ink, want %v", err, ErrBlank)
	}
}
