package depth

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/internal/regular"
	"github.com/voxelstream/voxelstream/record"
)

// listed is an image of a sequence: its time, zero if unknown, and its path.
type listed struct {
	time time.Time
	path string // empty if there is none
}

// pair is a depth image with its colour image, if any, and its pose, if any, either as a value or as a file.
type pair struct {
	depth, color listed
	pose         *ingest.Pose
	posePath     string
}

// sequence is a folder of frames.
type sequence struct {
	dir     string
	listing string // the file that defined the pairs; if empty, the first depth image stands for the folder
	pairs   []pair
	// none is a value besides 0 that marks pixels without a measurement; 0 means there is none.
	none uint16
	// decode reads a depth image; nil means decodeDepth.
	decode func(path string, data []byte, perMetre float64, o *settings) (*ingest.Frame, error)
	// unit is the unit of the stored values if they are not fractions of a metre.
	unit string
	// camera returns the camera for depth images of a given size, for calibrations with several; if nil, the camera
	// is that of the options or the usual one.
	camera func(width, height int) (ingest.Intrinsics, error)
	// colorCamera returns the camera for colour images of a given size, without pixels. If it, or its result, is
	// nil, colour images are registered to depth.
	colorCamera func(width, height int) *ingest.ColorImage
}

// folderFormat adds Open and Inspect to f. read lists the frames of a folder and may complete the settings. Images and
// tables of numbers in the folder belong to the recording.
func folderFormat(f ingest.Format, read func(dir string, o *settings) (*sequence, error)) ingest.Format {
	f.Parts = []string{"png-depth", "pgm-depth", "xyz"}
	f.Open = func(_ context.Context, dir string, options ingest.Options) (ingest.Source, error) {
		o := settingsOf(options)
		s, err := read(dir, o)
		if err != nil {
			return nil, err
		}
		key := s.listing
		if key == "" {
			key = s.pairs[0].depth.path
		}
		stream, err := ingest.FolderStreamName(dir, key)
		if err != nil {
			return nil, err
		}
		o.Account = o.Account.Part()
		return &sequenceSource{sequence: s, stream: stream, o: o}, nil
	}
	f.Inspect = func(ctx context.Context, dir string, options ingest.Options) (ingest.Detail, error) {
		o := settingsOf(options)
		s, err := read(dir, o)
		if err != nil {
			return nil, err
		}
		o.Account = o.Account.Part()
		return s.inspect(ctx, o)
	}
	return f
}

// find locates a listed file: at its path, or next to the list (depth_T.png or T.png for depth/T.png).
func (s *sequence) find(name string) (string, error) {
	for _, try := range []string{name, strings.ReplaceAll(name, string(filepath.Separator), "_"), filepath.Base(name)} {
		path := filepath.Join(s.dir, try)
		if info, err := regular.Stat(path); err == nil && info.Mode().IsRegular() {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s: %w", filepath.Join(s.dir, name), fs.ErrNotExist)
}

// frame reads pair i.
func (s *sequence) frame(i int, o *settings) (*ingest.Frame, error) {
	frame, err := s.depth(i, o)
	if err != nil || s.pairs[i].color.path == "" {
		return frame, err
	}
	path, err := s.find(s.pairs[i].color.path)
	if err != nil {
		return nil, err
	}
	data, err := ingest.ReadFile(path, o.Options)
	if err != nil {
		return nil, err
	}
	if err := s.paint(frame, data, o); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return frame, nil
}

// paint adds colour to a frame.
func (s *sequence) paint(f *ingest.Frame, data []byte, o *settings) error {
	pixels, width, height, err := decodeColor(data, o)
	if err != nil {
		return err
	}
	if s.colorCamera != nil {
		if c := s.colorCamera(width, height); c != nil {
			c.Width, c.Height, c.Pixels = width, height, pixels
			return f.Register(c)
		}
	}
	if width != f.Width || height != f.Height {
		return fmt.Errorf("found %d x %d pixels, want %d x %d like the depth image: a colour image of another size "+
			"needs its own camera", width, height, f.Width, f.Height)
	}
	f.Color = pixels
	return nil
}

// depth reads pair i without colour.
func (s *sequence) depth(i int, o *settings) (*ingest.Frame, error) {
	pair := s.pairs[i]
	path, err := s.find(pair.depth.path)
	if err != nil {
		return nil, err
	}
	data, err := ingest.ReadFile(path, o.Options)
	if err != nil {
		return nil, err
	}
	decode := s.decode
	if decode == nil {
		decode = decodeDepth
	}
	frame, err := decode(path, data, o.perMetre(tumUnits), o)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if s.none != 0 {
		clearDepth(frame.Depth, ingest.Metres(float64(s.none)/o.perMetre(tumUnits)))
	}
	o.setCamera(frame)
	if s.camera != nil && o.camera == nil {
		if frame.Cam, err = s.camera(frame.Width, frame.Height); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	frame.Pose = pair.pose
	if pair.posePath != "" {
		if frame.Pose, err = poseOf(filepath.Join(s.dir, pair.posePath)); err != nil {
			return nil, err
		}
	}
	return frame, nil
}

// clearDepth replaces one value by 0.
func clearDepth(depth []ingest.Metres, none ingest.Metres) {
	for i, d := range depth {
		if d == none {
			depth[i] = 0
		}
	}
}

// sequenceSource streams the frames of a folder. A frame whose files are missing or damaged is one bad item.
type sequenceSource struct {
	*sequence
	stream string
	next   int
	o      *settings
}

func (s *sequenceSource) Read(ctx context.Context) (ingest.Sample, error) {
	if err := ctx.Err(); err != nil {
		return ingest.Sample{}, err
	}
	if s.next == len(s.pairs) {
		return ingest.Sample{}, io.EOF
	}
	i := s.next
	s.next++
	defer s.o.Account.Close()
	frame, err := s.frame(i, s.o)
	if err != nil {
		return ingest.Sample{}, &ingest.ItemError{ID: record.ID{Stream: s.stream, Seq: uint64(i)}, Err: err}
	}
	return ingest.Sample{
		ID: record.ID{Stream: s.stream, Seq: uint64(i)}, Time: s.pairs[i].depth.time,
		Label: ingest.NoLabel, Data: frame,
	}, nil
}

func (s *sequenceSource) Close() error { return nil }

// inspect checks that every file of a sequence exists and describes its frames. Size, unit and range are those of
// the first frame that can be read.
func (s *sequence) inspect(ctx context.Context, o *settings) (ingest.Detail, error) {
	var out *ingest.Depth
	missing, poses := 0, 0
	var first error
	distances := make([]*ingest.Distance, len(s.pairs))
	for i, pair := range s.pairs {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		frame, err := s.depth(i, o)
		o.Account.Close()
		if err == nil && pair.color.path != "" {
			_, err = s.find(pair.color.path)
		}
		if err != nil {
			missing++
			first = cmp.Or(first, err)
			continue
		}
		if frame.Pose != nil {
			poses++
		}
		if out == nil {
			out = ingest.DepthOf(frame, o.perMetre(tumUnits))
			distances[i] = out.Distance
		} else {
			distances[i] = frame.Distance()
		}
	}
	if out == nil {
		return nil, cmp.Or(first, fmt.Errorf("%s: found no frame in %s", s.dir, cmp.Or(s.listing, "the folder")))
	}
	if s.unit != "" {
		out.Unit = s.unit
	}
	out.Frames, out.Missing, out.Poses, out.Distances = len(s.pairs), missing, poses, distances
	return out, nil
}
