package depth

import (
	"fmt"
	"math/bits"
	"os"
	"path/filepath"
	"slices"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/internal/regular"
)

// SUN is a scene folder of SUN RGB-D: intrinsics.txt, a colour image in image/, its depth image in depth_bfx/
// (holes filled) or depth/, in millimetres rotated right by three bits, and in extrinsics/ the rotation to
// gravity-aligned axes, which is used as the pose. https://rgbd.cs.princeton.edu, read3dPoints.m of its toolbox.
var SUN = folderFormat(ingest.Format{
	Name:    "sunrgbd",
	Doc:     "scene folders: rotated bits, camera, tilt as pose, colour",
	Library: "image/png, image/jpeg",
	Options: newOptions,
	Detect:  detectSUN,
}, readSUN)

func detectSUN(h *ingest.Head) ingest.Confidence {
	has := func(name string) bool { _, ok := slices.BinarySearch(h.Names, name); return ok }
	if h.IsDir() && has("intrinsics.txt") && has("image") && (has("depth_bfx") || has("depth")) {
		return ingest.Likely
	}
	return ingest.No
}

func readSUN(dir string, o *settings) (*sequence, error) {
	o.units = o.perMetre(millimetres)
	var depths []string
	var err error
	for _, sub := range []string{"depth_bfx", "depth"} {
		if depths, err = filesIn(dir, sub, ".png"); err != nil {
			return nil, err
		}
		if len(depths) > 0 {
			break
		}
	}
	colors, err := filesIn(dir, "image", ".jpg")
	if err != nil {
		return nil, err
	}
	if len(depths) == 0 {
		return nil, fmt.Errorf("%s: found no depth image", dir)
	}
	s := &sequence{dir: dir, listing: "intrinsics.txt", decode: decodeSUN}
	for i, d := range depths {
		p := pair{depth: listed{path: d}}
		if i < len(colors) {
			p.color.path = colors[i]
		}
		s.pairs = append(s.pairs, p)
	}
	if o.camera == nil {
		if o.camera, err = cameraBeside(dir, map[string]bool{"intrinsics.txt": true}); err != nil {
			return nil, err
		}
	}
	turns, err := filesIn(dir, "extrinsics", ".txt")
	if err != nil || len(turns) == 0 {
		return s, err
	}
	// Later files are from later annotations; all frames of a scene share one camera.
	for i := range s.pairs {
		s.pairs[i].posePath = turns[len(turns)-1]
	}
	return s, nil
}

// filesIn lists the files with the given extension in the folder sub of dir, sorted by name. The list is empty if
// there is no such folder.
func filesIn(dir, sub, ext string) ([]string, error) {
	entries, err := regular.ReadDir(filepath.Join(dir, sub))
	if os.IsNotExist(err) {
		return nil, nil
	}
	var out []string
	for _, e := range entries {
		if filepath.Ext(e.Name()) == ext && len(out) < tumMaxRows {
			out = append(out, filepath.Join(sub, e.Name()))
		}
	}
	return out, err
}

// decodeSUN rotates the bits back. The dataset's own reader clamps depth to 8 m; here it is kept.
func decodeSUN(_ string, data []byte, perMetre float64, o *settings) (*ingest.Frame, error) {
	width, height, raw, err := rawPNG(data, o)
	if err != nil {
		return nil, err
	}
	unrotate(raw)
	return metres(width, height, raw, perMetre), nil
}

func unrotate(raw []uint16) {
	for i, v := range raw {
		raw[i] = bits.RotateLeft16(v, -3)
	}
}

// rotated reports whether a depth image is from SUN RGB-D. No depth there reaches 8.192 m, so the three lowest bits
// of all values are 0. Since few other cameras measure in steps of eight, an image with many different values is
// conclusive.
func rotated(raw []uint16) bool {
	const different = 256
	seen := make(map[uint16]struct{}, different)
	for _, v := range raw {
		if v&7 != 0 {
			return false
		}
		if len(seen) < different {
			seen[v] = struct{}{}
		}
	}
	return len(seen) >= different
}
