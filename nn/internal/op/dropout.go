package op

import "github.com/voxelstream/voxelstream/nn/internal/ir"

// Dropout sets a share Rate of the elements to zero in training and divides the rest by 1-Rate; at other times it
// copies. Whether element i of a sample falls depends on (seed, step, Salt, sample, i) alone, so the result is the
// same however the batch is cut. With Spatial positive, whole channels fall: the last axis has Spatial of them.
// With Together, elements of the same number there fall together.
type Dropout struct {
	Rate    float64
	Salt    uint64 // differs between the layers of a model
	Len     int    // elements of a sample
	Spatial int
	// Together has a number for each element of a sample, or is nil.
	Together []int32
}

// Forward computes Y.
func (d *Dropout) Forward(e *ir.Env[float32]) { dropoutForward(d, e) }

// Backward adds to DX.
func (d *Dropout) Backward(e *ir.Env[float32]) { dropoutBackward(d, e) }

// Forward64 is Forward in float64.
func (d *Dropout) Forward64(e *ir.Env[float64]) { dropoutForward(d, e) }

// Backward64 is Backward in float64.
func (d *Dropout) Backward64(e *ir.Env[float64]) { dropoutBackward(d, e) }

// Key is the start of the random numbers of one sample of one step.
func (d *Dropout) Key(seed, step uint64, sample int) uint64 {
	return sampleKey(d.Salt, seed, step, sample)
}

func sampleKey(salt, seed, step uint64, sample int) uint64 {
	return Mix(Mix(Mix(seed^salt)^step) ^ uint64(sample))
}

// Keep reports whether element i stays, given its sample's key.
func (d *Dropout) Keep(key uint64, i int) bool {
	switch {
	case d.Spatial > 0:
		i %= d.Spatial
	case d.Together != nil:
		i = int(d.Together[i])
	}
	return Mix(key+uint64(i))>>11 >= d.Threshold()
}

// Threshold is Rate on the scale of the 53 random bits.
func (d *Dropout) Threshold() uint64 { return uint64(d.Rate * (1 << 53)) }

// Mix scrambles 64 bits. Source: the finalizer of SplitMix64 (Steele, Lea & Flood 2014).
func Mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func dropoutForward[T ir.Float](d *Dropout, e *ir.Env[T]) {
	copy(e.Y, e.X[0])
	if !e.Train || d.Rate == 0 {
		return
	}
	scale := T(1 / (1 - d.Rate))
	for n := range e.N {
		key, y := d.Key(e.Seed, e.Step, n), e.Y[n*d.Len:][:d.Len]
		for i := range y {
			if d.Keep(key, i) {
				y[i] *= scale
			} else {
				y[i] = 0
			}
		}
	}
}

func dropoutBackward[T ir.Float](d *Dropout, e *ir.Env[T]) {
	if e.DX[0] == nil {
		return
	}
	scale := T(1)
	if e.Train && d.Rate > 0 {
		scale = T(1 / (1 - d.Rate))
	}
	for n := range e.N {
		key := d.Key(e.Seed, e.Step, n)
		dx, dy := e.DX[0][n*d.Len:][:d.Len], e.DY[n*d.Len:][:d.Len]
		for i := range dx {
			if !e.Train || d.Rate == 0 || d.Keep(key, i) {
				dx[i] += dy[i] * scale
			}
		}
	}
}
