// Package pass rewrites a program into a faster one that computes the same. Each pass is a file: what it does, why it is exact or its bound on
// the error, and when it applies.
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
var All = []Pass{}

// Run applies all passes but those named; "all" names every one.
func Run(p *ir.Program, without []string) error {
	for _, name := range without {
		if name != "all" && !slices.ContainsFunc(All, func(q Pass) bool { return q.Name == name }) {
			var names []string
			for _, q := range All {
				names = append(names, q.Name)
			}
			return fmt.Errorf("got optimisation pass %q, want all or one of %s", name, strings.Join(names, ", "))
		}
	}
	for _, q := range All {
		if !slices.Contains(without, "all") && !slices.Contains(without, q.Name) {
			q.Apply(p)
		}
	}
	return nil
}
