package kernel

// Channels are Some consecutive ones of All channels, which lie beside each other in arrays [cells,Some] and apart
// in arrays [cells,All].
type Channels struct{ All, Some int }

// Take copies the channels from first on of cells [lo,hi) of all to some.
func (c Channels) Take(some, all []float32, first, lo, hi int) {
	for i := lo; i < hi; i++ {
		copy(some[i*c.Some:(i+1)*c.Some], all[i*c.All+first:])
	}
}

// Put copies cells [lo,hi) of some to the channels from first on of all.
func (c Channels) Put(all, some []float32, first, lo, hi int) {
	for i := lo; i < hi; i++ {
		copy(all[i*c.All+first:], some[i*c.Some:(i+1)*c.Some])
	}
}

// Add adds cells [lo,hi) of some to the channels from first on of all.
func (c Channels) Add(all, some []float32, first, lo, hi int) {
	for i := lo; i < hi; i++ {
		loops.add(some[i*c.Some:(i+1)*c.Some], all[i*c.All+first:][:c.Some])
	}
}
