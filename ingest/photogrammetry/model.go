package photogrammetry

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
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
	// Track is how many images see a point, Error the mean reprojection error of a point in pixels. They are nil if the
	// file does not say.
	Track *Range `json:"track,omitempty"`
	Error *Range `json:"error_px,omitempty"`

	notes []string // about what was left out
}

// Range describes a property of the points that are read.
type Range struct {
	Min  float64 `json:"min"`
	Mean float64 `json:"mean"`
	Max  float64 `json:"max"`
}

// Positions returns the positions of the images.
func (m *Model) Positions() [][3]float64 {
	var out [][3]float64
	for _, im := range m.Images {
		out = append(out, im.Position)
	}
	return out
}

// Kind returns "points", or "cameras" if there are no points.
func (m *Model) Kind() string {
	if m.Points == nil {
		return "cameras"
	}
	return m.Points.Kind()
}

// maxShown limits the cameras that Text describes.
const maxShown = 8

// Text describes the points, the cameras, the number of images and the box around their positions.
func (m *Model) Text() string {
	var b strings.Builder
	if m.Points != nil {
		b.WriteString(m.Points.Text() + "\n")
	}
	if t := m.Track; t != nil {
		fmt.Fprintf(&b, "tracks  %.0f .. %.0f images, mean %.2f\n", t.Min, t.Max, t.Mean)
	}
	if e := m.Error; e != nil {
		fmt.Fprintf(&b, "errors  %.2f .. %.2f px, mean %.2f\n", e.Min, e.Max, e.Mean)
	}
	if m.pointsOnly() {
		return strings.TrimSuffix(b.String(), "\n")
	}
	fmt.Fprintf(&b, "cameras %d\nimages  %d", len(m.Cameras), len(m.Images))
	if all := m.Positions(); len(all) > 0 {
		lo, hi := all[0], all[0]
		for _, p := range all {
			for k, v := range p {
				lo[k], hi[k] = min(lo[k], v), max(hi[k], v)
			}
		}
		fmt.Fprintf(&b, ", at %.4g .. %.4g m", lo, hi)
	}
	for i := range m.Cameras[:min(maxShown, len(m.Cameras))] {
		fmt.Fprintf(&b, "\ncamera  %s", m.Cameras[i].text())
	}
	if more := len(m.Cameras) - maxShown; more > 0 {
		fmt.Fprintf(&b, "\n        and %d more", more)
	}
	return b.String()
}

// text describes a camera: "1, SIMPLE_RADIAL, 2832 x 2128, [2971.7 1416 1064 -0.16422], view 51 x 39 degrees".
func (c *Camera) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %s", c.ID, c.Model)
	if c.Size[0] > 0 {
		fmt.Fprintf(&b, ", %d x %d", c.Size[0], c.Size[1])
	}
	fmt.Fprintf(&b, ", %.5g", c.Params)
	if in := c.Intrinsics; in != nil && in.Valid() && c.Size[0] > 0 && in.Lens.Model != ingest.Fisheye {
		angle := func(pixels int, f float64) float64 { return 2 * math.Atan(float64(pixels)/2/f) * 180 / math.Pi }
		fmt.Fprintf(&b, ", view %.0f x %.0f degrees", angle(c.Size[0], in.Fx), angle(c.Size[1], in.Fy))
	}
	return b.String()
}

// pointsOnly reports whether the file is one of points.
func (m *Model) pointsOnly() bool { return m.Points != nil && m.Cameras == nil && m.Images == nil }

// MarshalJSON omits the fields of points if there are none, and those of cameras for a file of points.
func (m *Model) MarshalJSON() ([]byte, error) {
	type cameras struct {
		Cameras []Camera `json:"cameras"`
		Images  []Image  `json:"images"`
		Track   *Range   `json:"track,omitempty"`
		Error   *Range   `json:"error_px,omitempty"`
	}
	c := cameras{m.Cameras, m.Images, m.Track, m.Error}
	if m.pointsOnly() {
		return json.Marshal(struct {
			*ingest.Points
			Track *Range `json:"track,omitempty"`
			Error *Range `json:"error_px,omitempty"`
		}{m.Points, m.Track, m.Error})
	}
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

// expansion is how many times the size of a file its points and cameras take at most, in slices that grow.
const expansion = 4

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
		if err := o.Take(len(data), expansion); err != nil {
			return nil, fmt.Errorf("%s: %s: %w", path, f.Name, err)
		}
		m, err := decode(data)
		if err == nil {
			err = m.place(&ingest.Clouds{}, o)
		}
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

// decoder decodes a file of points and cameras, as stored.
type decoder func(data []byte, o ingest.Options) (*ingest.Clouds, *Model, error)

// taking returns the decoder, which takes memory from the account first.
func (d decoder) taking() decoder {
	return func(data []byte, o ingest.Options) (*ingest.Clouds, *Model, error) {
		if err := o.Take(len(data), expansion); err != nil {
			return nil, nil, err
		}
		return d(data, o)
	}
}

// read reads a file, as stored.
func (d decoder) read(path, format string, o ingest.Options) (*ingest.Clouds, *Model, error) {
	data, err := ingest.ReadFile(path, o)
	if err != nil {
		return nil, nil, err
	}
	c, m, err := d.taking()(data, o.WithDefaults())
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %s: %w", path, format, err)
	}
	return c, m, nil
}

// modelFormat adds Open and Inspect to f, using a decoder.
func modelFormat(f ingest.Format, decode decoder) ingest.Format {
	f = ingest.CloudFormat(f, func(_ string, data []byte, o ingest.Options) (*ingest.Clouds, error) {
		c, m, err := decode.taking()(data, o)
		if err != nil {
			return nil, err
		}
		return c, m.place(c, o)
	})
	f.Inspect = func(_ context.Context, path string, o ingest.Options) (ingest.Detail, error) {
		c, m, err := decode.read(path, f.Name, o)
		if err != nil {
			return nil, err
		}
		if err := m.place(c, o); err != nil {
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
		points, others, err := colmapFolder(dir)
		if err != nil {
			return nil, err
		}
		m := &Model{}
		if ingest.ReaderOptions(o, Options{}).Up == upOfCameras {
			if err := m.addParts(ctx, others, o); err != nil {
				return nil, err
			}
		}
		p, err := placementOf(o, m.Images)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", dir, err)
		}
		src, err := points.format.Open(ctx, points.path, asStored(o))
		if err != nil {
			return nil, err
		}
		return &placedSource{src, p}, nil
	},
	Inspect: func(ctx context.Context, dir string, o ingest.Options) (ingest.Detail, error) {
		points, others, err := colmapFolder(dir)
		if err != nil {
			return nil, err
		}
		m := &Model{}
		if err := m.addParts(ctx, others, o); err != nil {
			return nil, err
		}
		c, of, err := points.decode.read(points.path, points.format.Name, o)
		if err != nil {
			return nil, err
		}
		m.Track, m.Error = of.Track, of.Error
		if err := m.place(c, o); err != nil {
			return nil, fmt.Errorf("%s: %w", dir, err)
		}
		m.Points = ingest.PointsOf(c)
		return m, nil
	},
}

// addParts adds the cameras and images of files. Those that cannot be read are noted.
func (m *Model) addParts(ctx context.Context, parts []colmapPart, o ingest.Options) error {
	for _, part := range parts {
		d, err := part.format.Inspect(ctx, part.path, asStored(o))
		switch more, ok := d.(*Model); {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil: // the points are whole all the same
			o.Note("left out %v", err)
		case ok:
			m.Cameras, m.Images = append(m.Cameras, more.Cameras...), append(m.Images, more.Images...)
		}
	}
	return nil
}

// colmapPart is a file of a folder with its format, and the decoder if it holds points.
type colmapPart struct {
	path   string
	format ingest.Format
	decode decoder
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
		decode                  decoder
	}{
		{".bin", COLMAP, COLMAPCameras, COLMAPImages, decodeCOLMAP},
		{".txt", COLMAPText, COLMAPCamerasText, COLMAPImagesText, decodeCOLMAPText},
	} {
		part := func(name string, f ingest.Format) (colmapPart, bool) {
			_, ok := slices.BinarySearch(names, name+set.ext)
			return colmapPart{filepath.Join(dir, name+set.ext), f, nil}, ok
		}
		p, ok1 := part("points3D", set.points)
		c, ok2 := part("cameras", set.cameras)
		i, ok3 := part("images", set.images)
		if ok1 && ok2 && ok3 {
			p.decode = set.decode
			return p, []colmapPart{c, i}, nil
		}
	}
	return points, nil, fmt.Errorf("%s: found no points3D, cameras and images, all .bin or all .txt", dir)
}
