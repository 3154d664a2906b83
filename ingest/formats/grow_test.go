package formats

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/ingesttest"
)

// growing are inputs of hostile structure at any size: name of the file, and content for a size. Reading them takes
// time that is about linear in the size.
var growing = []struct {
	name string
	n    int
	make func(n int) []byte
}{
	{"counts.pcd", 1000, func(n int) []byte {
		return []byte("VERSION .7\nFIELDS" + strings.Repeat(" x", n) + "\nSIZE" + strings.Repeat(" 4", n) + "\nTYPE" +
			strings.Repeat(" F", n) + "\nCOUNT" + strings.Repeat(" 65000",
			n) + "\nWIDTH 1\nHEIGHT 1\nPOINTS 1\nDATA ascii\n1 2 3\n")
	}},
	{"bad.off", 400000, func(n int) []byte {
		return []byte(fmt.Sprintf("OFF\n%d 0 0\n", n) + strings.Repeat("a b c\n", n))
	}},
	{"bad.obj", 400000, func(n int) []byte { return []byte("v 1 2 3\n" + strings.Repeat("v a\n", n)) }},
	{"blocks.pts", 4000, func(n int) []byte {
		return []byte(strings.Repeat("1\n1 2 3\n", n) + strings.Repeat("\n", 3000*n))
	}},
	{"decimal.pts", 1000, func(n int) []byte {
		return []byte(strings.Repeat("2\n1,5 2,5 3,5\n1,5 2,5 3,5\n", n) + strings.Repeat("# a\n", 1000*n))
	}},
	{"scans.ptx", 1000, func(n int) []byte {
		return []byte(strings.Repeat("10000\n10000\n"+ptxPose+"1 2 3 .5\n", n))
	}},
	{"spaces.ptx", 4000, func(n int) []byte {
		return []byte(strings.Repeat("1\n1\n"+ptxPose+"1 2 3 .5\n", n) +
			strings.Repeat(" ", 1000*n))
	}},
	{"scans.e57", 8000, func(n int) []byte {
		return e57Of(strings.Repeat(`<v><points recordCount="1" fileOffset="48"><prototype><cartesianX type="Float"/>`+
			`<cartesianY type="Float"/><cartesianZ type="Float"/></prototype></points></v>`, n), 500*n)
	}},
	{"pieces.e57", 300000, func(n int) []byte {
		return e57Of("<v><name>"+strings.Repeat("x<!---->", n)+"</name></v>", 10)
	}},
	{"fields.e57", 1000, func(n int) []byte {
		return e57Of(`<v><points recordCount="100" fileOffset="48"><prototype>`+strings.Repeat(`<x type="Float"/>`, n)+
			`</prototype></points></v>`, 10)
	}},
	{"properties.ply", 1000, func(n int) []byte {
		return []byte("ply\nformat ascii 1.0\nelement vertex 1\n" + strings.Repeat("property float x\n",
			n) + "end_header\n1 2 3\n")
	}},
	{"elements.ply", 1000, func(n int) []byte {
		return []byte("ply\nformat ascii 1.0\n" + strings.Repeat("element a 0\n",
			n) + "element vertex 1\nproperty float x\n" +
			"property float y\nproperty float z\nend_header\n1 2 3\n")
	}},
	{"comments.ply", 10000, func(n int) []byte {
		return []byte("ply\nformat ascii 1.0\n" + strings.Repeat("comment\n",
			n) + "element vertex 1\nproperty float x\n" +
			"property float y\nproperty float z\nend_header\n1 2 3\n")
	}},
	{"titles.csv", 2000, func(n int) []byte { return []byte(strings.Repeat("x,y,z\n", n) + "1,2,3\n4,5,6\n") }},
	{"comments.xyz", 20000, func(n int) []byte { return []byte(strings.Repeat("# a b c\n", n) + "1 2 3\n4 5 6\n") }},
	{"line.xyz", 100000, func(n int) []byte { return []byte(strings.Repeat("1 ", n)) }},
	{"line.csv", 100000, func(n int) []byte { return []byte(strings.Repeat("1,", n)) }},
	{"quotes.csv", 100000, func(n int) []byte { return []byte("x,y,z\n" + strings.Repeat("\"", n) + "\n1,2,3\n") }},
	{"bad.csv", 50000, func(n int) []byte { return []byte("x,y,z\n" + strings.Repeat("1,2,a\n", n)) }},
	{"line.off", 100000, func(n int) []byte { return []byte("OFF\n" + strings.Repeat("1 ", n) + "\n1 2 3\n") }},
	{"backslash.obj", 100000, func(n int) []byte { return []byte("v 1 2 3\n" + strings.Repeat("\\\n", n)) }},
	{"points3D.txt", 20000, func(n int) []byte {
		return []byte("# 3D point list\n1 1 1 1 1 1 1 1" + strings.Repeat(" 1 1", n) + "\n")
	}},
	{"cameras.nvm", 5000, func(n int) []byte {
		return []byte(fmt.Sprintf("NVM_V3\n\n%d\n", n) + strings.Repeat("a 1 1 0 0 0 0 0 0 0 0\n", n) + "\n0\n")
	}},
	{"reconstruction.json", 20000, func(n int) []byte {
		var b strings.Builder
		b.WriteString(`[{"cameras":{"a":{"projection_type":"perspective"}},"shots":{},"points":{`)
		for i := range n {
			if i > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, `"%d":{"coordinates":[1,2,3],"color":[1,2,3]}`, i)
		}
		return []byte(b.String() + "}}]")
	}},
	{"many.json", 20000, func(n int) []byte {
		return []byte(`[{"cameras":{"a":{"projection_type":"perspective"}}}` + strings.Repeat(`,{"cameras":{}}`, n) + "]")
	}},
	{"nested.dcm", 1000, func(n int) []byte { return dicomOf(bytes.Repeat(dicomItem(true), n)) }},
	{"items.dcm", 20000, func(n int) []byte {
		return dicomOf(append(dicomSequence(), bytes.Repeat(dicomItem(false), n)...))
	}},
	{"elements.dcm", 50000, func(n int) []byte {
		var b []byte
		for i := range n {
			b = append(b, 9, 0, byte(i), byte(i>>8), 'L', 'O', 2, 0, 'a', ' ')
		}
		return dicomOf(b)
	}},
	{"channels.mcap", 10000, func(n int) []byte {
		b := []byte("\x89MCAP0\r\n")
		for i := range n {
			b = append(b, mcapChannel(uint16(i), fmt.Sprintf("/t%d", i), "cdr")...)
		}
		return append(b, mcapRecord(5, append([]byte{0, 0}, make([]byte, 24)...))...)
	}},
	{"same.mcap", 10000, func(n int) []byte {
		b := append([]byte("\x89MCAP0\r\n"), mcapRecord(3,
			append([]byte{1, 0, 27, 0, 0, 0}, "sensor_msgs/msg/PointCloud2____"...))...)
		for i := range n {
			b = append(b, mcapChannel(uint16(i), "/a", fmt.Sprint(i))...)
			b = append(b, mcapRecord(5, append(binary.LittleEndian.AppendUint16(nil, uint16(i)),
				make([]byte, 24)...))...)
		}
		return b
	}},
	{"connections.bag", 65000, func(n int) []byte {
		b := []byte("#ROSBAG V2.0\n")
		for i := range n {
			b = append(b, bagConnection(uint32(i), fmt.Sprintf("/t%d", i), "sensor_msgs/PointCloud2")...)
			b = append(b, bagMessage(uint32(i))...)
		}
		return b
	}},
	{"names.bag", 900, func(n int) []byte {
		b := []byte("#ROSBAG V2.0\n")
		for i := range n {
			b = append(b, bagConnection(uint32(i), "/"+strings.Repeat("/", i%100)+strings.Repeat("_", i/100),
				"sensor_msgs/PointCloud2")...)
			b = append(b, bagMessage(uint32(i))...)
		}
		return b
	}},
	{"flows.pcap", 20000, func(n int) []byte {
		b := pcapHead()
		for i := range n {
			b = append(b, pcapUDP([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}, uint16(i), make([]byte, 8))...)
		}
		return b
	}},
	{"sensors.pcap", 1000, func(n int) []byte {
		b := pcapHead()
		p := make([]byte, 1206)
		for k := range 12 {
			p[k*100], p[k*100+1] = 0xff, 0xee
		}
		p[1204], p[1205] = 0x37, 0x22
		for i := range n {
			b = append(b, pcapUDP([4]byte{10, 0, byte(i >> 8), byte(i)}, 2368, p)...)
		}
		return b
	}},
	{"fragments.pcap", 100000, func(n int) []byte {
		b := pcapHead()
		for i := range n {
			f := pcapUDP([4]byte{10, 0, 0, 1}, 2368, make([]byte, 8))
			binary.BigEndian.PutUint16(f[16+14+4:], uint16(i))
			binary.BigEndian.PutUint16(f[16+14+6:], 0x2000|8000)
			b = append(b, f...)
		}
		return b
	}},
	{"vlrs.las", 16000, func(n int) []byte {
		b := make([]byte, 227+54*n+20)
		copy(b, "LASF")
		b[24], b[25], b[104] = 1, 2, 0
		binary.LittleEndian.PutUint16(b[94:], 227)
		binary.LittleEndian.PutUint32(b[96:], uint32(227+54*n))
		binary.LittleEndian.PutUint32(b[100:], uint32(n))
		binary.LittleEndian.PutUint16(b[105:], 20)
		binary.LittleEndian.PutUint32(b[107:], 1)
		for k := range 3 {
			binary.LittleEndian.PutUint64(b[131+8*k:], math.Float64bits(1))
		}
		return b
	}},
}

func mcapRecord(op byte, content []byte) []byte {
	return append(binary.LittleEndian.AppendUint64([]byte{op}, uint64(len(content))), content...)
}

func mcapText(b []byte, s string) []byte {
	return append(binary.LittleEndian.AppendUint32(b, uint32(len(s))), s...)
}

func mcapChannel(id uint16, topic, encoding string) []byte {
	b := append(binary.LittleEndian.AppendUint16(nil, id), 1, 0)
	return mcapRecord(4, append(mcapText(mcapText(b, topic), encoding), 0, 0, 0, 0))
}

func bagField(b []byte, name string, value []byte) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(len(name)+1+len(value)))
	return append(append(append(b, name...), '='), value...)
}

func bagRecordOf(header, data []byte) []byte {
	b := append(binary.LittleEndian.AppendUint32(nil, uint32(len(header))), header...)
	return append(binary.LittleEndian.AppendUint32(b, uint32(len(data))), data...)
}

func bagConnection(conn uint32, topic, kind string) []byte {
	h := bagField(bagField(bagField(nil, "op", []byte{7}), "conn", binary.LittleEndian.AppendUint32(nil, conn)),
		"topic", []byte(topic))
	return bagRecordOf(h, bagField(nil, "type", []byte(kind)))
}

func bagMessage(conn uint32) []byte {
	h := bagField(bagField(bagField(nil, "op", []byte{2}), "conn", binary.LittleEndian.AppendUint32(nil, conn)),
		"time", make([]byte, 8))
	return bagRecordOf(h, nil)
}

func pcapHead() []byte {
	b := make([]byte, 24)
	binary.LittleEndian.PutUint32(b, 0xa1b2c3d4)
	binary.LittleEndian.PutUint32(b[20:], 1)
	return b
}

func pcapUDP(from [4]byte, port uint16, data []byte) []byte {
	n := 14 + 20 + 8 + len(data)
	b := make([]byte, 16+n)
	binary.LittleEndian.PutUint32(b[8:], uint32(n))
	binary.LittleEndian.PutUint32(b[12:], uint32(n))
	f := b[16:]
	f[12] = 8
	f[14] = 0x45
	binary.BigEndian.PutUint16(f[16:], uint16(28+len(data)))
	f[23] = 17
	copy(f[26:], from[:])
	binary.BigEndian.PutUint16(f[34:], port)
	binary.BigEndian.PutUint16(f[36:], 2368)
	binary.BigEndian.PutUint16(f[38:], uint16(8+len(data)))
	copy(f[42:], data)
	return b
}

// e57Of makes a file with a section of index packets and scans described by XML.
func e57Of(scans string, packets int) []byte {
	const page = 1024
	body := make([]byte, 48+32)
	copy(body, "ASTM-E57")
	body[48] = 1
	binary.LittleEndian.PutUint64(body[56:], uint64(32+4*packets))
	binary.LittleEndian.PutUint64(body[64:], 80)
	for range packets {
		body = append(body, 0, 0, 3, 0)
	}
	text := "<e57Root><data3D>" + scans + "</data3D></e57Root>"
	at := len(body)
	binary.LittleEndian.PutUint64(body[24:], uint64(at/(page-4)*page+at%(page-4)))
	binary.LittleEndian.PutUint64(body[32:], uint64(len(text)))
	binary.LittleEndian.PutUint64(body[40:], page)
	body = append(body, text...)
	for len(body)%(page-4) != 0 {
		body = append(body, ' ')
	}
	var out []byte
	for i := 0; i < len(body); i += page - 4 {
		p := body[i : i+page-4]
		out = append(out, p...)
		out = binary.BigEndian.AppendUint32(out, crc32.Checksum(p, crc32.MakeTable(crc32.Castagnoli)))
	}
	return out
}

func dicomOf(body []byte) []byte {
	b := make([]byte, 128)
	b = append(b, "DICM"...)
	uid := "1.2.840.10008.1.2.1\x00"
	b = append(b, 2, 0, 16, 0, 'U', 'I', byte(len(uid)), 0)
	b = append(b, uid...)
	return append(b, body...)
}

func dicomSequence() []byte { return []byte{8, 0, 0x40, 0x11, 'S', 'Q', 0, 0, 0xff, 0xff, 0xff, 0xff} }

func dicomItem(nested bool) []byte {
	item := []byte{0xfe, 0xff, 0, 0xe0, 0xff, 0xff, 0xff, 0xff}
	if nested {
		return append(dicomSequence(), item...)
	}
	return append(item, 0xfe, 0xff, 0x0d, 0xe0, 0, 0, 0, 0)
}

// ptxPose is the rest of a header of PTX: the scanner's axes and the matrix, which change nothing.
const ptxPose = "0 0 0\n1 0 0\n0 1 0\n0 0 1\n1 0 0 0\n0 1 0 0\n0 0 1 0\n0 0 0 1\n"

// TestGrowing reads inputs that once took time in the square of their size, or that must be refused at some size. The
// bound is far above what a slow machine takes, and far below what the square takes.
func TestGrowing(t *testing.T) {
	for _, g := range growing {
		t.Run(g.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), g.name)
			if err := os.WriteFile(path, g.make(g.n), 0o600); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			done := make(chan struct{})
			go func() {
				defer close(done)
				f, err := Detect(ctx, path, ingest.Options{})
				if err != nil {
					return
				}
				if _, err := ingesttest.Drain(ctx, f, path); errors.Is(err, ingesttest.ErrContract) {
					t.Error(err)
				}
				_, _ = f.Inspect(ctx, path, ingest.Options{})
			}()
			select {
			case <-done:
			case <-ctx.Done():
				t.Error("found no end after 2 minutes")
			}
		})
	}
}

// TestCanceled ends reading when the context ends, whatever the format: the input is no item that failed.
func TestCanceled(t *testing.T) {
	for _, g := range growing {
		path := filepath.Join(t.TempDir(), g.name)
		if err := os.WriteFile(path, g.make(g.n/100+1), 0o600); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		src, err := Open(ctx, path, NewOptions())
		cancel()
		if err == nil {
			if _, err := src.Read(ctx); !errors.Is(err, context.Canceled) {
				t.Errorf("%s: read: found error %v, want it canceled", g.name, err)
			}
			if err := src.Close(); err != nil {
				t.Error(err)
			}
		}
		if _, err := Inspect(ctx, path, NewOptions()); !errors.Is(err, context.Canceled) &&
			!errors.Is(err, ingest.ErrFormat) {
			t.Errorf("%s: inspect: found error %v, want it canceled", g.name, err)
		}
	}
}
