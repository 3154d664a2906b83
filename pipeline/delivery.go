package pipeline

import (
	"errors"
	"sync"
	"sync/atomic"
)

// Delivery is a value with two duties: Free returns its bytes, Settle reports its outcome. Copies share the duties. The
// zero Delivery has none.
type Delivery[T any] struct {
	Value T
	duty  *duty
}

// duty runs each of its two functions at most once.
type duty struct {
	freed, settled atomic.Bool
	free           func()
	settle         func(error)
}

// NewDelivery returns a delivery whose duties call free and settle, each at most once. Either may be nil. Settle calls
// free first.
func NewDelivery[T any](v T, free func(), settle func(error)) Delivery[T] {
	return Delivery[T]{Value: v, duty: &duty{free: free, settle: settle}}
}

// Free returns the value's bytes; calling it again has no effect. The value must not be used afterwards, but the
// delivery must still be settled.
func (d Delivery[T]) Free() {
	if d.duty != nil && d.duty.freed.CompareAndSwap(false, true) && d.duty.free != nil {
		d.duty.free()
	}
}

// Settle reports the outcome: nil for done, a [Permanent] error, or any other error for unfinished. Only the first call
// has an effect.
func (d Delivery[T]) Settle(err error) {
	if d.duty == nil || !d.duty.settled.CompareAndSwap(false, true) {
		return
	}
	d.Free()
	if d.duty.settle != nil {
		d.duty.settle(err)
	}
}

// Carry returns a delivery of v with the duties of d.
func Carry[T, U any](d Delivery[T], v U) Delivery[U] { return Delivery[U]{Value: v, duty: d.duty} }

// Split turns d into one delivery for each value of vs. d is freed when all of them are freed, and settles when all of
// them have settled, with the worst outcome. Unfinished is worse than permanent, and permanent is worse than nil. If vs
// is empty, the value was filtered, and d settles at once as done.
func Split[T, U any](d Delivery[T], vs []U) []Delivery[U] {
	switch len(vs) {
	case 0:
		d.Settle(nil)
		return nil
	case 1:
		return []Delivery[U]{Carry(d, vs[0])}
	}
	p := parentOf(d)
	p.unfreed.Store(int64(len(vs)))
	p.unsettled = len(vs)
	out := make([]Delivery[U], len(vs))
	for i, v := range vs {
		out[i] = NewDelivery(v, p.free, p.settle)
	}
	return out
}

// Unfold is Split for values that arrive one at a time. add returns a delivery for the next value. end must be called
// once, after the last value, with the outcome of reading them. d is freed when it settles; the caller may free it
// earlier.
func Unfold[T, U any](d Delivery[T]) (add func(U) Delivery[U], end func(error)) {
	p := parentOf(d)
	p.unsettled = 1
	add = func(v U) Delivery[U] {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.unsettled++
		return NewDelivery(v, nil, p.settle)
	}
	return add, p.settle
}

// share returns n deliveries of d's value, one for each output. d settles when the first required ones have settled,
// with the worst outcome, and is freed when all n are freed. If required is 0, d settles as done when all are freed.
func share[T any](d Delivery[T], required, n int) []Delivery[T] {
	switch {
	case n == 0:
		d.Settle(nil)
		return nil
	case n == 1 && required == 1:
		return []Delivery[T]{d}
	}
	p := parentOf(d)
	p.unsettled = required
	p.unfreed.Store(int64(n))
	out := make([]Delivery[T], n)
	for i := range out {
		switch {
		case i < required:
			out[i] = NewDelivery(d.Value, p.free, p.settle)
		case required > 0:
			out[i] = NewDelivery(d.Value, p.free, nil)
		default:
			out[i] = NewDelivery(d.Value, func() {
				if p.unfreed.Add(-1) == 0 {
					p.d.Settle(nil)
				}
			}, nil)
		}
	}
	return out
}

// watched returns d with a call before it settles: of done, or of failed with a permanent error. Either may be nil.
func (d Delivery[T]) watched(done func(T), failed func(T, error)) Delivery[T] {
	if done == nil && failed == nil {
		return d
	}
	return NewDelivery(d.Value, d.Free, func(err error) {
		switch {
		case err == nil && done != nil:
			done(d.Value)
		case IsPermanent(err) && failed != nil:
			failed(d.Value, err)
		}
		d.Settle(err)
	})
}

// parent collects the duties of the children of a delivery. It holds the delivery without its value, so that the memory
// of the value can be reclaimed before the last child settles.
type parent struct {
	d       Delivery[struct{}]
	unfreed atomic.Int64

	mu        sync.Mutex
	unsettled int
	worst     error
}

func parentOf[T any](d Delivery[T]) *parent { return &parent{d: Carry(d, struct{}{})} }

func (p *parent) free() {
	if p.unfreed.Add(-1) == 0 {
		p.d.Free()
	}
}

func (p *parent) settle(err error) {
	p.mu.Lock()
	p.worst = worse(p.worst, err)
	p.unsettled--
	last, worst := p.unsettled == 0, p.worst
	p.mu.Unlock()
	if last {
		p.d.Settle(worst)
	}
}

// worse returns the worse of two outcomes. If they are equally bad, it returns a.
func worse(a, b error) error {
	if severity(b) > severity(a) {
		return b
	}
	return a
}

func severity(err error) int {
	switch {
	case err == nil:
		return 0
	case IsPermanent(err):
		return 1
	default:
		return 2
	}
}

// Join combines deliveries into one of a slice. Freeing it frees them all. Settling it settles each of them with the
// same outcome. If the outcome is or wraps a [*PartialError], each settles with its own error.
func Join[T any](ds []Delivery[T]) Delivery[[]T] {
	vs := make([]T, len(ds))
	for i, d := range ds {
		vs[i] = d.Value
	}
	return NewDelivery(vs, func() {
		for _, d := range ds {
			d.Free()
		}
	}, func(err error) {
		var partial *PartialError
		split := errors.As(err, &partial)
		for i, d := range ds {
			if split {
				d.Settle(partial.Failed[i])
			} else {
				d.Settle(err)
			}
		}
	})
}
