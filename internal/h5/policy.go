package h5

import (
	"fmt"
	"math/bits"
	"slices"

	"github.com/voxelstream/voxelstream/internal/h5/filter"
)

// Limits for what a file may claim. They are far above what archives of voxels and models need, and low enough that
// a small file cannot keep the reader busy for hours.
const (
	maxRank       = 8
	maxDepth      = 64        // groups in groups
	maxObjects    = 1 << 18   // objects listed of one file
	maxNameBytes  = 32 << 20  // of one group's names together
	maxAttrs      = 4096      // attributes of one object
	maxAttrBytes  = 64 << 20  // values of one attribute
	maxDim        = 1 << 40   // extent of one dimension
	maxRowBytes   = 256 << 20 // one row, as float64
	maxChunkBytes = 64 << 20  // one chunk, unpacked
	maxTextBytes  = 64 << 20  // strings of one request
	chunkSlack    = 4 << 10   // a stored chunk may be this much, and an eighth, larger than its values
	// A valid dataset cannot be arbitrarily larger than its file: filters have a largest ratio, and values never
	// written take no space, of which every file is allowed some.
	unwrittenOK = 64 << 20
)

// facts holds what a file claims about a dataset or attribute, in HDF5's own numbers.
type facts struct {
	class, base  int // H5T_class_t; base differs for an enumeration
	signed, vlen bool
	expBits      int
	size         uint64
	space        int // H5S_class_t
	rank         int
	dims         []uint64
	layout       int // H5D_layout_t
	external     int
	chunkRank    int
	chunk        []uint64
	filters      []filter.Step
	// missing are the filters that neither libhdf5 nor package filter has.
	missing  []int
	padded   bool // strings of a fixed length are padded with spaces
	rawEdges bool // chunks that reach over the edge are stored without filters
	// native is the memory type that equals the type of the values, or -1.
	native int
	// offset is the position of contiguous values in the file, or nowhere.
	offset uint64
}

const nowhere = 1<<64 - 1 // HADDR_UNDEF: the values were never written

// Numbers of HDF5's enumerations H5T_class_t, H5S_class_t and H5D_layout_t, fixed by its file format.
const (
	tInteger, tFloat, tString, tBits, tCompound, tEnum = 0, 1, 3, 4, 6, 8
	sScalar, sSimple, sNull                            = 0, 1, 2
	dCompact, dContiguous, dChunked                    = 0, 1, 2
)

// typeNames are the classes of types that are not read.
var typeNames = map[int]string{
	2: "times", 5: "opaque bytes", 7: "references to other objects", 9: "lists of variable length", 10: "arrays",
}

// valueClass returns the class of the values.
func (f *facts) valueClass() Class {
	switch {
	case f.class == tInteger && f.signed:
		return Int
	case f.class == tInteger, f.class == tBits:
		return Uint
	case f.class == tFloat:
		return Float
	case f.class == tString:
		return String
	case f.class == tEnum && f.base == tInteger:
		return Enum
	case f.class == tCompound:
		return Compound
	}
	return Unknown
}

// foreign reports whether the values have gone through a filter that libhdf5 lacks.
func (f *facts) foreign() bool {
	return slices.ContainsFunc(f.filters, func(s filter.Step) bool { return s.ID > filter.ScaleOffset })
}

// own reports whether chunks are unpacked by package filter rather than by libhdf5. In memory, strings of variable
// length are not as they are in chunks, and records may have some.
func (f *facts) own() bool {
	if f.layout != dChunked || f.vlen || f.class == tCompound && !f.foreign() {
		return false
	}
	return !slices.ContainsFunc(f.filters, func(s filter.Step) bool { return !filter.Decodes(s.ID) })
}

// judge is the policy for the values of a dataset in a file of fileSize bytes. It returns "", or the reason not to
// read them.
func (f *facts) judge(fileSize int64) string {
	if why := f.judgeShape(); why != "" {
		return why
	}
	if f.external != 0 {
		return fmt.Sprintf("its values are in %d other files (external storage)", f.external)
	}
	switch f.layout {
	case dCompact, dContiguous, dChunked:
	default:
		return "its values are in other files (virtual dataset); `h5repack -l CONTI IN OUT` copies them into one"
	}
	room := uint64(max(fileSize, 0))
	for _, s := range f.filters {
		room *= min(filter.Ratio(s.ID), 1<<60/max(room, 1)+1)
	}
	total, row := f.size, uint64(8)
	for i, d := range f.dims {
		if d > maxDim {
			return fmt.Sprintf("dimension %d is %d, limit %d", i, d, uint64(maxDim))
		}
		if d == 0 {
			return "" // no values, nothing to read
		}
		hi, lo := bits.Mul64(total, d)
		if hi != 0 || lo > room+unwrittenOK {
			return fmt.Sprintf("its dimensions %v are more than the file can hold", f.dims)
		}
		total = lo
		if i > 0 {
			row *= d // cannot overflow: dims[1:] together stay below the total
		}
	}
	if row > maxRowBytes {
		return fmt.Sprintf("a row takes %d bytes, limit %d", row, maxRowBytes)
	}
	if f.layout == dChunked {
		return f.judgeChunks()
	}
	return ""
}

// judgeShape is the part of the policy that also applies to attributes: type and dataspace.
func (f *facts) judgeShape() string {
	switch f.valueClass() {
	case Unknown:
		if name, ok := typeNames[f.class]; ok {
			return "its values are " + name + ", want numbers or strings"
		}
		return "its type is neither numeric nor string"
	case Compound:
		if f.size > maxTextBytes {
			return fmt.Sprintf("an element takes %d bytes, limit %d", f.size, maxTextBytes)
		}
	case String:
		if f.size > maxTextBytes {
			return fmt.Sprintf("a string takes %d bytes, limit %d", f.size, maxTextBytes)
		}
	default:
		if f.size < 1 || f.size > 8 {
			return fmt.Sprintf("its numbers take %d bytes, limit 8", f.size)
		}
	}
	if f.space != sScalar && f.space != sSimple {
		return "it has no values (null dataspace)"
	}
	if f.rank > maxRank {
		return fmt.Sprintf("it has %d dimensions, limit %d", f.rank, maxRank)
	}
	return ""
}

func (f *facts) judgeChunks() string {
	if f.chunkRank != f.rank {
		return fmt.Sprintf("its chunks have %d dimensions, but its values have %d", f.chunkRank, f.rank)
	}
	if f.chunkBytes() > maxChunkBytes {
		return fmt.Sprintf("its chunks %v take more than %d bytes", f.chunk, maxChunkBytes)
	}
	seen := map[int]bool{}
	for _, step := range f.filters {
		name := filter.Describe(step.ID)
		switch {
		case slices.Contains(f.missing, step.ID), f.foreign() && !filter.Decodes(step.ID):
			return fmt.Sprintf("it is compressed with filter %s, which is not supported; `h5repack -f GZIP=4 IN OUT` of an "+
				"HDF5 that has the filter, or h5py with hdf5plugin, rewrites it", name)
		case f.foreign() && f.vlen:
			return fmt.Sprintf("its strings of variable length are compressed with filter %s; rewrite it with gzip", name)
		case seen[step.ID]:
			return fmt.Sprintf("it applies filter %s twice", filter.Name(step.ID))
		}
		seen[step.ID] = true
	}
	return ""
}

// chunkBytes returns the size of an uncompressed chunk, or the largest uint64 if it does not fit.
func (f *facts) chunkBytes() uint64 {
	n := f.size
	for _, c := range f.chunk {
		hi, lo := bits.Mul64(n, c)
		if hi != 0 || c == 0 {
			return 1<<64 - 1
		}
		n = lo
	}
	return n
}

// judgeAttr is the policy for an attribute.
func (f *facts) judgeAttr() string {
	if why := f.judgeShape(); why != "" {
		return why
	}
	if f.class == tCompound {
		return "it is a record of several values"
	}
	n := max(f.size, 8)
	for _, d := range f.dims {
		hi, lo := bits.Mul64(n, d)
		if hi != 0 || lo > maxAttrBytes {
			return fmt.Sprintf("its dimensions %v take more than %d bytes", f.dims, maxAttrBytes)
		}
		n = lo
	}
	return ""
}

// object copies the facts about a dataset to o.
func (f *facts) object(o *Object) {
	o.Class, o.Size = f.valueClass(), int(min(f.size, 1<<31-1))
	for _, d := range f.dims {
		o.Dims = append(o.Dims, int(min(d, 1<<62)))
	}
	for _, c := range f.chunk {
		o.Chunks = append(o.Chunks, int(min(c, 1<<62)))
	}
	for _, s := range f.filters {
		o.Filters = append(o.Filters, filter.Name(s.ID))
	}
}
