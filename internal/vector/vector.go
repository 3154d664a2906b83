// Package vector computes over arrays with vector instructions, and with Go where there are none.
package vector

import "math"

// Range returns the lowest and the highest of values, and whether all of them are finite. If there is no value, or one
// that is NaN or infinite, least and most are unspecified.
func Range(values []float32) (least, most float32, finite bool) {
	if len(values) == 0 {
		return 0, 0, true
	}
	least, most = values[0], values[0]
	nonFinite := false
	done := 0
	if vectors && len(values) >= block {
		done = len(values) &^ (block - 1)
		var differences float32 // of each value and itself, added up: 0 or NaN
		least, most, differences = rangeVectors(&values[0], done)
		nonFinite = differences != 0
	}
	for _, v := range values[done:] {
		least, most = min(least, v), max(most, v)
		nonFinite = nonFinite || math.Float32bits(v)&infinity == infinity
	}
	return least, most, !nonFinite
}

// Range64 is Range for float64.
func Range64(values []float64) (least, most float64, finite bool) {
	if len(values) == 0 {
		return 0, 0, true
	}
	least, most = values[0], values[0]
	var differences float64 // of each value and itself, added up: 0 or NaN
	done := 0
	if vectors && len(values) >= block64 {
		done = len(values) &^ (block64 - 1)
		least, most, differences = range64Vectors(&values[0], done)
	}
	for _, v := range values[done:] {
		if v < least {
			least = v
		}
		if v > most {
			most = v
		}
		differences += v - v
	}
	return least, most, differences == 0
}

// infinity is the exponent of infinities and NaN.
const infinity = 0xff << 23

// Finite reports whether values holds neither NaN nor infinities.
func Finite(values []float32) bool {
	_, _, finite := Range(values)
	return finite
}

// Dot returns the sum of the products of a and b, which have the same length.
func Dot(a, b []uint8) uint64 {
	b = b[:len(a)]
	sum, done := uint64(0), 0
	for vectors && len(a)-done >= dotBlock {
		n := min(len(a)-done, maxDot) &^ (dotBlock - 1)
		sum += dotVectors(&a[done], &b[done], n)
		done += n
	}
	for i := done; i < len(a); i++ {
		sum += uint64(a[i]) * uint64(b[i])
	}
	return sum
}

// dotBlock is the number of products that dotVectors handles at a time. Each of its eight 32-bit sums grows by up to
// 2 * 255 * 255 for 16 of them, so it takes at most maxDot.
const (
	dotBlock = 32
	maxDot   = 64 << 10
)
