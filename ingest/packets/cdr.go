package packets

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"time"
)

// cdr reads the serialization of ROS 2 messages: XCDR1 of the OMG's Common Data Representation. Numbers are aligned
// to their size, relative to the end of the four bytes of encapsulation, the second of which tells whether numbers
// are little-endian.
type cdr struct {
	b     []byte
	at    int
	order binary.ByteOrder
	tight bool // no alignment, as in ROS 1
	err   error
}

func newCDR(b []byte) *cdr {
	c := &cdr{order: binary.LittleEndian}
	if len(b) < 4 || b[0] != 0 || b[1] > 1 {
		c.err = fmt.Errorf("cdr: found encapsulation %x, want 0000 or 0001", b[:min(4, len(b))])
		return c
	}
	if b[1] == 0 {
		c.order = binary.BigEndian
	}
	c.b = b[4:]
	return c
}

// newROS1 reads the serialization of ROS 1 messages: little-endian, no alignment, strings without a terminating
// zero.
func newROS1(b []byte) *cdr { return &cdr{b: b, order: binary.LittleEndian, tight: true} }

// bytes returns the next n bytes without copying.
func (c *cdr) bytes(n int) []byte {
	if c.err != nil {
		return nil
	}
	if n < 0 || n > len(c.b)-c.at {
		c.err = fmt.Errorf("cdr: truncated: found %d bytes at %d, want %d", len(c.b)-c.at, c.at, n)
		return nil
	}
	c.at += n
	return c.b[c.at-n : c.at]
}

func (c *cdr) uint32() uint32 {
	if !c.tight {
		c.bytes((4 - c.at%4) % 4)
	}
	b := c.bytes(4)
	if c.err != nil {
		return 0
	}
	return c.order.Uint32(b)
}

// text skips a string.
func (c *cdr) text() { c.bytes(int(c.uint32())) }

// string reads a string: its length, which includes a terminating zero, and its bytes.
func (c *cdr) string() string { return string(bytes.TrimRight(c.bytes(int(c.uint32())), "\x00")) }

func (c *cdr) uint8() uint8 {
	b := c.bytes(1)
	if c.err != nil {
		return 0
	}
	return b[0]
}

// stamp reads builtin_interfaces/Time, or a time of ROS 1, whose seconds have no sign. A zero is no time.
func (c *cdr) stamp() time.Time {
	sec, nsec := c.uint32(), c.uint32()
	switch {
	case sec == 0 && nsec == 0:
		return time.Time{}
	case c.tight:
		return time.Unix(int64(sec), int64(nsec)).UTC()
	}
	return time.Unix(int64(int32(sec)), int64(nsec)).UTC() // it has a sign
}

// header reads std_msgs/Header and returns its time.
func (c *cdr) header() time.Time {
	if c.tight {
		c.uint32() // sequence number
	}
	t := c.stamp()
	c.text() // frame_id
	return t
}

// earliest returns the first time that is known.
func earliest(times ...time.Time) time.Time {
	for _, t := range times {
		if !t.IsZero() {
			return t
		}
	}
	return time.Time{}
}

// scanMessage is a ROS message that carries packets: a std_msgs/Header, then a sequence of packets, each a time and
// an array of bytes.
type scanMessage struct {
	size    int  // size of the byte array in a packet; 0 if it is preceded by its size
	counted bool // a uint32 after the array is the number of bytes used
	kinds   bool // a byte before the array is the kind of packet
	bare    bool // no header, no sequence: only the array
	single  bool // no sequence: two bytes of flags, and the array
}

// scanMessages are the supported message types, by name.
var scanMessages = map[string]scanMessage{
	"velodyne_msgs/VelodyneScan": {size: velodyneSize},
	"pandar_msgs/PandarScan":     {size: 1500, counted: true},
	"hesai_lidar/PandarScan":     {size: 1500, counted: true},
	// The packets themselves tell whether they are data or device information.
	"robosense_msgs/RobosenseScan": {size: 1500, counted: true, kinds: true},
	"rslidar_msg/RslidarPacket":    {single: true},
	"rslidar_msgs/rslidarScan":     {size: robosenseSize},
	"nebula_msgs/NebulaPackets":    {},
	ousterPackets:                  {bare: true},
	"ouster_sensor_msgs/PacketMsg": {bare: true},
	"ouster_msgs/PacketMsg":        {bare: true},
}

// array reads the bytes of a packet.
func (m scanMessage) array(c *cdr) []byte {
	if m.size == 0 {
		return c.bytes(int(c.uint32()))
	}
	data := c.bytes(m.size)
	if m.counted {
		if used := int(c.uint32()); c.err == nil && used <= m.size {
			data = data[:used]
		}
	}
	return data
}

// packets extracts the packets of a message that was recorded at a time. A packet without a time has that of the
// header or, if this has none either, of the recording.
func (m scanMessage) packets(c *cdr, recorded time.Time) ([]packet, error) {
	if m.bare {
		p := packet{time: recorded, data: m.array(c)}
		return []packet{p}, c.err
	}
	header := c.header()
	if m.single {
		c.bytes(2)
		p := packet{time: earliest(header, recorded), data: m.array(c)}
		return []packet{p}, c.err
	}
	n := int(c.uint32())
	if c.err == nil && n > len(c.b)/max(m.size, 8)+1 {
		return nil, fmt.Errorf("found %d packets, too many for %d bytes", n, len(c.b))
	}
	var out []packet
	for range n {
		p := packet{time: earliest(c.stamp(), header, recorded)}
		if m.kinds {
			c.bytes(1)
		}
		p.data = m.array(c)
		if c.err != nil {
			return out, c.err
		}
		out = append(out, p)
	}
	return out, c.err
}
