package pass

import (
	"github.com/voxelstream/voxelstream/nn/internal/fast"
	"github.com/voxelstream/voxelstream/nn/internal/ir"
)

// drawIn offers each node its one reader, again and again, until take declines to draw it in. The node gains the reader's parameters.
func drawIn(p *ir.Program, take func(n, reader *ir.Node) bool) {
	for i := 0; i < len(p.Nodes); i++ {
		n := p.Nodes[i]
		for reader := p.Only(n.Out); reader != nil && len(reader.In) == 1 && take(n, reader); reader = p.Only(n.Out) {
			joined := &ir.Node{
				Layer: n.Layer + "+" + reader.Layer, Op: n.Op, In: n.In, Out: reader.Out,
				Params: append(append([]*ir.Param{}, n.Params...), reader.Params...),
			}
			// The joined node stands where the first stood: its inputs are there, and its one reader is gone.
			p.Nodes[i] = joined
			remove(p, reader)
			n = joined
		}
	}
}

// fuseReLU draws a rectifier into the convolution, dense layer or sum before it, so that the sums before it are never written. It is exact: the same
// operation on the same number. The maximum of a window and the rectifier may change places, as both are monotonic.
func fuseReLU(p *ir.Program) {
	drawIn(p, func(n, reader *ir.Node) bool {
		if relu, ok := reader.Op.(*fast.ReLU); !ok || relu.Slope != 0 {
			return false
		}
		switch o := n.Op.(type) {
		case *fast.Conv:
			o.ReLU = true
		case *fast.Dense:
			o.ReLU = true
		case *fast.Add:
			o.ReLU = true
		default:
			return false
		}
		return true
	})
}

// fusePool draws max pooling into the convolution before it: the positions of a window are computed together and only their maximum is written, with
// its place in the window where the program trains. Positions that no window reads are not computed. It is exact. Overlapping windows stay apart,
// since positions would be computed more than once.
func fusePool(p *ir.Program) {
	drawIn(p, func(n, reader *ir.Node) bool {
		conv, ok := n.Op.(*fast.Conv)
		pool, isPool := reader.Op.(*fast.MaxPool)
		if !ok || !isPool || conv.Pooled() || conv.Norm != nil || pool.In != conv.Out || pool.C != conv.OutC {
			return false // in another shape the positions of the pooling are not those of the convolution
		}
		if pool.Pool.Size == [3]int{1, 1, 1} {
			return false // it takes no maximum, but may leave positions out, of which what follows a convolution without pooling knows nothing
		}
		for i := range 3 {
			if pool.Pool.Stride[i] < pool.Pool.Size[i] {
				return false
			}
		}
		conv.Pool = pool.Pool
		return true
	})
}

// foldBatchNorm draws batch normalisation, in programs that never train, into the convolution before it as a factor and a summand per channel, and a
// rectifier after it too. They become part of the weights and the bias or, behind a rectifier or a pooling, are applied while the outputs are in cache. Rounding
// differs by an order of one unit in the last place of each product, since the reference computes the factor in float64 for each element.
func foldBatchNorm(p *ir.Program) {
	if p.Training {
		return
	}
	drawIn(p, func(n, reader *ir.Node) bool {
		conv, ok := n.Op.(*fast.Conv)
		if !ok {
			return false
		}
		switch o := reader.Op.(type) {
		case *fast.BatchNorm:
			if conv.Norm != nil || o.C != conv.OutC {
				return false
			}
			conv.Norm = o.BatchNorm
		case *fast.ReLU:
			if conv.Norm == nil || conv.NormReLU || o.Slope != 0 {
				return false
			}
			conv.NormReLU = true
		default:
			return false
		}
		return true
	})
}

// fuseDropout draws dropout into the batch normalisation before it, so that elements are dropped while they are in cache. It is exact: the same
// elements fall.
func fuseDropout(p *ir.Program) {
	drawIn(p, func(n, reader *ir.Node) bool {
		norm, ok := n.Op.(*fast.BatchNorm)
		drop, isDrop := reader.Op.(*fast.Dropout)
		if !ok || !isDrop || norm.Drop != nil {
			return false
		}
		norm.Drop = drop.Dropout
		return true
	})
}
