package depth

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/internal/regular"
)

// Frames is a folder of depth images that have "depth" in their names or are in a folder depth/, with colour images
// of the same names except for "color" or "rgb" instead of "depth": Redwood and Open3D (depth/00000.png,
// color/00000.jpg), 7-Scenes and tsdf-fusion (frame-000000.depth.png, frame-000000.color.png), the sets of "14
// lectures on visual SLAM" (depth/1.pgm, color/1.png). The unit is a millimetre. The camera is read from a file in
// the folder (camera_primesense.json or another camera*.json of Open3D, camera-intrinsics.txt of tsdf-fusion, the
// calibration.json of an Azure Kinect, whose colour images are registered to depth if necessary); otherwise it is
// the usual one for the image size. Frames have no times and are ordered by name, with numbers by value. Poses, if
// any, are a matrix file per frame (frame-000000.pose.txt, pose/0.txt) or a list of all frames (see posesOf). As in
// 7-Scenes, 65535 means no measurement.
var Frames = folderFormat(ingest.Format{
	Name: "depth-folder",
	Assumes: "millimetres, without `--depth-units`; the camera usual for the image size, without a calibration file or " +
		"`--fx`; the order of names for lists of poses without times",
	Doc: "Redwood, Open3D, 7-Scenes, tsdf-fusion, slambook; cameras of Open3D, tsdf-fusion and " +
		"Azure Kinect; poses of all of them",
	Library: "image/png, image/jpeg",
	Tested:  "tsdf-fusion frame-000150",
	Options: newOptions,
	Detect:  detectFrames,
}, readFrames)

func detectFrames(h *ingest.Head) ingest.Confidence {
	if !h.IsDir() {
		return ingest.No
	}
	if slices.ContainsFunc(h.Names, isDepthName) {
		return ingest.Guess
	}
	if _, ok := slices.BinarySearch(h.Names, "depth"); ok {
		if entries, err := regular.ReadDir(filepath.Join(h.Path, "depth")); err == nil &&
			slices.ContainsFunc(entries, func(e fs.DirEntry) bool {
				return isDepthName(filepath.Join("depth", e.Name()))
			}) {
			return ingest.Guess
		}
	}
	return ingest.No
}

func isDepthName(name string) bool {
	switch strings.ToLower(filepath.Ext(name)) {
	case ".png", ".pgm":
		return strings.Contains(strings.ToLower(name), "depth")
	}
	return false
}

// readFrames lists the depth images of a folder, pairs them with colour images, and reads the folder's camera into
// the settings.
func readFrames(dir string, o *settings) (*sequence, error) {
	if o.units == 0 {
		o.Note("the images do not state their unit: assumed millimetres; --depth-units sets it")
	}
	o.units = o.perMetre(millimetres)
	f := &sequence{dir: dir, none: math.MaxUint16}
	have := map[string]bool{}
	for _, sub := range []string{"", "depth", "color", "rgb", "pose"} {
		entries, err := regular.ReadDir(filepath.Join(dir, sub))
		if errors.Is(err, fs.ErrNotExist) && sub != "" {
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			have[filepath.Join(sub, e.Name())] = true
		}
	}
	for name := range have {
		if isDepthName(name) {
			f.pairs = append(f.pairs, pair{
				depth: listed{path: name}, color: listed{path: colorName(name, have)},
				posePath: poseName(name, have),
			})
		}
	}
	if len(f.pairs) == 0 {
		return nil, fmt.Errorf("%s: found no depth image", dir)
	}
	if len(f.pairs) > tumMaxRows {
		return nil, fmt.Errorf("%s: found %d depth images, limit %d", dir, len(f.pairs), tumMaxRows)
	}
	slices.SortFunc(f.pairs, func(a, b pair) int { return naturally(a.depth.path, b.depth.path) })
	poses, err := posesOf(dir, have, o)
	if err != nil {
		return nil, err
	}
	for i := range min(len(poses), len(f.pairs)) {
		f.pairs[i].pose = poses[i]
	}
	if have["calibration.json"] && o.camera == nil {
		if err := f.readAzure(filepath.Join(dir, "calibration.json")); err != nil {
			return nil, err
		}
	}
	if o.camera == nil && f.camera == nil {
		cam, err := cameraBeside(dir, have)
		if err != nil {
			return nil, err
		}
		o.camera = cam
	}
	return f, nil
}

// readAzure reads the cameras of an Azure Kinect. It ignores files of the same name with other content.
func (s *sequence) readAzure(path string) error {
	data, err := ingest.ReadFile(path, ingest.Options{MaxBytes: 1 << 20})
	if err != nil {
		return err
	}
	a, err := parseAzure(data)
	if errors.Is(err, errNotAzure) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	s.camera, s.colorCamera = a.camera, a.colorCamera
	return nil
}

// colorName returns the colour image that belongs to a depth image, or "".
func colorName(depth string, have map[string]bool) string {
	stem := strings.TrimSuffix(depth, filepath.Ext(depth))
	for _, word := range []string{"color", "rgb"} {
		for _, ext := range []string{".png", ".jpg", ".jpeg"} {
			if name := strings.Replace(stem, "depth", word, 1) + ext; name != depth && have[name] {
				return name
			}
		}
	}
	return ""
}

// poseName returns the pose file of a depth image, or "".
func poseName(depth string, have map[string]bool) string {
	name := strings.Replace(strings.TrimSuffix(depth, filepath.Ext(depth)), "depth", "pose", 1) + ".txt"
	if have[name] {
		return name
	}
	return ""
}

// naturally compares names, with the numbers in them by value: 2.png before 10.png.
func naturally(a, b string) int {
	for a != "" && b != "" {
		na, nb := digits(a), digits(b)
		if na > 0 && nb > 0 {
			x, y := strings.TrimLeft(a[:na], "0"), strings.TrimLeft(b[:nb], "0")
			if c := cmp.Or(cmp.Compare(len(x), len(y)), cmp.Compare(x, y), cmp.Compare(na, nb)); c != 0 {
				return c
			}
			a, b = a[na:], b[nb:]
			continue
		}
		if a[0] != b[0] {
			return cmp.Compare(a[0], b[0])
		}
		a, b = a[1:], b[1:]
	}
	return cmp.Compare(len(a), len(b))
}

func digits(s string) int {
	n := 0
	for n < len(s) && s[n] >= '0' && s[n] <= '9' {
		n++
	}
	return n
}

// cameraBeside reads the calibration of the folder; it returns nil if there is none.
func cameraBeside(dir string, have map[string]bool) (*ingest.Intrinsics, error) {
	names := make([]string, 0, 4)
	for name := range have {
		switch {
		case name == "camera-intrinsics.txt", name == "intrinsics.txt", name == "intrinsic.json",
			strings.HasPrefix(name, "camera") && strings.HasSuffix(name, ".json"):
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return nil, nil
	}
	slices.Sort(names)
	name := names[0]
	path := filepath.Join(dir, name)
	data, err := ingest.ReadFile(path, ingest.Options{MaxBytes: 1 << 20})
	if err != nil {
		return nil, err
	}
	m, err := parseMatrix(data, strings.HasSuffix(name, ".json"))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	cam := ingest.Intrinsics{Fx: m[0], Fy: m[4], Cx: m[2], Cy: m[5]}
	if !cam.Valid() {
		return nil, fmt.Errorf("%s: found focal lengths %g and %g, want above 0", path, cam.Fx, cam.Fy)
	}
	return &cam, nil
}

// parseMatrix reads a 3x3 camera matrix in row-major order. In Open3D's JSON it is column-major.
func parseMatrix(data []byte, isJSON bool) (m [9]float64, err error) {
	if isJSON {
		var c struct {
			Matrix []float64 `json:"intrinsic_matrix"`
		}
		if err := json.Unmarshal(data, &c); err != nil {
			return m, err
		}
		if len(c.Matrix) != len(m) {
			return m, fmt.Errorf("intrinsic_matrix: found %d numbers, want 9", len(c.Matrix))
		}
		for i, v := range c.Matrix {
			m[i%3*3+i/3] = v
		}
		return m, nil
	}
	words := strings.Fields(string(data))
	if len(words) != len(m) {
		return m, fmt.Errorf("found %d numbers, want the 9 of a camera matrix", len(words))
	}
	for i, w := range words {
		if m[i], err = strconv.ParseFloat(w, 64); err != nil {
			return m, fmt.Errorf("found %.20q, want a number", w)
		}
	}
	return m, nil
}

// decodeDepth reads a PNG or PGM image.
func decodeDepth(path string, data []byte, perMetre float64, o *settings) (*ingest.Frame, error) {
	if strings.EqualFold(filepath.Ext(path), ".pgm") {
		return decodePGM(data, perMetre, o)
	}
	return decodePNG(data, perMetre, o)
}
