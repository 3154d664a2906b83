package pass

import "github.com/voxelstream/voxelstream/nn/internal/ir"

// reuseMemory lets values of programs that never train use the memory of others whose last reader is done. It is
// exact: no value is changed while it is needed.
func reuseMemory(p *ir.Program) { p.Reuse = !p.Training }
