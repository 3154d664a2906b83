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
	"github.com/voxelstream/voxelstream/internal/regular"
)

// NIfTI is NIfTI-1 and NIfTI-2, as single files (.nii, .nii.gz) or pairs (.hdr and .img), in either byte order.
// Values are scl_slope * stored + scl_inter. Axes are reoriented to the closest permutation of RAS+ (by sform, else
// qform, else as stored), so that a grid is [superior][anterior][right]; the three channels of RGB remain the last
// index. Each volume of a series is a sample. https://nifti.nimh.nih.gov/pub/dist/src/niftilib/nifti1.h, nifti2.h.
//
// Invalid header fields are replaced as the reference library (nifti1_io) does, with a note.
var NIfTI = ingest.Format{
	Name: "nifti",
	Doc: "NIfTI-1 and 2; .nii, .nii.gz, .hdr with .img; both byte orders; all real types and RGB; 4 to 7 axes as " +
		"several volumes; vectors of FreeSurfer surfaces; reoriented to RAS+ by sform, else qform",
	Assumes: "1 for a length of 0 along an axis after the first; 1 for a voxel size that is 0 or not finite; " +
		"millimetres where no unit is given; stored axes as right, anterior, superior without sform and qform; no " +
		"scaling if its slope is 0 or not finite; the complete volumes of a truncated series; voxels that are NaN or " +
		"infinite are counted, and become background in voxelize",
	Refuses:    "complex numbers, RGBA, 128-bit floats and single bits, by name; CIFTI; ANALYZE 7.5",
	Extensions: []string{".nii", ".hdr"},
	Tested:     "nibabel and nilearn test files",
	Options:    newOptions,
	Detect: func(h *ingest.Head) ingest.Confidence {
		switch _, magic, err := niftiFields(h.Bytes); {
		case err != nil:
			return ingest.No
		case magic != "":
			return ingest.Sure
		case h.Ext == ".hdr" || h.Ext == ".nii": // the size of an ANALYZE header
			return ingest.Likely
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

// ciftiFirst and ciftiLast are the intent codes of CIFTI-2, section 4.
const (
	ciftiFirst = 3000
	ciftiLast  = 3099
)

// niftiUnread names the data types that are not supported.
var niftiUnread = map[int]string{
	1: "single bits", 32: "complex64", 1536: "float128", 1792: "complex128", 2048: "complex256", 2304: "RGBA",
}

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

// niftiFields recognizes a header by its size. magic is empty if the header is one of ANALYZE 7.5, from which NIfTI-1
// was derived.
func niftiFields(data []byte) (f fields, magic string, err error) {
	if len(data) < nifti1Size {
		return f, "", fmt.Errorf("header: found %d bytes, want %d", len(data), nifti1Size)
	}
	f = fields{b: data, o: binary.LittleEndian}
	if s := binary.BigEndian.Uint32(data); s == nifti1Size || s == nifti2Size {
		f.o = binary.BigEndian
	}
	switch size := f.o.Uint32(data); {
	case size == nifti1Size:
		magic = string(data[344:348])
	case size == nifti2Size && len(data) >= nifti2Size:
		magic, f.v2 = string(data[4:8]), true
	default:
		return f, "", fmt.Errorf("header: found size %d, want %d or %d", size, nifti1Size, nifti2Size)
	}
	switch magic {
	case "n+1\x00", "n+2\x00", "ni1\x00", "ni2\x00":
		return f, magic, nil
	}
	if f.v2 {
		return f, "", fmt.Errorf("header: found magic %q, want n+2 or ni2", magic)
	}
	return f, "", nil
}

func parseNIfTI(data []byte, o ingest.Options) (*niftiHeader, error) {
	f, magic, err := niftiFields(data)
	if err != nil {
		return nil, err
	}
	if magic == "" {
		return nil, fmt.Errorf("header: found magic %q, want n+1, ni1, n+2 or ni2; an ANALYZE 7.5 image has no "+
			"orientation: convert it to NIfTI", data[344:348])
	}
	h := &niftiHeader{scan: scan{big: f.o == binary.BigEndian, volume: volume{channels: 1}, volumes: 1}}
	h.pair = magic[1] == 'i'
	return h, h.set(f, o)
}

func (h *niftiHeader) set(f fields, o ingest.Options) error {
	if c := f.code(68, 504); c >= ciftiFirst && c <= ciftiLast {
		return fmt.Errorf("intent code %d: CIFTI files have values of surfaces, which are not supported", c)
	}
	n := f.dim(0)
	if n < 1 || n > 7 {
		return fmt.Errorf("dim: found %d axes, want 1 to 7", n)
	}
	var dims [7]int64
	for i := range dims {
		dims[i] = 1
		if i >= int(n) {
			continue
		}
		dims[i] = f.dim(i + 1)
		if i > 0 && dims[i] < 1 {
			o.Note("dim[%d] is %d: 1 is assumed", i+1, dims[i])
			dims[i] = 1
		}
	}
	// FreeSurfer stores the length of a vector that exceeds a short elsewhere, as -1 x 1 x 1 or, for the vertices of
	// an icosahedron of order 7, as a product.
	if rest := [3]int64(dims[:3]); !f.v2 && rest == [3]int64{-1, 1, 1} {
		dims[0] = int64(int32(f.o.Uint32(f.b[144:]))) // glmin
	} else if !f.v2 && rest == [3]int64{27307, 1, 6} {
		dims = [7]int64{163842, 1, 1, dims[3], dims[4], dims[5], dims[6]}
	}
	h.volumes = 1
	for i, d := range dims {
		switch {
		case d < 1 || d > math.MaxInt32:
			return fmt.Errorf("dim[%d]: found %d, want at least 1", i+1, f.dim(i+1))
		case i < 3:
			h.dims[i] = int(d)
		case d > int64(maxVolumes/h.volumes):
			return fmt.Errorf("dim: found more than %d volumes", maxVolumes)
		default:
			h.volumes *= int(d)
		}
	}
	if dims[4]*dims[5]*dims[6] > 1 {
		o.Note("%d values per voxel and time are read as volumes, %d in total", dims[4]*dims[5]*dims[6], h.volumes)
	}
	code := f.short(70, 12)
	t, ok := niftiTypes[code]
	if name, known := niftiUnread[code]; known {
		return fmt.Errorf("datatype %d (%s) is not supported, want a real number type or RGB", code, name)
	} else if !ok {
		return fmt.Errorf("datatype: found %d, want a real number type or RGB", code)
	}
	h.t = t
	if f.v2 {
		h.offset = int64(f.o.Uint64(f.b[168:]))
	} else if v := f.real(108, 0, 0); v >= 0 && v < 1<<40 {
		h.offset = int64(v)
	} else {
		return fmt.Errorf("vox_offset: found %g, want an offset within the file", v)
	}
	if first := int64(nifti1Size); !h.pair && h.offset < first && !f.v2 {
		o.Note("vox_offset is %d, inside of the header: %d is assumed", h.offset, first+4)
		h.offset = first + 4
	}
	h.scaling(f, o)
	if code == niftiRGB {
		h.channels, h.slope, h.inter = 3, 1, 0 // nifti1.h: scaling does not apply to RGB
	}
	for k := range h.cell {
		h.cell[k] = math.Abs(f.real(76, 104, k+1))
		if finite(h.cell[k]) && h.cell[k] > 0 {
			continue
		}
		if int64(k) < n {
			o.Note("pixdim[%d] is %g: 1 is assumed", k+1, h.cell[k])
		}
		h.cell[k] = 1
	}
	units := int(f.b[123])
	if f.v2 {
		units = int(f.o.Uint32(f.b[500:]))
	}
	h.unit = map[int]string{1: "m", 2: "mm", 3: "um"}[units&7]
	if h.unit == "" {
		o.Note("no unit of length: millimetres are assumed")
		h.unit = "mm"
	}
	h.orient(affine(f, o))
	return nil
}

// scaling reads the slope, which is 0 if there is none, and the intercept.
func (h *niftiHeader) scaling(f fields, o ingest.Options) {
	h.slope, h.inter = f.real(112, 176, 0), f.real(116, 184, 0)
	if h.slope == 0 {
		h.slope, h.inter = 1, 0
		return
	}
	if !finite(h.slope) {
		o.Note("scl_slope is %g: values are not scaled", h.slope)
		h.slope, h.inter = 1, 0
	}
	if !finite(h.inter) {
		o.Note("scl_inter is %g: 0 is assumed", h.inter)
		h.inter = 0
	}
}

// affine returns the linear part of the map from voxels to RAS: column j is the displacement of one step along
// stored axis j.
func affine(f fields, o ingest.Options) [3][3]float64 {
	s, byS := sform(f)
	q, byQ := qform(f)
	if f.code(254, 348) > 0 && !byS {
		o.Note("the sform has no directions: it is ignored")
	}
	switch {
	case byS && byQ:
		var a, b volume
		a.orient(s)
		b.orient(q)
		if a.axes != b.axes || a.reversed != b.reversed {
			o.Note("sform and qform disagree on the orientation: the sform is used")
		}
		return s
	case byS:
		return s
	case byQ:
		return q
	}
	o.Note("no sform and no qform: the stored axes are assumed to run right, anterior and superior")
	return [3][3]float64{{1, 0, 0}, {0, 1, 0}, {0, 0, 1}}
}

// sform returns the stored matrix, and whether it is in use and has a direction for each axis.
func sform(f fields) (m [3][3]float64, ok bool) {
	var sums [3]float64
	for r := range 3 {
		for c := range 3 {
			m[r][c] = f.real([3]int{280, 296, 312}[r], [3]int{400, 432, 464}[r], c)
			sums[c] += math.Abs(m[r][c])
		}
	}
	for _, sum := range sums {
		if sum == 0 || !finite(sum) {
			return m, false
		}
	}
	return m, f.code(254, 348) > 0
}

// qform returns the rotation of a unit quaternion (a, b, c, d), where a is not stored and the sign of the third axis
// is in pixdim[0], and whether it is in use.
func qform(f fields) (m [3][3]float64, ok bool) {
	b, c, d := f.real(256, 352, 0), f.real(256, 352, 1), f.real(256, 352, 2)
	sum := b*b + c*c + d*d
	if !finite(sum) {
		return m, false
	}
	if sum > 1 { // as nifti1_io does
		by := 1 / math.Sqrt(sum)
		b, c, d, sum = b*by, c*by, d*by, 1
	}
	a := math.Sqrt(1 - sum)
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
	return m, f.code(252, 344) > 0
}

func readNIfTI(path string, o ingest.Options) (*scan, []*ingest.Grid, error) {
	data, err := ingest.ReadFile(path, o)
	if err != nil {
		return nil, nil, err
	}
	o = o.WithDefaults()
	h, err := parseNIfTI(data, o)
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

// imageBeside returns the .img file of a .hdr file, either of which may be compressed.
func imageBeside(path string) (string, error) {
	stem := path
	if strings.EqualFold(filepath.Ext(stem), ".gz") {
		stem = stem[:len(stem)-len(".gz")]
	}
	ext := filepath.Ext(stem)
	if !strings.EqualFold(ext, ".hdr") {
		return "", fmt.Errorf("%s: nifti: found a header without its image, want a file name that ends in .hdr", path)
	}
	stem = strings.TrimSuffix(stem, ext)
	image := ".img"
	if ext == ".HDR" {
		image = ".IMG"
	}
	for _, end := range []string{image, image + ".gz"} {
		if _, err := regular.Stat(stem + end); err == nil {
			return stem + end, nil
		}
	}
	return "", fmt.Errorf("%s: nifti: found no %s or .gz of it beside the header", path, filepath.Base(stem)+image)
}
