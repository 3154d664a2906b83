package pipeline

// batch is a batch of deliveries. Values and duties are separate slices, so that stages and sinks get the slice of
// values as it is.
type batch[T any] struct {
	vs     []T
	duties []*duty
}

func (b *batch[T]) add(v T, d *duty) {
	if d == nil {
		d = none
	}
	b.vs, b.duties = append(b.vs, v), append(b.duties, d)
}

// none is the duty of a delivery that has none.
var none = func() *duty {
	d := &duty{}
	d.freed.Store(true)
	d.settled.Store(true)
	return d
}()

// append adds another batch.
func (b *batch[T]) append(other batch[T]) {
	b.vs, b.duties = append(b.vs, other.vs...), append(b.duties, other.duties...)
}

// reset removes the values and keeps the memory for others.
func (b *batch[T]) reset() {
	clear(b.vs)
	clear(b.duties)
	b.vs, b.duties = b.vs[:0], b.duties[:0]
}

// settle settles all values with the same outcome.
func (b *batch[T]) settle(err error) {
	for _, d := range b.duties {
		d.settle(err)
	}
}

// shared is the owner of the duties that the required outputs have for a value. It settles the value when all of them
// have, with the worst outcome, and frees it when all outputs have freed it. If there are no required outputs, the value
// settles as done when it is freed. done and failed, if set, are called before it settles, with nil or a permanent
// error.
type shared[T any] struct {
	parent
	value    *T
	required bool
	done     func(T)
	failed   func(T, error)
}

func (s *shared[T]) free() {
	if s.unfreed.Add(-1) > 0 {
		return
	}
	if s.duty.free(); !s.required {
		s.end(nil)
	}
}

func (s *shared[T]) settle(err error) {
	if worst, last := s.one(err); last {
		s.end(worst)
	}
}

func (s *shared[T]) end(err error) {
	switch {
	case err == nil && s.done != nil:
		s.done(*s.value)
	case s.failed != nil && IsPermanent(err):
		s.failed(*s.value, err)
	}
	s.duty.settle(err)
}

// bystander is the owner of the duties of a best-effort output, whose outcome does not count.
type bystander[T any] struct{ *shared[T] }

func (bystander[T]) settle(error) {}

// share returns a batch for each output. All of them share the same values, which must not be changed.
func share[T any](b batch[T], outputs []*output[T], done func(T), failed func(T, error)) []batch[T] {
	required := 0
	for _, o := range outputs {
		if o.Policy == Required {
			required++
		}
	}
	owners := make([]shared[T], len(b.vs))
	for i := range owners {
		s := &owners[i]
		s.value, s.required, s.done, s.failed = &b.vs[i], required > 0, done, failed
		s.duty, s.unsettled = b.duties[i], required
		s.unfreed.Store(int64(len(outputs)))
	}
	each := make([]batch[T], len(outputs))
	for k, o := range outputs {
		duties := make([]duty, len(b.vs))
		each[k] = batch[T]{vs: b.vs, duties: make([]*duty, len(b.vs))}
		for i := range duties {
			if o.Policy == Required {
				duties[i].owner = &owners[i]
			} else {
				duties[i].owner = bystander[T]{&owners[i]}
			}
			each[k].duties[i] = &duties[i]
		}
	}
	if len(outputs) == 0 {
		for i := range owners {
			owners[i].end(nil)
		}
	}
	return each
}
