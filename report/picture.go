package report

import (
	"bytes"
	"context"
	"image"
	"image/color"
	"image/png"
	"math"
	"runtime"

	"golang.org/x/sync/errgroup"

	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/voxelize"
	"github.com/voxelstream/voxelstream/voxelize/colormap"
)

// Draw makes the pictures of the examples. load returns the volume of a row and is called concurrently. The note of an
// example says why its volume could not be loaded or drawn. The error is that of ctx.
func (r *Report) Draw(ctx context.Context, load func(context.Context, record.ID) (voxelize.Volume, error)) error {
	same := map[record.ID][]*Example{}
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for _, list := range [][]Example{r.LeastConfident, r.ConfidentlyWrong} {
		for i := range list {
			x := &list[i]
			if same[x.ID] = append(same[x.ID], x); len(same[x.ID]) > 1 {
				continue
			}
			g.Go(func() error {
				v, err := load(ctx, x.ID)
				if err == nil {
					x.Dims = &v.Dims
					x.Picture, err = Picture(&v)
				}
				if err != nil {
					x.Note = err.Error()
				}
				return ctx.Err()
			})
		}
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for _, examples := range same {
		for _, x := range examples[1:] {
			x.Picture, x.Dims, x.Note = examples[0].Picture, examples[0].Dims, examples[0].Note
		}
	}
	return nil
}

const (
	// pictureSide is the width and height of a picture in pixels, more than it has on the page, for fine screens.
	pictureSide = 200
	// samples is the number of rays per pixel along each axis, which smooth the edges.
	samples = 2
)

// Picture draws a volume as cubes, in the colours of its palette or, for values, in those of viridis, from their lowest
// to their highest value. The axis along which the volume is thinnest points at the viewer. If that is the third, the
// second points up, otherwise the third does. Empty cells are not drawn: those with the most frequent value or, if no
// value fills half of the cells, those below the mean. Cells are the more transparent the less they differ from empty
// ones. The picture shows the box around the cells that are not empty. It is a PNG with a transparent background.
func Picture(v *voxelize.Volume) ([]byte, error) {
	s, err := newScene(v)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestSpeed}).Encode(&b, s.draw()); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// scene is a volume as levels 0 to 255, with the first axis fastest: x, y, z.
type scene struct {
	side   [3]int
	levels []uint8
	// opacity is that of the cells of each level: 0 for empty ones. low and high are the box around the others, high
	// exclusive.
	opacity   [256]float64
	low, high [3]int
	palette   *colormap.Palette
	// front and up are the axes that point at the viewer and up.
	front, up int
}

func newScene(v *voxelize.Volume) (*scene, error) {
	if err := v.Check(); err != nil {
		return nil, err
	}
	s := &scene{side: [3]int{v.Dims[2], v.Dims[1], v.Dims[0]}, levels: v.Index}
	name := v.Content.Palette
	if name == "" {
		name = "viridis"
		s.levels = levels(v)
	}
	var err error
	if s.palette, err = colormap.ByName(name); err != nil {
		return nil, err
	}
	s.opacity = opacities(s.levels)
	s.fit()
	s.up = 2
	if s.front == 2 {
		s.up = 1
	}
	return s, nil
}

// levels scales the mean of the channels of each cell to its own range. Values that are not finite become the lowest.
func levels(v *voxelize.Volume) []uint8 {
	channels := v.Content.Channels
	cells := v.Dims[0] * v.Dims[1] * v.Dims[2]
	at := func(i int) float32 {
		sum := float32(0)
		for k := range channels {
			if v.Content.Float {
				sum += v.Values[i*channels+k]
			} else {
				sum += float32(v.Index[i*channels+k])
			}
		}
		return sum / float32(channels)
	}
	low, high := float32(math.Inf(1)), float32(math.Inf(-1))
	for i := range cells {
		if x := at(i); x-x == 0 {
			low, high = min(low, x), max(high, x)
		}
	}
	out := make([]uint8, cells)
	if !(low < high) {
		return out
	}
	for i := range out {
		if x := at(i); x-x == 0 {
			out[i] = colormap.Entry(float64(x-low) / float64(high-low))
		}
	}
	return out
}

// opacities returns the opacity of the cells of each level (see Picture).
func opacities(levels []uint8) (opacity [256]float64) {
	var counts [256]int
	sum := 0
	for _, l := range levels {
		counts[l]++
		sum += int(l)
	}
	most := 0
	for l, n := range counts {
		if n > counts[most] {
			most = l
		}
	}
	empty, from := most, 0
	if 2*counts[most] < len(levels) {
		empty = sum / len(levels)
		from = empty
	}
	// Cells that differ from empty ones by as much as the average cell are opaque.
	total, filled := 0, 0
	for l, n := range counts {
		if l >= from && l != empty {
			total += n * abs(l-empty)
			filled += n
		}
	}
	for l := range opacity {
		if l >= from && l != empty {
			opacity[l] = min(1, max(leastOpacity, float64(abs(l-empty)*filled)/float64(max(1, total))))
		}
	}
	return opacity
}

// leastOpacity is the opacity of a cell that hardly differs from empty ones.
const leastOpacity = 0.15

func abs(x int) int { return max(x, -x) }

// fit finds the box around the cells that are not empty, and turns the axis along which they vary least, the first if
// there are several, to the front.
func (s *scene) fit() {
	var n float64
	var sum, squares [3]float64
	s.low = s.side
	for i, l := range s.levels {
		o := s.opacity[l]
		if o == 0 {
			continue
		}
		n += o
		for k, at := range s.cell(i) {
			x := float64(at)
			sum[k] += o * x
			squares[k] += o * x * x
			s.low[k], s.high[k] = min(s.low[k], at), max(s.high[k], at+1)
		}
	}
	if n == 0 {
		s.low, s.high = [3]int{}, s.side
		return
	}
	least := math.Inf(1)
	for k := range sum {
		if variance := squares[k]/n - (sum[k]/n)*(sum[k]/n); variance < least {
			s.front, least = k, variance
		}
	}
}

func (s *scene) cell(i int) [3]int {
	return [3]int{i % s.side[0], i / s.side[0] % s.side[1], i / (s.side[0] * s.side[1])}
}

// draw casts parallel rays, from the upper right in front of the volume.
func (s *scene) draw() image.Image {
	// In radians: 29 degrees to the right, 24 degrees up. No ray is parallel to an axis.
	const turn, tilt = 0.5, 0.42
	right := 3 - s.front - s.up
	sinTurn, cosTurn := math.Sincos(turn)
	sinTilt, cosTilt := math.Sincos(tilt)
	var u, w, away [3]float64 // to the right and up in the picture, and away from the viewer
	u[right], u[s.front] = cosTurn, -sinTurn
	w[right], w[s.front], w[s.up] = -sinTurn*sinTilt, -cosTurn*sinTilt, cosTilt
	away[right], away[s.front], away[s.up] = -sinTurn*cosTilt, -cosTurn*cosTilt, -sinTilt

	var centre, half [3]float64
	for k := range centre {
		centre[k] = float64(s.low[k]+s.high[k]) / 2
		half[k] = float64(s.high[k]-s.low[k]) / 2
	}
	reach := func(d [3]float64) float64 {
		return math.Abs(d[0])*half[0] + math.Abs(d[1])*half[1] + math.Abs(d[2])*half[2]
	}
	const side = pictureSide * samples
	scale := 2 * max(reach(u), reach(w)) / (side - 4*samples)
	start := reach(away) + 1
	img := image.NewNRGBA(image.Rect(0, 0, pictureSide, pictureSide))
	for y := range pictureSide {
		for x := range pictureSide {
			var sum [4]float64
			for k := range samples * samples {
				px := (float64(x*samples+k%samples) + 0.5 - side/2) * scale
				py := (side/2 - float64(y*samples+k/samples) - 0.5) * scale
				var from [3]float64
				for a := range from {
					from[a] = centre[a] + px*u[a] + py*w[a] - start*away[a]
				}
				for a, v := range s.cast(from, away) {
					sum[a] += v
				}
			}
			if sum[3] > 0 {
				img.SetNRGBA(x, y, color.NRGBA{
					R: byte255(sum[0] / sum[3]), G: byte255(sum[1] / sum[3]), B: byte255(sum[2] / sum[3]),
					A: byte255(sum[3] / (samples * samples)),
				})
			}
		}
	}
	return img
}

// byte255 returns a byte for 0 to 1, rounded to 5 bits, which makes files much smaller.
func byte255(x float64) uint8 {
	b := uint8(31*min(1, max(0, x)) + 0.5)
	return b<<3 | b>>2
}

// cast returns the colour that a ray gathers, times its opacity, and the opacity. It visits cells in the order in which
// the ray does (Amanatides & Woo 1987).
func (s *scene) cast(from, along [3]float64) (c [4]float64) {
	enter, leave, axis := 0.0, math.Inf(1), 0
	for k := range along {
		a, b := (float64(s.low[k])-from[k])/along[k], (float64(s.high[k])-from[k])/along[k]
		if a > b {
			a, b = b, a
		}
		if a > enter {
			enter, axis = a, k
		}
		leave = min(leave, b)
	}
	if enter >= leave {
		return c
	}
	var at, step [3]int
	var next, delta [3]float64
	for k := range along {
		at[k] = max(s.low[k], min(int(math.Floor(from[k]+enter*along[k])), s.high[k]-1))
		ahead := at[k]
		step[k] = -1
		if along[k] > 0 {
			step[k] = 1
			ahead++
		}
		next[k], delta[k] = (float64(ahead)-from[k])/along[k], math.Abs(1/along[k])
	}
	for t := enter; c[3] < 0.98; {
		l := s.levels[at[0]+s.side[0]*(at[1]+s.side[1]*at[2])]
		if o := s.opacity[l] * (1 - c[3]); o > 0 {
			for k, x := range s.shade(l, axis, at, from, along, t) {
				c[k] += o * x
			}
			c[3] += o
		}
		axis = 0
		for k := range next {
			if next[k] < next[axis] {
				axis = k
			}
		}
		t = next[axis]
		next[axis] += delta[axis]
		at[axis] += step[axis]
		if at[axis] < s.low[axis] || at[axis] >= s.high[axis] {
			break
		}
	}
	return c
}

// shade returns the colour of a point on a face of a cell. Faces that point up are lightest, and the edges of cells are
// darker.
func (s *scene) shade(level uint8, axis int, at [3]int, from, along [3]float64, t float64) (c [3]float64) {
	light := 0.72
	switch axis {
	case s.up:
		light = 1
	case s.front:
		light = 0.88
	}
	for k := range at {
		const edge = 0.06
		if p := from[k] + t*along[k] - float64(at[k]); k != axis && (p < edge || p > 1-edge) {
			light *= 0.86
			break
		}
	}
	for k, x := range s.palette.RGB[level] {
		c[k] = float64(x) * light
	}
	return c
}
