package zoo_test

import (
	"encoding/json"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/zoo"
)

// keras is one entry of testdata/keras_zoo.json, made by testdata/make.py.
type keras struct {
	Input     nn.Shape  `json:"input"`
	Classes   int       `json:"classes"`
	Total     int       `json:"total"`
	Trainable int       `json:"trainable"`
	Weights   []string  `json:"weights"`
	Predict   []float32 `json:"predict"`
}

// TestEqualToKeras compares every architecture with Keras's: names and numbers of parameters, and predictions.
func TestEqualToKeras(t *testing.T) {
	text, err := os.ReadFile("testdata/keras_zoo.json")
	if err != nil {
		t.Fatal(err)
	}
	var golden map[string]keras
	if err := json.Unmarshal(text, &golden); err != nil {
		t.Fatal(err)
	}
	for _, name := range zoo.Names() {
		t.Run(name, func(t *testing.T) {
			want, ok := golden[name]
			if !ok {
				t.Fatal("Keras's is missing")
			}
			m, err := zoo.New(name, want.Input, want.Classes)
			if err != nil {
				t.Fatal(err)
			}
			if total, trainable := m.Count(); total != want.Total || trainable != want.Trainable {
				t.Errorf("got %d parameters, %d trainable, want %d and %d", total, trainable, want.Total, want.Trainable)
			}
			var names []string
			for _, p := range m.Params() {
				names = append(names, p.Name)
				fill(p)
			}
			slices.Sort(names)
			if !slices.Equal(names, want.Weights) {
				t.Errorf("got parameters %v, want %v", names, want.Weights)
			}
			plan, err := m.Compile(2, nn.Options{Threads: 2})
			if err != nil {
				t.Fatal(err)
			}
			defer plan.Close()
			recurrence(plan.Input(0), func(u float32) float32 { return u })
			if err := plan.Forward(2, false, 0); err != nil {
				t.Fatal(err)
			}
			for i, got := range plan.Output(0) {
				if d := math.Abs(float64(got) - float64(want.Predict[i])); !(d <= 1e-5) {
					t.Errorf("output %d: got %g, want %g", i, got, want.Predict[i])
				}
			}
		})
	}
}

// recurrence fills x with f of the numbers of make.py.
func recurrence(x []float32, f func(u float32) float32) {
	v := uint32(1)
	for i := range x {
		v = 1664525*v + 1013904223
		x[i] = f(float32(v>>8) / (1 << 24))
	}
}

// fill gives a parameter the numbers of make.py.
func fill(p *nn.Param) {
	last := p.Shape[len(p.Shape)-1]
	deviation := float32(math.Sqrt(3 * float64(last) / float64(len(p.Value))))
	recurrence(p.Value, func(u float32) float32 {
		switch {
		case strings.HasSuffix(p.Name, "/gamma"), strings.HasSuffix(p.Name, "/moving_variance"):
			return .5 + u
		case len(p.Shape) == 1:
			return .1 * (2*u - 1)
		}
		return deviation * (2*u - 1)
	})
}

func TestEachNameBuilds(t *testing.T) {
	anySize := []string{"resnet", "volume", "plane"}
	for _, name := range zoo.Names() {
		channels := zoo.Channels(name)
		m, err := zoo.New(name, nn.Shape{32, 32, 32, channels}, 5)
		if err != nil || m.Name != name {
			t.Errorf("%s: got %v, %v", name, m, err)
		}
		if _, err := zoo.New(name, nn.Shape{4, 4, 4, channels}, 5); (err == nil) != slices.Contains(anySize, name) {
			t.Errorf("%s of 4x4x4: got error %v", name, err)
		}
		if _, err := zoo.New(name, nn.Shape{32, 32, 32, channels}, 1); err == nil {
			t.Errorf("%s: one class was accepted", name)
		}
		if zoo.Doc(name) == "" {
			t.Errorf("%s has no description", name)
		}
	}
	if _, err := zoo.New("plane", nn.Shape{32, 32, 32, 3}, 5); err == nil || !strings.Contains(err.Error(), "one channel") {
		t.Errorf("plane with 3 channels: got error %v", err)
	}
	if _, err := zoo.New("lenet", nn.Shape{32, 32, 32, 3}, 5); err == nil ||
		!strings.Contains(err.Error(), "tutorial, voxnet, resnet, medical") {
		t.Errorf("got error %v, want one that lists the names", err)
	}
}
