package classify

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/layers"
	"github.com/voxelstream/voxelstream/record"
)

// energyAt returns an energy that is half of the squared distance of the features from 0.
func energyAt(threshold float32) *nn.Energy {
	e := &nn.Energy{
		Mean: make([]float32, Features), Precision: make([]float32, Features*Features),
		Threshold: threshold,
	}
	for i := range Features {
		e.Precision[i*Features+i] = 1
	}
	return e
}

// TestTemperature: scores are the softmax of the logits after division by the temperature, whether the network ends in
// a softmax, in logits or in a sigmoid.
func TestTemperature(t *testing.T) {
	sigmoid, err := nn.Sequential("two", nn.Shape{side, side, side, 3}, layers.NewFlatten(),
		layers.NewDense(1, "sigmoid"))
	if err != nil {
		t.Fatal(err)
	}
	sigmoid.Init(3)
	sigmoid.Colormap = "Oranges"
	for _, m := range []*nn.Model{model(t, "softmax"), model(t, ""), sigmoid} {
		one := allScores(t, m)
		const temperature = 2.5
		m.Trust.Temperature = temperature
		for i, got := range allScores(t, m) {
			sum := 0.
			for _, s := range one[i].TopK {
				sum += math.Pow(float64(s.Score), 1/temperature)
			}
			for k, s := range one[i].TopK {
				want := math.Pow(float64(s.Score), 1/temperature) / sum
				if g := got.TopK[k]; g.Class != s.Class || math.Abs(float64(g.Score)-want) > 1e-5 {
					t.Errorf("found %v, want class %d with %v", g, s.Class, want)
				}
			}
		}
	}
}

func allScores(t *testing.T, m *nn.Model) []record.Classification {
	t.Helper()
	got, err := classifier(t, m, Options{TopK: classes}).ProcessBatch(t.Context(), items(9))
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// TestEnergy: a model with an energy states it, says what is above the threshold, and gives the same scores as without.
func TestEnergy(t *testing.T) {
	m := model(t, "softmax")
	without := allScores(t, m)
	m.Trust.Energy = energyAt(0)
	with := allScores(t, m)
	var energies []float32
	for i, c := range with {
		if !slices.Equal(c.TopK, without[i].TopK) {
			t.Errorf("found scores %v with an energy, %v without", c.TopK, without[i].TopK)
		}
		if without[i].Energy != nil || without[i].Unfamiliar || c.Energy == nil || !c.Unfamiliar {
			t.Fatalf("found %+v and %+v", without[i], c)
		}
		energies = append(energies, *c.Energy)
	}
	m.Trust.Energy = energyAt(slices.Sorted(slices.Values(energies))[4])
	for i, c := range allScores(t, m) {
		if want := energies[i] > m.Trust.Energy.Threshold; c.Unfamiliar != want {
			t.Errorf("found unfamiliar %v for energy %v, threshold %v", c.Unfamiliar, *c.Energy,
				m.Trust.Energy.Threshold)
		}
	}
	m.Trust.Energy = &nn.Energy{Mean: []float32{0}, Precision: []float32{1}} // of a version with other features
	if c := allScores(t, m)[0]; c.Energy != nil || c.Unfamiliar {
		t.Errorf("found %+v, want no energy", c)
	}
}

// TestFeatures compares the features with their definition, for palette indices and for values in both orders of axes.
func TestFeatures(t *testing.T) {
	dims := [3]int{4, 5, 9}
	for _, tt := range []struct {
		channels       int
		first, indices bool
	}{{1, false, true}, {1, false, false}, {3, false, false}, {3, true, false}} {
		in := &Input{Dims: dims, Channels: tt.channels, first: tt.first}
		cells := dims[0] * dims[1] * dims[2]
		x, index := make([]float32, cells*tt.channels), make([]uint8, cells)
		for i := range x {
			if i%3 != 0 {
				x[i] = float32(i*7%23) - 5
			}
		}
		for i := range index {
			if i%7 < 2 {
				index[i] = uint8(i * 37)
			}
		}
		row := Row{X: x, Scores: []float32{.5, .5}, Logits: []float32{1, 2}}
		if tt.indices {
			row = Row{Index: index, Scores: []float32{.5, .5}, Logits: []float32{1, 2}}
		}
		at := func(c, z, y, x int) (float64, bool) {
			if z >= dims[0] || y >= dims[1] || x >= dims[2] {
				return 0, false
			}
			cell := (z*dims[1]+y)*dims[2] + x
			switch {
			case tt.indices:
				return float64(row.Index[cell]) / 255, true
			case tt.first:
				return float64(row.X[c*cells+cell]), true
			}
			return float64(row.X[cell*tt.channels+c]), true
		}
		sums := make([]float64, Features-1)
		for c := range tt.channels {
			for z := range dims[0] {
				for y := range dims[1] {
					for x := range dims[2] {
						v, _ := at(c, z, y, x)
						sums[0] += v
						sums[1] += v * v
						if v != 0 {
							sums[2]++
						}
						for axis, step := range [][3]int{{0, 0, 1}, {0, 1, 0}, {1, 0, 0}} {
							for lag := 1; lag <= 2; lag++ {
								other, _ := at(c, z+lag*step[0], y+lag*step[1], x+lag*step[2])
								sums[3+2*axis+lag-1] += v * other
							}
						}
					}
				}
			}
		}
		got := in.AppendFeatures(nil, row)
		for i, sum := range sums {
			mean := sum / float64(cells*tt.channels)
			want := math.Copysign(math.Log(1+math.Abs(mean)*1000), mean)
			if math.Abs(got[i]-want) > 1e-9 {
				t.Errorf("%+v: feature %d: found %v, want %v", tt, i, got[i], want)
			}
		}
		if want := -math.Log(math.E + math.E*math.E); len(got) != Features || math.Abs(got[Features-1]-want) > 1e-12 {
			t.Errorf("%+v: found %v, want the energy %v of the logits last", tt, got, want)
		}
	}
}

// TestCountBytes compares the sum of bytes and the number of those that are not 0 with plain loops.
func TestCountBytes(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for n := range 200 {
		x := make([]uint8, n)
		want, occupied := 0, 0
		for i := range x {
			if x[i] = uint8(rng.IntN(256)); rng.IntN(2) == 0 {
				x[i] = []uint8{0, 1, 127, 128, 255}[rng.IntN(5)]
			}
			if want += int(x[i]); x[i] != 0 {
				occupied++
			}
		}
		if total, found := countBytes(x); total != float64(want) || found != occupied {
			t.Fatalf("%d bytes: found %g and %d, want %d and %d", n, total, found, want, occupied)
		}
	}
}
