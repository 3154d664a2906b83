// Package packets reads recordings of lidar packets and decodes them into one point cloud per turn.
package packets

import (
	"encoding/binary"
	"fmt"
	"time"
)

// packet is the payload of one UDP datagram, or of one record of a ROS recording.
type packet struct {
	time time.Time
	port uint16 // destination; 0 if the recording does not have it
	data []byte // part of the recording
}

// capture returns the datagrams of a pcap or pcapng recording in memory. It copies only fragmented ones.
//
// pcap: https://www.ietf.org/archive/id/draft-ietf-opsawg-pcap-03.html; a header of 24 bytes whose magic tells byte
// order and whether times are in micro- or nanoseconds, then records of seconds, fraction, captured and original
// length. pcapng: https://www.ietf.org/archive/id/draft-ietf-opsawg-pcapng-02.html; blocks of type, length, body,
// length.
type capture struct {
	data      []byte
	at        int
	order     binary.ByteOrder
	ng        bool
	nano      bool
	link      uint32
	links     []ngInterface
	fragments map[fragmentKey]*fragments
}

type ngInterface struct {
	link  uint32
	units uint64 // time units per second
}

const (
	pcapMicro     = 0xa1b2c3d4
	pcapNano      = 0xa1b23c4d
	pcapHeader    = 24
	ngSection     = 0x0a0d0d0a
	ngByteOrder   = 0x1a2b3c4d
	ngInterfaceID = 1
	ngSimple      = 3
	ngEnhanced    = 6
	// maxFrame limits the size of a record, as in tcpdump.
	maxFrame = 262144
	// maxInterfaces limits the interfaces of a section.
	maxInterfaces = 1024
)

func isCapture(b []byte) bool {
	if len(b) < 4 {
		return false
	}
	le, be := binary.LittleEndian.Uint32(b), binary.BigEndian.Uint32(b)
	return le == pcapMicro || le == pcapNano || be == pcapMicro || be == pcapNano || le == ngSection
}

func newCapture(data []byte) (*capture, error) {
	c := &capture{data: data, order: binary.LittleEndian, fragments: map[fragmentKey]*fragments{}}
	if !isCapture(data) {
		return nil, fmt.Errorf("found no pcap or pcapng magic")
	}
	if binary.LittleEndian.Uint32(data) == ngSection {
		c.ng = true
		return c, nil
	}
	if m := binary.BigEndian.Uint32(data); m == pcapMicro || m == pcapNano {
		c.order = binary.BigEndian
	}
	c.nano = c.order.Uint32(data) == pcapNano
	if len(data) < pcapHeader {
		return nil, fmt.Errorf("truncated: found %d bytes, want a header of %d", len(data), pcapHeader)
	}
	c.link = c.order.Uint32(data[20:]) & 0x0fffffff
	c.at = pcapHeader
	return c, nil
}

// next returns the next UDP payload; ok is false at the end. A recording that ends within a record is an error.
func (c *capture) next() (p packet, ok bool, err error) {
	for c.at < len(c.data) {
		var frame []byte
		link := c.link
		if c.ng {
			frame, link, p.time, err = c.block()
		} else {
			frame, p.time, err = c.record()
		}
		if err != nil {
			return p, false, err
		}
		if frame == nil {
			continue
		}
		if p.data, p.port = c.udp(frame, link); p.data != nil {
			return p, true, nil
		}
	}
	return p, false, nil
}

// record reads one record of a pcap file.
func (c *capture) record() ([]byte, time.Time, error) {
	b := c.data[c.at:]
	if len(b) < 16 {
		return nil, time.Time{}, fmt.Errorf("byte %d: truncated: found %d bytes, want a record header of 16", c.at, len(b))
	}
	sec, frac, n := c.order.Uint32(b), int64(c.order.Uint32(b[4:])), c.order.Uint32(b[8:])
	if n > maxFrame || int(n) > len(b)-16 {
		return nil, time.Time{}, fmt.Errorf("byte %d: found a record of %d bytes, want at most %d and at most the "+
			"remaining %d", c.at, n, maxFrame, len(b)-16)
	}
	if !c.nano {
		frac *= 1000
	}
	c.at += 16 + int(n)
	return b[16 : 16+n], time.Unix(int64(sec), frac).UTC(), nil
}

// block reads one block of a pcapng file. frame is nil if the block contains none.
func (c *capture) block() (frame []byte, link uint32, t time.Time, err error) {
	b := c.data[c.at:]
	if len(b) < 12 {
		return nil, 0, t, fmt.Errorf("byte %d: truncated: found %d bytes, want a block of 12 or more", c.at, len(b))
	}
	kind := c.order.Uint32(b)
	if kind == ngSection { // the same in both byte orders; the section defines the byte order
		c.order = binary.LittleEndian
		if binary.BigEndian.Uint32(b[8:]) == ngByteOrder {
			c.order = binary.BigEndian
		}
		c.links = nil
	}
	n := c.order.Uint32(b[4:])
	if n < 12 || n%4 != 0 || uint64(n) > uint64(len(b)) {
		return nil, 0, t, fmt.Errorf("byte %d: found a block of %d bytes, want a multiple of 4 and at most "+
			"the %d left", c.at, n, len(b))
	}
	c.at += int(n)
	body := b[8 : n-4]
	switch kind {
	case ngInterfaceID:
		if len(body) < 8 || len(c.links) == maxInterfaces {
			return nil, 0, t, fmt.Errorf("byte %d: found interface %d of %d bytes, limit %d interfaces of "+
				"8 or more", c.at, len(c.links), len(body), maxInterfaces)
		}
		c.links = append(c.links, ngInterface{uint32(c.order.Uint16(body)), c.resolution(body[8:])})
	case ngEnhanced:
		if len(body) < 20 {
			return nil, 0, t, fmt.Errorf("byte %d: found a packet block of %d bytes, want 20 or more", c.at, len(body))
		}
		id, have := c.order.Uint32(body), c.order.Uint32(body[12:])
		if int64(id) >= int64(len(c.links)) || uint64(have) > uint64(len(body)-20) {
			return nil, 0, t, fmt.Errorf("byte %d: found a packet of interface %d and %d bytes, want one of %d and "+
				"at most %d", c.at, id, have,
				len(c.links), len(body)-20)
		}
		units := c.links[id].units
		ticks := uint64(c.order.Uint32(body[4:]))<<32 | uint64(c.order.Uint32(body[8:]))
		t = time.Unix(int64(ticks/units), int64(float64(ticks%units)/float64(units)*1e9)).UTC()
		return body[20 : 20+have], c.links[id].link, t, nil
	case ngSimple:
		if len(c.links) > 0 && len(body) > 4 {
			return body[4:], c.links[0].link, t, nil
		}
	}
	return nil, 0, t, nil
}

// resolution returns the number of time units per second: option 9, a power of ten, or of two if its high bit is
// set. The default is 10^6.
func (c *capture) resolution(options []byte) uint64 {
	for len(options) >= 4 {
		code, n := c.order.Uint16(options), int(c.order.Uint16(options[2:]))
		if 4+n > len(options) {
			break
		}
		if code == 9 && n == 1 {
			exp := options[4] & 0x7f
			if options[4]&0x80 != 0 {
				return 1 << min(exp, 63)
			}
			units := uint64(1)
			for range min(exp, 18) {
				units *= 10
			}
			return units
		}
		options = options[min(len(options), 4+(n+3)/4*4):]
	}
	return 1e6
}

// Link types of https://www.tcpdump.org/linktypes.html, and the number of bytes before the IP packet.
const (
	linkNull     = 0
	linkEthernet = 1
	linkRaw      = 101
	linkSLL      = 113
	linkIPv4     = 228
	linkSLL2     = 276
)

const (
	etherIPv4 = 0x0800
	etherIPv6 = 0x86dd
	etherVLAN = 0x8100
	etherQinQ = 0x88a8
	protoUDP  = 17
)

// udp returns the payload and destination port of a UDP datagram, or nil for anything else.
func (c *capture) udp(frame []byte, link uint32) ([]byte, uint16) {
	var ip []byte
	switch link {
	case linkEthernet:
		at := 12
		for len(frame) >= at+2 {
			kind := binary.BigEndian.Uint16(frame[at:])
			at += 2
			if kind == etherVLAN || kind == etherQinQ {
				at += 2
				continue
			}
			if kind == etherIPv4 || kind == etherIPv6 {
				ip = frame[at:]
			}
			break
		}
	case linkRaw, linkIPv4:
		ip = frame
	case linkNull:
		ip = frame[min(4, len(frame)):]
	case linkSLL:
		ip = frame[min(16, len(frame)):]
	case linkSLL2:
		ip = frame[min(20, len(frame)):]
	}
	if len(ip) == 0 {
		return nil, 0
	}
	switch ip[0] >> 4 {
	case 4:
		return c.ipv4(ip)
	case 6:
		if len(ip) >= 40 && ip[6] == protoUDP {
			return datagram(ip[40:])
		}
	}
	return nil, 0
}

func datagram(b []byte) ([]byte, uint16) {
	if len(b) < 8 {
		return nil, 0
	}
	n := int(binary.BigEndian.Uint16(b[4:]))
	if n < 8 || n > len(b) {
		return nil, 0
	}
	return b[8:n], binary.BigEndian.Uint16(b[2:])
}

func (c *capture) ipv4(b []byte) ([]byte, uint16) {
	if len(b) < 20 {
		return nil, 0
	}
	head, total := int(b[0]&15)*4, int(binary.BigEndian.Uint16(b[2:]))
	if head < 20 || total < head || total > len(b) || b[9] != protoUDP {
		return nil, 0
	}
	flags := binary.BigEndian.Uint16(b[6:])
	more, offset := flags&0x2000 != 0, int(flags&0x1fff)*8
	if !more && offset == 0 {
		return datagram(b[head:total])
	}
	whole := c.join(fragmentKey{[8]byte(b[12:20]), binary.BigEndian.Uint16(b[4:])}, b[head:total], offset, more)
	if whole == nil {
		return nil, 0
	}
	return datagram(whole)
}

// fragmentKey identifies the fragments of a datagram: addresses and identification.
type fragmentKey struct {
	addresses [8]byte
	id        uint16
}

// fragments is a datagram being reassembled.
type fragments struct {
	data []byte
	have int // bytes received
	want int // total size; -1 until the last fragment has arrived
}

const (
	maxDatagram = 65535
	// maxPending limits the datagrams waiting for fragments; the oldest are dropped.
	maxPending = 64
)

// join adds a fragment and returns the datagram once it is complete.
func (c *capture) join(key fragmentKey, part []byte, offset int, more bool) []byte {
	if offset+len(part) > maxDatagram {
		return nil
	}
	f := c.fragments[key]
	if f == nil {
		if len(c.fragments) >= maxPending {
			clear(c.fragments)
		}
		f = &fragments{want: -1}
		c.fragments[key] = f
	}
	if end := offset + len(part); end > len(f.data) {
		f.data = append(f.data, make([]byte, end-len(f.data))...)
	}
	f.have += copy(f.data[offset:], part)
	if !more {
		f.want = offset + len(part)
	}
	if f.want < 0 || f.have < f.want {
		return nil
	}
	delete(c.fragments, key)
	return f.data[:f.want]
}
