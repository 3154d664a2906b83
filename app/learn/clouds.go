package learn

import (
	"encoding/binary"
	"hash/crc32"
	"math"
	"slices"

	"github.com/voxelstream/voxelstream/ingest"
)

// clouds holds point clouds in memory or, above the limit, in a temporary file. It can be read concurrently.
type clouds struct {
	limit int64
	// held is the number of bytes in memory, and stored that in the file.
	held, stored int64
	rows         []storedCloud
	file         *spill
	buffer       []byte
	// sum is a checksum of all clouds.
	sum uint32
}

// storedCloud is a point cloud as bytes: column by column, little-endian.
type storedCloud struct {
	points int
	// like has the pose and the kinds of columns of the cloud, but no points.
	like *ingest.PointCloud
	// narrow says that coordinates and fields are stored as float32, which holds them exactly.
	narrow bool
	// data holds the bytes, or they are in the file at at. That is -1 if they are in memory.
	data []byte
	at   int64
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// add adds a cloud.
func (c *clouds) add(p *ingest.PointCloud) error {
	wide := [][]float64{p.X, p.Y, p.Z}
	for _, f := range p.Fields {
		wide = append(wide, f.Values)
	}
	s := storedCloud{points: p.Len(), narrow: !slices.ContainsFunc(wide, isWide), like: p.At(nil)}
	b := c.buffer[:0]
	for _, column := range wide {
		for _, v := range column {
			if s.narrow {
				b = binary.LittleEndian.AppendUint32(b, math.Float32bits(float32(v)))
			} else {
				b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
			}
		}
	}
	for _, v := range p.Intensity {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	}
	b = slices.Concat(b, p.R, p.G, p.B)
	c.buffer = b
	c.sum = crc32.Update(c.sum, castagnoli, b)
	size := int64(len(b))
	if c.held+size <= c.limit {
		s.data, s.at = slices.Clone(b), -1
		c.held += size
		c.rows = append(c.rows, s)
		return nil
	}
	if c.file == nil {
		var err error
		if c.file, err = newSpill(); err != nil {
			return err
		}
	}
	s.at = c.stored
	c.stored += size
	c.rows = append(c.rows, s)
	_, err := c.file.w.Write(b)
	return err
}

// isWide reports whether float32 does not hold all numbers exactly.
func isWide(column []float64) bool {
	for _, v := range column {
		if float64(float32(v)) != v && v == v {
			return true
		}
	}
	return false
}

// finish flushes what is buffered. It is called after the last add.
func (c *clouds) finish() error {
	c.buffer = nil
	if c.file == nil {
		return nil
	}
	return c.file.w.Flush()
}

func (c *clouds) close() error {
	if c.file == nil {
		return nil
	}
	return c.file.close()
}

// cloudBuffer is memory for a cloud.
type cloudBuffer struct {
	cloud ingest.PointCloud
	data  []byte
}

// read returns a cloud, whose columns are in the memory of b.
func (c *clouds) read(row int, b *cloudBuffer) (*ingest.PointCloud, error) {
	s := &c.rows[row]
	data, n := s.data, s.points
	if s.at >= 0 {
		b.data = slices.Grow(b.data[:0], s.size())[:s.size()]
		if _, err := c.file.f.ReadAt(b.data, s.at); err != nil {
			return nil, err
		}
		data = b.data
	}
	m := &b.cloud
	for len(m.Fields) < len(s.like.Fields) {
		m.Fields = append(m.Fields, ingest.Field{})
	}
	wide := []*[]float64{&m.X, &m.Y, &m.Z}
	for i := range s.like.Fields {
		wide = append(wide, &m.Fields[i].Values)
	}
	for _, column := range wide {
		*column = slices.Grow((*column)[:0], n)[:n]
		s.decode(*column, data)
		data = data[s.width()*n:]
	}
	p := *s.like
	p.X, p.Y, p.Z, p.Fields = m.X, m.Y, m.Z, slices.Clone(p.Fields)
	for i := range p.Fields {
		p.Fields[i].Values = m.Fields[i].Values
	}
	if p.Intensity != nil {
		m.Intensity = slices.Grow(m.Intensity[:0], n)[:n]
		for i := range m.Intensity {
			m.Intensity[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
		}
		p.Intensity, data = m.Intensity, data[4*n:]
	}
	if p.R != nil {
		m.R, m.G, m.B = append(m.R[:0], data[:n]...), append(m.G[:0], data[n:2*n]...), append(m.B[:0], data[2*n:]...)
		p.R, p.G, p.B = m.R, m.G, m.B
	}
	return &p, nil
}

// decode sets a column from its bytes, with which data begins.
func (s *storedCloud) decode(column []float64, data []byte) {
	if !s.narrow {
		for i := range column {
			column[i] = math.Float64frombits(binary.LittleEndian.Uint64(data[:8]))
			data = data[8:]
		}
		return
	}
	for i := range column {
		column[i] = float64(math.Float32frombits(binary.LittleEndian.Uint32(data[:4])))
		data = data[4:]
	}
}

// width returns the number of bytes of a coordinate, and of a value of a field.
func (s *storedCloud) width() int {
	if s.narrow {
		return 4
	}
	return 8
}

// size returns the number of bytes.
func (s *storedCloud) size() int {
	point := (3 + len(s.like.Fields)) * s.width()
	if s.like.Intensity != nil {
		point += ingest.IntensityBytes
	}
	if s.like.R != nil {
		point += ingest.ColorBytes
	}
	return s.points * point
}
