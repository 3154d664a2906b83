package explain

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/serve/frame"
	"github.com/voxelstream/voxelstream/serve/reply"
	"github.com/voxelstream/voxelstream/voxelize"
	"github.com/voxelstream/voxelstream/voxelize/colormap"
)

// Method is a way to explain a model.
type Method struct {
	Name, Doc string
	run       func(x *explained, q *Request, v *voxelize.Volume, a *Answer) error
}

// Methods lists the methods. The first one is the default.
var Methods = []Method{
	{"gradient", "The derivative of a class's logit with respect to each cell (Simonyan et al. 2014), and what each " +
		"cell adds to the logit to first order.", gradient},
	{"gradcam", "Grad-CAM (Selvaraju et al. 2017): where the features of a layer support a class.", gradCAM},
	{"features", "The output of a layer.", features},
}

// TypeExplain is the type of frames with an explanation.
const TypeExplain = "explain"

// Request says what to explain.
type Request struct {
	// Method is the name of a method. Empty means the first of Methods.
	Method string
	// Model is the name of a model, or NAME/VERSION. Empty means the model in use.
	Model string
	// Layer is the name of a layer, for methods gradcam and features. Empty means the last convolution, with its
	// normalization and activation.
	Layer string
	// Class is the class to explain; negative means the class with the largest logit.
	Class int
	// First is the first channel that method features returns.
	First int
}

// Answer is an explanation: the header of a frame of type "explain", and its parts. Volumes have the shape (D, H, W).
//
// Method gradient has two parts. "gradient" is the derivative of the logit with respect to the value of a cell: its
// position in the colour map, from 0 to 1, for palette indices, and else the input of the network. Of several channels
// it is the one of largest magnitude. "contribution" is the gradient of each channel times its difference from an empty
// cell (background colour, or 0), summed over the channels. It is what the cell adds to the logit, to first order.
//
// Method gradcam has the part "gradcam" with the size of the volume, interpolated from the part "cells", which has the
// size of the layer. Values are 0 or more, and not scaled. Cells are placed in the middle of what they depend on. Those
// of the image of a layer PrincipalPlane are placed where it shows the cells of the volume, and empty cells have 0. Others
// are spread evenly over the volume; Placed tells.
//
// Method features has the part "features" of the shape of the output of the layer or input, mostly (D, H, W, C). Its
// last axis has the channels from First to First+Shown of Channels.
type Answer struct {
	Type    string  `json:"type"` // TypeExplain
	Method  string  `json:"method"`
	Model   string  `json:"model"`
	Version string  `json:"version"`
	Layer   string  `json:"layer,omitempty"`
	Class   int     `json:"class"`
	Name    string  `json:"name,omitempty"`
	Logit   float32 `json:"logit"`
	// Ranges are the smallest and the largest value of each part.
	Ranges   map[string][2]float32 `json:"ranges"`
	Placed   bool                  `json:"placed,omitempty"`
	First    int                   `json:"first,omitempty"`
	Shown    int                   `json:"shown,omitempty"`
	Channels int                   `json:"channels,omitempty"`
	MS       float64               `json:"ms"`

	Payload frame.Payload `json:"-"`
}

// add appends a part.
func (a *Answer) add(name string, values []float32, shape ...int) {
	a.Payload.AddFloats(name, values, shape...)
	a.Ranges[name] = [2]float32{slices.Min(values), slices.Max(values)}
}

// Explain explains what a model makes of a volume. Errors that the client causes are of type [*reply.Error].
func (e *Explainer) Explain(ctx context.Context, q Request, v *voxelize.Volume) (*Answer, error) {
	q.Method = cmp.Or(q.Method, Methods[0].Name)
	i := slices.IndexFunc(Methods, func(m Method) bool { return m.Name == q.Method })
	if i < 0 {
		var names []string
		for _, m := range Methods {
			names = append(names, m.Name)
		}
		return nil, reply.Errorf(http.StatusBadRequest, "method: found %.40q, want one of %s", q.Method,
			strings.Join(names, ", "))
	}
	var a *Answer
	err := e.use(ctx, q.Model, func(x *explained) error {
		if q.Class >= x.classes() {
			return reply.Errorf(http.StatusBadRequest, "class: found %d, want 0 to %d", q.Class, x.classes()-1)
		}
		begin := time.Now()
		a = &Answer{
			Type: TypeExplain, Method: q.Method, Model: x.Info.Name, Version: x.Info.Version,
			Ranges: map[string][2]float32{},
		}
		if err := Methods[i].run(x, &q, v, a); err != nil {
			return err
		}
		a.Name = x.Model.ClassName(a.Class)
		a.MS = float64(time.Since(begin).Microseconds()) / 1e3
		return nil
	})
	if err != nil {
		return nil, err
	}
	return a, nil
}

// choose sets the class and its logit from a plan's output. sign is -1 if the network computes the opposite of the
// logit: for the first of two classes of a sigmoid.
func (x *explained) choose(p *plan, class int, a *Answer) (sign float32) {
	logits, _ := p.Logits()
	if logits == nil {
		logits = p.Output(0)
	}
	if len(logits) == 1 {
		logits = []float32{-logits[0], logits[0]}
		if sign = -1; class == 1 || class < 0 && logits[1] > 0 {
			sign = 1
		}
		a.Class = int(sign+1) / 2
	} else if sign, a.Class = 1, class; class < 0 {
		a.Class = slices.Index(logits, slices.Max(logits))
	}
	a.Logit = logits[a.Class]
	return sign
}

// differentiate computes the gradients of the logit of a class. It returns the plan's input.
func (x *explained) differentiate(p *plan, q *Request, v *voxelize.Volume, a *Answer) (in []float32, err error) {
	if in, err = x.put(p, v); err != nil {
		return nil, err
	}
	if err := p.Forward(1, false, 0); err != nil {
		return nil, err
	}
	sign := x.choose(p, q.Class, a)
	to := p.OutputGrad(0)
	clear(to)
	if _, grad := p.Logits(); grad != nil {
		to = grad
		clear(to)
	}
	to[a.Class%len(to)] = sign
	p.Backward()
	return in, nil
}

// slopes are the options of plans for gradients.
var slopes = nn.Options{InputGrad: true, Logits: true}

func gradient(x *explained, q *Request, v *voxelize.Volume, a *Answer) error {
	var node *nn.Node
	if x.slope != nil {
		node = x.slope.node // a node that is kept does no harm
	}
	p, err := x.compile(&x.slope, node, slopes)
	if err != nil {
		return err
	}
	row, err := x.differentiate(p, q, v, a)
	if err != nil {
		return err
	}
	in, channels := x.Input, x.Input.Channels
	values, grad := in.Cells(row), in.Cells(p.InputGrad(0))
	cells := len(values) / channels
	by, adds := make([]float32, cells), make([]float32, cells)
	colours := in.Colours()
	var steps []float32
	if colours != nil {
		steps = slopesOf(colours)
	}
	for i := range cells {
		for k := range channels {
			g, value := grad[i*channels+k], values[i*channels+k]
			if colours != nil {
				by[i] += g * steps[int(v.Index[i])*channels+k]
				value -= colours.Colours[k]
			} else if max(g, -g) > max(by[i], -by[i]) {
				by[i] = g
			}
			adds[i] += g * value
		}
	}
	a.add("gradient", by, in.Dims[:]...)
	a.add("contribution", adds, in.Dims[:]...)
	return nil
}

// slopesOf returns the derivatives of a palette's channels with respect to the position in it, from 0 to 1, by central
// differences, and one-sided ones at its ends.
func slopesOf(p *nn.Palette) []float32 {
	n := colormap.Size
	out := make([]float32, n*p.Channels)
	for i := range n {
		lo, hi := max(i-1, 0), min(i+1, n-1)
		for k := range p.Channels {
			rise := p.Colours[hi*p.Channels+k] - p.Colours[lo*p.Channels+k]
			out[i*p.Channels+k] = rise * float32(n-1) / float32(hi-lo)
		}
	}
	return out
}

// gradCAM weighs each channel of a layer by the mean of its gradients, and adds up what is positive. Source: Selvaraju
// et al. 2017, equations 1 and 2.
func gradCAM(x *explained, q *Request, v *voxelize.Volume, a *Answer) error {
	node, err := x.layer(q.Layer)
	if err != nil {
		return err
	}
	a.Layer = node.Name()
	if node.Layer == nil || !isVolume(node) {
		return reply.Errorf(http.StatusUnprocessableEntity,
			"layer %s: found output %v, want a volume (None, D, H, W, C) of a layer", a.Layer, node.Shape)
	}
	p, err := x.compile(&x.slope, node, slopes)
	if err != nil {
		return err
	}
	row, err := x.differentiate(p, q, v, a)
	if err != nil {
		return err
	}
	values, grad := p.Kept(0)
	channels := node.Shape[3]
	n := len(values) / channels
	weights := make([]float64, channels)
	for i, g := range grad {
		weights[i%channels] += float64(g) / float64(n)
	}
	cells := make([]float32, n)
	for i := range cells {
		sum := 0.
		for k, w := range weights {
			sum += w * float64(values[i*channels+k])
		}
		cells[i] = float32(max(sum, 0))
	}
	size := [3]int(node.Shape[:3])
	field, placed := x.Model.Field(node)
	a.Placed = placed
	switch face := faceOf(x.Model, node); {
	case placed:
		values = interpolate(cells, size, field, x.Input.Dims)
	case face != nil:
		if values, err = project(face, row, cells, size); err != nil {
			return err
		}
		a.Placed = true
	default:
		values = interpolate(cells, size, spread(size, x.Input.Dims), x.Input.Dims)
	}
	a.add("gradcam", values, x.Input.Dims[:]...)
	a.add("cells", cells, size[:]...)
	return nil
}

func features(x *explained, q *Request, v *voxelize.Volume, a *Answer) error {
	node, err := x.layer(q.Layer)
	if err != nil {
		return err
	}
	kept := node
	if node.Layer == nil {
		kept = nil
	}
	p, err := x.compile(&x.inference, kept, nn.Options{Logits: true})
	if err != nil {
		return err
	}
	values, err := x.put(p, v)
	if err != nil {
		return err
	}
	if err := p.Forward(1, false, 0); err != nil {
		return err
	}
	x.choose(p, q.Class, a)
	a.Layer = node.Name()
	if kept != nil {
		values, _ = p.Kept(0)
	}
	shape := slices.Clone(node.Shape)
	a.Channels = shape[len(shape)-1]
	cells := len(values) / a.Channels
	if q.First < 0 || q.First >= a.Channels {
		return reply.Errorf(http.StatusBadRequest, "first: found channel %d, want 0 to %d", q.First, a.Channels-1)
	}
	if cells > maxFeatures {
		return reply.Errorf(http.StatusUnprocessableEntity, "layer %s: found %d cells, want at most %d", a.Layer, cells,
			maxFeatures)
	}
	a.First, a.Shown = q.First, min(a.Channels-q.First, maxFeatures/cells)
	out := make([]float32, 0, cells*a.Shown)
	for i := range cells {
		out = append(out, values[i*a.Channels+a.First:][:a.Shown]...)
	}
	shape[len(shape)-1] = a.Shown
	a.add("features", out, shape...)
	return nil
}
