package explain

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/voxelstream/voxelstream/classify"
	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/layers"
	"github.com/voxelstream/voxelstream/nn/zoo"
	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/serve/frame"
	"github.com/voxelstream/voxelstream/serve/reply"
	"github.com/voxelstream/voxelstream/voxelize"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const side = 8

// sequential returns a model with random weights.
func sequential(t *testing.T, input nn.Shape, stack ...nn.Layer) *nn.Model {
	t.Helper()
	m, err := nn.Sequential("small", input, stack...)
	if err != nil {
		t.Fatal(err)
	}
	m.Init(5)
	return m
}

// colours returns a model that takes colours of a palette.
func colours(t *testing.T) *nn.Model {
	t.Helper()
	m := sequential(t, nn.Shape{side, side, side, 3}, layers.NewConv3D(4, 3, "tanh"), layers.NewMaxPooling3D(2),
		layers.NewFlatten(), layers.NewDense(5, "softmax"))
	m.Colormap = "Oranges"
	return m
}

// subject describes a model.
func subject(t *testing.T, m *nn.Model) Subject {
	t.Helper()
	in, err := classify.InputOf(m, classify.Preferences{})
	if err != nil {
		t.Fatal(err)
	}
	return Subject{m, record.Model{Name: m.Name, Version: "1", Digest: strings.Repeat("0", 64)}, in}
}

// explainer explains one model.
func explainer(t *testing.T, m *nn.Model) (*Explainer, *classify.Input) {
	t.Helper()
	s := subject(t, m)
	e := New(func(name string) (Subject, error) {
		if name != "" && name != m.Name {
			return Subject{}, reply.Errorf(http.StatusNotFound, "no model %q", name)
		}
		return s, nil
	})
	t.Cleanup(e.Close)
	return e, s.Input
}

// volume returns a volume that a model takes.
func volume(in *classify.Input) *voxelize.Volume {
	n, indices := in.Size()
	var values []float32
	var index []uint8
	for i := range n {
		if indices {
			index = append(index, uint8(i*i*31%256*(i%3/2)))
		} else {
			values = append(values, float32(i*i*31%100)/50-1)
		}
	}
	v := in.Volume(values, index)
	return &v
}

// logit computes a logit of a model from its input.
func logit(t *testing.T, m *nn.Model, x []float32, class int) float64 {
	t.Helper()
	scored, err := classify.Scored(m)
	if err != nil {
		t.Fatal(err)
	}
	p, err := scored.Compile(1, nn.Options{Logits: true, Threads: 1, Without: []string{"all"}})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	copy(p.Input(0), x)
	if err := p.Forward(1, false, 0); err != nil {
		t.Fatal(err)
	}
	y, _ := p.Logits()
	switch {
	case len(y) > 1:
		return float64(y[class])
	case class == 0:
		return -float64(y[0])
	}
	return float64(y[0])
}

// part returns the numbers of a part.
func part(t *testing.T, a *Answer, name string, shape ...int) []float32 {
	t.Helper()
	b, err := frame.Encode(a, &a.Payload)
	if err != nil {
		t.Fatal(err)
	}
	m, err := frame.Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	p, x, err := m.Floats(name)
	if err != nil || !slices.Equal(p.Shape, shape) {
		t.Fatalf("%s: found shape %v, %v, want %v", name, p.Shape, err, shape)
	}
	if r := a.Ranges[name]; r[0] != slices.Min(x) || r[1] != slices.Max(x) {
		t.Errorf("%s: found range %v", name, r)
	}
	return x
}

func near(got, want, tolerance float64) bool {
	return math.Abs(got-want) <= tolerance*(1+math.Abs(want))
}

// TestGradient compares the gradient and contribution of cells with finite differences, for colours, densities, values
// with several channels in either order of axes, logits, and two classes.
func TestGradient(t *testing.T) {
	density := sequential(t, nn.Shape{side, side, side, 1}, layers.NewConv3D(3, 3, "tanh"), layers.NewFlatten(),
		layers.NewDense(1, "sigmoid"))
	density.Colormap = "viridis"
	values := sequential(t, nn.Shape{side, side, side, 2}, layers.NewConv3D(3, 3, "tanh"), layers.NewFlatten(),
		layers.NewDense(4, ""))
	first := sequential(t, nn.Shape{2, side, side, side}, layers.NewPermute(2, 3, 4, 1), layers.NewConv3D(3, 3, "tanh"),
		layers.NewFlatten(), layers.NewDense(4, "softmax"))
	smooth := sequential(t, nn.Shape{side, side, side, 3}, layers.NewConv3D(4, 3, "tanh"), layers.NewFlatten(),
		layers.NewDense(5, "softmax"))
	smooth.Colormap = "Oranges"
	for name, m := range map[string]*nn.Model{
		"colours": smooth, "density": density, "values": values, "channels first": first,
	} {
		e, in := explainer(t, m)
		v := volume(in)
		row := make([]float32, m.Inputs()[0].Shape.Size())
		if err := in.Put(row, v); err != nil {
			t.Fatal(err)
		}
		for class := range 2 {
			a, err := e.Explain(t.Context(), Request{Class: class}, v)
			if err != nil {
				t.Fatal(err)
			}
			if want := logit(t, m, row, class); !near(float64(a.Logit), want, 1e-5) || a.Class != class {
				t.Errorf("%s: found logit %g of class %d, want %g", name, a.Logit, a.Class, want)
			}
			grad := part(t, a, "gradient", side, side, side)
			adds := part(t, a, "contribution", side, side, side)
			for cell := 0; cell < side*side*side; cell += 73 {
				moved := func(f func(channel int, x float32) float32) float64 {
					other := slices.Clone(row)
					for k := range in.Channels {
						at := cell*in.Channels + k
						if m.Inputs()[0].Shape[0] == 2 {
							at = k*side*side*side + cell
						}
						other[at] = f(k, other[at])
					}
					return logit(t, m, other, class)
				}
				const h = 1e-2
				table := in.Colours()
				slope := func(up float32) float64 { // along the palette, or the steepest channel
					if table != nil {
						i := int(v.Index[cell])
						lo, hi := max(i-1, 0), min(i+1, 255)
						return moved(func(k int, x float32) float32 {
							n := in.Channels
							return x + up*(table.Colours[hi*n+k]-table.Colours[lo*n+k])*255/float32(hi-lo)
						})
					}
					best, steepest := 0., 0.
					for only := range in.Channels {
						shift := func(by float32) float64 {
							return moved(func(k int, x float32) float32 {
								if k == only {
									x += by
								}
								return x
							})
						}
						if rise := math.Abs(shift(h) - shift(-h)); rise > steepest {
							steepest, best = rise, shift(up)
						}
					}
					return best
				}
				if want := (slope(h) - slope(-h)) / (2 * h); !near(float64(grad[cell]), want, 2e-3) {
					t.Errorf("%s, class %d: cell %d: found gradient %g, want %g", name, class, cell, grad[cell], want)
				}
				toEmpty := func(share float32) float64 {
					return moved(func(k int, x float32) float32 {
						empty := float32(0)
						if table != nil {
							empty = table.Colours[k]
						}
						return x + share*(x-empty)
					})
				}
				if want := (toEmpty(h) - toEmpty(-h)) / (2 * h); !near(float64(adds[cell]), want, 2e-3) {
					t.Errorf("%s, class %d: cell %d: found contribution %g, want %g", name, class, cell, adds[cell],
						want)
				}
			}
		}
	}
}

// TestGradCAM recomputes the map from the definition with the layers behind the convolution, and checks its placement.
func TestGradCAM(t *testing.T) {
	m := colours(t)
	e, in := explainer(t, m)
	v := volume(in)
	a, err := e.Explain(t.Context(), Request{Method: "gradcam", Class: 3}, v)
	if err != nil {
		t.Fatal(err)
	}
	if a.Layer != "conv3d" || !a.Placed {
		t.Errorf("found layer %s, placed %v", a.Layer, a.Placed)
	}
	n := side - 2
	cells := part(t, a, "cells", n, n, n)
	conv := m.Nodes()[1]
	p, err := m.Compile(1, nn.Options{Keep: []*nn.Node{conv}, Without: []string{"all"}})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if err := in.Put(p.Input(0), v); err != nil {
		t.Fatal(err)
	}
	if err := p.Forward(1, false, 0); err != nil {
		t.Fatal(err)
	}
	x, _ := p.Kept(0)
	dense := m.Params()[2].Value // [flat, 5]
	half := n / 2
	weights := make([]float64, 4)
	for z := range half {
		for y := range half {
			for w := range half {
				for k := range 4 { // the largest of each window has the weight of the dense layer
					weights[k] += float64(dense[(((z*half+y)*half+w)*4+k)*5+3]) / float64(n*n*n)
				}
			}
		}
	}
	for i, got := range cells {
		want := 0.
		for k, w := range weights {
			want += w * float64(x[i*4+k])
		}
		if !near(float64(got), max(want, 0), 1e-4) {
			t.Fatalf("cell %d: found %g, want %g", i, got, max(want, 0))
		}
	}
	// Cell (j,j,j) of the convolution is in the middle of cells j to j+2.
	whole := part(t, a, "gradcam", side, side, side)
	for j := range n {
		at := func(i, n int) int { return (i*n+i)*n + i }
		if got, want := whole[at(j+1, side)], cells[at(j, n)]; got != want {
			t.Errorf("cell %d: found %g, want %g", j, got, want)
		}
	}
	if whole[0] != cells[0] {
		t.Errorf("found %g in the corner, want %g", whole[0], cells[0])
	}
}

// TestGradCAMLayer: without a layer, Grad-CAM takes the last convolution with its normalization and activation, but not
// with what pools it.
func TestGradCAMLayer(t *testing.T) {
	m := sequential(t, nn.Shape{side, side, side, 1}, layers.NewConv3D(2, 3, "relu"), layers.NewConv3D(4, 3, ""),
		layers.NewBatchNormalization(), layers.NewReLU(), layers.NewMaxPooling3D(2), layers.NewFlatten(),
		layers.NewDense(5, "softmax"))
	for name, want := range map[string]string{"": "re_lu", "conv3d_1": "conv3d_1"} {
		x := explained{Subject: subject(t, m)}
		if n, err := x.layer(name); err != nil || n.Name() != want {
			t.Errorf("layer %q: found %v, %v, want %s", name, n, err, want)
		}
	}
}

func TestInterpolate(t *testing.T) {
	cells := []float32{0, 1, 2, 3, 4, 5, 6, 7} // z*4 + y*2 + x
	size, dims := [3]int{2, 2, 2}, [3]int{4, 4, 4}
	got := interpolate(cells, size, spread(size, dims), dims)
	at := []float32{0, .25, .75, 1}
	for i, v := range got {
		if want := 4*at[i/16] + 2*at[i/4%4] + at[i%4]; v != want {
			t.Errorf("cell %d: found %g, want %g", i, v, want)
		}
	}
}

func TestFeatures(t *testing.T) {
	m := colours(t)
	e, in := explainer(t, m)
	v := volume(in)
	a, err := e.Explain(t.Context(), Request{Method: "features", First: 1, Class: -1}, v)
	if err != nil {
		t.Fatal(err)
	}
	n := side - 2
	got := part(t, a, "features", n, n, n, 3)
	p, err := m.Compile(1, nn.Options{Keep: m.Nodes()[1:2], Logits: true})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if err := in.Put(p.Input(0), v); err != nil {
		t.Fatal(err)
	}
	if err := p.Forward(1, false, 0); err != nil {
		t.Fatal(err)
	}
	x, _ := p.Kept(0)
	for i, v := range got {
		if want := x[i/3*4+1+i%3]; v != want {
			t.Fatalf("value %d: found %g, want %g", i, v, want)
		}
	}
	if y, _ := p.Logits(); a.Channels != 4 || a.Shown != 3 || y[a.Class] != slices.Max(y) || a.Logit != y[a.Class] {
		t.Errorf("found %+v, want the class with the largest of %v", a, y)
	}
	a, err = e.Explain(t.Context(), Request{Method: "features", Layer: m.Inputs()[0].Name()}, v)
	if err != nil {
		t.Fatal(err)
	}
	if got := part(t, a, "features", side, side, side, 3); !slices.Equal(got, p.Input(0)) {
		t.Error("found other values than those of the input")
	}
	a, err = e.Explain(t.Context(), Request{Method: "features", Layer: "dense"}, v)
	if err != nil {
		t.Fatal(err)
	}
	if got := part(t, a, "features", 5); !slices.Equal(got, p.Output(0)) {
		t.Errorf("found %v, want %v", got, p.Output(0))
	}
}

func TestGraph(t *testing.T) {
	for _, name := range zoo.Names() {
		channels := zoo.Channels(name)
		m, err := zoo.New(name, nn.Shape{16, 16, 16, channels}, 4)
		if err != nil {
			t.Fatal(err)
		}
		m.Init(1)
		if channels == 3 {
			m.Colormap = "Oranges"
		}
		e, _ := explainer(t, m)
		g, err := e.Graph(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		total, _ := m.Count()
		parameters, sum, seen := 0, 0., map[string]bool{}
		for i, l := range g.Layers {
			parameters += l.Parameters
			if !slices.Equal(l.Shape, m.Nodes()[i].Shape) || seen[l.Name] ||
				(l.Inputs == nil) != (l.Type == "InputLayer") {
				t.Errorf("%s: found %+v", name, l)
			}
			seen[l.Name] = true
			for _, in := range l.Inputs {
				if !seen[in] {
					t.Errorf("%s: layer %s reads %s, which does not come before it", name, l.Name, in)
				}
			}
			if l.MS != nil {
				sum += *l.MS
			}
			if conv := strings.HasPrefix(l.Type, "Conv") || l.Type == "Dense"; conv && (l.MS == nil || *l.MS <= 0) {
				t.Errorf("%s: layer %s has no time", name, l.Name)
			}
			if l.MS != nil && l.Within != "" {
				t.Errorf("%s: found %+v", name, l)
			}
		}
		if parameters != total || sum <= 0 || g.MS <= 0 {
			t.Errorf("%s: found %d parameters, %g ms of layers, %g ms; want %d", name, parameters, sum, g.MS, total)
		}
		if again, err := e.Graph(t.Context(), m.Name); err != nil || again != g {
			t.Errorf("%s: measured again (%v)", name, err)
		}
	}
}

// serve serves an explainer.
func serve(t *testing.T, e *Explainer) *httptest.Server {
	t.Helper()
	mux := http.NewServeMux()
	e.Register(mux.Handle)
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

// body is a frame with a volume.
func body(t *testing.T, v *voxelize.Volume) []byte {
	t.Helper()
	var p frame.Payload
	h := frame.Of(record.ID{Stream: "s"})
	p.AddVolume(&h, v)
	b, err := frame.Encode(&h, &p)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func post(t *testing.T, s *httptest.Server, query string, b []byte) (status int, answer []byte) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+"/api/explain?"+query, bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	w, err := s.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Body.Close() //nolint:errcheck // read only
	if answer, err = io.ReadAll(w.Body); err != nil {
		t.Fatal(err)
	}
	return w.StatusCode, answer
}

func TestHTTP(t *testing.T) {
	m := colours(t)
	m.Classes = []string{"a", "b", "c", "d", "e"}
	e, in := explainer(t, m)
	s := serve(t, e)
	b := body(t, volume(in))
	status, answer := post(t, s, "method=gradcam&class=2&model=small&layer=conv3d", b)
	f, err := frame.Decode(answer)
	if status != http.StatusOK || err != nil || f.Type != "explain" {
		t.Fatalf("found %d, %v: %.100s", status, err, answer)
	}
	var a Answer
	if err := f.Into(&a); err != nil || a.Class != 2 || a.Name != "c" || a.Method != "gradcam" || a.Version != "1" {
		t.Errorf("found %+v, %v", a, err)
	}
	small := *in
	small.Dims = [3]int{4, 4, 4}
	deep := binary.LittleEndian.AppendUint32([]byte("VXF1"), 1<<31)
	for _, c := range []struct {
		query string
		body  []byte
		want  int
		text  string
	}{
		{"", nil, 400, "VXF1"},
		{"", deep, 400, "header"},
		{"", b[:len(b)-9], 400, "part"},
		{"", body(t, volume(&small)), 422, "found 4x4x4 cells, want 8x8x8"},
		{"method=magic", b, 400, `found \"magic\", want one of gradient, gradcam, features`},
		{"class=5", b, 400, "class: found 5, want 0 to 4"},
		{"class=-1", b, 400, "class"},
		{"class=x", b, 400, "class"},
		{"method=features&first=4", b, 400, "first"},
		{"model=other", b, 404, "other"},
		{"method=gradcam&layer=nothing", b, 404, "nothing"},
		{"method=gradcam&layer=dense", b, 422, "want a volume"},
		{"method=gradcam&layer=input_layer", b, 422, "want a volume"},
		{"", make([]byte, maxBody+1), 413, "more than"},
	} {
		status, answer := post(t, s, c.query, c.body)
		var e struct{ Error string }
		if err := json.Unmarshal(answer, &e); err != nil || status != c.want ||
			!strings.Contains(string(answer), c.text) {
			t.Errorf("%s: found %d %s, want %d with %q", c.query, status, answer, c.want, c.text)
		}
	}
	r, err := s.Client().Get(s.URL + "/api/graph?model=none") //nolint:noctx // ends with the server
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close() //nolint:errcheck // read only
	if r.StatusCode != http.StatusNotFound {
		t.Errorf("found %d", r.StatusCode)
	}
}

// TestConcurrent: requests for several models, of which more come than are kept, get the answers of theirs, in any
// order, and those that are too many are refused.
func TestConcurrent(t *testing.T) {
	var all []Subject
	for i := range maxModels + 2 {
		m := colours(t)
		m.Init(uint64(i))
		m.Name = fmt.Sprint(i)
		all = append(all, subject(t, m))
	}
	e := New(func(name string) (Subject, error) { return all[name[0]-'0'], nil })
	defer e.Close()
	v := volume(all[0].Input)
	var want []*Answer
	for i := range all {
		a, err := e.Explain(t.Context(), Request{Model: fmt.Sprint(i), Class: 1}, v)
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, a)
	}
	var users sync.WaitGroup
	for user := range 6 {
		users.Go(func() {
			for i := range 20 {
				k := (i*7 + user) % len(all)
				q := Request{Model: fmt.Sprint(k), Class: 1, Method: Methods[(i+user)%len(Methods)].Name}
				a, err := e.Explain(t.Context(), q, v)
				if err != nil || a.Logit != want[k].Logit {
					t.Errorf("model %d: found %+v, %v", k, a, err)
				}
			}
		})
	}
	users.Wait()

	x, err := e.find("0")
	if err != nil {
		t.Fatal(err)
	}
	<-x.turn // somebody computes
	ctx, cancel := context.WithCancel(t.Context())
	for range maxWaiting - 1 {
		users.Go(func() {
			if _, err := e.Explain(ctx, Request{Model: "0"}, v); err == nil {
				t.Error("found an answer while somebody computes")
			}
		})
	}
	for full := false; !full; {
		e.mu.Lock()
		full = x.waiting == maxWaiting
		e.mu.Unlock()
	}
	if _, err := e.Graph(ctx, "0"); err == nil || !strings.Contains(err.Error(), "are waiting") {
		t.Errorf("found %v", err)
	}
	cancel()
	users.Wait()
	x.turn <- struct{}{}
	e.Close()
	if _, err := e.Graph(t.Context(), "0"); err == nil {
		t.Error("found an answer after Close")
	}
}

// TestIdle: plans are dropped when they are not used, and come back.
func TestIdle(t *testing.T) {
	m := colours(t)
	e, in := explainer(t, m)
	v := volume(in)
	a, err := e.Explain(t.Context(), Request{Class: 0}, v)
	if err != nil {
		t.Fatal(err)
	}
	x := e.used[0]
	x.release()
	if x.slope != nil {
		t.Error("the plan is still there")
	}
	if b, err := e.Explain(t.Context(), Request{Class: 0}, v); err != nil || b.Logit != a.Logit {
		t.Errorf("found %+v, %v", b, err)
	}
	large := sequential(t, nn.Shape{128, 128, 128, 1}, layers.NewConv3D(256, 1, ""), layers.NewGlobalAveragePooling3D(),
		layers.NewDense(2, "softmax"))
	huge, _ := explainer(t, large)
	if _, err := huge.Explain(t.Context(), Request{}, v); err == nil || !strings.Contains(err.Error(), "MB") {
		t.Errorf("found %v, want that the model is too large", err)
	}
	if g, err := huge.Graph(t.Context(), ""); err != nil || len(g.Layers) != 4 {
		t.Errorf("found %+v, %v", g, err)
	}
}
