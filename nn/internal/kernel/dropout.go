package kernel

// Dropout sets dst to scale times src where element i stays, else to zero, and records which stay in bits, 16 to a
// word. Element i stays where the upper 53 bits of Mix(key+i) are not below threshold. dst may be src.
func Dropout(dst, src []float32, bits []uint16, key, threshold uint64, scale float32) {
	if len(src) > 0 {
		loops.dropout(dst[:len(src)], src, bits[:(len(src)+15)/16], key, threshold, scale)
	}
}

// Keep sets dst to scale times src where the bit is set, else to zero: the backward pass of Dropout. dst may be src.
func Keep(dst, src []float32, bits []uint16, scale float32) {
	if len(src) > 0 {
		loops.keep(dst[:len(src)], src, bits[:(len(src)+15)/16], scale)
	}
}

// Mix scrambles 64 bits. Source: the finalizer of SplitMix64 (Steele, Lea & Flood 2014).
func Mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func portableDropout(dst, src []float32, bits []uint16, key, threshold uint64, scale float32) {
	for w := range bits {
		var word uint16
		for i := w * 16; i < min(len(src), w*16+16); i++ {
			v := float32(0)
			if Mix(key+uint64(i))>>11 >= threshold {
				word |= 1 << (i - w*16)
				v = src[i] * scale
			}
			dst[i] = v
		}
		bits[w] = word
	}
}

func portableKeep(dst, src []float32, bits []uint16, scale float32) {
	for i, v := range src {
		if bits[i/16]>>(i%16)&1 == 0 {
			v = 0
		}
		dst[i] = v * scale
	}
}

// Rectify sets x to zero where it is negative.
func Rectify(x []float32) { loops.rectify(x) }

// RectifyGrad sets dst to grad where out is positive, else to zero. dst may be grad.
func RectifyGrad(dst, grad, out []float32) {
	// Whole vectors go as rows of one length, the rest by the plain loop.
	const row = 64
	n := len(grad) / row * row
	if n > 0 {
		loops.rectifyGrad(dst[:n], grad[:n], out[:n], row)
	}
	portableRectifyGrad(dst[n:], grad[n:], out[n:], 1)
}

func portableRectifyGrad(dst, grad, out []float32, _ int) {
	dst, out = dst[:len(grad)], out[:len(grad)]
	for i, g := range grad {
		if out[i] <= 0 {
			g = 0
		}
		dst[i] = g
	}
}
