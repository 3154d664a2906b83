package colormap

import "github.com/voxelstream/voxelstream/internal/vector"

// Entry returns the palette entry of a normalized value: x*256 truncated, with 256 mapped to 255. Values outside [0,
// 1] are clamped. NaN gives 0.
func Entry[T float32 | float64](x T) uint8 {
	x *= Size
	switch {
	case x >= Size-1:
		return Size - 1
	case x > 0:
		return uint8(x)
	}
	return 0
}

// Index writes the palette entries of values into dst, after normalizing them to their own range: (v - min) / (max -
// min), or all 0 if the values are constant. Values must be finite. dst has the length of values.
//
// The result is bit-identical to ScalarMappable.to_rgba of a new mappable: matplotlib subtracts and divides by
// float64 limits and rounds to the array's own type after each step. The conversions below reproduce that.
func Index[T float32 | float64](dst []uint8, values []T) {
	if len(values) == 0 {
		return
	}
	least, most := extremes(values)
	dst = dst[:len(values)]
	if least == most {
		clear(dst)
		return
	}
	width := float64(most) - float64(least)
	if n := len(values) &^ (lanes - 1); vectors && n > 0 {
		switch v := any(values).(type) {
		case []float32:
			indexVectors(&dst[0], &v[0], n, float32(least), width)
		case []float64:
			index64Vectors(&dst[0], &v[0], n, float64(least), width)
		}
		dst, values = dst[n:], values[n:]
	}
	indexOf(dst, values, least, width)
}

// lanes is the number of values that indexVectors and index64Vectors handle at a time.
const lanes = 8

// indexOf writes the palette entries of values that begin at least and span width.
func indexOf[T float32 | float64](dst []uint8, values []T, least T, width float64) {
	for i, v := range values {
		dst[i] = 0
		if v != least { // most voxels are empty, and need no division
			x := T(float64(v) - float64(least))
			dst[i] = Entry(T(float64(x) / width))
		}
	}
}

// extremes returns the minimum and maximum of values, which has at least one element, and only finite ones.
func extremes[T float32 | float64](values []T) (least, most T) {
	switch v := any(values).(type) {
	case []float32:
		low, high, _ := vector.Range(v)
		return T(low), T(high)
	case []float64:
		low, high, _ := vector.Range64(v)
		return T(low), T(high)
	}
	panic("unreachable")
}
