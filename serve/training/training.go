// Package training shows a training to browsers: its progress, its curves and the rows that the network gets most
// wrong. The training may be in progress, or be read from the file of its history.
package training

import (
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/voxelstream/voxelstream/nn/train"
	"github.com/voxelstream/voxelstream/serve/frame"
	"github.com/voxelstream/voxelstream/serve/live"
	"github.com/voxelstream/voxelstream/serve/reply"
	"github.com/voxelstream/voxelstream/voxelize"
)

// States of a training.
const (
	Running = "running"
	Done    = "done"
	// Stopped trainings ended early: by an interrupt, or because the metric no longer improved.
	Stopped = "stopped"
	Failed  = "failed"
)

// Limits.
const (
	// MaxWrong is the maximum number of wrong rows, and maxParts that of the bytes of their volumes.
	MaxWrong = 12
	maxParts = 1 << 20
	// maxHistory is the maximum number of epochs that are sent. Of more, some are left out.
	maxHistory = 2000
	// pushEvery is the time between two frames, endEvery that between those at the ends of epochs.
	pushEvery = time.Second
	endEvery  = 250 * time.Millisecond
)

// State is the answer of GET /api/train, and the header of frames of type "train".
type State struct {
	Type   string `json:"type"` // "train"
	State  string `json:"state"`
	Epoch  int    `json:"epoch"` // from 1
	Epochs int    `json:"epochs"`
	// Row counts the rows of the epoch that were trained on.
	Row  int `json:"row"`
	Rows int `json:"rows"`
	// RowsPerSecond includes the time of validation. ETASeconds is the time until the last epoch ends; 0 if unknown.
	RowsPerSecond  float64 `json:"rows_per_second,omitempty"`
	ETASeconds     float64 `json:"eta_seconds,omitempty"`
	ElapsedSeconds float64 `json:"elapsed_seconds,omitempty"`
	// LearningRate, Loss and Accuracy are those of the current epoch so far.
	LearningRate *float64 `json:"learning_rate,omitempty"`
	Loss         float64  `json:"loss,omitempty"`
	Accuracy     *float64 `json:"accuracy,omitempty"`
	// History has the epochs that have ended. If there are too many, it leaves out some at equal distances.
	History []Epoch `json:"history"`
	// Best is the best epoch so far, if the training chooses one.
	Best int `json:"best,omitempty"`
	// Wrong are the rows that the network is most sure of without being right, surest first, after epoch WrongEpoch.
	// They are rows of the validation data, or of the training data if WrongOf is "training".
	Wrong      []Wrong `json:"wrong,omitempty"`
	WrongEpoch int     `json:"wrong_epoch,omitempty"`
	WrongOf    string  `json:"wrong_of,omitempty"`
	// Model is the name of the network in /api/explain, and Classes are the names of its classes, or their numbers.
	Model   string   `json:"model,omitempty"`
	Classes []string `json:"classes,omitempty"`
	// Log is the name of the file that the training was read from.
	Log   string `json:"log,omitempty"`
	Error string `json:"error,omitempty"`
}

// FrameType returns the type of frames of a training.
func (State) FrameType() string { return "train" }

// Epoch has the metrics of an epoch. Those that are unknown are nil.
type Epoch struct {
	Epoch        int      `json:"epoch"`
	Loss         float64  `json:"loss"`
	Accuracy     *float64 `json:"accuracy,omitempty"`
	ValLoss      *float64 `json:"val_loss,omitempty"`
	ValAccuracy  *float64 `json:"val_accuracy,omitempty"`
	LearningRate *float64 `json:"learning_rate,omitempty"`
}

// Wrong is a row with a wrong class.
type Wrong struct {
	Row       int     `json:"row"`
	EventID   string  `json:"event_id,omitempty"`
	Label     int     `json:"label"`
	LabelName string  `json:"label_name,omitempty"`
	Class     int     `json:"class"`
	Name      string  `json:"name,omitempty"`
	Score     float64 `json:"score"`
	// Part is the name of the part with the volume (D, H, W, C), Shape its description. Both are empty if the volumes
	// were too large together.
	Part  string        `json:"part,omitempty"`
	Shape *frame.Volume `json:"volume,omitempty"`

	Volume voxelize.Volume `json:"-"`
}

// Source has the state of a training with the volumes of its wrong rows, which may be nil.
type Source interface {
	State() (State, *frame.Payload, error)
}

// Register adds GET /api/train. It answers with a frame of type "train", or with its header as JSON if the request
// accepts that and not everything. handle is like [http.ServeMux.Handle].
func Register(s Source, handle func(pattern string, h http.Handler)) {
	handle("GET /api/train", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		state, parts, err := s.State()
		if err != nil {
			reply.Fail(w, err)
			return
		}
		w.Header().Set("Vary", "Accept")
		if strings.HasPrefix(r.Header.Get("Accept"), "application/json") {
			reply.JSON(w, http.StatusOK, state)
			return
		}
		b, err := frame.Encode(state, parts)
		if err != nil {
			reply.Fail(w, err)
			return
		}
		w.Header().Set("Content-Type", frame.ContentType)
		w.Header().Set("Cache-Control", "no-store")
		_, _ = w.Write(b) // the client may be gone
	}))
}

// Board is a training in progress. It is safe for concurrent use.
type Board struct {
	hub *live.Hub

	mu     sync.Mutex
	state  State
	parts  *frame.Payload
	pushed time.Time
	// first is the progress from which the rate is measured: a resumed training begins in the middle.
	first *train.Progress
}

// NewBoard returns a board that pushes frames to a hub.
func NewBoard(hub *live.Hub) *Board {
	return &Board{hub: hub, state: State{Type: "train", State: Running, History: []Epoch{}}}
}

// State returns the state.
func (b *Board) State() (State, *frame.Payload, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.state, b.parts, nil
}

// Progress takes a report of a training.
func (b *Board) Progress(p train.Progress) {
	after := pushEvery
	if p.Done {
		after = endEvery
	}
	b.update(after, func(s *State) {
		s.Epoch, s.Epochs, s.Row, s.Rows = p.Epoch, p.Epochs, p.Row, p.Rows
		s.LearningRate, s.Loss, s.Accuracy = &p.LearningRate, p.Loss, &p.Accuracy
		s.ElapsedSeconds = p.Elapsed.Seconds()
		if b.first == nil {
			b.first = &p
		}
		rows := rowsOf(&p) - rowsOf(b.first)
		if took := (p.Elapsed - b.first.Elapsed).Seconds(); rows > 0 && took > 0 {
			s.RowsPerSecond = float64(rows) / took
			s.ETASeconds = float64(p.Epochs*p.Rows-rowsOf(&p)) / s.RowsPerSecond
		}
		if !p.Done {
			return
		}
		s.History = epochs(p.History)
		if p.Best {
			s.Best = p.Epoch
		}
	})
}

// rowsOf returns the number of rows since the first epoch.
func rowsOf(p *train.Progress) int { return (p.Epoch-1)*p.Rows + p.Row }

// Describe sets the name of the network and those of its classes.
func (b *Board) Describe(model string, classes []string) {
	b.update(pushEvery, func(s *State) { s.Model, s.Classes = model, classes })
}

// Wrong sets the wrong rows of an epoch, surest first. of is "validation" or "training".
func (b *Board) Wrong(epoch int, of string, rows []Wrong) {
	parts := &frame.Payload{}
	for i := range rows {
		w := &rows[i]
		name := "volume:" + w.Volume.ID.String()
		if size := 8 * ((len(w.Volume.Index) + 4*len(w.Volume.Values) + 7) / 8); parts.Size()+size > maxParts {
			continue
		}
		w.Part, w.Shape = name, parts.AddCells(name, &w.Volume)
	}
	b.update(pushEvery, func(s *State) {
		s.Wrong, s.WrongEpoch, s.WrongOf = rows, epoch, of
		b.parts = parts
	})
}

// End records the end of a training. err may be nil.
func (b *Board) End(state string, err error) {
	b.update(0, func(s *State) {
		s.State, s.ETASeconds = state, 0
		if err != nil {
			s.Error = err.Error()
		}
	})
}

// update changes the state, and pushes it if some time has passed since the last push.
func (b *Board) update(after time.Duration, f func(*State)) {
	b.mu.Lock()
	f(&b.state)
	now := time.Since(b.pushed) >= after
	if now {
		b.pushed = time.Now()
	}
	state, parts := b.state, b.parts
	b.mu.Unlock()
	if now && b.hub.Watched() {
		b.hub.Push(state, parts)
	}
}

// epochs converts a history.
func epochs(h *train.History) []Epoch {
	n := len(h.Loss)
	step := max(1, (n+maxHistory-1)/maxHistory)
	out := []Epoch{}
	for i := (n - 1) % step; i < n; i += step { // the last one is among them
		out = append(out, Epoch{
			Epoch: i + 1, Loss: h.Loss[i], Accuracy: at(h.Accuracy, i), LearningRate: at(h.LearningRate, i),
			ValLoss: at(h.ValLoss, i), ValAccuracy: at(h.ValAccuracy, i),
		})
	}
	return out
}

// at returns element i of x, or nil if there is none.
func at(x []float64, i int) *float64 {
	if i >= len(x) {
		return nil
	}
	v := x[i]
	return &v
}
