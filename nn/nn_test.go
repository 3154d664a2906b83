package nn_test

import (
	"os"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/layers"
	"github.com/voxelstream/voxelstream/nn/zoo"
)

func TestSummaryIsThatOfKeras(t *testing.T) {
	want, err := os.ReadFile("testdata/keras_summary.txt")
	if err != nil {
		t.Fatal(err)
	}
	m, err := zoo.New("tutorial", nn.Shape{16, 16, 16, 3}, 10)
	if err != nil {
		t.Fatal(err)
	}
	m.Name = "sequential"
	if got := m.Summary(nn.SummaryWidth); strings.TrimSpace(got) != strings.TrimSpace(string(want)) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestShapeErrorsNameLayerGotAndWant(t *testing.T) {
	_, err := nn.Sequential("", nn.Shape{2, 2, 2, 1}, layers.NewConv3D(4, 3, "relu"))
	if err == nil {
		t.Fatal("a kernel larger than its input was accepted")
	}
	for _, part := range []string{`"conv3d"`, "Conv3D", "(None, 2, 2, 2, 1)", "at least 3"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q does not contain %q", err, part)
		}
	}
}

func TestThreadsDoNotChangeTheResult(t *testing.T) {
	m, err := zoo.New("tutorial", nn.Shape{10, 10, 10, 3}, 10)
	if err != nil {
		t.Fatal(err)
	}
	m.Init(1)
	var first []float32
	for _, threads := range []int{1, 2, 3, 5} {
		plan, err := m.Compile(7, nn.Options{Threads: threads})
		if err != nil {
			t.Fatal(err)
		}
		x := plan.Input(0)
		for i := range x {
			x[i] = float32(i%17) / 17
		}
		if err := plan.Forward(5, false, 0); err != nil {
			t.Fatal(err)
		}
		got := append([]float32(nil), plan.Output(0)...)
		plan.Close()
		if first == nil {
			first = got
		}
		for i := range got {
			if got[i] != first[i] {
				t.Fatalf("%d threads: output %d is %v, with one thread %v", threads, i, got[i], first[i])
			}
		}
	}
}
