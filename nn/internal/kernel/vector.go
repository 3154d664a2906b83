package kernel

func portableAxpy(s float32, src, dst []float32) {
	dst = dst[:len(src)]
	i := 0
	for ; i+4 <= len(src); i += 4 {
		x, y := src[i:i+4:i+4], dst[i:i+4:i+4]
		y[0] += s * x[0]
		y[1] += s * x[1]
		y[2] += s * x[2]
		y[3] += s * x[3]
	}
	for ; i < len(src); i++ {
		dst[i] += s * src[i]
	}
}

func portableAdd(src, dst []float32) {
	dst = dst[:len(src)]
	i := 0
	for ; i+4 <= len(src); i += 4 {
		x, y := src[i:i+4:i+4], dst[i:i+4:i+4]
		y[0] += x[0]
		y[1] += x[1]
		y[2] += x[2]
		y[3] += x[3]
	}
	for ; i < len(src); i++ {
		dst[i] += src[i]
	}
}

// Add adds src to dst.
func Add(src, dst []float32) { addInto(src, dst[:len(src)]) }

// Sum sets dst to the sum of parts consecutive arrays of len(dst) in src, in their order.
func Sum(dst, src []float32, parts int) {
	n := len(dst)
	copy(dst, src[:n])
	for p := 1; p < parts; p++ {
		addInto(src[p*n:(p+1)*n], dst)
	}
}
