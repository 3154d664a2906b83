// Package op holds the reference implementation of every operation: plain loops, written to be read and to be
// trusted. Each describes what it computes in exported fields, by which a pass recognizes it, and works in float32
// for plans and in float64 for gradient checks.
//
// Forward writes Y. Backward adds to DX and DP, and skips what is nil.
package op

import "github.com/voxelstream/voxelstream/nn/internal/ir"

// Reference is an op that can also run in float64.
type Reference interface {
	ir.Op
	Forward64(e *ir.Env[float64])
	Backward64(e *ir.Env[float64])
}
