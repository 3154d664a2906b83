package v1

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"github.com/voxelstream/voxelstream/classify"
	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/formats"
	"github.com/voxelstream/voxelstream/internal/arrowmeta"
	"github.com/voxelstream/voxelstream/internal/option"
	"github.com/voxelstream/voxelstream/internal/unpack"
	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/serve/classifier"
	"github.com/voxelstream/voxelstream/serve/models"
	"github.com/voxelstream/voxelstream/voxelize"
	"github.com/voxelstream/voxelstream/voxelize/volarrow"
)

// together is the number of volumes that are classified with one call. batchCells limits their cells.
const (
	together   = 64
	batchCells = 1 << 22
)

// work is one request.
type work struct {
	api   *API
	model *classifier.Model
	out   *writer
	query query
	dir   string // of the uploaded files

	waiting []*item // in order; those without err have a volume
	cells   int
	seen    int
}

// item is one volume of an answer, or why there is none.
type item struct {
	id     record.ID
	volume *voxelize.Volume
	sample *ingest.Sample // nil unless frames are wanted
	read   time.Time
	result record.Classification
	err    error
}

// errEnough ends reading when the limit of items is reached.
var errEnough = errors.New("enough items")

// path classifies the samples of a file or folder.
func (w *work) path(ctx context.Context, path string) (err error) {
	v, err := voxelize.New(w.model.Input.Options(w.api.o.Voxelize))
	if err != nil {
		return refused(http.StatusBadRequest, "the settings do not fit the model: %w", err)
	}
	src, err := formats.Open(ctx, path, w.reading())
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return refused(http.StatusUnprocessableEntity, "%s", w.text(err))
	}
	defer func() { err = errors.Join(err, src.Close()) }()
	for {
		s, err := src.Read(ctx)
		it := &item{id: s.ID, read: time.Now()}
		failed, one := errors.AsType[*ingest.ItemError](err)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, io.EOF):
			return w.end(ctx)
		case one:
			it.id, it.err = failed.ID, failed.Err
		case err != nil && w.seen == 0:
			return refused(http.StatusUnprocessableEntity, "%s", w.text(err))
		case err != nil: // what is whole of a damaged file is classified
			if err := w.add(ctx, &item{err: err}); err != nil && !errors.Is(err, errEnough) {
				return err
			}
			return w.end(ctx)
		default:
			volume, err := v.Volume(s)
			it.volume, it.err = &volume, err
			if w.query.volumes {
				it.sample = &s
			}
		}
		if err := w.add(ctx, it); errors.Is(err, errEnough) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// expansion is how much larger a file may be after decompression than a request.
const expansion = 16

// reading returns the options of the readers.
func (w *work) reading() ingest.Options {
	o := w.api.o.Reading.Clone()
	o.Noted, o.Skipped = nil, nil
	o.MaxBytes = min(o.WithDefaults().MaxBytes, option.Bytes(expansion*w.api.o.MaxBody))
	for _, r := range o.Readers {
		if s, ok := r.(*formats.Selection); ok && w.query.format != "" {
			s.Format = formats.Name(w.query.format)
		}
	}
	return o
}

// end classifies what waits. A request without items is an error.
func (w *work) end(ctx context.Context) error {
	if w.seen == 0 {
		return refused(http.StatusUnprocessableEntity, "found no sample in the file")
	}
	if only := w.waiting; w.seen == 1 && only[0].err != nil {
		return refused(http.StatusUnprocessableEntity, "%s", w.text(only[0].err))
	}
	return w.flush(ctx)
}

// arrow classifies the volumes of an Arrow stream with one or more record batches.
func (w *work) arrow(ctx context.Context, body io.Reader) error {
	account := w.api.o.Reading.Budget.Open(ctx)
	defer account.Close()
	data, err := unpack.ReadAll(body, -1, account)
	if err == nil {
		err = account.Take(int64(len(data))) // the volumes
	}
	if err != nil {
		return unread(err)
	}
	messages, err := arrowmeta.Split(data)
	if err != nil {
		return refused(http.StatusUnprocessableEntity, "Arrow stream: %w", err)
	}
	for _, m := range messages {
		b, err := volarrow.Decode(m, "upload")
		if err != nil {
			return refused(http.StatusUnprocessableEntity, "Arrow stream: %w", err)
		}
		for i := range b.Volumes {
			v := &b.Volumes[i]
			if err := w.add(ctx, &item{id: v.ID, volume: v, read: time.Now()}); errors.Is(err, errEnough) {
				return nil
			} else if err != nil {
				return err
			}
		}
	}
	return w.end(ctx)
}

// add adds an item, and classifies those that wait if there are enough. It returns errEnough after the last item that
// is wanted.
func (w *work) add(ctx context.Context, it *item) error {
	w.seen++
	w.waiting = append(w.waiting, it)
	if it.volume != nil {
		w.cells += len(it.volume.Index) + len(it.volume.Values)
	}
	last := w.seen == w.query.limit
	if last || len(w.waiting) >= together || w.cells >= batchCells {
		if err := w.flush(ctx); err != nil {
			return err
		}
	}
	if last {
		return errEnough
	}
	return nil
}

// flush classifies the items that wait and writes them.
func (w *work) flush(ctx context.Context) error {
	var items []classify.Item
	var of []*item
	for _, it := range w.waiting {
		if it.err == nil {
			items, of = append(items, classify.Item{Volume: *it.volume, Read: it.read}), append(of, it)
		}
	}
	results, err := w.patiently(ctx, items)
	partial, some := errors.AsType[*pipeline.PartialError](err)
	if err != nil && !some {
		return err
	}
	for i, it := range of {
		if some && partial.Failed[i] != nil {
			it.err = partial.Failed[i]
			continue
		}
		it.result = results[i]
	}
	for _, it := range w.waiting {
		if it.err != nil {
			it.err = errors.New(w.text(it.err))
		}
		if err := w.out.item(it); err != nil {
			return err
		}
	}
	w.waiting, w.cells = w.waiting[:0], 0
	return w.out.flush()
}

// patience is the time after which a request gives up if the queue of the model stays full.
const patience = 20 * time.Second

// patiently classifies volumes. If the queue of the model is full, it waits, because the items before may have been
// answered already.
func (w *work) patiently(ctx context.Context, items []classify.Item) ([]record.Classification, error) {
	if len(items) == 0 {
		return nil, nil
	}
	end := time.Now().Add(patience)
	for {
		out, err := w.model.Classify(ctx, items)
		e, ok := errors.AsType[*models.Error](err)
		if !ok || e.Reason != models.Overloaded || !w.out.begun || time.Now().After(end) {
			return out, err
		}
		select {
		case <-time.After(min(e.RetryAfter, time.Second)):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// text returns the text of an error without the temporary folder.
func (w *work) text(err error) string {
	text := err.Error()
	if w.dir != "" {
		text = strings.ReplaceAll(text, w.dir+string(filepath.Separator), "")
		text = strings.ReplaceAll(text, w.dir, "the upload")
	}
	return string(bytes.ToValidUTF8([]byte(text), []byte("?")))
}
