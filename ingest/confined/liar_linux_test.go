package confined

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/internal/sandbox"
)

// liarArg makes the test binary a worker that was taken over. It answers each order with what the input's name stands
// for in lies.
const liarArg = "lying-worker"

// lies are results that no worker of ours sends.
var lies = map[string]string{
	"end without content": `{"is":"end"}`,
	"empty":               `{}`,
	"unknown":             `{"is":"detected","name":"pcd"}`,
	"fault too early":     `{"is":"sample","fault":{"text":"no"}}`,
	"block":               `{"is":"block","n":4}`,
	"many rows":           `{"is":"opened","sliced":true,"len":-1}`,
	"number":              `7`,
	"question":            `{"ask":"exec","path":"/bin/sh"}`,
	"negative need":       `{"ask":"take","n":-1}`,
}

func init() {
	if len(os.Args) != 3 || os.Args[1] != liarArg {
		return
	}
	w, err := sandbox.Enter(sandbox.Limits{Files: 16})
	for err == nil {
		var o order
		if err = readFrame(w.Conn, &o, maxMessage); err == nil {
			err = writeFrame(w.Conn, json.RawMessage(lies[filepath.Base(o.Path)]), nil)
		}
	}
	os.Exit(1)
}

// TestLiar: a worker that answers anything else than what is expected is an error, and is not used again.
func TestLiar(t *testing.T) {
	p := pool(t)
	p.arg = liarArg
	dir := t.TempDir()
	for name := range lies {
		path := write(t, filepath.Join(dir, name), "1 2 3\n")
		o := ingest.Options{}
		_, open := p.Open(t.Context(), path, o)
		_, _, _, detect := p.Detect(t.Context(), path, o)
		_, inspect := p.Inspect(t.Context(), path, o)
		for call, err := range map[string]error{"Open": open, "Detect": detect, "Inspect": inspect} {
			if call == "Detect" && name == "end without content" {
				continue // it says that no format is recognized
			}
			if !errors.Is(err, ErrWorker) {
				t.Errorf("%s of %q: found error %v, want ErrWorker", call, name, err)
			}
		}
	}
	p.starts.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	if slices.ContainsFunc(p.idle, func(w *worker) bool { return w.inputs > 1 }) {
		t.Error("a worker that has lied was used again")
	}
}
