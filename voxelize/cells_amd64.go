package voxelize

import "golang.org/x/sys/cpu"

// vectors reports whether the processor has the instructions of findVectors.
var vectors = cpu.X86.HasAVX2

// lanes is the number of points that findVectors handles at a time.
const lanes = 4

// findVectors finds the cells of n points, a positive multiple of lanes: outsideGrid for those outside the grid, and
// nearFace for those near a face and those that are not finite. It is clean if there are none of either.
//
//go:noescape
func findVectors(cells *int32, x, y, z *float64, n int, f *finder) (clean bool)
