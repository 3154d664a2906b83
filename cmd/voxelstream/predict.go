package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/files"
	"github.com/voxelstream/voxelstream/app/predict"
	"github.com/voxelstream/voxelstream/draw"
)

func (c *cli) predict() *cobra.Command {
	cmd := command("predict FILE|FOLDER...", "Classify files: class, name and score of each sample", modelFlag, topKFlag,
		voxelFlags, ingestFlags)
	cmd.Long = cmd.Short + `.

The predictions are those of run, without a broker: the samples are converted to volumes as the model requires. Without
--model, the built-in model of digits classifies them. Exit code 3 means that some samples could not be classified.`
	cmd.Example = "  voxelstream predict scan.pcd --model shapes.keras\n" +
		"  voxelstream predict digits.h5 --json\n" +
		"  voxelstream predict digits.h5 --rows 0:24 --png digits.png\n" +
		"  cat scan.ply | voxelstream predict - --top-k 1"
	rowsFlags(cmd, groupInput, "classify")
	var picture string
	flagsIn(cmd, groupOutput, func(f *pflag.FlagSet) {
		outputVar(f, &picture, "png", "Draw the samples with their labels and predictions to this contact sheet, the "+
			"first "+strconv.Itoa(draw.MostTiles)+" if there are more.", files.PictureExtensions(false)...)
	})
	forceFlag(cmd)
	cmd.RunE = c.do(collecting(gcStreaming, func(ctx context.Context, a *app.Env, args []string) error {
		t := &predictions{cli: c}
		err := predict.Files(ctx, a, args, picture, t.add)
		return errors.Join(t.flush(), err)
	}))
	return cmd
}

// predictions prints predictions: as JSON lines, or as tables of some rows each, so that the first ones appear before
// the last are known.
type predictions struct {
	*cli
	rows []*predict.Item
}

// tableRows is the number of rows of a table of predictions, whose columns are aligned.
const tableRows = 64

func (p *predictions) add(item *predict.Item) error {
	if p.json {
		return p.line(item)
	}
	item.File = p.streams.shown(item.File) // before the widths of columns are measured
	p.rows = append(p.rows, item)
	if len(p.rows) < tableRows {
		return nil
	}
	return p.flush()
}

// flush prints the rows that wait.
func (p *predictions) flush() error {
	if len(p.rows) == 0 {
		return nil
	}
	rows := p.rows
	p.rows = nil
	return present(p.cli, rows, func(w io.Writer, rows []*predict.Item) { predictionsText(w, rows, p.width()) })
}

// itemName returns the end of an ID, which tells the samples of a file apart: X_test/7, or 7.
func itemName(id string) string {
	if i := strings.LastIndexByte(id, ':'); i >= 0 {
		return id[i+1:]
	}
	return id[strings.LastIndexByte(id, '/')+1:]
}

// predictionsText writes a table of predictions.
func predictionsText(w io.Writer, items []*predict.Item, width int) {
	var cells [][]string
	for _, item := range items {
		row := []string{item.File, itemName(item.ID), "-", "-", "-", "-", ""}
		if p := item.Prediction; p != nil {
			row[2], row[3] = className(p.Class, p.Name), fmt.Sprintf("%.3f", p.Score)
			if len(p.TopK) > 1 {
				row[4] = fmt.Sprintf("%d %.3f", p.TopK[1].Class, p.TopK[1].Score)
			}
			if p.Label != nil {
				row[5] = fmt.Sprint(*p.Label)
			}
			if p.Unfamiliar {
				row[6] = "unlike the training data"
			}
		}
		if item.Err != "" {
			row[6] = item.Err
		}
		cells = append(cells, row)
	}
	writeTable(w, width, rows([]column{
		{name: "FILE", rank: 2},
		{name: "ITEM", right: true},
		{name: "CLASS"},
		{name: "SCORE", right: true},
		{name: "NEXT", rank: 4},
		{name: "LABEL", rank: 3, right: true},
		{name: "NOTE", rank: 1},
	}, cells))
}
