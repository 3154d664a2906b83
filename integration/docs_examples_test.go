package integration

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/voxelstream/voxelstream/ingest/simulate"
	"github.com/voxelstream/voxelstream/internal/testenv"
)

// useCluster lets the commands of a page use a broker that the test starts.
const useCluster = "export VOXELSTREAM_KAFKA_BROKERS=kafka:9092\n"

// rollout prepares a cluster and two versions of a model, one of which is announced.
const rollout = useCluster + `
		cp shapes.keras shapes-1.keras
		cp shapes.keras shapes-2.keras
		voxelstream model labels shapes-2.keras a,b,c,d,e,f,g,h,i,j --force
		mkdir -p models etc/voxelstream/model
		cp shapes-2.keras models/other.keras
		echo '{"model": "'$PWD'/shapes-2.keras", "sha256": "'$(sha256sum < shapes-2.keras | cut -d' ' -f1)'"}' \
			> etc/voxelstream/model/announcement.json
		voxelstream ingest digits.h5`

// prepared is what a page takes for granted, as commands: files of its own, or what is on a cluster. Files that a page
// makes must not be there before.
var prepared = map[string]string{
	"README.md":        "rm digits.h5 digits.keras",
	"augment.md":       "rm digits.keras; cp build/mnist/* .",
	"augmentations.md": "voxelstream generate --count 20 --layout clouds --out clouds.h5",
	"bring-models.md": `
		voxelstream train mnist3d.h5 --out small.keras
		voxelstream model convert small.keras digits.onnx
		voxelstream train three.npz --validation-split 0 --out three.keras
		voxelstream model convert three.keras shapes.onnx
		seq 10 > names.txt
		voxelstream train scans.npz --grid 64 --arch medical --values raw --validation-split 0 --out ct.keras`,
	"dead-letters.md": useCluster + `
		export VOXELSTREAM_KAFKA_PARTITIONS=1
		voxelstream generate --count 60 --layout clouds --out clouds.h5
		voxelstream ingest clouds.h5 --grid 24
		voxelstream classify --once || [ $? = 3 ]`,
	"inputs.md":       "head -c 12 /dev/urandom | base64 > token",
	"live-sensors.md": "voxelstream ingest simulate --scene drive --to 'udp://127.0.0.1:7502?sensor=ouster' --metadata os1.json",
	"medical.md":      "voxelstream train adrenalmnist3d.npz --arch medical --grid 28 --values window:0:255 --out organs.keras",
	"mnist.md":        "rm mnist3d.h5 digits.safetensors",
	"objects.md": `
		voxelstream generate --scene drive --count 2 --out recording
		voxelstream generate --scene indoors --count 1 --out redwood`,
	"read-files.md": "cp scan.ply cloud.ply; voxelstream generate --scene indoors --count 2 --out frames",
	"reprocess.md": `
		cp -r archives digits.keras data/
		voxelstream reprocess archives --model digits.keras --format parquet,csv --out results-old
		cp -r results-old results-new
		cp results-old/results.parquet old.parquet
		cp results-old/results.csv new.csv`,
	"runbook.md": useCluster + "voxelstream ingest archives/; voxelstream classify --once",
	"serve.md": `
		cp archives/a.h5 .
		cp city.laz b.las`,
	"serve-models.md": `
		mkdir -p models/shapes/1 models/shapes/2 models/digits/1
		cp digits.safetensors models/digits/1/model.safetensors
		cp shapes.keras models/shapes/1/model.keras
		cp shapes.keras models/shapes/2/model.keras`,
	"store-results.md":  useCluster,
	"switch-models.md":  rollout,
	"shadow-model.md":   rollout,
	"canary-model.md":   rollout,
	"switch-in-page.md": rollout,
	"replay-topic.md":   rollout,
	"train.md":          useCluster + "rm digits.keras; voxelstream ingest digits.h5",
	"trust.md":          "rm digits.keras; cp mnist3d.h5 heldout.h5",
	"watch-training.md": "rm digits.keras",
	"access.md":         "export TOKEN=0123456789abcdef VOXELSTREAM_HTTP_TOKEN=0123456789abcdef",
}

// exampleFiles makes a folder with the files that the pages use as examples.
func exampleFiles(t *testing.T) string {
	t.Helper()
	w := &world{t: t, bin: voxelstream(t), dir: t.TempDir()}
	for _, folder := range []string{
		"archives", "scans", "srv/scans", "data", "etc/voxelstream",
		"ct-series", "sparse/0", "build/mnist",
	} {
		if err := os.MkdirAll(w.path(folder), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	w.write(".curlrc", []byte("fail-with-body\nsilent\nshow-error\nretry = 60\nretry-delay = 1\nretry-max-time = 30\nretry-all-errors\n"))

	builtin := filepath.Join(testenv.Root(), "app/models/builtin/digits.safetensors")
	w.do(exitDone, "model", "convert", builtin, w.path("digits.safetensors"))
	w.do(exitDone, "model", "convert", builtin, w.path("digits.keras"))
	w.do(exitDone, "model", "convert", builtin, w.path("shapes.keras"))
	w.digits("mnist3d.h5", 300, 1, "--augment")
	w.digits("digits.h5", 100, 4, "--augment")
	w.digits("archives/a.h5", 40, 2)
	w.digits("archives/b.h5", 40, 3)

	w.write("scan.ply", examplePLY())
	w.write("scan.bin", examplePoints(4))
	w.write("sweep.pcd.bin", examplePoints(5))
	w.do(exitDone, "convert", w.path("scan.ply"), w.path("scan.pcd"))
	w.do(exitDone, "convert", w.path("scan.ply"), w.path("scans/first.pcd"))
	w.do(exitDone, "convert", w.path("scan.ply"), w.path("scans/second.ply"))
	w.do(exitDone, "convert", w.path("scan.ply"), w.path("srv/scans/first.pcd"))
	w.digits("srv/scans/a.h5", 100, 5)
	w.write("chair.ply", exampleMesh())
	w.write("drive.pcap", examplePCAP())
	w.write("drive.bag", exampleBag())
	w.write("brain.nii.gz", exampleNIfTI())
	for i := range 8 {
		w.write(fmt.Sprintf("ct-series/%d.dcm", i), exampleDICOM(i))
	}
	for name, text := range exampleCOLMAP() {
		w.write(filepath.Join("sparse/0", name), []byte(text))
	}
	laz := must(os.ReadFile(filepath.Join(testenv.Root(), "ingest/lidar/testdata/laz/lazrs_1.laz")))(t)
	w.write("city.laz", laz)
	images, labels := exampleDigits(160)
	for _, name := range []string{"train", "t10k"} {
		w.write("build/mnist/"+name+"-images-idx3-ubyte.gz", gzipped(images))
		w.write("build/mnist/"+name+"-labels-idx1-ubyte.gz", gzipped(labels))
	}
	w.npzGrids("three.npz", 16, 3, "train_images", "train_labels")
	w.npzGrids("scans.npz", 64, 2, "train_images", "train_labels")
	w.npzGrids("adrenalmnist3d.npz", 28, 2, "train_images", "train_labels", "val_images", "val_labels", "test_images",
		"test_labels")
	return w.dir
}

// npzGrids writes an archive with pairs of arrays: grids with as many labels as there are classes, two of each.
func (w *world) npzGrids(name string, side, classes int, arrays ...string) {
	w.t.Helper()
	all := map[string][]byte{}
	for pair := range slices.Chunk(arrays, 2) {
		n := 2 * classes
		labels := make([]int64, n)
		values := make([]float32, n*side*side*side)
		for i := range labels {
			labels[i] = int64(i % classes)
		}
		for i := range values {
			values[i] = float32(i % 256)
		}
		all[pair[0]] = npyOf([]int{n, side, side, side}, values)
		all[pair[1]] = npyOf([]int{n, 1}, labels)
	}
	if err := writeNPZ(w.path(name), all); err != nil {
		w.t.Fatal(err)
	}
}

// gzipped compresses data.
func gzipped(data []byte) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write(data) // a buffer takes everything
	_ = z.Close()
	return b.Bytes()
}

// examplePLY is a scan of 400 points.
func examplePLY() []byte {
	var b bytes.Buffer
	b.WriteString("ply\nformat ascii 1.0\nelement vertex 400\n" +
		"property float x\nproperty float y\nproperty float z\nend_header\n")
	for i := range 400 {
		x, y := float32(i%20)/10, float32(i/20)/10
		fmt.Fprintln(&b, x, y, x*y)
	}
	return b.Bytes()
}

// examplePoints is the same scan as KITTI stores it, with an intensity, or as nuScenes does, with a ring too.
func examplePoints(values int) (b []byte) {
	for i := range 400 {
		x, y := float32(i%20)/10, float32(i/20)/10
		for _, v := range []float32{x, y, x * y, 0.5, float32(i % 32)}[:values] {
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
		}
	}
	return b
}

// exampleMesh is a tetrahedron.
func exampleMesh() []byte {
	return []byte("ply\nformat ascii 1.0\nelement vertex 4\nproperty float x\nproperty float y\nproperty float z\n" +
		"element face 4\nproperty list uchar int vertex_indices\nend_header\n" +
		"0 0 0\n1 0 0\n0 1 0\n0 0 1\n3 0 2 1\n3 0 1 3\n3 0 3 2\n3 1 2 3\n")
}

// examplePackets are those of two turns of a VLP-16.
func examplePackets() (packets [][]byte) {
	scene, err := simulate.NamedScene("street", 1)
	if err != nil {
		panic(err)
	}
	for p, err := range simulate.VLP16(scene, time.Unix(0, 0)) {
		if err != nil {
			panic(err)
		}
		if p.After > 250*time.Millisecond {
			break
		}
		packets = append(packets, bytes.Clone(p.Data))
	}
	return packets
}

// examplePCAP is a capture of the packets, which the sensor 192.168.1.201 sends to port 2368.
func examplePCAP() []byte {
	le, be := binary.LittleEndian, binary.BigEndian
	b := le.AppendUint32(nil, 0xa1b2c3d4)
	b = append(b, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0)
	for i, p := range examplePackets() {
		size := uint32(14 + 20 + 8 + len(p))
		for _, v := range []uint32{1, uint32(i) * 1327, size, size} { // seconds, microseconds, stored, sent
			b = le.AppendUint32(b, v)
		}
		b = append(b, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0) // Ethernet, IPv4
		b = be.AppendUint16(append(b, 0x45, 0), uint16(20+8+len(p)))
		b = append(b, 0, 1, 0, 0, 64, 17, 0, 0, 192, 168, 1, 201, 192, 168, 1, 100) // UDP
		b = be.AppendUint16(be.AppendUint16(b, 2368), 2368)
		b = append(be.AppendUint16(b, uint16(8+len(p))), 0, 0)
		b = append(b, p...)
	}
	return b
}

// exampleBag is a ROS 1 recording of the packets on the topic /front/velodyne_packets, in one message.
func exampleBag() []byte {
	u32 := func(v int) string { return string(binary.LittleEndian.AppendUint32(nil, uint32(v))) }
	field := func(name, value string) string { return u32(len(name)+1+len(value)) + name + "=" + value }
	record := func(header, data string) string { return u32(len(header)) + header + u32(len(data)) + data }
	const topic = "/front/velodyne_packets"
	packets := examplePackets()
	scan := u32(0) + u32(7) + u32(8) + u32(5) + "lidar" + u32(len(packets))
	for _, p := range packets {
		scan += u32(7) + u32(8) + string(p)
	}
	chunk := record(field("op", "\x07")+field("conn", u32(0))+field("topic", topic),
		field("topic", topic)+field("type", "velodyne_msgs/VelodyneScan")) +
		record(field("op", "\x02")+field("conn", u32(0))+field("time", u32(7)+u32(8)), scan)
	return []byte("#ROSBAG V2.0\n" + record(field("op", "\x03")+field("index_pos", u32(0)+u32(0)), "") +
		record(field("op", "\x05")+field("compression", "none")+field("size", u32(len(chunk))), chunk))
}

// exampleNIfTI is a bright block in a volume of 16x16x16 cells of 4 mm, stored as LAS.
func exampleNIfTI() []byte {
	h := make([]byte, 352)
	le := binary.LittleEndian
	put16 := func(at int, values ...uint16) {
		for i, v := range values {
			le.PutUint16(h[at+2*i:], v)
		}
	}
	putFloats := func(at int, values ...float32) {
		for i, v := range values {
			le.PutUint32(h[at+4*i:], math.Float32bits(v))
		}
	}
	le.PutUint32(h, 348)
	put16(40, 3, 16, 16, 16, 1, 1, 1, 1) // dimensions
	put16(70, 4, 16)                     // int16
	putFloats(76, 1, 4, 4, 4)            // size of a cell
	putFloats(108, 352, 1)               // where the values begin, and their scale
	h[123] = 2                           // millimetres
	put16(254, 1)                        // the sform is valid
	putFloats(280, -4, 0, 0, 30, 0, 4, 0, -30, 0, 0, 4, -30)
	copy(h[344:], "n+1\x00")
	return gzipped(append(h, exampleVoxels()...))
}

// exampleVoxels are 16x16x16 values as int16: 200 in a block, and -100 around it.
func exampleVoxels() (b []byte) {
	for i := range 16 * 16 * 16 {
		v := int16(-100)
		if x, y, z := i%16, i/16%16, i/256; min(x, y, z) >= 4 && max(x, y, z) < 10 {
			v = 200
		}
		b = binary.LittleEndian.AppendUint16(b, uint16(v))
	}
	return b
}

// exampleDICOM is slice i of that block as CT.
func exampleDICOM(i int) []byte {
	le := binary.LittleEndian
	var b []byte
	element := func(group, number uint16, kind, value string) {
		if len(value)%2 == 1 {
			value += " "
		}
		b = append(le.AppendUint16(le.AppendUint16(b, group), number), kind...)
		if kind == "OW" {
			b = le.AppendUint32(append(b, 0, 0), uint32(len(value)))
		} else {
			b = le.AppendUint16(b, uint16(len(value)))
		}
		b = append(b, value...)
	}
	short := func(v uint16) string { return string(le.AppendUint16(nil, v)) }
	b = append(make([]byte, 128), "DICM"...)
	element(2, 0x10, "UI", "1.2.840.10008.1.2.1\x00") // explicit VR, little-endian
	element(8, 0x18, "UI", fmt.Sprintf("1.2.3.%d", i+1))
	element(8, 0x60, "CS", "CT")
	element(0x20, 0xe, "UI", "1.2.3")
	element(0x20, 0x13, "IS", fmt.Sprint(i+1))
	element(0x20, 0x32, "DS", fmt.Sprintf("-32\\-32\\%d", 4*i))
	element(0x20, 0x37, "DS", `1\0\0\0\1\0`)
	element(0x28, 2, "US", short(1))
	element(0x28, 4, "CS", "MONOCHROME2")
	element(0x28, 0x10, "US", short(16))
	element(0x28, 0x11, "US", short(16))
	element(0x28, 0x30, "DS", `4\4`)
	element(0x28, 0x100, "US", short(16))
	element(0x28, 0x101, "US", short(16))
	element(0x28, 0x102, "US", short(15))
	element(0x28, 0x103, "US", short(1))
	element(0x7fe0, 0x10, "OW", string(exampleVoxels()[i*512:][:512]))
	return b
}

// exampleCOLMAP is a reconstruction of a few points from three photographs.
func exampleCOLMAP() map[string]string {
	var images, points strings.Builder
	for i := range 3 {
		fmt.Fprintf(&images, "%d 0.7 -0.7 0 0 %d 0 5 1 %d.jpg\n\n", i+1, i, i)
	}
	for i := range 64 {
		fmt.Fprintf(&points, "%d %d %d %d 200 150 100 0.5 1 0 2 0 3 0\n", i+1, i%4, i/4%4, i/16)
	}
	return map[string]string{
		"cameras.txt": "1 PINHOLE 640 480 500 500 320 240\n", "images.txt": images.String(), "points3D.txt": points.String(),
	}
}

// exampleDigits are images of digits as MNIST stores them, 28x28 pixels each, and their labels.
func exampleDigits(n int) (images, labels []byte) {
	be := binary.BigEndian
	images = be.AppendUint32(be.AppendUint32([]byte{0, 0, 8, 3}, uint32(n)), 28)
	images = be.AppendUint32(images, 28)
	labels = be.AppendUint32([]byte{0, 0, 8, 1}, uint32(n))
	for i := range n {
		// A stroke whose slope is that of the digit.
		pixels := make([]byte, 28*28)
		for y := 4; y < 24; y++ {
			for x := range 3 {
				pixels[28*y+4+x+(y-4)*(i%10)/12] = 255
			}
		}
		images = append(images, pixels...)
		labels = append(labels, byte(i%10))
	}
	return images, labels
}
