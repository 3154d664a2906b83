// Package pass rewrites a program into a faster one that computes the same. Each pass is a file: what it does, why
// it is exact or its bound on the error, and when it applies.
package pass

import (
	"fmt"
	"slices"
	"strings"

	"github.com/voxelstream/voxelstream/nn/internal/ir"
)

// Pass is one rewriting.
type Pass struct {
	Name string
	// Doc is one sentence for people who choose which passes to switch off.
	Doc   string
	Apply func(p *ir.Program)
}

// All lists the passes in the order in which they run.
var All = []Pass{
	{"drop-identity", "Removes operations that only copy.", dropIdentity},
	{"crop-dead", "Skips positions that nothing reads.", cropDead},
	{"kernels", "Uses blocked, parallel operations. Without it, only the passes before it apply.", useKernels},
	{"fuse-relu", "Fuses ReLU into convolutions and dense layers.", fuseReLU},
	{"pool-first", "Applies max pooling before ReLU.", poolFirst},
	{"fuse-pool", "Fuses max pooling into convolutions.", fusePool},
	{"fold-batchnorm", "Folds batch normalization into convolutions, for inference.", foldBatchNorm},
	{"fuse-dropout", "Fuses dropout into batch normalization.", fuseDropout},
	{"sparse-backward", "Visits only the gradients that pooling passes on.", sparseBackward},
	{"winograd", "Convolves 3x3x3 kernels with a third of the multiplications.", useWinograd},
	{"winograd4", "Convolves 3x3x3 kernels with an eighth of the multiplications, 5x5x5 kernels with a fifth and " +
		"strided ones with at most half, if there is enough work. The error is 5e-6 of the output.", useWinograd4},
	{"palette", "Reads palette indices instead of colours.", readPalette},
	{"low-precision", "Multiplies 8-bit integers or bfloat16, if the model says so.", useLowPrecision},
	{"split-samples", "Runs operations without a kernel on all threads.", splitSamples},
	{"reuse-memory", "Reuses the memory of values that are no longer needed, for inference.", reuseMemory},
}

// Check returns an error for a name that no pass has; "all" names every one.
func Check(without []string) error {
	for _, name := range without {
		if name != "all" && !slices.ContainsFunc(All, func(q Pass) bool { return q.Name == name }) {
			var names []string
			for _, q := range All {
				names = append(names, q.Name)
			}
			return fmt.Errorf("got optimization pass %q, want all or one of %s", name, strings.Join(names, ", "))
		}
	}
	return nil
}

// Run applies all passes but those named.
func Run(p *ir.Program, without []string) error {
	if err := Check(without); err != nil {
		return err
	}
	for _, q := range All {
		if !slices.Contains(without, "all") && !slices.Contains(without, q.Name) {
			q.Apply(p)
		}
	}
	return nil
}
