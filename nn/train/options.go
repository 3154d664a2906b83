package train

import (
	"fmt"
	"maps"
	"time"

	"github.com/voxelstream/voxelstream/nn"
)

// Options configures Fit; the fields correspond to the arguments of Keras's fit and its callbacks.
type Options struct {
	Epochs    int
	BatchSize int
	// ValidationSplit is the fraction of the rows held out for validation, taken from the end before any shuffling:
	// at least 0 and below 1.
	ValidationSplit float64
	// Validation is labelled data to validate on, in place of a part of the rows. It may be nil.
	Validation Rows
	// Group is the number of consecutive rows that the split keeps together. 0 and 1 split at any row, as Keras
	// does.
	Group int
	// Loss defaults to cross-entropy: categorical, or binary for a single output.
	Loss Loss
	// ClassWeight is the weight of each class in the training loss; nil weighs all classes equally.
	ClassWeight []float64
	// Optimizer must be of the same model; nil means Adam with LearningRate.
	Optimizer    *Optimizer
	LearningRate float64
	Shuffle      bool
	// Augmentation describes how [Varied] rows differ from epoch to epoch. It is recorded in the history, and must be
	// unchanged to resume.
	Augmentation string
	Seed         uint64
	Threads      int
	// Memory limits the bytes of rows loaded at once, for rows that are not already in memory; 0 means 256 MiB.
	Memory int64
	// Without names optimization passes to disable.
	Without []string
	// EarlyStopping and Plateau are disabled if nil.
	EarlyStopping *EarlyStopping
	Plateau       *ReduceOnPlateau
	// Checkpoint configures checkpoints, from which training can resume.
	Checkpoint Checkpointing
	// ValidationRow, if not nil, is called for each validation row after an epoch, in order, before Progress reports
	// its end.
	ValidationRow func(row, class int, confidence float64)
	// Progress, if not nil, is called after each step and after each epoch (Done). An error from it ends the
	// training.
	Progress func(Progress) error
}

// Checkpointing configures where and how often the training state is stored. It is always stored after each epoch
// and when ctx is cancelled.
type Checkpointing struct {
	// Path is the file; empty disables checkpoints.
	Path string
	// Resume continues from the file if it exists.
	Resume bool
	// Steps and Every are additional intervals at which to store a checkpoint, in steps and time; 0 disables
	// either.
	Steps uint64
	Every time.Duration
	// Settings must be unchanged to resume; keys are names. Fit adds its own options and the data.
	Settings map[string]string
}

// Progress reports the progress of training.
type Progress struct {
	Epoch, Epochs int // Epoch counts from 1
	Row, Rows     int
	Step          uint64
	Loss          float64
	Accuracy      float64
	LearningRate  float64
	// Done marks the end of an epoch. Validated means that the validation metrics are set, Best that the epoch is
	// the best so far according to EarlyStopping.
	Done, Validated, Best bool
	ValLoss, ValAccuracy  float64
	// ValAUC is set if it is monitored.
	ValAUC float64
	// History holds all epochs so far; it is set at the end of an epoch.
	History *History
	// Elapsed is the time since Fit began.
	Elapsed time.Duration
}

// figure returns the value of a monitored metric.
func (p *Progress) figure(monitor string) float64 {
	switch monitor {
	case "accuracy":
		return p.Accuracy
	case "loss":
		return p.Loss
	case "val_accuracy":
		return p.ValAccuracy
	case monitorAUC:
		return p.ValAUC
	}
	return p.ValLoss
}

// History holds one value per epoch, like Keras's history. Training metrics are running means over the epoch's
// batches in training mode. Validation metrics are computed after the epoch in inference mode.
type History struct {
	Loss        []float64 `json:"loss"`
	Accuracy    []float64 `json:"accuracy"`
	ValLoss     []float64 `json:"val_loss,omitempty"`
	ValAccuracy []float64 `json:"val_accuracy,omitempty"`
	// ValAUC is the mean area under the curve of the classes. It is empty unless it is monitored.
	ValAUC []float64 `json:"val_auc,omitempty"`
	// LearningRate is the learning rate of the epoch's last step.
	LearningRate []float64 `json:"learning_rate"`
	// Augmentation is that of the options.
	Augmentation string `json:"augmentation,omitempty"`
	// Stopped means that EarlyStopping ended the training. BestEpoch is its best epoch, counted from 1.
	Stopped   bool `json:"-"`
	BestEpoch int  `json:"-"`
	// SamplesPerSecond is the throughput of the training steps alone.
	SamplesPerSecond float64 `json:"-"`
}

func (h *History) add(p *Progress, auc bool) {
	h.Loss, h.Accuracy = append(h.Loss, p.Loss), append(h.Accuracy, p.Accuracy)
	h.LearningRate = append(h.LearningRate, p.LearningRate)
	if p.Validated {
		h.ValLoss, h.ValAccuracy = append(h.ValLoss, p.ValLoss), append(h.ValAccuracy, p.ValAccuracy)
	}
	if p.Validated && auc {
		h.ValAUC = append(h.ValAUC, p.ValAUC)
	}
}

// monitorAUC is the metric that is computed only if it is monitored, because it keeps all predictions.
const monitorAUC = "val_auc"

// auc reports whether monitorAUC is monitored.
func (o *Options) auc() bool {
	return o.EarlyStopping != nil && o.EarlyStopping.Monitor == monitorAUC ||
		o.Plateau != nil && o.Plateau.Monitor == monitorAUC
}

func (o *Options) check(validated bool) error {
	if o.Epochs < 1 || o.BatchSize < 1 || o.ValidationSplit < 0 || o.ValidationSplit >= 1 {
		return fmt.Errorf("found %d epochs, batch size %d, validation split %g; want at least 1, at least 1, and at "+
			"least 0 and below 1", o.Epochs, o.BatchSize, o.ValidationSplit)
	}
	if e := o.EarlyStopping; e != nil {
		if err := checkMonitor(e.Monitor, validated); err != nil {
			return fmt.Errorf("early stopping: %w", err)
		}
	}
	if p := o.Plateau; p != nil {
		if err := checkMonitor(p.Monitor, validated); err != nil {
			return fmt.Errorf("reduce on plateau: %w", err)
		}
		if p.Factor <= 0 || p.Factor >= 1 || p.Patience < 1 || o.Optimizer.Schedule != nil {
			return fmt.Errorf("reduce on plateau: found factor %g, patience %d, schedule %v; want a factor above 0 "+
				"and below 1, a patience of at least 1, and no learning rate schedule", p.Factor, p.Patience,
				o.Optimizer.Schedule != nil)
		}
	}
	return o.Optimizer.Check()
}

// settings returns, by name, everything except the rows that determines the resulting weights.
func (o *Options) settings(m *nn.Model, loss Loss) map[string]string {
	s := map[string]string{
		"batch size": fmt.Sprint(o.BatchSize), "validation split": fmt.Sprint(o.ValidationSplit),
		"rows kept together": fmt.Sprint(max(1, o.Group)),
		"loss":               fmt.Sprintf("%s %+v", loss.Name(), loss), "class weights": fmt.Sprint(o.ClassWeight),
		"optimizer": o.Optimizer.Rule.Class() + " " + text(o.Optimizer.Config()), "shuffle": fmt.Sprint(o.Shuffle),
		"seed":                fmt.Sprint(o.Seed),
		"passes switched off": fmt.Sprint(o.Without), "early stopping": text(o.EarlyStopping),
		"reduce on plateau":           text(o.Plateau),
		"model and its first weights": fmt.Sprintf("%016x", digestModel(m, o.Optimizer)),
		"first step":                  fmt.Sprint(o.Optimizer.Iterations),
	}
	if o.Augmentation != "" {
		s["augmentation"] = o.Augmentation
	}
	maps.Copy(s, o.Checkpoint.Settings)
	return s
}

// rowSettings returns the properties of the rows that determine the resulting weights.
func rowSettings(rows Rows, o *Options) (map[string]string, error) {
	if o.Checkpoint.Path == "" {
		return nil, nil
	}
	digest, err := rows.Digest()
	if err != nil {
		return nil, err
	}
	s := map[string]string{"rows": fmt.Sprint(rows.Len()), "data": fmt.Sprintf("%016x", digest)}
	if o.Validation != nil {
		digest, err := o.Validation.Digest()
		if err != nil {
			return nil, err
		}
		s["validation data"] = fmt.Sprintf("%016x", digest)
	}
	switch rows.(type) {
	case *Data, Varied: // shuffled as a whole
	default:
		s["memory for rows"] = fmt.Sprint(o.Memory)
	}
	return s, nil
}
