package colormap

import "golang.org/x/sys/cpu"

// vectors reports whether the processor has the instructions of indexVectors.
var vectors = cpu.X86.HasAVX2

// indexVectors does what indexOf does, for n values, a multiple of lanes.
//
//go:noescape
func indexVectors(dst *uint8, values *float32, n int, least float32, width float64)

// index64Vectors is indexVectors for float64.
//
//go:noescape
func index64Vectors(dst *uint8, values *float64, n int, least, width float64)
