package learn

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/nn/format/safetensors"
	"github.com/voxelstream/voxelstream/nn/train"
	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/serve/explain"
	"github.com/voxelstream/voxelstream/serve/reply"
	"github.com/voxelstream/voxelstream/serve/training"
)

// tried is the number of training rows that are classified after each epoch if there is no validation data.
const tried = 1000

// maxClasses is the maximum number of classes whose names are shown.
const maxClasses = 1000

// board shows a training on the HTTP listener, and explains the network as it was after the last epoch. A nil board
// does nothing.
type board struct {
	*training.Board
	tr        *trainer
	explainer *explain.Explainer

	data, validation *dataset // validation is nil if it is a part of data
	from             int      // the row of data that is the first one of the validation
	wrong            []training.Wrong

	mu      sync.Mutex
	epoch   int
	encoded []byte // the network after the epoch
	failed  error  // why it could not be encoded
	subject *explain.Subject
}

// newBoard returns the board of a training, or nil without a listener.
func newBoard(tr *trainer) *board {
	a := tr.env
	if a.HTTP == nil {
		return nil
	}
	b := &board{tr: tr, Board: training.NewBoard(a.Live)}
	b.explainer = explain.New(b.explained)
	b.explainer.Register(a.HTTP.Handle)
	training.Register(b, a.HTTP.Handle)
	a.Live.Describe("mode", func() any { return "train" })
	a.Live.Show("train", "why")
	return b
}

// close records the end of the training.
func (b *board) close(r *TrainResult, err error) {
	if b == nil {
		return
	}
	b.explainer.Close()
	switch {
	case errors.Is(err, app.ErrInterrupted), err == nil && r.Stopped:
		b.End(training.Stopped, nil)
	case err != nil:
		b.End(training.Failed, err)
	default:
		b.End(training.Done, nil)
	}
}

// begin sets the data of the training, and has it reported. validation may be nil, and data too for a stream.
func (b *board) begin(ctx context.Context, data, validation *dataset, o *train.Options) {
	if b == nil {
		return
	}
	b.data, b.validation = data, validation
	m := b.tr.model
	var classes []string
	for k := range min(m.ClassCount(), maxClasses) {
		classes = append(classes, cmp.Or(m.ClassName(k), strconv.Itoa(k)))
	}
	b.Describe(b.name(), classes)
	o.ValidationRow = b.row
	next := o.Progress
	o.Progress = func(p train.Progress) error {
		if b.validation == nil {
			b.from = p.Rows
		}
		if p.Done {
			if err := b.ended(ctx, &p); err != nil {
				return err
			}
		}
		b.Progress(p)
		return next(p)
	}
}

// row takes the predicted class of a row of the validation.
func (b *board) row(row, class int, confidence float64) {
	data := b.data
	if b.validation != nil {
		data = b.validation
	}
	row += b.from
	label := int(data.labels[row])
	if label == class {
		return
	}
	i, _ := slices.BinarySearchFunc(b.wrong, confidence, func(w training.Wrong, c float64) int {
		if w.Score >= c {
			return -1
		}
		return 1
	})
	if i < training.MaxWrong {
		b.wrong = slices.Insert(b.wrong, i, training.Wrong{Row: row, Label: label, Class: class, Score: confidence})
		b.wrong = b.wrong[:min(len(b.wrong), training.MaxWrong)]
	}
}

// ended shows the wrong rows of an epoch and keeps its network.
func (b *board) ended(ctx context.Context, p *train.Progress) error {
	b.keep(p.Epoch)
	if b.data == nil {
		return nil
	}
	of, data := "validation", b.data
	if b.validation != nil {
		data = b.validation
	}
	if !p.Validated {
		of, b.from = "training", 0
		rows := train.Part(b.data.rows(), 0, min(tried, p.Rows))
		_, err := train.Evaluate(ctx, b.tr.model, rows,
			train.EvaluateOptions{Threads: b.tr.options.Threads, Loss: b.tr.options.Loss, Row: b.row})
		if err != nil {
			return err
		}
	}
	for i := range b.wrong {
		w := &b.wrong[i]
		w.LabelName, w.Name = b.tr.model.ClassName(w.Label), b.tr.model.ClassName(w.Class)
		v, err := data.volume(w.Row)
		if err != nil {
			return err
		}
		w.Volume, w.EventID = v, v.ID.String()
	}
	b.Wrong(p.Epoch, of, b.wrong)
	b.wrong = nil
	return nil
}

// keep encodes the network, whose parameters change in the next epoch.
func (b *board) keep(epoch int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var w bytes.Buffer // another one each time: a decoded model may refer to its bytes
	b.failed = safetensors.Encode(&w, b.tr.model)
	b.epoch, b.encoded, b.subject = epoch, w.Bytes(), nil
}

// name returns the name of the network, which is that of its file.
func (b *board) name() string {
	return strings.TrimSuffix(filepath.Base(b.tr.o.Out), filepath.Ext(b.tr.o.Out))
}

// explained returns the network after the last epoch.
func (b *board) explained(text string) (explain.Subject, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	name, version := b.name(), fmt.Sprintf("epoch-%d", b.epoch)
	switch {
	case b.epoch == 0:
		return explain.Subject{}, reply.Errorf(http.StatusServiceUnavailable, "the first epoch has not ended yet")
	case b.failed != nil:
		return explain.Subject{}, reply.Errorf(http.StatusUnprocessableEntity, "%w", b.failed)
	case text != "" && text != name && text != name+"/"+version:
		return explain.Subject{}, explain.NotFound(text)
	}
	if b.subject == nil {
		m, err := safetensors.Decode(b.encoded)
		if err != nil {
			return explain.Subject{}, err
		}
		b.subject = &explain.Subject{Model: m, Info: record.Model{Name: name, Version: version}, Input: b.tr.input}
	}
	return *b.subject, nil
}
