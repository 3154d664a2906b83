package stream

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/apptest"
	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/format"
	"github.com/voxelstream/voxelstream/nn/zoo"
	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/serve/choice"
	"github.com/voxelstream/voxelstream/serve/explain"
	"github.com/voxelstream/voxelstream/serve/frame"
	"github.com/voxelstream/voxelstream/voxelize"
)

// grids writes an array of n grids that differ from those of other seeds.
func grids(t *testing.T, n, seed int) string {
	t.Helper()
	x := make([]float32, n*16*16*16)
	for i := range x {
		x[i] = float32((i*i + seed*7 + i/4096*13) % 5)
	}
	return writeNPY(t, []int{n, 16, 16, 16}, x)
}

// modelFolder returns a folder of models: the tutorial's network, for volumes of the size that the built-in model
// takes and for smaller ones, and a file that is damaged.
func modelFolder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	save := func(name string, side int) {
		m, err := zoo.New("tutorial", nn.Shape{side, side, side, 3}, 10)
		if err != nil {
			t.Fatal(err)
		}
		m.Init(3)
		m.Colormap = "Oranges"
		if err := format.Save(filepath.Join(dir, name), m); err != nil {
			t.Fatal(err)
		}
	}
	save("other.safetensors", 16)
	save("small.safetensors", 12)
	for _, name := range []string{"broken.safetensors", "notes.txt"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("junk"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// client calls the API of a running command.
type client struct {
	t *testing.T
	a *app.Env
}

func (c client) call(method, path, contentType string, body []byte, want int) []byte {
	c.t.Helper()
	r, err := http.NewRequestWithContext(c.t.Context(), method, "http://"+c.a.HTTP.Addr()+path, bytes.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	r.Header.Set("Content-Type", contentType)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		c.t.Fatal(err)
	}
	b, err := io.ReadAll(answer.Body)
	if err = errors.Join(err, answer.Body.Close()); err != nil {
		c.t.Fatal(err)
	}
	if answer.StatusCode != want {
		c.t.Fatalf("%s %s %s: found %d %s, want %d", method, path, body, answer.StatusCode, b, want)
	}
	return b
}

// models returns the list of models; body, if not empty, is sent to switch or roll back first.
func (c client) models(path, body string) (out choice.Models) {
	c.t.Helper()
	method := http.MethodGet
	if body != "" {
		method = http.MethodPost
	}
	b := c.call(method, path, "application/json", []byte(body), http.StatusOK)
	if err := json.Unmarshal(b, &out); err != nil {
		c.t.Fatal(err)
	}
	return out
}

// stored reads classifications from a file and returns how many each model has made. No volume may have two.
func stored(t *testing.T, path string) (byModel map[string]int, total int) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	byModel, seen := map[string]int{}, map[string]bool{}
	for line := range strings.Lines(string(data)) {
		if !strings.HasSuffix(line, "\n") {
			break
		}
		var c record.Classification
		if err := json.Unmarshal([]byte(line), &c); err != nil {
			t.Fatal(err)
		}
		if seen[c.EventID] {
			t.Fatalf("volume %s was classified twice", c.EventID)
		}
		seen[c.EventID] = true
		byModel[c.Model.Name]++
		total++
	}
	return byModel, total
}

// TestSwitchModels switches models of a running pipeline between and during batches: each volume is classified once,
// by the model in use.
func TestSwitchModels(t *testing.T) {
	dir := t.TempDir()
	broker, err := StartBroker(apptest.New(t, "broker.data_dir", filepath.Join(dir, "kafka")))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := broker.Close(); err != nil {
			t.Error(err)
		}
	}()
	out := filepath.Join(dir, "c.jsonl")
	a := apptest.New(t, "kafka.brokers", broker.Address, "sinks.out", out, "pipeline.batch", "16", "http.listen", ":0",
		"model.folder", modelFolder(t))
	n := 0
	ingest := func(c client, rows, seed int) {
		if _, err := Ingest(t.Context(), c.a, []string{grids(t, rows, seed)}); err != nil {
			t.Fatal(err)
		}
		n += rows
	}
	settle := func() (byModel map[string]int) {
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
			byModel, total := stored(t, out)
			if total == n {
				return byModel
			}
			if time.Now().After(deadline) {
				t.Fatalf("found %d of %d classifications", total, n)
			}
		}
	}
	err = a.Serve(t.Context(), func(ctx context.Context, a *app.Env) error {
		ctx, stop := context.WithCancel(ctx)
		defer stop()
		ended := make(chan error, 1)
		go func() {
			_, err := Classify(ctx, a, false)
			ended <- err
		}()
		c := client{t, a}
		ingest(c, 40, 1)
		if got := settle(); got["digits"] != 40 {
			t.Errorf("found %v", got)
		}
		list := c.models("/api/models", "")
		var names []string
		for _, m := range list.Models {
			names = append(names, m.Name+" "+m.State)
		}
		want := []string{"digits ready", "broken available", "other available", "small available"}
		if !slices.Equal(names, want) || list.Previous != nil || !list.Models[0].Current ||
			!slices.Equal(list.Models[0].Size, []int{16, 16, 16}) || list.Models[0].Colormap != "Oranges" {
			t.Errorf("found %v, %+v, want %v", names, list, want)
		}
		if list = c.models("/api/models/switch", `{"name":"other"}`); list.Models[0].Name != "other" ||
			list.Previous.Name != "digits" {
			t.Errorf("found %+v", list)
		}
		ingest(c, 30, 2)
		if got := settle(); got["digits"] != 40 || got["other"] != 30 {
			t.Errorf("found %v", got)
		}
		list = c.models("/api/models/rollback", `{}`)
		if list.Models[0].Name != "digits" || list.Previous.Name != "other" {
			t.Errorf("found %+v", list)
		}
		ingest(c, 20, 3)
		if got := settle(); got["digits"] != 60 || got["other"] != 30 {
			t.Errorf("found %v", got)
		}
		refused(c)
		ingest(c, 800, 4)
		for range 6 { // while it classifies
			c.models("/api/models/rollback", `{}`)
		}
		got := settle()
		if got["digits"]+got["other"] != 890 || len(got) != 2 {
			t.Errorf("found %v", got)
		}
		explained(c)
		stop()
		return <-ended
	})
	if err != nil {
		t.Fatal(err)
	}
}

// refused checks that models which do not fit, are damaged or not among the choices change nothing.
func refused(c client) {
	c.t.Helper()
	for body, want := range map[string]struct {
		status int
		text   string
	}{
		`{"name":"small"}`:                              {409, "takes 12x12x12 cells, want 16x16x16"},
		`{"name":"broken"}`:                             {409, "broken"},
		`{"name":"digits"}`:                             {409, "in use already"},
		`{"name":"/etc/passwd"}`:                        {404, "not among the models"},
		`{"name":"../other"}`:                           {404, "not among the models"},
		`{"name":"notes"}`:                              {404, "not among the models"},
		`{"name":"other","version":"00000000"}`:         {404, "not among the models"},
		`{"name":""}`:                                   {400, "no name"},
		`{"path":"other.safetensors"}`:                  {400, "unknown field"},
		`not JSON`:                                      {400, "body"},
		`{"name":"` + strings.Repeat("x", 1<<17) + `"}`: {400, "too large"},
	} {
		b := c.call(http.MethodPost, "/api/models/switch", "application/json", []byte(body), want.status)
		if !strings.Contains(string(b), want.text) {
			c.t.Errorf("%.80s: found %s, want %q", body, b, want.text)
		}
	}
	c.call(http.MethodPost, "/api/models/switch", "text/plain", []byte(`{"name":"other"}`),
		http.StatusUnsupportedMediaType)
	if list := c.models("/api/models", ""); list.Models[0].Name != "digits" {
		c.t.Errorf("found %+v", list)
	}
}

// explained checks that both models that were in use can be explained.
func explained(c client) {
	c.t.Helper()
	for _, model := range []string{"", "digits", "other"} {
		b := c.call(http.MethodGet, "/api/graph?model="+model, "", nil, http.StatusOK)
		if !strings.Contains(string(b), `"Conv3D"`) {
			c.t.Errorf("%s: found %s", model, b)
		}
	}
	c.call(http.MethodGet, "/api/graph?model=small", "", nil, http.StatusNotFound)
	v := voxelize.Volume{Dims: [3]int{16, 16, 16}, Label: -1, Content: voxelize.PaletteContent("Oranges")}
	for i := range 16 * 16 * 16 {
		v.Index = append(v.Index, uint8(i*i%5*50))
	}
	h := frame.Of(record.ID{Stream: "s"})
	var p frame.Payload
	p.AddVolume(&h, &v)
	body, err := frame.Encode(&h, &p)
	if err != nil {
		c.t.Fatal(err)
	}
	for _, method := range explain.Methods {
		b := c.call(http.MethodPost, "/api/explain?class=3&method="+method.Name, frame.ContentType, body, http.StatusOK)
		m, err := frame.Decode(b)
		if err != nil || m.Type != explain.TypeExplain || len(m.Names()) == 0 {
			c.t.Errorf("%s: found %+v, %v", method.Name, m, err)
		}
	}
}
