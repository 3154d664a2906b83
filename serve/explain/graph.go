package explain

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/voxelstream/voxelstream/nn"
)

// Graph describes the layers of a model.
type Graph struct {
	Model   string `json:"model"`
	Version string `json:"version"`
	Digest  string `json:"digest"`
	// Layers are in the order of computation, inputs first.
	Layers []Layer `json:"layers"`
	// MS is the time of a volume with one thread in milliseconds, the median of several. A tenth of the volume is
	// filled.
	MS float64 `json:"ms"`
	// Tier is the set of instructions in use.
	Tier string `json:"tier"`
}

// Layer is one use of a layer.
type Layer struct {
	// Name is the layer's name, followed by #1, #2 and so on for its further uses.
	Name string `json:"name"`
	Type string `json:"type"`
	// Shape is that of the output, without the batch.
	Shape []int `json:"shape"`
	// Parameters are counted for the first use only.
	Parameters int `json:"parameters"`
	// MS is the time in milliseconds, the median of several. It is absent if Within names the layer with which this one
	// is computed, or if there is nothing to compute.
	MS     *float64 `json:"ms,omitempty"`
	Within string   `json:"within,omitempty"`
	Inputs []string `json:"inputs,omitempty"`
}

// Graph returns the layers of a model with measured times. The model is measured once.
func (e *Explainer) Graph(ctx context.Context, model string) (*Graph, error) {
	var g *Graph
	err := e.use(ctx, model, func(x *explained) (err error) {
		if x.graph == nil {
			x.graph, err = x.measure()
		}
		g = x.graph
		return err
	})
	return g, err
}

// describe lists the nodes of a model without times.
func describe(m *nn.Model) []Layer {
	names := map[*nn.Node]string{}
	var out []Layer
	for _, n := range m.Nodes() {
		l := Layer{Name: n.Name(), Type: "InputLayer", Shape: n.Shape}
		if n.Call > 0 {
			l.Name = fmt.Sprintf("%s#%d", n.Name(), n.Call)
		}
		names[n] = l.Name
		if n.Layer != nil {
			l.Type = n.Layer.Class()
			if n.Call == 0 {
				for _, p := range n.Layer.Base().Params {
					l.Parameters += len(p.Value)
				}
			}
		}
		for _, in := range n.Inputs {
			l.Inputs = append(l.Inputs, names[in])
		}
		out = append(out, l)
	}
	return out
}

// How long a model is measured: some runs, but not much longer than a time.
const (
	runs     = 15
	longEach = 200 * time.Millisecond
)

// measure runs the network as in the pipeline, but with one thread, on random values or on a volume of which a tenth is
// filled: the first layer skips what is empty.
func (x *explained) measure() (*Graph, error) {
	g := &Graph{
		Model: x.Info.Name, Version: x.Info.Version, Digest: x.Info.Digest, Layers: describe(x.Model), Tier: nn.Tier(),
	}
	if n := need(x.Model); n > maxMemory {
		return g, nil // without times
	}
	p, err := x.Model.Compile(1, nn.Options{Threads: 1, Palette: x.Input.Colours()})
	if err != nil {
		return nil, err
	}
	defer p.Close()
	r := rand.New(rand.NewPCG(1, 1)) // not for security
	if index := p.Index(); index != nil {
		for i := range index {
			if r.IntN(10) == 0 {
				index[i] = uint8(1 + r.IntN(255))
			}
		}
	} else {
		for i := range p.Input(0) {
			p.Input(0)[i] = r.Float32()
		}
	}
	times := map[string][]float64{} // by layer and those computed with it
	var run map[string]time.Duration
	var totals []float64
	p.Time(func(layer string, d time.Duration) { run[layer] += d })
	begin := time.Now()
	for i := 0; i < 2 || i <= runs && time.Since(begin) < longEach; i++ {
		run = map[string]time.Duration{}
		start := time.Now()
		if err := p.Forward(1, false, 0); err != nil {
			return nil, err
		}
		total := time.Since(start)
		if i == 0 {
			continue // a warm-up
		}
		totals = append(totals, ms(total))
		for layer, d := range run {
			times[layer] = append(times[layer], ms(d))
		}
	}
	g.MS = median(totals)
	x.assign(g, times)
	return g, nil
}

// assign sets the times of layers.
func (x *explained) assign(g *Graph, times map[string][]float64) {
	for joined, all := range times {
		names := strings.Split(joined, "+")
		for i := range g.Layers {
			l := &g.Layers[i]
			switch at := slices.Index(names, l.Name); {
			case at == 0:
				took := median(all)
				if l.MS != nil {
					took += *l.MS
				}
				l.MS = &took
			case at > 0:
				l.Within = names[0]
			}
		}
	}
	for i := range g.Layers {
		if g.Layers[i].MS != nil {
			g.Layers[i].Within = ""
		}
	}
}

func ms(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e6 }

func median(x []float64) float64 {
	slices.Sort(x)
	return x[len(x)/2]
}
