//go:build unix

package integration

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/internal/testenv"
)

// TestKerasTrainsOnTheSameValues trains networks for 50 steps on raw, windowed, standardized and colour-mapped values,
// with one and several channels, and compares weights, loss and accuracy with those of Keras on the same arrays.
func TestKerasTrainsOnTheSameValues(t *testing.T) {
	slow(t)
	needHDF5(t)
	py := python(t, "keras")
	script := filepath.Join(testenv.Root(), "integration", "scripts", "keras_values.py")
	w := newWorld(t)
	run := func(command string) string {
		out, err := exec.CommandContext(t.Context(), py, script, command, w.dir).CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", command, err, out)
		}
		return string(out)
	}
	run("make")
	var values map[string]string
	if err := json.Unmarshal(must(os.ReadFile(w.path("cases.json")))(t), &values); err != nil {
		t.Fatal(err)
	}
	for name, v := range values {
		w.do(0, "train", name+".npz", "--init", name+".keras", "--values", v, "--grid", "6", "--epochs", "10",
			"--batch-size", "8", "--no-shuffle", "--validation-split", "0", "--out", name+".out.keras", "--quiet")
		// The model says what it takes: evaluate needs no flag.
		e := w.do(0, "evaluate", name+".npz", "--model", name+".out.keras", "--grid", "6", "--quiet", "--json")
		if err := os.WriteFile(w.path(name+".json"), []byte(e.stdout.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	compared := 0
	for line := range strings.Lines(run("check")) {
		var name string
		var weights, loss, accuracy float64
		if _, err := fmt.Sscan(line, &name, &weights, &loss, &accuracy); err != nil || values[name] == "" {
			continue // TensorFlow's messages
		}
		compared++
		t.Logf("%s: weights differ by %.1e, loss by %.1e", name, weights, loss)
		if weights > 1e-4 || loss > 1e-4 || accuracy > 1e-6 {
			t.Errorf("%s (%s): weights differ by %g, loss by %g, accuracy by %g; want at most 1e-4, 1e-4 and 1e-6", name,
				values[name], weights, loss, accuracy)
		}
	}
	if compared != len(values) || compared == 0 {
		t.Errorf("compared %d networks, want %d", compared, len(values))
	}
}
