package depth

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/lidar"
)

// Tango is a cloud of a Google Tango device, exported as PLY with the calibration of the moment in a YAML file of the same name beside it
// (fx .. cy of the colour camera, d_fx .. d_cy of the depth camera). Points are in the depth camera's optical axes, in metres: +X right,
// +Y down, +Z forward, as in the device's TangoPointCloud buffers.
var Tango = ingest.Format{
	Name: "tango",
	Detect: func(h *ingest.Head) ingest.Confidence {
		if lidar.PLY.Detect(h) == ingest.No {
			return ingest.No
		}
		if _, err := readTango(h.Path); err != nil {
			return ingest.No // an ordinary PLY
		}
		return ingest.Sure
	},
	Open: lidar.PLY.Open,
	Inspect: func(ctx context.Context, path string, o ingest.Options) (ingest.Detail, error) {
		d, err := lidar.PLY.Inspect(ctx, path, o)
		if err != nil {
			return nil, err
		}
		cam, err := readTango(path)
		if err != nil {
			return nil, err
		}
		if p, ok := d.(*ingest.Points); ok {
			p.Camera = &cam
		}
		return d, nil
	},
}

// tangoMaxYAML bounds the calibration file, which has some 60 lines.
const tangoMaxYAML = 1 << 20

// readTango reads the depth camera's calibration beside a PLY file.
func readTango(ply string) (ingest.Intrinsics, error) {
	path := strings.TrimSuffix(ply, filepath.Ext(ply)) + ".yaml"
	info, err := os.Stat(path)
	if err != nil {
		return ingest.Intrinsics{}, err
	}
	if info.Size() > tangoMaxYAML {
		return ingest.Intrinsics{}, fmt.Errorf("%s: found %d bytes, limit %d", path, info.Size(), tangoMaxYAML)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return ingest.Intrinsics{}, err
	}
	var c struct {
		Fx float64 `yaml:"d_fx"`
		Fy float64 `yaml:"d_fy"`
		Cx float64 `yaml:"d_cx"`
		Cy float64 `yaml:"d_cy"`
	}
	if err := yaml.Unmarshal(data, &c); err != nil {
		return ingest.Intrinsics{}, fmt.Errorf("%s: %w", path, err)
	}
	cam := ingest.Intrinsics{Fx: c.Fx, Fy: c.Fy, Cx: c.Cx, Cy: c.Cy}
	if !cam.Valid() {
		return cam, fmt.Errorf("%s: found d_fx %g and d_fy %g, want focal lengths above 0", path, c.Fx, c.Fy)
	}
	return cam, nil
}
