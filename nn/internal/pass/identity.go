package pass

import (
	"slices"

	"github.com/voxelstream/voxelstream/nn/internal/ir"
	"github.com/voxelstream/voxelstream/nn/internal/op"
)

// dropIdentity removes operations that only copy: changes of shape, and dropout in programs that never train. Readers of the copy read the
// original, whose elements are the same in the same order, and add their gradients there. An output of the program keeps its copy.
func dropIdentity(p *ir.Program) {
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

func isOutput(p *ir.Program, v *ir.Value) bool { return slices.Contains(p.Outputs, v) }

func remove(p *ir.Program, n *ir.Node) {
	i := slices.Index(p.Nodes, n)
	p.Nodes = slices.Delete(slices.Clone(p.Nodes), i, i+1)
}
