package kernel

import (
	"encoding/binary"
	"math/bits"
)

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
func Add(src, dst []float32) { loops.add(src, dst[:len(src)]) }

// Sum sets dst to the sum of parts consecutive arrays of len(dst) in src, in their order.
func Sum(dst, src []float32, parts int) {
	n := len(dst)
	copy(dst, src[:n])
	for p := 1; p < parts; p++ {
		loops.add(src[p*n:(p+1)*n], dst)
	}
}

func portableSpans(s float32, src, dst []float32, at []span, n int) {
	for _, p := range at {
		portableAxpy(s, src[p.from:p.from+n], dst[p.to:p.to+n])
	}
}

func portableCollect(dst, src []float32, starts []int32, s []float32, at []span, n int) {
	for _, p := range at {
		for i, start := range starts {
			portableAxpy(s[i], src[int(start)+p.from:int(start)+p.from+n], dst[p.to:p.to+n])
		}
	}
}

func portablePool(dst []float32, arg []uint8, src []float32, places []int, relu bool) {
	copy(dst, src[places[0]:places[0]+len(dst)])
	if arg == nil {
		for _, at := range places[1:] {
			for j, v := range src[at : at+len(dst)] {
				if v > dst[j] || v != v { // NaN must not vanish
					dst[j] = v
				}
			}
		}
		if relu {
			rectify(dst)
		}
		return
	}
	arg = arg[:len(dst)]
	clear(arg)
	for off := 1; off < len(places); off++ {
		at := places[off]
		for j, v := range src[at : at+len(dst)] {
			if v > dst[j] || v != v {
				dst[j], arg[j] = v, uint8(off)
			}
		}
	}
	if relu {
		for j, v := range dst {
			if v <= 0 {
				dst[j], arg[j] = 0, Dead
			}
		}
	}
}

func portableUnpool(dst, sum, grad []float32, arg []uint8, places []int) {
	for _, at := range places {
		clear(dst[at : at+len(grad)])
	}
	for j, off := range arg[:len(grad)] {
		if off != Dead {
			dst[places[off]+j] = grad[j]
			sum[j] += grad[j]
		}
	}
}

func portableVoxels(sums, table []float32, at, colour []int32, corner, rows, stride, colours, n int) {
	for i, voxel := range at {
		to, from := int(voxel)+corner, int(colour[i])*colours
		for range rows {
			portableAdd(table[from:from+n], sums[to:to+n])
			from += n
			to -= stride
		}
	}
}

func portableOuter(dw, plane, diff []float32, at, colour []int32, corner, rows, stride, n int) {
	for i, voxel := range at {
		from := int(voxel) + corner
		d := diff[3*colour[i] : 3*colour[i]+3]
		for r := range rows {
			to := dw[r*9*n:]
			for k := range 3 {
				x := plane[from+(2-k)*n:][:n]
				d0, d1, d2 := d[0], d[1], d[2]
				w0, w1, w2 := to[3*k*n:][:n], to[(3*k+1)*n:][:n], to[(3*k+2)*n:][:n]
				for j, v := range x {
					w0[j] += d0 * v
					w1[j] += d1 * v
					w2[j] += d2 * v
				}
			}
			from -= stride
		}
	}
}

func portableGather(dst, src []float32, starts []int32, at []span, n, patch int) {
	for i, start := range starts {
		row := dst[i*patch : (i+1)*patch]
		from := src[start:]
		for _, p := range at {
			copy(row[p.to:p.to+n], from[p.from:p.from+n])
		}
	}
}

func portableList(at, colour []int32, row []uint8, start, step int, background uint8) int {
	n, x := 0, 0
	still := uint64(background) * 0x0101010101010101
	// Eight voxels at a time, as most are background.
	for ; x+8 <= len(row); x += 8 {
		eight := binary.LittleEndian.Uint64(row[x:]) ^ still
		for eight != 0 {
			i := bits.TrailingZeros64(eight) / 8
			at[n], colour[n] = int32(start+(x+i)*step), int32(row[x+i])
			n++
			eight &^= 0xff << (8 * i)
		}
	}
	for ; x < len(row); x++ {
		if row[x] != background {
			at[n], colour[n] = int32(start+x*step), int32(row[x])
			n++
		}
	}
	return n
}
