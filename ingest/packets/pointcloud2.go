package packets

import (
	"fmt"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/internal/columns"
)

// cloudDecoder decodes sensor_msgs/msg/PointCloud2: a std_msgs/Header, height and width uint32, the fields (name,
// offset uint32, datatype uint8, count uint32), whether numbers are big-endian, the size of a point and of a row
// uint32, the data and whether it is dense.
// https://github.com/ros2/common_interfaces/blob/rolling/sensor_msgs/msg/PointCloud2.msg
type cloudDecoder struct {
	limits ingest.Options
	ros1   bool // messages are ROS 1, whose header starts with a sequence number
	count  Counts
}

// pointTypes are the data types of sensor_msgs/msg/PointField, from 1.
var pointTypes = []columns.Type{
	columns.Int8, columns.Uint8, columns.Int16, columns.Uint16, columns.Int32, columns.Uint32, columns.Float32,
	columns.Float64,
}

// maxPointFields limits the fields of a point.
const maxPointFields = 256

func (d *cloudDecoder) sensor() string { return "PointCloud2" }
func (d *cloudDecoder) counts() Counts { return d.count }
func (d *cloudDecoder) rest() *sweep   { return nil }

func (d *cloudDecoder) add(p packet) (*sweep, error) {
	d.limits.Account.Close() // the cloud before is in other hands
	c := newCDR(p.data)
	if d.ros1 {
		c = newROS1(p.data)
	}
	begun := c.header()
	if begun.IsZero() && !p.time.IsZero() {
		d.limits.Note("clouds without a time have the time at which they were recorded")
		begun = p.time
	}
	height, width := int64(c.uint32()), int64(c.uint32())
	fields, err := d.fields(c)
	if err != nil {
		return nil, err
	}
	big := c.uint8() != 0
	stride, row := int64(c.uint32()), int64(c.uint32())
	data := c.bytes(int(c.uint32()))
	if c.err != nil {
		return nil, c.err
	}
	if height > 0 && width > int64(d.limits.MaxPoints)/height {
		return nil, fmt.Errorf(
			"pointcloud2: found %d rows of %d points, limit %d points",
			height,
			width,
			d.limits.MaxPoints,
		)
	}
	cloud := &ingest.PointCloud{}
	if points := height * width; points > 0 {
		if data, err = d.rows(data, int(height), width*stride, row); err != nil {
			return nil, err
		}
		if stride == 0 || points > int64(len(data))/stride {
			return nil, fmt.Errorf(
				"pointcloud2: found %d bytes, want %d rows of %d points of %d bytes",
				len(data),
				height,
				width,
				stride,
			)
		}
		if cloud, err = fields.cloud(int(points), data, int(stride), big, d.limits); err != nil {
			return nil, err
		}
	}
	d.count.Packets++
	d.count.Returns += cloud.Len()
	return &sweep{cloud: cloud, time: begun}, nil
}

// rows returns the data of a cloud without what follows the points in each row.
func (d *cloudDecoder) rows(data []byte, height int, used, row int64) ([]byte, error) {
	switch {
	case height == 1 || row == used:
		return data, nil
	case row == 0:
		d.limits.Note("rows of 0 bytes are taken to follow one another without padding")
		return data, nil
	case row < used || (int64(height)-1)*row+used > int64(len(data)):
		return nil, fmt.Errorf(
			"pointcloud2: found %d bytes in %d rows of %d bytes, want %d bytes or more in each",
			len(data),
			height,
			row,
			used,
		)
	}
	if err := d.limits.Take(height, int(used)); err != nil {
		return nil, err
	}
	out := make([]byte, 0, int64(height)*used)
	for i := range int64(height) {
		out = append(out, data[i*row:][:used]...)
	}
	return out, nil
}

// pointField is a field of a cloud that is wanted.
type pointField struct {
	name   string
	offset uint32
	kind   columns.Type
}

type pointFields []pointField

// fields reads the fields of a cloud. A field of several elements is as wide as its first. A count of 0 means 1, as
// in PCL.
func (d *cloudDecoder) fields(c *cdr) (out pointFields, err error) {
	n := c.uint32()
	if c.err == nil && n > maxPointFields {
		return nil, fmt.Errorf("pointcloud2: found %d fields, limit %d", n, maxPointFields)
	}
	for range n {
		name := c.string()
		offset, kind := c.uint32(), c.uint8()
		c.uint32() // count
		if c.err != nil || !columns.Wanted(name, d.limits) {
			continue
		}
		if kind < 1 || int(kind) > len(pointTypes) {
			return nil, fmt.Errorf(
				"pointcloud2: field %.20q: found datatype %d, want 1 to %d",
				name,
				kind,
				len(pointTypes),
			)
		}
		out = append(out, pointField{name, offset, pointTypes[kind-1]})
	}
	return out, nil
}

// cloud makes a cloud of n points of stride bytes each.
func (fs pointFields) cloud(n int, data []byte, stride int, big bool, o ingest.Options) (*ingest.PointCloud, error) {
	cols := make([]columns.Column, len(fs))
	for i, f := range fs {
		if int64(f.offset)+int64(f.kind.Size()) > int64(stride) {
			return nil, fmt.Errorf(
				"pointcloud2: field %s: found offset %d in points of %d bytes",
				f.name,
				f.offset,
				stride,
			)
		}
		cols[i] = columns.Column{Name: f.name, Type: f.kind, Data: data[f.offset:], Stride: stride, Big: big}
	}
	cloud, err := columns.Cloud(n, cols, o)
	if err != nil {
		return nil, fmt.Errorf("pointcloud2: %w", err)
	}
	return cloud, nil
}
