package formats

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/ingest"
)

const (
	pngHeader = "\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01"
	hdfHeader = "\x89HDF\r\n\x1a\n"
)

// otherFiles are files that are no inputs, with what they are.
var otherFiles = map[string]struct{ data, what string }{
	"m.keras":       {"PK\x03\x04" + strings.Repeat("\x00", 26) + "metadata.json{}", "a Keras model"},
	"m.h5":          {hdfHeader + "....model_weights", "a Keras model"},
	"m.weights.h5":  {hdfHeader + "....layers", "a Keras model"},
	"m.safetensors": {"\x14\x00\x00\x00\x00\x00\x00\x00" + `{"__metadata__":{}}          `, "a safetensors model"},
	"m.onnx":        {"\x08\x0a\x12\x0bvoxelstream", "an ONNX model"},
	"m.json":        {`{"class_name":"Sequential","config":{}}`, "the architecture of a Keras model"},
	"ck": {
		"\x20\x00\x00\x00\x00\x00\x00\x00" + `{"__metadata__":{"state":"{}"}}     `,
		"a checkpoint of a training run",
	},
	"r.csv":            {"event_id,stream,seq\n", "the results of a run"},
	"r.tsv":            {"event_id\tstream\tseq\n", "the results of a run"},
	"r.jsonl":          {`{"event_id":"a/0"}`, "the results of a run"},
	"r.h5":             {hdfHeader + "....event_id....model_digest", "the results of a run"},
	"r.sqlite":         {"SQLite format 3\x00 event_id model_digest", "the results of a run"},
	"r.parquet":        {"PAR1", "a Parquet table"},
	"r.arrow":          {"ARROW1\x00\x00", "an Arrow file"},
	"boxes.csv":        {"file,frame,time,object,track\n", "the objects or predictions of a command"},
	"p.jsonl":          {`{"file":"a.pcd","class":1}`, "the objects or predictions of a command"},
	"history.csv":      {"epoch,accuracy,loss\n1,0.5,2\n", "the history of a training run"},
	"manifest.json":    {"{\n  \"manifest\": 1,\n  \"settings\": {}}", "the manifest of a reprocessing run"},
	"parts/1.json":     {`{"pieces": [{"rows": 1, "classified": 1}]}`, "a part of a reprocessing run"},
	"report.json":      {`{"title": "Results", "classified": 1}`, "the report of a run or an evaluation"},
	"evaluation.json":  {`{"rows": 1, "accuracy": 0.5, "per_class": []}`, "the report of a run or an evaluation"},
	"report.html":      {"<!DOCTYPE html><title>", "the report of a run or an evaluation"},
	"config.yaml":      {"# Settings\nkafka:\n  group: a\nvoxelize:\n  grid: 16\n", "a configuration"},
	"first.yaml":       {"kafka:\n  group: a\nvoxelize:\n  grid: 16\n", "a configuration"},
	"plot.png":         {pngHeader + "\x08\x02\x00\x00\x00", "a colour picture"},
	"turn.gif":         {"GIF89a", "a GIF picture"},
	"photo.jpg":        {"\xff\xd8\xff\xe0", "a JPEG picture"},
	"sub/document.pdf": {"%PDF-1.7", "a PDF document"},
}

// TestNoInput: files that are no inputs are named for what they are: an error by themselves, skipped in a folder.
func TestNoInput(t *testing.T) {
	files := map[string]string{"a.pcd": pcd}
	for name, f := range otherFiles {
		files[name] = f.data
	}
	dir := tree(t, files)
	for name, f := range otherFiles {
		path := filepath.Join(dir, name)
		_, err := Open(t.Context(), path, ingest.Options{})
		if !errors.Is(err, ingest.ErrNoInput) || !strings.HasPrefix(err.Error(), path+": found "+f.what+", want data") {
			t.Errorf("%s: found error %v, want %q", name, err, f.what)
		}
		if isModel := strings.HasPrefix(name, "m."); errors.Is(err, ingest.ErrModel) != isModel {
			t.Errorf("%s: found %v, want a model: %v", name, err, isModel)
		}
	}
	inputs := 0
	for f := range Files(t.Context(), dir, ingest.Options{}) {
		name, err := filepath.Rel(dir, f.Path)
		if err != nil {
			t.Fatal(err)
		}
		if name == "a.pcd" {
			inputs++
			continue
		}
		if want := otherFiles[filepath.ToSlash(name)].what; f.Skipped != want {
			t.Errorf("%s: found %q, %v, want it skipped as %q", name, f.Skipped, f.Err, want)
		}
	}
	if ids, bad := read(t, dir, ingest.Options{}); inputs != 1 || len(ids) != 1 || len(bad) > 0 {
		t.Errorf("found %d inputs, samples %q and bad items %q, want one sample", inputs, ids, bad)
	}
}

// TestNoInputForced: --format reads a file that would be skipped, and archives are failures because they may hold data.
func TestNoInputForced(t *testing.T) {
	dir := tree(t, map[string]string{
		"epoch.csv": "epoch,x,y,z,loss\n1,2,3,4,5\n", "a.tgz.zip": "PK\x03\x04", "b.pcd": pcd,
	})
	if n, bad := drained(t, filepath.Join(dir, "epoch.csv"), reading("xyz")); n != 1 || bad != 0 {
		t.Errorf("found %d samples and %d bad items, want 1 sample", n, bad)
	}
	ids, bad := read(t, dir, ingest.Options{})
	if len(ids) != 1 || len(bad) != 1 || !strings.Contains(bad[0], "a zip archive; extract it first") {
		t.Errorf("found samples %q and bad items %q, want the archive to be a failure", ids, bad)
	}
	if got := What("x", fmt.Errorf("x: %w", ingest.ErrFormat)); got != "" {
		t.Errorf("found %q for another error", got)
	}
}

// TestGreyWithAlpha: a grey picture with an alpha channel is not called a colour picture.
func TestGreyWithAlpha(t *testing.T) {
	for kind, want := range map[byte]bool{0: false, 2: true, 3: true, 4: false, 6: true} {
		h := &ingest.Head{Bytes: []byte(pngHeader + "\x08" + string([]byte{kind}) + "\x00\x00\x00")}
		if got := isColourPNG(h); got != want {
			t.Errorf("colour type %d: found %v, want %v", kind, got, want)
		}
	}
}
