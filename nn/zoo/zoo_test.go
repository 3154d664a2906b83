package zoo_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/zoo"
)

// TestParameters compares with the numbers of the tutorial, and of the paper on VoxNet for its 40 classes.
func TestParameters(t *testing.T) {
	for _, c := range []struct {
		name             string
		input            nn.Shape
		classes          int
		total, trainable int
	}{
		{"tutorial", nn.Shape{16, 16, 16, 3}, 10, 258058, 257866},
		{"voxnet", nn.Shape{32, 32, 32, 1}, 40, 921736, 921736},
	} {
		m, err := zoo.New(c.name, c.input, c.classes)
		if err != nil {
			t.Fatal(err)
		}
		if total, trainable := m.Count(); total != c.total || trainable != c.trainable {
			t.Errorf("%s: got %d parameters, %d trainable, want %d and %d", c.name, total, trainable, c.total, c.trainable)
		}
		if out := m.Outputs()[0].Shape; !slices.Equal(out, nn.Shape{c.classes}) {
			t.Errorf("%s: got output %v", c.name, out)
		}
	}
}

func TestEachNameBuilds(t *testing.T) {
	for _, name := range zoo.Names() {
		m, err := zoo.New(name, nn.Shape{32, 32, 32, 3}, 5)
		if err != nil || m.Name != name {
			t.Errorf("%s: got %v, %v", name, m, err)
		}
		if _, err := zoo.New(name, nn.Shape{4, 4, 4, 3}, 5); err == nil {
			t.Errorf("%s: an input that is too small was accepted", name)
		}
		if _, err := zoo.New(name, nn.Shape{32, 32, 32, 3}, 1); err == nil {
			t.Errorf("%s: one class was accepted", name)
		}
	}
	if _, err := zoo.New("lenet", nn.Shape{32, 32, 32, 3}, 5); err == nil || !strings.Contains(err.Error(), "tutorial, voxnet") {
		t.Errorf("got error %v, want one that lists the names", err)
	}
}
