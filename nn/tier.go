package nn

import "github.com/voxelstream/voxelstream/nn/internal/kernel"

// Tier names the instruction set that the inner loops run on: portable, avx2 or avx512.
func Tier() string { return string(kernel.InUse()) }
