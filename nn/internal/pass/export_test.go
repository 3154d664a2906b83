package pass

// SetStrided changes from how many tiles on, and with how many tenths of the direct sum's products at most,
// convolutions with stride are computed by minimal filtering.
func SetStrided(tiles, tenths int) { stridedTiles, stridedTenths = tiles, tenths }

// Pays tells whether a convolution of so many samples is computed by minimal filtering.
var Pays = pays
