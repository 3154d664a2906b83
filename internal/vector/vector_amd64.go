package vector

import "golang.org/x/sys/cpu"

// vectors reports whether the processor has the instructions of rangeVectors.
var vectors = cpu.X86.HasAVX2

// block is the number of values that rangeVectors handles at a time.
const block = 32

// rangeVectors returns the lowest and the highest of n values, and the sum of their differences from themselves, which
// is NaN if a value is not finite. n is a positive multiple of block.
//
//go:noescape
func rangeVectors(values *float32, n int) (least, most, differences float32)

// block64 is the number of values that range64Vectors handles at a time.
const block64 = 8

// range64Vectors is rangeVectors for float64. n is a positive multiple of block64.
//
//go:noescape
func range64Vectors(values *float64, n int) (least, most, differences float64)

// dotVectors returns the sum of n products. n is a positive multiple of dotBlock and at most maxDot.
//
//go:noescape
func dotVectors(a, b *uint8, n int) uint64
