// Package methodtest is the test suite that every voxelization method must pass.
package methodtest

import (
	"context"
	"errors"
	"io"
	"math"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/internal/option"
	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/voxelize"
)

// Method tests a method of the list. It checks that the method is documented, that it honours or rejects the grid
// size, edge and origin, that the same sample always gives the same field (also from several goroutines) and is not
// modified, that a sample with nothing to voxelize gives ErrEmpty, that points without finite coordinates have no
// effect, and that the fields of Method are accurate.
func Method(t *testing.T, m voxelize.Method) {
	t.Run("declaration", func(t *testing.T) { declaration(t, m) })
	t.Run("field", func(t *testing.T) { field(t, m) })
	t.Run("same", func(t *testing.T) { same(t, m) })
	t.Run("empty", func(t *testing.T) { empty(t, m) })
	t.Run("value", func(t *testing.T) { value(t, m) })
	t.Run("grid", func(t *testing.T) { grid(t, m) })
	t.Run("data", func(t *testing.T) { data(t, m) })
	t.Run("distances", func(t *testing.T) { distances(t, m) })
	t.Run("fuse", func(t *testing.T) { fuse(t, m) })
	if !m.Needs.Frames {
		t.Run("no return", func(t *testing.T) { noReturn(t, m) })
		t.Run("axes", func(t *testing.T) { axes(t, m) })
	}
}

// options returns valid options for the method.
func options(m voxelize.Method) voxelize.Options {
	o := voxelize.DefaultOptions()
	o.Method, o.Dims = m.Name, option.Dims{6, 7, 9}
	switch {
	case m.Needs.Cube:
		o.Dims = option.Dims{6, 6, 6}
	case m.Needs.Flat:
		o.Dims[0] = 1
	}
	if channels(m, o) > 1 {
		o.Values = voxelize.RawValues
	}
	return o
}

// channels returns the number of values per cell that the method declares.
func channels(m voxelize.Method, o voxelize.Options) int {
	if m.Channels == nil {
		return 1
	}
	return m.Channels(o)
}

func voxelizer(t *testing.T, o voxelize.Options) *voxelize.Voxelizer {
	t.Helper()
	v, err := voxelize.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func sample(d ingest.Data) ingest.Sample {
	return ingest.Sample{ID: record.ID{Stream: "methodtest", Seq: 3}, Label: 5, Data: d}
}

// good returns a sample that the method accepts: a cloud, or a frame.
func good(m voxelize.Method) ingest.Data {
	if m.Needs.Frames {
		return frame()
	}
	return cloud()
}

// cloud returns a helix of 200 points, denser in its lower half, above the sensor at the origin.
func cloud() *ingest.PointCloud {
	p := &ingest.PointCloud{}
	for i := range 200 {
		a := float64(i) / 10
		p.X, p.Y, p.Z = append(p.X, math.Cos(a)), append(p.Y, 2*math.Sin(a)), append(p.Z, 1+3*math.Pow(float64(i)/200, 2))
	}
	return p
}

// frame returns a view of a slanted wall. One corner has no depth.
func frame() *ingest.Frame {
	const side = 24
	f := &ingest.Frame{
		Width: side, Height: side, Depth: make([]ingest.Metres, side*side),
		Cam: ingest.Intrinsics{Fx: 20, Fy: 20, Cx: 11.5, Cy: 11.5},
	}
	for i := range f.Depth {
		if u, v := i%side, i/side; u > 4 || v > 4 {
			f.Depth[i] = ingest.Metres(1.5 + float64(u)/side)
		}
	}
	return f
}

// finite returns the number of finite points of a sample.
func finite(t *testing.T, d ingest.Data) uint32 {
	t.Helper()
	if f, ok := d.(*ingest.Frame); ok {
		p, err := f.Points()
		if err != nil {
			t.Fatal(err)
		}
		d = p
	}
	n := uint32(0)
	p := d.(*ingest.PointCloud)
	for i := range p.X {
		if !math.IsNaN(p.X[i]+p.Y[i]+p.Z[i]) && !math.IsInf(p.X[i]+p.Y[i]+p.Z[i], 0) {
			n++
		}
	}
	return n
}

func declaration(t *testing.T, m voxelize.Method) {
	if m.Name == "" || strings.ToLower(string(m.Name)) != string(m.Name) || strings.ContainsAny(string(m.Name), " _,") {
		t.Errorf("found the name %q, want a word in lower case", m.Name)
	}
	if !strings.HasSuffix(m.Doc, ".") || strings.ContainsAny(m.Doc, "|\n") {
		t.Errorf("found the documentation %q, want sentences on one line", m.Doc)
	}
	o := options(m)
	for _, f := range option.Settings(&o) {
		if f.Doc == "" {
			t.Errorf("option %s: found no documentation", f.Path)
		}
	}
	if m.Options == nil {
		return
	}
	again := m.Options()
	for i, o := range m.Options() {
		if reflect.ValueOf(o).Pointer() == reflect.ValueOf(again[i]).Pointer() {
			t.Error("options: two calls returned the same pointer, want new options each time")
		}
	}
}

func field(t *testing.T, m voxelize.Method) {
	o := options(m)
	v := voxelizer(t, o)
	d := good(m)
	f, err := v.Field(sample(d))
	if err != nil {
		t.Fatal(err)
	}
	cells, channels := o.Dims[0]*o.Dims[1]*o.Dims[2], channels(m, o)
	if f.Grid.Dims != [3]int(o.Dims) || f.Channels != channels || len(f.Values) != cells*channels {
		t.Fatalf("found %d values of %d channels for a grid of %v, want %d channels for %v", len(f.Values), f.Channels,
			f.Grid.Dims, channels, o.Dims)
	}
	seen := make([]bool, cells)
	for z := range o.Dims[0] {
		for y := range o.Dims[1] {
			for x := range o.Dims[2] {
				i := x*f.Stride[0] + y*f.Stride[1] + z*f.Stride[2]
				if i < 0 || i%channels != 0 || i/channels >= cells || seen[i/channels] {
					t.Fatalf("strides %v: cell %d,%d,%d is at %d, outside or taken", f.Stride, x, y, z, i)
				}
				seen[i/channels] = true
			}
		}
	}
	for _, edge := range f.Grid.Cell {
		if !(edge > 0) {
			t.Errorf("found cells of %v m, want more than 0", f.Grid.Cell)
		}
	}
	filled := 0
	for i, x := range f.Values {
		if math.IsNaN(x) || math.IsInf(x, 0) || m.Value != voxelize.Measured && !(x >= 0 && x <= 1) {
			t.Fatalf("value %d: found %g, want 0 to 1, or a finite number if it is measured", i, x)
		}
		if x != 0 {
			filled++
		}
	}
	if filled == 0 || filled == len(f.Values) {
		t.Errorf("found %d of %d values other than 0, want some", filled, len(f.Values))
	}
	if have := finite(t, d); f.Points+f.Outside != have || f.Points == 0 {
		t.Errorf("found %d points inside and %d outside, want %d in all", f.Points, f.Outside, have)
	}
	vol, err := v.Volume(sample(d))
	if err != nil {
		t.Fatal(err)
	}
	if err := vol.Check(); err != nil || vol.Dims != [3]int(o.Dims) || vol.Content.Channels != channels ||
		vol.Points != f.Points || vol.Stream != "methodtest" || vol.Seq != 3 || vol.Label != 5 {
		t.Errorf("found a volume of %v cells, %v, %d points, ID %v, label %d, %v", vol.Dims, vol.Content, vol.Points,
			vol.ID, vol.Label, err)
	}
	o.Values = voxelize.PaletteIndices
	if _, err := voxelizer(t, o).Volume(sample(d)); (err != nil) != (channels > 1) {
		t.Errorf("palette indices of %d channels: found error %v", channels, err)
	}
}

func same(t *testing.T, m voxelize.Method) {
	v := voxelizer(t, options(m))
	want, err := v.Field(sample(good(m)))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := voxelizer(t, options(m)).Field(sample(good(m))); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("a second voxelizer gave another field (%v)", err)
	}
	d := good(m)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 4 {
				if got, err := v.Field(sample(d)); err != nil || !reflect.DeepEqual(got, want) {
					t.Errorf("concurrent calls gave another field (%v)", err)
				}
			}
		})
	}
	wg.Wait()
	if !reflect.DeepEqual(d, good(m)) {
		t.Error("the sample was modified")
	}
}

func empty(t *testing.T, m voxelize.Method) {
	v := voxelizer(t, options(m))
	nan := math.NaN()
	nothing := map[string]ingest.Data{
		"no point": &ingest.PointCloud{},
		"no finite point": &ingest.PointCloud{
			X: []float64{nan, 1, math.Inf(1)}, Y: []float64{1, nan, 0},
			Z: []float64{1, 1, 0},
		},
	}
	blind := frame()
	clear(blind.Depth)
	if m.Needs.Frames {
		clear(nothing)
	}
	nothing["no depth"] = blind
	for name, d := range nothing {
		_, err := v.Field(sample(d))
		if !errors.Is(err, voxelize.ErrEmpty) {
			t.Errorf("%s: found %v, want ErrEmpty", name, err)
		}
		if item, ok := errors.AsType[*ingest.ItemError](err); !ok || item.Stream != "methodtest" || item.Seq != 3 {
			t.Errorf("%s: found %v, want an *ingest.ItemError", name, err)
		}
	}
}

// noReturn adds points that are not finite, which must not change the field.
func noReturn(t *testing.T, m voxelize.Method) {
	v := voxelizer(t, options(m))
	want, err := v.Field(sample(cloud()))
	if err != nil {
		t.Fatal(err)
	}
	p := cloud()
	nan := math.NaN()
	for i, xyz := range [][3]float64{{nan, 0, 0}, {0, math.Inf(1), 0}, {0, 0, math.Inf(-1)}, {nan, nan, nan}} {
		at := 17 * i
		p.X, p.Y, p.Z = slices.Insert(p.X, at, xyz[0]), slices.Insert(p.Y, at, xyz[1]), slices.Insert(p.Z, at, xyz[2])
	}
	if got, err := v.Field(sample(p)); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("points that are not finite changed the field (%v)", err)
	}
}

// axes voxelizes two points that differ along one axis. The cells must differ along that axis only, in the same
// direction.
func axes(t *testing.T, m voxelize.Method) {
	o := options(m)
	v := voxelizer(t, o)
	for axis := range 3 {
		if axis == 2 && m.Needs.Flat {
			continue
		}
		// The first point occurs twice, so its cell's value is at least that of the other, if values are counts.
		p := &ingest.PointCloud{X: []float64{1, 1, 1}, Y: []float64{2, 2, 2}, Z: []float64{5, 5, 5}}
		[3][]float64{p.X, p.Y, p.Z}[axis][2]++
		f, err := v.Field(sample(p))
		if err != nil {
			t.Fatal(err)
		}
		var filled [][3]int
		var values []float64
		for x := range o.Dims[2] {
			for y := range o.Dims[1] {
				for z := range o.Dims[0] {
					if v := f.Values[x*f.Stride[0]+y*f.Stride[1]+z*f.Stride[2]]; v > 0 {
						filled, values = append(filled, [3]int{x, y, z}), append(values, v)
					}
				}
			}
		}
		if m.Distances != nil {
			continue // cells around the points have values too
		}
		if len(filled) != 2 {
			t.Fatalf("axis %c: found %d cells filled, want 2", "xyz"[axis], len(filled))
		}
		for a := range 3 {
			if step := filled[1][a] - filled[0][a]; (step > 0) != (a == axis) {
				t.Errorf("axis %c: found cells %v", "xyz"[axis], filled)
			}
		}
		if m.Value != voxelize.Measured && values[0] < values[1] {
			t.Errorf("axis %c: found value %g for two points and %g for one", "xyz"[axis], values[0], values[1])
		}
	}
}

func value(t *testing.T, m voxelize.Method) {
	if m.Value == voxelize.Measured {
		return
	}
	if m.Value != "" && !slices.Contains(voxelize.Values(), m.Value) {
		t.Fatalf("found the value %q, want measured or one of %v", m.Value, voxelize.Values())
	}
	for _, asked := range voxelize.Values() {
		o := options(m)
		o.Value = asked
		f, err := voxelizer(t, o).Field(sample(good(m)))
		if err != nil {
			t.Fatal(err)
		}
		want := asked
		if m.Value != "" {
			want = m.Value
		}
		between := slices.ContainsFunc(f.Values, func(x float64) bool { return x > 0 && x < 1 })
		if between != (want == voxelize.Density) {
			t.Errorf("value %s: values between 0 and 1: found %t, want %t", asked, between, !between)
		}
	}
}

func grid(t *testing.T, m voxelize.Method) {
	o := options(m)
	o.Dims = option.Dims{5, 6, 7}
	if want := m.Needs.Cube || m.Needs.Flat; want != wrong(o) {
		t.Errorf("grid of 5x6x7 cells: found no error or an error, want an error: %t", want)
	}
	o = options(m)
	o.Edge = voxelize.Edges{0.25, 0.5, 0.25}
	if want := !m.Placed || m.Needs.CubicCells; want != wrong(o) {
		t.Errorf("cells of %v m: found no error or an error, want an error: %t", o.Edge, want)
	}
	o = options(m)
	o.Edge, o.Origin = voxelize.Cubes(0.25), voxelize.At(-0.5, -0.75, 1)
	v, err := voxelize.New(o)
	if (err == nil) != m.Placed {
		t.Fatalf("edge and origin: found error %v, want an error: %t", err, !m.Placed)
	}
	if !m.Placed {
		return
	}
	f, err := v.Field(sample(good(m)))
	if err != nil {
		t.Fatal(err)
	}
	if f.Grid.Cell != o.Edge || f.Grid.Origin != *o.Origin.At {
		t.Errorf("found a grid of %v m at %v, want %v m at %v", f.Grid.Cell, f.Grid.Origin, o.Edge, o.Origin)
	}
	if f.Outside == 0 {
		t.Error("found no points outside a grid that is smaller than the sample")
	}
	o.Origin = voxelize.At(100, 100, 100)
	if _, err := voxelizer(t, o).Field(sample(good(m))); !errors.Is(err, voxelize.ErrEmpty) {
		t.Errorf("grid far from the sample: found %v, want ErrEmpty", err)
	}
}

// wrong reports whether options are refused.
func wrong(o voxelize.Options) bool {
	_, err := voxelize.New(o)
	return err != nil
}

// data passes each kind of sample data, and samples without data.
func data(t *testing.T, m voxelize.Method) {
	v := voxelizer(t, options(m))
	if _, err := v.Field(sample(frame())); err != nil {
		t.Errorf("depth frame: %v", err)
	}
	if _, err := v.Field(sample(cloud())); (err != nil) != m.Needs.Frames {
		t.Errorf("point cloud: found error %v, want an error: %t", err, m.Needs.Frames)
	}
	for _, d := range []ingest.Data{
		nil, (*ingest.PointCloud)(nil), (*ingest.Frame)(nil),
		&ingest.Frame{Width: 2, Height: 2, Depth: make([]ingest.Metres, 3)},
	} {
		if _, err := v.Field(sample(d)); err == nil {
			t.Errorf("%T without data: want an error", d)
		}
	}
}

func distances(t *testing.T, m voxelize.Method) {
	o := options(m)
	out, err := voxelizer(t, o).Export(sample(good(m)), voxelize.FormatDistance)
	if m.Distances == nil {
		if err == nil {
			t.Error("distances from a method that cannot compute them: want an error")
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	g, ok := out.Data.(*ingest.Grid)
	if !ok || g.Dims != [3]int(o.Dims) || len(g.Values) != o.Dims[0]*o.Dims[1]*o.Dims[2] {
		t.Fatalf("found %T, want a grid of %v", out.Data, o.Dims)
	}
	if slices.Min(g.Values) >= 0 || slices.Max(g.Values) <= 0 {
		t.Errorf("found distances from %g to %g, want both signs", slices.Min(g.Values), slices.Max(g.Values))
	}
}

// recording is a source of two frames with poses and an item that cannot be read in between.
type recording struct{ next int }

var errBad = &ingest.ItemError{ID: record.ID{Stream: "methodtest", Seq: 1}, Err: errors.New("bad")}

func (r *recording) Read(context.Context) (ingest.Sample, error) {
	r.next++
	switch r.next {
	case 1, 3:
		f := frame()
		pose := ingest.Identity()
		f.Pose = &pose
		return ingest.Sample{ID: record.ID{Stream: "methodtest", Seq: uint64(r.next - 1)}, Data: f}, nil
	case 2:
		return ingest.Sample{}, errBad
	}
	return ingest.Sample{}, io.EOF
}

func (r *recording) Close() error { return nil }

func fuse(t *testing.T, m voxelize.Method) {
	v := voxelizer(t, options(m))
	open := func() (ingest.Source, error) { return &recording{}, nil }
	var bad []error
	one, err := v.Fuse(t.Context(), open, 1, func(err error) { bad = append(bad, err) })
	if m.Fuse == nil {
		if err == nil {
			t.Error("Fuse of a method that cannot fuse: want an error")
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if one.Frames != 2 || one.Failed != 1 || len(bad) != 1 || !errors.Is(bad[0], errBad) ||
		one.Sample.Stream != "methodtest" || one.Sample.Data != nil {
		t.Errorf("found %d frames, %d failed, %v, and sample %+v", one.Frames, one.Failed, bad, one.Sample)
	}
	if (one.Distances == nil) != (m.Distances == nil) {
		t.Error("the method computes distances for a recording or for a frame, want both or neither")
	}
	many, err := v.Fuse(t.Context(), open, 4, func(error) {})
	if err != nil {
		t.Fatal(err)
	}
	s := one.Sample
	s.Data = one.Grid()
	want, err := v.Volume(s)
	if err != nil {
		t.Fatal(err)
	}
	s.Data = many.Grid()
	if got, err := v.Volume(s); err != nil || !slices.Equal(got.Index, want.Index) {
		t.Errorf("another number of threads gave another volume (%v)", err)
	}
}
