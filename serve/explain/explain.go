// Package explain shows why a network chooses a class: which cells of a volume its logit depends on, what its layers
// compute, and how long each of them takes.
//
// Explanations use plans of their own with one thread, which are compiled when they are needed and dropped after a
// while. They share the parameters of the model, and disturb nothing else that uses it.
package explain

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/voxelstream/voxelstream/classify"
	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/serve/reply"
	"github.com/voxelstream/voxelstream/voxelize"
)

// Subject is a model to explain. Its parameters must not change.
type Subject struct {
	Model *nn.Model
	Info  record.Model
	// Input describes the volumes that the model takes.
	Input *classify.Input
}

// Models returns the model with a name, or with NAME/VERSION. An empty name stands for the model in use. The error for
// an unknown one has the status 404 (see [reply.Error]).
type Models func(name string) (Subject, error)

// Limits.
const (
	// maxMemory is the memory that the layers of a plan may take in bytes.
	maxMemory = 1 << 30
	// maxFeatures is the number of values of feature maps in one answer.
	maxFeatures = 4 << 20
	// maxModels is the number of models for which plans are kept, maxWaiting the number of requests that wait for one
	// of them.
	maxModels, maxWaiting = 4, 8
	// idle is the time after which unused plans are dropped.
	idle = time.Minute
)

// Explainer explains models. It is safe for concurrent use; explanations of one model are computed one at a time.
type Explainer struct {
	models Models

	mu     sync.Mutex
	used   []*explained // least recently used first
	closed bool
}

// New returns an Explainer of models. The caller must call Close.
func New(models Models) *Explainer { return &Explainer{models: models} }

// Close drops all plans. Explanations in progress end first.
func (e *Explainer) Close() {
	e.mu.Lock()
	e.closed = true
	used := e.used
	e.used = nil
	e.mu.Unlock()
	for _, x := range used {
		x.drop()
	}
}

// explained is a model with its plans.
type explained struct {
	Subject
	model *nn.Model // Model with a softmax or sigmoid at its end
	// turn holds a value while nobody computes. Its owner may use what follows.
	turn      chan struct{}
	waiting   int // guarded by Explainer.mu
	slope     *plan
	inference *plan
	graph     *Graph
	timer     *time.Timer // drops the plans
	dropped   bool
}

// plan is a compiled plan that keeps the output of a node, which may be nil.
type plan struct {
	*nn.Plan
	node *nn.Node
}

// use calls f with a model while nobody else computes with it.
func (e *Explainer) use(ctx context.Context, name string, f func(*explained) error) error {
	x, err := e.find(name)
	if err != nil {
		return err
	}
	defer func() {
		e.mu.Lock()
		x.waiting--
		e.mu.Unlock()
	}()
	select {
	case <-x.turn:
	case <-ctx.Done():
		return ctx.Err()
	}
	x.timer.Stop()
	defer func() {
		if x.dropped {
			x.close()
		} else {
			x.timer.Reset(idle)
		}
		x.turn <- struct{}{}
	}()
	return f(x)
}

// find returns the entry of a model and counts the caller as waiting.
func (e *Explainer) find(name string) (*explained, error) {
	s, err := e.models(name)
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil, reply.Errorf(http.StatusServiceUnavailable, "the process is stopping")
	}
	i := slices.IndexFunc(e.used, func(x *explained) bool { return x.Model == s.Model })
	if i < 0 {
		x := &explained{Subject: s, turn: make(chan struct{}, 1)}
		if x.model, err = classify.Scored(s.Model); err != nil {
			return nil, reply.Errorf(http.StatusUnprocessableEntity, "%w", err)
		}
		x.turn <- struct{}{}
		x.timer = time.AfterFunc(idle, x.release)
		i = len(e.used)
		if e.used = append(e.used, x); i == maxModels {
			go e.used[0].drop()
			e.used, i = e.used[1:], i-1
		}
	}
	x := e.used[i]
	e.used = append(slices.Delete(e.used, i, i+1), x)
	if x.waiting >= maxWaiting {
		return nil, reply.Errorf(http.StatusTooManyRequests, "%d explanations of this model are waiting", maxWaiting)
	}
	x.waiting++
	return x, nil
}

// drop closes the plans after the explanation in progress, for good.
func (x *explained) drop() {
	<-x.turn
	x.timer.Stop()
	x.dropped = true
	x.close()
	x.turn <- struct{}{}
}

// release closes the plans of a model that is not in use. They are compiled again when they are needed.
func (x *explained) release() {
	select {
	case <-x.turn:
		x.close()
		x.turn <- struct{}{}
	default: // its user sets the timer again
	}
}

func (x *explained) close() {
	for _, p := range []*plan{x.slope, x.inference} {
		if p != nil {
			p.Close()
		}
	}
	x.slope, x.inference = nil, nil
}

// compile returns a plan that keeps a node: at, if that is such a plan, or a new one that replaces it.
func (x *explained) compile(at **plan, node *nn.Node, o nn.Options) (*plan, error) {
	if *at != nil && (*at).node == node {
		return *at, nil
	}
	copies := 1
	if o.InputGrad {
		copies = 2
	}
	if n := need(x.model) * copies; n > maxMemory {
		return nil, reply.Errorf(http.StatusUnprocessableEntity,
			"model %s: its layers need %d MB for an explanation, the limit is %d MB", x.Info.Name, n>>20, maxMemory>>20)
	}
	if *at != nil {
		(*at).Close()
		*at = nil
	}
	o.Threads = 1
	if node != nil {
		o.Keep = []*nn.Node{node}
	}
	p, err := x.model.Compile(1, o)
	if err != nil {
		return nil, err
	}
	*at = &plan{p, node}
	return *at, nil
}

// need returns the number of bytes of the values of a model's nodes.
func need(m *nn.Model) int {
	n := 0
	for _, node := range m.Nodes() {
		n += 4 * node.Shape.Size()
	}
	return n
}

// layer returns the node of the layer or input with a name; the last one if it is used several times. An empty name
// stands for the last convolution whose output is a volume, with its normalization and activation.
func (x *explained) layer(name string) (*nn.Node, error) {
	nodes := x.Model.Nodes()
	for i, n := range slices.Backward(nodes) {
		conv := n.Layer != nil && isVolume(n) && strings.Contains(n.Layer.Class(), "Conv")
		if name == "" && conv {
			return activated(nodes[i:]), nil
		}
		if name != "" && n.Name() == name {
			return n, nil
		}
	}
	if name == "" {
		return nil, reply.Errorf(http.StatusUnprocessableEntity, "model %s: it has no convolution; choose a layer",
			x.Info.Name)
	}
	return nil, reply.Errorf(http.StatusNotFound, "model %s: it has no layer %.100q", x.Info.Name, name)
}

// activated follows the first of the nodes through layers that normalize or activate its output. Before its activation,
// a channel with a negative offset outweighs all others, and Grad-CAM is empty.
func activated(nodes []*nn.Node) *nn.Node {
	at := nodes[0]
	for _, n := range nodes[1:] {
		if len(n.Inputs) != 1 || n.Inputs[0] != at {
			continue
		}
		switch n.Layer.Class() {
		case "Activation", "ReLU", "LeakyReLU", "PReLU", "ELU",
			"BatchNormalization", "LayerNormalization", "GroupNormalization":
			at = n
		}
	}
	return at
}

// classes returns the number of classes of the model.
func (x *explained) classes() int { return max(2, x.Model.ClassCount()) }

// isVolume reports whether the output of a node has the shape (D, H, W, C).
func isVolume(n *nn.Node) bool { return len(n.Shape) == 4 }

// put copies a volume to the input of a plan that takes floats, as colours for palette indices. It returns the input.
func (x *explained) put(p *plan, v *voxelize.Volume) ([]float32, error) {
	if err := x.Input.Check(v); err != nil {
		return nil, reply.Errorf(http.StatusUnprocessableEntity, "volume: %w", err)
	}
	to := p.Input(0)
	return to, x.Input.Put(to, v)
}
