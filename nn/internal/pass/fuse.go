package pass

import (
	"github.com/voxelstream/voxelstream/nn/internal/ir"
)

// fuse offers each node its only reader, again and again, until take declines to absorb it. The node gains the
// reader's parameters.
func fuse(p *ir.Program, take func(n, reader *ir.Node) bool) {
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
