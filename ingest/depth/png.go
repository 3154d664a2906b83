// Package depth reads files of depth cameras and the datasets recorded with them: single images, folders of image
// sequences, and clouds with calibration.
package depth

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	_ "image/jpeg" // colour images of sequences
	"image/png"

	"github.com/voxelstream/voxelstream/ingest"
)

// ROSDefault is the camera that the ROS drivers assume for an uncalibrated 640x480 Kinect or PrimeSense, and that
// the TUM datasets recommend: https://cvg.cit.tum.de/data/datasets/rgbd-dataset/file_formats.
var ROSDefault = ingest.Intrinsics{Fx: 525, Fy: 525, Cx: 319.5, Cy: 239.5}

// KinectV2 is the factory calibration of the depth camera of a Kinect v2, 512x424, as libfreenect2 reports it for a
// typical device.
var KinectV2 = ingest.Intrinsics{
	Fx: 365.456, Fy: 365.456, Cx: 254.878, Cy: 205.395,
	Lens: ingest.Brown(0.0905474, -0.26819, 0, 0, 0.0950862),
}

// defaultCamera returns the usual camera for images of the given size. It is unknown for other sizes, because a
// wrong camera would silently distort the scene.
func defaultCamera(width, height int) ingest.Intrinsics {
	switch {
	case width == 640 && height == 480:
		return ROSDefault
	case width == 512 && height == 424:
		return KinectV2
	}
	return ingest.Intrinsics{}
}

// millimetres is the number of units per metre in the images of most depth cameras: Kinect in mm mode, Kinect v2,
// Azure Kinect, RealSense, PrimeSense, Redwood, NYU, SUN.
const millimetres = 1000

// PNG is a single depth image as 16-bit grey PNG, where 0 means no measurement. The file does not state its unit:
// it is Options.DepthUnits, or else a millimetre. Bits rotated as in SUN RGB-D are detected.
var PNG = ingest.Format{
	Name:       "png-depth",
	Doc:        "16-bit grey; rotated bits of SUN RGB-D",
	Assumes:    "millimetres, without `--depth-units`; the camera usual for the image size, without `--fx`",
	Refuses:    "images of 8 bits, in colour or with a palette, which hold no depth; 16-bit images with transparency",
	Extensions: []string{".png"},
	Library:    "image/png",
	Tested:     "Redwood depth_00000.png",
	Options:    newOptions,
	Detect:     detectPNG,
	Open: func(_ context.Context, path string, o ingest.Options) (ingest.Source, error) {
		return ingest.FileSource(path, o, func(o ingest.Options) ([]ingest.Sample, error) {
			f, err := readPNG(path, settingsOf(o))
			if err != nil {
				return nil, err
			}
			return []ingest.Sample{{Label: ingest.NoLabel, Data: f}}, nil
		})
	},
	Inspect: func(_ context.Context, path string, options ingest.Options) (ingest.Detail, error) {
		o := settingsOf(options)
		f, err := readPNG(path, o)
		if err != nil {
			return nil, err
		}
		return ingest.DepthOf(f, o.perMetre(millimetres)), nil
	},
}

// pngHead is the signature and the first chunk's header. Width and height (4 bytes each), bit depth and colour type
// follow.
const pngHead = "\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"

func detectPNG(h *ingest.Head) ingest.Confidence {
	if len(h.Bytes) >= len(pngHead) && string(h.Bytes[:len(pngHead)]) == pngHead {
		return ingest.Sure
	}
	return ingest.No
}

// pngColors names the colour types by number, see https://www.w3.org/TR/png/#11IHDR.
var pngColors = map[byte]string{
	0: "grey", 2: "RGB", 3: "palette", 4: "grey with transparency",
	6: "RGB with transparency",
}

// is16BitGrey reports whether a file is a PNG image that can hold depth.
func is16BitGrey(data []byte) bool { return pngKind(data) == nil }

// pngKind is the error for an image that holds no depth, by its header.
func pngKind(data []byte) error {
	const depth16, grey = 16, 0
	if len(data) < 26 || string(data[:16]) != pngHead {
		return errors.New("found no PNG header")
	}
	if bits, color := data[24], data[25]; bits != depth16 || color != grey {
		article := "a"
		if bits == 8 {
			article = "an"
		}
		return fmt.Errorf("found %s %d-bit PNG, want 16-bit grey: its colour type is %s", article, bits,
			cmp.Or(pngColors[color], "unknown"))
	}
	return nil
}

func readPNG(path string, o *settings) (*ingest.Frame, error) {
	data, err := ingest.ReadFile(path, o.Options)
	if err != nil {
		return nil, err
	}
	width, height, raw, err := rawPNG(data, o)
	if err != nil {
		return nil, fmt.Errorf("%s: depth image: %w", path, err)
	}
	if o.units == 0 {
		o.Note("the file does not state its unit: assumed millimetres; --depth-units sets it")
		if rotated(raw) {
			o.Note("the bits are rotated as in SUN RGB-D")
			unrotate(raw)
		}
	}
	f := metres(width, height, raw, o.perMetre(millimetres))
	o.setCamera(f)
	return f, nil
}

// decodePNG reads a 16-bit grey PNG whose unit is 1/perMetre metres.
func decodePNG(data []byte, perMetre float64, o *settings) (*ingest.Frame, error) {
	width, height, raw, err := rawPNG(data, o)
	if err != nil {
		return nil, err
	}
	return metres(width, height, raw, perMetre), nil
}

// rawPNG returns the stored values.
func rawPNG(data []byte, o *settings) (width, height int, raw []uint16, err error) {
	if err := checkSize(data, o); err != nil {
		return 0, 0, nil, err
	}
	if err := pngKind(data); err != nil {
		return 0, 0, nil, err
	}
	img, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		return 0, 0, nil, err
	}
	grey, ok := img.(*image.Gray16)
	if !ok {
		return 0, 0, nil, fmt.Errorf("found %T, want 16-bit grey", img)
	}
	width, height = grey.Rect.Dx(), grey.Rect.Dy()
	raw = make([]uint16, width*height)
	for v := range height {
		row, out := grey.Pix[v*grey.Stride:], raw[v*width:][:width]
		for u := range out {
			out[u] = uint16(row[2*u])<<8 | uint16(row[2*u+1])
		}
	}
	return width, height, raw, nil
}

// metres converts stored values, in units of 1/perMetre metres, to a frame.
func metres(width, height int, raw []uint16, perMetre float64) *ingest.Frame {
	f := &ingest.Frame{Width: width, Height: height, Depth: make([]ingest.Metres, len(raw))}
	for i, v := range raw {
		f.Depth[i] = ingest.Metres(float64(v) / perMetre)
	}
	return f
}

// pixelBytes is the most memory that a pixel takes: the coefficients of a progressive JPEG (12 bytes) and its planes (3),
// or an interlaced PNG of 64 bits with the image of a pass (16), and the two results in colour (8).
const pixelBytes = 24

// checkSize rejects an image with more pixels than the limit, from its header alone, and takes the memory to decode it.
func checkSize(data []byte, o *settings) error {
	c, kind, err := image.DecodeConfig(bytes.NewReader(data))
	if err != nil {
		return err
	}
	if c.Width <= 0 || c.Height <= 0 || c.Width > o.MaxPixels/c.Height {
		return fmt.Errorf("%s: found %d x %d pixels, limit %d", kind, c.Width, c.Height, o.MaxPixels)
	}
	return o.Take(c.Width*c.Height, pixelBytes)
}

// decodeColor reads a PNG, JPEG or binary PPM.
func decodeColor(data []byte, o *settings) (pixels []color.RGBA, width, height int, err error) {
	if bytes.HasPrefix(data, []byte("P6")) {
		return decodePPM(data, o)
	}
	if err := checkSize(data, o); err != nil {
		return nil, 0, 0, err
	}
	img, _, err := image.Decode(bytes.NewReader(data))
	if err != nil {
		return nil, 0, 0, err
	}
	width, height = img.Bounds().Dx(), img.Bounds().Dy()
	flat, ok := img.(*image.RGBA)
	if !ok || flat.Stride != 4*width {
		flat = image.NewRGBA(image.Rect(0, 0, width, height))
		draw.Draw(flat, flat.Rect, img, img.Bounds().Min, draw.Src)
	}
	pixels = make([]color.RGBA, width*height)
	for i := range pixels {
		p := flat.Pix[4*i:][:4]
		pixels[i] = color.RGBA{R: p[0], G: p[1], B: p[2], A: p[3]}
	}
	return pixels, width, height, nil
}

// decodePPM reads an 8-bit binary PPM (P6), https://netpbm.sourceforge.net/doc/ppm.html.
func decodePPM(data []byte, o *settings) (pixels []color.RGBA, width, height int, err error) {
	h, err := parseNetpbm(data, "P6")
	if err != nil {
		return nil, 0, 0, err
	}
	if h.largest != 255 {
		return nil, 0, 0, fmt.Errorf("maximum value: found %d, want 255", h.largest)
	}
	body, err := h.pixels(data, 3, o)
	if err != nil {
		return nil, 0, 0, err
	}
	pixels = make([]color.RGBA, h.width*h.height)
	for i := range pixels {
		pixels[i] = color.RGBA{R: body[3*i], G: body[3*i+1], B: body[3*i+2], A: 255}
	}
	return pixels, h.width, h.height, nil
}
