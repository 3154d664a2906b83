package medical

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/internal/columns"
)

// MGH is FreeSurfer's volume format, uncompressed (.mgh) or compressed with gzip (.mgz): a big-endian header of 284
// bytes, then the values, first axis fastest. Axes are reoriented to RAS+ as for NIfTI. Each frame is a sample.
// Tags after the values are ignored. https://surfer.nmr.mgh.harvard.edu/fswiki/FsTutorial/MghFormat
var MGH = ingest.Format{
	Name:       "mgh",
	Doc:        "MGH and MGZ; all real types; reoriented to RAS+",
	Extensions: []string{".mgh", ".mgz"},
	Tested:     "a volume written by nibabel",
	Assumes: "1 mm for a voxel size that is 0 or not finite; coronal slices and voxels of 1 mm where the file gives " +
		"no directions; the complete frames of a truncated series",
	Refuses: "other versions than 1; the types long, bitmap and tensor, by name",
	Options: newOptions,
	Detect: func(h *ingest.Head) ingest.Confidence {
		named := h.Ext == ".mgh" || h.Ext == ".mgz"
		if _, err := parseMGH(h.Bytes, ingest.Options{}); err != nil {
			if named {
				return ingest.Likely // reading it gives the reason
			}
			return ingest.No
		}
		if named {
			return ingest.Sure
		}
		return ingest.Guess // version 1 and small numbers are not a signature
	},
	Open:    openScan(readMGH),
	Inspect: inspectScan(readMGH),
}

const mghHeader = 284

// mghTypes are MRI_UCHAR, MRI_INT, MRI_FLOAT, MRI_SHORT and MRI_USHRT of FreeSurfer's mri.h.
var mghTypes = map[uint32]columns.Type{
	0: columns.Uint8, 1: columns.Int32, 3: columns.Float32, 4: columns.Int16,
	10: columns.Uint16,
}

// mghUnread names the types that are not supported.
var mghUnread = map[uint32]string{2: "long", 5: "bitmap", 6: "tensor", 7: "complex float", 8: "complex double", 9: "RGB"}

func parseMGH(b []byte, opt ingest.Options) (*scan, error) {
	if len(b) < mghHeader {
		return nil, fmt.Errorf("header: found %d bytes, want %d", len(b), mghHeader)
	}
	o := binary.BigEndian
	if v := o.Uint32(b); v != 1 {
		return nil, fmt.Errorf("version: found %d, want 1", v)
	}
	h := &scan{big: true, volume: volume{channels: 1}, offset: mghHeader, slope: 1, cell: [3]float64{1, 1, 1}, unit: "mm"}
	for i := range 4 {
		n := o.Uint32(b[4+4*i:])
		switch {
		case n < 1 || n > math.MaxInt32:
			return nil, fmt.Errorf("axis %d: found %d cells, want at least 1", i, n)
		case i < 3:
			h.dims[i] = int(n)
		case n > maxVolumes:
			return nil, fmt.Errorf("found %d frames, limit %d", n, maxVolumes)
		default:
			h.volumes = int(n)
		}
	}
	code := o.Uint32(b[20:])
	t, ok := mghTypes[code]
	if !ok {
		return nil, fmt.Errorf("type %d (%s) is not supported, want 0, 1, 3, 4 or 10", code,
			cmp.Or(mghUnread[code], "unknown"))
	}
	h.t = t
	// Without directions a volume is coronal, with voxels of 1 mm.
	m := [3][3]float64{{-1, 0, 0}, {0, 0, 1}, {0, -1, 0}}
	if o.Uint16(b[28:]) != 0 {
		real := func(i int) float64 { return float64(math.Float32frombits(o.Uint32(b[30+4*i:]))) }
		for c := range 3 {
			if h.cell[c] = math.Abs(real(c)); !finite(h.cell[c]) || h.cell[c] == 0 {
				opt.Note("the voxel size along axis %d is %g: 1 mm is assumed", c, h.cell[c])
				h.cell[c] = 1
			}
			for r := range 3 {
				m[r][c] = real(3 + 3*c + r)
			}
		}
	} else {
		opt.Note("no directions: coronal slices with voxels of 1 mm are assumed")
	}
	h.orient(m)
	return h, nil
}

func readMGH(path string, o ingest.Options) (*scan, []*ingest.Grid, error) {
	data, err := ingest.ReadFile(path, o)
	if err != nil {
		return nil, nil, err
	}
	h, err := parseMGH(data, o)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: mgh: %w", path, err)
	}
	grids, err := h.decode(data, o.WithDefaults())
	if err != nil {
		return nil, nil, fmt.Errorf("%s: mgh: %w", path, err)
	}
	return h, grids, nil
}
