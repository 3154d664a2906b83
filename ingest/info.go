package ingest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// Info describes the content of a file. As JSON it is one flat object: file, format, kind and the notes, if any,
// followed by the fields of the Detail.
type Info struct {
	File, Format string
	Notes        []Note
	Detail       Detail
}

// Detail is the part of an Info that depends on the kind of data: *Points, *Depth, *Grids, *Packets, or another
// package's type that marshals to a JSON object.
type Detail interface {
	// Kind returns "points", "depth", "grid", "model", "packets" or "poses".
	Kind() string
	// Text returns one or more lines of readable text.
	Text() string
}

// MarshalJSON merges the common fields and the detail into one object.
func (i Info) MarshalJSON() ([]byte, error) {
	notes := make([]string, len(i.Notes))
	for k, n := range i.Notes {
		notes[k] = n.String()
	}
	head, err := json.Marshal(struct {
		File   string   `json:"file"`
		Format string   `json:"format"`
		Kind   string   `json:"kind"`
		Notes  []string `json:"notes,omitempty"`
	}{i.File, i.Format, i.Detail.Kind(), notes})
	if err != nil {
		return nil, err
	}
	rest, err := json.Marshal(i.Detail)
	if err != nil {
		return nil, err
	}
	rest = bytes.TrimSpace(rest)
	if len(rest) < 2 || rest[0] != '{' {
		return nil, fmt.Errorf("detail of kind %s marshals to %.20q, want an object", i.Detail.Kind(), rest)
	}
	if bytes.Equal(rest, []byte("{}")) {
		return head, nil
	}
	return append(append(head[:len(head)-1], ','), rest[1:]...), nil
}

// String returns the readable form.
func (i Info) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n  format  %s, %s\n%s", i.File, i.Format, i.Detail.Kind(), indent(i.Detail.Text()))
	for _, n := range i.Notes {
		fmt.Fprintf(&b, "\n  note    %v", n)
	}
	return b.String()
}

func indent(s string) string {
	return "  " + strings.ReplaceAll(strings.TrimSuffix(s, "\n"), "\n", "\n  ")
}

// Points describes clouds. Min, Max and First are null where no point is finite; First is the first finite point.
type Points struct {
	Count  int         `json:"count"`
	Finite int         `json:"finite"`
	Fields []string    `json:"fields"`
	Min    *[3]float64 `json:"min"`
	Max    *[3]float64 `json:"max"`
	First  *[3]float64 `json:"first"`
	Time   *time.Time  `json:"time"`
	Clouds int         `json:"clouds,omitempty"` // only if not 1
	// Missing counts the clouds of a sequence that cannot be read, Poses those with a known pose.
	Missing int `json:"missing,omitempty"`
	Poses   int `json:"poses,omitempty"`
	// Camera is the calibration stored with the cloud of a depth camera.
	Camera *Intrinsics `json:"camera,omitempty"`
	// Pose is the camera's pose. The stream's points are in world coordinates, those described here are not.
	Pose *Pose `json:"pose,omitempty"`
}

// PointsOf describes clouds.
func PointsOf(c *Clouds) *Points {
	out := &Points{Fields: c.Fields}
	if out.Fields == nil {
		out.Fields = []string{}
	}
	if len(c.Clouds) != 1 {
		out.Clouds = len(c.Clouds)
	}
	if !c.Time.IsZero() {
		t := c.Time.UTC()
		out.Time = &t
	}
	for _, cloud := range c.Clouds {
		out.Add(cloud)
	}
	return out
}

// Add counts the points of a further cloud.
func (p *Points) Add(c *PointCloud) {
	p.Count += c.Len()
	for i := range c.X {
		v := [3]float64{c.X[i], c.Y[i], c.Z[i]}
		if !finite(v[0]) || !finite(v[1]) || !finite(v[2]) {
			continue
		}
		if p.Finite == 0 {
			first, lo, hi := v, v, v
			p.First, p.Min, p.Max = &first, &lo, &hi
		}
		p.Finite++
		for k := range v {
			p.Min[k], p.Max[k] = min(p.Min[k], v[k]), max(p.Max[k], v[k])
		}
	}
}

func finite(v float64) bool { return math.Abs(v) <= math.MaxFloat64 }

// Kind returns "points".
func (*Points) Kind() string { return "points" }

// Text returns the count, fields and bounds.
func (p *Points) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "points  %d, %d finite", p.Count, p.Finite)
	if p.Clouds != 0 {
		fmt.Fprintf(&b, ", in %d clouds", p.Clouds)
	}
	if p.Missing > 0 || p.Poses > 0 {
		fmt.Fprintf(&b, "\nscans   %d missing, %d with poses", p.Missing, p.Poses)
	}
	fmt.Fprintf(&b, "\nfields  %s", strings.Join(p.Fields, " "))
	if p.Finite > 0 {
		fmt.Fprintf(&b, "\nmin     %v m\nmax     %v m\nfirst   %v m", triple(p.Min), triple(p.Max), triple(p.First))
	}
	if p.Time != nil {
		fmt.Fprintf(&b, "\ntime    %s", p.Time.Format(time.RFC3339Nano))
	}
	return b.String()
}

func triple(v *[3]float64) string { return fmt.Sprintf("%.7g %.7g %.7g", v[0], v[1], v[2]) }

// Depth describes a depth image, or the first readable one of a sequence.
type Depth struct {
	Width  int     `json:"width"`
	Height int     `json:"height"`
	Unit   string  `json:"unit"` // of the stored numbers: "mm", or "1/5000 m"
	Valid  int     `json:"valid"`
	Min    float64 `json:"min_m"` // over the valid pixels; 0 if there are none
	Max    float64 `json:"max_m"`
	// Frames and Missing count the items of a sequence and those whose files are missing; both are absent for a
	// single image.
	Frames  int         `json:"frames,omitempty"`
	Missing int         `json:"missing,omitempty"`
	Poses   int         `json:"poses,omitempty"` // frames with a known pose
	Camera  *Intrinsics `json:"camera,omitempty"`
	// Distance is that of the image, or of the first image of a sequence. Distances are those of a sequence, null
	// for frames that cannot be read or have no measurements.
	Distance  *Distance   `json:"distance"`
	Distances []*Distance `json:"distances,omitempty"`
}

// UnitName returns the name of a depth unit, given the number of units per metre.
func UnitName(perMetre float64) string {
	switch perMetre {
	case 1:
		return "m"
	case 1000:
		return "mm"
	}
	return fmt.Sprintf("1/%g m", perMetre)
}

// DepthOf describes a frame whose stored unit is 1/perMetre metres.
func DepthOf(f *Frame, perMetre float64) *Depth {
	out := &Depth{Width: f.Width, Height: f.Height, Unit: UnitName(perMetre), Distance: f.Distance()}
	lo, hi := float32(math.Inf(1)), float32(0)
	for _, d := range f.Depth {
		if d > 0 {
			out.Valid++
			lo, hi = min(lo, d), max(hi, d)
		}
	}
	if out.Valid > 0 {
		out.Min, out.Max = widen(lo), widen(hi)
	}
	if f.Cam.Valid() {
		cam := f.Cam
		out.Camera = &cam
	}
	return out
}

// widen returns the float64 that prints like v: 2.702, not 2.7019999027.
func widen(v float32) float64 {
	return math.Round(float64(v)*1e6) / 1e6
}

// Kind returns "depth".
func (*Depth) Kind() string { return "depth" }

// Text returns the size, unit and range.
func (d *Depth) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "size    %d x %d\nunit    %s", d.Width, d.Height, d.Unit)
	fmt.Fprintf(&b, "\nvalid   %d of %d pixels\nrange   %g .. %g m", d.Valid, d.Width*d.Height, d.Min, d.Max)
	if d.Frames != 0 {
		fmt.Fprintf(&b, "\nframes  %d, %d missing, %d with poses", d.Frames, d.Missing, d.Poses)
	}
	if d.Camera != nil {
		fmt.Fprintf(&b, "\ncamera  fx %g fy %g cx %g cy %g", d.Camera.Fx, d.Camera.Fy, d.Camera.Cx, d.Camera.Cy)
	}
	if d.Distance != nil {
		fmt.Fprintf(&b, "\n%s", d.Distance.Text())
	}
	return b.String()
}

// Grids describes voxel grids: how many rows, the shape of one, and how often each label occurs.
type Grids struct {
	Rows   int            `json:"rows"`
	Shape  []int          `json:"shape"`
	Labels map[string]int `json:"labels"`
	// Arrays are those that the file holds. The only one of a .npy file has no name.
	Arrays []Array   `json:"arrays,omitempty"`
	Min    *float64  `json:"min,omitempty"`
	Max    *float64  `json:"max,omitempty"`
	Cell   []float64 `json:"cell,omitempty"` // edge lengths of a cell if known, in the order of Shape
	CellIn string    `json:"cell_unit,omitempty"`
	// Orientation is the directions of x, y and z of the grids, the last axis of Shape first; Stored is that of the axes
	// in the file. Both are empty if unknown.
	Orientation Orientation `json:"orientation,omitempty"`
	Stored      Orientation `json:"stored_orientation,omitempty"`
}

// Array is one named array of a file.
type Array struct {
	Name  string `json:"name"`
	Type  string `json:"type"`
	Shape []int  `json:"shape"`
}

// Kind returns "grid".
func (*Grids) Kind() string { return "grid" }

// Text returns the rows, shape and labels.
func (g *Grids) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "rows    %d\nshape   %v", g.Rows, g.Shape)
	if g.Min != nil && g.Max != nil {
		fmt.Fprintf(&b, "\nvalues  %g .. %g", *g.Min, *g.Max)
	}
	if len(g.Cell) > 0 {
		fmt.Fprintf(&b, "\ncell    %v %s", g.Cell, g.CellIn)
	}
	if g.Orientation != "" {
		fmt.Fprintf(&b, "\naxes    %s, stored as %s", g.Orientation.text(), string(g.Stored))
	}
	if len(g.Labels) > 0 {
		keys := make([]string, 0, len(g.Labels))
		for k := range g.Labels {
			keys = append(keys, k)
		}
		slices.SortFunc(keys, func(a, b string) int {
			if len(a) != len(b) {
				return len(a) - len(b)
			}
			return strings.Compare(a, b)
		})
		b.WriteString("\nlabels ")
		for _, k := range keys {
			fmt.Fprintf(&b, " %s:%d", k, g.Labels[k])
		}
	}
	for _, a := range g.Arrays {
		fmt.Fprintf(&b, "\narray   %s %v", strings.TrimSpace(a.Name+" "+a.Type), a.Shape)
	}
	return b.String()
}

// Packets describes a recording of a sensor's packets, or of several sensors.
type Packets struct {
	Sensor  string `json:"sensor"`
	Packets int    `json:"packets"`
	Frames  int    `json:"frames"`
	Returns int    `json:"returns"`
	// Lost is the number of packets that are missing according to the sensor's counters or clock, Repeated the
	// number that occur twice.
	Lost     int        `json:"lost"`
	Repeated int        `json:"repeated"`
	Time     *time.Time `json:"time,omitempty"`
	// Sources describes the sensors or topics one by one. The fields above add up what is in them.
	Sources []PacketSource `json:"sources,omitempty"`
}

// PacketSource describes one sensor or topic of a recording, which is a stream of its own. Name is the source
// address and destination port of a sensor's packets, or a topic; it is empty if the recording has neither.
type PacketSource struct {
	Name     string     `json:"name"`
	Sensor   string     `json:"sensor"`
	Packets  int        `json:"packets"`
	Frames   int        `json:"frames"`
	Returns  int        `json:"returns"`
	Lost     int        `json:"lost"`
	Repeated int        `json:"repeated"`
	Time     *time.Time `json:"time,omitempty"`
}

// Add adds a source.
func (p *Packets) Add(s PacketSource) {
	switch {
	case len(p.Sources) == 0:
		p.Sensor = s.Sensor
	case !slices.Contains(strings.Split(p.Sensor, ", "), s.Sensor):
		p.Sensor += ", " + s.Sensor
	}
	p.Packets += s.Packets
	p.Frames += s.Frames
	p.Returns += s.Returns
	p.Lost += s.Lost
	p.Repeated += s.Repeated
	if s.Time != nil && (p.Time == nil || s.Time.Before(*p.Time)) {
		p.Time = s.Time
	}
	p.Sources = append(p.Sources, s)
}

// Plural returns a count with its noun: "1 packet", "2 packets".
func Plural(n int, unit string) string {
	if n != 1 {
		unit += "s"
	}
	return fmt.Sprintf("%d %s", n, unit)
}

// Kind returns "packets".
func (*Packets) Kind() string { return "packets" }

// Text returns the sensor and the counts.
func (p *Packets) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "sensor  %s\npackets %d, %d lost, %d repeated\nframes  %d\nreturns %d", p.Sensor, p.Packets,
		p.Lost, p.Repeated, p.Frames, p.Returns)
	for _, s := range p.Sources {
		if s.Name != "" {
			fmt.Fprintf(&b, "\nsource  %s: %s, %s, %s, %s", s.Name, s.Sensor, Plural(s.Packets, "packet"),
				Plural(s.Frames, "frame"), Plural(s.Returns, "return"))
		}
	}
	return b.String()
}
