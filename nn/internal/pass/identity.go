package pass

import (
	"slices"

	"github.com/voxelstream/voxelstream/nn/internal/ir"
	"github.com/voxelstream/voxelstream/nn/internal/op"
)

// dropIdentity removes operations that only copy: changes of shape, of order where the next one undoes it, and
// dropout in programs that never train. Readers of the copy read the original, whose elements are the same in the
// same order, and add their gradients there. An output of the program keeps its copy.
func dropIdentity(p *ir.Program) {
	joinGathers(p)
	for _, n := range slices.Clone(p.Nodes) {
		switch n.Op.(type) {
		case *op.Copy:
		case *op.Dropout:
			if p.Training {
				continue
			}
		default:
			continue
		}
		if isOutput(p, n.Out) {
			continue
		}
		for _, reader := range p.Readers(n.Out) {
			for i, in := range reader.In {
				if in == n.Out {
					reader.In[i] = n.In[0]
				}
			}
		}
		remove(p, n)
	}
}

// joinGathers replaces two successive choices of elements with one, for example where an importer's permutations
// meet, and two that undo each other with a copy.
func joinGathers(p *ir.Program) {
	fuse(p, func(n, reader *ir.Node) bool {
		g, ok := n.Op.(*op.Gather)
		h, follows := reader.Op.(*op.Gather)
		if !ok || !follows || g.C != h.C || g.Fill != h.Fill {
			return false
		}
		joined := &op.Gather{From: make([]int32, len(h.From)), Cells: g.Cells, C: g.C, Fill: g.Fill}
		same := len(h.From) == g.Cells
		for i, from := range h.From {
			if from >= 0 {
				from = g.From[from]
			}
			joined.From[i], same = from, same && int(from) == i
		}
		if n.Op = joined; same {
			n.Op = &op.Copy{}
		}
		return true
	})
}

func isOutput(p *ir.Program, v *ir.Value) bool { return slices.Contains(p.Outputs, v) }

func remove(p *ir.Program, n *ir.Node) {
	i := slices.Index(p.Nodes, n)
	p.Nodes = slices.Delete(slices.Clone(p.Nodes), i, i+1)
}
