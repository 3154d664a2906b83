//go:build cgo && !nohdf5

package h5

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/internal/testenv"
)

// facts of a sample: what the manifest says about each dataset of each HDF5 file.
type fact struct{ name, dtype, shape, rest string }

var factPattern = regexp.MustCompile(`^(\S+) (\S+) \(([^)]*)\)(.*)$`)

// manifest gives at most 14 datasets of a file, and how many it has.
func manifest(t *testing.T) (map[string][]fact, map[string]int) {
	t.Helper()
	data, err := os.ReadFile(testenv.Sample(t, "MANIFEST.tsv"))
	must(t, err)
	out, count := map[string][]fact{}, map[string]int{}
	for line := range strings.SplitSeq(string(data), "\n") {
		cols := strings.Split(line, "\t")
		if len(cols) < 7 || !strings.Contains(cols[6], "HDF5 superblock") {
			continue
		}
		text := strings.Trim(cols[6], `"`)
		text, _, _ = strings.Cut(text, " | ")
		head, list, _ := strings.Cut(text, " datasets: ")
		count[cols[0]], err = strconv.Atoi(head[strings.LastIndexByte(head, ' ')+1:])
		must(t, err)
		out[cols[0]] = []fact{}
		for item := range strings.SplitSeq(list, "; ") {
			if m := factPattern.FindStringSubmatch(strings.TrimSpace(item)); m != nil {
				out[cols[0]] = append(out[cols[0]], fact{m[1], m[2], m[3], m[4]})
			}
		}
	}
	return out, count
}

// TestSamples reads every dataset of every HDF5 file of the samples and compares shape and sum with what h5py says.
func TestSamples(t *testing.T) {
	files, count := manifest(t)
	if len(files) < 20 {
		t.Fatalf("found %d HDF5 files in the manifest, want at least 20", len(files))
	}
	equal, refused := 0, 0
	for name, facts := range files {
		t.Run(filepath.Base(name), func(t *testing.T) {
			path := testenv.Sample(t, name)
			f := reopen(t, path)
			if marked := len(f.Notes()) == 1 && strings.Contains(f.Notes()[0], "h5clear -s"); marked !=
				strings.Contains(name, "byteshuffle") {
				t.Errorf("found the notes %q, want one about h5clear only where the file is marked as open", f.Notes())
			}
			objects, err := f.Objects(t.Context())
			must(t, err)
			found := map[string]Object{}
			for _, o := range objects {
				if o.Kind == Dataset {
					found[o.Path] = o
				}
			}
			for _, want := range facts {
				o, ok := found["/"+want.name]
				if !ok {
					t.Errorf("%s is not listed", want.name)
					continue
				}
				if o.Refused != "" {
					if !strings.Contains(want.rest, "lzf") && want.dtype != "object" {
						t.Errorf("%s: refused: %s", want.name, o.Refused)
					}
					t.Logf("%s: refused: %s", want.name, o.Refused)
					refused++
					continue
				}
				if got := shapeText(o.Dims); got != want.shape {
					t.Errorf("%s: shape %s, want %s", want.name, got, want.shape)
				}
				if o.Class == String {
					s, err := f.ReadStrings(t.Context(), o.Path, 0, o.Rows())
					if err != nil || len(s) != o.Rows()*o.RowLen() || s[0] == "" {
						t.Errorf("%s: %d strings %.3q, %v", want.name, len(s), s, err)
					}
					continue
				}
				checkSum(t, f, &o, want)
				equal++
			}
			if len(found) != count[name] {
				t.Errorf("%d datasets, want %d", len(found), count[name])
			}
			if strings.Contains(name, "m_group") || strings.Contains(name, "large_group") { // dataset "data7" holds 7
				for i := range len(found) {
					var v [1]int64
					must(t, f.ReadInt64(t.Context(), fmt.Sprintf("/large_group/data%d", i), 0, 1, v[:]))
					if v[0] != int64(i) {
						t.Errorf("data%d holds %d", i, v[0])
					}
				}
			}
		})
	}
	t.Logf("%d sums equal, %d datasets refused", equal, refused)
	if equal < 100 {
		t.Errorf("%d sums compared, want at least 100", equal)
	}
}

func shapeText(dims []int) string {
	if len(dims) == 1 {
		return fmt.Sprintf("%d,", dims[0])
	}
	s := make([]string, len(dims))
	for i, d := range dims {
		s[i] = strconv.Itoa(d)
	}
	return strings.Join(s, ", ")
}

func checkSum(t *testing.T, f *File, o *Object, want fact) {
	t.Helper()
	_, text, ok := strings.Cut(want.rest, "sum=")
	if !ok {
		t.Errorf("%s: the manifest has no sum: %q", o.Path, want.rest)
		return
	}
	sum, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	must(t, err)
	v := make([]float64, o.Rows()*o.RowLen())
	must(t, f.ReadFloat64(t.Context(), o.Path, 0, o.Rows(), v))
	got := 0.0
	for _, x := range v {
		got += x
	}
	if math.IsNaN(sum) && math.IsNaN(got) {
		return
	}
	if math.Abs(got-sum) > 1e-5*max(1, math.Abs(sum)) {
		t.Errorf("%s: sum %v, want %v", o.Path, got, sum)
	}
	// The other types agree where they can hold the values.
	w := make([]float32, len(v))
	must(t, f.ReadFloat32(t.Context(), o.Path, 0, o.Rows(), w))
	for i := range v {
		if float32(v[i]) != w[i] && !math.IsNaN(v[i]) {
			t.Fatalf("%s: float32 value %d is %v, float64 %v", o.Path, i, w[i], v[i])
		}
	}
	if o.Class == Int || o.Class == Uint {
		n := make([]int64, len(v))
		must(t, f.ReadInt64(t.Context(), o.Path, 0, o.Rows(), n))
		for i := range v {
			if float64(n[i]) != v[i] {
				t.Fatalf("%s: int64 value %d is %v, float64 %v", o.Path, i, n[i], v[i])
			}
		}
	}
}

// TestKerasModel reads all of a model that Keras saved, as a loader does, and compares with what h5py reads
// (testdata/sums.py).
func TestKerasModel(t *testing.T) {
	f := reopen(t, testenv.Sample(t, "models/nkarl_3d_image_classification.h5"))
	a, err := f.Attr(t.Context(), "/", "model_config")
	must(t, err)
	if s, ok := a.Text(); !ok || !strings.HasPrefix(s, "{") || !strings.Contains(s, "Conv3D") {
		t.Errorf("model_config = %.60q", a.Strings)
	}
	data, err := os.ReadFile(filepath.Join("testdata", "sums.tsv"))
	must(t, err)
	sums := map[string][]string{}
	for line := range strings.Lines(string(data)) {
		cols := strings.Split(strings.TrimSpace(line), "\t")
		sums[cols[0]] = cols[1:]
	}
	objects, err := f.Objects(t.Context())
	must(t, err)
	compared := 0
	for _, o := range objects {
		if o.Kind != Dataset {
			continue
		}
		want, ok := sums[o.Path]
		if !ok || want[0] != o.TypeName() || want[1] != shapeText(o.Dims) {
			t.Errorf("%s %s (%s), want %v", o.Path, o.TypeName(), shapeText(o.Dims), want)
			continue
		}
		checkSum(t, f, &o, fact{name: o.Path, rest: "sum=" + want[2]})
		compared++
	}
	if compared != 69 {
		t.Errorf("%d datasets compared, want 69", compared)
	}
	names, err := f.Attr(t.Context(), "/model_weights", "layer_names")
	must(t, err)
	weights := 0
	for _, layer := range names.Strings {
		w, err := f.Attr(t.Context(), "/model_weights/"+layer, "weight_names")
		must(t, err)
		for _, name := range w.Strings {
			path := "/model_weights/" + layer + "/" + name
			if _, ok := sums[path]; !ok {
				t.Errorf("%s is not in the model", path)
			}
			weights++
		}
	}
	if weights < 20 {
		t.Errorf("%d weights", weights)
	}
}
