package serving

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/app/apptest"
	"github.com/voxelstream/voxelstream/app/models"
	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/format"
	"github.com/voxelstream/voxelstream/nn/layers"
	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/serve/choice"
	"github.com/voxelstream/voxelstream/serve/explain"
	"github.com/voxelstream/voxelstream/serve/frame"
	"github.com/voxelstream/voxelstream/serve/training"
	"github.com/voxelstream/voxelstream/voxelize"
)

// versions returns a repository folder with two versions of a classifier and a model that takes no volumes.
func versions(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	a := apptest.New(t)
	at := func(name string) string {
		path := filepath.Join(dir, name, "model.safetensors")
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, version := range []string{"digits/1", "digits/2"} {
		if _, err := models.Convert(t.Context(), a, "", at(version)); err != nil {
			t.Fatal(err)
		}
	}
	flat, err := nn.Sequential("flat", nn.Shape{4}, layers.NewDense(2, "softmax"))
	if err != nil {
		t.Fatal(err)
	}
	flat.Init(1)
	if err := format.Save(at("flat/1"), flat); err != nil {
		t.Fatal(err)
	}
	return dir
}

// list asks for the models, after a change if there is a body.
func list(t *testing.T, url, path, body string, want int) (out choice.Models) {
	t.Helper()
	method := http.MethodGet
	if body != "" {
		method = http.MethodPost
	}
	status, answer := ask(t, method, url+path, strings.NewReader(body), "Content-Type", "application/json")
	if err := json.Unmarshal(answer, &out); err != nil || status != want {
		t.Fatalf("%s %s: found %d %s, want %d", path, body, status, answer, want)
	}
	return out
}

// current returns the current versions.
func current(m choice.Models) string {
	var names []string
	for _, x := range m.Models {
		if x.Current {
			names = append(names, x.Name+"/"+x.Version)
		}
	}
	return strings.Join(names, " ")
}

// TestChoice switches versions of a server and explains them.
func TestChoice(t *testing.T) {
	dir := versions(t)
	url, _ := start(t, "serve.repository", dir)
	ready(t, url)
	m := list(t, url, "/api/models", "", http.StatusOK)
	if len(m.Models) != 3 || current(m) != "digits/2 flat/1" {
		t.Errorf("found %+v", m)
	}
	if m = list(t, url, "/api/models/switch", `{"name":"digits","version":"1"}`, 200); current(m) != "digits/1 flat/1" ||
		m.Previous == nil || m.Previous.Version != "2" {
		t.Errorf("found %+v", m)
	}
	if m = list(t, url, "/api/models/rollback", `{}`, http.StatusOK); current(m) != "digits/2 flat/1" {
		t.Errorf("found %+v", m)
	}
	list(t, url, "/api/models/switch", `{"name":"digits","version":"3"}`, http.StatusNotFound)
	list(t, url, "/api/models/rollback", `{"name":"flat"}`, http.StatusConflict)

	v := voxelize.Volume{Dims: [3]int{16, 16, 16}, Label: -1, Content: voxelize.PaletteContent("Oranges")}
	v.Index = bytes.Repeat([]byte{0, 9, 200, 0}, 1024)
	h := frame.Of(record.ID{Stream: "s"})
	var p frame.Payload
	p.AddVolume(&h, &v)
	body, err := frame.Encode(&h, &p)
	if err != nil {
		t.Fatal(err)
	}
	for model, want := range map[string]int{
		"": 200, "digits": 200, "digits/1": 200, "digits/2": 200, "digits/3": 404, "flat": 422, "none": 404,
	} {
		status, answer := ask(t, http.MethodPost, url+"/api/explain?method=gradcam&model="+model, bytes.NewReader(body))
		if status != want {
			t.Errorf("%s: found %d %.200s, want %d", model, status, answer, want)
		}
		if status, _ := ask(t, http.MethodGet, url+"/api/graph?model="+model, nil); status != want {
			t.Errorf("%s: found %d, want %d", model, status, want)
		}
	}
	_, answer := ask(t, http.MethodGet, url+"/api/graph", nil)
	var g explain.Graph
	if err := json.Unmarshal(answer, &g); err != nil || g.MS <= 0 || g.Layers[0].Type != "InputLayer" {
		t.Errorf("found %s, %v", answer, err)
	}
}

// TestTrainLog: a server shows the log of a training, and follows it.
func TestTrainLog(t *testing.T) {
	log := filepath.Join(t.TempDir(), "h.csv")
	write := func(text string) {
		if err := os.WriteFile(log, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("epoch,accuracy,loss\n1,.5,2\n")
	url, _ := start(t, "serve.train_log", log)
	ready(t, url)
	for _, text := range []string{"", "2,.6,1\n"} {
		write("epoch,accuracy,loss\n1,.5,2\n" + text)
		status, answer := ask(t, http.MethodGet, url+"/api/train", nil, "Accept", "application/json")
		var s training.State
		if err := json.Unmarshal(answer, &s); err != nil || status != 200 || s.Epoch != 1+len(text)/7 {
			t.Errorf("found %d %s, %v", status, answer, err)
		}
	}
	if status, answer := ask(t, http.MethodGet, url+"/api/status", nil); !strings.Contains(string(answer), `"train"`) {
		t.Errorf("found %d %s", status, answer)
	}
}
