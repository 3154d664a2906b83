package simulate

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"math"
	"path/filepath"
	"time"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/internal/durable"
)

// moving is the speed in metres per second from which a label says that an object moves.
const moving = 0.3

// WriteScans writes n scans to a folder, in the layout of SemanticKITTI: velodyne/000000.bin holds x, y, z and
// intensity as float32, labels/000000.label a uint32 for each point with the class in the lower and the object in the
// upper half, poses.txt a 3 x 4 matrix for each scan, with the identity as Tr in calib.txt, and times.txt the seconds.
// truth.jsonl has the [Truth] of each scan as a line of JSON. written is called after each scan.
func WriteScans(ctx context.Context, dir string, w *World, l *Lidar, n int, written func(*Truth)) error {
	out := recording{dir: dir}
	for i := range n {
		if err := ctx.Err(); err != nil {
			return err
		}
		cloud, truth := l.Scan(w, time.Duration(i)*lidarSweep)
		var points, labels []byte
		for k := range cloud.X {
			for _, v := range [4]float64{cloud.X[k], cloud.Y[k], cloud.Z[k], float64(cloud.Intensity[k])} {
				points = binary.LittleEndian.AppendUint32(points, math.Float32bits(float32(v)))
			}
		}
		moves := map[int32]bool{}
		for _, o := range truth.Objects {
			moves[int32(o.ID)] = vecOf(o.Velocity).norm() >= moving
		}
		for k, c := range truth.Class {
			label := uint32(classInfos[c].kitti)
			if to := classInfos[c].moving; to != 0 && moves[truth.Object[k]] {
				label = uint32(to)
			}
			labels = binary.LittleEndian.AppendUint32(labels, label|uint32(truth.Object[k])<<16)
		}
		out.file(fmt.Sprintf("velodyne/%06d.bin", i), points)
		out.file(fmt.Sprintf("labels/%06d.label", i), labels)
		r, t := &truth.Pose.R, &truth.Pose.T
		fmt.Fprintf(&out.poses, "%g %g %g %g %g %g %g %g %g %g %g %g\n", r[0], r[1], r[2], t[0], r[3], r[4], r[5], t[1],
			r[6], r[7], r[8], t[2])
		fmt.Fprintf(&out.times, "%g\n", truth.Time.Seconds())
		out.describe(truth)
		if out.err != nil {
			return out.err
		}
		written(truth)
	}
	out.file("poses.txt", out.poses.Bytes())
	out.file("times.txt", out.times.Bytes())
	out.file("calib.txt", []byte("Tr: 1 0 0 0 0 1 0 0 0 0 1 0\n"))
	out.file("truth.jsonl", out.truth.Bytes())
	return out.err
}

// frameGap is the time between depth frames.
const frameGap = time.Second / 30

// WriteFrames writes n depth frames to a folder, in the layout of the TUM RGB-D benchmark: depth/000000.png in units of
// 1/5000 m, depth.txt with their times, groundtruth.txt with the poses of the camera. labels/000000.png has the class
// of each pixel in the upper and the object in the lower byte of a 16-bit grey, and truth.jsonl the [Truth] of each
// frame as a line of JSON. written is called after each frame.
func WriteFrames(ctx context.Context, dir string, w *World, c *Camera, n int, written func(*Truth)) error {
	out := recording{dir: dir}
	for i := range n {
		if err := ctx.Err(); err != nil {
			return err
		}
		f, truth := c.Frame(w, time.Duration(i)*frameGap)
		whole := image.Rect(0, 0, f.Width, f.Height)
		depth, labels := image.NewGray16(whole), image.NewGray16(whole)
		for k, z := range f.Depth {
			x, y := k%f.Width, k/f.Width
			depth.SetGray16(x, y, color.Gray16{Y: uint16(min(math.Round(float64(z)*5000), math.MaxUint16))})
			labels.SetGray16(x, y, color.Gray16{Y: uint16(truth.Class[k])<<8 | uint16(truth.Object[k])})
		}
		name := fmt.Sprintf("depth/%06d.png", i)
		out.image(name, depth)
		out.image(fmt.Sprintf("labels/%06d.png", i), labels)
		fmt.Fprintf(&out.times, "%.6f %s\n", truth.Time.Seconds(), name)
		q, t := quaternion(&truth.Pose), truth.Pose.T
		fmt.Fprintf(&out.poses, "%.6f %g %g %g %g %g %g %g\n", truth.Time.Seconds(), t[0], t[1], t[2],
			q[1], q[2], q[3], q[0])
		out.describe(truth)
		if out.err != nil {
			return out.err
		}
		written(truth)
	}
	out.file("depth.txt", out.times.Bytes())
	out.file("groundtruth.txt", out.poses.Bytes())
	out.file("truth.jsonl", out.truth.Bytes())
	return out.err
}

// recording is a folder in which files are written, and the lists that belong to them. It keeps the first error.
type recording struct {
	dir                 string
	poses, times, truth bytes.Buffer
	err                 error
}

func (r *recording) write(name string, write func(io.Writer) error) {
	path := filepath.Join(r.dir, filepath.FromSlash(name))
	if r.err == nil {
		r.err = durable.MkdirAll(filepath.Dir(path))
	}
	if r.err == nil {
		r.err = ingest.WriteFile(path, write)
	}
}

func (r *recording) file(name string, data []byte) {
	r.write(name, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

func (r *recording) image(name string, m image.Image) {
	r.write(name, func(w io.Writer) error {
		b := bufio.NewWriter(w)
		if err := png.Encode(b, m); err != nil {
			return err
		}
		return b.Flush()
	})
}

func (r *recording) describe(t *Truth) {
	line, err := json.Marshal(t)
	if r.err == nil {
		r.err = err
	}
	r.truth.Write(append(line, '\n'))
}

// quaternion returns w, x, y, z of a rotation, by the largest of the four squares (Shepperd 1978).
func quaternion(p *ingest.Pose) [4]float64 {
	r := &p.R
	squares := [4]float64{
		1 + r[0] + r[4] + r[8], 1 + r[0] - r[4] - r[8], 1 - r[0] + r[4] - r[8], 1 - r[0] - r[4] + r[8],
	}
	k := 0
	for i, s := range squares {
		if s > squares[k] {
			k = i
		}
	}
	var q [4]float64
	switch k {
	case 0:
		q = [4]float64{squares[0], r[7] - r[5], r[2] - r[6], r[3] - r[1]}
	case 1:
		q = [4]float64{r[7] - r[5], squares[1], r[1] + r[3], r[2] + r[6]}
	case 2:
		q = [4]float64{r[2] - r[6], r[1] + r[3], squares[2], r[5] + r[7]}
	default:
		q = [4]float64{r[3] - r[1], r[2] + r[6], r[5] + r[7], squares[3]}
	}
	scale := 0.5 / math.Sqrt(squares[k])
	for i := range q {
		q[i] *= scale
	}
	return q
}
