package classify

import (
	"context"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/layers"
	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/voxelize"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const side, classes = 6, 5

// model returns a small network with random weights.
func model(t *testing.T, activation string) *nn.Model {
	t.Helper()
	m, err := nn.Sequential("small", nn.Shape{side, side, side, 3},
		layers.NewConv3D(4, 3, "relu"), layers.NewFlatten(), layers.NewDense(classes, activation))
	if err != nil {
		t.Fatal(err)
	}
	m.Init(5)
	m.Colormap = "Oranges"
	return m
}

// onPalette are the preferences for models that take palette indices without saying so.
var onPalette = Preferences{Values: voxelize.PaletteIndices}

func classifier(t *testing.T, m *nn.Model, o Options) *Classifier {
	t.Helper()
	o.Model = record.Model{Name: "small", Version: "1", Digest: strings.Repeat("0", 64)}
	c, err := New(m, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func item(i int) Item {
	v := voxelize.Volume{
		ID: record.ID{Stream: "s", Seq: uint64(i)}, Label: int32(i%3) - 1,
		Dims: [3]int{side, side, side}, Index: make([]uint8, side*side*side),
		Content: voxelize.PaletteContent("Oranges"),
	}
	for j := range v.Index {
		if (j*7+i)%5 == 0 {
			v.Index[j] = uint8(j*31 + i*13)
		}
	}
	return Item{Volume: v, Read: time.Now()}
}

func items(n int) (out []Item) {
	for i := range n {
		out = append(out, item(i))
	}
	return out
}

// TestBatchesDoNotMatter checks that scores do not depend on the batch size or the number of threads.
func TestBatchesDoNotMatter(t *testing.T) {
	m := model(t, "softmax")
	all := items(23)
	want, err := classifier(t, m, Options{Batch: 23, Threads: 1}).ProcessBatch(t.Context(), all)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range []Options{{Batch: 1}, {Batch: 5, Threads: 2}, {Batch: 64, Threads: 3}, {}} {
		got, err := classifier(t, m, o).ProcessBatch(t.Context(), all)
		if err != nil {
			t.Fatal(err)
		}
		for i := range got {
			got[i].LatencyMS = want[i].LatencyMS
			for k := range got[i].TopK {
				if d := math.Abs(float64(got[i].TopK[k].Score - want[i].TopK[k].Score)); d > 1e-6 {
					t.Fatalf("%+v: volume %d: found %v, want %v", o, i, got[i].TopK, want[i].TopK)
				}
			}
			got[i].Score, got[i].TopK = want[i].Score, want[i].TopK
			if !reflect.DeepEqual(got[i], want[i]) {
				t.Fatalf("%+v: found %+v, want %+v", o, got[i], want[i])
			}
		}
	}
}

func TestClassification(t *testing.T) {
	m := model(t, "softmax")
	m.Classes = []string{"chair", "table", "2", "lamp", "bed"}
	got, err := classifier(t, m, Options{TopK: 4}).ProcessBatch(t.Context(), items(6))
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range got {
		if v := item(i); c.EventID != v.ID.String() || c.Stream != "s" || c.Seq != uint64(i) ||
			c.Model.Name != "small" || len(c.TopK) != 4 {
			t.Errorf("found %+v", c)
		}
		if c.Class != c.TopK[0].Class || c.Score != c.TopK[0].Score || c.LatencyMS <= 0 {
			t.Errorf("found %+v", c)
		}
		for k := 1; k < len(c.TopK); k++ {
			if c.TopK[k].Score > c.TopK[k-1].Score {
				t.Errorf("found %v, want the best class first", c.TopK)
			}
		}
		if known := i%3 != 0; known != (c.Label != nil) || known && *c.Label != int32(i%3)-1 {
			t.Errorf("volume %d: found label %v", i, c.Label)
		}
		if want := m.Classes[c.Class]; c.Name != want && (c.Class != 2 || c.Name != "") {
			t.Errorf("class %d: found name %q, want %q", c.Class, c.Name, want)
		}
	}
}

// TestObject checks that the classification of an object has its number, view, track, box, distance and velocity, and that of
// a whole scan has none.
func TestObject(t *testing.T) {
	in := items(2)
	in[1].Object, in[1].View, in[1].Track = 3, 5, 17
	distance, velocity := record.Distance{Nearest: 4, Median: 5, Valid: .5}, [3]float32{1, 2, 3}
	in[1].Distance, in[1].Velocity = &distance, &velocity
	in[1].Box = &record.Box{Center: [3]float64{1, 2, 3}, Size: [3]float32{4, 5, 6}, Yaw: 0.5}
	want := *in[1].Box
	got, err := classifier(t, model(t, "softmax"), Options{}).ProcessBatch(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	if c := got[0]; c.EventID != "s/0" || c.ID() != in[0].ID || c.Box != nil || c.Track != 0 ||
		c.Distance != nil || c.Velocity != nil {
		t.Errorf("whole scan: found %+v", c)
	}
	in[1].Box.Yaw, in[1].Distance.Nearest, in[1].Velocity[0] = 0, 0, 0 // results must not share the memory of the input
	if c := got[1]; c.EventID != "s/1#3~5" || c.ID() != in[1].ID || c.Track != 17 || c.Box == nil || *c.Box != want {
		t.Errorf("object: found %+v", c)
	}
	if c := got[1]; c.Distance == nil || *c.Distance != (record.Distance{Nearest: 4, Median: 5, Valid: .5}) ||
		c.Velocity == nil || *c.Velocity != [3]float32{1, 2, 3} {
		t.Errorf("object: found distance %+v and velocity %v", c.Distance, c.Velocity)
	}
}

// TestPartialErrors checks that volumes that do not fit are reported as permanent errors and do not affect the
// others.
func TestPartialErrors(t *testing.T) {
	c := classifier(t, model(t, "softmax"), Options{Batch: 2})
	all := items(6)
	all[1].Dims, all[1].Index = [3]int{8, 8, 8}, make([]uint8, 512)
	all[3].Content.Palette = "viridis"
	all[4].Index = all[4].Index[:10]
	got, err := c.ProcessBatch(t.Context(), all)
	partial, ok := errors.AsType[*pipeline.PartialError](err)
	if !ok || len(partial.Failed) != 3 {
		t.Fatalf("found %v", err)
	}
	for i, want := range map[int]string{
		1: "found 8x8x8 cells, want 6x6x6",
		3: "found palette viridis, want palette Oranges",
		4: "found 10 bytes and 0 float32 values, want 216 and 0",
	} {
		if e := partial.Failed[i]; !pipeline.IsPermanent(e) || !strings.Contains(e.Error(), want) ||
			!strings.Contains(e.Error(), all[i].ID.String()) {
			t.Errorf("item %d: found %v, want %q", i, e, want)
		}
	}
	alone, err := c.ProcessBatch(t.Context(), []Item{all[0], all[2], all[5]})
	if err != nil {
		t.Fatal(err)
	}
	for j, i := range []int{0, 2, 5} {
		if !reflect.DeepEqual(got[i].TopK, alone[j].TopK) {
			t.Errorf("item %d: found %v with invalid items in the batch, %v without", i, got[i].TopK, alone[j].TopK)
		}
	}
}

// scores returns the scores of some items.
func scores(t *testing.T, m *nn.Model) (out [][]record.Score) {
	t.Helper()
	got, err := classifier(t, m, Options{TopK: classes, Preferences: onPalette}).ProcessBatch(t.Context(), items(7))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range got {
		out = append(out, c.TopK)
	}
	return out
}

// share copies the parameters of a model to one with the same parameter shapes.
func share(to, from *nn.Model) {
	for i, p := range from.Params() {
		copy(to.Params()[i].Value, p.Value)
	}
}

// TestChannelsFirst checks that a model with channels first, which permutes its input, gives the same scores as one
// with channels last and is as fast: the convolution reads the palette directly.
func TestChannelsFirst(t *testing.T) {
	for _, channels := range []int{3, 1} {
		stack := func() []nn.Layer {
			return []nn.Layer{layers.NewConv3D(4, 3, "relu"), layers.NewFlatten(), layers.NewDense(classes, "softmax")}
		}
		last, err := nn.Sequential("small", nn.Shape{side, side, side, channels}, stack()...)
		if err != nil {
			t.Fatal(err)
		}
		last.Init(5)
		first, err := nn.Sequential("small", nn.Shape{channels, side, side, side},
			append([]nn.Layer{layers.NewPermute(2, 3, 4, 1)}, stack()...)...)
		if err != nil {
			t.Fatal(err)
		}
		share(first, last)
		if got, want := scores(t, first), scores(t, last); !reflect.DeepEqual(got, want) {
			t.Errorf("%d channels: found %v, want %v", channels, got, want)
		}
		plan := classifier(t, first, Options{Preferences: onPalette}).plan
		if ops := strings.Join(plan.Ops(), ", "); !strings.Contains(ops, "PaletteConv") ||
			strings.Contains(ops, "Gather") {
			t.Errorf("%d channels: found operations %s, want a palette convolution and no permutation", channels, ops)
		}
	}
}

// TestDensity checks that a model with one channel sees each voxel's position in the palette.
func TestDensity(t *testing.T) {
	m, err := nn.Sequential("sum", nn.Shape{side, side, side, 1}, layers.NewFlatten(), layers.NewDense(2, "softmax"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range m.Params()[0].Value { // logits: the sum of all voxels, and 0
		m.Params()[0].Value[i] = float32(1-i%2) / 10
	}
	v := item(1)
	sum := 0.
	for _, i := range v.Index {
		sum += float64(i) / 255 / 10
	}
	got, err := classifier(t, m, Options{TopK: 2, Preferences: onPalette}).ProcessBatch(t.Context(), []Item{v})
	if err != nil {
		t.Fatal(err)
	}
	if want := 1 / (1 + math.Exp(-sum)); math.Abs(float64(got[0].Score)-want) > 1e-5 || got[0].Class != 0 {
		t.Errorf("found class %d with score %g, want 0 with %g", got[0].Class, got[0].Score, want)
	}
}

// TestLogits checks that a model that ends in logits or log-probabilities gives the same scores as one that ends in a
// softmax.
func TestLogits(t *testing.T) {
	with := model(t, "softmax")
	want := scores(t, with)
	for _, activation := range []string{"linear", "log_softmax"} {
		m, err := nn.Sequential("small", nn.Shape{side, side, side, 3},
			layers.NewConv3D(4, 3, "relu"), layers.NewFlatten(), layers.NewDense(classes, ""),
			layers.NewActivation(activation))
		if activation == "linear" {
			m, err = nn.Sequential("small", nn.Shape{side, side, side, 3}, layers.NewConv3D(4, 3, "relu"),
				layers.NewFlatten(), layers.NewDense(classes, ""))
		}
		if err != nil {
			t.Fatal(err)
		}
		share(m, with)
		for i, got := range scores(t, m) {
			for k, s := range got {
				if s.Class != want[i][k].Class || math.Abs(float64(s.Score-want[i][k].Score)) > 1e-5 {
					t.Errorf("%s: item %d: found %v, want %v", activation, i, got, want[i])
				}
			}
		}
	}
	if scored, err := Scored(with); err != nil || scored != with {
		t.Errorf("found %v (%v), want the model unchanged", scored, err)
	}
}

// TestTwoClasses checks that a model with one output p gives probabilities 1-p and p.
func TestTwoClasses(t *testing.T) {
	one := func(activation string) *nn.Model {
		m, err := nn.Sequential("two", nn.Shape{side, side, side, 3}, layers.NewFlatten(),
			layers.NewDense(1, activation))
		if err != nil {
			t.Fatal(err)
		}
		m.Params()[1].Value[0] = float32(math.Log(.25 / .75))
		return m
	}
	got := scores(t, one("sigmoid"))[0]
	if len(got) != 2 || got[0].Class != 0 || math.Abs(float64(got[0].Score)-.75) > 1e-6 ||
		math.Abs(float64(got[1].Score)-.25) > 1e-6 {
		t.Errorf("found %v, want class 0 with .75 and class 1 with .25", got)
	}
	if _, err := New(one(""), Options{}); err == nil ||
		!strings.Contains(err.Error(), "want a sigmoid, for two classes") {
		t.Errorf("found %v", err)
	}
}

func TestNaN(t *testing.T) {
	m := model(t, "softmax")
	c := classifier(t, m, Options{})
	for _, p := range m.Params() {
		if strings.HasSuffix(p.Name, "bias") {
			p.Value[0] = float32(math.NaN())
		}
	}
	_, err := c.ProcessBatch(t.Context(), items(1))
	if !pipeline.IsPermanent(err) || !strings.Contains(err.Error(), "NaN") {
		t.Errorf("found %v", err)
	}
}

func TestModelErrors(t *testing.T) {
	plane, err := nn.Sequential("c", nn.Shape{side, side, 2}, layers.NewFlatten(), layers.NewDense(classes, "softmax"))
	if err != nil {
		t.Fatal(err)
	}
	unknown := model(t, "softmax")
	unknown.Colormap = "rainbow"
	for want, m := range map[string]*nn.Model{
		"want (None, D, H, W, C)": plane, "as from a final softmax": model(t, "relu"), `colour map "rainbow"`: unknown,
	} {
		if _, err := New(m, Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("found %v, want %q", err, want)
		}
	}
}

func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := classifier(t, model(t, "softmax"), Options{}).ProcessBatch(ctx, items(3))
	if !errors.Is(err, context.Canceled) {
		t.Errorf("found error %v, want %v", err, context.Canceled)
	}
}
