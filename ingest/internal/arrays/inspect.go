package arrays

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"

	"github.com/voxelstream/voxelstream/ingest"
)

// maxNamed limits the unreadable clouds that are named.
const maxNamed = 5

// InspectClouds combines the measurements of all clouds, with one cloud in memory at a time. It notes those that cannot
// be read. If none can, the error is that of the first.
func InspectClouds(ctx context.Context, src ingest.Source, o ingest.Options) (*ingest.Points, error) {
	all := &ingest.Points{Fields: []string{"x", "y", "z"}}
	var bad []string
	var first error
	failed, read := 0, 0
	for {
		s, err := src.Read(ctx)
		var item *ingest.ItemError
		switch {
		case errors.As(err, &item):
			if failed++; first == nil {
				first = err
			}
			if len(bad) < maxNamed {
				bad = append(bad, item.Err.Error())
			}
			continue
		case errors.Is(err, io.EOF):
			if failed > 0 && read == 0 {
				return nil, fmt.Errorf("none of the %d clouds can be read: %w", failed, first)
			}
			if failed > len(bad) {
				bad = append(bad, "...")
			}
			if failed > 0 {
				o.Note("left out %d of %d clouds: %s", failed, failed+read, strings.Join(bad, "; "))
			}
			if all.Clouds = read; read == 1 {
				all.Clouds = 0
			}
			return all, nil
		case err != nil:
			return nil, err
		}
		p, ok := s.Data.(*ingest.PointCloud)
		if !ok {
			continue
		}
		one := ingest.PointsOf(&ingest.Clouds{Clouds: []*ingest.PointCloud{p}})
		if read++; read == 1 {
			all.Fields = append(all.Fields, fieldsOf(p)...)
		}
		all.Count += one.Count
		if one.Finite == 0 {
			continue
		}
		if all.Finite += one.Finite; all.First == nil {
			all.First, all.Min, all.Max = one.First, one.Min, one.Max
			continue
		}
		for k := range 3 {
			all.Min[k], all.Max[k] = math.Min(all.Min[k], one.Min[k]), math.Max(all.Max[k], one.Max[k])
		}
	}
}

// fieldsOf are the columns of a cloud besides x, y and z.
func fieldsOf(p *ingest.PointCloud) (names []string) {
	if p.Intensity != nil {
		names = append(names, "intensity")
	}
	if p.R != nil {
		names = append(names, "red", "green", "blue")
	}
	return names
}
