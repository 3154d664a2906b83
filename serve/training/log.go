package training

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"

	"github.com/voxelstream/voxelstream/internal/regular"
	"github.com/voxelstream/voxelstream/nn/train"
	"github.com/voxelstream/voxelstream/serve/frame"
	"github.com/voxelstream/voxelstream/serve/reply"
)

// maxLog is the maximum size of a history file in bytes, maxRows that of its epochs.
const (
	maxLog  = 64 << 20
	maxRows = 1 << 20
)

// Log is a training whose history is in a CSV file, as written by train --history and by Keras's CSVLogger. The file is
// read again when it changes, so it may belong to a training that another process runs. It is safe for concurrent use.
type Log struct {
	path string

	mu      sync.Mutex
	read    fs.FileInfo
	history *train.History
}

// NewLog returns the log in a file.
func NewLog(path string) *Log { return &Log{path: path} }

// State reads the file.
func (l *Log) State() (State, *frame.Payload, error) {
	h, err := l.load()
	if err != nil {
		return State{}, nil, &reply.Error{Status: http.StatusNotFound, Err: err}
	}
	n := len(h.Loss)
	s := State{Type: "train", State: Done, Epoch: n, Epochs: n, History: epochs(h), Log: filepath.Base(l.path)}
	last := s.History[len(s.History)-1]
	s.Loss, s.Accuracy, s.LearningRate = last.Loss, last.Accuracy, last.LearningRate
	return s, nil, nil
}

func (l *Log) load() (*train.History, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f, info, err := regular.Open(l.path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // opened for reading
	switch {
	case info.Size() > maxLog:
		return nil, fmt.Errorf("%s: want a file of at most %d bytes", l.path, maxLog)
	case l.read != nil && os.SameFile(info, l.read) && info.Size() == l.read.Size() &&
		info.ModTime().Equal(l.read.ModTime()):
		return l.history, nil
	}
	h, err := parse(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", l.path, err)
	}
	l.read, l.history = info, h
	return h, nil
}

// parse reads a history. Columns may be in any order; loss is required, others may be missing.
func parse(r io.Reader) (*train.History, error) {
	c := csv.NewReader(r)
	head, err := c.Read()
	if err != nil {
		return nil, err
	}
	head = slices.Clone(head)
	h := &train.History{}
	columns := map[string]*[]float64{
		"loss": &h.Loss, "accuracy": &h.Accuracy, "val_loss": &h.ValLoss, "val_accuracy": &h.ValAccuracy,
		"learning_rate": &h.LearningRate, "val_auc": &h.ValAUC,
	}
	if !slices.Contains(head, "loss") {
		return nil, fmt.Errorf("found columns %.100q, want loss and others of train --history", head)
	}
	c.ReuseRecord = true
	for line := 2; ; line++ {
		row, err := c.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if len(h.Loss) == maxRows {
			return nil, fmt.Errorf("found more than %d epochs", maxRows)
		}
		for i, text := range row {
			to := columns[head[i]]
			if to == nil || text == "" || text == "NA" { // CSVLogger writes NA for what is missing
				continue
			}
			x, err := strconv.ParseFloat(text, 64)
			if err != nil || math.IsInf(x, 0) || math.IsNaN(x) {
				return nil, fmt.Errorf("line %d: %s: found %.40q, want a number", line, head[i], text)
			}
			*to = append(*to, x)
		}
	}
	n := len(h.Loss)
	if n == 0 {
		return nil, errors.New("found no epochs")
	}
	for name, to := range columns {
		if len(*to) != n && len(*to) != 0 {
			return nil, fmt.Errorf("%s: found %d numbers in %d epochs", name, len(*to), n)
		}
	}
	return h, nil
}
