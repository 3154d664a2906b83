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
	"github.com/voxelstream/voxelstream/nn/format/onnx"
)

// backendTest is a node test of the onnx package.
type backendTest struct {
	Name      string   `json:"name"`
	Operators []string `json:"operators"`
	RTol      float64  `json:"rtol"`
	ATol      float64  `json:"atol"`
	Files     bool     `json:"files"`
}

// notRead lists the node tests of operators that we list and yet do not pass, with the reason.
var notRead = map[string]string{
	"test_causal_conv_with_state_kernel_size_one_expanded": "arrays without elements",
	"test_reduce_sum_empty_set_non_reduced_axis_zero":      "arrays without elements",
	"test_reshape_allowzero_reordered":                     "arrays without elements",
	"test_shape_start_greater_than_end":                    "arrays without elements",
	"test_slice_start_out_of_bounds":                       "arrays without elements",
	"test_split_zero_size_splits_opset13":                  "arrays without elements",
	"test_split_zero_size_splits_opset18":                  "arrays without elements",
	"test_tril_zero":                                       "arrays without elements",
	"test_triu_zero":                                       "arrays without elements",
	"test_constantofshape_int_shape_zero":                  "arrays without elements",
	"test_batchnorm_epsilon_training_mode":                 "training",
	"test_batchnorm_example_training_mode":                 "training",
	"test_training_dropout":                                "training",
	"test_training_dropout_default":                        "training",
	"test_training_dropout_default_mask":                   "training",
	"test_resize_downsample_scales_cubic_align_corners":    "other than the specification, PyTorch and ONNX Runtime",
	"test_resize_downsample_scales_linear_align_corners":   "other than the specification, PyTorch and ONNX Runtime",
	"test_training_dropout_mask":                           "training",
	"test_maxpool_with_argmax_2d_precomputed_pads":         "places of maxima",
	"test_maxpool_with_argmax_2d_precomputed_strides":      "places of maxima",
}

// TestONNXBackend runs the node tests of the onnx package. Where an operator wants constants, such as the axes of a
// reduction, the inputs after the first are constants.
func TestONNXBackend(t *testing.T) {
	dir := folder(t, "backend")
	path := filepath.Join(dir, "manifest.json")
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		python(t, "onnx_backend.py", dir)
		text, err = os.ReadFile(path)
	}
	if err != nil {
		t.Fatal(err)
	}
	var all struct {
		ONNX  string        `json:"onnx"`
		Tests []backendTest `json:"tests"`
	}
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	listed := onnx.Operators()
	passed, refused, without, types := map[string]int{}, map[string]int{}, 0, 0
	for _, c := range all.Tests {
		if slices.ContainsFunc(c.Operators, func(op string) bool { return !slices.Contains(listed, op) }) {
			without++
			continue
		}
		if !c.Files {
			types++
			continue
		}
		key := strings.Join(c.Operators, ", ")
		if len(c.Operators) > 1 {
			key = "several operators"
		}
		t.Run(c.Name, func(t *testing.T) {
			if why := notRead[c.Name]; why != "" {
				refused[key]++
				t.Skip(why)
			}
			if err := c.run(t, dir); err == nil {
				passed[key]++
			} else {
				refused[key]++
				t.Error(err)
			}
		})
	}
	var b strings.Builder
	total := 0
	for _, n := range passed {
		total += n
	}
	fmt.Fprintf(&b, "%d node tests of ONNX %s have only operators and element types that are read. %d of them pass. "+
		"%d tests have other operators, and %d other element types.\n",
		len(all.Tests)-without-types, all.ONNX, total, without, types)
	var table strings.Builder
	table.WriteString("| Operator | pass | refused |\n|---|---|---|\n")
	keys := maps.Clone(passed)
	maps.Copy(keys, refused)
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		fmt.Fprintf(&table, "| %s | %d | %d |\n", key, passed[key], refused[key])
	}
	b.WriteString(folded("By operator", table.String()))
	fmt.Println(b.String())
	if *update && !t.Failed() {
		writeSection(t, "onnx-backend", b.String())
	}
}

// run loads and runs the model in each form and compares its outputs. An error says that no form is read; a wrong
// result is a failure of the test.
func (c *backendTest) run(t *testing.T, dir string) error {
	want := arrays(t, filepath.Join(dir, c.Name+".npz"))
	var refused error
	read := false
	for _, form := range []string{"", ".constant", ".folded"} {
		m, err := format.Load(t.Context(), filepath.Join(dir, c.Name+form+".onnx"))
		if err != nil {
			refused = errors.Join(refused, err)
			continue
		}
		read = true
		c.compare(t, m, want, form)
	}
	if read {
		return nil
	}
	return refused
}

func (c *backendTest) compare(t *testing.T, m *nn.Model, arrays map[string][]float32, form string) {
	n := 1
	if size := m.Inputs()[0].Shape.Size(); form != ".folded" && len(arrays["x0"]) > size {
		n = len(arrays["x0"]) / size
	}
	plan, err := m.Compile(n, nn.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer plan.Close()
	for k := range m.Inputs() {
		if form == ".folded" {
			break
		}
		if x := arrays[fmt.Sprintf("x%d", k)]; copy(plan.Input(k), x) != len(x) || len(x) != len(plan.Input(k)) {
			t.Fatalf("input %d takes %d numbers, want %d", k, len(plan.Input(k)), len(x))
		}
	}
	if err := plan.Forward(n, false, 0); err != nil {
		t.Fatal(err)
	}
	for k := range m.Outputs() {
		got, want := plan.Output(k), arrays[fmt.Sprintf("y%d", k)]
		if n > 1 && len(got) == n*len(want) {
			got = got[:len(want)] // a shape, the same for all samples
		}
		if len(got) != len(want) {
			t.Fatalf("%s output %d has %d numbers, want %d", form, k, len(got), len(want))
		}
		for i, w := range want {
			g := got[i]
			if g == w || g != g && w != w {
				continue
			}
			if d := math.Abs(float64(g) - float64(w)); !(d <= c.ATol+c.RTol*math.Abs(float64(w))) {
				t.Fatalf("%s output %d, number %d is %g, want %g", form, k, i, g, w)
			}
		}
	}
}
