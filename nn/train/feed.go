package train

import (
	"context"
	"math/rand/v2"
)

// feed yields the rows of each epoch in an order that depends only on the seed and the epoch, so that training can
// resume at any row.
//
// Rows in memory are shuffled as a whole. Others are read in blocks of consecutive rows: an epoch shuffles the
// blocks, loads as many of them as the window holds, shuffles their rows, and continues with the next window. An
// incomplete last block stays last.
type feed struct {
	rows Rows
	orderer
	// window is the number of rows in memory at once, a multiple of block.
	window, block int

	memory *Data // the rows of the current window, or all rows
	opened bool
	epoch  int
	part   int   // the current window
	order  []int // of its rows in memory
	blocks []int // the order of the epoch's blocks
	one    Batch
}

// defaultMemory is the default of Options.Memory.
const defaultMemory = 256 << 20

// blockBytes is the size of one read, large enough that the cost of seeking is small.
const blockBytes = 1 << 20

// newFeed returns a feed of rows of size values each that holds at most limit bytes in memory.
func newFeed(rows Rows, size int, shuffle bool, seed uint64, limit int64) *feed {
	f := &feed{rows: rows, orderer: orderer{shuffle, seed}}
	if d, ok := rows.(*Data); ok {
		f.memory, f.window, f.block = d, d.Len(), d.Len()
		return f
	}
	bytes := size + 8 // label and weight
	if rows.Colours() == nil {
		bytes += 3 * size
	}
	f.block = min(max(1, blockBytes/bytes), rows.Len())
	f.window = f.block * int(max(1, limit/int64(bytes*f.block)))
	f.window = min(f.window, (rows.Len()+f.block-1)/f.block*f.block)
	f.memory = &Data{Palette: rows.Colours(), Labels: make([]int32, f.window), Weights: make([]float32, f.window)}
	if rows.Colours() != nil {
		f.memory.Index = make([]uint8, f.window*size)
	} else {
		f.memory.X = make([]float32, f.window*size)
	}
	return f
}

// load fills b with n rows, starting at position row of the epoch's order.
func (f *feed) load(_ context.Context, b *Batch, epoch, row int) error {
	n := len(b.Labels)
	for i := range n {
		at := row + i
		if !f.opened || epoch != f.epoch || at/f.window != f.part {
			if err := f.open(epoch, at/f.window); err != nil {
				return err
			}
		}
		b.row(i, n, &f.one)
		if err := f.memory.Read(f.order[at%f.window], &f.one); err != nil {
			return err
		}
	}
	return nil
}

// open loads a window of an epoch into memory and shuffles it.
func (f *feed) open(epoch, part int) error {
	rows := min(f.window, f.rows.Len()-part*f.window)
	if _, all := f.rows.(*Data); !all {
		f.blocks = sequence(f.blocks, (f.rows.Len()+f.block-1)/f.block)
		if f.shuffle {
			f.mix(f.blocks[:f.rows.Len()/f.block], epoch, 0)
		}
		first := part * f.window / f.block
		for i := 0; i*f.block < rows; i++ {
			n := min(f.block, rows-i*f.block)
			b := &Batch{Labels: f.memory.Labels[i*f.block:][:n], Weights: f.memory.Weights[i*f.block:][:n]}
			if size := len(f.memory.Index) / f.window; size > 0 {
				b.Index = f.memory.Index[i*f.block*size:][:n*size]
			} else {
				size = len(f.memory.X) / f.window
				b.X = f.memory.X[i*f.block*size:][:n*size]
			}
			if err := f.rows.Read(f.blocks[first+i]*f.block, b); err != nil {
				f.opened = false
				return err
			}
		}
	}
	f.order = f.of(f.order, rows, epoch, part+1)
	f.opened, f.epoch, f.part = true, epoch, part
	return nil
}

// orderer is the order of rows.
type orderer struct {
	shuffle bool
	seed    uint64
}

// of returns the order of n rows, in s if it is large enough.
func (o orderer) of(s []int, n, epoch, stream int) []int {
	s = sequence(s, n)
	if o.shuffle {
		o.mix(s, epoch, stream)
	}
	return s
}

// mix shuffles order. Each pair of epoch and stream has its own random sequence.
func (o orderer) mix(order []int, epoch, stream int) {
	r := rand.New(rand.NewPCG(o.seed^0x9e3779b97f4a7c15, uint64(epoch)<<32|uint64(stream)))
	r.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
}

// sequence returns 0 to n-1, in s if it is large enough.
func sequence(s []int, n int) []int {
	s = s[:0]
	for i := range n {
		s = append(s, i)
	}
	return s
}
