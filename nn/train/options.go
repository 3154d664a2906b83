package train

import (
	"fmt"
	"maps"
	"time"

	"github.com/voxelstream/voxelstream/nn"
)

// Options are those of Keras's fit and of its callbacks.
type Options struct {
	Epochs    int
	BatchSize int
	// ValidationSplit is the share of the rows, the last ones before any shuffling, that is kept to validate: 0 up to, not including, 1.
	ValidationSplit float64
	// Group is how many successive rows belong together: the split does not part them. 0 and 1 split anywhere, as Keras does.
	Group int
	// Loss is cross-entropy unless another is given: categorical, or binary of one output.
	Loss Loss
	// ClassWeight is what the rows of each class count in the loss of training; nil: all the same.
	ClassWeight []float64
	// Optimizer is of the same model; nil stands for Adam with LearningRate.
	Optimizer    *Optimizer
	LearningRate float64
	Shuffle      bool
	Seed         uint64
	Threads      int
	// Memory bounds the bytes of rows that are held at once where they are not in memory already; 0: 256 MiB.
	Memory int64
	// Without switches optimisation passes off by name.
	Without []string
	// EarlyStopping and Plateau are nil where they are not wanted.
	EarlyStopping *EarlyStopping
	Plateau       *ReduceOnPlateau
	// Checkpoint says where training is stored, to go on later.
	Checkpoint Checkpointing
	// Progress, where set, is called after each step and after each epoch (Done). An error ends the training.
	Progress func(Progress) error
}

// Checkpointing says where and how often the state of training is stored: always after each epoch and when ctx ends.
type Checkpointing struct {
	// Path is the file; empty: no checkpoints.
	Path string
	// Resume goes on from the file, where there is one.
	Resume bool
	// Steps and Every store it also after so many steps, and after so much time; 0: not so.
	Steps uint64
	Every time.Duration
	// Settings are what must be the same to go on, by name; Fit adds its own options and the data.
	Settings map[string]string
}

// Progress says where training is.
type Progress struct {
	Epoch, Epochs int // Epoch counts from 1
	Row, Rows     int
	Step          uint64
	Loss          float64
	Accuracy      float64
	LearningRate  float64
	// Done marks the end of an epoch; the validation figures are set where there is validation, Best where EarlyStopping calls it the best so far.
	Done, Validated, Best bool
	ValLoss, ValAccuracy  float64
	// History is what is known of all epochs so far, at the end of one.
	History *History
	// Elapsed is the time since Fit began.
	Elapsed time.Duration
}

// figure is what a monitor watches.
func (p *Progress) figure(monitor string) float64 {
	switch monitor {
	case "accuracy":
		return p.Accuracy
	case "loss":
		return p.Loss
	case "val_accuracy":
		return p.ValAccuracy
	}
	return p.ValLoss
}

// History holds one figure an epoch, as Keras's history: running means over the epoch's batches, in training mode; the validation figures are
// those after the epoch, in inference mode.
type History struct {
	Loss        []float64 `json:"loss"`
	Accuracy    []float64 `json:"accuracy"`
	ValLoss     []float64 `json:"val_loss,omitempty"`
	ValAccuracy []float64 `json:"val_accuracy,omitempty"`
	// LearningRate is that of the epoch's last step.
	LearningRate []float64 `json:"learning_rate"`
	// Stopped says that EarlyStopping ended the training, BestEpoch which epoch it calls the best, from 1.
	Stopped   bool `json:"-"`
	BestEpoch int  `json:"-"`
	// SamplesPerSecond is the rate of the training steps alone.
	SamplesPerSecond float64 `json:"-"`
}

func (h *History) add(p *Progress) {
	h.Loss, h.Accuracy = append(h.Loss, p.Loss), append(h.Accuracy, p.Accuracy)
	h.LearningRate = append(h.LearningRate, p.LearningRate)
	if p.Validated {
		h.ValLoss, h.ValAccuracy = append(h.ValLoss, p.ValLoss), append(h.ValAccuracy, p.ValAccuracy)
	}
}

func (o *Options) check(validated bool) error {
	if o.Epochs < 1 || o.BatchSize < 1 || o.ValidationSplit < 0 || o.ValidationSplit >= 1 {
		return fmt.Errorf("got %d epochs, batch size %d, validation split %g; want at least 1, at least 1, and 0 up to below 1", o.Epochs, o.BatchSize, o.ValidationSplit)
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
			return fmt.Errorf("reduce on plateau: got factor %g and patience %d, schedule %v; want above 0 and below 1, at least 1, and no schedule", p.Factor, p.Patience, o.Optimizer.Schedule != nil)
		}
	}
	return o.Optimizer.Check()
}

// settings are what determines the weights besides the rows, by name.
func (o *Options) settings(m *nn.Model, loss Loss) map[string]string {
	s := map[string]string{
		"batch size": fmt.Sprint(o.BatchSize), "validation split": fmt.Sprint(o.ValidationSplit), "rows kept together": fmt.Sprint(max(1, o.Group)),
		"loss": fmt.Sprintf("%s %+v", loss.Name(), loss), "class weights": fmt.Sprint(o.ClassWeight),
		"optimizer": o.Optimizer.Rule.Class() + " " + text(o.Optimizer.Config()), "shuffle": fmt.Sprint(o.Shuffle), "seed": fmt.Sprint(o.Seed),
		"passes switched off": fmt.Sprint(o.Without), "early stopping": text(o.EarlyStopping), "reduce on plateau": text(o.Plateau),
		"model and its first weights": fmt.Sprintf("%016x", digestModel(m, o.Optimizer)), "first step": fmt.Sprint(o.Optimizer.Iterations),
	}
	maps.Copy(s, o.Checkpoint.Settings)
	return s
}

// rowSettings are what determines the weights of the rows.
func rowSettings(rows Rows, o *Options) (map[string]string, error) {
	if o.Checkpoint.Path == "" {
		return nil, nil
	}
	digest, err := rows.Digest()
	if err != nil {
		return nil, err
	}
	s := map[string]string{"rows": fmt.Sprint(rows.Len()), "data": fmt.Sprintf("%016x", digest)}
	if _, ok := rows.(*Data); !ok {
		s["memory for rows"] = fmt.Sprint(o.Memory)
	}
	return s, nil
}
