package depth

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/internal/trajectory"
	"github.com/voxelstream/voxelstream/internal/regular"
)

// Fakenect is a folder recorded from a Kinect v1 by libfreenect's record program, the format of the raw part of the
// NYU dataset. It has depth images d-TIME-STAMP.pgm of raw disparities (low byte first, contrary to the PGM
// standard), colour images r-TIME-STAMP.ppm, and accelerations a-TIME-STAMP.dump, which are not read. TIME is in
// seconds, STAMP in ticks of the device's clock. Colour is registered to depth using the cameras' usual
// calibration. Images with values above 2047 were recorded in millimetres.
// https://github.com/OpenKinect/libfreenect/tree/master/fakenect
var Fakenect = folderFormat(ingest.Format{
	Name: "fakenect",
	Doc: "folders of libfreenect's record program and the raw NYU dataset: disparities or millimetres, " +
		"colour registered to them",
	Options: newOptions,
	Detect:  detectFakenect,
}, readFakenect)

func detectFakenect(h *ingest.Head) ingest.Confidence {
	if h.IsDir() && slices.ContainsFunc(h.Names, func(n string) bool {
		_,
			err := recorded(n, "d-", ".pgm")
		return err == nil
	}) {
		return ingest.Likely
	}
	return ingest.No
}

// recorded parses the time in a file's name.
func recorded(name, prefix, ext string) (listed, error) {
	rest, ok := strings.CutPrefix(name, prefix)
	if !ok || !strings.HasSuffix(rest, ext) {
		return listed{}, fmt.Errorf("found file name %q, want %sTIME-STAMP%s", name, prefix, ext)
	}
	seconds, _, ok := strings.Cut(strings.TrimSuffix(rest, ext), "-")
	if !ok {
		return listed{}, fmt.Errorf("found file name %q, want %sTIME-STAMP%s", name, prefix, ext)
	}
	t, err := trajectory.ParseTime(seconds)
	return listed{t, name}, err
}

// readFakenect lists the images of a folder, pairs depth with colour, and completes the settings.
func readFakenect(dir string, o *settings) (*sequence, error) {
	o.units = o.perMetre(millimetres)
	if o.camera == nil {
		o.camera = &KinectV1
	}
	entries, err := regular.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var depths, colors []listed
	for _, e := range entries {
		if d, err := recorded(e.Name(), "d-", ".pgm"); err == nil {
			depths = append(depths, d)
		} else if c, err := recorded(e.Name(), "r-", ".ppm"); err == nil {
			colors = append(colors, c)
		}
	}
	if len(depths) == 0 || len(depths) > tumMaxRows {
		return nil, fmt.Errorf("%s: found %d depth images, want 1 to %d", dir, len(depths), tumMaxRows)
	}
	for _, list := range [][]listed{depths, colors} {
		slices.SortFunc(list, func(a, b listed) int { return cmp.Or(a.time.Compare(b.time), naturally(a.path, b.path)) })
	}
	return &sequence{
		dir: dir, pairs: pairNearest(depths, colors, o.tolerance), decode: decodeDisparity, unit: unitDisparity,
		colorCamera: func(width, height int) *ingest.ColorImage {
			if width != kinectWidth || height != kinectHeight {
				return nil
			}
			return &ingest.ColorImage{Cam: kinectV1Color, Depth: kinectV1Between}
		},
	}, nil
}

// decodeDisparity reads an image of disparities, or of depths in the configured unit if one of its values is not a
// disparity.
func decodeDisparity(_ string, data []byte, perMetre float64, o *settings) (*ingest.Frame, error) {
	h, plain, err := parsePGM(data)
	if err == nil && plain {
		err = errors.New("found P2, want P5")
	}
	if err != nil {
		return nil, err
	}
	body, err := h.pixels(data, 2, o)
	if err != nil {
		return nil, err
	}
	raw := littleEndian(body)
	if slices.Max(raw) > kinectNone {
		return metres(h.width, h.height, raw, perMetre), nil
	}
	f := &ingest.Frame{Width: h.width, Height: h.height, Depth: make([]ingest.Metres, len(raw))}
	return f, fromDisparity(f.Depth, raw)
}
