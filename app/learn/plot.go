package learn

import (
	"image/color"
	"io"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"

	"github.com/voxelstream/voxelstream/nn/train"
)

// plotHistory plots loss and accuracy by epoch, side by side, to a PNG.
func plotHistory(w io.Writer, h *train.History) error {
	loss, err := curves("loss", h.Loss, h.ValLoss)
	if err != nil {
		return err
	}
	accuracy, err := curves("accuracy", h.Accuracy, h.ValAccuracy)
	if err != nil {
		return err
	}
	accuracy.Y.Min, accuracy.Y.Max = 0, 1
	accuracy.Legend.Top = false
	img := vgimg.NewWith(vgimg.UseWH(24*vg.Centimeter, 9*vg.Centimeter), vgimg.UseDPI(120))
	dc := draw.New(img)
	tiles := draw.Tiles{
		Rows: 1, Cols: 2, PadX: vg.Centimeter, PadTop: vg.Millimeter * 3, PadBottom: vg.Millimeter * 3,
		PadLeft: vg.Millimeter * 3, PadRight: vg.Millimeter * 3,
	}
	plots := [][]*plot.Plot{{loss, accuracy}}
	for i, canvas := range plot.Align(plots, tiles, dc)[0] {
		plots[0][i].Draw(canvas)
	}
	_, err = vgimg.PngCanvas{Canvas: img}.WriteTo(w)
	return err
}

// curves plots one metric: training in blue, and validation, if any, in orange.
func curves(name string, training, validation []float64) (*plot.Plot, error) {
	p := plot.New()
	p.Title.Text, p.X.Label.Text = name, "epoch"
	p.Legend.Top = true
	p.Add(plotter.NewGrid())
	for _, c := range []struct {
		name   string
		values []float64
		color  color.Color
	}{
		{"training", training, color.RGBA{R: 31, G: 119, B: 180, A: 255}},
		{"validation", validation, color.RGBA{R: 255, G: 127, B: 14, A: 255}},
	} {
		if len(c.values) == 0 {
			continue
		}
		points := make(plotter.XYs, len(c.values))
		for i, v := range c.values {
			points[i] = plotter.XY{X: float64(i + 1), Y: v}
		}
		line, err := plotter.NewLine(points)
		if err != nil {
			return nil, err
		}
		line.Color, line.Width = c.color, vg.Points(1.5)
		p.Add(line)
		p.Legend.Add(c.name, line)
	}
	return p, nil
}
