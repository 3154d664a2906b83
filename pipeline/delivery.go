package pipeline

import (
	"errors"
	"sync"
	"sync/atomic"
)

// Delivery is one value plus two duties: Free its bytes, Settle its outcome. Copies share the duties. The zero
// Delivery has none.
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

// NewDelivery makes a delivery whose duties call free and settle, each at most once; either may be nil. Settle calls
// free first.
func NewDelivery[T any](v T, free func(), settle func(error)) Delivery[T] {
	return Delivery[T]{Value: v, duty: &duty{free: free, settle: settle}}
}

// Free gives the value's bytes back, once; the duty to settle remains. The value must not be used afterwards.
func (d Delivery[T]) Free() {
	if d.duty != nil && d.duty.freed.CompareAndSwap(false, true) && d.duty.free != nil {
		d.duty.free()
	}
}

// Settle reports the outcome: nil, a [Permanent] error, or any other error for "unfinished". The first call counts,
// later ones do nothing.
func (d Delivery[T]) Settle(err error) {
	if d.duty == nil || !d.duty.settled.CompareAndSwap(false, true) {
		return
	}
	d.Free()
	if d.duty.settle != nil {
		d.duty.settle(err)
	}
}

// Carry moves the duties of d to a new value: the one for d's value after a stage has turned it into v.
func Carry[T, U any](d Delivery[T], v U) Delivery[U] { return Delivery[U]{Value: v, duty: d.duty} }

// Split makes one delivery per value of vs out of d. The parent is freed when all children are, and settles when
// every child has, with the worst outcome: unfinished before permanent before nil. Without values the parent settles
// at once, as done: it was filtered.
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

// Unfold is Split for values that come one after the other: add makes the delivery of each, and end, called once,
// says that no more come, and how that went. The parent is not freed before it settles; who is done with its value
// frees it.
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

// share makes n deliveries of d's value, one for each output; d settles when the first required of them have, with
// the worst outcome, and is freed when all are. Where none is required it settles, as done, when all are freed.
func share[T any](d Delivery[T], required, n int) []Delivery[T] {
	switch {
	case n == 0:
		d.Settle(nil) // nobody wants it
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

// onDone is d, which calls f with the value before it settles as done.
func (d Delivery[T]) onDone(f func(T)) Delivery[T] {
	return NewDelivery(d.Value, d.Free, func(err error) {
		if err == nil {
			f(d.Value)
		}
		d.Settle(err)
	})
}

// parent gathers the duties of the children of a Split. It has the parent's duties without its value, whose memory must
// not stay until the last child settles.
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

// worse is the outcome that wins where two meet; of two equally bad ones, the earlier.
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

// Join makes one delivery of many. Freeing it frees all; settling it settles each parent: with nil, with the whole
// error, or, when the outcome is or wraps a [*PartialError], with that parent's own part of it.
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
