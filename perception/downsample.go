package perception

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/perception/internal/grid"
)

// Downsample replaces the points of each cell of a regular grid by one point.
var Downsample = Step{
	Name: "downsample",
	Doc: "Replaces the points in each cell of a regular grid with one point. The reduction of positions, " +
		"intensities, colours and further fields can be set for each of them.",
	Makes: Filters,
	Options: func() any {
		o := defaultDownsample
		return &o
	},
	New: func(o Options) (func(ctx context.Context, s *Scene) error, error) {
		d := OptionsOf(o, defaultDownsample)
		return d.run, nil
	},
}

var defaultDownsample = downsampleOptions{
	Edge: 0.1, Position: positionCentroid, Intensity: reduceMean, Color: reduceMean, Other: reduceMajority,
}

type downsampleOptions struct {
	Edge      float64   `yaml:"downsample_edge" flag:"downsample-edge" above:"0" doc:"Edge length in metres of the cells of step downsample."`
	Position  position  `yaml:"downsample_position" doc:"Position of the point that replaces those of a cell."`
	Intensity reduction `yaml:"downsample_intensity" doc:"Intensity of the point."`
	Color     reduction `yaml:"downsample_color" doc:"Colour of the point, channel by channel."`
	Other     reduction `yaml:"downsample_other" doc:"Values of the further fields of the point, such as ring or classification, unless downsample_fields names them."`
	Fields    []string  `yaml:"downsample_fields" doc:"Reductions of single further fields as NAME=REDUCTION, such as gps_time=first."`
}

// Validate reports wrong reductions of fields.
func (d *downsampleOptions) Validate() error {
	_, err := d.named()
	return err
}

// named returns the reductions of fields, by their names in lower case.
func (d *downsampleOptions) named() (map[string]reduction, error) {
	out := map[string]reduction{}
	var errs []error
	for _, f := range d.Fields {
		name, how, ok := strings.Cut(f, "=")
		name = strings.ToLower(name)
		switch {
		case !ok || name == "" || !slices.Contains(reduction("").Choices(), how):
			errs = append(errs, fmt.Errorf("downsample_fields: found %.64q, want NAME=REDUCTION, with one of %s", f,
				strings.Join(reduction("").Choices(), ", ")))
		case out[name] != "":
			errs = append(errs, fmt.Errorf("downsample_fields: found %.64s twice, want it once", name))
		}
		out[name] = reduction(how)
	}
	return out, errors.Join(errs...)
}

// position is a choice of a cell's point.
type position string

const (
	positionCentroid position = "centroid"
	positionCenter   position = "center"
	positionFirst    position = "first"
)

// Choices lists the positions.
func (position) Choices() []string {
	return []string{string(positionCentroid), string(positionCenter), string(positionFirst)}
}

// ChoiceDoc describes a position.
func (position) ChoiceDoc(choice string) string {
	switch position(choice) {
	case positionCentroid:
		return "Mean of the points."
	case positionCenter:
		return "Centre of the cell."
	}
	return "First point in the order of the input."
}

// reduction is a way to reduce the values of a cell to one.
type reduction string

const (
	reduceMean     reduction = "mean"
	reduceMax      reduction = "max"
	reduceMin      reduction = "min"
	reduceFirst    reduction = "first"
	reduceMajority reduction = "majority"
)

// Choices lists the reductions.
func (reduction) Choices() []string {
	return []string{
		string(reduceMean), string(reduceMax), string(reduceMin), string(reduceFirst), string(reduceMajority),
	}
}

// ChoiceDoc describes a reduction.
func (reduction) ChoiceDoc(choice string) string {
	switch reduction(choice) {
	case reduceMean:
		return "Mean of the values that are finite."
	case reduceMax:
		return "Largest value."
	case reduceMin:
		return "Smallest value."
	case reduceFirst:
		return "Value of the first point in the order of the input."
	}
	return "Most frequent value, the smallest of those if there are several."
}

// run down-samples a scene. The new points are in the order of the first points of their cells. Unless a reduction is
// first, values do not depend on the order of the points in a cell, bit by bit.
func (d *downsampleOptions) run(ctx context.Context, s *Scene) error {
	c := s.Cloud
	groups := groupings.Get().(*grid.Groups)
	defer groupings.Put(groups)
	if err := groups.Group(c.X, c.Y, c.Z, d.Edge); err != nil {
		return fmt.Errorf("downsample_edge: %w", err)
	}
	named, err := d.named()
	if err != nil {
		return err
	}
	cells := &cells{Groups: groups}
	x, y, z := cells.positions(c, d.Edge, d.Position)
	out := &ingest.PointCloud{
		X: x, Y: y, Z: z,
		Intensity: reduce(cells, c.Intensity, d.Intensity),
		R:         reduce(cells, c.R, d.Color),
		G:         reduce(cells, c.G, d.Color),
		B:         reduce(cells, c.B, d.Color),
		Pose:      c.Pose,
	}
	for _, f := range c.Fields {
		how := d.Other
		if h, ok := named[strings.ToLower(f.Name)]; ok {
			how = h
		}
		out.Fields = append(out.Fields, ingest.Field{Name: f.Name, Values: reduce(cells, f.Values, how)})
	}
	returns := make([]int32, len(cells.Cells))
	for i, cell := range cells.Of {
		returns[cell] += int32(s.returnsOf(i))
	}
	s.Cloud, s.Pixel, s.returns = out, reduce(cells, s.Pixel, reduceFirst), returns
	s.Normals, s.Ground, s.Planes, s.Cluster, s.Objects = nil, nil, nil, nil, nil
	return ctx.Err()
}

// groupings holds memory for scenes.
var groupings = sync.Pool{New: func() any { return new(grid.Groups) }}

// cells holds the points of each cell, which are computed when they are needed.
type cells struct {
	*grid.Groups
	points []int32 // indices in the cloud, cell by cell
	start  []int32 // index in points of each cell
}

// positions returns the coordinates of the cells' points. Centroids are computed from integers, so that they do not
// depend on the order of the points.
func (c *cells) positions(p *ingest.PointCloud, edge float64, how position) (x, y, z []float64) {
	n := len(c.Cells)
	x, y, z = make([]float64, n), make([]float64, n), make([]float64, n)
	for i := range c.Cells {
		g := &c.Cells[i]
		at := [3]float64{float64(g.Index[0]), float64(g.Index[1]), float64(g.Index[2])}
		switch {
		case how == positionCenter:
			x[i], y[i], z[i] = (at[0]+0.5)*edge, (at[1]+0.5)*edge, (at[2]+0.5)*edge
		case how == positionFirst || g.Count == 1:
			x[i], y[i], z[i] = p.X[g.First], p.Y[g.First], p.Z[g.First]
		default:
			unit := 1 / (grid.Resolution * float64(g.Count))
			x[i] = (at[0] + float64(g.Offset[0])*unit) * edge
			y[i] = (at[1] + float64(g.Offset[1])*unit) * edge
			z[i] = (at[2] + float64(g.Offset[2])*unit) * edge
		}
	}
	return x, y, z
}

// reduce reduces a column to one value for each cell; nil if there is no column.
func reduce[T uint8 | int32 | float32 | float64](c *cells, column []T, how reduction) []T {
	if column == nil {
		return nil
	}
	out := make([]T, len(c.Cells))
	for i := range c.Cells {
		out[i] = column[c.Cells[i].First]
	}
	switch how {
	case reduceMax:
		for i, v := range column {
			if o := &out[c.Of[i]]; v > *o || isNaN(*o) {
				*o = v
			}
		}
	case reduceMin:
		for i, v := range column {
			if o := &out[c.Of[i]]; v < *o || isNaN(*o) {
				*o = v
			}
		}
	case reduceMean:
		if !mean(c, column, out) {
			bySorting(c, column, out, meanOfSorted[T])
		}
	case reduceMajority:
		bySorting(c, column, out, mostFrequent[T])
	}
	return out
}

// mean computes means from integers, so that they do not depend on the order of the points. The resolution is the range
// of the column divided by 2^62 and multiplied by the number of points: finer than float32 for up to a billion points.
// It returns false if values are not finite, or so large that their range is not.
func mean[T uint8 | int32 | float32 | float64](c *cells, column, out []T) bool {
	if len(column) == 0 {
		return true
	}
	lowest, highest := float64(column[0]), float64(column[0])
	zero := 0.0
	for _, t := range column {
		v := float64(t)
		zero += v - v // NaN unless v is finite
		if v < lowest {
			lowest = v
		} else if v > highest {
			highest = v
		}
	}
	if zero != 0 {
		return false
	}
	scale := math.Ldexp(1, 62) / float64(len(column)) / (highest - lowest)
	if scale == 0 || math.IsInf(scale, 0) {
		return highest == lowest // and then out holds the means
	}
	sums := make([]int64, len(out))
	for i, t := range column {
		sums[c.Of[i]] += int64((float64(t) - lowest) * scale)
	}
	whole := isInteger[T]()
	for i := range c.Cells {
		n := c.Cells[i].Count
		if n == 1 {
			continue
		}
		v := lowest + float64(sums[i])/float64(n)/scale
		if whole {
			v = math.Round(v)
		}
		out[i] = T(v)
	}
	return true
}

func isNaN[T uint8 | int32 | float32 | float64](v T) bool { return math.IsNaN(float64(v)) }

func isFinite[T uint8 | int32 | float32 | float64](v T) bool {
	return !(math.Abs(float64(v)) > math.MaxFloat64) && !isNaN(v)
}

// isInteger reports whether a type of number cannot hold fractions.
func isInteger[T uint8 | int32 | float32 | float64]() bool {
	half := 0.5
	return T(half) == 0
}

// bySorting sets out[i] to a function of the ascending values of cell i. NaN come first.
func bySorting[T uint8 | int32 | float32 | float64](c *cells, column, out []T, of func(sorted []T) T) {
	if c.points == nil {
		c.start = make([]int32, len(c.Cells)+1)
		for i := range c.Cells {
			c.start[i+1] = c.start[i] + c.Cells[i].Count
		}
		next := slices.Clone(c.start)
		c.points = make([]int32, len(c.Of))
		for i, cell := range c.Of {
			c.points[next[cell]] = int32(i)
			next[cell]++
		}
	}
	var values []T
	for cell := range out {
		values = values[:0]
		for _, i := range c.points[c.start[cell]:c.start[cell+1]] {
			values = append(values, column[i])
		}
		slices.Sort(values)
		out[cell] = of(values)
	}
}

// meanOfSorted returns the mean of the finite values, or the first value if there are none.
func meanOfSorted[T uint8 | int32 | float32 | float64](sorted []T) T {
	n := 0.0
	for _, v := range sorted {
		if isFinite(v) {
			n++
		}
	}
	if n == 0 {
		return sorted[0]
	}
	sum := 0.0
	for _, v := range sorted {
		if isFinite(v) {
			sum += float64(v) / n
		}
	}
	return T(sum)
}

// mostFrequent returns the most frequent value, and the smallest of several.
func mostFrequent[T uint8 | int32 | float32 | float64](sorted []T) T {
	best, most, n := sorted[0], 0, 0
	for i, v := range sorted {
		if i > 0 && v == sorted[i-1] {
			n++
		} else {
			n = 1
		}
		if n > most && !isNaN(v) {
			best, most = v, n
		}
	}
	return best
}
