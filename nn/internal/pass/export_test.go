package pass

// SetStridedTiles lets small batches of convolutions with stride be computed by minimal filtering.
func SetStridedTiles(n int) { stridedTiles = n }

// Pays tells whether a convolution of so many samples is computed by minimal filtering.
var Pays = pays
