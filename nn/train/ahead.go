package train

import (
	"context"
	"runtime"
	"sync"

	"github.com/voxelstream/voxelstream/nn"
)

// ahead makes the rows of each epoch while the network trains on those before. Rows are shuffled as a whole. Their
// order and content depend only on seed, epoch and row, so that training can resume at any row.
type ahead struct {
	rows    Varied
	total   int // rows of an epoch
	epochs  int
	order   orderer
	workers int

	free chan *madeRow // those to make; its capacity limits how many rows exist
	made chan *madeRow // in the order of the training
	stop context.CancelFunc
	wait sync.WaitGroup
}

// madeRow is a row that a worker makes.
type madeRow struct {
	Batch
	epoch, row int
	done       chan error
}

// newAhead returns a source of the first total rows. It holds at most limit bytes of rows, but at least one for each
// worker.
func newAhead(rows Varied, p *nn.Plan, total int, o *Options, limit int64) *ahead {
	a := &ahead{rows: rows, total: total, epochs: o.Epochs, order: orderer{o.Shuffle, o.Seed}, workers: o.Threads}
	if a.workers == 0 {
		a.workers = runtime.GOMAXPROCS(0)
	}
	size, floats := len(p.Index())/p.Batch(), 0
	if p.Index() == nil {
		size, floats = 0, len(p.Input(0))/p.Batch()
	}
	capacity := max(int64(a.workers), min(int64(4*p.Batch()), limit/int64(size+4*floats)))
	a.free, a.made = make(chan *madeRow, capacity), make(chan *madeRow, capacity)
	for range capacity {
		r := &madeRow{Batch: *newBatch(1), done: make(chan error, 1)}
		r.Mixed = make([]Mixed, 1)
		if floats > 0 {
			r.X = make([]float32, floats)
		} else {
			r.Index = make([]uint8, size)
		}
		a.free <- r
	}
	return a
}

// load fills b with the rows of an epoch that start at position row. The first call starts the workers. Each of the
// others continues where the one before ended.
func (a *ahead) load(ctx context.Context, b *Batch, epoch, row int) error {
	if a.stop == nil {
		a.start(epoch, row)
	}
	var one Batch
	for i := range b.Labels {
		r := <-a.made
		select {
		case err := <-r.done:
			if err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
		b.row(i, len(b.Labels), &one)
		copy(one.Index, r.Index)
		copy(one.X, r.X)
		one.Labels[0], one.Weights[0], one.Mixed[0] = r.Labels[0], r.Weights[0], r.Mixed[0]
		a.free <- r
	}
	return nil
}

// start starts the workers, and a goroutine that gives them the rows in order.
func (a *ahead) start(epoch, row int) {
	var ctx context.Context
	ctx, a.stop = context.WithCancel(context.Background())
	jobs := make(chan *madeRow)
	for range a.workers {
		a.wait.Go(func() {
			for r := range jobs {
				r.Mixed[0] = Mixed{}
				r.done <- a.rows.ReadEpoch(r.epoch, r.row, a.total, &r.Batch)
			}
		})
	}
	a.wait.Go(func() {
		defer close(jobs)
		var order []int
		for ; epoch <= a.epochs; epoch, row = epoch+1, 0 {
			order = a.order.of(order, a.total, epoch, 1)
			for _, i := range order[row:] {
				select {
				case r := <-a.free:
					r.epoch, r.row = epoch, i
					a.made <- r
					select {
					case jobs <- r:
					case <-ctx.Done():
						return
					}
				case <-ctx.Done():
					return
				}
			}
		}
	})
}

// close ends the workers.
func (a *ahead) close() {
	if a.stop != nil {
		a.stop()
		a.wait.Wait()
	}
}
