package photogrammetry

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/voxelstream/voxelstream/ingest"
)

// Camera is a camera calibrated by a reconstruction.
type Camera struct {
	// ID is the program's name or number of the camera. Model is its name of the camera model, which determines the
	// order of Params.
	ID     string    `json:"id"`
	Model  string    `json:"model"`
	Size   [2]int    `json:"size"` // width and height in pixels; 0 if the file does not have them
	Params []float64 `json:"params"`
	// Intrinsics is nil if the camera model is not supported for depth cameras.
	Intrinsics *ingest.Intrinsics `json:"intrinsics,omitempty"`
}

// Image is a photograph and its pose.
type Image struct {
	Name   string `json:"name"`
	Camera string `json:"camera"`
	// Position is the position of the camera in the reconstruction's axes and unit. Rotation rotates from the
	// camera's axes to the reconstruction's, in row-major order.
	Position [3]float64 `json:"position"`
	Rotation [9]float64 `json:"rotation"`
	// Features is the number of image points used, or 0 if the file does not have it.
	Features int `json:"features,omitempty"`
}

// Model describes a reconstruction: its points, if any, cameras and images.
type Model struct {
	*ingest.Points
	Cameras []Camera `json:"cameras"`
	Images  []Image  `json:"images"`

	notes []string // about what was left out
}

// Kind returns "points", or "cameras" if there are no points.
func (m *Model) Kind() string {
	if m.Points == nil {
		return "cameras"
	}
	return m.Points.Kind()
}

// Text describes the points, the number of cameras and images, and the first camera.
func (m *Model) Text() string {
	var b strings.Builder
	if m.Points != nil {
		b.WriteString(m.Points.Text() + "\n")
	}
	fmt.Fprintf(&b, "cameras %d\nimages  %d", len(m.Cameras), len(m.Images))
	if len(m.Cameras) > 0 {
		c := &m.Cameras[0]
		fmt.Fprintf(&b, "\nfirst   %s, %d x %d, %v", c.Model, c.Size[0], c.Size[1], c.Params)
	}
	return b.String()
}

// MarshalJSON omits the fields of points if there are none.
func (m *Model) MarshalJSON() ([]byte, error) {
	type cameras struct {
		Cameras []Camera `json:"cameras"`
		Images  []Image  `json:"images"`
	}
	c := cameras{m.Cameras, m.Images}
	if c.Cameras == nil {
		c.Cameras = []Camera{}
	}
	if c.Images == nil {
		c.Images = []Image{}
	}
	if m.Points == nil {
		return json.Marshal(c)
	}
	return json.Marshal(struct {
		*ingest.Points
		cameras
	}{m.Points, c})
}

// place sets the position and rotation of an image from the world's pose in the camera's axes, which is what most
// programs write.
func (i *Image) place(world ingest.Pose) error {
	p := world.Inverse()
	if !finite(p.T[0] + p.T[1] + p.T[2]) {
		return fmt.Errorf("image %q: found translation %v, too large", i.Name, world.T)
	}
	i.Position, i.Rotation = p.T, p.R
	return nil
}

// camerasFormat adds Open and Inspect to f, for files without points.
func camerasFormat(f ingest.Format, decode func(data []byte) (*Model, error)) ingest.Format {
	f.InspectOnly = "it has cameras but no points"
	f.Open = func(_ context.Context, path string, _ ingest.Options) (ingest.Source, error) {
		return nil, fmt.Errorf("%s: %s: %s", path, f.Name, f.InspectOnly)
	}
	f.Inspect = func(_ context.Context, path string, o ingest.Options) (ingest.Detail, error) {
		data, err := ingest.ReadFile(path, o)
		if err != nil {
			return nil, err
		}
		m, err := decode(data)
		if err != nil {
			return nil, fmt.Errorf("%s: %s: %w", path, f.Name, err)
		}
		for _, note := range m.notes {
			o.Note("%s", note)
		}
		return m, nil
	}
	return f
}

// modelFormat adds Open and Inspect to f, using a decoder of points and cameras.
func modelFormat(f ingest.Format, decode func(data []byte, o ingest.Options) (*ingest.Clouds, *Model,
	error),
) ingest.Format {
	f = ingest.CloudFormat(f, func(_ string, data []byte, o ingest.Options) (*ingest.Clouds, error) {
		c, _, err := decode(data, o)
		return c, err
	})
	f.Inspect = func(_ context.Context, path string, o ingest.Options) (ingest.Detail, error) {
		data, err := ingest.ReadFile(path, o)
		if err != nil {
			return nil, err
		}
		c, m, err := decode(data, o.WithDefaults())
		if err != nil {
			return nil, fmt.Errorf("%s: %s: %w", path, f.Name, err)
		}
		m.Points = ingest.PointsOf(c)
		return m, nil
	}
	return f
}

// COLMAPModel is the folder of a reconstruction with points3D, cameras and images, all .bin or all .txt. Points are
// streamed; all three are inspected.
var COLMAPModel = ingest.Format{
	Name: "colmap-model",
	Parts: []string{
		"colmap", "colmap-text", "colmap-cameras", "colmap-cameras-text", "colmap-images", "colmap-images-text",
	},
	Doc:     "folder of points3D, cameras and images, .bin or .txt; cameras or images that cannot be read are left out",
	Tested:  "COLMAP export of SBCV",
	Options: newOptions,
	Detect: func(h *ingest.Head) ingest.Confidence {
		if _, _, err := colmapParts(h.Path, h.Names); !h.IsDir() || err != nil {
			return ingest.No
		}
		return ingest.Sure
	},
	Open: func(ctx context.Context, dir string, o ingest.Options) (ingest.Source, error) {
		points, _, err := colmapFolder(dir)
		if err != nil {
			return nil, err
		}
		return points.format.Open(ctx, points.path, o)
	},
	Inspect: func(ctx context.Context, dir string, o ingest.Options) (ingest.Detail, error) {
		points, others, err := colmapFolder(dir)
		if err != nil {
			return nil, err
		}
		d, err := points.format.Inspect(ctx, points.path, o)
		if err != nil {
			return nil, err
		}
		m := &Model{}
		m.Points, _ = d.(*ingest.Points)
		for _, part := range others {
			d, err := part.format.Inspect(ctx, part.path, o)
			if err != nil { // the points are whole all the same
				o.Note("left out %v", err)
				continue
			}
			if more, ok := d.(*Model); ok {
				m.Cameras, m.Images = append(m.Cameras, more.Cameras...), append(m.Images, more.Images...)
			}
		}
		return m, nil
	},
}

// colmapPart is a file of a folder with its format.
type colmapPart struct {
	path   string
	format ingest.Format
}

func colmapFolder(dir string) (points colmapPart, others []colmapPart, err error) {
	head, err := ingest.ReadHead(dir)
	if err != nil {
		return points, nil, err
	}
	return colmapParts(dir, head.Names)
}

// colmapParts finds the files of a reconstruction among the sorted names of a folder, and prefers .bin to .txt.
func colmapParts(dir string, names []string) (points colmapPart, others []colmapPart, err error) {
	for _, set := range []struct {
		ext                     string
		points, cameras, images ingest.Format
	}{{".bin", COLMAP, COLMAPCameras, COLMAPImages}, {".txt", COLMAPText, COLMAPCamerasText, COLMAPImagesText}} {
		part := func(name string, f ingest.Format) (colmapPart, bool) {
			_, ok := slices.BinarySearch(names, name+set.ext)
			return colmapPart{filepath.Join(dir, name+set.ext), f}, ok
		}
		p, ok1 := part("points3D", set.points)
		c, ok2 := part("cameras", set.cameras)
		i, ok3 := part("images", set.images)
		if ok1 && ok2 && ok3 {
			return p, []colmapPart{c, i}, nil
		}
	}
	return points, nil, fmt.Errorf("%s: found no points3D, cameras and images, all .bin or all .txt", dir)
}
