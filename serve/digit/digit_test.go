package digit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/classify"
	"github.com/voxelstream/voxelstream/dataset/mnist3d"
	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/serve/classifier"
	"github.com/voxelstream/voxelstream/serve/frame"
	"github.com/voxelstream/voxelstream/voxelize"
)

// server answers for a model that takes palette indices of a size and says 7 of everything.
func server(t *testing.T, dims [3]int) func(body string) *httptest.ResponseRecorder {
	t.Helper()
	o := voxelize.DefaultOptions()
	o.Dims = dims
	in, err := classify.NewInput(o)
	if err != nil {
		t.Fatal(err)
	}
	m := &classifier.Model{
		Input: in, Classes: []string{"zero"},
		Classify: func(_ context.Context, items []classify.Item) ([]record.Classification, error) {
			var out []record.Classification
			for i := range items {
				if err := in.Check(&items[i].Volume); err != nil {
					return nil, err
				}
				out = append(out, record.Classification{EventID: items[i].ID.String(), Class: 7, Score: 0.5})
			}
			return out, nil
		},
	}
	h := Handler(func(name, _ string) (*classifier.Model, error) {
		if name != "" {
			return nil, errors.New("no such model")
		}
		return m, nil
	}, func(w http.ResponseWriter, err error) {
		http.Error(w, err.Error(), http.StatusTeapot)
	})
	return func(body string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/api/digit", strings.NewReader(body)))
		return w
	}
}

// decode decodes the frame of a response.
func decode(t *testing.T, w *httptest.ResponseRecorder) (frame.Header, voxelize.Volume, *frame.Message) {
	t.Helper()
	if w.Code != http.StatusOK {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	m, err := frame.Decode(w.Body.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	var h frame.Header
	if err := m.Into(&h); err != nil {
		t.Fatal(err)
	}
	v, err := m.Volume()
	if err != nil {
		t.Fatal(err)
	}
	return h, v, m
}

// TestGeneratedDigits: the volume is that of the dataset that generate writes with the same seed.
func TestGeneratedDigits(t *testing.T) {
	post := server(t, [3]int{16, 16, 16})
	const seed = 5
	v, err := voxelize.New(voxelize.DefaultOptions())
	if err != nil {
		t.Fatal(err)
	}
	if err := mnist3d.Generate(t.Context(), mnist3d.Options{Count: 10, Grid: 16, Seed: seed}, func(r mnist3d.Row) error {
		g := &ingest.Grid{Dims: [3]int{16, 16, 16}, Channels: 1}
		for _, x := range r.Values {
			g.Values = append(g.Values, float32(x))
		}
		want, err := v.Volume(ingest.Sample{Data: g})
		if err != nil {
			return err
		}
		h, got, m := decode(t, post(fmt.Sprintf(`{"digit":%d,"seed":%d}`, r.Label, seed)))
		if !slices.Equal(got.Index, want.Index) {
			t.Errorf("digit %d: the volume is not that of the dataset", r.Label)
		}
		if h.Label == nil || *h.Label != int32(r.Label) || h.Classification.Class != 7 || h.ClassNames[0] != "zero" {
			t.Errorf("digit %d: header %+v", r.Label, h)
		}
		if h.Sensor.Kind != frame.KindCloud || h.Sensor.Points != r.Cloud.Points.Len() {
			t.Errorf("digit %d: sensor %+v, want %d points", r.Label, h.Sensor, r.Cloud.Points.Len())
		}
		_, points, err := m.Part("points", frame.U16)
		if err != nil || len(points) != 6*r.Cloud.Points.Len() {
			t.Errorf("digit %d: %d bytes of points, %v", r.Label, len(points), err)
		}
		digit := mnist3d.Draw(seed, int(r.Label))
		if _, ink, err := m.Part("ink", frame.U8); err != nil || !bytes.Equal(ink, digit.Image[:]) {
			t.Errorf("digit %d: the ink is not the image, %v", r.Label, err)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// TestStrokes: where a line is and how large it was drawn does not matter, and its label is unknown.
func TestStrokes(t *testing.T) {
	for _, dims := range [][3]int{{16, 16, 16}, {8, 8, 8}, {10, 20, 30}} {
		post := server(t, dims)
		h, small, _ := decode(t, post(`{"strokes":[[[0.4,0.4],[0.4,0.5]],[[0.4,0.5],[0.45,0.5]]]}`))
		_, large, _ := decode(t, post(`{"strokes":[[[10,0],[10,100]],[[10,100],[60,100]]]}`))
		if !bytes.Equal(small.Index, large.Index) {
			t.Errorf("%v: the size of the drawing changes the volume", dims)
		}
		if h.Label != nil || h.Stream != Stream {
			t.Errorf("%v: header %+v", dims, h)
		}
		if _, dot, _ := decode(t, post(`{"strokes":[[[3,3]]]}`)); bytes.Equal(dot.Index, large.Index) {
			t.Errorf("%v: a dot is a line", dims)
		}
	}
}

func TestRefused(t *testing.T) {
	post := server(t, [3]int{16, 16, 16})
	many := func(n int, each string) string {
		return "[" + strings.TrimSuffix(strings.Repeat(each+",", n), ",") + "]"
	}
	for _, c := range []struct {
		body, want string
		status     int
	}{
		{``, "body", 400},
		{`[]`, "body", 400},
		{`{"digit":3} {}`, "more than one", 400},
		{`{"digit":3,"colour":1}`, "colour", 400},
		{`{}`, "found none", 400},
		{`{"strokes":[[]]}`, "found none", 400},
		{`{"digit":10}`, "found 10", 400},
		{`{"digit":1,"strokes":[[[0,0]]]}`, "one of them", 400},
		{`{"strokes":` + many(maxStrokes+1, `[[0,0]]`) + `}`, "at most 64", 400},
		{`{"strokes":[` + many(maxPoints+1, `[0,0]`) + `]}`, "at most 4096", 400},
		{`{"strokes":[[[1e999,0]]]}`, "body", 400},
		{`{"strokes":[[[1e308,0],[1.7e308,0]]]}`, "at most 1e+06", 400},
		{`{"strokes":[` + many(50_000, `[0,0,0]`) + `]}`, "more than", 413},
		{`{"digit":3,"model":"other"}`, "no such model", http.StatusTeapot},
	} {
		w := post(c.body)
		var e struct{ Error string }
		if w.Code != http.StatusTeapot {
			if err := json.Unmarshal(w.Body.Bytes(), &e); err != nil {
				t.Errorf("%.40s: %v in %s", c.body, err, w.Body)
			}
		} else {
			e.Error = w.Body.String()
		}
		if w.Code != c.status || !strings.Contains(e.Error, c.want) {
			t.Errorf("%.40s: status %d, %q; want %d, %q", c.body, w.Code, e.Error, c.status, c.want)
		}
	}
}
