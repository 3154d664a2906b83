package pass

// SetStridedTiles lets small batches of convolutions with stride be computed by minimal filtering.
func SetStridedTiles(n int) { stridedTiles = n }
