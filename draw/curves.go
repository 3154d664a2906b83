package draw

import (
	"errors"
	"fmt"
	"image"
	"image/color"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	vgdraw "gonum.org/v1/plot/vg/draw"
)

// Curves are metrics by epoch, the first of which is 1.
type Curves struct {
	Title, Below string
	// Best is the epoch to mark; 0 marks none. BestNote is what it is the best of.
	Best     int
	BestNote string
	Panels   []Panel
}

// Panel is a plot of one metric.
type Panel struct {
	// Name is the metric. Share says that it is between 0 and 1, and is written as a percentage.
	Name  string
	Share bool
	// Training and Validation are its values. Validation may be empty.
	Training, Validation []float64
}

var (
	trainingColor   = color.RGBA{0, 114, 178, 255}
	validationColor = color.RGBA{213, 94, 0, 255}
)

// Training plots metrics by epoch side by side, with one legend above the plots. Values that are not finite leave gaps.
func Training(c *Curves) (*Picture, error) {
	if len(c.Panels) == 0 || len(c.Panels) > 4 {
		return nil, errors.New("want one to four metrics to plot")
	}
	const width, height = 520.0, 340.0
	s := newSheet(margin+float64(len(c.Panels))*(width+margin), headSize+30+height+margin)
	s.head(c.Title, c.Below)
	names, tints := []string{"training"}, []color.RGBA{trainingColor}
	for _, p := range c.Panels {
		if len(p.Validation) > 0 && len(names) == 1 {
			names, tints = append(names, "validation"), append(tints, validationColor)
		}
	}
	if c.Best > 0 {
		names, tints = append(names, fmt.Sprintf("best epoch: %d%s", c.Best, c.BestNote)), append(tints, good)
	}
	s.legend(margin+52, headSize+14, names, tints)
	for i := range c.Panels {
		p, err := c.Panels[i].plot(c.Best)
		if err != nil {
			return nil, err
		}
		x, y := margin+float64(i)*(width+margin), headSize+30.0
		corner := s.at(x, y+height)
		p.Draw(vgdraw.Canvas{Canvas: s.canvas.Canvas, Rectangle: vg.Rectangle{
			Min: corner, Max: vg.Point{X: corner.X + width, Y: corner.Y + height},
		}})
	}
	return &Picture{[]*image.RGBA{s.img}}, nil
}

// plot draws one metric. Both axes begin where the plot does.
func (p *Panel) plot(best int) (*plot.Plot, error) {
	out := plot.New()
	out.BackgroundColor = nil
	out.Title.Text = p.Name
	out.Title.TextStyle.Font = style(13, true, ink, center).Font
	out.Title.TextStyle.Color = ink
	out.Title.Padding = 6
	epochs := max(len(p.Training), len(p.Validation), 1)
	lo, hi := p.limits()
	for _, a := range []*plot.Axis{&out.X, &out.Y} {
		a.Padding = 0
		a.Color = faint
		a.Label.TextStyle.Font = style(12, false, ink, center).Font
		a.Label.TextStyle.Color = faint
		a.Label.Padding = 4
		a.Tick.Label.Font = style(11, false, ink, center).Font
		a.Tick.Label.Color = ink
		a.Tick.LineStyle.Color = faint
		a.LineStyle.Width = 0 // drawn below, so that the axes meet
	}
	out.X.Label.Text = "epoch"
	out.X.Min, out.X.Max = 1, float64(max(epochs, 2))
	out.Y.Min, out.Y.Max = lo, hi
	out.X.Tick.Marker, out.Y.Tick.Marker = epochTicks{}, valueTicks{p.Share}
	grid := plotter.NewGrid()
	grid.Vertical.Color, grid.Horizontal.Color = hair, hair
	out.Add(grid)
	axes, err := plotter.NewLine(plotter.XYs{{X: 1, Y: hi}, {X: 1, Y: lo}, {X: out.X.Max, Y: lo}})
	if err != nil {
		return nil, err
	}
	axes.Color, axes.Width = faint, 1
	out.Add(axes)
	if best > 0 && best <= epochs {
		line, err := plotter.NewLine(plotter.XYs{{X: float64(best), Y: lo}, {X: float64(best), Y: hi}})
		if err != nil {
			return nil, err
		}
		line.Color, line.Width, line.Dashes = good, 1, []vg.Length{4, 3}
		out.Add(line)
	}
	for _, c := range []struct {
		values []float64
		color  color.RGBA
	}{{p.Training, trainingColor}, {p.Validation, validationColor}} {
		if err := curve(out, c.values, best, c.color); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// curve adds a curve with a dot at the best epoch. A curve of one epoch is a dot.
func curve(p *plot.Plot, values []float64, best int, c color.RGBA) error {
	var run plotter.XYs
	flush := func() error {
		if len(run) > 1 {
			line, err := plotter.NewLine(run)
			if err != nil {
				return err
			}
			line.Color, line.Width = c, 2
			p.Add(line)
		}
		run = nil
		return nil
	}
	var dots plotter.XYs
	for i, v := range values {
		if !finite(v) {
			if err := flush(); err != nil {
				return err
			}
			continue
		}
		at := plotter.XY{X: float64(i + 1), Y: v}
		run = append(run, at)
		if i+1 == best || len(values) == 1 {
			dots = append(dots, at)
		}
	}
	if err := flush(); err != nil || len(dots) == 0 {
		return err
	}
	scatter, err := plotter.NewScatter(dots)
	if err != nil {
		return err
	}
	scatter.GlyphStyle = vgdraw.GlyphStyle{Color: c, Radius: 4, Shape: vgdraw.CircleGlyph{}}
	p.Add(scatter)
	return nil
}

// limits returns the values at the ends of the vertical axis: round ones around the curves. A share ends at 1 at most.
func (p *Panel) limits() (lo, hi float64) {
	lo, hi = math.Inf(1), math.Inf(-1)
	for _, values := range [][]float64{p.Training, p.Validation} {
		for _, v := range values {
			if finite(v) {
				lo, hi = min(lo, v), max(hi, v)
			}
		}
	}
	if lo > hi {
		return 0, 1
	}
	step := roundBelow(max(hi-lo, 0.02) / 4)
	lo, hi = math.Floor(lo/step)*step, math.Ceil(hi/step-1e-9)*step
	if lo >= hi {
		lo, hi = lo-step, lo+step
	}
	if lo > 0 && lo < 0.35*hi {
		lo = 0
	}
	if p.Share {
		lo, hi = max(0, lo), min(1, hi)
	}
	return lo, hi
}

// epochTicks are whole numbers, the first and the last epoch among them.
type epochTicks struct{}

func (epochTicks) Ticks(lo, hi float64) (out []plot.Tick) {
	step := max(1, roundBelow((hi-lo)/5))
	for _, v := range ticks(lo, hi, 6) {
		if v == math.Trunc(v) && v-lo >= 0.6*step && hi-v >= 0.6*step {
			out = append(out, plot.Tick{Value: v, Label: number(v)})
		}
	}
	return append(out, plot.Tick{Value: lo, Label: number(lo)}, plot.Tick{Value: hi, Label: number(hi)})
}

// valueTicks are round numbers, as percentages if they are shares.
type valueTicks struct{ share bool }

func (t valueTicks) Ticks(lo, hi float64) (out []plot.Tick) {
	for _, v := range ticks(lo, hi, 5) {
		label := number(v)
		if t.share {
			label = number(100*v) + " %"
		}
		out = append(out, plot.Tick{Value: v, Label: label})
	}
	return out
}
