// Package medical reads volumes from magnetic resonance imaging and computed tomography.
package medical

import (
	"encoding/binary"
	"fmt"
	"math"
	"path/filepath"
	"strings"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/internal/columns"
)

// NIfTI is NIfTI-1 and NIfTI-2, as single files (.nii, .nii.gz) or pairs (.hdr and .img), in either byte order.
// Values are scl_slope * stored + scl_inter. Axes are reoriented to the closest permutation of RAS+ (by sform, else
// qform, else as stored), so that a grid is [superior][anterior][right]; the three channels of RGB remain the last
// index. Each volume of a series is a sample. https://nifti.nimh.nih.gov/pub/dist/src/niftilib/nifti1.h, nifti2.h.
var NIfTI = ingest.Format{
	Name: "nifti",
	Doc: "NIfTI-1 and 2; .nii, .nii.gz, .hdr with .img; both byte orders; all real types and RGB; " +
		"reoriented to RAS+",
	Extensions: []string{".nii", ".hdr"},
	Tested:     "nibabel and nilearn test files",
	Detect: func(h *ingest.Head) ingest.Confidence {
		if _, err := parseNIfTI(h.Bytes); err == nil {
			return ingest.Sure
		}
		return ingest.No
	},
	Open:    openScan(readNIfTI),
	Inspect: inspectScan(readNIfTI),
}

const (
	nifti1Size = 348
	nifti2Size = 540
	// maxVolumes limits the length of a series, to about an hour of functional scans.
	maxVolumes = 1 << 16
)

type niftiHeader struct {
	pair bool // values in the .img file
	scan
}

// niftiTypes are the numeric data types.
var niftiTypes = map[int]columns.Type{
	2: columns.Uint8, 4: columns.Int16, 8: columns.Int32, 16: columns.Float32, 64: columns.Float64,
	256: columns.Int8, 512: columns.Uint16,
	768: columns.Uint32, 1024: columns.Int64, 1280: columns.Uint64, niftiRGB: columns.Uint8,
}

// niftiRGB is the data type of three bytes per voxel.
const niftiRGB = 128

// fields reads the header's numbers, whose offsets and sizes differ between the two versions.
type fields struct {
	b  []byte
	o  binary.ByteOrder
	v2 bool
}

func (f fields) short(v1, v2 int) int {
	if f.v2 {
		return int(int16(f.o.Uint16(f.b[v2:])))
	}
	return int(int16(f.o.Uint16(f.b[v1:])))
}

// code reads a short in version 1, an int in version 2.
func (f fields) code(v1, v2 int) int {
	if f.v2 {
		return int(int32(f.o.Uint32(f.b[v2:])))
	}
	return int(int16(f.o.Uint16(f.b[v1:])))
}

func (f fields) dim(i int) int64 {
	if f.v2 {
		return int64(f.o.Uint64(f.b[16+8*i:]))
	}
	return int64(int16(f.o.Uint16(f.b[40+2*i:])))
}

// real reads element i of a list of floats.
func (f fields) real(v1, v2, i int) float64 {
	if f.v2 {
		return math.Float64frombits(f.o.Uint64(f.b[v2+8*i:]))
	}
	return float64(math.Float32frombits(f.o.Uint32(f.b[v1+4*i:])))
}

func parseNIfTI(data []byte) (*niftiHeader, error) {
	if len(data) < nifti1Size {
		return nil, fmt.Errorf("header: found %d bytes, want %d", len(data), nifti1Size)
	}
	f := fields{b: data, o: binary.LittleEndian}
	if s := binary.BigEndian.Uint32(data); s == nifti1Size || s == nifti2Size {
		f.o = binary.BigEndian
	}
	var magic string
	switch size := f.o.Uint32(data); {
	case size == nifti1Size:
		magic = string(data[344:348])
	case size == nifti2Size && len(data) >= nifti2Size:
		magic, f.v2 = string(data[4:8]), true
	default:
		return nil, fmt.Errorf("header: found size %d, want %d or %d", size, nifti1Size, nifti2Size)
	}
	h := &niftiHeader{scan: scan{big: f.o == binary.BigEndian, volume: volume{channels: 1}, volumes: 1}}
	switch magic {
	case "n+1\x00", "n+2\x00":
	case "ni1\x00", "ni2\x00":
		h.pair = true
	default:
		return nil, fmt.Errorf("header: found magic %q, want n+1, ni1, n+2 or ni2", magic)
	}
	return h, h.set(f)
}

func (h *niftiHeader) set(f fields) error {
	n := f.dim(0)
	if n < 1 || n > 7 {
		return fmt.Errorf("dim: found %d axes, want 1 to 7", n)
	}
	h.dims = [3]int{1, 1, 1}
	for i := range int(n) {
		d := f.dim(i + 1)
		if d < 1 || d > math.MaxInt32 {
			return fmt.Errorf("dim[%d]: found %d, want at least 1", i+1, d)
		}
		if i < 3 {
			h.dims[i] = int(d)
			continue
		}
		if d > int64(maxVolumes/h.volumes) {
			return fmt.Errorf("dim: found more than %d volumes", maxVolumes)
		}
		h.volumes *= int(d)
	}
	code := f.short(70, 12)
	t, ok := niftiTypes[code]
	if !ok {
		return fmt.Errorf("datatype: found %d, want a real number type or RGB", code)
	}
	h.t = t
	if code == niftiRGB {
		h.channels = 3
	}
	if f.v2 {
		h.offset = int64(f.o.Uint64(f.b[168:]))
	} else if v := f.real(108, 0, 0); v >= 0 && v < 1<<40 {
		h.offset = int64(v)
	} else {
		return fmt.Errorf("vox_offset: found %g, want an offset within the file", v)
	}
	h.slope, h.inter = f.real(112, 176, 0), f.real(116, 184, 0)
	if h.slope == 0 || !finite(h.slope) || !finite(h.inter) {
		h.slope, h.inter = 1, 0 // not set
	}
	for k := range h.cell {
		if h.cell[k] = math.Abs(f.real(76, 104, k+1)); !finite(h.cell[k]) {
			return fmt.Errorf("pixdim[%d]: found %g, want a finite number", k+1, h.cell[k])
		}
	}
	units := int(f.b[123])
	if f.v2 {
		units = int(f.o.Uint32(f.b[500:]))
	}
	h.unit = map[int]string{1: "m", 2: "mm", 3: "um"}[units&7]
	h.orient(affine(f))
	return nil
}

// affine returns the linear part of the map from voxels to RAS: column j is the displacement of one step along
// stored axis j.
func affine(f fields) (m [3][3]float64) {
	switch {
	case f.code(254, 348) > 0: // sform
		for r := range 3 {
			for c := range 3 {
				m[r][c] = f.real([3]int{280, 296, 312}[r], [3]int{400, 432, 464}[r], c)
			}
		}
	case f.code(252, 344) > 0: // qform: a unit quaternion (a, b, c, d), a not stored, and the sign of the third axis in pixdim[0]
		b, c, d := f.real(256, 352, 0), f.real(256, 352, 1), f.real(256, 352, 2)
		a := math.Sqrt(math.Max(0, 1-b*b-c*c-d*d))
		m = [3][3]float64{
			{a*a + b*b - c*c - d*d, 2 * (b*c - a*d), 2 * (b*d + a*c)},
			{2 * (b*c + a*d), a*a + c*c - b*b - d*d, 2 * (c*d - a*b)},
			{2 * (b*d - a*c), 2 * (c*d + a*b), a*a + d*d - b*b - c*c},
		}
		if f.real(76, 104, 0) < 0 {
			for r := range 3 {
				m[r][2] = -m[r][2]
			}
		}
	default:
		m = [3][3]float64{{1, 0, 0}, {0, 1, 0}, {0, 0, 1}}
	}
	return m
}

func readNIfTI(path string, o ingest.Options) (*scan, []*ingest.Grid, error) {
	data, err := ingest.ReadFile(path, o)
	if err != nil {
		return nil, nil, err
	}
	o = o.WithDefaults()
	h, err := parseNIfTI(data)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: nifti: %w", path, err)
	}
	if h.pair {
		if path, err = imageBeside(path); err != nil {
			return nil, nil, err
		}
		if data, err = ingest.ReadFile(path, o); err != nil {
			return nil, nil, err
		}
	}
	grids, err := h.decode(data, o)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: nifti: %w", path, err)
	}
	return &h.scan, grids, nil
}

// imageBeside returns the .img file of a .hdr file.
func imageBeside(path string) (string, error) {
	stem, gz := strings.CutSuffix(path, ".gz")
	ext := filepath.Ext(stem)
	if !strings.EqualFold(ext, ".hdr") {
		return "", fmt.Errorf("%s: nifti: found a header without its image, want a file name that ends in .hdr", path)
	}
	stem = strings.TrimSuffix(stem, ext) + ".img"
	if gz {
		stem += ".gz"
	}
	return stem, nil
}
