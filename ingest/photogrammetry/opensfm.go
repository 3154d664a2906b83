package photogrammetry

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/voxelstream/voxelstream/ingest"
)

// OpenSfM is reconstruction.json: a list of reconstructions, each with cameras (focal lengths over the larger side
// of the image), shots (rotation as an angle times its axis, and translation, both from the world to the camera)
// and points (coordinates, colour, in older files the reprojection errors in each shot). The points of all
// reconstructions are read. https://opensfm.org/docs/dataset.html#reconstruction-file-format
var OpenSfM = modelFormat(ingest.Format{
	Name:       "opensfm",
	Doc:        "reconstruction.json: points, cameras and poses",
	Extensions: []string{".json"},
	Library:    "encoding/json",
	Options:    newOptions,
	Detect:     detectOpenSfM,
}, decodeOpenSfM)

func detectOpenSfM(h *ingest.Head) ingest.Confidence {
	b := bytes.TrimSpace(h.Bytes)
	if len(b) == 0 || b[0] != '[' || !bytes.Contains(b, []byte(`"cameras"`)) ||
		!bytes.Contains(b, []byte(`"projection_type"`)) {
		return ingest.No
	}
	return ingest.Likely
}

type openSfM struct {
	Cameras map[string]struct {
		Projection string   `json:"projection_type"`
		Width      float64  `json:"width"`
		Height     float64  `json:"height"`
		Focal      float64  `json:"focal"`
		FocalX     *float64 `json:"focal_x"`
		FocalY     *float64 `json:"focal_y"`
		CX         float64  `json:"c_x"`
		CY         float64  `json:"c_y"`
		K1         float64  `json:"k1"`
		K2         float64  `json:"k2"`
		K3         float64  `json:"k3"`
		P1         float64  `json:"p1"`
		P2         float64  `json:"p2"`
	} `json:"cameras"`
	Shots map[string]struct {
		Rotation    [3]float64 `json:"rotation"`
		Translation [3]float64 `json:"translation"`
		Camera      string     `json:"camera"`
	} `json:"shots"`
	Points map[string]struct {
		Coordinates [3]float64           `json:"coordinates"`
		Color       [3]float64           `json:"color"`
		Errors      map[string][]float64 `json:"reprojection_errors"`
	} `json:"points"`
}

func decodeOpenSfM(data []byte, o ingest.Options) (*ingest.Clouds, *Model, error) {
	// The shortest point, "":{}, takes ten times its text in the map of points.
	const asMap = 16
	if err := o.Take(len(data), asMap); err != nil {
		return nil, nil, err
	}
	var list []openSfM
	if err := json.Unmarshal(data, &list); err != nil {
		if at, ok := errors.AsType[*json.SyntaxError](err); ok {
			return nil, nil, fmt.Errorf("byte %d: %w", at.Offset, err)
		}
		if at, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
			return nil, nil, fmt.Errorf("byte %d: found JSON of other data, want an array of reconstructions", at.Offset)
		}
		return nil, nil, err
	}
	s, m := newSparse(o), &Model{}
	for i := range list {
		r := &list[i]
		if len(r.Points) > o.MaxPoints-s.p.Len() {
			return nil, nil, fmt.Errorf("found more than %d points", o.MaxPoints)
		}
		if err := r.cameras(m); err != nil {
			return nil, nil, err
		}
		r.points(&s)
	}
	return s.clouds(m), m, nil
}

// cameras adds the cameras and the shots, sorted by name.
func (r *openSfM) cameras(m *Model) error {
	for _, id := range slices.Sorted(maps.Keys(r.Cameras)) {
		c := r.Cameras[id]
		if !(c.Width >= 0 && c.Height >= 0 && c.Width <= maxSide && c.Height <= maxSide) {
			return fmt.Errorf("camera %q: found %g x %g pixels, want 0 to %d per side", id, c.Width, c.Height, maxSide)
		}
		fx, fy := c.Focal, c.Focal
		if c.FocalX != nil && c.FocalY != nil {
			fx, fy = *c.FocalX, *c.FocalY
		}
		out := Camera{
			ID: id, Model: c.Projection, Size: [2]int{int(c.Width), int(c.Height)},
			Params: []float64{fx, fy, c.CX, c.CY, c.K1, c.K2, c.P1, c.P2, c.K3},
		}
		side := max(c.Width, c.Height)
		in := ingest.Intrinsics{Fx: fx * side, Fy: fy * side, Cx: (c.Width-1)/2 + c.CX*side, Cy: (c.Height-1)/2 + c.CY*side}
		switch c.Projection {
		case "perspective", "brown":
			in.Lens = ingest.Brown(c.K1, c.K2, c.P1, c.P2, c.K3)
			out.Intrinsics = &in
		case "fisheye":
			in.Lens = ingest.Lens{Model: ingest.Fisheye, K: [6]float64{c.K1, c.K2}}
			out.Intrinsics = &in
		}
		if !finite(in.Fx + in.Fy + in.Cx + in.Cy) {
			return fmt.Errorf("camera %q: found focal lengths %g and %g, too large", id, fx, fy)
		}
		m.Cameras = append(m.Cameras, out)
	}
	for _, name := range slices.Sorted(maps.Keys(r.Shots)) {
		shot := r.Shots[name]
		world, err := poseOfAxis(shot.Rotation, shot.Translation)
		if err != nil {
			return fmt.Errorf("shot %q: %w", name, err)
		}
		im := Image{Name: name, Camera: shot.Camera}
		if err := im.place(world); err != nil {
			return err
		}
		m.Images = append(m.Images, im)
	}
	return nil
}

// poseOfAxis returns the pose with a rotation given as angle times axis.
func poseOfAxis(r, t [3]float64) (ingest.Pose, error) {
	angle := math.Sqrt(r[0]*r[0] + r[1]*r[1] + r[2]*r[2])
	s := 0.5 // the limit of sin(angle/2) / angle
	if angle > 1e-9 {
		s = math.Sin(angle/2) / angle
	}
	return ingest.PoseOfQuaternion(math.Cos(angle/2), r[0]*s, r[1]*s, r[2]*s, t)
}

// points adds the points, sorted by number. A point's error is the mean length of its errors in the shots. A file
// without errors has no tracks either, so that both filters keep all its points.
func (r *openSfM) points(s *sparse) {
	ids := slices.SortedFunc(maps.Keys(r.Points), func(a, b string) int {
		if len(a) != len(b) {
			return len(a) - len(b)
		}
		return strings.Compare(a, b)
	})
	for _, id := range ids {
		p := r.Points[id]
		track, sum := int64(len(p.Errors)), 0.0
		for _, shot := range slices.Sorted(maps.Keys(p.Errors)) { // the sum depends on the order
			square := 0.0
			for _, v := range p.Errors[shot] {
				square += v * v
			}
			sum += math.Sqrt(square)
		}
		errPx := sum / float64(track)
		if track == 0 {
			errPx, track = unknown, unknown
		}
		s.add(p.Coordinates, [3]uint8{channel(p.Color[0]), channel(p.Color[1]), channel(p.Color[2])}, errPx, track)
	}
}
