// Command digits makes digits.gz: the number of points in each cell of 32 upright digits of 3D MNIST as drawn by
// dataset/mnist3d, each followed by a rotated, noisy copy.
//
//	go run nn/nntest/testdata/digits.go nn/nntest/testdata/digits.gz
package main

import (
	"compress/gzip"
	"context"
	"fmt"
	"log"
	"math"
	"os"

	"github.com/voxelstream/voxelstream/dataset/mnist3d"
)

func main() {
	f, err := os.Create(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	z, err := gzip.NewWriterLevel(f, gzip.BestCompression)
	if err != nil {
		log.Fatal(err)
	}
	o := mnist3d.Options{Count: 32, Augment: true, Grid: 16, Seed: 1}
	if err := mnist3d.Generate(context.Background(), o, func(r mnist3d.Row) error {
		counts, err := countsOf(r.Values)
		if err == nil {
			_, err = z.Write(counts)
		}
		return err
	}); err != nil {
		log.Fatal(err)
	}
	if err := z.Close(); err != nil {
		log.Fatal(err)
	}
	if err := f.Close(); err != nil {
		log.Fatal(err)
	}
}

// countsOf returns the counts that densities were made of by a division by the largest.
func countsOf(densities []float64) ([]uint8, error) {
	counts := make([]uint8, len(densities))
	for most := 1.; most <= math.MaxUint8; most++ {
		whole := true
		for i, v := range densities {
			n := math.Round(v * most)
			counts[i] = uint8(n)
			whole = whole && math.Abs(v*most-n) < 1e-9
		}
		if whole {
			return counts, nil
		}
	}
	return nil, fmt.Errorf("found no counts of at most %d", math.MaxUint8)
}
