package colormap

// Entry returns the palette entry of a normalised value: x*256 truncated, with 256 mapped to 255. Values outside [0,
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

// Index writes the palette entries of values into dst, after normalising them to their own range: (v - min) / (max -
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
	low, width := float64(least), float64(most)-float64(least)
	clear(dst)
	// Most voxels are empty. Skipping them in groups of eight saves their divisions.
	i := 0
	for ; i+8 <= len(values); i += 8 {
		v := values[i : i+8 : i+8]
		if v[0] == least && v[1] == least && v[2] == least && v[3] == least && v[4] == least && v[5] == least &&
			v[6] == least && v[7] == least {
			continue
		}
		to := dst[i : i+8 : i+8]
		for j, v := range v {
			if v != least {
				x := T(float64(v) - low)
				to[j] = Entry(T(float64(x) / width))
			}
		}
	}
	for ; i < len(values); i++ {
		if v := values[i]; v != least {
			x := T(float64(v) - low)
			dst[i] = Entry(T(float64(x) / width))
		}
	}
}

// extremes returns the minimum and maximum of values, which has at least one element and no NaN.
func extremes[T float32 | float64](values []T) (least, most T) {
	least, most = values[0], values[0]
	i := 0
	for ; i+8 <= len(values); i += 8 {
		v := values[i : i+8 : i+8]
		if v[0] == least && v[1] == least && v[2] == least && v[3] == least && v[4] == least && v[5] == least &&
			v[6] == least && v[7] == least {
			continue
		}
		for _, v := range v {
			if v < least {
				least = v
			} else if v > most {
				most = v
			}
		}
	}
	for _, v := range values[i:] {
		if v < least {
			least = v
		} else if v > most {
			most = v
		}
	}
	return least, most
}
