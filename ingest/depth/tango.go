package depth

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/lidar"
)

// Tango is a point cloud of a Google Tango device, exported as PLY with its calibration in a YAML file of the same
// name (fx .. cy of the colour camera, d_fx .. d_cy of the depth camera, the pose of the device). Points are in
// metres in the depth camera's optical axes: +X right, +Y down, +Z forward, as in the device's TangoPointCloud
// buffers. Inspect describes these. The stream transforms them to the world, with Z up, if the YAML file has the
// pose.
var Tango = ingest.Format{
	Name:       "tango",
	Doc:        "exported PLY with a YAML file of the same name: camera, lens, pose",
	Extensions: []string{".ply"},
	Tested:     "20171122163055_zenfone_ar.ply (Asus ZenFone AR)",
	Detect: func(h *ingest.Head) ingest.Confidence {
		if lidar.PLY.Detect(h) == ingest.No {
			return ingest.No
		}
		if _, err := readTango(h.Path); err != nil {
			return ingest.No // an ordinary PLY
		}
		return ingest.Sure
	},
	Open: func(ctx context.Context, path string, o ingest.Options) (ingest.Source, error) {
		c, err := readTango(path)
		if err != nil {
			return nil, err
		}
		src, err := lidar.PLY.Open(ctx, path, o)
		if err != nil || c.pose == nil {
			return src, err
		}
		return posedSource{src, c.pose}, nil
	},
	Inspect: func(ctx context.Context, path string, o ingest.Options) (ingest.Detail, error) {
		d, err := lidar.PLY.Inspect(ctx, path, o)
		if err != nil {
			return nil, err
		}
		c, err := readTango(path)
		if err != nil {
			return nil, err
		}
		if p, ok := d.(*ingest.Points); ok {
			p.Camera, p.Pose = &c.camera, c.pose
		}
		return d, nil
	},
}

// posedSource transforms the clouds of a source to world coordinates.
type posedSource struct {
	ingest.Source
	pose *ingest.Pose
}

func (s posedSource) Read(ctx context.Context) (ingest.Sample, error) {
	sample, err := s.Source.Read(ctx)
	if p, ok := sample.Data.(*ingest.PointCloud); err == nil && ok {
		for i := range p.X {
			p.X[i], p.Y[i], p.Z[i] = s.pose.Apply(p.X[i], p.Y[i], p.Z[i])
		}
	}
	return sample, err
}

// tangoMaxYAML limits the calibration file, which has about 60 lines.
const tangoMaxYAML = 1 << 20

// tangoCalibration is the depth camera's calibration in the YAML file; pose is nil if the file has none.
type tangoCalibration struct {
	camera ingest.Intrinsics
	pose   *ingest.Pose
}

// tangoPlace is a pose: a rotation w x y z and a translation.
type tangoPlace struct{ rotation, translation []float64 }

func (p tangoPlace) pose() (ingest.Pose, error) {
	r, t := p.rotation, p.translation
	if len(r) != 4 || len(t) != 3 {
		return ingest.Pose{}, fmt.Errorf("found a rotation of %d and a translation of %d numbers, want 4 and 3", len(r), len(t))
	}
	return ingest.PoseOfQuaternion(r[0], r[1], r[2], r[3], [3]float64(t))
}

// readTango reads the depth camera's calibration for a PLY file.
func readTango(ply string) (tangoCalibration, error) {
	var out tangoCalibration
	path := strings.TrimSuffix(ply, filepath.Ext(ply)) + ".yaml"
	data, err := ingest.ReadFile(path, ingest.Options{MaxBytes: tangoMaxYAML})
	if err != nil {
		return out, err
	}
	var c struct {
		Fx          float64   `yaml:"d_fx"`
		Fy          float64   `yaml:"d_fy"`
		Cx          float64   `yaml:"d_cx"`
		Cy          float64   `yaml:"d_cy"`
		Distortion  []float64 `yaml:"d_distortion"`
		Camera      []float64 `yaml:"d_imuRawRotation"`
		CameraAt    []float64 `yaml:"d_imuRawTranslation"`
		Rotation    []float64 `yaml:"rawRotation"`
		Translation []float64 `yaml:"rawTranslation"`
	}
	if err := yaml.Unmarshal(data, &c); err != nil {
		return out, fmt.Errorf("%s: %w", path, err)
	}
	out.camera = ingest.Intrinsics{Fx: c.Fx, Fy: c.Fy, Cx: c.Cx, Cy: c.Cy, Lens: tangoLens(c.Distortion)}
	if !out.camera.Valid() {
		return out, fmt.Errorf("%s: found d_fx %g and d_fy %g, want focal lengths above 0", path, c.Fx, c.Fy)
	}
	if c.Rotation == nil || c.Camera == nil {
		return out, nil
	}
	// The pose of the device in the world and of the camera on the device, both for the device's axes in portrait
	// orientation.
	device, err1 := tangoPlace{c.Rotation, c.Translation}.pose()
	camera, err2 := tangoPlace{c.Camera, c.CameraAt}.pose()
	if err := errors.Join(err1, err2); err != nil {
		return out, fmt.Errorf("%s: pose: %w", path, err)
	}
	world := device.Mul(&camera)
	out.pose = &world
	return out, nil
}

// tangoLens converts the five numbers of TangoCameraIntrinsics: k1 k2 p1 p2 k3, or k1 k2 k3 and two zeros.
func tangoLens(k []float64) ingest.Lens {
	switch {
	case len(k) != 5:
		return ingest.Lens{}
	case k[3] == 0 && k[4] == 0:
		return ingest.Brown(k[0], k[1], 0, 0, k[2])
	}
	return ingest.Brown(k...)
}

// TangoBuffer is a raw memory dump of a TangoPointCloud or TangoXYZij structure, little-endian: version uint32,
// timestamp float64 in seconds since the device started, number of points uint32, then x, y, z as float32 in metres
// and, in a TangoPointCloud, the confidence 0 to 1, which becomes the intensity. The size of the file shows whether
// the structure is aligned. Points with a confidence below Options.MinConfidence are skipped. Coordinates are in
// the depth camera's axes.
var TangoBuffer = ingest.CloudFormat(ingest.Format{
	Name:    "tango-buffer",
	Doc:     "TangoPointCloud and TangoXYZij, aligned or not; filter by confidence",
	Options: newOptions,
	Detect:  detectTangoBuffer,
}, decodeTango)

func detectTangoBuffer(h *ingest.Head) ingest.Confidence {
	if h.IsDir() {
		return ingest.No
	}
	t, err := parseTango(h.Bytes, h.Size)
	if err != nil || t.count == 0 {
		return ingest.No
	}
	for i := range min(t.count, (len(h.Bytes)-t.body)/t.size) {
		if x, y, z, c := t.point(h.Bytes, i); !(max(x, -x) <= tangoFar && max(y, -y) <= tangoFar && z >= 0 &&
			z <= tangoFar && c >= 0 && c <= 1) {
			return ingest.No
		}
	}
	return ingest.Likely
}

const (
	// tangoMax is the maximum number of points in a buffer.
	tangoMax = 60000
	// tangoFar is a distance in metres far beyond the devices' range of 4 m.
	tangoFar = 50
)

// tangoBuffer is the header and the location of the points.
type tangoBuffer struct {
	seconds           float64
	count, size, body int
}

// parseTango reads the header of a file of the given size. The aligned structure has four bytes of padding before
// the timestamp and four before the points.
func parseTango(b []byte, size int64) (tangoBuffer, error) {
	le := binary.LittleEndian
	for _, aligned := range []int{0, 4} {
		t := tangoBuffer{body: 16 + 2*aligned}
		if len(b) < t.body || le.Uint32(b) > 1000 {
			continue
		}
		t.seconds, t.count = math.Float64frombits(le.Uint64(b[4+aligned:])), int(le.Uint32(b[12+aligned:]))
		for _, t.size = range []int{16, 12} {
			if t.count <= tangoMax && t.seconds >= 0 && t.seconds < 1e10 && size == int64(t.body+t.count*t.size) {
				return t, nil
			}
		}
	}
	return tangoBuffer{}, fmt.Errorf("found %d bytes, want a header (version, timestamp, number of points) followed "+
		"by that many points", size)
}

// point returns point i of the file's bytes and its confidence, or 1 if there is none.
func (t tangoBuffer) point(b []byte, i int) (x, y, z, c float32) {
	at := func(k int) float32 { return math.Float32frombits(binary.LittleEndian.Uint32(b[t.body+i*t.size+4*k:])) }
	c = 1
	if t.size == 16 {
		c = at(3)
	}
	return at(0), at(1), at(2), c
}

func decodeTango(_ string, data []byte, o ingest.Options) (*ingest.Clouds, error) {
	least := ingest.ReaderOptions(o, DefaultOptions()).MinConfidence
	t, err := parseTango(data, int64(len(data)))
	if err != nil {
		return nil, err
	}
	out := &ingest.Clouds{Fields: []string{"x", "y", "z"}}
	if t.size == 16 {
		out.Fields = append(out.Fields, "confidence")
	}
	p := &ingest.PointCloud{}
	for i := range t.count {
		x, y, z, c := t.point(data, i)
		if !(float64(c) >= least) {
			continue
		}
		p.X, p.Y, p.Z = append(p.X, float64(x)), append(p.Y, float64(y)), append(p.Z, float64(z))
		if t.size == 16 {
			p.Intensity = append(p.Intensity, c)
		}
	}
	out.Clouds = []*ingest.PointCloud{p}
	out.Time = time.Unix(0, int64(t.seconds*1e9)).UTC() // the device counts from its start
	return out, nil
}
