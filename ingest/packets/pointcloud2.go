package packets

import (
	"fmt"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/internal/columns"
)

// whole returns whole messages as packets.
type whole struct{ messages }

func (w *whole) next() (packet, bool, error) {
	data, ok, err := w.message()
	return packet{data: data}, ok, err
}

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
	columns.Int8, columns.Uint8, columns.Int16, columns.Uint16, columns.Int32, columns.Uint32, columns.Float32, columns.Float64,
}

// maxPointFields limits the fields of a point.
const maxPointFields = 256

func (d *cloudDecoder) sensor() string { return "PointCloud2" }
func (d *cloudDecoder) counts() Counts { return d.count }
func (d *cloudDecoder) rest() *turn    { return nil }

func (d *cloudDecoder) add(p packet) (*turn, error) {
	c := newCDR(p.data)
	if d.ros1 {
		c = newROS1(p.data)
		c.uint32()
	}
	begun := c.stamp()
	c.text() // frame_id
	height, width := int64(c.uint32()), int64(c.uint32())
	n := c.uint32()
	if c.err == nil && n > maxPointFields {
		return nil, fmt.Errorf("pointcloud2: found %d fields, limit %d", n, maxPointFields)
	}
	var cols []columns.Column
	var offsets []uint32
	for range n {
		name := c.string()
		offset, kind := c.uint32(), c.uint8()
		if count := c.uint32(); c.err != nil || count == 0 || !columns.Wanted(name) {
			continue
		}
		if kind < 1 || int(kind) > len(pointTypes) {
			return nil, fmt.Errorf("pointcloud2: field %.20q: found datatype %d, want 1 to %d", name, kind, len(pointTypes))
		}
		cols, offsets = append(cols, columns.Column{Name: name, Type: pointTypes[kind-1]}), append(offsets, offset)
	}
	big := c.uint8() != 0
	stride, row := int64(c.uint32()), int64(c.uint32())
	data := c.bytes(int(c.uint32()))
	if c.err != nil {
		return nil, c.err
	}
	if height > 1 && row != width*stride {
		return nil, fmt.Errorf("pointcloud2: found rows of %d bytes, want at least %d points of %d bytes", row, width, stride)
	}
	if stride == 0 || height > 0 && width > int64(len(data))/stride/height {
		return nil, fmt.Errorf("pointcloud2: found %d bytes, want %d rows of %d points of %d bytes", len(data), height, width, stride)
	}
	points := height * width
	if points > int64(d.limits.MaxPoints) {
		return nil, fmt.Errorf("pointcloud2: found %d points, limit %d", points, d.limits.MaxPoints)
	}
	for i := range cols {
		if int64(offsets[i])+int64(cols[i].Type.Size()) > stride {
			return nil, fmt.Errorf("pointcloud2: field %s: found offset %d in points of %d bytes", cols[i].Name, offsets[i], stride)
		}
		cols[i].Data, cols[i].Stride, cols[i].Big = data[min(int(offsets[i]), len(data)):], int(stride), big
	}
	cloud, err := columns.Cloud(int(points), cols)
	if err != nil {
		return nil, fmt.Errorf("pointcloud2: %w", err)
	}
	d.count.Packets++
	d.count.Returns += cloud.Len()
	return &turn{cloud: cloud, time: begun}, nil
}
