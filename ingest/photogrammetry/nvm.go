package photogrammetry

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/internal/textnum"
)

// NVM is VisualSFM's text format: "NVM_V3", the number of cameras and for each a line of "name f qw qx qy qz cx cy
// cz radial 0" (quaternion from the world to the camera, the camera's centre in the world), the number of points
// and for each "x y z r g b n" and n measurements of four numbers (image, feature, x, y). Models after the first
// are ignored. http://ccwu.me/vsfm/doc.html#nvm
var NVM = modelFormat(ingest.Format{
	Name:       "nvm",
	Doc:        "NVM_V3, points, cameras and poses of the first model",
	Extensions: []string{".nvm"},
	Tested:     "VisualSFM example",
	Options:    newOptions,
	Detect:     detectText("NVM_V3", nil),
}, decodeNVM)

func decodeNVM(data []byte, o ingest.Options) (*ingest.Clouds, *Model, error) {
	r := lines{data: data}
	if _, err := r.next("NVM_V3"); err != nil {
		return nil, nil, err
	}
	cameras, err := r.count("the number of cameras")
	if err != nil {
		return nil, nil, err
	}
	m := &Model{}
	for range cameras {
		row, err := r.next("a camera")
		if err != nil {
			return nil, nil, err
		}
		if err := m.addNVM(strings.Fields(string(row))); err != nil {
			return nil, nil, fmt.Errorf("line %d: %w", r.line, err)
		}
	}
	points, err := r.count("the number of points")
	if err != nil {
		return nil, nil, err
	}
	if points > int64(o.MaxPoints) {
		return nil, nil, fmt.Errorf("line %d: found %d points, limit %d", r.line, points, o.MaxPoints)
	}
	s := newSparse(o)
	for i := range points {
		if i%4096 == 0 && o.Err() != nil {
			return nil, nil, o.Err()
		}
		row, err := r.next("a point")
		if err != nil {
			return nil, nil, err
		}
		var v [7]float64
		i := 0
		for k := range v {
			var ok bool
			if v[k], i, ok = textnum.Float(row, i, 0); !ok {
				return nil, nil, fmt.Errorf("line %d, value %d: found %q, want a number", r.line, k+1, textnum.Token(row, i))
			}
		}
		s.add([3]float64(v[:3]), [3]uint8{channel(v[3]), channel(v[4]), channel(v[5])}, unknown, int64(v[6]))
	}
	return s.clouds(m), m, nil
}

// addNVM adds the camera and the image of a line. VisualSFM replaces blanks in names, so there are always eleven
// words.
func (m *Model) addNVM(words []string) error {
	const width = 11
	if len(words) != width {
		return fmt.Errorf("found %d words, want the %d of a camera line", len(words), width)
	}
	v, err := floats(words[1:])
	if err != nil {
		return err
	}
	// The file has the rotation and the centre rather than a translation.
	p, err := ingest.PoseOfQuaternion(v[1], v[2], v[3], v[4], [3]float64{})
	if err != nil {
		return err
	}
	id := strconv.Itoa(len(m.Cameras))
	im := Image{Name: words[0], Camera: id}
	if err := im.place(p); err != nil {
		return err
	}
	im.Position = [3]float64(v[5:8])
	// The file does not have the image size, so the principal point, the image centre, is unknown too.
	m.Cameras = append(m.Cameras, Camera{ID: id, Model: "VISUALSFM", Params: []float64{v[0], v[8]}})
	m.Images = append(m.Images, im)
	return nil
}

// lines reads the non-blank lines of a text.
type lines struct {
	data []byte
	line int
}

func (r *lines) next(want string) ([]byte, error) {
	for len(r.data) > 0 {
		end := textnum.Line(r.data, 0)
		row := r.data[:end]
		r.data = r.data[end:]
		r.line++
		if len(bytes.TrimSpace(row)) > 0 {
			return row, nil
		}
	}
	return nil, fmt.Errorf("truncated: file ends after line %d, want %s", r.line, want)
}

func (r *lines) count(what string) (int64, error) {
	row, err := r.next(what)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(row)), 10, 40)
	if err != nil || n < 0 || n > int64(len(r.data)) {
		return 0, fmt.Errorf("line %d: found %.40q, want %s, at most the number of bytes left", r.line,
			bytes.TrimSpace(row), what)
	}
	return n, nil
}
