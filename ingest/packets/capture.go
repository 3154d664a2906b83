// Package packets reads recordings of lidar packets and decodes them into one point cloud per sweep.
package packets

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"net/netip"
	"slices"
	"time"
)

// packet is a lidar packet: the payload of a UDP datagram, or a part of a message of a ROS recording.
type packet struct {
	time  time.Time
	port  uint16 // destination; 0 if the recording does not have it
	track int    // index of the sensor among those that are read, or -1
	data  []byte // part of the recording
	err   error  // why there is no data
}

// datagram is a UDP datagram of a capture.
type datagram struct {
	time time.Time
	from netip.AddrPort // source
	port uint16         // destination
	via  link
	data []byte // part of the capture
}

// link is where a frame was captured: its VLANs, the outer one in the high bits, and the interface if the capture
// tells it.
type link struct{ vlan, interfaceID uint32 }

// String is empty if both are zero.
func (l link) String() string {
	var out string
	if l.vlan > 0 {
		out = fmt.Sprintf("-vlan-%d", l.vlan&0xfff)
	}
	if l.interfaceID > 0 {
		out += fmt.Sprintf("-interface-%d", l.interfaceID)
	}
	return out
}

// capture returns the datagrams of a pcap or pcapng recording in memory. It copies only fragmented ones.
//
// pcap: https://www.ietf.org/archive/id/draft-ietf-opsawg-pcap-03.html; a header of 24 bytes whose magic tells byte
// order and whether times are in micro- or nanoseconds, then records of seconds, fraction, captured and original
// length. The modified variant of libpcap's savefile.c has 8 more bytes in each record header. pcapng:
// https://www.ietf.org/archive/id/draft-ietf-opsawg-pcapng-02.html; blocks of type, length, body, length.
type capture struct {
	data      []byte
	at        int
	order     binary.ByteOrder
	ng        bool
	nano      bool
	header    int // bytes of a record header
	link      uint32
	links     []ngInterface
	via       link // of the current frame
	fragments map[fragmentKey]*fragments
	joined    map[fragmentKey][]byte // packets that were complete last
	free      [][]byte               // memory of fragments that were dropped
	// seen counts what the capture holds besides whole datagrams.
	seen struct {
		frames int
		// cut frames were captured only in part: at most snap bytes of each.
		cut, snap int
		// other frames are not UDP; short ones are smaller than their headers say; broken datagrams lack fragments;
		// damaged blocks contradict themselves.
		other, short, broken, damaged int
		links                         map[uint32]int // frames of link types that are not supported
	}
}

type ngInterface struct {
	link   uint32
	snap   uint32 // 0 if unlimited
	units  uint64 // time units per second
	offset int64  // seconds to add to times
}

const (
	pcapMicro     = 0xa1b2c3d4
	pcapNano      = 0xa1b23c4d
	pcapModified  = 0xa1b2cd34
	pcapHeader    = 24
	pcapRecord    = 16
	ngSection     = 0x0a0d0d0a
	ngByteOrder   = 0x1a2b3c4d
	ngInterfaceID = 1
	ngPacket      = 2 // obsolete
	ngSimple      = 3
	ngEnhanced    = 6
	// maxFrame limits the size of a record, as in tcpdump.
	maxFrame = 262144
	// maxInterfaces limits the interfaces of a section, maxLinks the distinct link types that are counted.
	maxInterfaces = 1024
	maxLinks      = 64
)

// cutError says where a recording ends before its end: what follows the byte cannot be read.
type cutError struct {
	at, size int
	reason   string
}

func (e *cutError) Error() string {
	return fmt.Sprintf("cut off at byte %d: %s; %d bytes are left out", e.at, e.reason, e.size-e.at)
}

func (c *capture) cut(format string, args ...any) error {
	return &cutError{c.at, len(c.data), fmt.Sprintf(format, args...)}
}

func isCapture(b []byte) bool {
	if len(b) < 4 {
		return false
	}
	return isPCAP(binary.LittleEndian.Uint32(b)) || isPCAP(binary.BigEndian.Uint32(b)) ||
		binary.LittleEndian.Uint32(b) == ngSection
}

func isPCAP(magic uint32) bool {
	return magic == pcapMicro || magic == pcapNano || magic == pcapModified
}

func newCapture(data []byte) (*capture, error) {
	c := &capture{
		data: data, order: binary.LittleEndian, header: pcapRecord, fragments: map[fragmentKey]*fragments{},
		joined: map[fragmentKey][]byte{},
	}
	if !isCapture(data) {
		return nil, errors.New("found no pcap or pcapng magic")
	}
	if binary.LittleEndian.Uint32(data) == ngSection {
		c.ng = true
		return c, nil
	}
	if isPCAP(binary.BigEndian.Uint32(data)) {
		c.order = binary.BigEndian
	}
	switch c.order.Uint32(data) {
	case pcapNano:
		c.nano = true
	case pcapModified:
		c.header += 8
	}
	if len(data) < pcapHeader {
		return nil, fmt.Errorf("truncated: found %d bytes, want a header of %d", len(data), pcapHeader)
	}
	c.link = c.order.Uint32(data[20:]) & 0x0fffffff
	c.at = pcapHeader
	return c, nil
}

// next returns the next UDP datagram; ok is false at the end. The error of a recording that ends within a record is
// a *cutError.
func (c *capture) next(ctx context.Context) (d datagram, ok bool, err error) {
	for c.at < len(c.data) {
		if err := ctx.Err(); err != nil {
			return d, false, err
		}
		var frame []byte
		var t time.Time
		kind := c.link
		c.via = link{}
		if c.ng {
			frame, kind, t, err = c.block()
		} else {
			frame, t, err = c.record()
		}
		if err != nil {
			return d, false, err
		}
		if frame == nil {
			continue
		}
		c.seen.frames++
		if d, ok = c.udp(frame, kind); ok {
			d.time, d.via = t, c.via
			return d, true, nil
		}
	}
	c.seen.broken += len(c.fragments)
	clear(c.fragments)
	return d, false, nil
}

// record reads one record of a pcap file.
func (c *capture) record() ([]byte, time.Time, error) {
	b := c.data[c.at:]
	if len(b) < c.header {
		return nil, time.Time{}, c.cut("found %d bytes, want a record header of %d", len(b), c.header)
	}
	sec, frac, n := c.order.Uint32(b), int64(c.order.Uint32(b[4:])), c.order.Uint32(b[8:])
	if n > maxFrame || int(n) > len(b)-c.header {
		return nil, time.Time{}, c.cut("found a record of %d bytes, want at most %d", n, min(maxFrame, len(b)-c.header))
	}
	c.whole(n, c.order.Uint32(b[12:]))
	if !c.nano {
		frac *= 1000
	}
	c.at += c.header + int(n)
	return b[c.header:][:n], time.Unix(int64(sec), frac).UTC(), nil
}

// whole counts a frame of which not all bytes were captured.
func (c *capture) whole(have, original uint32) {
	if have < original {
		c.seen.cut++
		c.seen.snap = max(c.seen.snap, int(have))
	}
}

// block reads one block of a pcapng file. frame is nil if the block contains none.
func (c *capture) block() (frame []byte, link uint32, t time.Time, err error) {
	b := c.data[c.at:]
	if len(b) < 12 {
		return nil, 0, t, c.cut("found %d bytes, want a block of 12 or more", len(b))
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
		return nil, 0, t, c.cut("found a block of %d bytes, want a multiple of 4 and at most %d", n, len(b))
	}
	body := b[8 : n-4]
	switch kind {
	case ngInterfaceID:
		if len(c.links) == maxInterfaces {
			return nil, 0, t, c.cut("found more than %d interfaces", maxInterfaces)
		}
		if len(body) < 8 {
			return nil, 0, t, c.cut("found an interface of %d bytes, want 8 or more", len(body))
		}
		i := ngInterface{link: uint32(c.order.Uint16(body)), snap: c.order.Uint32(body[4:])}
		i.units, i.offset = c.clock(body[8:])
		c.links = append(c.links, i)
	case ngEnhanced, ngPacket:
		frame, link, t = c.packet(kind, body)
	case ngSimple:
		if len(c.links) > 0 && len(body) > 4 {
			original := c.order.Uint32(body)
			have := min(original, uint32(len(body)-4))
			if s := c.links[0].snap; s > 0 {
				have = min(have, s)
			}
			c.whole(have, original)
			frame, link = body[4:][:have], c.links[0].link
		}
	}
	c.at += int(n)
	return frame, link, t, nil
}

// packet reads the body of an enhanced packet block, or of the obsolete packet block, whose interface is 16 bits and
// followed by a count of drops.
func (c *capture) packet(kind uint32, body []byte) (frame []byte, link uint32, t time.Time) {
	if len(body) < 20 {
		c.seen.damaged++
		return nil, 0, t
	}
	id := c.order.Uint32(body)
	if kind == ngPacket {
		id = uint32(c.order.Uint16(body))
	}
	have := c.order.Uint32(body[12:])
	if int64(id) >= int64(len(c.links)) || uint64(have) > uint64(len(body)-20) {
		c.seen.damaged++
		return nil, 0, t
	}
	c.whole(have, c.order.Uint32(body[16:]))
	c.via.interfaceID = id
	units := c.links[id].units
	ticks := uint64(c.order.Uint32(body[4:]))<<32 | uint64(c.order.Uint32(body[8:]))
	hi, lo := bits.Mul64(ticks%units, 1e9)
	nano, _ := bits.Div64(hi, lo, units)
	t = time.Unix(int64(ticks/units)+c.links[id].offset, int64(nano)).UTC()
	return body[20:][:have], c.links[id].link, t
}

// clock returns the number of time units per second: option 9, a power of ten, or of two if its high bit is set, by
// default 10^6; and option 14, the seconds to add.
func (c *capture) clock(options []byte) (units uint64, offset int64) {
	units = 1e6
	for len(options) >= 4 {
		code, n := c.order.Uint16(options), int(c.order.Uint16(options[2:]))
		if 4+n > len(options) {
			break
		}
		switch {
		case code == 9 && n == 1:
			exp := options[4] & 0x7f
			if units = 1; options[4]&0x80 != 0 {
				units <<= min(exp, 63)
				break
			}
			for range min(exp, 18) {
				units *= 10
			}
		case code == 14 && n == 8:
			offset = int64(c.order.Uint64(options[4:])) // two's complement
		}
		options = options[min(len(options), 4+(n+3)/4*4):]
	}
	return units, offset
}

// Link types of https://www.tcpdump.org/linktypes.html, and the numbers that DLT_RAW and DLT_LOOP have on some
// systems.
const (
	linkNull     = 0
	linkEthernet = 1
	linkPPP      = 9
	linkRawBSD   = 12
	linkRawOpen  = 14
	linkPPPHDLC  = 50
	linkRaw      = 101
	linkLoop     = 108
	linkSLL      = 113
	linkIPv4     = 228
	linkIPv6     = 229
	linkSLL2     = 276
)

// linkNames are names of link types that are not supported.
var linkNames = map[uint32]string{
	105: "IEEE 802.11", 119: "IEEE 802.11, Prism", 127: "IEEE 802.11, radiotap", 163: "IEEE 802.11, AVS", 189: "USB, Linux",
	192: "PPI", 220: "USB, Linux, padded", 227: "CAN", 249: "USBPcap", 201: "Bluetooth", 253: "netlink", 51: "PPPoE",
}

// EtherTypes and PPP protocols that lead to IP.
const (
	etherIPv4   = 0x0800
	etherIPv6   = 0x86dd
	etherVLAN   = 0x8100
	etherQinQ   = 0x88a8
	etherQinQ91 = 0x9100
	etherQinQ92 = 0x9200
	etherMPLS   = 0x8847
	etherPPPoE  = 0x8864
	etherBridge = 0x6558 // an Ethernet frame
	etherMirror = 0x88be // ERSPAN: 8 bytes and an Ethernet frame
	etherSNAP   = 1500   // and below: a length, followed by LLC
	pppIPv4     = 0x21
	pppIPv6     = 0x57
)

// IP protocols, and the extension headers of IPv6.
const (
	protoHop      = 0
	protoIPv4     = 4
	protoUDP      = 17
	protoIPv6     = 41
	protoRouting  = 43
	protoFragment = 44
	protoGRE      = 47
	protoAuth     = 51
	protoOptions  = 60
)

// VXLAN is a header of 8 bytes in a datagram to its port, with a flag, before an Ethernet frame.
const (
	portVXLAN = 4789
	flagVXLAN = 8
)

// maxLayers limits the headers before a datagram.
const maxLayers = 16

// udp returns the UDP datagram in a frame.
func (c *capture) udp(frame []byte, link uint32) (d datagram, ok bool) {
	switch link {
	case linkEthernet:
		return c.ethernet(frame, 12)
	case linkSLL:
		return c.ethernet(frame, 14)
	case linkSLL2:
		if len(frame) > 20 {
			c.via.interfaceID = binary.BigEndian.Uint32(frame[4:])
			return c.layer(binary.BigEndian.Uint16(frame), frame[20:], 0)
		}
	case linkRaw, linkRawBSD, linkRawOpen, linkIPv4, linkIPv6:
		return c.ip(frame, 0)
	case linkNull, linkLoop:
		return c.ip(frame[min(4, len(frame)):], 0)
	case linkPPP, linkPPPHDLC:
		return c.ppp(bytes.TrimPrefix(frame, []byte{0xff, 3}), 0)
	default:
		if c.seen.links == nil {
			c.seen.links = map[uint32]int{}
		}
		if _, known := c.seen.links[link]; known || len(c.seen.links) < maxLinks {
			c.seen.links[link]++
		}
		return d, false
	}
	return c.foreign()
}

// short counts a frame that is smaller than its headers say.
func (c *capture) short() (datagram, bool) {
	c.seen.short++
	return datagram{}, false
}

// foreign counts a frame without a datagram.
func (c *capture) foreign() (datagram, bool) {
	c.seen.other++
	return datagram{}, false
}

// ethernet reads a frame whose EtherType is at the given offset.
func (c *capture) ethernet(frame []byte, at int) (datagram, bool) {
	if len(frame) < at+2 {
		return c.foreign()
	}
	return c.layer(binary.BigEndian.Uint16(frame[at:]), frame[at+2:], 0)
}

// layer reads what follows an EtherType.
func (c *capture) layer(kind uint16, b []byte, depth int) (datagram, bool) {
	for ; depth < maxLayers; depth++ {
		switch {
		case kind == etherIPv4 || kind == etherIPv6:
			return c.ip(b, depth)
		case len(b) < 16:
			return c.foreign()
		case kind == etherVLAN || kind == etherQinQ || kind == etherQinQ91 || kind == etherQinQ92:
			c.via.vlan = c.via.vlan<<12 | uint32(binary.BigEndian.Uint16(b)&0xfff)
			kind, b = binary.BigEndian.Uint16(b[2:]), b[4:]
		case kind == etherBridge:
			kind, b = binary.BigEndian.Uint16(b[12:]), b[14:]
		case kind == etherMPLS: // labels, the last with a flag
			for len(b) >= 4 && b[2]&1 == 0 {
				b = b[4:]
			}
			return c.ip(b[min(4, len(b)):], depth)
		case kind == etherPPPoE:
			return c.ppp(b[6:], depth)
		case kind <= etherSNAP && b[0] == 0xaa && b[1] == 0xaa:
			kind, b = binary.BigEndian.Uint16(b[6:]), b[8:]
		default:
			return c.foreign()
		}
	}
	return c.foreign()
}

// ppp reads what follows a PPP header: a protocol of one byte, if odd, or two.
func (c *capture) ppp(b []byte, depth int) (datagram, bool) {
	if len(b) > 0 && b[0]&1 == 0 {
		b = b[1:]
	}
	if len(b) > 0 && (b[0] == pppIPv4 || b[0] == pppIPv6) {
		return c.ip(b[1:], depth)
	}
	return c.foreign()
}

// ip reads an IP packet. What it holds besides a datagram may be another one.
func (c *capture) ip(b []byte, depth int) (datagram, bool) {
	if len(b) == 0 || depth >= maxLayers {
		return c.foreign()
	}
	switch b[0] >> 4 {
	case 4:
		return c.ipv4(b, depth)
	case 6:
		return c.ipv6(b, depth)
	}
	return c.foreign()
}

func (c *capture) ipv4(b []byte, depth int) (datagram, bool) {
	if len(b) < 20 {
		return c.foreign()
	}
	head, total := int(b[0]&15)*4, int(binary.BigEndian.Uint16(b[2:]))
	if total == 0 { // left to the network card
		total = len(b)
	}
	if head < 20 || total < head {
		return c.foreign()
	}
	if total > len(b) {
		return c.short()
	}
	from, to := netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20]))
	flags := binary.BigEndian.Uint16(b[6:])
	more, offset := flags&0x2000 != 0, int(flags&0x1fff)*8
	body := b[head:total]
	if more || offset > 0 {
		body = c.join(fragmentKey{from, to, uint32(binary.BigEndian.Uint16(b[4:])), b[9]}, body, offset, more)
	}
	return c.transport(b[9], from, body, depth)
}

func (c *capture) ipv6(b []byte, depth int) (datagram, bool) {
	const header = 40
	if len(b) < header {
		return c.foreign()
	}
	from, to := netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40]))
	proto := b[6]
	size := int(binary.BigEndian.Uint16(b[4:]))
	if size == 0 { // left to the network card
		size = len(b) - header
	}
	if size > len(b)-header {
		return c.short()
	}
	b = b[header:][:size]
	for range maxLayers {
		if len(b) < 8 {
			break
		}
		n := 8 + 8*int(b[1])
		switch proto {
		case protoHop, protoRouting, protoOptions:
		case protoAuth:
			n = 8 + 4*int(b[1])
		case protoFragment:
			n = 8
			offset := binary.BigEndian.Uint16(b[2:])
			if offset&^6 != 0 {
				key := fragmentKey{from, to, binary.BigEndian.Uint32(b[4:]), b[0]}
				return c.transport(b[0], from, c.join(key, b[8:], int(offset&^7), offset&1 != 0), depth)
			}
		default:
			return c.transport(proto, from, b, depth)
		}
		proto, b = b[0], b[min(n, len(b)):]
	}
	return c.foreign()
}

// transport reads what an IP packet holds; nil is a fragment of it.
func (c *capture) transport(proto byte, from netip.Addr, b []byte, depth int) (d datagram, ok bool) {
	if b == nil {
		return d, false
	}
	switch proto {
	case protoUDP:
		if len(b) < 8 {
			return c.foreign()
		}
		n := int(binary.BigEndian.Uint16(b[4:]))
		if n == 0 { // left to the network card
			n = len(b)
		}
		if n < 8 || n > len(b) {
			return c.short()
		}
		if port := binary.BigEndian.Uint16(b[2:]); port == portVXLAN && n > 16 && b[8]&flagVXLAN != 0 {
			return c.layer(etherBridge, b[16:n], depth+1)
		}
		return datagram{
			from: netip.AddrPortFrom(
				from,
				binary.BigEndian.Uint16(b),
			), port: binary.BigEndian.Uint16(b[2:]), data: b[8:n],
		}, true
	case protoIPv4, protoIPv6:
		return c.ip(b, depth+1)
	case protoGRE: // flags for a checksum, a key and a number, of four bytes each
		if len(b) < 4 {
			return c.foreign()
		}
		kind, n := binary.BigEndian.Uint16(b[2:]), 4+4*bits.OnesCount8(b[0]&0xb0)
		if kind == etherMirror {
			if kind = etherBridge; n > 4 {
				n += 8
			}
		}
		return c.layer(kind, b[min(n, len(b)):], depth+1)
	}
	return c.foreign()
}

// fragmentKey identifies the fragments of a packet: addresses, identification and protocol.
type fragmentKey struct {
	from, to netip.Addr
	id       uint32
	proto    byte
}

// fragments is a packet being reassembled.
type fragments struct {
	data []byte
	got  [maxDatagram/8/64 + 1]uint64 // a bit for each 8 bytes that have arrived
	have int                          // number of bits
	want int                          // total size; -1 until the last fragment has arrived
}

// contradicts reports whether a fragment has arrived before with other bytes.
func (f *fragments) contradicts(part []byte, offset int) bool {
	u := offset / 8
	return f.got[u/64]&(1<<(u%64)) != 0 && !bytes.HasPrefix(f.data[offset:], part)
}

const (
	maxDatagram = 65535
	// maxPending limits the packets waiting for fragments; if there are more, all are dropped.
	maxPending = 64
)

// join adds a fragment and returns the packet once it is complete. Fragments that come twice count once.
func (c *capture) join(key fragmentKey, part []byte, offset int, more bool) []byte {
	if offset+len(part) > maxDatagram || more && len(part)%8 != 0 {
		return nil
	}
	f := c.fragments[key]
	if last := c.joined[key]; f == nil && offset < len(last) && bytes.HasPrefix(last[offset:], part) {
		return nil // captured twice
	}
	if f != nil && f.contradicts(part, offset) { // the identification was used again
		c.seen.broken++
		f = nil
	}
	if f == nil {
		if len(c.fragments) >= maxPending {
			c.seen.broken += len(c.fragments)
			for _, f := range c.fragments {
				c.free = append(c.free, f.data[:0])
			}
			clear(c.fragments)
		}
		f = &fragments{want: -1}
		if n := len(c.free); n > 0 {
			f.data, c.free = c.free[n-1], c.free[:n-1]
		}
		c.fragments[key] = f
	}
	if end := offset + len(part); end > len(f.data) {
		f.data = slices.Grow(f.data, end-len(f.data))[:end]
	}
	copy(f.data[offset:], part)
	for u := offset / 8; u < (offset+len(part)+7)/8; u++ {
		if bit := uint64(1) << (u % 64); f.got[u/64]&bit == 0 {
			f.got[u/64] |= bit
			f.have++
		}
	}
	if !more {
		f.want = offset + len(part)
	}
	if f.want < 0 || f.have < (f.want+7)/8 {
		return nil
	}
	delete(c.fragments, key)
	if len(c.joined) >= maxPending {
		clear(c.joined)
	}
	c.joined[key] = f.data[:f.want]
	return f.data[:f.want]
}
