package voxelize

import (
	"fmt"
	"math"
	"math/bits"
	"slices"
	"strings"

	"github.com/voxelstream/voxelstream/ingest"
)

// MeanGrid, MinGrid, MaxGrid, FirstGrid and MajorityGrid reduce attributes of the points in a cell, such as intensity,
// to one value, in one channel per attribute.
var (
	MeanGrid = reduction("mean", "the mean of an attribute of its points")
	MinGrid  = reduction("min", "the minimum of an attribute of its points")
	MaxGrid  = reduction("max", "the maximum of an attribute of its points")
	// FirstGrid is the only method that depends on the order of points.
	FirstGrid    = reduction("first", "an attribute of its first point in file order")
	MajorityGrid = reduction("majority", "the most frequent value (the smallest of several) of an attribute of its points")
)

// reduction returns the method of a reducer. What says what a cell stores.
func reduction(name MethodName, what string) Method {
	list := func(o Options) []string { return MethodOptions(o, defaultAttributes()).Attributes }
	return Method{
		Name: name,
		Doc: "Uses a regular grid. Each cell stores " + what + ", such as intensity, in one channel per attribute; see " +
			"voxelize.attributes.",
		Placed: true, Value: Measured,
		Options: func() []any {
			o := defaultAttributes()
			return []any{&o, &emptyOptions{}}
		},
		Channels:   func(o Options) int { return len(list(o)) },
		Attributes: list,
		New: func(o Options) (func(ingest.Data) (*Field, error), error) {
			if n := len(list(o)); n < 1 || n > MaxChannels {
				return nil, fmt.Errorf("attributes: found %d, want 1 to %d", n, MaxChannels)
			}
			var rs []reducer
			for _, a := range list(o) {
				rs = append(rs, reducer{reduce: string(name), attribute: a})
			}
			empty := MethodOptions(o, emptyOptions{}).Empty
			return ofPoints(func(p *ingest.PointCloud) (*Field, error) { return reduceAll(p, &o, rs, empty) }), nil
		},
	}
}

type attributeOptions struct {
	Attributes []string `yaml:"attributes" flag:"attributes" doc:"Attributes of points that the methods mean, min, max, first and majority store, one per channel: height (z), range (distance from the sensor), x, y, z, intensity, red, green, blue, or a field of the file such as ring or classification."`
}

type emptyOptions struct {
	Empty float64 `yaml:"empty" flag:"empty" doc:"Value of cells without points, for the methods mean, min, max, first, majority and channels."`
}

func defaultAttributes() attributeOptions { return attributeOptions{Attributes: []string{"height"}} }

// standardAttributes are the attributes that every reader keeps, where the file has them.
var standardAttributes = []string{"height", "range", "x", "y", "z", "intensity", "red", "green", "blue"}

// attribute returns an attribute of all points.
func attribute(p *ingest.PointCloud, name string) ([]float64, error) {
	switch name {
	case "height":
		return p.Z, nil
	case "range":
		out := make([]float64, p.Len())
		for i, x := range p.X {
			out[i] = math.Sqrt(float64(x*x) + float64(p.Y[i]*p.Y[i]) + float64(p.Z[i]*p.Z[i]))
		}
		return out, nil
	}
	values, err := p.Column(name)
	if err == nil && len(values) != p.Len() {
		err = fmt.Errorf("found %d values of %s for %d points, want as many", len(values), name, p.Len())
	}
	return values, err
}

// reducer computes one channel of a field.
type reducer struct {
	reduce    string // occupancy, count, density, mean, min, max, first or majority
	attribute string // of the last five
}

// bins are the points of a cloud in the cells of a grid.
type bins struct {
	counts
	cell []int32 // of each point; -1 outside the grid and for points that are not finite
}

// bin finds the cell of each point.
func bin(p *ingest.PointCloud, o *Options) (*bins, error) {
	b, err := measure(p)
	if err != nil {
		return nil, err
	}
	return binAt(p, b, fit(b, o))
}

// binAt finds the cell of each point in a grid.
func binAt(p *ingest.PointCloud, b bounds, g Grid) (*bins, error) {
	out := &bins{counts: counts{grid: g, cells: make([]uint32, g.Cells())}, cell: make([]int32, p.Len())}
	g.finder().each(p, func(first int, cells []int32) {
		copy(out.cell[first:], cells)
		out.add(cells)
	})
	out.outside = b.finite - out.inside
	if out.inside == 0 {
		return nil, outsideError(&g, b, out.outside)
	}
	return out, nil
}

// reduceAll computes a field with a channel for each reducer.
func reduceAll(p *ingest.PointCloud, o *Options, rs []reducer, empty float64) (*Field, error) {
	b, err := bin(p, o)
	if err != nil {
		return nil, err
	}
	f := newChannels(b.grid, len(rs))
	f.Points, f.Outside = b.inside, b.outside
	for k, r := range rs {
		channel := make([]float64, len(b.cells))
		if err := b.reduce(p, r, empty, channel); err != nil {
			return nil, err
		}
		for i, x := range channel {
			f.Values[i*len(rs)+k] = x
		}
	}
	return f, nil
}

// reduce computes a value of each cell. Values of an attribute that are NaN or infinite are left out; cells without
// values get empty.
func (b *bins) reduce(p *ingest.PointCloud, r reducer, empty float64, out []float64) error {
	for i, n := range b.cells {
		switch r.reduce {
		case "count":
			out[i] = float64(n)
		case "density":
			out[i] = float64(n) / float64(b.most)
		case "occupancy":
			out[i] = float64(min(n, 1))
		default:
			out[i] = empty
		}
	}
	if r.attribute == "" {
		return nil
	}
	values, err := attribute(p, r.attribute)
	if err != nil {
		return err
	}
	switch r.reduce {
	case "mean":
		b.mean(values, out)
	case "majority":
		b.majority(values, out)
	default:
		seen := make([]bool, len(b.cells))
		for i, c := range b.cell {
			x := values[i]
			if c < 0 || x-x != 0 {
				continue
			}
			switch {
			case !seen[c] || r.reduce == "min" && x < out[c] || r.reduce == "max" && x > out[c]:
				out[c], seen[c] = x, true
			case x == 0 && out[c] == 0 && r.reduce != "first":
				out[c] = 0 // whether 0 or -0 comes first must not matter
			}
		}
	}
	return nil
}

// mean computes the mean of the values in each cell. So that the result does not depend on the order of the points,
// values are added as integers in two parts: whole multiples of a power of two near 2^-45 times the largest value, and
// the rest in units of that power squared. A cell of many points takes larger units, so that no sum overflows.
func (b *bins) mean(values, out []float64) {
	largest := 0.0
	for i, c := range b.cell {
		if a := math.Abs(values[i]); c >= 0 && a > largest && a <= math.MaxFloat64 {
			largest = a
		}
	}
	_, exponent := math.Frexp(largest)
	unit := 62 - bits.Len32(b.most)
	high, low := math.Ldexp(1, unit-max(exponent, -900)), math.Ldexp(1, unit) // both are normal numbers
	type sum struct {
		high, low int64
		n         uint32
	}
	sums := make([]sum, len(b.cells))
	for i, c := range b.cell {
		if x := values[i]; c >= 0 && x-x == 0 {
			scaled := x * high
			whole := math.Trunc(scaled)
			s := &sums[c]
			s.high += int64(whole)
			s.low += int64((scaled - whole) * low)
			s.n++
		}
	}
	for i, s := range sums {
		if s.n > 0 {
			out[i] = bounded((float64(s.high) + float64(s.low)/low) / float64(s.n) / high)
		}
	}
}

// bounded returns x, or the largest finite number of its sign.
func bounded(x float64) float64 { return min(max(x, -math.MaxFloat64), math.MaxFloat64) }

// majority finds the most frequent value in each cell; the least of equally frequent ones.
func (b *bins) majority(values, out []float64) {
	type entry struct {
		cell  int32
		value float64
	}
	all := make([]entry, 0, b.inside)
	for i, c := range b.cell {
		if x := values[i]; c >= 0 && x-x == 0 {
			all = append(all, entry{c, x + 0}) // -0 becomes 0
		}
	}
	slices.SortFunc(all, func(a, b entry) int {
		switch {
		case a.cell != b.cell:
			return int(a.cell) - int(b.cell)
		case a.value < b.value:
			return -1
		case a.value > b.value:
			return 1
		}
		return 0
	})
	most := 0
	for i := 0; i < len(all); {
		n := 1
		for i+n < len(all) && all[i+n] == all[i] {
			n++
		}
		if i == 0 || all[i].cell != all[i-1].cell {
			most = 0
		}
		if n > most {
			most, out[all[i].cell] = n, all[i].value
		}
		i += n
	}
}

// parseReducer parses the name of a channel: occupancy, count, density, or a reduction and an attribute with a colon
// between them, such as mean:intensity.
func parseReducer(text string) (reducer, error) {
	name, attribute, found := strings.Cut(text, ":")
	plain := slices.Contains([]string{"occupancy", "count", "density"}, name)
	reduces := slices.Contains([]string{"mean", "min", "max", "first", "majority"}, name)
	if !plain && !reduces || found == plain || reduces && attribute == "" {
		return reducer{}, fmt.Errorf("found %.64q, want occupancy, count, density, or mean, min, max, first or majority "+
			"of an attribute, such as mean:intensity", text)
	}
	return reducer{name, attribute}, nil
}
