package learn

import (
	"context"
	"io"
	"path/filepath"
	"slices"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/draw"
	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/nn/train"
)

// plotHistory plots loss and accuracy by epoch, side by side. The best epoch is marked: that of a monitored metric, or
// else the one with the lowest loss on validation data.
func plotHistory(path, model, monitor string, h *train.History) error {
	f, err := draw.FormatOf(path, false)
	if err != nil {
		return err
	}
	c := &draw.Curves{
		Title: "Training of " + filepath.Base(model),
		Below: app.Count(len(h.Loss), "epoch"),
		Best:  h.BestEpoch, BestNote: " (" + monitor + ")",
		Panels: []draw.Panel{
			{Name: "loss", Training: h.Loss, Validation: h.ValLoss},
			{Name: "accuracy", Share: true, Training: h.Accuracy, Validation: h.ValAccuracy},
		},
	}
	if c.Best == 0 && len(h.ValLoss) > 0 {
		c.Best, c.BestNote = 1+slices.Index(h.ValLoss, slices.Min(h.ValLoss)), " (val_loss)"
	}
	p, err := draw.Training(c)
	if err != nil {
		return err
	}
	return ingest.WriteFile(path, func(w io.Writer) error { return f.Write(context.Background(), w, p) })
}
