package colormap

// Entry is the palette entry of a normalised value: x*256 truncated, 256 becoming 255, values outside [0, 1] the nearest end. NaN has no
// entry; 0 is returned.
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

// Index writes the palette entries of values into dst, after normalising to their own range: (v - min) / (max - min), all 0 where the values
// are constant. Values must be finite; dst has their length.
//
// It is ScalarMappable.to_rgba of a new mappable, bit for bit: matplotlib subtracts and divides by float64 limits and rounds to the array's
// own type after each step, which is what the conversions below say.
func Index[T float32 | float64](dst []uint8, values []T) {
	if len(values) == 0 {
		return
	}
	least, most := values[0], values[0]
	for _, v := range values {
		least, most = min(least, v), max(most, v)
	}
	dst = dst[:len(values)]
	if least == most {
		clear(dst)
		return
	}
	low, width := float64(least), float64(most)-float64(least)
	for i, v := range values {
		if v == least { // most voxels are empty: this saves their division
			dst[i] = 0
			continue
		}
		x := T(float64(v) - low)
		dst[i] = Entry(T(float64(x) / width))
	}
}
