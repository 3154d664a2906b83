package lidar

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/internal/columns"
	"github.com/voxelstream/voxelstream/ingest/internal/textnum"
)

// PTX is Leica's text format of organised scans, one or more per file: columns, rows, the scanner's position and
// three axes, a 4x4 matrix (four lines, the translation in the last) from the scanner to the world, then columns x
// rows lines of x y z intensity, or with red green blue. "0 0 0" is a ray without return and becomes NaN. Other
// points are transformed to world coordinates.
var PTX = ingest.CloudFormat(ingest.Format{
	Name:       "ptx",
	Doc:        "several scans, with their matrices; with and without colours",
	Extensions: []string{".ptx"},
	Tested:     "PDAL no-color.ptx",
	Detect:     detectPTX,
}, decodePTX)

// ptxHeaderLines is the number of lines for columns, rows, position, axes and matrix.
const ptxHeaderLines = 10

// ptxMaxScans limits the scans in a file.
const ptxMaxScans = 4096

func detectPTX(h *ingest.Head) ingest.Confidence {
	if b := wholeLines(h); isText(b) {
		if _, _, _, err := parsePTXHeader(b, 0, 0); err == nil {
			return ingest.Sure
		}
	}
	return ingest.No
}

// parsePTXHeader reads the header at data[i:]; line is the number of lines before it.
func parsePTXHeader(data []byte, i, line int) (points int64, matrix [4][4]float64, next int, err error) {
	counts := [2]int64{}
	for k := range ptxHeaderLines {
		end := textnum.Line(data, i)
		words := strings.Fields(string(data[i:end]))
		want := [ptxHeaderLines]int{1, 1, 3, 3, 3, 3, 4, 4, 4, 4}[k]
		if len(words) != want || !numeric(words) {
			return 0, matrix, 0, fmt.Errorf("line %d: found %.60q, want the %d numbers of a scan header line",
				line+k+1, strings.Join(words, " "), want)
		}
		switch {
		case k < 2:
			if counts[k], err = strconv.ParseInt(words[0], 10, 31); err != nil || counts[k] < 0 {
				return 0, matrix, 0, fmt.Errorf("line %d: found %.20q, want a size", line+k+1, words[0])
			}
		case k >= 6:
			for c, w := range words {
				matrix[k-6][c], _, _ = textnum.Float([]byte(w), 0, 0)
			}
		}
		i = end
	}
	return counts[0] * counts[1], matrix, i, nil
}

func decodePTX(_ string, data []byte, o ingest.Options) (*ingest.Clouds, error) {
	out := &ingest.Clouds{}
	for i, line, total := 0, 0, int64(0); len(bytes.TrimSpace(data[i:])) > 0; {
		if len(out.Clouds) == ptxMaxScans {
			return nil, fmt.Errorf("found more than %d scans", ptxMaxScans)
		}
		n, matrix, body, err := parsePTXHeader(data, i, line)
		if err != nil {
			return nil, err
		}
		total += n
		if err := checkCount(total, int64(len(data)-body)+1, 0, o); err != nil {
			return nil, err
		}
		if err := checkCount(n, int64(len(data)-body)+1, 8, o); err != nil {
			return nil, err
		}
		fields := []string{"x", "y", "z", "intensity", "red", "green", "blue"}
		k := len(strings.Fields(string(data[body:textnum.Line(data, body)])))
		if k != 4 && k != 7 && n > 0 {
			return nil, fmt.Errorf("line %d: found %d values, want 4 or 7", line+ptxHeaderLines+1, k)
		}
		if n > 0 {
			fields = fields[:k]
		}
		t := table{line: line + ptxHeaderLines}
		for c, f := range fields {
			t.slot = append(t.slot, c)
			t.cols = append(t.cols, columns.Column{Name: f, Type: columns.Float64})
			if c > 3 {
				t.cols[c].Type = columns.Uint8 // colours are integers from 0 to 255, even if all are dark
			}
		}
		next, err := t.readSome(data, body, int(n), 0)
		if err != nil {
			return nil, err
		}
		p, err := columns.Cloud(int(n), t.cols)
		if err != nil {
			return nil, err
		}
		place(p, matrix)
		out.Clouds, out.Fields = append(out.Clouds, p), fields
		i, line = next, t.line
	}
	if len(out.Clouds) == 0 {
		return nil, fmt.Errorf("found no scan, want at least 1")
	}
	return out, nil
}

// place transforms points from the scanner's axes to the world's: row vector times matrix. Rays without return
// become NaN.
func place(p *ingest.PointCloud, m [4][4]float64) {
	for i := range p.X {
		x, y, z := p.X[i], p.Y[i], p.Z[i]
		if x == 0 && y == 0 && z == 0 {
			p.X[i], p.Y[i], p.Z[i] = math.NaN(), math.NaN(), math.NaN()
			continue
		}
		p.X[i] = x*m[0][0] + y*m[1][0] + z*m[2][0] + m[3][0]
		p.Y[i] = x*m[0][1] + y*m[1][1] + z*m[2][1] + m[3][1]
		p.Z[i] = x*m[0][2] + y*m[1][2] + z*m[2][2] + m[3][2]
	}
}
