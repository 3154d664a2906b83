package voxelize

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/voxelstream/voxelstream/ingest"
)

// Window is the range of intensities to use, given in the radiologists' way as its centre and width, in the grid's
// units (Hounsfield units for CT). The zero value uses the window given in the grid's file, if any. The text form is
// CENTRE:WIDTH, the name of one of [Windows], LO%:HI% for percentiles, "none" for the full range, or an empty string
// for the zero value.
type Window struct {
	Centre, Width float64
	// Percentiles, if not zeros, replace Centre and Width: the window is between these percentiles, 0 to 100, of the
	// values of each grid, which suits MRI, whose values have no unit.
	Percentiles [2]float64
	// None uses the full range of values and ignores a window in the file.
	None bool
}

// NamedWindow is a window with a name.
type NamedWindow struct {
	Name string
	// Doc says what the window shows.
	Doc           string
	Centre, Width float64
}

// Windows lists the named windows of CT scans, in Hounsfield units. They are the typical ones of Radiopaedia's article
// Windowing (CT), rID 52108, https://radiopaedia.org/articles/windowing-ct. Where the article gives a range, as for
// subdural, it is its middle.
func Windows() []NamedWindow {
	return []NamedWindow{
		{"soft-tissue", "Soft tissue of the abdomen.", 50, 400},
		{"lung", "Lungs.", -600, 1500},
		{"mediastinum", "Mediastinum.", 50, 350},
		{"liver", "Liver.", 30, 150},
		{"bone", "Bone.", 400, 1800},
		{"spine", "Soft tissue of the spine.", 50, 250},
		{"temporal-bone", "Temporal bones.", 600, 2800},
		{"brain", "Brain.", 40, 80},
		{"subdural", "Subdural blood.", 75, 215},
		{"stroke", "Early signs of stroke.", 40, 40},
	}
}

// Suggestions returns names of windows, for completion.
func (Window) Suggestions() []string { return append(windowNames(), "1%:99%", "none") }

// Suggestions returns encodings, for completion.
func (Encoding) Suggestions() []string {
	out := []string{"palette", "palette:full", "raw", "standard", "window:1%:99%"}
	for _, name := range windowNames() {
		out = append(out, "window:"+name)
	}
	return out
}

// windowNamed returns the window of that name.
func windowNamed(name string) (NamedWindow, bool) {
	all := Windows()
	i := slices.IndexFunc(all, func(w NamedWindow) bool { return w.Name == name })
	if i < 0 {
		return NamedWindow{}, false
	}
	return all[i], true
}

// String returns a text form that UnmarshalText reads. Named windows are written as numbers.
func (w Window) String() string {
	number := func(x float64) string { return strconv.FormatFloat(x, 'g', -1, 64) }
	switch {
	case w.None:
		return "none"
	case w.Percentiles != [2]float64{}:
		return number(w.Percentiles[0]) + "%:" + number(w.Percentiles[1]) + "%"
	case w == Window{}:
		return ""
	}
	return number(w.Centre) + ":" + number(w.Width)
}

// MarshalText returns String.
func (w Window) MarshalText() ([]byte, error) { return []byte(w.String()), nil }

// UnmarshalText parses a text form.
func (w *Window) UnmarshalText(text []byte) error {
	switch string(text) {
	case "":
		*w = Window{}
		return nil
	case "none":
		*w = Window{None: true}
		return nil
	}
	if named, ok := windowNamed(string(text)); ok {
		*w = Window{Centre: named.Centre, Width: named.Width}
		return nil
	}
	first, second, _ := strings.Cut(string(text), ":")
	if low, high, ok := percentiles(first, second); ok {
		*w = Window{Percentiles: [2]float64{low, high}}
		return nil
	}
	var found Window
	var errCentre, errWidth error
	found.Centre, errCentre = strconv.ParseFloat(first, 64)
	found.Width, errWidth = strconv.ParseFloat(second, 64)
	if errCentre != nil || errWidth != nil || found.Width == 0 || found.check() != nil {
		return errWindow
	}
	*w = found
	return nil
}

var errWindow = errors.New("want CENTRE:WIDTH such as 40:400, LO%:HI% such as 1%:99%, none, an empty string, or one of " +
	strings.Join(windowNames(), ", "))

func windowNames() []string {
	var out []string
	for _, w := range Windows() {
		out = append(out, w.Name)
	}
	return out
}

// percentiles parses two percentages that go up, from 0% to 100%.
func percentiles(low, high string) (lo, hi float64, ok bool) {
	l, okLow := strings.CutSuffix(low, "%")
	h, okHigh := strings.CutSuffix(high, "%")
	if !okLow || !okHigh {
		return 0, 0, false
	}
	lo, errLow := strconv.ParseFloat(l, 64)
	hi, errHigh := strconv.ParseFloat(h, 64)
	return lo, hi, errLow == nil && errHigh == nil && lo >= 0 && lo < hi && hi <= 100
}

// check reports a window that is not finite, has a negative width, or is too narrow for float32, and percentiles that
// do not go up.
func (w Window) check() error {
	if p := w.Percentiles; p != [2]float64{} {
		if !(p[0] >= 0 && p[0] < p[1] && p[1] <= 100) || w.Centre != 0 || w.Width != 0 {
			return fmt.Errorf("found %v, %w", w, errWindow)
		}
		return nil
	}
	low, high := float32(w.Centre-w.Width/2), float32(w.Centre+w.Width/2)
	if !finite(w.Centre, w.Width, 0) || w.Width < 0 || w.Width > 0 &&
		(!finite(float64(low), float64(high), 0) || low >= high) {
		return fmt.Errorf("found %g:%g, %w", w.Centre, w.Width, errWindow)
	}
	return nil
}

// window returns the window of the options for a grid of one channel with these values, or else the grid's own. ok is
// false if there is none.
func (v *Voxelizer) window(g *ingest.Grid, values []float32) (w [2]float32, ok bool) {
	switch {
	case v.options.Window.None || v.scaling.full:
		return w, false
	case v.scaling.percent:
		return percentileWindow(values, 0, 1, v.scaling.low, v.scaling.high), true
	case v.scaling.low < v.scaling.high:
		w[0], w[1] = v.scaling.bounds()
	default:
		w = g.Window
	}
	return w, w[0] < w[1]
}

// Range returns the values of a grid that become 0 and 1. The window may be None, which is the whole range of finite
// values; the zero value is the window in the grid's file, or else that between the percentiles 1 and 99. Values of
// all channels count alike. Both are the same value if all values are.
func (w Window) Range(g *ingest.Grid) (low, high float32) {
	var r [2]float32
	switch {
	case w.None:
		r = percentileWindow(g.Values, 0, 1, 0, 100)
	case w.Percentiles != [2]float64{}:
		r = percentileWindow(g.Values, 0, 1, w.Percentiles[0], w.Percentiles[1])
	case w.Width > 0:
		r = [2]float32{float32(w.Centre - w.Width/2), float32(w.Centre + w.Width/2)}
	case g.Window[0] < g.Window[1]:
		r = g.Window
	default:
		r = percentileWindow(g.Values, 0, 1, 1, 99)
	}
	return r[0], r[1]
}

// percentileWindow returns the percentiles low and high of the finite values of one channel, interpolated linearly as
// numpy.percentile does. It returns the whole range if both are the same value, as in a mask of few cells.
func percentileWindow(values []float32, c, channels int, low, high float64) (w [2]float32) {
	o := newOrder(values, c, channels)
	if o.n == 0 {
		return w
	}
	if w = [2]float32{o.percentile(low), o.percentile(high)}; w[0] < w[1] {
		return w
	}
	return [2]float32{o.at(0), o.at(o.n - 1)}
}

// order finds the finite values of a channel at some places of their ascending order, in time proportional to their
// number: it counts the upper 16 bits of all values, then the lower 16 bits of the values that share the upper ones.
type order struct {
	values      []float32
	c, channels int
	n           int
	upper       []int
}

func newOrder(values []float32, c, channels int) *order {
	o := &order{values: values, c: c, channels: channels, upper: make([]int, 1<<16)}
	for i := c; i < len(values); i += channels {
		if x := values[i]; x-x == 0 {
			o.upper[ordered(x)>>16]++
			o.n++
		}
	}
	return o
}

// ordered maps finite values to integers with the same order.
func ordered(x float32) uint32 {
	bits := math.Float32bits(x)
	if bits>>31 == 1 {
		return ^bits
	}
	return bits | 1<<31
}

// at returns the value with the given number of smaller or equal ones before it.
func (o *order) at(rank int) float32 {
	bucket, rank := locateRank(o.upper, rank)
	lower := make([]int, 1<<16)
	for i := o.c; i < len(o.values); i += o.channels {
		if x := o.values[i]; x-x == 0 && ordered(x)>>16 == uint32(bucket) {
			lower[ordered(x)&0xffff]++
		}
	}
	low, _ := locateRank(lower, rank)
	bits := uint32(bucket)<<16 | uint32(low)
	if bits>>31 == 1 {
		return math.Float32frombits(bits &^ (1 << 31))
	}
	return math.Float32frombits(^bits)
}

// locateRank returns the bucket that holds the element of a rank, and its rank in there.
func locateRank(counts []int, rank int) (bucket, rest int) {
	for i, n := range counts {
		if rank < n {
			return i, rank
		}
		rank -= n
	}
	return len(counts) - 1, 0 // not reached: ranks are below the sum
}

// percentile interpolates between the two values next to p percent of the way from the lowest to the highest.
func (o *order) percentile(p float64) float32 {
	place := p / 100 * float64(o.n-1)
	i := min(int(place), o.n-1)
	low := float64(o.at(i))
	high := low
	if float64(i) != place {
		high = float64(o.at(i + 1))
	}
	return float32(low + (place-float64(i))*(high-low))
}
