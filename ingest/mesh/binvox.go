package mesh

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/voxelstream/voxelstream/ingest"
)

// Binvox is Patrick Min's format of voxelized meshes: "#binvox 1", dim, translate and scale, "data", then pairs of
// bytes (value 0 or 1, run length 1..255) with y running fastest, then z, then x. The grid is given as [z][y][x].
// https://www.patrickmin.com/binvox/binvox.html
var Binvox = ingest.Format{
	Name:       "binvox",
	Doc:        "version 1",
	Assumes:    "values other than 0 are full cells",
	Refuses:    "truncated files",
	Extensions: []string{".binvox"},
	Tested:     "binvox-rw-py chair.binvox",
	Detect: func(h *ingest.Head) ingest.Confidence {
		if bytes.HasPrefix(h.Bytes, []byte("#binvox")) {
			return ingest.Sure
		}
		return ingest.No
	},
	Open: func(_ context.Context, path string, o ingest.Options) (ingest.Source, error) {
		return ingest.FileSource(path, o, func(o ingest.Options) ([]ingest.Sample, error) {
			g, _, err := readBinvox(path, o)
			if err != nil {
				return nil, err
			}
			return []ingest.Sample{{Label: ingest.NoLabel, Data: g}}, nil
		})
	},
	Inspect: func(_ context.Context, path string, o ingest.Options) (ingest.Detail, error) {
		g, scale, err := readBinvox(path, o)
		if err != nil {
			return nil, err
		}
		edge := scale / float64(max(g.Dims[0], g.Dims[1], g.Dims[2]))
		lo, hi := 1.0, 0.0
		for _, v := range g.Values {
			lo, hi = min(lo, float64(v)), max(hi, float64(v))
		}
		return &ingest.Grids{
			Rows: 1, Shape: g.Dims[:], Labels: map[string]int{}, Min: &lo, Max: &hi,
			Cell: []float64{edge, edge, edge}, CellIn: "of the model",
		}, nil
	},
}

func readBinvox(path string, o ingest.Options) (*ingest.Grid, float64, error) {
	data, err := ingest.ReadFile(path, o)
	if err != nil {
		return nil, 0, err
	}
	g, scale, err := decodeBinvox(data, o.WithDefaults())
	if err != nil {
		return nil, 0, fmt.Errorf("%s: binvox: %w", path, err)
	}
	return g, scale, nil
}

const binvoxMaxHeader = 4096

// decodeBinvox returns the grid and the length of its longest side.
func decodeBinvox(data []byte, o ingest.Options) (*ingest.Grid, float64, error) {
	dims, scale := [3]int{}, 1.0
	body := data
	for {
		if len(data)-len(body) > binvoxMaxHeader {
			return nil, 0, fmt.Errorf("header: found no line \"data\" in %d bytes", binvoxMaxHeader)
		}
		line, rest, ok := bytes.Cut(body, []byte("\n"))
		if !ok {
			return nil, 0, fmt.Errorf("header: found no line \"data\"")
		}
		body = rest
		words := strings.Fields(string(line))
		if len(words) == 1 && words[0] == "data" {
			break
		}
		switch {
		case len(words) == 4 && words[0] == "dim":
			for k := range dims {
				n, err := strconv.Atoi(words[k+1])
				if err != nil || n < 1 || n > o.MaxCells {
					return nil, 0, fmt.Errorf("dim: found %.20q, want 1 to %d", words[k+1], o.MaxCells)
				}
				dims[k] = n
			}
		case len(words) == 2 && words[0] == "scale":
			var err error
			if scale, err = strconv.ParseFloat(words[1], 64); err != nil {
				return nil, 0, fmt.Errorf("scale: found %.20q, want a number", words[1])
			}
		}
	}
	if dims[0] == 0 || dims[0] > o.MaxCells/dims[1]/dims[2] {
		return nil, 0, fmt.Errorf("dim: found %v, want three sizes of at most %d cells in total", dims, o.MaxCells)
	}
	// The file's axes are x, z, y, slowest first; dim lists x, z, y too, though writers make cubes.
	nx, nz, ny := dims[0], dims[1], dims[2]
	total := nx * ny * nz
	if total > 255*(len(body)/2) {
		return nil, 0, fmt.Errorf("truncated: found %d runs, want enough for %d cells", len(body)/2, total)
	}
	values, err := ingest.Make[float32](o, total)
	if err != nil {
		return nil, 0, err
	}
	g := &ingest.Grid{Dims: [3]int{nz, ny, nx}, Channels: 1, Values: values}
	at, odd := 0, false
	for i := 0; i+1 < len(body) && at < total; i += 2 {
		value, run := body[i], int(body[i+1])
		if at+run > total {
			return nil, 0, fmt.Errorf(
				"run %d: found value %d and length %d at cell %d of %d",
				i/2,
				value,
				run,
				at,
				total,
			)
		}
		if value > 1 && !odd {
			odd = true
			o.Note("run %d has the value %d: values other than 0 are read as 1", i/2, value)
		}
		for ; value > 0 && run > 0; run-- {
			x, z, y := at/(nz*ny), at/ny%nz, at%ny
			g.Values[(z*ny+y)*nx+x] = 1
			at++
		}
		at += run
	}
	if at != total {
		return nil, 0, fmt.Errorf("truncated: found %d cells, want %d", at, total)
	}
	return g, scale, nil
}
