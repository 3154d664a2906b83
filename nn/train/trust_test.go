package train

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/voxelstream/voxelstream/nn"
)

// TestFitTemperature draws labels from the softmax of logits at a known temperature, and wants it back.
func TestFitTemperature(t *testing.T) {
	const rows, classes = 20_000, 4
	r := rand.New(rand.NewPCG(1, 2))
	for _, want := range []float64{.5, 1, 2.5} {
		trust := nn.Trust{Temperature: want}
		var logits []float32
		var labels []int32
		for range rows {
			z, p := make([]float32, classes), make([]float32, classes)
			for i := range z {
				z[i] = float32(r.NormFloat64() * 3)
			}
			trust.Scores(p, z)
			label, u := int32(0), r.Float32()
			for u > p[label] && label < classes-1 {
				u -= p[label]
				label++
			}
			logits, labels = append(logits, z...), append(labels, label)
		}
		got, err := FitTemperature(logits, classes, labels)
		if err != nil || math.Abs(got/want-1) > .05 {
			t.Errorf("found temperature %v, %v, want %v", got, err, want)
		}
		loss := func(t float64) (sum float64) {
			p, trust := make([]float32, classes), nn.Trust{Temperature: t}
			for i, label := range labels {
				trust.Scores(p, logits[i*classes:(i+1)*classes])
				sum -= math.Log(float64(p[label]))
			}
			return sum
		}
		if best := loss(got); loss(got*1.01) < best || loss(got/1.01) < best {
			t.Errorf("temperature %v does not minimize the loss", got)
		}
	}
	// Rows that are all right have no minimum.
	if got, err := FitTemperature([]float32{3, 0, 0, 3}, 2, []int32{0, 1}); err != nil || got != nn.LowestTemperature {
		t.Errorf("found %v, %v, want the lowest temperature", got, err)
	}
	if _, err := FitTemperature([]float32{1, 2, 3}, 2, []int32{0}); err == nil {
		t.Error("found no error for 3 logits of 2 classes")
	}
}

// TestFitEnergy: the energy is half of the squared distance in units of the deviation, and one in a hundred rows is
// above the threshold.
func TestFitEnergy(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	var features []float64
	for range 10_000 {
		x, y := r.NormFloat64(), r.NormFloat64()
		features = append(features, 5+2*x, -3+2*x+.5*y, 7) // correlated, and constant
	}
	e, err := FitEnergy(features, nil, 3)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ x, y, want float64 }{{0, 0, 0}, {2, 0, 2}, {0, 3, 4.5}, {-1, 1, 1}} {
		got := float64(e.Of([]float64{5 + 2*tt.x, -3 + 2*tt.x + .5*tt.y, 7}))
		if math.Abs(got-tt.want) > .15 {
			t.Errorf("%+v: found energy %v", tt, got)
		}
	}
	above := 0
	for i := 0; i < len(features); i += 3 {
		if e.Of(features[i:i+3]) > e.Threshold {
			above++
		}
	}
	if above != 100 {
		t.Errorf("found %d rows above the threshold, want 100 of 10000", above)
	}
	if want := -math.Log(.01); math.Abs(float64(e.Threshold)-want) > .3 { // of two normal features
		t.Errorf("found threshold %v, want about %v", e.Threshold, want)
	}
	if got := e.Of([]float64{5, -3, 8}); got < 100*e.Threshold {
		t.Errorf("found energy %v where a feature that never varies does", got)
	}
	if got := e.Of([]float64{math.MaxFloat64, 0, 0}); got != math.MaxFloat32 {
		t.Errorf("found energy %v, want the largest number", got)
	}
	if _, err := FitEnergy(features[:29*3], nil, 3); err == nil {
		t.Error("found no error for 29 rows of 3 features")
	}
}
