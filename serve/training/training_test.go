package training

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/voxelstream/voxelstream/nn/train"
	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/serve/frame"
	"github.com/voxelstream/voxelstream/voxelize"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// get asks for the state of a source.
func get(t *testing.T, s Source, accept string) (status int, contentType string, body []byte) {
	t.Helper()
	mux := http.NewServeMux()
	Register(s, mux.Handle)
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/api/train", nil)
	r.Header.Set("Accept", accept)
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, r)
	body, err := io.ReadAll(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	return w.Code, w.Header().Get("Content-Type"), body
}

func state(t *testing.T, s Source) (out State) {
	t.Helper()
	status, contentType, body := get(t, s, "application/json")
	if err := json.Unmarshal(body, &out); err != nil || status != http.StatusOK || contentType != "application/json" {
		t.Fatalf("found %d %s %s, %v", status, contentType, body, err)
	}
	return out
}

func TestBoard(t *testing.T) {
	b := NewBoard(nil)
	if s := state(t, b); s.Type != "train" || s.State != Running || s.History == nil || len(s.History) != 0 {
		t.Errorf("found %+v", s)
	}
	p := train.Progress{Epoch: 2, Epochs: 4, Row: 20, Rows: 100, LearningRate: .5, Loss: 3, Accuracy: .25}
	p.Elapsed = 2 * time.Second
	b.Progress(p) // resumed in epoch 2
	p.Row, p.Elapsed = 60, 6*time.Second
	b.Progress(p)
	s := state(t, b)
	if s.Epoch != 2 || s.Epochs != 4 || s.Row != 60 || s.Rows != 100 || s.RowsPerSecond != 10 || s.ETASeconds != 24 ||
		s.ElapsedSeconds != 6 || *s.LearningRate != .5 || s.Loss != 3 || *s.Accuracy != .25 {
		t.Errorf("found %+v", s)
	}
	p.Row, p.Done, p.Best = 100, true, true
	p.History = &train.History{
		Loss: []float64{4, 3}, Accuracy: []float64{.1, .2}, LearningRate: []float64{1, .5}, ValLoss: []float64{5, 2},
		ValAccuracy: []float64{0, .3},
	}
	b.Progress(p)
	s = state(t, b)
	if e := s.History[1]; len(s.History) != 2 || s.Best != 2 || e.Epoch != 2 || e.Loss != 3 || *e.Accuracy != .2 ||
		*e.LearningRate != .5 || *e.ValLoss != 2 || *e.ValAccuracy != .3 {
		t.Errorf("found %+v", s)
	}
	b.End(Failed, errors.New("no space left"))
	if s := state(t, b); s.State != Failed || s.Error != "no space left" || s.ETASeconds != 0 {
		t.Errorf("found %+v", s)
	}
}

// TestWrong checks that volumes travel with the state, up to a limit.
func TestWrong(t *testing.T) {
	b := NewBoard(nil)
	indices := voxelize.Volume{
		ID: record.ID{Stream: "s", Seq: 1}, Dims: [3]int{1, 2, 3}, Index: []uint8{1, 2, 3, 4, 5, 6},
		Content: voxelize.PaletteContent("Oranges"),
	}
	large := voxelize.Volume{
		ID: record.ID{Stream: "s", Seq: 2}, Dims: [3]int{64, 64, 64}, Values: make([]float32, 64*64*64),
		Content: voxelize.FloatContent(1),
	}
	values := voxelize.Volume{
		ID: record.ID{Stream: "s", Seq: 3}, Dims: [3]int{1, 1, 2}, Values: []float32{1, 2, 3, 4},
		Content: voxelize.FloatContent(2),
	}
	b.Wrong(7, "validation", []Wrong{
		{Row: 1, Label: 2, Class: 3, Score: .9, Volume: indices},
		{Row: 2, Volume: large},
		{Row: 3, Volume: values},
	})
	status, contentType, body := get(t, b, "*/*")
	m, err := frame.Decode(body)
	if err != nil || status != http.StatusOK || contentType != frame.ContentType || m.Type != "train" {
		t.Fatalf("found %d %s, %v", status, contentType, err)
	}
	var s State
	if err := m.Into(&s); err != nil || s.WrongEpoch != 7 || s.WrongOf != "validation" || len(s.Wrong) != 3 {
		t.Fatalf("found %+v, %v", s, err)
	}
	p, bytes, err := m.Part(s.Wrong[0].Part, frame.U8)
	if err != nil || !reflect.DeepEqual(p.Shape, []int{1, 2, 3, 1}) || !reflect.DeepEqual(bytes, indices.Index) {
		t.Errorf("found %+v %v, %v", p, bytes, err)
	}
	if s.Wrong[1].Part != "" {
		t.Errorf("found part %s of a volume that is too large", s.Wrong[1].Part)
	}
	p, x, err := m.Floats(s.Wrong[2].Part)
	if err != nil || !reflect.DeepEqual(p.Shape, []int{1, 1, 2, 2}) || !reflect.DeepEqual(x, values.Values) {
		t.Errorf("found %+v %v, %v", p, x, err)
	}
}

func TestLongHistory(t *testing.T) {
	h := &train.History{}
	for i := range 4*maxHistory + 3 {
		h.Loss = append(h.Loss, float64(i))
	}
	e := epochs(h)
	if len(e) > maxHistory || len(e) < maxHistory/2 || e[len(e)-1].Epoch != len(h.Loss) || e[0].Accuracy != nil {
		t.Errorf("found %d epochs, the last is %d", len(e), e[len(e)-1].Epoch)
	}
}

func TestLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history.csv")
	l := NewLog(path)
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if status, _, body := get(t, l, ""); status != http.StatusNotFound ||
		!strings.Contains(string(body), "history.csv") {
		t.Errorf("found %d %s", status, body)
	}
	write("epoch,accuracy,learning_rate,loss,val_accuracy,val_loss\n1,.5,.1,2,,\n2,.75,.05,1.5,,\n")
	s := state(t, l)
	if s.State != Done || s.Epochs != 2 || s.Log != "history.csv" || s.Loss != 1.5 || *s.Accuracy != .75 ||
		*s.LearningRate != .05 || s.History[0].ValLoss != nil {
		t.Errorf("found %+v", s)
	}
	// As Keras's CSVLogger writes without a metric.
	write("epoch,loss,val_loss\n0,2,3\n1,1,2\n2,.5,1\n")
	s = state(t, l)
	if s.Epochs != 3 || s.Accuracy != nil || *s.History[2].ValLoss != 1 || s.History[2].ValAccuracy != nil {
		t.Errorf("found %+v", s)
	}
	for text, want := range map[string]string{
		"":                                   "EOF",
		"a,b\n1,2\n":                         "want loss",
		"epoch,loss\n":                       "no epochs",
		"epoch,loss\n1,x\n":                  `line 2: loss: found "x"`,
		"epoch,loss\n1,NaN\n":                "want a number",
		"epoch,loss\n1,2,3\n":                "wrong number of fields",
		"epoch,loss,accuracy\n1,2,3\n2,3,\n": "accuracy: found 1 numbers in 2 epochs",
	} {
		write(text)
		if status, _, body := get(t, l, ""); status != http.StatusNotFound ||
			!strings.Contains(unquoted(t, body), want) {
			t.Errorf("%q: found %d %s, want %q", text, status, body, want)
		}
	}
	write(fmt.Sprintf("epoch,loss\n%s", strings.Repeat("1,1\n", 10)))
	if s := state(t, l); s.Epochs != 10 {
		t.Errorf("found %+v", s)
	}
}

// unquoted returns the text of an error.
func unquoted(t *testing.T, body []byte) string {
	t.Helper()
	var e struct{ Error string }
	if err := json.Unmarshal(body, &e); err != nil {
		t.Fatalf("found %s: %v", body, err)
	}
	return e.Error
}
