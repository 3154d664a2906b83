package objects

import (
	"encoding/csv"
	"io"
	"strconv"
	"time"
)

// column is a column of a table of objects. One of its functions returns the value for an object; ok is false if there
// is none.
type column struct {
	name   string
	number func(o *Object) (v float64, ok bool)
	count  func(o *Object) (v int64, ok bool)
	text   func(o *Object) (v string, ok bool)
}

// columns lists the columns of a table of objects.
func columns() []column {
	number := func(name string, of func(o *Object) float64) column {
		return column{name: name, number: func(o *Object) (float64, bool) { return of(o), true }}
	}
	count := func(name string, of func(o *Object) int64) column {
		return column{name: name, count: func(o *Object) (int64, bool) { return of(o), true }}
	}
	out := []column{
		{name: "file", text: func(o *Object) (string, bool) { return o.File, true }},
		count("frame", func(o *Object) int64 { return int64(o.Frame) }),
		{name: "time", text: func(o *Object) (string, bool) { return o.Time.Format(time.RFC3339Nano), !o.Time.IsZero() }},
		count("object", func(o *Object) int64 { return int64(o.Object) }),
		count("track", func(o *Object) int64 { return int64(o.Track) }),
	}
	for k, name := range []string{"center_x", "center_y", "center_z"} {
		out = append(out, number(name, func(o *Object) float64 { return o.Center[k] }))
	}
	for k, name := range []string{"length", "width", "height"} {
		out = append(out, number(name, func(o *Object) float64 { return o.Size[k] }))
	}
	out = append(out,
		number("yaw", func(o *Object) float64 { return o.Yaw }),
		number("distance_m", func(o *Object) float64 { return o.Distance }),
		number("center_distance_m", func(o *Object) float64 { return o.CenterDistance }),
		column{name: "deviation_m", number: func(o *Object) (float64, bool) { return o.Deviation, o.Deviation > 0 }},
		count("points", func(o *Object) int64 { return int64(o.Points) }),
	)
	for k, name := range []string{"velocity_x", "velocity_y", "velocity_z"} {
		out = append(out, column{name: name, number: func(o *Object) (float64, bool) {
			if o.Velocity == nil {
				return 0, false
			}
			return o.Velocity[k], true
		}})
	}
	return append(out,
		column{name: "class", count: func(o *Object) (int64, bool) {
			if o.Class == nil {
				return 0, false
			}
			return int64(*o.Class), true
		}},
		column{name: "name", text: func(o *Object) (string, bool) { return o.Name, o.Name != "" }},
		column{name: "score", number: func(o *Object) (float64, bool) {
			if o.Score == nil {
				return 0, false
			}
			return *o.Score, true
		}},
	)
}

// csvTable writes objects as comma-separated values. A missing value is an empty cell.
type csvTable struct {
	w       *csv.Writer
	columns []column
}

func newCSV(w io.Writer) (table, error) {
	t := &csvTable{csv.NewWriter(w), columns()}
	var names []string
	for _, c := range t.columns {
		names = append(names, c.name)
	}
	return t, t.w.Write(names)
}

func (t *csvTable) write(f *Frame) error {
	cells := make([]string, len(t.columns))
	for i := range f.List {
		for j, c := range t.columns {
			cells[j] = c.cell(&f.List[i])
		}
		if err := t.w.Write(cells); err != nil {
			return err
		}
	}
	return nil
}

// cell returns the value for an object as text.
func (c *column) cell(o *Object) string {
	switch {
	case c.number != nil:
		if v, ok := c.number(o); ok {
			return strconv.FormatFloat(v, 'f', -1, 64)
		}
	case c.count != nil:
		if v, ok := c.count(o); ok {
			return strconv.FormatInt(v, 10)
		}
	default:
		if v, ok := c.text(o); ok {
			return v
		}
	}
	return ""
}

func (t *csvTable) end() error {
	t.w.Flush()
	return t.w.Error()
}
