package depth

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/voxelstream/voxelstream/ingest"
)

// azure is the calibration of an Azure Kinect, as stored on the device and attached to recordings
// (k4a_device_get_raw_calibration): the cameras' focal lengths and principal points relative to the size of the
// sensor, and their poses. Every device has its own.
type azure struct{ depth, color azureCamera }

type azureCamera struct {
	Purpose    string `json:"Purpose"`
	Intrinsics struct {
		Type       string    `json:"ModelType"`
		Parameters []float64 `json:"ModelParameters"`
	} `json:"Intrinsics"`
	Rt struct {
		Rotation    []float64 `json:"Rotation"`
		Translation []float64 `json:"Translation"`
	} `json:"Rt"`
}

// azureMode describes how the image of a mode is derived from the sensor's image, which is scaled to sensor and
// cropped starting at corner.
type azureMode struct{ sensor, corner [2]float64 }

// azureDepthModes and azureColorModes list the modes by width and height of their images. Modes of the same size
// have the same crop.
// https://github.com/microsoft/Azure-Kinect-Sensor-SDK/blob/develop/src/transformation/mode_specific_calibration.c
var (
	azureDepthModes = map[[2]int]azureMode{
		{320, 288}:   {[2]float64{512, 512}, [2]float64{96, 90}},
		{640, 576}:   {[2]float64{1024, 1024}, [2]float64{192, 180}},
		{512, 512}:   {[2]float64{512, 512}, [2]float64{}},
		{1024, 1024}: {[2]float64{1024, 1024}, [2]float64{}},
	}
	azureColorModes = map[[2]int]azureMode{
		{1280, 720}:  {[2]float64{1280, 960}, [2]float64{0, 120}},
		{1920, 1080}: {[2]float64{1920, 1440}, [2]float64{0, 180}},
		{2560, 1440}: {[2]float64{2560, 1920}, [2]float64{0, 240}},
		{2048, 1536}: {[2]float64{2048, 1536}, [2]float64{}},
		{3840, 2160}: {[2]float64{3840, 2880}, [2]float64{0, 360}},
		{4096, 3072}: {[2]float64{4096, 3072}, [2]float64{}},
	}
)

// errNotAzure is the error for a JSON file with other content.
var errNotAzure = errors.New("found no CalibrationInformation")

func parseAzure(data []byte) (*azure, error) {
	var file struct {
		Calibration *struct {
			Cameras []azureCamera `json:"Cameras"`
		} `json:"CalibrationInformation"`
	}
	if err := json.Unmarshal(data, &file); err != nil {
		return nil, err
	}
	if file.Calibration == nil {
		return nil, errNotAzure
	}
	out := &azure{}
	for _, c := range file.Calibration.Cameras {
		var to *azureCamera
		switch c.Purpose {
		case "CALIBRATION_CameraPurposeDepth":
			to = &out.depth
		case "CALIBRATION_CameraPurposePhotoVideo":
			to = &out.color
		default:
			continue
		}
		const least = 14
		if len(c.Intrinsics.Parameters) < least || c.Intrinsics.Type != "CALIBRATION_LensDistortionModelBrownConrady" {
			return nil, fmt.Errorf("%s: found model %q with %d parameters, want "+
				"CALIBRATION_LensDistortionModelBrownConrady with %d",
				c.Purpose, c.Intrinsics.Type, len(c.Intrinsics.Parameters), least)
		}
		if _, err := c.place(); err != nil {
			return nil, fmt.Errorf("%s: %w", c.Purpose, err)
		}
		*to = c
	}
	if out.depth.Purpose == "" {
		return nil, errors.New("found no depth camera")
	}
	return out, nil
}

// intrinsics returns the intrinsics for the images of a mode. The parameters are cx cy fx fy k1 to k6, two unused,
// p2 p1. Their origin (0, 0) is the corner of the top left pixel, ours is its centre.
func (c *azureCamera) intrinsics(m azureMode) ingest.Intrinsics {
	p := c.Intrinsics.Parameters
	return ingest.Intrinsics{
		Fx: p[2] * m.sensor[0], Fy: p[3] * m.sensor[1],
		Cx: p[0]*m.sensor[0] - m.corner[0] - 0.5, Cy: p[1]*m.sensor[1] - m.corner[1] - 0.5,
		Lens: ingest.Brown(p[4], p[5], p[13], p[12], p[6], p[7], p[8], p[9]),
	}
}

// place returns the pose of the depth camera in this camera's axes, in metres.
func (c *azureCamera) place() (ingest.Pose, error) {
	r, t := c.Rt.Rotation, c.Rt.Translation
	if len(r) != 9 || len(t) != 3 {
		return ingest.Pose{}, fmt.Errorf("found a rotation of %d and a translation of %d numbers, want 9 and 3", len(r), len(t))
	}
	return ingest.PoseOfMatrix([]float64{r[0], r[1], r[2], t[0], r[3], r[4], r[5], t[1], r[6], r[7], r[8], t[2]})
}

// camera returns the camera for depth images of a given size.
func (a *azure) camera(width, height int) (ingest.Intrinsics, error) {
	m, ok := azureDepthModes[[2]int{width, height}]
	if !ok {
		return ingest.Intrinsics{}, fmt.Errorf("found %d x %d pixels, want a depth mode of the Azure Kinect: 640 x "+
			"576, 320 x 288, 512 x 512 or 1024 x 1024", width, height)
	}
	return a.depth.intrinsics(m), nil
}

// colorCamera returns the camera for colour images of a given size, or nil for other sizes, which are registered to
// depth.
func (a *azure) colorCamera(width, height int) *ingest.ColorImage {
	m, ok := azureColorModes[[2]int{width, height}]
	if !ok || a.color.Purpose == "" {
		return nil
	}
	// Both were checked when they were read.
	toColor, err1 := a.color.place()
	toDepth, err2 := a.depth.place()
	if err1 != nil || err2 != nil {
		return nil
	}
	back := toDepth.Inverse()
	return &ingest.ColorImage{Cam: a.color.intrinsics(m), Depth: toColor.Mul(&back)}
}
