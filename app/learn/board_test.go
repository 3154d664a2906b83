package learn

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/apptest"
	"github.com/voxelstream/voxelstream/app/files"
	"github.com/voxelstream/voxelstream/nn/train"
	"github.com/voxelstream/voxelstream/serve/explain"
	"github.com/voxelstream/voxelstream/serve/frame"
	"github.com/voxelstream/voxelstream/serve/training"
)

// TestBoard watches trainings with a validation split, with validation data of their own and without validation, as a
// browser does.
func TestBoard(t *testing.T) {
	apptest.NeedHDF5(t)
	dir := t.TempDir()
	archive := filepath.Join(dir, "d.h5")
	a := apptest.New(t, "train.epochs", "3", "train.batch_size", "8", "http.listen", ":0", "train.validation_split",
		"0.25")
	if _, err := files.Generate(t.Context(), a, files.GenerateOptions{
		Count: 40, Grid: 16, Layout: "vectors", Out: archive,
	}); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		split      string
		validation []string
		of         string
		first      int // of the rows that can be wrong
		rows       int
	}{
		"split":      {"0.25", nil, "validation", 30, 10},
		"validation": {"0", []string{archive}, "validation", 0, 40},
		"without":    {"0", nil, "training", 0, 40},
	} {
		t.Run(name, func(t *testing.T) {
			a := apptest.New(t, "train.epochs", "3", "train.batch_size", "8", "http.listen", ":0",
				"train.validation_split", c.split)
			err := a.Serve(t.Context(), func(ctx context.Context, a *app.Env) error {
				asked := &asker{t: t, a: a, model: name}
				a.Progress = asked
				w := watch(ctx, t, a)
				r, err := Train(ctx, a, []string{archive}, TrainOptions{
					Out: filepath.Join(dir, name+".safetensors"), Classes: 10, Validation: c.validation,
				})
				if err != nil {
					return err
				}
				last, s := w(training.Done)
				if s.Epoch != 3 || s.Row != s.Rows || len(s.History) != 3 || s.History[2].Loss != r.History.Loss[2] ||
					s.WrongOf != c.of || s.WrongEpoch != 3 || len(s.Wrong) == 0 || len(s.Wrong) > training.MaxWrong {
					t.Errorf("found %+v", s)
				}
				if (s.History[2].ValLoss != nil) != (c.of == "validation") {
					t.Errorf("found %+v", s.History)
				}
				if asked.epochs != 3 {
					t.Errorf("asked about %d epochs", asked.epochs)
				}
				checkWrong(t, last, s, archive, r.Model, c.first, c.rows)
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
}

// watch connects to the hub and returns a function that waits for a frame with a state.
func watch(ctx context.Context, t *testing.T, a *app.Env) func(want string) (*frame.Message, training.State) {
	t.Helper()
	c, answer, err := websocket.Dial(ctx, "ws://"+a.HTTP.Addr()+"/live", nil)
	if err != nil {
		t.Fatal(err)
	}
	if answer.Body != nil {
		_ = answer.Body.Close()
	}
	t.Cleanup(func() { _ = c.CloseNow() })
	c.SetReadLimit(frame.MaxSize)
	if err := c.Write(ctx, websocket.MessageText, []byte(`{"type":"hello","streams":["*"]}`)); err != nil {
		t.Fatal(err)
	}
	return func(want string) (*frame.Message, training.State) {
		ctx, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		for {
			_, b, err := c.Read(ctx)
			if err != nil {
				t.Fatal(err)
			}
			m, err := frame.Decode(b)
			if err != nil {
				t.Fatal(err)
			}
			var s training.State
			if m.Type != s.FrameType() {
				continue
			}
			if err := m.Into(&s); err != nil {
				t.Fatal(err)
			}
			if s.State == want {
				return m, s
			}
		}
	}
}

// checkWrong compares wrong rows with the classifications of the trained model.
func checkWrong(t *testing.T, m *frame.Message, s training.State, archive, model string, first, rows int) {
	t.Helper()
	a := apptest.New(t, "model.path", model)
	_, scored, d, err := scoredData(t.Context(), a, model, []string{archive}, "")
	if err != nil {
		t.Fatal(err)
	}
	defer d.close() //nolint:errcheck // opened for reading
	classes := make([]int, len(d.labels))
	_, err = train.Evaluate(t.Context(), scored, d.rows(), train.EvaluateOptions{
		Row: func(row, class int, _ float64) { classes[row] = class },
	})
	if err != nil {
		t.Fatal(err)
	}
	last := 1.
	for _, w := range s.Wrong {
		if w.Row < first || w.Row >= first+rows || w.Label == w.Class || w.Class != classes[w.Row] ||
			w.Label != int(d.labels[w.Row]) || w.Score > last {
			t.Errorf("found %+v", w)
		}
		last = w.Score
		if w.Shape == nil || w.Shape.Palette != "Oranges" || w.Shape.Dims != [3]int{16, 16, 16} {
			t.Errorf("found volume %+v", w.Shape)
		}
		_, index, err := m.Part(w.Part, frame.U8)
		v, readErr := d.volume(w.Row)
		if err := errors.Join(err, readErr); err != nil || !slices.Equal(index, v.Index) || w.EventID != v.ID.String() {
			t.Errorf("row %d: found another volume (%v)", w.Row, err)
		}
	}
}

// asker asks about the training and its network after each epoch, before the next one begins.
type asker struct {
	t      *testing.T
	a      *app.Env
	model  string
	epochs int
}

func (k *asker) Bar(string) app.Bar { return k }

func (k *asker) Set(int64, int64, string) {}

func (k *asker) Done() {}

// Line is called at the end of an epoch.
func (k *asker) Line(string) {
	k.epochs++
	var s training.State
	k.get("/api/train", &s)
	if s.State != training.Running || s.Epoch != k.epochs || len(s.History) != k.epochs || s.RowsPerSecond <= 0 {
		k.t.Errorf("found %+v after epoch %d", s, k.epochs)
	}
	var g explain.Graph
	k.get("/api/graph?model="+s.Model, &g)
	if s.Model != k.model || len(s.Classes) != 10 || s.Classes[3] != "3" {
		k.t.Errorf("found model %s with classes %v", s.Model, s.Classes)
	}
	if want := fmt.Sprintf("epoch-%d", k.epochs); g.Version != want || len(g.Layers) < 5 {
		k.t.Errorf("found %+v, want %s", g, want)
	}
}

// get asks for JSON.
func (k *asker) get(path string, to any) {
	r, err := http.NewRequestWithContext(k.t.Context(), http.MethodGet, "http://"+k.a.HTTP.Addr()+path, nil)
	if err != nil {
		k.t.Fatal(err)
	}
	r.Header.Set("Accept", "application/json")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		k.t.Fatal(err)
	}
	b, err := io.ReadAll(answer.Body)
	err = errors.Join(err, answer.Body.Close(), json.Unmarshal(b, to))
	if err != nil || answer.StatusCode != http.StatusOK {
		k.t.Errorf("%s: found %d %.200s, %v", path, answer.StatusCode, b, err)
	}
}
