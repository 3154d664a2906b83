package depth

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"

	"github.com/voxelstream/voxelstream/ingest"
)

// KinectV1 is a calibration of the depth camera of a Kinect v1, kinectV1Color that of its colour camera, and
// kinectV1Between the pose of the depth camera in the colour camera's axes. They are those of Nicolas Burrus, which
// libfreenect's programs use for devices without their own calibration.
// http://nicolas.burrus.name/index.php/Research/KinectCalibration
var (
	KinectV1 = ingest.Intrinsics{
		Fx: 594.21434211923247, Fy: 591.04053696870778, Cx: 339.30780975300314, Cy: 242.73913761751615,
		Lens: ingest.Brown(-0.26386489753128833, 0.99966832163729757, -0.00076275862143610667,
			0.0050350940090814270, -1.3053628089976321),
	}
	kinectV1Color = ingest.Intrinsics{
		Fx: 529.21508098293293, Fy: 525.56393630057437, Cx: 328.94272028759258, Cy: 267.48068171871557,
		Lens: ingest.Brown(0.26451622333009589, -0.83990749424620825, -0.0019922302173693159, 0.0014371995932897616,
			0.91192465078713847),
	}
	kinectV1Between = ingest.Pose{
		R: [9]float64{
			0.99984628826577793, 0.0012635359098409581, -0.017487233004436643,
			-0.0014779096108364480, 0.99992385683542895, -0.012251380107679535,
			0.017470421412464927, 0.012275341476520762, 0.99977202419716948,
		},
		T: [3]float64{0.019985242312092553, -0.00074423738761617583, -0.010916736334336222},
	}
)

const (
	kinectWidth, kinectHeight = 640, 480
	kinectPixels              = kinectWidth * kinectHeight
	// kinectNone is the disparity of a pixel without a measurement, the largest 11-bit value.
	kinectNone   = 2047
	kinectPacked = kinectPixels * 11 / 8
)

// kinectMetres maps each raw disparity to a distance: 0.1236 tan(d / 2842.5 + 1.1863), by Stephane Magnenat,
// https://openkinect.org/wiki/Imaging_Information. Values beyond 10 m, where the device's own range in millimetres
// ends, are not measurements.
var kinectMetres = func() (table [kinectNone + 1]ingest.Metres) {
	for d := range kinectNone {
		if z := 0.1236 * math.Tan(float64(d)/2842.5+1.1863); z > 0 && z <= 10 {
			table[d] = ingest.Metres(z)
		}
	}
	return table
}()

// Kinect is a single raw frame of a Kinect v1: 640x480 disparities of 11 bits, either packed 8 to 11 bytes, high
// bit first, or as two bytes each, low byte first (libfreenect's FREENECT_DEPTH_11BIT). There is no header: the
// format is recognized by the size of the file and the smoothness of the image.
var Kinect = ingest.Format{
	Name:    "kinect-raw",
	Doc:     "Kinect v1 frames of 11 bits, packed or in two bytes each, without a header",
	Options: newOptions,
	Detect:  detectKinect,
	Open: func(_ context.Context, path string, o ingest.Options) (ingest.Source, error) {
		return ingest.FileSource(path, o, func(o ingest.Options) ([]ingest.Sample, error) {
			f, err := readKinect(path, settingsOf(o))
			if err != nil {
				return nil, err
			}
			return []ingest.Sample{{Label: ingest.NoLabel, Data: f}}, nil
		})
	},
	Inspect: func(_ context.Context, path string, o ingest.Options) (ingest.Detail, error) {
		f, err := readKinect(path, settingsOf(o))
		if err != nil {
			return nil, err
		}
		return disparityOf(f), nil
	},
}

// unitDisparity is the unit of a Kinect v1: 1/8 pixel of the shift of its pattern, inverted.
const unitDisparity = "disparity"

// disparityOf describes a frame of disparities.
func disparityOf(f *ingest.Frame) *ingest.Depth {
	d := ingest.DepthOf(f, millimetres)
	d.Unit = unitDisparity
	return d
}

func detectKinect(h *ingest.Head) ingest.Confidence {
	var raw []uint16
	switch h.Size {
	case kinectPacked:
		raw = unpack11(h.Bytes)
	case 2 * kinectPixels:
		raw = littleEndian(h.Bytes)
	default:
		return ingest.No
	}
	if len(raw) < kinectWidth || !isDisparity(raw) {
		return ingest.No
	}
	return ingest.Likely
}

// isDisparity reports whether values can be a disparity image: none is out of range and, except at holes,
// neighbours are similar.
func isDisparity(raw []uint16) bool {
	const farthest, rough = 1100, 60
	sum, n, last := 0, 0, uint16(kinectNone)
	for _, d := range raw {
		if d != kinectNone {
			if d > farthest {
				return false
			}
			if last != kinectNone {
				sum += max(int(d)-int(last), int(last)-int(d))
				n++
			}
		}
		last = d
	}
	return n == 0 && len(raw) > 0 || sum <= rough*n && sum > 0
}

// unpack11 unpacks 11-bit numbers, high bit first, and ignores incomplete ones at the end.
func unpack11(b []byte) []uint16 {
	out := make([]uint16, 0, len(b)*8/11)
	var hold, bits uint32
	for _, c := range b {
		hold, bits = hold<<8|uint32(c), bits+8
		if bits >= 11 {
			bits -= 11
			out = append(out, uint16(hold>>bits&kinectNone))
		}
	}
	return out
}

func littleEndian(b []byte) []uint16 {
	out := make([]uint16, len(b)/2)
	for i := range out {
		out[i] = binary.LittleEndian.Uint16(b[2*i:])
	}
	return out
}

func readKinect(path string, o *settings) (*ingest.Frame, error) {
	data, err := ingest.ReadFile(path, o.Options)
	if err != nil {
		return nil, err
	}
	var raw []uint16
	switch len(data) {
	case kinectPacked:
		raw = unpack11(data)
	case 2 * kinectPixels:
		raw = littleEndian(data)
	default:
		return nil, fmt.Errorf("%s: found %d bytes, want %d (packed disparities) or %d (unpacked)", path, len(data),
			kinectPacked, 2*kinectPixels)
	}
	f := &ingest.Frame{Width: kinectWidth, Height: kinectHeight, Depth: make([]ingest.Metres, kinectPixels), Cam: KinectV1}
	if err := fromDisparity(f.Depth, raw); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	f.Noise = o.noiseFor(f.Width, f.Height)
	if o.camera != nil {
		f.Cam = *o.camera
	}
	return f, nil
}

// fromDisparity converts raw disparities to metres.
func fromDisparity(depth []ingest.Metres, raw []uint16) error {
	for i, d := range raw {
		if d > kinectNone {
			return fmt.Errorf("pixel %d: found disparity %d, want at most %d", i, d, kinectNone)
		}
		depth[i] = kinectMetres[d]
	}
	return nil
}
