package models

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/voxelstream/voxelstream/classify"
	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/serve/batch"
)

// FP32 is the data type of all inputs and outputs of the networks.
const FP32 = "FP32"

// Tensor is a named array.
type Tensor struct {
	Name string
	// Type is the data type as in the Open Inference Protocol: FP32.
	Type string
	// Shape includes the batch as its first axis.
	Shape []int64
	// Data holds the elements in little-endian order, last index fastest.
	Data []byte
}

// TensorInfo describes an input or an output of a model.
type TensorInfo struct {
	Name, Type string
	// Shape includes the batch as its first axis, which is -1 because it may have any size.
	Shape []int64
}

// Request has the tensors for a network. They reach the network as they are: nothing is scaled or coloured. Use
// [Served.Classify] for volumes, which applies the input rules of the model.
type Request struct {
	// ID is returned in the response.
	ID string
	// Inputs has a tensor for each input of the model, all with the same batch size. Their data must not change until
	// Infer returns.
	Inputs []Tensor
	// Outputs names the outputs that are wanted. Empty means all.
	Outputs []string
	// Priority is batch.Normal unless set. The zero value is batch.High.
	Priority batch.Priority
}

// Response has the outputs of a network in the requested order.
type Response struct {
	Model, Version, ID string
	Outputs            []Tensor
}

// Infer runs the network. The deadline of ctx applies; without one, it is that of the options. The result of a row does
// not depend on the other rows of its batch. All errors are of type [*Error].
//
// If s stands for the current version of a model and that was replaced after s was obtained, the request goes to the
// version that replaced it.
func (s *Served) Infer(ctx context.Context, r Request) (Response, error) {
	var out Response
	err := s.with(ctx, func(ctx context.Context, v *version) (err error) {
		out, err = v.infer(ctx, r)
		return err
	})
	return out, err
}

// Classify classifies volumes as the pipeline does: values, palette and calibration follow the model's input rules. If
// some items cannot be classified, the error is an [*Error] that wraps a *pipeline.PartialError that lists them, and
// their classifications are empty.
func (s *Served) Classify(
	ctx context.Context, items []classify.Item, p batch.Priority,
) ([]record.Classification, error) {
	var out []record.Classification
	err := s.with(ctx, func(ctx context.Context, v *version) (err error) {
		out, err = v.classify(ctx, items, p)
		return err
	})
	return out, err
}

// with calls f with the version of s while it cannot be closed.
func (s *Served) with(ctx context.Context, f func(context.Context, *version) error) error {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, s.repository.o.Timeout)
		defer cancel()
	}
	v := s.version
	for !v.acquire() {
		again, err := s.repository.Model(s.version.name, s.asked)
		if err != nil {
			return err
		}
		v = again.version
	}
	defer v.release()
	observer, begin := v.observer, time.Now()
	observer.InferencePending(v.name, v.number, int(v.pending.Add(1)))
	err := f(ctx, v)
	observer.InferencePending(v.name, v.number, int(v.pending.Add(-1)))
	took := time.Since(begin)
	var e *Error
	if err != nil {
		e = asError(err)
		observer.InferenceDone(v.name, v.number, string(e.Reason), took)
	} else {
		observer.InferenceDone(v.name, v.number, "", took)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.statistics.Last = begin
	if e != nil {
		v.statistics.Fail.add(took)
		return e
	}
	v.statistics.Success.add(took)
	return nil
}

// asError converts an error of a batcher or a network.
func asError(err error) *Error {
	var e *Error
	var full *batch.OverloadError
	switch {
	case errors.As(err, &e):
		return e
	case errors.As(err, &full):
		return &Error{Reason: Overloaded, RetryAfter: max(full.RetryAfter, time.Second), Err: err}
	case errors.Is(err, context.DeadlineExceeded):
		return &Error{Reason: Expired, Err: errors.New("the deadline passed while the request was waiting")}
	case errors.Is(err, context.Canceled):
		return &Error{Reason: Canceled, Err: errors.New("the client went away")}
	case errors.Is(err, batch.ErrClosed):
		return &Error{Reason: Unavailable, RetryAfter: time.Second, Err: errors.New("the model is being unloaded")}
	case pipeline.IsPermanent(err):
		return &Error{Reason: Invalid, Err: err}
	}
	return &Error{Reason: Failed, Err: err}
}

// work is what a batch consists of: rows of tensors, or volumes.
type work struct {
	rows    int
	inputs  [][]byte // by input of the model
	outputs [][]byte // by output of the model; nil if it is not wanted

	items   []classify.Item
	results []record.Classification

	err error
}

// The kinds of work.
const (
	ofTensors batch.Kind = iota
	ofVolumes
)

// infer runs the network on the tensors of a request.
func (v *version) infer(ctx context.Context, r Request) (Response, error) {
	rows, inputs, err := v.check(r.Inputs)
	if err != nil {
		return Response{}, err
	}
	wanted, err := v.wanted(r.Outputs)
	if err != nil {
		return Response{}, err
	}
	out := Response{Model: v.name, Version: v.number, ID: r.ID}
	outputs := make([][]byte, len(v.outputs))
	for _, i := range wanted {
		info := v.outputs[i]
		t := Tensor{Name: info.Name, Type: info.Type, Shape: slices.Clone(info.Shape)}
		t.Shape[0] = int64(rows)
		t.Data = make([]byte, rows*v.outputBytes[i])
		outputs[i] = t.Data
		out.Outputs = append(out.Outputs, t)
	}
	err = v.inParts(rows, func(lo, hi int) error {
		w := &work{rows: hi - lo, outputs: make([][]byte, len(outputs))}
		for i, data := range inputs {
			w.inputs = append(w.inputs, data[lo*v.inputBytes[i]:hi*v.inputBytes[i]])
		}
		for i, data := range outputs {
			if data != nil {
				w.outputs[i] = data[lo*v.outputBytes[i] : hi*v.outputBytes[i]]
			}
		}
		return v.do(ctx, ofTensors, w, r.Priority)
	})
	if err != nil {
		return Response{}, err
	}
	return out, nil
}

// do has work processed by the batcher.
func (v *version) do(ctx context.Context, k batch.Kind, w *work, p batch.Priority) error {
	times, err := v.batcher.Do(ctx, batch.Job[*work]{Kind: k, Rows: w.rows, Priority: p, Value: w})
	if err == nil {
		err = w.err
	}
	if err != nil && len(w.results) == 0 {
		return err
	}
	v.observer.InferenceStages(v.name, v.number, w.rows, times.Queue, times.Input, times.Infer, times.Output)
	v.mu.Lock()
	defer v.mu.Unlock()
	s := &v.statistics
	s.Queue.add(times.Queue)
	s.Input.add(times.Input)
	s.Infer.add(times.Infer)
	s.Output.add(times.Output)
	return err
}

// inParts calls f for parts of rows that fit into a batch, as many at a time as there are networks, and returns the
// first error.
func (v *version) inParts(rows int, f func(lo, hi int) error) error {
	if rows <= v.maxBatch {
		return f(0, rows)
	}
	parts := (rows + v.maxBatch - 1) / v.maxBatch
	errs := make([]error, len(v.networks))
	var next atomic.Int64
	var all sync.WaitGroup
	for i := range errs {
		all.Go(func() {
			for errs[i] == nil {
				lo := (int(next.Add(1)) - 1) * v.maxBatch
				if lo >= parts*v.maxBatch {
					return
				}
				errs[i] = f(lo, min(rows, lo+v.maxBatch))
			}
		})
	}
	all.Wait()
	return cmp.Or(errs...)
}

// wanted returns the indices of outputs by name.
func (v *version) wanted(names []string) ([]int, error) {
	var out []int
	for _, name := range names {
		i := slices.IndexFunc(v.outputs, func(t TensorInfo) bool { return t.Name == name })
		switch {
		case i < 0:
			return nil, invalid("unexpected inference output '%s' for model '%s'", name, v.name)
		case slices.Contains(out, i):
			return nil, invalid("output '%s' is requested twice", name)
		}
		out = append(out, i)
	}
	if len(names) == 0 {
		for i := range v.outputs {
			out = append(out, i)
		}
	}
	return out, nil
}

// check returns the batch size of tensors and their data in the order of the model's inputs.
func (v *version) check(in []Tensor) (rows int, data [][]byte, err error) {
	if len(in) != len(v.inputs) {
		return 0, nil, invalid("expected %d inputs but got %d inputs for model '%s'", len(v.inputs), len(in), v.name)
	}
	data = make([][]byte, len(v.inputs))
	for _, t := range in {
		i := slices.IndexFunc(v.inputs, func(info TensorInfo) bool { return info.Name == t.Name })
		if i < 0 {
			return 0, nil, invalid("unexpected inference input '%s' for model '%s'", t.Name, v.name)
		}
		if data[i] != nil {
			return 0, nil, invalid("input '%s' already exists in request", t.Name)
		}
		if len(t.Data) == 0 {
			t.Data = []byte{} // not nil, which means that the input is missing
		}
		n, err := v.checkOne(i, t)
		if err != nil {
			return 0, nil, err
		}
		if rows != 0 && n != rows {
			return 0, nil, invalid("input '%s' batch size %d does not match other inputs for '%s', which have %d",
				t.Name, n, v.name, rows)
		}
		rows, data[i] = n, t.Data
	}
	return rows, data, nil
}

// checkOne returns the batch size of the tensor of input i.
func (v *version) checkOne(i int, t Tensor) (int, error) {
	want := v.inputs[i]
	if t.Type != want.Type {
		return 0, invalid("inference input '%s' data-type is '%.32s', but model '%s' expects '%s'", t.Name, t.Type,
			v.name, want.Type)
	}
	if len(t.Shape) != len(want.Shape) || !slices.Equal(t.Shape[1:], want.Shape[1:]) {
		return 0, invalid("unexpected shape for input '%s' for model '%s'. Expected %v, got %v", t.Name, v.name,
			want.Shape, t.Shape)
	}
	if t.Shape[0] < 1 || t.Shape[0] > int64(v.maxRows(i)) {
		return 0, invalid("input '%s': found a batch size of %d, want 1 to %d", t.Name, t.Shape[0], v.maxRows(i))
	}
	rows := int(t.Shape[0])
	if len(t.Data) != rows*v.inputBytes[i] {
		return 0, invalid("input '%s': found %d bytes of data, want %d for shape %v of %s", t.Name, len(t.Data),
			rows*v.inputBytes[i], t.Shape, t.Type)
	}
	return rows, nil
}

// maxRows is the number of rows of input i beyond which sizes in bytes do not fit into an int32.
func (v *version) maxRows(i int) int { return math.MaxInt32 / max(v.inputBytes[i], 1) }

// classify classifies volumes.
func (v *version) classify(
	ctx context.Context, items []classify.Item, p batch.Priority,
) ([]record.Classification, error) {
	if v.input == nil {
		return nil, invalid("model '%s' does not classify volumes: %v", v.name, v.notVolumes)
	}
	if len(items) == 0 {
		return nil, nil
	}
	out := make([]record.Classification, len(items))
	var mu sync.Mutex
	failed := map[int]error{}
	err := v.inParts(len(items), func(lo, hi int) error {
		w := &work{rows: hi - lo, items: items[lo:hi]}
		err := v.do(ctx, ofVolumes, w, p)
		copy(out[lo:hi], w.results)
		if partial, ok := errors.AsType[*pipeline.PartialError](err); ok {
			mu.Lock()
			defer mu.Unlock()
			for i, err := range partial.Failed {
				failed[lo+i] = err
			}
			return nil
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if err := pipeline.Partial(failed); err != nil {
		return out, &Error{Reason: Invalid, Err: err}
	}
	return out, nil
}

// process computes a batch.
func (v *version) process(worker int, k batch.Kind, all []*work) batch.Times {
	n := v.networks[worker]
	var t batch.Times
	rows := 0
	for _, w := range all {
		rows += w.rows
	}
	if k == ofVolumes {
		t = n.volumes(all)
	} else {
		t = n.tensors(all, rows)
	}
	v.observer.InferenceBatch(v.name, v.number, rows)
	v.mu.Lock()
	defer v.mu.Unlock()
	v.statistics.Rows += uint64(rows)
	v.statistics.Batches++
	return t
}

// tensors runs the plan on rows of tensors.
func (n *network) tensors(all []*work, rows int) (t batch.Times) {
	start := time.Now()
	for i := range all[0].inputs {
		to := n.plan.Input(i)
		for _, w := range all {
			to = to[decode(to, w.inputs[i]):]
		}
	}
	copied := time.Now()
	err := n.plan.Forward(rows, false, 0)
	computed := time.Now()
	if err == nil {
		for i := range all[0].outputs {
			from := n.plan.Output(i)
			size := len(from) / rows
			for _, w := range all {
				encode(w.outputs[i], from)
				from = from[w.rows*size:]
			}
		}
	}
	for _, w := range all {
		w.err = err
	}
	return batch.Times{
		Input: copied.Sub(start), Infer: computed.Sub(copied), Output: time.Since(computed),
	}
}

// volumes classifies volumes.
func (n *network) volumes(all []*work) batch.Times {
	start := time.Now()
	var items []classify.Item
	for _, w := range all {
		items = append(items, w.items...)
	}
	n.forward = 0
	// Work that has begun is finished; see batch.Batcher.Do.
	results, err := n.classifier.ProcessBatch(context.Background(), items)
	var partial *pipeline.PartialError
	if errors.As(err, &partial) {
		err = nil
	}
	lo := 0
	for _, w := range all {
		hi := lo + w.rows
		if w.err = err; err == nil {
			w.results = results[lo:hi]
			w.err = within(partial, lo, hi)
		}
		lo = hi
	}
	return batch.Times{Input: time.Since(start) - n.forward, Infer: n.forward}
}

// within returns the failures of items lo to hi, numbered from lo.
func within(p *pipeline.PartialError, lo, hi int) error {
	if p == nil {
		return nil
	}
	failed := map[int]error{}
	for i, err := range p.Failed {
		if i >= lo && i < hi {
			failed[i-lo] = err
		}
	}
	return pipeline.Partial(failed)
}

// decode converts little-endian bytes to numbers and returns how many there are.
func decode(to []float32, from []byte) int {
	n := len(from) / 4
	to = to[:n]
	for i := range to {
		to[i] = math.Float32frombits(binary.LittleEndian.Uint32(from[4*i:]))
	}
	return n
}

// encode fills a slice with numbers as little-endian bytes.
func encode(to []byte, from []float32) {
	for i := range len(to) / 4 {
		binary.LittleEndian.PutUint32(to[4*i:], math.Float32bits(from[i]))
	}
}

func invalid(format string, args ...any) *Error {
	return &Error{Reason: Invalid, Err: fmt.Errorf(format, args...)}
}
