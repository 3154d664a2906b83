package explain

import (
	"slices"
	"testing"

	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/layers"
	"github.com/voxelstream/voxelstream/nn/nntest"
	"github.com/voxelstream/voxelstream/voxelize"
)

// TestGradCAMTurned turns volumes by the rotations of the cube. A network that turns them face on sees the same image, so
// that the map turns with the volume. Empty cells have no part in it.
func TestGradCAMTurned(t *testing.T) {
	const side = nntest.DigitSide
	face := layers.NewPrincipalPlane(12)
	conv := layers.NewConv3D(4, 3, "relu")
	conv.Kernel, conv.Padding = [3]int{1, 3, 3}, "same"
	m, err := nn.Sequential("faces", nn.Shape{side, side, side, 1}, face, conv, layers.NewGlobalAveragePooling3D(),
		layers.NewDense(3, "softmax"))
	if err != nil {
		t.Fatal(err)
	}
	m.Init(1)
	m.Values = "raw"
	e, _ := explainer(t, m)
	cells := side * side * side
	digits := nntest.Digits(t)
	for digit := 1; digit < 16; digit += 2 { // rotated ones
		x := digits[digit*cells : (digit+1)*cells]
		ask := func(x []float32) []float32 {
			v := &voxelize.Volume{Label: -1, Dims: [3]int{side, side, side}, Content: voxelize.FloatContent(1), Values: x}
			a, err := e.Explain(t.Context(), Request{Method: "gradcam", Class: 1}, v)
			if err != nil {
				t.Fatal(err)
			}
			if !a.Placed {
				t.Fatal("the map has no place in the volume")
			}
			return part(t, a, "gradcam", side, side, side)
		}
		plain := ask(x)
		if slices.Max(plain) == 0 {
			continue // nothing speaks for the class
		}
		for i, v := range plain {
			if x[i] == 0 && v != 0 {
				t.Fatalf("digit %d: empty cell %d has %g", digit, i, v)
			}
		}
		for _, k := range []int{1, 5, 14, 23} {
			turn, err := nn.Sequential("", nn.Shape{side, side, side, 1}, layers.NewCubeRotation(k))
			if err != nil {
				t.Fatal(err)
			}
			p, err := turn.Compile(1, nn.Options{})
			if err != nil {
				t.Fatal(err)
			}
			turned := func(x []float32) []float32 {
				copy(p.Input(0), x)
				if err := p.Forward(1, false, 0); err != nil {
					t.Fatal(err)
				}
				return slices.Clone(p.Output(0))
			}
			got, want := ask(turned(x)), turned(plain)
			for i := range got {
				if d := got[i] - want[i]; max(d, -d) > 1e-4*slices.Max(want) {
					t.Fatalf("digit %d, rotation %d: cell %d has %g, want %g", digit, k, i, got[i], want[i])
				}
			}
			p.Close()
		}
	}
}
