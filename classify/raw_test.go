package classify

import (
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/layers"
	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/voxelize"
)

// rawModel returns a model with the given input shape, whose channels may come first.
func rawModel(t *testing.T, in nn.Shape) *nn.Model {
	t.Helper()
	stack := []nn.Layer{layers.NewConv3D(4, 3, "tanh"), layers.NewFlatten(), layers.NewDense(classes, "softmax")}
	if _, first := layout(in); first {
		stack = append([]nn.Layer{layers.NewPermute(2, 3, 4, 1)}, stack...)
	}
	m, err := nn.Sequential("raw", in, stack...)
	if err != nil {
		t.Fatal(err)
	}
	m.Init(6)
	return m
}

// rawItems returns volumes of random float32 values.
func rawItems(n int, dims [3]int, channels int) []Item {
	rng := rand.New(rand.NewPCG(1, uint64(channels)))
	all := make([]Item, n)
	for i := range all {
		all[i] = Item{Read: time.Now(), Volume: voxelize.Volume{
			ID: record.ID{Stream: "s", Seq: uint64(i)}, Label: -1, Dims: dims, Content: voxelize.FloatContent(channels),
		}}
		for range dims[0] * dims[1] * dims[2] * channels {
			all[i].Values = append(all[i].Values, rng.Float32()*4-2)
		}
	}
	return all
}

// forward returns the class probabilities of each item, computed with package nn. It arranges the axes itself.
func forward(t *testing.T, m *nn.Model, all []Item) [][]float32 {
	t.Helper()
	plan, err := m.Compile(64, nn.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer plan.Close()
	in := m.Inputs()[0].Shape
	channels, first := layout(in)
	x := plan.Input(0)
	for i := range all {
		values := all[i].Values
		if first {
			values = nil
			for c := range channels {
				for k := c; k < len(all[i].Values); k += channels {
					values = append(values, all[i].Values[k])
				}
			}
		}
		copy(x[i*in.Size():], values)
	}
	if err := plan.Forward(len(all), false, 0); err != nil {
		t.Fatal(err)
	}
	return slices.Collect(slices.Chunk(plan.Output(0), classes))
}

// wantScores checks that classifications have the given probabilities, bit for bit.
func wantScores(t *testing.T, what any, got []record.Classification, want [][]float32) {
	t.Helper()
	for i := range want {
		scores := make([]float32, classes)
		for _, s := range got[i].TopK {
			scores[s.Class] = s.Score
		}
		if !slices.Equal(scores, want[i]) {
			t.Errorf("%v: item %d: found %v, want %v", what, i, scores, want[i])
		}
	}
}

// TestRawValues compares the classification of raw values with package nn, for different channels and axis orders.
func TestRawValues(t *testing.T) {
	for _, tt := range []struct {
		in   nn.Shape
		dims [3]int
		c    int
	}{
		{nn.Shape{side, side, side, 1}, [3]int{side, side, side}, 1},
		{nn.Shape{side, side, side, 2}, [3]int{side, side, side}, 2},
		{nn.Shape{side, side, side, 3}, [3]int{side, side, side}, 3},
		{nn.Shape{side, side, side, 9}, [3]int{side, side, side}, 9},
		{nn.Shape{6, 7, 8, 4}, [3]int{6, 7, 8}, 4},
		{nn.Shape{1, 6, 7, 8}, [3]int{6, 7, 8}, 1},
		{nn.Shape{3, 6, 7, 8}, [3]int{6, 7, 8}, 3},
		{nn.Shape{4, 6, 7, 8}, [3]int{6, 7, 8}, 4},
		{nn.Shape{9, 6, 6, 6}, [3]int{6, 6, 6}, 9},
	} {
		m := rawModel(t, tt.in)
		all := rawItems(7, tt.dims, tt.c)
		want := forward(t, m, all)
		for _, raw := range []bool{false, true} {
			c := classifier(t, m, Options{TopK: classes, Raw: raw})
			if c.Dims() != tt.dims || c.Channels() != tt.c || !c.TakesRaw() {
				t.Errorf("%v: found %v cells of %d channels, want %v of %d", tt.in, c.Dims(), c.Channels(), tt.dims,
					tt.c)
			}
			if compiled := c.dense != nil; compiled != (raw || !colours(tt.c)) || compiled == (c.indexed != nil) {
				t.Errorf("%v, raw %t: found plans %v and %v, want only the plan for this input", tt.in, raw, c.indexed,
					c.dense)
			}
			got, err := c.ProcessBatch(t.Context(), all)
			if err != nil {
				t.Fatal(err)
			}
			wantScores(t, tt.in, got, want)
		}
	}
}

// TestBytes checks that bytes with a scale are classified as the values they represent.
func TestBytes(t *testing.T) {
	for _, in := range []nn.Shape{{side, side, side, 2}, {2, side, side, side}} {
		m := rawModel(t, in)
		values, bytes := rawItems(3, [3]int{side, side, side}, 2), rawItems(3, [3]int{side, side, side}, 2)
		for i := range bytes {
			v := &bytes[i].Volume
			v.Content = voxelize.ByteContent(2, .25, -16)
			v.Index = make([]uint8, len(v.Values))
			for k := range v.Index {
				v.Index[k] = uint8(k*7 + i)
				values[i].Values[k] = float32(v.Index[k])/4 - 16
			}
			v.Values = nil
		}
		got, err := classifier(t, m, Options{TopK: classes}).ProcessBatch(t.Context(), bytes)
		if err != nil {
			t.Fatal(err)
		}
		wantScores(t, in, got, forward(t, m, values))
	}
}

// TestMixedBatch checks that palette indices and raw values may share a batch.
func TestMixedBatch(t *testing.T) {
	m := model(t, "softmax")
	raw, indexed := rawItems(11, [3]int{side, side, side}, 3), items(11)
	c := classifier(t, m, Options{TopK: classes, Batch: 4})
	var mixed []Item
	for i := range raw {
		mixed = append(mixed, raw[i], indexed[i])
	}
	got, err := c.ProcessBatch(t.Context(), mixed)
	if err != nil {
		t.Fatal(err)
	}
	for k, alone := range [][]Item{raw, indexed} {
		want, err := c.ProcessBatch(t.Context(), alone)
		if err != nil {
			t.Fatal(err)
		}
		for i := range want {
			if g := got[2*i+k]; g.EventID != want[i].EventID || !reflect.DeepEqual(g.TopK, want[i].TopK) {
				t.Errorf("item %d: found %+v, want %+v", i, g, want[i])
			}
		}
	}
}

func TestRawValueErrors(t *testing.T) {
	coloured := model(t, "softmax")
	coloured.Colormap = "Oranges"
	four := rawModel(t, nn.Shape{side, side, side, 4})
	dims := [3]int{side, side, side}
	infinite := rawItems(1, dims, 4)[0]
	infinite.Values[(side*side*2+side*3+4)*4+1] = float32(math.Inf(1))
	short := rawItems(1, dims, 4)[0]
	short.Values = short.Values[1:]
	for _, tt := range []struct {
		m    *nn.Model
		item Item
		want string
	}{
		{
			coloured, rawItems(1, dims, 3)[0],
			"s/0: found float32 values of 3 channels, want palette Oranges, the input of model small",
		},
		{
			model(t, "softmax"), rawItems(1, dims, 1)[0],
			"found float32 values of 1 channel, want palette Oranges, or raw values of 3 channels",
		},
		{four, item(0), "found palette Oranges, want raw values of 4 channels"},
		{four, infinite, "found value +Inf at cell (2,3,4), want finite numbers"},
		{four, short, "found 0 bytes and 863 float32 values, want 0 and 864"},
	} {
		c := classifier(t, tt.m, Options{})
		_, err := c.ProcessBatch(t.Context(), []Item{tt.item})
		if !pipeline.IsPermanent(err) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("found error %v, want it to contain %q", err, tt.want)
		}
	}
	if got := classifier(t, four, Options{}).Colormap(); got != "" {
		t.Errorf("model with 4 channels: found colour map %q, want none", got)
	}
	if _, err := Palette(four, ""); err == nil || !strings.Contains(err.Error(), "4 channels, want 1 or 3") {
		t.Errorf("found %v", err)
	}
}

// TestPoolOfRawValues checks that several networks may compile for raw values at the same time.
func TestPoolOfRawValues(t *testing.T) {
	m := rawModel(t, nn.Shape{side, side, side, 3})
	all := rawItems(5, [3]int{side, side, side}, 3)
	want := forward(t, m, all)
	p, err := NewPool(m, Options{TopK: classes, Threads: 4}, 4)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if !p.TakesRaw() || p.Takes() != "palette Oranges, or raw values of 3 channels" {
		t.Errorf("found %s", p.Takes())
	}
	var g sync.WaitGroup
	for range p.Networks() {
		g.Go(func() {
			got, err := p.ProcessBatch(t.Context(), all)
			if err != nil {
				t.Error(err)
				return
			}
			wantScores(t, "pool", got, want)
		})
	}
	g.Wait()
}
