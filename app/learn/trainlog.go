package learn

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strconv"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/format"
	"github.com/voxelstream/voxelstream/nn/train"
	"github.com/voxelstream/voxelstream/nn/train/tensorboard"
)

// trainingLog reports training progress on the screen and in the files given by the options.
type trainingLog struct {
	env   *app.Env
	m     *nn.Model
	o     TrainOptions
	bar   app.Bar
	board []*tensorboard.Writer // for training and validation; created at the end of the first epoch
	begun bool
}

func newTrainingLog(a *app.Env, m *nn.Model, o TrainOptions) *trainingLog {
	return &trainingLog{env: a, m: m, o: o, bar: a.Bar("rows")}
}

// progress handles a progress report of Fit.
func (l *trainingLog) progress(p train.Progress) error {
	if l.o.Resume && !l.begun {
		if p.Step > 1 {
			l.env.Log.Info("resuming training", "checkpoint", l.o.Checkpoint, "epoch", p.Epoch, "step", p.Step)
		} else {
			l.env.Log.Info("no checkpoint to resume, starting from scratch", "checkpoint", l.o.Checkpoint)
		}
	}
	l.begun = true
	note := fmt.Sprintf("epoch %d/%d  loss %.4f  accuracy %.4f", p.Epoch, p.Epochs, p.Loss, p.Accuracy)
	if !p.Done {
		l.bar.Set(int64((p.Epoch-1)*p.Rows+p.Row), int64(p.Epochs*p.Rows), note)
		return nil
	}
	if p.Validated {
		note += fmt.Sprintf("  val_loss %.4f  val_accuracy %.4f", p.ValLoss, p.ValAccuracy)
	}
	if len(p.History.ValAUC) > 0 {
		note += fmt.Sprintf("  val_auc %.4f", p.ValAUC)
	}
	l.env.Line(fmt.Sprintf("%s  %.1f s", note, p.Elapsed.Seconds()))
	if l.o.History != "" {
		if err := ingest.WriteFile(l.o.History,
			func(w io.Writer) error { return writeHistory(w, p.History) }); err != nil {
			return err
		}
	}
	if l.o.Best != "" && p.Best {
		if err := format.Save(l.o.Best, l.m); err != nil {
			return err
		}
	}
	return l.tensorboard(p)
}

// tensorboard writes the same scalars as Keras's callback.
func (l *trainingLog) tensorboard(p train.Progress) error {
	if l.o.TensorBoard == "" {
		return nil
	}
	step := int64(p.Epoch - 1) // as Keras counts
	parts := []string{"train"}
	if p.Validated {
		parts = append(parts, "validation")
	}
	for _, part := range parts[len(l.board):] {
		w, err := tensorboard.Create(filepath.Join(l.o.TensorBoard, part), step)
		if err != nil {
			return err
		}
		l.board = append(l.board, w)
	}
	err := l.board[0].Write(step, tensorboard.Scalar{Tag: "epoch_loss", Value: p.Loss},
		tensorboard.Scalar{Tag: "epoch_accuracy", Value: p.Accuracy},
		tensorboard.Scalar{Tag: "epoch_learning_rate", Value: p.LearningRate})
	if p.Validated {
		err = errors.Join(err, l.board[1].Write(step, tensorboard.Scalar{Tag: "epoch_loss", Value: p.ValLoss},
			tensorboard.Scalar{Tag: "epoch_accuracy", Value: p.ValAccuracy}))
	}
	return err
}

func (l *trainingLog) close() error {
	l.bar.Done()
	var errs []error
	for _, w := range l.board {
		errs = append(errs, w.Close())
	}
	return errors.Join(errs...)
}

// writeHistory writes one line per epoch, with the columns of Keras's CSVLogger, and the area under the curve and the
// augmentation if there is one.
// Validation columns are empty without validation.
func writeHistory(w io.Writer, h *train.History) error {
	c := csv.NewWriter(w)
	rows := [][]string{{"epoch", "accuracy", "learning_rate", "loss", "val_accuracy", "val_loss"}}
	if len(h.ValAUC) > 0 {
		rows[0] = append(rows[0], "val_auc")
	}
	if h.Augmentation != "" {
		rows[0] = append(rows[0], "augmentation")
	}
	for i := range h.Loss {
		row := []string{
			strconv.Itoa(i + 1), number(h.Accuracy[i]), number(h.LearningRate[i]), number(h.Loss[i]), "",
			"",
		}
		if i < len(h.ValLoss) {
			row[4], row[5] = number(h.ValAccuracy[i]), number(h.ValLoss[i])
		}
		if i < len(h.ValAUC) {
			row = append(row, number(h.ValAUC[i]))
		}
		if h.Augmentation != "" {
			row = append(row, h.Augmentation)
		}
		rows = append(rows, row)
	}
	return c.WriteAll(rows)
}

func number(x float64) string { return strconv.FormatFloat(x, 'g', -1, 64) }
