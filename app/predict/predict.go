// Package predict classifies the samples of files without a broker. The classifications are those of the pipeline: the
// same readers, voxelizer and network make them.
package predict

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/files"
	"github.com/voxelstream/voxelstream/app/input"
	"github.com/voxelstream/voxelstream/app/models"
	"github.com/voxelstream/voxelstream/classify"
	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/voxelize"
)

// Item is the prediction for a sample of a file, or why there is none.
type Item struct {
	File string `json:"file"`
	// ID is that of the sample in events. It is empty if the rest of a file could not be read.
	ID string `json:"item,omitempty"`
	*Prediction
	Err string `json:"error,omitempty"`
}

// Prediction is what a model says about a sample.
type Prediction struct {
	Class int     `json:"class"`
	Name  string  `json:"name,omitempty"`
	Score float32 `json:"score"`
	// TopK are the classes with the highest scores.
	TopK []record.Score `json:"top_k"`
	// Label is the true class, if the file has it.
	Label *int32 `json:"label,omitempty"`
	// Unfamiliar reports that the sample is unlike the training data of the model.
	Unfamiliar bool `json:"unfamiliar,omitempty"`
}

// Files classifies every sample of files and folders and calls each for it, in order. A sample, and a file in a folder,
// that cannot be read is an item with an error; Files then returns an error that wraps [app.ErrSkipped]. A file that
// paths name and that cannot be read at all is an error of another kind. Unless it is empty, picture is the file of a
// contact sheet of the samples that are classified.
func Files(ctx context.Context, a *app.Env, paths []string, picture string, each func(*Item) error) (err error) {
	inputs, err := input.ParseFiles(paths)
	if err != nil {
		return err
	}
	if err := models.CheckData(ctx, a, paths); err != nil {
		return err
	}
	release, err := a.ClaimOutputs(paths, picture)
	if err != nil {
		return err
	}
	defer release()
	p, err := newPredictor(ctx, a, each)
	if err != nil {
		return err
	}
	defer p.network.Close()
	if picture != "" {
		p.sheet = &files.Sheet{}
	}
	var unread error
	var list input.Files
	for in := range list.Of(ctx, a, inputs) {
		p.classified, p.reason = 0, nil
		err := p.file(ctx, in)
		if err == nil && p.classified == 0 && in.Named() {
			err = p.reason // of the first of its samples, none of which could be classified
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.As(err, new(*stopped)):
			return err
		case err == nil:
			continue
		case in.Named():
			unread = errors.Join(unread, fmt.Errorf("%s: %s", in, reason(in.String(), err)))
			continue
		}
		p.failed++
		if err := each(&Item{File: in.String(), Err: reason(in.String(), err)}); err != nil {
			return err
		}
	}
	if p.unfamiliar > 0 {
		a.Log.Warn("some samples are unlike the training data of the model; their predictions may mean nothing",
			"samples", p.unfamiliar, "of", p.done)
	}
	if err := p.draw(ctx, picture, inputs); err != nil {
		return errors.Join(unread, err)
	}
	switch {
	case unread != nil:
		return unread
	case p.failed > 0:
		return app.SkippedSome(fmt.Sprintf("could not classify %s", app.Count(p.failed, "item")))
	}
	return app.Interrupted(ctx, nil)
}

// stopped is an error that ends the work: of the network, or of each.
type stopped struct{ error }

func (s *stopped) Unwrap() error { return s.error }

// batchSize is the number of samples per forward pass, batchCells limits their cells.
const (
	batchSize  = 64
	batchCells = 1 << 22
)

// predictor classifies the samples of one file after another.
type predictor struct {
	app     *app.Env
	voxels  *voxelize.Voxelizer
	network *classify.Classifier
	each    func(*Item) error

	waiting                  []waiting
	cells                    int
	done, failed, unfamiliar int
	// Of the file that is being read: how many samples were classified, and why the first was not that was not.
	classified int
	reason     error

	// sheet is the picture of the samples; nil without one.
	sheet *files.Sheet
}

// reason returns the text of an error about a file without its path.
func reason(file string, err error) string { return strings.TrimPrefix(err.Error(), file+": ") }

// waiting is a sample that is not classified yet, or the error about it.
type waiting struct {
	file   string
	id     record.ID
	volume voxelize.Volume
	err    error
	data   ingest.Data // for the picture, which has room for it; nil if it is not drawn
	row    int         // in the file, for the picture
}

func newPredictor(ctx context.Context, a *app.Env, each func(*Item) error) (*predictor, error) {
	c, v, err := models.Classifier(ctx, a, models.Builtin, a.Config.Model.TopK)
	if err != nil {
		return nil, err
	}
	a.Log.Info("classifying with " + models.Called(cmp.Or(a.Config.Model.Path, models.Builtin)))
	models.LogInput(a, c.Input())
	return &predictor{app: a, voxels: v, network: c, each: each}, nil
}

// file classifies the samples of a file.
func (p *predictor) file(ctx context.Context, in input.Input) (err error) {
	o := p.app.Reading()
	o.Faces = p.sheet != nil // meshes are drawn with their faces
	src, err := in.OpenWith(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, src.Close()) }()
	// A failure of the network or of each ends the reading: nothing is passed to each after it.
	reading, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	add := func(w waiting) {
		if reading.Err() != nil {
			return
		}
		if err := p.add(ctx, w); err != nil {
			stop(err)
		}
	}
	read := 0
	_, err = ingest.Each(reading, p.app.Rows.Of(src), func(s ingest.Sample) error {
		v, err := p.voxels.Volume(s)
		w := waiting{file: in.String(), id: s.ID, volume: v, err: err, row: p.app.Rows.First + read}
		read++
		if p.sheet != nil && err == nil && p.sheet.Reserve(s.Data) {
			w.data = s.Data
		}
		add(w)
		return context.Cause(reading)
	}, func(err error) {
		read++
		w := waiting{file: in.String(), err: err}
		if item, ok := errors.AsType[*ingest.ItemError](err); ok {
			w.id, w.err = item.ID, item.Err
		}
		add(w)
	})
	if reading.Err() != nil {
		return context.Cause(reading)
	}
	return cmp.Or(p.flush(ctx), err)
}

// add adds a sample, and classifies those that wait if they are enough.
func (p *predictor) add(ctx context.Context, w waiting) error {
	p.waiting = append(p.waiting, w)
	p.cells += len(w.volume.Index) + len(w.volume.Values)
	if len(p.waiting) < batchSize && p.cells < batchCells {
		return nil
	}
	return p.flush(ctx)
}

// flush classifies the samples that wait. None waits afterwards, also after an error.
func (p *predictor) flush(ctx context.Context) error {
	defer func() {
		clear(p.waiting) // their data may be large
		p.waiting, p.cells = p.waiting[:0], 0
	}()
	var items []classify.Item
	for i := range p.waiting {
		if p.waiting[i].err == nil {
			items = append(items, classify.Item{Volume: p.waiting[i].volume})
		}
	}
	if len(p.waiting) == 0 {
		return nil
	}
	results, err := p.network.ProcessBatch(ctx, items)
	partial, some := errors.AsType[*pipeline.PartialError](err)
	if err != nil && !some {
		return &stopped{err}
	}
	next := 0
	for i := range p.waiting {
		w := &p.waiting[i]
		var r *record.Classification
		if w.err == nil {
			if some {
				w.err = partial.Failed[next]
			}
			r = &results[next]
			next++
		}
		if err := p.each(p.item(w, r)); err != nil {
			return &stopped{err}
		}
	}
	return nil
}

// item counts a sample and describes it.
func (p *predictor) item(w *waiting, r *record.Classification) *Item {
	p.done++
	item := &Item{File: w.file}
	if w.id != (record.ID{}) {
		item.ID = w.id.String()
	}
	if w.data != nil {
		p.sheet.Release(w.data)
	}
	if w.err != nil {
		p.failed++
		item.Err = reason(w.file, w.err)
		if p.reason == nil {
			p.reason = w.err
		}
		return item
	}
	p.classified++
	if r.Unfamiliar {
		p.unfamiliar++
	}
	if w.data != nil {
		p.sheet.Add(w.file, w.row, w.data, w.volume.Label)
		p.sheet.Predicted(r)
	}
	item.Prediction = &Prediction{
		Class: r.Class, Name: r.Name, Score: r.Score, TopK: r.TopK, Label: r.Label, Unfamiliar: r.Unfamiliar,
	}
	return item
}

// draw writes the picture, if one is wanted and a sample was classified.
func (p *predictor) draw(ctx context.Context, path string, inputs []input.Input) error {
	if path == "" || p.sheet.Len() == 0 {
		return nil
	}
	title := app.Count(len(inputs), "input")
	if len(inputs) == 1 {
		title = filepath.Base(inputs[0].String())
	}
	below := app.Count(p.sheet.Len(), "sample")
	if classified := p.done - p.failed; classified > p.sheet.Len() {
		below = fmt.Sprintf("the first %d of %s", p.sheet.Len(), app.Count(classified, "sample"))
	}
	return p.sheet.Write(ctx, p.app, path, title, below)
}
