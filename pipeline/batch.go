package pipeline

import "time"

// Batch sets when a batch is complete: when it has Size values, when its first value has waited for Linger, or when no
// further value has been on its way for Gap. A value is on its way from being read until the stage has processed it. So
// values wait for each other as long as more of them follow, and a single one does not wait. While the next stage is
// busy, a batch keeps filling.
type Batch struct {
	// Size is the maximum number of values in a batch. The default is 1.
	Size int
	// Linger is how long the first value of a batch waits for others. 0 means not at all.
	Linger time.Duration
	// Gap is how long a batch waits for a next value to be read. 0 means not at all.
	Gap time.Duration
}

// gatherer groups the results of tasks into batches.
type gatherer[In, Mid any] struct {
	Batch
	order <-chan *task[In, Mid] // nil when it has ended
	b     batch[Mid]
	first time.Time      // when the first value of b came
	head  *task[In, Mid] // the task whose results come next; nil if it is not known
	taken int            // the number of its results that are in batches; -1 if it is not done
	timer *time.Timer
	due   bool
}

// gather groups the results of tasks, in their order, into batches until order is closed. Then it closes out. The last
// batch may be short.
func (r *run[In, Mid, Out]) gather(order <-chan *task[In, Mid], out chan<- batch[Mid]) {
	defer close(out)
	g := &gatherer[In, Mid]{Batch: r.Batch, order: order, timer: time.NewTimer(r.Batch.Linger)}
	g.Size = max(g.Size, 1)
	g.timer.Stop()
	for {
		if g.take() {
			r.recycle(g.head)
			g.head = nil
		}
		if g.ended() && len(g.b.vs) == 0 {
			return
		}
		next, done := g.inputs()
		var ready chan<- batch[Mid]
		if g.complete() {
			ready = out
		}
		select {
		case t, ok := <-next:
			if g.head, g.taken = t, -1; !ok {
				g.order = nil
			}
		case <-done:
			g.taken = 0
		case <-g.timer.C:
			g.alarm()
		case ready <- g.b:
			g.b, g.due = r.emptyBatch(), false
			g.timer.Stop()
		}
	}
}

// take moves results of the task into the batch. It reports whether it has taken all of them.
func (g *gatherer[In, Mid]) take() bool {
	if g.head == nil || g.taken < 0 {
		return false
	}
	for ; g.taken < len(g.head.out) && len(g.b.vs) < g.Size; g.taken++ {
		d := g.head.out[g.taken]
		if g.b.add(d.Value, d.duty); len(g.b.vs) == 1 {
			g.first, g.due = time.Now(), g.Linger <= 0
			g.timer.Reset(g.Linger)
		}
	}
	if g.Gap > 0 && len(g.b.vs) > 0 {
		g.timer.Reset(min(g.Gap, g.Linger-time.Since(g.first)))
	}
	return g.taken == len(g.head.out)
}

// alarm handles the timer.
func (g *gatherer[In, Mid]) alarm() {
	left := g.Linger - time.Since(g.first)
	if g.due = left <= 0 || g.idle(); !g.due {
		g.timer.Reset(left)
	}
}

// idle reports that no value is on its way.
func (g *gatherer[In, Mid]) idle() bool { return g.head == nil && len(g.order) == 0 }

// ended reports that there will be no further value.
func (g *gatherer[In, Mid]) ended() bool { return g.head == nil && g.order == nil }

func (g *gatherer[In, Mid]) full() bool { return len(g.b.vs) >= g.Size }

// complete reports whether the batch need not wait for more values.
func (g *gatherer[In, Mid]) complete() bool {
	return len(g.b.vs) > 0 && (g.due || g.full() || g.ended() || g.Gap <= 0 && g.idle())
}

// inputs returns the channels to receive from. next delivers the next task. If there is a current task, done delivers its
// end, and next is nil. While the batch is full, both are nil.
func (g *gatherer[In, Mid]) inputs() (next <-chan *task[In, Mid], done <-chan struct{}) {
	switch {
	case g.full():
		return nil, nil
	case g.head != nil:
		return nil, g.head.done
	}
	return g.order, nil
}

// emptyBatch returns an empty batch, which may reuse memory.
func (r *run[In, Mid, Out]) emptyBatch() batch[Mid] {
	if b, ok := r.batches.Get().(*batch[Mid]); ok {
		return *b
	}
	return batch[Mid]{}
}
