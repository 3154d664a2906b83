//go:build !amd64

package voxelize

const (
	vectors = false
	lanes   = 1
)

func findVectors(_ *int32, _, _, _ *float64, _ int, _ *finder) (clean bool) { panic("unreachable") }
