package classify

import (
	"math"
	"math/rand/v2"
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
		c := classifier(t, m, Options{TopK: classes})
		if in := c.Input(); in.Dims != tt.dims || in.Channels != tt.c || in.Palette != nil {
			t.Errorf("%v: found %+v, want values of %v cells of %d channels", tt.in, in, tt.dims, tt.c)
		}
		got, err := c.ProcessBatch(t.Context(), all)
		if err != nil {
			t.Fatal(err)
		}
		wantScores(t, tt.in, got, want)
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

// TestScaledValues checks that values as measured are scaled as the model's metadata says, that values that were scaled
// so before are not scaled again, and that others are refused.
func TestScaledValues(t *testing.T) {
	for _, in := range []nn.Shape{{side, side, side, 2}, {2, side, side, side}} {
		for _, e := range []voxelize.Encoding{"window:-1:0.5", "standard", "standard:0.5,-1:2,0.25"} {
			m := rawModel(t, in)
			m.Values = e.String()
			measured, scaled := rawItems(3, [3]int{side, side, side}, 2), rawItems(3, [3]int{side, side, side}, 2)
			for i := range scaled {
				if err := e.Apply(scaled[i].Values, 2); err != nil {
					t.Fatal(err)
				}
				if slices.Equal(measured[i].Values, scaled[i].Values) {
					t.Fatalf("%v changes nothing", e)
				}
			}
			want := forward(t, m, scaled)
			for i := range scaled {
				scaled[i].Content.Values = e
			}
			c := classifier(t, m, Options{TopK: classes})
			for _, items := range [][]Item{measured, scaled} {
				got, err := c.ProcessBatch(t.Context(), items)
				if err != nil {
					t.Fatal(err)
				}
				wantScores(t, e, got, want)
			}
			scaled[0].Content.Values = "window:0:1"
			_, err := c.ProcessBatch(t.Context(), scaled[:1])
			refused := "scaled by window:0:1, want values of 2 channels, raw or scaled by " + e.String()
			if !pipeline.IsPermanent(err) || !strings.Contains(err.Error(), refused) {
				t.Errorf("found %v", err)
			}
		}
	}
}

// TestInputOf checks which volumes models take, by their metadata and the user's preferences.
func TestInputOf(t *testing.T) {
	window := voxelize.Window{Centre: 1, Width: 2}
	for _, tt := range []struct {
		values, colormap string
		user             Preferences
		want             string
	}{
		{"", "", Preferences{}, "raw values of 3 channels"},
		{"", "viridis", Preferences{}, "palette viridis"},
		{"raw", "", Preferences{}, "raw values of 3 channels"},
		{"palette", "gray", Preferences{Colormap: "Oranges"}, "palette gray"},
		{"palette", "", Preferences{Colormap: "gray"}, "palette gray"},
		{"palette:0:4", "gray", Preferences{}, "palette gray, scaled by palette:0:4"},
		{"window:0:1", "", Preferences{}, "values of 3 channels, raw or scaled by window:0:1"},
		{"window:0:1", "", Preferences{Values: "raw"}, "raw values of 3 channels"},
		{"", "gray", Preferences{Values: "standard"}, "values of 3 channels, raw or scaled by standard"},
		{"", "", Preferences{Values: "palette"}, "palette Oranges"},
		{"raw", "", Preferences{Window: window}, "values of 3 channels, raw or scaled by window:0:2"},
		{"palette", "gray", Preferences{Window: window}, "palette gray, scaled by palette:0:2"},
	} {
		m := rawModel(t, nn.Shape{side, side, side, 3})
		m.Values, m.Colormap = tt.values, tt.colormap
		in, err := InputOf(m, tt.user)
		if err != nil || in.String() != tt.want {
			t.Errorf("%+v: found %v, %v", tt, in, err)
		}
	}
	for want, values := range map[string]string{
		"want palette, palette:full": "hounsfield", "one of them": "standard",
		"found numbers for 2 channels, want 3": "standard:1,2:3,4",
	} {
		m := rawModel(t, nn.Shape{side, side, side, 3})
		m.Values = values
		user := Preferences{}
		if values == "standard" {
			user.Window = window
		}
		if _, err := InputOf(m, user); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: found %v, want %q", values, err, want)
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
			"s/0, model small: found float32 values of 3 channels, want palette Oranges, the input of the model: " +
				"make the volumes with --values palette",
		},
		{
			rawModel(t, nn.Shape{side, side, side, 3}), rawItems(1, dims, 1)[0],
			"found float32 values of 1 channel, want raw values of 3 channels, the input of the model",
		},
		{
			rawModel(t, nn.Shape{side, side, side, 1}), item(0),
			"found palette Oranges, want raw values of 1 channel, the input of the model: make the volumes with " +
				"--values raw",
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
	if _, err := InputOf(four, onPalette); err == nil || !strings.Contains(err.Error(), "4 channels, want 1 or 3") {
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

// TestOlderFiles checks that models that an earlier version of this program wrote without a statement keep taking
// palette indices, where their number of channels allows that.
func TestOlderFiles(t *testing.T) {
	for channels, want := range map[int]string{
		1: "palette Oranges", 3: "palette Oranges", 4: "raw values of 4 channels",
	} {
		m := rawModel(t, nn.Shape{side, side, side, channels})
		m.Older = true
		if in, err := InputOf(m, Preferences{}); err != nil || in.String() != want {
			t.Errorf("found %v, %v, want %s", in, err, want)
		}
	}
}

// TestScaler checks that a row in the model's own order of axes is scaled as a volume is.
func TestScaler(t *testing.T) {
	for _, in := range []nn.Shape{{side, side, side, 2}, {2, side, side, side}} {
		for _, e := range []voxelize.Encoding{"window:-1:0.5", "standard", "standard:0.5,-1:2,0.25"} {
			m := rawModel(t, in)
			scale, err := Scaler(m, in, Preferences{})
			if scale != nil || err != nil {
				t.Fatalf("raw values: found a function, %v", err)
			}
			m.Values = e.String()
			if scale, err = Scaler(m, in, Preferences{}); err != nil {
				t.Fatal(err)
			}
			input, err := InputOf(m, Preferences{})
			if err != nil {
				t.Fatal(err)
			}
			v := rawItems(1, [3]int{side, side, side}, 2)[0].Volume
			want, got := make([]float32, in.Size()), make([]float32, in.Size())
			if err := input.Put(want, &v); err != nil {
				t.Fatal(err)
			}
			raw := &Input{Channels: 2, Values: voxelize.RawValues, first: input.first}
			if err := raw.Put(got, &v); err != nil {
				t.Fatal(err)
			}
			if err := scale(got); err != nil || !slices.Equal(got, want) {
				t.Errorf("%v, %v: found other values than those of a volume (%v)", in, e, err)
			}
		}
	}
}
