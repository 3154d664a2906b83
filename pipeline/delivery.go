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

// duty reports the outcome of a delivery to its owner, and that its memory is free, each at most once. A nil duty has
// no owner.
type duty struct {
	freed, settled atomic.Bool
	owner          owner
}

// owner has the functions of one or more duties.
type owner interface {
	free()
	settle(err error)
}

// free tells the owner, unless it was told already.
func (d *duty) free() {
	if d != nil && d.freed.CompareAndSwap(false, true) {
		d.owner.free()
	}
}

// settle frees and tells the owner the outcome, unless it was told one already.
func (d *duty) settle(err error) {
	if d == nil || !d.settled.CompareAndSwap(false, true) {
		return
	}
	d.free()
	d.owner.settle(err)
}

// functions is a duty with its owner.
type functions struct {
	duty
	onFree   func()
	onSettle func(error)
}

func (f *functions) free() {
	if f.onFree != nil {
		f.onFree()
	}
}

func (f *functions) settle(err error) {
	if f.onSettle != nil {
		f.onSettle(err)
	}
}

// NewDelivery returns a delivery whose duties call free and settle, each at most once. Either may be nil. Settle calls
// free first.
func NewDelivery[T any](v T, free func(), settle func(error)) Delivery[T] {
	f := &functions{onFree: free, onSettle: settle}
	f.owner = f
	return Delivery[T]{Value: v, duty: &f.duty}
}

// Free returns the value's bytes; calling it again has no effect. The value must not be used afterwards, but the
// delivery must still be settled.
func (d Delivery[T]) Free() { d.duty.free() }

// Settle reports the outcome: nil for done, a [Permanent] error, or any other error for unfinished. Only the first call
// has an effect.
func (d Delivery[T]) Settle(err error) { d.duty.settle(err) }

// Carry returns a delivery of v with the duties of d.
func Carry[T, U any](d Delivery[T], v U) Delivery[U] { return Delivery[U]{Value: v, duty: d.duty} }

// Split turns d into one delivery for each value of vs. d is freed when all of them are freed, and settles when all of
// them have settled, with the worst outcome. Unfinished is worse than permanent, and permanent is worse than nil. If vs
// is empty, the value was filtered, and d settles at once as done.
func Split[T, U any](d Delivery[T], vs []U) []Delivery[U] { return appendSplit(nil, d, vs) }

// appendSplit is Split with a slice to append to.
func appendSplit[T, U any](dst []Delivery[U], d Delivery[T], vs []U) []Delivery[U] {
	switch len(vs) {
	case 0:
		d.Settle(nil)
		return dst
	case 1:
		return append(dst, Carry(d, vs[0]))
	}
	p := &parent{duty: d.duty, unsettled: len(vs)}
	p.unfreed.Store(int64(len(vs)))
	duties := make([]duty, len(vs))
	for i, v := range vs {
		duties[i].owner = p
		dst = append(dst, Delivery[U]{Value: v, duty: &duties[i]})
	}
	return dst
}

// Unfold is Split for values that arrive one at a time. add returns a delivery for the next value. end must be called
// once, after the last value, with the outcome of reading them. d is freed when it settles; the caller may free it
// earlier.
func Unfold[T, U any](d Delivery[T]) (add func(U) Delivery[U], end func(error)) {
	p := &parent{duty: d.duty, unsettled: 1}
	add = func(v U) Delivery[U] {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.unsettled++
		return Delivery[U]{Value: v, duty: &duty{owner: onlySettles{p}}}
	}
	return add, p.settle
}

// onlySettles is the owner of duties that cannot be freed early.
type onlySettles struct{ *parent }

func (onlySettles) free() {}

// parent is the owner of the duties of the children of a delivery. It holds the delivery without its value, so that the
// memory of the value can be reclaimed before the last child settles.
type parent struct {
	duty    *duty
	unfreed atomic.Int64

	mu        sync.Mutex
	unsettled int
	worst     error
}

func (p *parent) free() {
	if p.unfreed.Add(-1) == 0 {
		p.duty.free()
	}
}

func (p *parent) settle(err error) {
	if worst, last := p.one(err); last {
		p.duty.settle(worst)
	}
}

// one counts the outcome of a child. It returns the worst one so far, and whether it was the last.
func (p *parent) one(err error) (worst error, last bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.worst = worse(p.worst, err)
	p.unsettled--
	return p.worst, p.unsettled == 0
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
