package nntest

import (
	"bytes"
	"compress/gzip"
	_ "embed" // of the digits
	"io"
	"slices"
	"testing"
)

// DigitSide is the number of cells a side of the volumes of Digits.
const DigitSide = 16

//go:embed testdata/digits.gz
var digits []byte // see testdata/digits.go

// Digits returns 64 volumes [16,16,16,1] of digits as those of 3D MNIST, one after the other: 32 upright ones, each
// followed by a rotated, noisy copy. Values are densities from 0 to 1.
func Digits(tb testing.TB) []float32 {
	tb.Helper()
	z, err := gzip.NewReader(bytes.NewReader(digits))
	if err != nil {
		tb.Fatal(err)
	}
	counts, err := io.ReadAll(z)
	if err != nil {
		tb.Fatal(err)
	}
	const cells = DigitSide * DigitSide * DigitSide
	out := make([]float32, 0, len(counts))
	for volume := range slices.Chunk(counts, cells) {
		most := float64(slices.Max(volume))
		for _, n := range volume {
			out = append(out, float32(float64(n)/most))
		}
	}
	return out
}
