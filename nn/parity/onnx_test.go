package parity

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/format"
)

// onnxManifest is what onnx_models.py says of the models that it made.
type onnxManifest struct {
	ONNX    string `json:"onnx"`
	Runtime string `json:"runtime"`
	Batch   int    `json:"batch"`
	Models  []struct {
		Number int `json:"number"`
		Opset  int `json:"opset"`
		Nodes  []struct {
			Operator string   `json:"operator"`
			Options  []string `json:"options"`
		} `json:"nodes"`
	} `json:"models"`
}

// onnxModels is a third of the Keras models: make parity compares 300 of those.
func onnxModels() int { return (models() + 2) / 3 }

// TestONNX compares random ONNX models with ONNX Runtime, then has it run what we write of them.
func TestONNX(t *testing.T) {
	dir := folder(t, "onnx")
	text, err := os.ReadFile(filepath.Join(dir, "manifest.json"))
	if errors.Is(err, fs.ErrNotExist) {
		python(t, "onnx_models.py", "make", dir, fmt.Sprint(onnxModels()), fmt.Sprint(seed))
		text, err = os.ReadFile(filepath.Join(dir, "manifest.json"))
	}
	if err != nil {
		t.Fatal(err)
	}
	var all onnxManifest
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "back"), 0o755); err != nil {
		t.Fatal(err)
	}
	worst, ours := map[string][]float64{}, map[int][]float32{}
	near := func(t *testing.T, kind string, got, want []float32) {
		t.Helper()
		if len(got) != len(want) {
			t.Fatalf("%s: found %d numbers, want %d", kind, len(got), len(want))
		}
		scale, apart := 1e-6, 0.
		for i, v := range want {
			scale, apart = max(scale, math.Abs(float64(v))), max(apart, math.Abs(float64(v)-float64(got[i])))
		}
		worst[kind] = append(worst[kind], apart/scale)
		if !(apart/scale <= predictTolerance) {
			t.Errorf("%s: %g apart relative to the largest, want %g", kind, apart/scale, predictTolerance)
		}
	}
	for _, e := range all.Models {
		t.Run(fmt.Sprint(e.Number), func(t *testing.T) {
			m, err := format.Load(t.Context(), filepath.Join(dir, fmt.Sprintf("%d.onnx", e.Number)))
			if err != nil {
				t.Fatal(err)
			}
			want := arrays(t, filepath.Join(dir, fmt.Sprintf("%d.npz", e.Number)))
			ours[e.Number] = forward(t, m, want["x"], all.Batch)
			near(t, "predictions", ours[e.Number], want["y"])
			if err := format.Save(filepath.Join(dir, "back", fmt.Sprintf("%d.onnx", e.Number)), m); err != nil {
				t.Fatal(err)
			}
		})
	}
	python(t, "onnx_models.py", "check", dir)
	for number, want := range ours {
		t.Run(fmt.Sprintf("back/%d", number), func(t *testing.T) {
			near(t, "way back", arrays(t, filepath.Join(dir, "back", fmt.Sprintf("%d.npz", number)))["y"], want)
		})
	}
	all.report(t, worst)
}

// forward predicts a batch with the model's one input and output.
func forward(t *testing.T, m *nn.Model, x []float32, batch int) []float32 {
	t.Helper()
	plan, err := m.Compile(batch, nn.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer plan.Close()
	if len(plan.Input(0)) != len(x) {
		t.Fatalf("the model takes %d numbers, want %d", len(plan.Input(0)), len(x))
	}
	copy(plan.Input(0), x)
	if err := plan.Forward(batch, false, 0); err != nil {
		t.Fatal(err)
	}
	return slices.Clone(plan.Output(0))
}

// report prints what was compared, and with -update writes it to the reference page.
func (all *onnxManifest) report(t *testing.T, worst map[string][]float64) {
	var b strings.Builder
	fmt.Fprintf(&b, "%d random models of ONNX %s, run by ONNX Runtime %s.\n\n", len(all.Models), all.ONNX, all.Runtime)
	b.WriteString("| Compared | arrays | median | 99% below | largest |\n|---|---|---|---|---|\n")
	for _, kind := range []string{"predictions", "way back"} {
		if d := slices.Sorted(slices.Values(worst[kind])); len(d) > 0 {
			fmt.Fprintf(&b, "| %s | %d | %.1e | %.1e | %.1e |\n", kind, len(d), d[len(d)/2], d[len(d)*99/100], d[len(d)-1])
		}
	}
	counts, options, opsets := map[string]int{}, map[string]map[string]int{}, map[int]int{}
	for _, m := range all.Models {
		opsets[m.Opset]++
		for _, n := range m.Nodes {
			counts[n.Operator]++
			if options[n.Operator] == nil {
				options[n.Operator] = map[string]int{}
			}
			for _, o := range n.Options {
				options[n.Operator][o]++
			}
		}
	}
	var table strings.Builder
	table.WriteString("| Operator | times | with attributes |\n|---|---|---|\n")
	for _, op := range slices.Sorted(maps.Keys(counts)) {
		fmt.Fprintf(&table, "| %s | %d | %s |\n", op, counts[op], listed(options[op]))
	}
	b.WriteString(folded("Operators of these models, and their attributes", table.String()))
	var sets []string
	for _, o := range slices.Sorted(maps.Keys(opsets)) {
		sets = append(sets, fmt.Sprintf("%d: %d", o, opsets[o]))
	}
	fmt.Fprintf(&b, "\nModels by opset: %s.\n", strings.Join(sets, ", "))
	fmt.Println(b.String())
	if *update && !t.Failed() {
		writeSection(t, "onnx", b.String())
	}
}

// listed writes counts in the order of their names.
func listed(counts map[string]int) string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		list = append(list, fmt.Sprintf("%s %d", name, counts[name]))
	}
	return strings.Join(list, ", ")
}
