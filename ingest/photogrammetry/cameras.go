package photogrammetry

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/internal/textnum"
)

// COLMAPCameras is cameras.bin: a uint64 count, then for each camera id uint32, model int32, width and height
// uint64 and the model's parameters as float64, little-endian. COLMAPCamerasText is cameras.txt: lines of id, model
// name, width, height, parameters. https://colmap.github.io/format.html#cameras-txt
var (
	COLMAPCameras = camerasFormat(ingest.Format{
		Name:       "colmap-cameras",
		Doc:        "cameras.bin, the models of COLMAP up to 4.2; can only be inspected",
		Refuses:    "the cameras after one of an unknown model, which are left out",
		Extensions: []string{"cameras.bin"},
		Tested:     "COLMAP export of SBCV",
		Detect:     detectBin(decodeCameras),
	}, decodeCameras)
	COLMAPCamerasText = camerasFormat(ingest.Format{
		Name:       "colmap-cameras-text",
		Doc:        "cameras.txt, with and without comments; can only be inspected",
		Refuses:    "unknown camera models",
		Extensions: []string{"cameras.txt"},
		Tested:     "COLMAP export of SBCV",
		Detect:     detectText("# Camera list", isCamera),
	}, decodeCamerasText)
)

// COLMAPImages is images.bin: a uint64 count, then for each image id uint32, quaternion w x y z and translation as
// float64 (from the world to the camera), camera uint32, a zero-terminated name, and a uint64 count of features of
// x, y float64 and point uint64. COLMAPImagesText is images.txt: two lines per image, the second of which lists the
// features. https://colmap.github.io/format.html#images-txt
var (
	COLMAPImages = camerasFormat(ingest.Format{
		Name:       "colmap-images",
		Doc:        "images.bin: poses; can only be inspected",
		Extensions: []string{"images.bin"},
		Tested:     "COLMAP export of SBCV",
		Detect:     detectImages,
	}, decodeImages)
	COLMAPImagesText = camerasFormat(ingest.Format{
		Name:       "colmap-images-text",
		Doc:        "images.txt: poses; without comments if the file has that name; can only be inspected",
		Extensions: []string{"images.txt"},
		Detect:     detectText("# Image list", isImage),
	}, decodeImagesText)
)

type colmapModel struct {
	name   string
	params int
}

// colmapModels are COLMAP's camera models by number: name and number of parameters. Models from 11 on were added by
// versions 3.9 to 4.2. https://colmap.github.io/cameras.html
var colmapModels = []colmapModel{
	{"SIMPLE_PINHOLE", 3},
	{"PINHOLE", 4},
	{"SIMPLE_RADIAL", 4},
	{"RADIAL", 5},
	{"OPENCV", 8},
	{"OPENCV_FISHEYE", 8},
	{"FULL_OPENCV", 12},
	{"FOV", 5},
	{"SIMPLE_RADIAL_FISHEYE", 4},
	{"RADIAL_FISHEYE", 5},
	{"THIN_PRISM_FISHEYE", 12},
	{"RAD_TAN_THIN_PRISM_FISHEYE", 16},
	{"SIMPLE_DIVISION", 4},
	{"DIVISION", 5},
	{"SIMPLE_FISHEYE", 3},
	{"FISHEYE", 4},
	{"EUCM", 6},
	{"EQUIRECTANGULAR", 2},
}

// colmapIntrinsics converts COLMAP's parameters; it returns nil for unsupported models. COLMAP's pixel centres are
// at half-integers.
func colmapIntrinsics(model string, p []float64) *ingest.Intrinsics {
	var c ingest.Intrinsics
	var rest []float64
	switch model {
	case "SIMPLE_PINHOLE", "SIMPLE_RADIAL", "RADIAL", "SIMPLE_RADIAL_FISHEYE", "RADIAL_FISHEYE", "SIMPLE_FISHEYE":
		c.Fx, c.Fy, c.Cx, c.Cy, rest = p[0], p[0], p[1], p[2], p[3:]
	case "PINHOLE", "OPENCV", "FULL_OPENCV", "OPENCV_FISHEYE", "FISHEYE":
		c.Fx, c.Fy, c.Cx, c.Cy, rest = p[0], p[1], p[2], p[3], p[4:]
	default:
		return nil
	}
	c.Cx, c.Cy = c.Cx-0.5, c.Cy-0.5
	switch model {
	case "SIMPLE_RADIAL", "RADIAL", "OPENCV", "FULL_OPENCV":
		c.Lens = ingest.Brown(rest...)
	case "OPENCV_FISHEYE", "SIMPLE_RADIAL_FISHEYE", "RADIAL_FISHEYE", "SIMPLE_FISHEYE", "FISHEYE":
		c.Lens.Model = ingest.Fisheye
		copy(c.Lens.K[:], rest)
	}
	return &c
}

// maxSide limits the width and height of an image in pixels.
const maxSide = 1 << 20

func newCamera(id uint64, model string, width, height uint64, params []float64) (Camera, error) {
	if width == 0 || height == 0 || width > maxSide || height > maxSide {
		return Camera{}, fmt.Errorf("camera %d: found %d x %d pixels, want 1 to %d", id, width, height, maxSide)
	}
	return Camera{
		ID: strconv.FormatUint(id, 10), Model: model, Size: [2]int{int(width), int(height)}, Params: params,
		Intrinsics: colmapIntrinsics(model, params),
	}, nil
}

func decodeCameras(data []byte) (*Model, error) {
	const fixed = 4 + 4 + 8 + 8
	le := binary.LittleEndian
	if len(data) < 8 {
		return nil, fmt.Errorf("truncated: found %d bytes, want 8 for the count", len(data))
	}
	n := le.Uint64(data)
	if n > uint64(len(data))/fixed {
		return nil, fmt.Errorf("found %d cameras, too many for %d bytes", n, len(data))
	}
	m := &Model{}
	at := 8
	for i := range n {
		if len(data)-at < fixed {
			return nil, fmt.Errorf("byte %d: truncated: found %d cameras, want %d", at, i, n)
		}
		b := data[at:]
		number := le.Uint32(b[4:])
		if number >= uint32(len(colmapModels)) {
			// The number of parameters is unknown, so the next camera cannot be found.
			err := fmt.Errorf("byte %d, camera %d: found model %d, want 0 to %d", at, i, int32(number), len(colmapModels)-1)
			if i == 0 {
				return nil, err
			}
			m.notes = append(m.notes, fmt.Sprintf("left out %d of %d cameras: %v", n-i, n, err))
			return m, nil
		}
		model := colmapModels[number]
		if len(b) < fixed+8*model.params {
			return nil, fmt.Errorf("byte %d: truncated: found %d bytes of a camera, want %d", at, len(b), fixed+8*model.params)
		}
		params := make([]float64, model.params)
		for k := range params {
			params[k] = math.Float64frombits(le.Uint64(b[fixed+8*k:]))
			if !finite(params[k]) {
				return nil, fmt.Errorf("byte %d, camera %d: found parameter %g", at, i, params[k])
			}
		}
		c, err := newCamera(uint64(le.Uint32(b)), model.name, le.Uint64(b[8:]), le.Uint64(b[16:]), params)
		if err != nil {
			return nil, fmt.Errorf("byte %d: %w", at, err)
		}
		m.Cameras = append(m.Cameras, c)
		at += fixed + 8*model.params
	}
	if at != len(data) {
		return nil, fmt.Errorf("byte %d: found %d bytes after the last camera", at, len(data)-at)
	}
	return m, nil
}

// detectBin recognizes a small file by decoding it.
func detectBin(decode func([]byte) (*Model, error)) func(*ingest.Head) ingest.Confidence {
	return func(h *ingest.Head) ingest.Confidence {
		if h.IsDir() || int64(len(h.Bytes)) != h.Size {
			return ingest.No
		}
		if m, err := decode(h.Bytes); err != nil || len(m.Cameras) == 0 {
			return ingest.No
		}
		return ingest.Likely
	}
}

// detectText recognizes a text file by the comment at its start or, without it, by its first row.
func detectText(comment string, fits func(h *ingest.Head, words []string) bool) func(*ingest.Head) ingest.Confidence {
	return func(h *ingest.Head) ingest.Confidence {
		if bytes.HasPrefix(h.Bytes, []byte(comment)) {
			return ingest.Sure
		}
		r := lines{data: h.Bytes}
		for row, ok := r.row(); ok && fits != nil; row, ok = r.row() {
			if words := strings.Fields(string(row)); len(words) > 0 {
				if fits(h, words) {
					return ingest.Likely
				}
				break
			}
		}
		return ingest.No
	}
}

func isCamera(_ *ingest.Head, words []string) bool {
	return len(words) >= 4 && slices.ContainsFunc(colmapModels, func(m colmapModel) bool { return m.name == words[1] })
}

// isImage reports whether a row may be that of an image. Other tables look like it, so the name of the file decides.
func isImage(h *ingest.Head, words []string) bool {
	if len(words) < 10 || !isNamed(h, "images.txt") {
		return false
	}
	_, err := floats(words[:9])
	return err == nil
}

// isNamed reports whether the file has a name, in either case.
func isNamed(h *ingest.Head, name string) bool {
	base := strings.ToLower(filepath.Base(h.Path))
	return base == name || h.Gzip && base == name+".gz"
}

func decodeCamerasText(data []byte) (*Model, error) {
	m := &Model{}
	r := lines{data: data}
	for {
		row, ok := r.row()
		if !ok {
			return m, nil
		}
		words := strings.Fields(string(row))
		if len(words) == 0 {
			continue
		}
		at := -1
		if len(words) >= 4 {
			for i := range colmapModels {
				if colmapModels[i].name == words[1] {
					at = i
				}
			}
		}
		if at < 0 || len(words) != 4+colmapModels[at].params {
			return nil, fmt.Errorf("line %d: found %.80q, want id, model, width, height and the model's parameters", r.line, row)
		}
		id, err1 := strconv.ParseUint(words[0], 10, 32)
		width, err2 := strconv.ParseUint(words[2], 10, 64)
		height, err3 := strconv.ParseUint(words[3], 10, 64)
		params, err4 := floats(words[4:])
		for _, err := range []error{err1, err2, err3, err4} {
			if err != nil {
				return nil, fmt.Errorf("line %d: %w", r.line, err)
			}
		}
		c, err := newCamera(id, words[1], width, height, params)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", r.line, err)
		}
		m.Cameras = append(m.Cameras, c)
	}
}

// row returns the next line that is not a comment, including blank ones, without its line end. ok is false after
// the last line.
func (r *lines) row() (row []byte, ok bool) {
	for len(r.data) > 0 {
		end := textnum.Line(r.data, 0)
		row, r.data = bytes.TrimSpace(r.data[:end]), r.data[end:]
		r.line++
		if !bytes.HasPrefix(row, []byte("#")) {
			return row, true
		}
	}
	return nil, false
}

// floats parses finite numbers.
func floats(words []string) ([]float64, error) {
	out := make([]float64, len(words))
	for i, w := range words {
		var err error
		if out[i], err = strconv.ParseFloat(w, 64); err != nil || !finite(out[i]) {
			return nil, fmt.Errorf("found %.20q, want a number", w)
		}
	}
	return out, nil
}

const (
	imageFixed   = 4 + 7*8 + 4 // bytes before the name
	imageFeature = 8 + 8 + 8
	// maxName limits the length of a file name.
	maxName = 4096
)

// colmapImage decodes the image at the start of b and returns its size in bytes.
func colmapImage(b []byte) (im Image, size int64, err error) {
	le := binary.LittleEndian
	if len(b) < imageFixed {
		return im, 0, fmt.Errorf("truncated: found %d bytes of an image, want %d", len(b), imageFixed)
	}
	var v [7]float64
	for k := range v {
		v[k] = math.Float64frombits(le.Uint64(b[4+8*k:]))
	}
	world, err := ingest.PoseOfQuaternion(v[0], v[1], v[2], v[3], [3]float64(v[4:]))
	if err != nil {
		return im, 0, err
	}
	if err := im.place(world); err != nil {
		return im, 0, err
	}
	im.Camera = strconv.FormatUint(uint64(le.Uint32(b[60:])), 10)
	end := bytes.IndexByte(b[imageFixed:min(len(b), imageFixed+maxName)], 0)
	if end < 1 {
		return im, 0, fmt.Errorf("found no zero-terminated name of 1 to %d bytes", maxName)
	}
	im.Name = strings.ToValidUTF8(string(b[imageFixed:imageFixed+end]), "\uFFFD")
	at := imageFixed + end + 1
	if len(b)-at < 8 {
		return im, 0, fmt.Errorf("truncated after the name %q", im.Name)
	}
	n := le.Uint64(b[at:])
	if n > math.MaxInt32 {
		return im, 0, fmt.Errorf("image %q: found %d features, more than the file can hold", im.Name, n)
	}
	im.Features = int(n)
	return im, int64(at) + 8 + int64(n)*imageFeature, nil
}

func detectImages(h *ingest.Head) ingest.Confidence {
	if h.IsDir() || len(h.Bytes) < 8+imageFixed {
		return ingest.No
	}
	n := binary.LittleEndian.Uint64(h.Bytes)
	if n == 0 || n > uint64(h.Size)/(imageFixed+10) {
		return ingest.No
	}
	v := h.Bytes[8:]
	norm := 0.0
	for k := range 4 {
		q := math.Float64frombits(binary.LittleEndian.Uint64(v[4+8*k:]))
		norm += q * q
	}
	im, size, err := colmapImage(v)
	if err != nil || math.Abs(norm-1) > 1e-3 || size > h.Size-8 ||
		strings.ContainsFunc(im.Name, func(r rune) bool { return r < ' ' }) {
		return ingest.No
	}
	return ingest.Likely
}

func decodeImages(data []byte) (*Model, error) {
	if len(data) < 8 {
		return nil, fmt.Errorf("truncated: found %d bytes, want 8 for the count", len(data))
	}
	n := binary.LittleEndian.Uint64(data)
	if n > uint64(len(data))/imageFixed {
		return nil, fmt.Errorf("found %d images, too many for %d bytes", n, len(data))
	}
	m := &Model{}
	at := int64(8)
	for i := range n {
		im, size, err := colmapImage(data[at:])
		if err == nil && size > int64(len(data))-at {
			err = fmt.Errorf("truncated: found %d bytes of features, want %d", int64(len(data))-at, size)
		}
		if err != nil {
			return nil, fmt.Errorf("byte %d, image %d of %d: %w", at, i, n, err)
		}
		m.Images = append(m.Images, im)
		at += size
	}
	return m, nil
}

func decodeImagesText(data []byte) (*Model, error) {
	m := &Model{}
	r := lines{data: data}
	for {
		row, ok := r.row()
		if !ok {
			return m, nil
		}
		words := strings.Fields(string(row))
		if len(words) == 0 {
			continue
		}
		if len(words) < 10 {
			return nil, fmt.Errorf("line %d: found %d words, want id, quaternion, translation, camera and name",
				r.line, len(words))
		}
		v, err := floats(words[1:8])
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", r.line, err)
		}
		world, err := ingest.PoseOfQuaternion(v[0], v[1], v[2], v[3], [3]float64(v[4:]))
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", r.line, err)
		}
		im := Image{Camera: words[8], Name: strings.Join(words[9:], " ")}
		if err := im.place(world); err != nil {
			return nil, fmt.Errorf("line %d: %w", r.line, err)
		}
		features, _ := r.row()
		im.Features = len(bytes.Fields(features)) / 3
		m.Images = append(m.Images, im)
	}
}
