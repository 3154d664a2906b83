package models

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/voxelstream/voxelstream/classify"
	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/serve/batch"
)

// version is a loaded version of a model.
type version struct {
	name, number string
	info         record.Model
	model        *nn.Model
	source       source
	loaded       time.Time

	inputs, outputs         []TensorInfo
	inputBytes, outputBytes []int           // of a row
	input                   *classify.Input // nil if the model does not classify volumes
	notVolumes              error           // why it does not
	maxBatch                int
	networks                []*network // one per worker of the batcher
	batcher                 *batch.Batcher[*work]
	observer                Observer
	pending                 atomic.Int64

	mu         sync.Mutex
	users      int
	retired    bool
	statistics Statistics
	gone       chan struct{} // closed when the networks are
}

// network computes one batch at a time.
type network struct {
	plan       *nn.Plan
	classifier *classify.Classifier
	forward    time.Duration // that the classifier's network took
}

// Count implements pipeline.Observer.
func (n *network) Count(string, pipeline.Event, int) {}

// Level implements pipeline.Observer.
func (n *network) Level(string, pipeline.Level, int64) {}

// Time implements pipeline.Observer. It adds the durations of the classifier's forward passes.
func (n *network) Time(_ string, _ int, d time.Duration, _ error) { n.forward += d }

// newVersion prepares the networks of a model.
func newVersion(m *nn.Model, info record.Model, o *Options) (_ *version, err error) {
	v := &version{
		name: info.Name, number: info.Version, info: info, model: m, loaded: time.Now(), observer: o.Observer,
		gone: make(chan struct{}),
	}
	v.inputs, v.inputBytes = infos(m.Inputs())
	v.outputs, v.outputBytes = infos(m.Outputs())
	v.maxBatch = batchWithin(m, o.Batch)
	defer func() {
		if err != nil {
			v.closeNetworks()
		}
	}()
	threads := cmp.Or(o.Threads, runtime.GOMAXPROCS(0))
	workers := max(1, min(o.Networks, threads))
	for i := range workers {
		n := &network{}
		v.networks = append(v.networks, n)
		share := (threads + workers - 1 - i) / workers
		if n.plan, err = m.Compile(v.maxBatch, nn.Options{Threads: share}); err != nil {
			return nil, err
		}
		if _, v.notVolumes = classify.InputOf(m, o.Classify.Preferences); v.notVolumes != nil {
			continue
		}
		co := o.Classify
		co.Model, co.Batch, co.Threads, co.Observer = info, v.maxBatch, share, n
		c, err := classify.New(m, co)
		if err != nil { // a network of volumes that does not output probabilities
			v.notVolumes = err
			continue
		}
		n.classifier, v.input = c, c.Input()
	}
	if err := v.warmUp(); err != nil {
		return nil, err
	}
	v.batcher = batch.New(batch.Options{
		Rows: v.maxBatch, Queue: max(o.Queue, workers*v.maxBatch), Budget: o.Budget, Workers: workers,
	}, v.process)
	return v, nil
}

// infos describes the tensors of nodes, and returns the sizes of their rows in bytes.
func infos(nodes []*nn.Node) (out []TensorInfo, bytes []int) {
	seen := map[string]int{}
	for _, n := range nodes {
		name := n.Name()
		if seen[name]++; seen[name] > 1 {
			name = fmt.Sprintf("%s_%d", name, seen[name]-1)
		}
		t := TensorInfo{Name: name, Type: FP32, Shape: []int64{-1}}
		for _, d := range n.Shape {
			t.Shape = append(t.Shape, int64(d))
		}
		out, bytes = append(out, t), append(bytes, 4*n.Shape.Size())
	}
	return out, bytes
}

// planBytes is the size of activations up to which batches are as large as configured.
const planBytes = 256 << 20

// batchWithin returns the largest batch size up to most for which the two largest activations fit into planBytes.
func batchWithin(m *nn.Model, most int) int {
	var sizes []int
	for _, n := range m.Nodes() {
		sizes = append(sizes, 4*n.Shape.Size())
	}
	slices.Sort(sizes)
	perRow := 1
	for _, s := range sizes[max(0, len(sizes)-2):] {
		perRow += s
	}
	return max(1, min(most, planBytes/perRow))
}

// warmUp runs every network with full batches and single rows of random numbers. The outputs must be finite and must
// not depend on the batch.
func (v *version) warmUp() error {
	for _, p := range v.model.Params() {
		if i := slices.IndexFunc(p.Value, func(x float32) bool { return x-x != 0 }); i >= 0 {
			return fmt.Errorf("parameter %s: found %g at %d, want finite numbers", p.Name, p.Value[i], i)
		}
	}
	for _, n := range v.networks {
		if err := v.probeTensors(n); err != nil {
			return err
		}
		if n.classifier != nil {
			if err := v.probeVolumes(n); err != nil {
				return err
			}
		}
	}
	return nil
}

// random returns numbers from 0 to 1, always the same ones.
func random() *rand.Rand { return rand.New(rand.NewPCG(1, 2)) }

func (v *version) probeTensors(n *network) error {
	r := random()
	rows := make([][]float32, len(v.inputs))
	for i := range rows {
		in := n.plan.Input(i)
		for j := range in {
			in[j] = r.Float32()
		}
		rows[i] = slices.Clone(in[len(in)-len(in)/v.maxBatch:])
	}
	if err := n.plan.Forward(v.maxBatch, false, 0); err != nil {
		return err
	}
	var last [][]float32
	for i, info := range v.outputs {
		out := n.plan.Output(i)
		if j := slices.IndexFunc(out, func(x float32) bool { return x-x != 0 }); j >= 0 {
			return fmt.Errorf("output %s: found %g for random numbers from 0 to 1, want finite numbers", info.Name,
				out[j])
		}
		last = append(last, slices.Clone(out[len(out)-len(out)/v.maxBatch:]))
	}
	for i, row := range rows {
		copy(n.plan.Input(i), row)
	}
	if err := n.plan.Forward(1, false, 0); err != nil {
		return err
	}
	for i, info := range v.outputs {
		if !slices.Equal(n.plan.Output(i), last[i]) {
			return fmt.Errorf("output %s: found other numbers for a row alone than in a batch of %d", info.Name,
				v.maxBatch)
		}
	}
	return nil
}

func (v *version) probeVolumes(n *network) error {
	r := random()
	size, indices := v.input.Size()
	items := make([]classify.Item, v.maxBatch)
	for i := range items {
		var values []float32
		var index []uint8
		if indices {
			index = make([]uint8, size)
			for j := range index {
				index[j] = uint8(r.UintN(256))
			}
		} else {
			values = make([]float32, size)
			for j := range values {
				values[j] = r.Float32()
			}
		}
		items[i].Volume = v.input.Volume(values, index)
	}
	many, err := n.classifier.ProcessBatch(context.Background(), items)
	if err != nil {
		return err
	}
	one, err := n.classifier.ProcessBatch(context.Background(), items[len(items)-1:])
	if err != nil {
		return err
	}
	if !slices.Equal(one[0].TopK, many[len(many)-1].TopK) {
		return fmt.Errorf("found scores %v for a volume alone, and %v in a batch of %d", one[0].TopK,
			many[len(many)-1].TopK, v.maxBatch)
	}
	return nil
}

// acquire keeps the version from being closed until release. It returns false if the version is retired.
func (v *version) acquire() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.retired {
		return false
	}
	v.users++
	return true
}

func (v *version) release() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.users--; v.users == 0 && v.retired {
		go v.close()
	}
}

// retire makes acquire fail, and closes the version when nobody uses it.
func (v *version) retire() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.retired {
		return
	}
	v.retired = true
	if v.users == 0 {
		go v.close()
	}
}

// close stops the networks. Nobody may use them.
func (v *version) close() {
	v.batcher.Close()
	v.closeNetworks()
	close(v.gone)
}

func (v *version) closeNetworks() {
	for _, n := range v.networks {
		if n.plan != nil {
			n.plan.Close()
		}
		if n.classifier != nil {
			n.classifier.Close()
		}
	}
}
