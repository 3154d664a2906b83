package packets

import (
	"bytes"
	"database/sql"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"

	"github.com/voxelstream/voxelstream/ingest"
)

var be, le = binary.BigEndian, binary.LittleEndian

// udpOf is a UDP datagram.
func udpOf(from, to uint16, payload []byte) []byte {
	b := be.AppendUint16(be.AppendUint16(nil, from), to)
	b = be.AppendUint16(b, uint16(8+len(payload)))
	return append(append(b, 0, 0), payload...)
}

// ipOf is an IP packet without fragments.
func ipOf(from string, proto byte, payload []byte) []byte {
	addr := netip.MustParseAddr(from)
	if addr.Is4() {
		b := make([]byte, 20)
		b[0], b[9] = 0x45, proto
		be.PutUint16(b[2:], uint16(20+len(payload)))
		copy(b[12:], addr.AsSlice())
		return append(b, payload...)
	}
	b := make([]byte, 40)
	b[0], b[6] = 0x60, proto
	be.PutUint16(b[4:], uint16(len(payload)))
	copy(b[8:], addr.AsSlice())
	return append(b, payload...)
}

// frameOf is an Ethernet frame, with the headers before the EtherType of IP.
func frameOf(between string, ip []byte) []byte {
	kind := "\x08\x00"
	if ip[0]>>4 == 6 {
		kind = "\x86\xdd"
	}
	return append([]byte("aaaaaabbbbbb"+between+kind), ip...)
}

func lidarFrame(from string, sourcePort, port uint16, payload []byte) []byte {
	return frameOf("", ipOf(from, protoUDP, udpOf(sourcePort, port, payload)))
}

// linked is a capture of another link type.
func linked(link uint32, frames ...[]byte) []byte {
	b := pcapFile(le, false, frames...)
	le.PutUint32(b[20:], link)
	return b
}

// drivenSweeps is a sensor's packets over a sweep and a half, from an azimuth on.
func drivenSweeps(azimuth int) (out [][]byte) {
	for i := range 112 {
		out = append(out, vlp16((azimuth+480*i)%fullTurn, uint32(1327*i), 0x37))
	}
	return out
}

// both interleaves the frames of two sensors.
func both(a, b func(payload []byte) []byte) (out [][]byte) {
	for i, p := range drivenSweeps(0) {
		out = append(out, a(p), b(drivenSweeps(18000)[i]))
	}
	return out
}

// described inspects a file with options and returns a line for each source, and the notes.
func described(t *testing.T, f ingest.Format, path string, o Options) (sources []string, notes string, err error) {
	t.Helper()
	var n ingest.Notes
	d, err := f.Inspect(t.Context(), path, ingest.Options{Notes: &n, Readers: []any{&o}})
	for _, note := range n.Take() {
		notes += note.String() + "\n"
	}
	if err != nil {
		return nil, notes, err
	}
	for _, s := range d.(*ingest.Packets).Sources {
		sources = append(sources, fmt.Sprintf("%s %s %d %d", s.Name, s.Sensor, s.Packets, s.Frames))
	}
	return sources, notes, nil
}

func written(t *testing.T, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestSensorsApart: the packets of several sensors in a capture.
func TestSensorsApart(t *testing.T) {
	from := func(addr string, sourcePort, port uint16) func([]byte) []byte {
		return func(p []byte) []byte { return lidarFrame(addr, sourcePort, port, p) }
	}
	vlan := func(id byte) func([]byte) []byte {
		return func(p []byte) []byte {
			return frameOf("\x81\x00\x00"+string(rune(id)), ipOf("10.0.0.1", protoUDP, udpOf(2368, 2368, p)))
		}
	}
	one := from("10.0.0.1", 2368, 2368)
	const model = " Velodyne VLP-16 112 2"
	for name, c := range map[string]struct {
		frames [][]byte
		want   []string
		note   string
	}{
		"addresses": {
			both(one, from("10.0.0.2", 2368, 2368)),
			[]string{"10.0.0.1:2368" + model, "10.0.0.2:2368" + model},
			"",
		},
		"ports": {
			both(one, from("10.0.0.1", 2368, 2370)),
			[]string{"10.0.0.1:2368" + model, "10.0.0.1:2370" + model},
			"",
		},
		"source ports": {
			both(from("127.0.0.1", 4000, 2368), from("127.0.0.1", 4001, 2368)),
			[]string{"127.0.0.1:2368-from-4000" + model, "127.0.0.1:2368-from-4001" + model},
			"",
		},
		"VLANs": {both(vlan(5), vlan(6)), []string{"10.0.0.1:2368-vlan-5" + model, "10.0.0.1:2368-vlan-6" + model}, ""},
		"IPv6": {
			both(from("fe80::1", 1, 2368), from("fe80::2", 1, 2368)),
			[]string{"[fe80::1]:2368" + model, "[fe80::2]:2368" + model},
			"",
		},
	} {
		path := written(t, "a.pcap", pcapFile(le, false, c.frames...))
		got, notes, err := described(t, PCAP, path, Options{})
		if err != nil || !slices.Equal(got, c.want) || notes != c.note {
			t.Errorf("%s: found %q, %q, %v, want %q, %q", name, got, notes, err, c.want, c.note)
		}
		streams := map[string]int{}
		for _, s := range sweepsOf(t, PCAP, path) {
			if s.Seq != uint64(streams[s.Stream]) {
				t.Errorf("%s: found item %d of %s, want %d", name, s.Seq, s.Stream, streams[s.Stream])
			}
			streams[s.Stream]++
		}
		if len(streams) != len(c.want) {
			t.Errorf("%s: found streams %v, want %d", name, streams, len(c.want))
		}
	}
	// What is the same sensor.
	var restarted, scattered, twice [][]byte
	for i, p := range drivenSweeps(0) {
		restarted = append(restarted, lidarFrame("10.0.0.1", uint16(1000+i/60), 2368, p))
		scattered = append(scattered, lidarFrame("10.0.0.1", uint16(1000+i%40), 2368, p))
		twice = append(twice, one(p), vlan(5)(p))
	}
	for name, c := range map[string]struct {
		frames [][]byte
		note   string
	}{
		"restarted": {restarted, ""},
		"scattered": {scattered, "packets come from 40 source ports"},
		"twice":     {twice, "10.0.0.1:2368-vlan-5: the same packets were captured on another link"},
	} {
		got, notes, err := described(t, PCAP, written(t, "a.pcap", pcapFile(le, false, c.frames...)), Options{})
		if err != nil || !slices.Equal(got, []string{"10.0.0.1:2368" + model}) || !strings.Contains(notes, c.note) {
			t.Errorf("%s: found %q, %q, %v", name, got, notes, err)
		}
	}
}

// TestChoice: one of several sensors or topics.
func TestChoice(t *testing.T) {
	a := func(p []byte) []byte { return lidarFrame("10.0.0.1", 1, 2368, p) }
	b := func(p []byte) []byte { return lidarFrame("10.0.0.2", 1, 2369, p) }
	frames := both(a, b)
	for range 20 {
		frames = append(frames, lidarFrame("10.0.0.3", 1, 2370, pandarXT()))
	}
	path := written(t, "a.pcap", pcapFile(le, false, frames...))
	all := map[string]string{} // first streams by source
	for _, s := range sweepsOf(t, PCAP, path) {
		all[s.Stream[strings.IndexByte(s.Stream, ':'):]] = s.Stream
	}
	for name, c := range map[string]struct {
		o    Options
		want string
	}{
		"port":             {Options{Port: 2369}, "10.0.0.2:2369"},
		"address":          {Options{Sensor: "10.0.0.1"}, "10.0.0.1:2368"},
		"address and port": {Options{Sensor: "10.0.0.1:2368"}, "10.0.0.1:2368"},
		"model":            {Options{Sensor: "xt16"}, "10.0.0.3:2370"},
		"both":             {Options{Sensor: "Velodyne", Port: 2369}, "10.0.0.2:2369"},
	} {
		got, _, err := described(t, PCAP, path, c.o)
		if err != nil || len(got) != 1 || !strings.HasPrefix(got[0], c.want+" ") {
			t.Errorf("%s: found %q, %v, want %s", name, got, err, c.want)
		}
		src, err := PCAP.Open(t.Context(), path, ingest.Options{Readers: []any{&c.o}})
		if err != nil {
			t.Fatal(err)
		}
		s, err := src.Read(t.Context())
		if part := ":" + strings.ReplaceAll(c.want, ":", "_"); err != nil || s.Stream != all[part] || s.Seq != 0 {
			t.Errorf("%s: found %v, %v, want the stream %q as without a choice", name, s.ID, err, all[part])
		}
		if err := src.Close(); err != nil {
			t.Error(err)
		}
	}
	for _, o := range []Options{{Port: 7}, {Sensor: "10.0.0.9"}, {Sensor: "10.0.0."}, {Topic: "/a"}} {
		_, _, err := described(t, PCAP, path, o)
		if err == nil ||
			!strings.Contains(err.Error(), "found no such source; the recording has 10.0.0.1:2368 (Velodyne "+
				"VLP-16, 112 packets), 10.0.0.2:2369") {
			t.Errorf("%+v: found %v", o, err)
		}
	}
	moving := Options{Trajectory: written(t, "poses.txt", []byte("0 0 0 0 0 0 0 1\n"))}
	if _, err := PCAP.Open(t.Context(), path, ingest.Options{Readers: []any{&moving}}); err == nil ||
		!strings.Contains(err.Error(), "several sensors") {
		t.Errorf("found %v, want a choice for the trajectory", err)
	}
	if _, err := Records(t.Context(), path, ingest.Options{}); err == nil ||
		!strings.Contains(err.Error(), "several sensors") {
		t.Errorf("found %v, want a choice", err)
	}
}

// TestEncapsulations: the ways in which a datagram is captured.
func TestEncapsulations(t *testing.T) {
	payload := vlp16(0, 0, 0x37)
	udp := udpOf(2368, 2368, payload)
	ip, ip6 := ipOf("10.0.0.1", protoUDP, udp), ipOf("fe80::1", protoUDP, udp)
	head := func(size int, kind ...byte) []byte { return append(make([]byte, size), kind...) }
	tunnel := func(proto byte, b []byte) []byte { return frameOf("", ipOf("1.2.3.4", proto, b)) }
	fragment6 := func(offset int, more byte, part []byte) []byte {
		b := []byte{protoUDP, 0, byte(offset >> 8), byte(offset) | more, 0, 0, 0, 9}
		return frameOf("", ipOf("fe80::1", protoFragment, append(b, part...)))
	}
	for name, data := range map[string][]byte{
		"null":         linked(linkNull, append(head(0, 2, 0, 0, 0), ip...)),
		"loop":         linked(linkLoop, append(head(0, 0, 0, 0, 2), ip...)),
		"raw":          linked(linkRaw, ip),
		"raw, BSD":     linked(linkRawBSD, ip6),
		"raw, OpenBSD": linked(linkRawOpen, ip),
		"IPv4":         linked(linkIPv4, ip),
		"IPv6":         linked(linkIPv6, ip6),
		"cooked":       linked(linkSLL, append(head(14, 8, 0), ip...)),
		"cooked, VLAN": linked(linkSLL, append(head(14, 0x81, 0, 0, 5, 8, 0), ip...)),
		"cooked 2":     linked(linkSLL2, append(append([]byte{8, 0}, head(18)...), ip...)),
		"PPP":          linked(linkPPP, append(head(0, 0xff, 3, 0, pppIPv4), ip...)),
		"PPP, short":   linked(linkPPP, append(head(0, pppIPv6), ip6...)),
		"VLAN":         linked(linkEthernet, frameOf("\x81\x00\x00\x05", ip)),
		"QinQ":         linked(linkEthernet, frameOf("\x88\xa8\x00\x07\x81\x00\x00\x05", ip)),
		"PPPoE": linked(linkEthernet,
			append([]byte("aaaaaabbbbbb\x88\x64\x11\x00\x00\x03\x00\x00\x00\x21"), ip...)),
		"MPLS": linked(linkEthernet,
			append([]byte("aaaaaabbbbbb\x88\x47\x00\x00\x30\x40\x00\x00\x41\x40"), ip...)),
		"SNAP": linked(linkEthernet,
			append([]byte("aaaaaabbbbbb\x04\xda\xaa\xaa\x03\x00\x00\x00\x08\x00"), ip...)),
		"IP in IP":      linked(linkEthernet, tunnel(protoIPv4, ip)),
		"6in4":          linked(linkEthernet, tunnel(protoIPv6, ip6)),
		"GRE":           linked(linkEthernet, tunnel(protoGRE, append([]byte{0x20, 0, 8, 0, 1, 2, 3, 4}, ip...))),
		"GRE, Ethernet": linked(linkEthernet, tunnel(protoGRE, append([]byte{0, 0, 0x65, 0x58}, frameOf("", ip)...))),
		"ERSPAN": linked(linkEthernet, tunnel(protoGRE,
			append(append([]byte{0x10, 0, 0x88, 0xbe}, head(12)...), frameOf("", ip)...))),
		"VXLAN": linked(linkEthernet, tunnel(protoUDP,
			udpOf(9, portVXLAN, append([]byte("\x08\x00\x00\x00\x00\x00\x05\x00"), frameOf("", ip)...)))),
		"IPv6 extension": linked(linkEthernet, frameOf("",
			ipOf("fe80::1", protoHop, append([]byte{protoUDP, 0, 1, 4, 0, 0, 0, 0}, udp...)))),
		"IPv6 fragments": linked(linkEthernet, fragment6(600, 0, udp[600:]), fragment6(0, 1, udp[:600]),
			fragment6(0, 1, udp[:600])),
	} {
		got, notes, err := described(t, PCAP, written(t, "a.pcap", data), Options{})
		if err != nil || len(got) != 1 || !strings.HasSuffix(got[0], " Velodyne VLP-16 1 1") || notes != "" {
			t.Errorf("%s: found %q, %q, %v", name, got, notes, err)
		}
	}
}

// TestBlocks: the kinds of blocks of pcapng.
func TestBlocks(t *testing.T) {
	frame := lidarFrame("10.0.0.1", 1, 2368, vlp16(0, 0, 0x37))
	whole := pcapngFile(le, frame)
	at := bytes.LastIndex(whole, le.AppendUint32(nil, ngEnhanced)[:4])
	for at > 0 && le.Uint32(whole[at+4:]) != uint32(len(whole)-at) {
		at = bytes.LastIndex(whole[:at], le.AppendUint32(nil, ngEnhanced))
	}
	block := func(kind uint32, body []byte) []byte {
		body = append(body, make([]byte, (4-len(body)%4)%4)...)
		b := le.AppendUint32(le.AppendUint32(slices.Clone(whole[:at]), kind), uint32(12+len(body)))
		return le.AppendUint32(append(b, body...), uint32(12+len(body)))
	}
	size := le.AppendUint32(nil, uint32(len(frame)))
	ticks := uint64(3600_123456789)
	stamp := le.AppendUint32(le.AppendUint32(nil, uint32(ticks>>32)), uint32(ticks))
	old := bytes.Join([][]byte{{0, 0, 9, 9}, stamp, size, size, frame}, nil)
	for name, data := range map[string][]byte{
		"obsolete": block(ngPacket, old),
		"enhanced": block(ngEnhanced, bytes.Join([][]byte{{0, 0, 0, 0}, stamp, size, size, frame}, nil)),
	} {
		sweeps := readSweeps(t, PCAP, "a.pcapng", data)
		if len(sweeps) != 1 || sweeps[0].Time.UnixNano() != 3600_000000000 {
			t.Errorf("%s: found %+v", name, sweeps)
		}
		c, err := newCapture(data)
		if err != nil {
			t.Fatal(err)
		}
		if d, ok, err := c.next(t.Context()); !ok || err != nil || d.time.UnixNano() != int64(ticks) {
			t.Errorf("%s: found time %d, %v, want every nanosecond of %d", name, d.time.UnixNano(), err, ticks)
		}
	}
	if sweeps := readSweeps(t, PCAP, "a.pcapng", block(ngSimple, append(slices.Clone(size), frame...))); len(sweeps) != 1 {
		t.Errorf("simple: found %d sweeps", len(sweeps))
	}
	modified := pcapFile(le, false, frame)
	le.PutUint32(modified, pcapModified)
	modified = slices.Insert(modified, pcapHeader+pcapRecord, make([]byte, 8)...)
	if sweeps := readSweeps(t, PCAP, "a.pcap", modified); len(sweeps) != 1 {
		t.Errorf("modified: found %d sweeps", len(sweeps))
	}
}

// TestCutCaptures are read as far as they are whole.
func TestCutCaptures(t *testing.T) {
	frames := [][]byte{}
	for _, p := range drivenSweeps(0)[:3] {
		frames = append(frames, lidarFrame("10.0.0.1", 1, 2368, p))
	}
	long := pcapFile(le, false, frames...)
	le.PutUint32(long[pcapHeader+2*(pcapRecord+len(frames[0]))+8:], math.MaxUint32)
	for name, c := range map[string]struct {
		data []byte
		note string
	}{
		"record": {
			pcapFile(le, false, frames...)[:pcapHeader+2*(pcapRecord+len(frames[0]))+100],
			"cut off at byte 2552: found a record of 1248 bytes, want at most 84; 100 bytes are left out",
		},
		"header": {pcapFile(le, false, frames...)[:pcapHeader+2*(pcapRecord+len(frames[0]))+7], "7 bytes are left out"},
		"length": {long, "found a record of 4294967295 bytes"},
		"block":  {pcapngFile(le, frames...)[:len(pcapngFile(le, frames...))-8], "found a block of 1280 bytes"},
	} {
		name := map[bool]string{true: "a.pcapng", false: "a.pcap"}[name == "block"]
		path := written(t, name, c.data)
		got, notes, err := described(t, PCAP, path, Options{})
		if err != nil || !slices.Equal(got, []string{"10.0.0.1:2368 Velodyne VLP-16 2 1"}) ||
			!strings.Contains(notes, c.note) {
			t.Errorf("%s: found %q, %q, %v, want %q", name, got, notes, err, c.note)
		}
		if n := len(sweepsOf(t, PCAP, path)); n != 1 {
			t.Errorf("%s: found %d sweeps, want as many as inspect", name, n)
		}
	}
}

// TestNothing: what a capture without a sensor holds is said.
func TestNothing(t *testing.T) {
	frame := lidarFrame("10.0.0.1", 1, 2368, append([]byte{0xee, 0xff}, make([]byte, 1078)...))
	lidar := lidarFrame("10.0.0.1", 1, 2368, vlp16(0, 0, 0x37))
	cut := pcapFile(le, false, lidar[:200])
	le.PutUint32(cut[pcapHeader+12:], uint32(len(lidar)))
	for name, c := range map[string]struct {
		data []byte
		want []string
	}{
		"other": {
			pcapFile(le, false, frame, frame),
			[]string{"found 2 UDP datagrams of 1080 bytes from 10.0.0.1 to port 2368", "Velodyne (1206 bytes)"},
		},
		"Ouster": {
			pcapFile(le, false, lidarFrame("10.0.0.1", 1, 9, make([]byte, 8448))),
			[]string{"1 UDP datagram of 8448 bytes", "metadata beside it as a.json"},
		},
		"snap":     {cut, []string{"1 of 1 packet captured with 200 bytes of each packet"}},
		"short":    {pcapFile(le, false, lidar[:200]), []string{"1 packet shorter than their headers say"}},
		"wireless": {linked(105, lidar), []string{"1 packet of link type 105 (IEEE 802.11)"}},
		"TCP": {
			pcapFile(le, false, frameOf("", ipOf("10.0.0.1", 6, make([]byte, 20)))),
			[]string{"1 packet that are not UDP"},
		},
		"empty": {pcapFile(le, false), []string{"found no packet"}},
	} {
		_, _, err := described(t, PCAP, written(t, "a.pcap", c.data), Options{})
		for _, want := range c.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: found %v, want %q", name, err, want)
			}
		}
	}
	_, notes, err := described(t, PCAP, written(t, "a.pcap", pcapFile(le, false, lidar, frame)), Options{})
	if err != nil || !strings.Contains(notes, "left out what no supported sensor sends: 1 UDP datagram of 1080 bytes") {
		t.Errorf("found %q, %v, want the other sensor", notes, err)
	}
}

// TestRoboSenseCapture: device information comes from another port, and may come late.
func TestRoboSenseCapture(t *testing.T) {
	var frames [][]byte
	for i := range 50 {
		frames = append(frames, lidarFrame("10.0.0.1", 6699, 6699, helios(uint32(i))))
	}
	path := written(
		t,
		"a.pcap",
		pcapFile(le, false, append(frames, lidarFrame("10.0.0.1", 7788, 7788, heliosInfo()))...),
	)
	got, notes, err := described(t, PCAP, path, Options{})
	if err != nil || len(got) != 1 || !strings.HasPrefix(got[0], "10.0.0.1:6699 RoboSense Helios 50 ") || notes != "" {
		t.Errorf("found %q, %q, %v", got, notes, err)
	}
	_, _, err = described(t, PCAP, written(t, "a.pcap", pcapFile(le, false, frames...)), Options{})
	if err == nil || !strings.Contains(err.Error(), "--calibration") {
		t.Errorf("found %v, want what is missing", err)
	}
}

// TestOusterFiles: the names and the choice of metadata.
func TestOusterFiles(t *testing.T) {
	packetOf := func(serial uint64) []byte {
		p := tinyPacket("RNG15_RFL8_NIR8", 1)
		copy(p[7:12], le.AppendUint64(nil, serial))
		return p
	}
	frame := func(addr string, port uint16, serial uint64) []byte {
		return lidarFrame(addr, 1, port, packetOf(serial))
	}
	meta := func(extra string) string {
		return `{` + extra + strings.Replace(tinyOuster, "PROFILE", "RNG15_RFL8_NIR8", 1)[1:]
	}
	one := [][]byte{frame("10.0.0.1", 7502, 5)}
	two := [][]byte{one[0], frame("10.0.0.2", 7502, 6)}
	for name, c := range map[string]struct {
		frames [][]byte
		files  map[string]string
		o      Options
		want   string // sources, or an error
		note   string
	}{
		"same name":  {one, map[string]string{"r-000.json": meta("")}, Options{}, "10.0.0.1:7502 Ouster OS-T 1 1", ""},
		"upper case": {one, map[string]string{"r-000.JSON": meta("")}, Options{}, "10.0.0.1:7502 Ouster OS-T 1 1", ""},
		"numbered": {
			one,
			map[string]string{"r-000_0.json": meta(""), "x.json": "{"},
			Options{},
			"10.0.0.1:7502 Ouster OS-T 1 1", "",
		},
		"part of name": {
			one,
			map[string]string{"r.json": meta(""), "x.json": meta("")},
			Options{},
			"10.0.0.1:7502",
			"r.json, for lack of r-000.json",
		},
		"only one": {
			one,
			map[string]string{"x.json": meta(""), "y.json": `{"a":1}`},
			Options{},
			"10.0.0.1:7502", "taken from x.json",
		},
		"several": {
			one,
			map[string]string{"x.json": meta(""), "y.json": meta("")},
			Options{},
			"several files of metadata that fit, x.json, y.json; choose one with --calibration", "",
		},
		"by port": {one, map[string]string{
			"x.json": meta(`"udp_port_lidar":7502,`),
			"y.json": meta(`"udp_port_lidar":9,`),
		}, Options{}, "10.0.0.1:7502", "x.json"},
		"by serial": {two, map[string]string{
			"r-000_0.json": meta(`"prod_sn":"6",`),
			"r-000_1.json": meta(`"prod_sn":5,`),
		}, Options{}, "10.0.0.1:7502 Ouster OS-T 1 1;10.0.0.2:7502 Ouster OS-T 1 1", ""},
		"other one": {
			two,
			map[string]string{"r-000.json": meta(`"prod_sn":"6",`)},
			Options{},
			"10.0.0.2:7502 Ouster OS-T 1 1", "left out 10.0.0.1:7502: found packets of the Ouster with serial number 5",
		},
		"wrong": {one, map[string]string{"r-000.json": meta(`"prod_sn":"6",`)}, Options{}, "r-000.json is that of 6", ""},
		"another's": {
			[][]byte{frame("10.0.0.1", 7502, 0)},
			map[string]string{"x.json": meta(""), "x.pcap": ""},
			Options{},
			"no metadata of that sensor", "",
		},
		"another's, by serial": {
			one,
			map[string]string{"x.json": meta(`"prod_sn":5,`), "x.pcap": ""},
			Options{},
			"10.0.0.1:7502", "x.json",
		},
		"size": {
			one,
			map[string]string{"r-000.json": strings.Replace(tinyOuster, "PROFILE", "LEGACY", 1)},
			Options{},
			"sensor of r-000.json sends", "",
		},
		"profile": {
			one,
			map[string]string{"r-000.json": strings.Replace(tinyOuster, "PROFILE", "NEW", 1)},
			Options{},
			`udp_profile_lidar: found "NEW"`, "",
		},
		"damaged": {one, map[string]string{"r-000.json": `{"beam`}, Options{}, "unexpected end of JSON", ""},
		"one of it": {
			[][]byte{frame("10.0.0.1", 7502, 5), frame("10.0.0.1", 7502, 6)},
			map[string]string{"r-000.json": meta("")},
			Options{},
			"10.0.0.1:7502-serial-5 Ouster OS-T 1 1;10.0.0.1:7502-serial-6 Ouster OS-T 1 1", "",
		},
	} {
		path := written(t, "r-000.pcap", pcapFile(le, false, c.frames...))
		for file, text := range c.files {
			if err := os.WriteFile(filepath.Join(filepath.Dir(path), file), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		got, notes, err := described(t, PCAP, path, c.o)
		found := strings.Join(got, ";")
		if err != nil {
			found = err.Error()
		}
		if !strings.Contains(found, c.want) || !strings.Contains(notes, c.note) {
			t.Errorf("%s: found %q, %q, want %q, %q", name, found, notes, c.want, c.note)
		}
	}
	path := written(t, "r.pcap", pcapFile(le, false, one...))
	given := Options{Calibration: written(t, "other.json", []byte(meta(`"prod_sn":"6",`)))}
	if got, notes, err := described(t, PCAP, path, given); err != nil || len(got) != 1 ||
		!strings.Contains(notes, "other.json") {
		t.Errorf("given: found %q, %q, %v", got, notes, err)
	}
	// The beams' origin may lie above the lidar's: OSDome.
	m, err := parseOusterMeta([]byte(meta(`"beam_to_lidar_transform":[1,0,0,30,0,1,0,0,0,0,1,40,0,0,0,1],`)))
	if err != nil {
		t.Fatal(err)
	}
	d := newOusterDecoder(m)
	if _, err := d.add(packet{data: packetOf(5)}); err != nil {
		t.Fatal(err)
	}
	if c := d.rest().cloud; math.Abs(c.X[0]-(2-0.05+0.03)) > 1e-9 || math.Abs(c.Z[0]-0.04) > 1e-9 {
		t.Errorf("found %g %g, want a beam that begins 3 cm before and 4 cm above the lidar's origin", c.X[0], c.Z[0])
	}
}

// bagTopic is a topic of a made recording.
type bagTopic struct {
	name, kind string
	messages   [][]byte
}

func zstdOf(t *testing.T, data []byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close() //nolint:errcheck // nothing is written
	return w.EncodeAll(data, nil)
}

// db3Of makes a database of topics; messages of all topics alternate.
func db3Of(t *testing.T, topics ...bagTopic) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "made.db3")
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	exec := func(q string, args ...any) {
		if _, err := db.Exec(q, args...); err != nil {
			t.Fatal(err)
		}
	}
	exec("CREATE TABLE topics (id INTEGER PRIMARY KEY, name TEXT, type TEXT, serialization_format TEXT)")
	exec("CREATE TABLE messages (id INTEGER PRIMARY KEY, topic_id INTEGER, timestamp INTEGER, data BLOB)")
	exec("CREATE INDEX timestamp_idx ON messages (timestamp ASC)")
	for i, k := range topics {
		exec("INSERT INTO topics VALUES (?, ?, ?, 'cdr')", i+1, k.name, k.kind)
	}
	for n := 0; ; n++ {
		more := false
		for i, k := range topics {
			if n < len(k.messages) {
				exec(
					"INSERT INTO messages (topic_id, timestamp, data) VALUES (?, ?, ?)",
					i+1,
					1600000000000000000+1e8*n,
					k.messages[n],
				)
				more = true
			}
		}
		if !more {
			break
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// mcapTopics makes a file of chunks, each with one message of every topic.
func mcapTopics(t *testing.T, how string, topics ...bagTopic) []byte {
	t.Helper()
	u16 := func(v uint16) []byte { return le.AppendUint16(nil, v) }
	text := func(s string) []byte { return append(le.AppendUint32(nil, uint32(len(s))), s...) }
	record := func(op byte, content ...[]byte) []byte {
		all := bytes.Join(content, nil)
		return append(le.AppendUint64([]byte{op}, uint64(len(all))), all...)
	}
	b := append([]byte(mcapMagic), record(0x01, text("ros2"), text("test"))...)
	encoding := "cdr"
	for i, k := range topics {
		if !strings.Contains(k.kind, "/msg/") {
			encoding = "ros1"
		}
		b = append(b, record(mcapSchema, u16(uint16(i+1)), text(k.kind), text("x"), text(""))...)
		b = append(b, record(mcapChannel, u16(uint16(i)), u16(uint16(i+1)), text(k.name), text(encoding), text(""))...)
	}
	for n := range topics[0].messages {
		var plain []byte
		for i, k := range topics {
			if n < len(k.messages) {
				plain = append(plain, record(mcapMessage, u16(uint16(i)), make([]byte, 20), k.messages[n])...)
			}
		}
		packed := plain
		switch how {
		case "zstd":
			packed = zstdOf(t, plain)
		case "lz4":
			var out bytes.Buffer
			w := lz4.NewWriter(&out)
			if _, err := w.Write(plain); err != nil {
				t.Fatal(err)
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			packed = out.Bytes()
		}
		size := le.AppendUint64(nil, uint64(len(plain)))
		sum := le.AppendUint32(nil, crc32.ChecksumIEEE(plain))
		b = append(
			b,
			record(
				mcapChunk,
				make([]byte, 16),
				size,
				sum,
				text(how),
				le.AppendUint64(nil, uint64(len(packed))),
				packed,
			)...)
	}
	return append(append(b, record(mcapDataEnd, make([]byte, 4))...), mcapMagic...)
}

func scansFrom(azimuth int) (out [][]byte) {
	all := drivenSweeps(azimuth)
	for i := 0; i < len(all); i += 28 {
		out = append(out, scanOf(velodyneSize, false, all[i:i+28]...))
	}
	return out
}

// TestTopicsApart: each topic of a recording is a stream, whatever the recording and its compression.
func TestTopicsApart(t *testing.T) {
	const scanKind, cloudKind = "velodyne_msgs/msg/VelodyneScan", "sensor_msgs/msg/PointCloud2"
	cloud := cloudMessage(t)
	front, rear := bagTopic{"/front", scanKind, scansFrom(0)}, bagTopic{"/rear", scanKind, scansFrom(18000)}
	none, points := bagTopic{"/none", scanKind, nil}, bagTopic{"/points", cloudKind, [][]byte{cloud}}
	packed := bagTopic{name: "/front", kind: scanKind}
	for _, m := range front.messages {
		packed.messages = append(packed.messages, zstdOf(t, m))
	}
	want := []string{"/front Velodyne VLP-16 112 2", "/rear Velodyne VLP-16 112 2"}
	left := "packets are read, clouds are left out: /points (PointCloud2"
	for name, c := range map[string]struct {
		f    ingest.Format
		file string
		data []byte
		note string
	}{
		"db3":            {ROSBag2, "a.db3", db3Of(t, none, front, points, rear), left},
		"db3, file":      {ROSBag2, "a.db3.zstd", zstdOf(t, db3Of(t, front, rear)), ""},
		"db3, messages":  {ROSBag2, "a.db3", db3Of(t, packed, rear), ""},
		"mcap":           {MCAP, "a.mcap", mcapTopics(t, "", front, none, rear, points), left},
		"mcap, lz4":      {MCAP, "a.mcap", mcapTopics(t, "lz4", front, rear), ""},
		"mcap, zstd":     {MCAP, "a.mcap", mcapTopics(t, "zstd", front, rear), ""},
		"mcap, file":     {MCAP, "a.mcap.zst", zstdOf(t, mcapTopics(t, "", front, rear)), ""},
		"mcap, messages": {MCAP, "a.mcap", mcapTopics(t, "", packed, rear), ""},
		"mcap, no summary": {
			MCAP, "a.mcap", mcapTopics(t, "", front, rear)[:len(mcapTopics(t, "", front, rear))-21],
			"",
		},
	} {
		path := written(t, c.file, c.data)
		head, err := ingest.ReadHead(path)
		if err != nil || c.f.Detect(head) == ingest.No {
			t.Errorf("%s: not recognized: %v", name, err)
		}
		got, notes, err := described(t, c.f, path, Options{})
		if err != nil || !slices.Equal(got, want) || !strings.HasPrefix(notes, c.note) || c.note == "" && notes != "" {
			t.Errorf("%s: found %q, %q, %v, want %q", name, got, notes, err, c.note)
		}
		if got, _, err := described(t, c.f, path, Options{Topic: "rear"}); err != nil || !slices.Equal(got, want[1:]) {
			t.Errorf("%s: found %q, %v, want the topic", name, got, err)
		}
		if strings.Contains(c.note, "/points") {
			got, _, err := described(t, c.f, path, Options{Topic: "/points"})
			if err != nil || !slices.Equal(got, []string{"/points PointCloud2 1 1"}) {
				t.Errorf("%s: found %q, %v, want the clouds", name, got, err)
			}
		}
		_, _, err = described(t, c.f, path, Options{Topic: "/x"})
		if err == nil || !strings.Contains(err.Error(), "--topic /x: found no such source; the recording has") {
			t.Errorf("%s: found %v", name, err)
		}
	}
	// A recording of one topic has a stream without its name.
	sweeps := readSweeps(t, MCAP, "a.mcap", mcapTopics(t, "", front, points))
	if len(sweeps) != 2 || strings.Contains(sweeps[0].Stream, ":") {
		t.Errorf("found %d sweeps of %s", len(sweeps), sweeps[0].Stream)
	}
}

// TestCutBags are read as far as they are whole.
func TestCutBags(t *testing.T) {
	front := bagTopic{"/front", "velodyne_msgs/msg/VelodyneScan", scansFrom(0)}
	bag := bagOf(t, "none")
	small := bagTopic{"/front", "velodyne_msgs/msg/VelodyneScan", nil}
	for _, p := range drivenSweeps(0) {
		small.messages = append(small.messages, scanOf(velodyneSize, false, p))
	}
	for name, c := range map[string]struct {
		f     ingest.Format
		file  string
		data  []byte
		share float64 // of the file
		least int     // packets
		note  string
	}{
		"db3":        {ROSBag2, "a.db3", db3Of(t, small), .7, 56, "cut off or damaged"},
		"mcap":       {MCAP, "a.mcap", mcapTopics(t, "", front), .7, 56, "cut off in the chunk"},
		"mcap, lz4":  {MCAP, "a.mcap", mcapTopics(t, "lz4", front), .7, 56, "cut off in the chunk"},
		"mcap, zstd": {MCAP, "a.mcap", mcapTopics(t, "zstd", front), .7, 56, "cut off in the chunk"},
		"bag": {
			ROSBag1, "a.bag.active", append(bag, bag[len(bagMagic):]...), .9, 2,
			"cut off in the chunk at byte",
		},
	} {
		data := c.data[:int(c.share*float64(len(c.data)))]
		path := written(t, c.file, data)
		got, notes, err := described(t, c.f, path, Options{})
		var packets int
		if len(got) == 1 {
			fields := strings.Fields(got[0])
			_, _ = fmt.Sscan(fields[len(fields)-2], &packets)
		}
		if err != nil || packets < c.least || !strings.Contains(notes, c.note) {
			t.Errorf("%s: found %q, %q, %v, want %d packets or more and %q", name, got, notes, err, c.least, c.note)
		}
		if len(sweepsOf(t, c.f, path)) == 0 {
			t.Errorf("%s: found no sweep, want as many as inspect", name)
		}
	}
	// Damage in the middle costs a chunk, or is noted.
	damaged := mcapTopics(t, "lz4", front)
	copy(damaged[len(damaged)/2:], make([]byte, 40))
	wrong := mcapTopics(t, "", front)
	wrong[len(wrong)/2] ^= 1
	for name, data := range map[string][]byte{"damaged": damaged, "wrong": wrong} {
		got, notes, err := described(t, MCAP, written(t, "a.mcap", data), Options{})
		if err != nil || len(got) != 1 || !strings.Contains(notes, "a chunk is left out or wrong") {
			t.Errorf("%s: found %q, %q, %v", name, got, notes, err)
		}
	}
}

// TestSplitBag: a folder of several files is one recording, whose sweeps continue from file to file.
func TestSplitBag(t *testing.T) {
	dir := t.TempDir()
	put := func(name string, data []byte) {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	front, rear := scansFrom(0), scansFrom(18000)
	listing := "rosbag2_bagfile_information:\n  relative_file_paths:\n"
	for i := range 4 {
		a := bagTopic{"/front", "velodyne_msgs/msg/VelodyneScan", front[i : i+1]}
		b := bagTopic{"/rear", "velodyne_msgs/msg/VelodyneScan", rear[i : i+1]}
		if i%2 == 1 {
			a, b = b, a
		}
		name := fmt.Sprintf("r_%d.db3", 9+i) // 10 follows 9
		listing += "    - r/" + name + "\n"
		put(name, db3Of(t, a, b))
	}
	want := []string{"/front Velodyne VLP-16 112 2", "/rear Velodyne VLP-16 112 2"}
	check := func(name string, want []string, note string) {
		t.Helper()
		head, err := ingest.ReadHead(dir)
		if err != nil || ROSBag2.Detect(head) == ingest.No {
			t.Errorf("%s: not recognized: %v", name, err)
		}
		got, notes, err := described(t, ROSBag2, dir, Options{})
		if err != nil || !slices.Equal(got, want) || !strings.Contains(notes, note) {
			t.Errorf("%s: found %q, %q, %v, want %q, %q", name, got, notes, err, want, note)
		}
	}
	check("without metadata", want, "found no metadata.yaml")
	put("metadata.yaml", []byte(listing))
	check("whole", want, "")
	if n := len(sweepsOf(t, ROSBag2, dir)); n != 4 {
		t.Errorf("found %d sweeps, want 4", n)
	}
	put("r_10.db3", []byte("damaged"))
	check("damaged", []string{"/front Velodyne VLP-16 84 2", "/rear Velodyne VLP-16 84 2"}, "left out r_10.db3")
	if err := os.Remove(filepath.Join(dir, "r_10.db3")); err != nil {
		t.Fatal(err)
	}
	check(
		"missing",
		[]string{"/front Velodyne VLP-16 84 2", "/rear Velodyne VLP-16 84 2"},
		`lists "r_10.db3", which is missing`,
	)
}

// cloudSpec is a PointCloud2 message of ROS 2 with points (column, row, 7) of one type.
type cloudSpec struct {
	height, width, pad, row int // row below 0: as it should be
	kind                    byte
	order                   binary.ByteOrder
	count                   uint32
	names                   string
	stamp                   uint32
}

func (s cloudSpec) message() []byte {
	b := []byte{0, 1, 0, 0}
	u32 := func(v int) {
		for len(b)%4 != 0 {
			b = append(b, 0)
		}
		b = le.AppendUint32(b, uint32(v))
	}
	value := func(v float64) []byte {
		out := make([]byte, 8)
		switch s.kind {
		case 2:
			return []byte{byte(v)}
		case 3:
			s.order.PutUint16(out, uint16(v))
			return out[:2]
		case 7:
			s.order.PutUint32(out, math.Float32bits(float32(v)))
			return out[:4]
		}
		s.order.PutUint64(out, math.Float64bits(v))
		return out
	}
	size := len(value(0))
	u32(int(s.stamp))
	u32(0)
	u32(1)
	b = append(b, 0)
	u32(s.height)
	u32(s.width)
	u32(len(s.names))
	for i, name := range s.names {
		u32(2)
		b = append(b, string(name)+"\x00"...)
		u32(i * size)
		b = append(b, s.kind)
		u32(int(s.count))
	}
	big := byte(0)
	if s.order == binary.ByteOrder(be) {
		big = 1
	}
	b = append(b, big)
	stride := len(s.names) * size
	u32(stride)
	if s.row < 0 {
		s.row = s.width*stride + s.pad
	}
	u32(s.row)
	var data []byte
	for r := range s.height {
		for c := range s.width {
			for _, v := range []float64{float64(c), float64(r), 7}[:len(s.names)] {
				data = append(data, value(v)...)
			}
		}
		data = append(data, bytes.Repeat([]byte{0xee}, s.pad)...)
	}
	u32(len(data))
	return append(append(b, data...), 1)
}

// TestClouds: what a PointCloud2 may look like.
func TestClouds(t *testing.T) {
	for name, s := range map[string]cloudSpec{
		"plain":       {2, 3, 0, -1, 7, le, 1, "xyz", 5},
		"padded":      {2, 3, 10, -1, 7, le, 1, "xyz", 5},
		"big":         {2, 3, 0, -1, 7, be, 1, "xyz", 5},
		"big, padded": {2, 3, 4, -1, 7, be, 1, "xyz", 5},
		"double":      {2, 3, 0, -1, 8, le, 1, "xyz", 5},
		"double, big": {2, 3, 8, -1, 8, be, 1, "xyz", 5},
		"bytes":       {2, 3, 1, -1, 2, le, 1, "xyz", 5},
		"shorts":      {2, 3, 0, -1, 3, be, 1, "xyz", 5},
		"count":       {2, 3, 0, -1, 7, le, 0, "xyz", 5},
		"upper case":  {2, 3, 0, -1, 7, le, 1, "XYZ", 5},
		"no row size": {2, 3, 0, 0, 7, le, 1, "xyz", 5},
		"one row":     {1, 6, 0, 1, 7, le, 1, "xyz", 5},
		"no points":   {0, 0, 0, -1, 7, le, 1, "xyz", 5},
		"no fields":   {1, 0, 0, -1, 7, le, 1, "", 5},
	} {
		d := &cloudDecoder{limits: ingest.Options{}.WithDefaults()}
		sweep, err := d.add(packet{data: s.message()})
		if err != nil || sweep.cloud.Len() != s.height*s.width || sweep.time.Unix() != 5 {
			t.Errorf("%s: found %+v, %v", name, sweep, err)
			continue
		}
		c := sweep.cloud
		for i := range c.Len() {
			if c.X[i] != float64(i%s.width) || c.Y[i] != float64(i/s.width) || c.Z[i] != 7 {
				t.Errorf("%s: point %d: found %g %g %g", name, i, c.X[i], c.Y[i], c.Z[i])
			}
		}
	}
	bad := cloudSpec{2, 3, 0, -1, 7, le, 1, "xy", 5}.message()
	short := cloudSpec{2, 3, 0, 4, 7, le, 1, "xyz", 5}.message()
	for want, data := range map[string][]byte{"want one named z": bad, "in 2 rows of 4 bytes": short} {
		d := &cloudDecoder{limits: ingest.Options{}.WithDefaults()}
		if _, err := d.add(packet{data: data}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("found %v, want %q", err, want)
		}
	}
	// A bad message costs itself only, in reading and in inspecting.
	ok := cloudSpec{2, 3, 0, -1, 7, le, 1, "xyz", 0}.message()
	path := written(t, "a.db3", db3Of(t, bagTopic{"/c", "sensor_msgs/msg/PointCloud2", [][]byte{bad, ok}}))
	got, notes, err := described(t, ROSBag2, path, Options{})
	if err != nil || !slices.Equal(got, []string{"/c PointCloud2 1 1"}) ||
		!strings.Contains(notes, "/c: 1 message cannot be") ||
		!strings.Contains(notes, "the time at which they were recorded") {
		t.Errorf("found %q, %q, %v", got, notes, err)
	}
	src, err := ROSBag2.Open(t.Context(), path, ingest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close() //nolint:errcheck // opened for reading
	if _, err := src.Read(t.Context()); err == nil {
		t.Error("found no error for a cloud without z")
	}
	if s, err := src.Read(t.Context()); err != nil || s.Time.Unix() != 1600000000 {
		t.Errorf("found %v, %v, want the other cloud at the time of recording", s.Time, err)
	}
}
