package nn

import "github.com/voxelstream/voxelstream/nn/internal/kernel"

// Tier returns the instruction set that the inner loops use: portable, avx2 or avx512.
func Tier() string { return string(kernel.InUse()) }
