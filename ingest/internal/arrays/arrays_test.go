package arrays

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/ingest"
)

func options(o Options) ingest.Options {
	return ingest.Options{Readers: []any{&o}}.WithDefaults()
}

// TestViewOf lists how shapes are read, and which are asked about.
func TestViewOf(t *testing.T) {
	first := Options{ChannelsFirst: true}
	grid := func(d, h, w int) Options { return Options{RowGrid: Shape{d, h, w}} }
	for _, c := range []struct {
		a    Array
		o    Options
		want string // rows, shape of a row, and what was assumed or the error
	}{
		{Array{Shape: []int{24, 512}, Float: true}, Options{}, "may be an image, or 24 flat grids of 8x8x8"},
		{Array{Shape: []int{24, 512}}, grid(8, 8, 8), "24 [8 8 8]"},
		{Array{Shape: []int{24, 512}}, grid(16, 16, 2), "24 [16 16 2]"},
		{Array{Shape: []int{24, 512}}, grid(16, 16, 16), "may be an image"},
		{Array{Shape: []int{24, 512}, Labels: 24}, Options{}, "24 [8 8 8] rows of 512 values"},
		{Array{Name: "X_train", Shape: []int{24, 512}}, Options{}, "24 [8 8 8]"},
		{Array{Name: "X_train", Shape: []int{24, 4096}}, grid(8, 8, 8), "24 [16 16 16]"},
		{Array{Name: "X_train", Shape: []int{24, 64}}, Options{}, "24 [4 4 4] rows of 64 values"},
		{Array{Name: "images", Shape: []int{24, 4096}}, Options{}, "may be an image"},
		{Array{Name: "voxels", Shape: []int{24, 1000}}, Options{}, "24 [10 10 10] rows of 1000"},
		{Array{Shape: []int{24, 784}, Labels: 24}, Options{}, "not a cube"},
		{Array{Shape: []int{100, 3}, Float: true}, Options{}, "1 cloud 100x3"},
		{Array{Shape: []int{100, 7}, Float: true}, Options{}, "1 cloud 100x7"},
		{Array{Shape: []int{100, 3}, Type: "int64"}, Options{}, "1 cloud 100x3 integers"},
		{Array{Shape: []int{100, 3}, Type: "uint8"}, Options{}, "not a cube"},
		{Array{Shape: []int{100, 3}, Float: true, Labels: 100}, Options{}, "1 cloud 100x3 read as one cloud; its labels"},
		{Array{Shape: []int{3, 500}, Float: true}, Options{}, "save the transposed array (N, 3)"},
		{Array{Shape: []int{4, 256, 3}, Float: true}, Options{}, "4 clouds 256x3 read as 4 clouds"},
		{Array{Shape: []int{4, 256, 6}, Float: true}, Options{}, "4 clouds 256x6 read as 4 clouds"},
		{Array{Shape: []int{4, 8, 6}, Float: true}, Options{}, "1 [4 8 6] read as one grid"},
		{Array{Shape: []int{4, 256, 3}, Float: true}, grid(4, 256, 3), "1 [4 256 3]"},
		{Array{Shape: []int{4, 256, 3}, Type: "uint8"}, Options{}, "1 [4 256 3] read as one grid"},
		{Array{Shape: []int{9, 28, 28}, Labels: 9}, Options{}, "9 [1 28 28] read as 9 images"},
		{Array{Name: "x_train", Shape: []int{9, 28, 28}}, Options{}, "9 [1 28 28] read as 9 images"},
		{Array{Shape: []int{9, 28, 28}}, Options{}, "1 [9 28 28] read as one grid"},
		{Array{Shape: []int{9, 12, 13, 14}}, Options{}, "9 [12 13 14]"},
		{Array{Shape: []int{3, 12, 13, 14}}, Options{}, "3 [12 13 14] read as 3 grids"},
		{Array{Shape: []int{3, 12, 13, 14}}, first, "1 [12 13 14 3] first"},
		{Array{Shape: []int{12, 13, 14, 3}}, Options{}, "1 [12 13 14 3] read as one grid"},
		{Array{Shape: []int{12, 13, 14, 3}}, grid(13, 14, 3), "12 [13 14 3]"},
		{Array{Shape: []int{12, 28, 29, 3}, Labels: 12}, Options{}, "12 [1 28 29 3] read as 12 images"},
		{Array{Shape: []int{12, 3, 28, 29}, Labels: 12}, first, "12 [1 28 29 3] first"},
		{Array{Shape: []int{5, 12, 13, 14, 2}}, Options{}, "5 [12 13 14 2]"},
		{Array{Shape: []int{5, 1, 12, 13, 14}}, Options{}, "5 [12 13 14] first read as (N, C, D, H, W)"},
		{Array{Shape: []int{5, 2, 12, 13, 14}}, Options{}, "5 [12 13 14 2] first read as (N, C, D, H, W)"},
		{Array{Shape: []int{5, 2, 12, 13, 14}}, grid(2, 12, 13), "5 [2 12 13 14]"},
		{Array{Shape: []int{5, 7, 12, 13, 14}}, first, "5 [12 13 14 7] first"},
		{Array{Shape: []int{100}}, Options{}, "found 1 axes"},
		{Array{Shape: []int{1, 1, 1, 1, 1, 1}}, Options{}, "found 6 axes"},
		{Array{Shape: []int{3, 0, 4}}, Options{}, "found an axis of 0"},
		{Array{Shape: []int{9, 1 << 20, 1 << 20, 1 << 20}}, Options{}, "limit"},
		{Array{Shape: []int{1 << 30, 3}, Float: true}, Options{}, "limit"},
	} {
		v, err := ViewOf(c.a, options(c.o))
		got := fmt.Sprint(v.Rows, " ", v.Shape())
		if v.Columns > 0 {
			got = fmt.Sprintf("%s %dx%d", count(v.Rows, "cloud"), v.Points, v.Columns)
		}
		if v.First {
			got += " first"
		}
		got = strings.TrimSpace(got + " " + v.Assumed)
		if err != nil {
			got = err.Error()
		}
		if exact := !strings.Contains(c.want, "read") && !strings.Contains(c.want, "rows of") && err == nil &&
			!strings.Contains(c.want, "integers"); !strings.Contains(got, c.want) || exact && got != c.want {
			t.Errorf("%+v %+v: found %q, want %q", c.a, c.o, got, c.want)
		}
	}
}

func TestChoose(t *testing.T) {
	for _, c := range []struct {
		names []string
		o     Options
		want  string
	}{
		{words("X_train X_test y_train y_test"), Options{}, "X_train+y_train X_test+y_test"},
		{words("data faceId label normal"), Options{}, "data+label; left faceId normal"},
		{
			words("train_images train_labels val_images val_labels"),
			Options{},
			"train_images+train_labels val_images+val_labels",
		},
		{words("train_set_x train_set_y list_classes"), Options{}, "train_set_x+train_set_y; left list_classes"},
		{words("/train/x /train/y /test/x /test/y"), Options{}, "/train/x+/train/y /test/x+/test/y"},
		{words("xtrain ytrain"), Options{}, "xtrain+ytrain"},
		{words("trainX trainY"), Options{}, "trainX+trainY"},
		{words("volumes targets"), Options{}, "volumes+targets"},
		{words("vol affine spacing"), Options{}, "vol; left affine spacing"},
		{words("stuff"), Options{}, "stuff"},
		{words("a b"), Options{}, "several arrays that may be the data: a shape, b shape; choose one with --data"},
		{words("data points"), Options{}, "several arrays"},
		{words("y"), Options{}, "y"},
		{words("a b y"), Options{Data: "b"}, "b"},
		{words("/g/a /g/b labels"), Options{Data: "a", Labels: "labels"}, "/g/a+labels"},
		{words("x y"), Options{Labels: NoLabels}, "x; left y"},
		{words("a b"), Options{Data: "c"}, "--data c: not found, want one of a, b"},
		{nil, Options{Data: "c"}, "--data c: not found, the file has no arrays of numbers"},
		{words("a b"), Options{Data: "a", Labels: "c"}, "--labels c: not found"},
		{nil, Options{}, ""},
	} {
		got, err := Choose(c.names, func(int) bool { return true }, func(int) string { return "shape" }, c.o)
		var parts []string
		for _, p := range got.Pairs {
			text := c.names[p.Data]
			if p.Labels >= 0 {
				text += "+" + c.names[p.Labels]
			}
			parts = append(parts, text)
		}
		text := strings.Join(parts, " ")
		if len(got.Left) > 0 && c.o.Data == "" {
			text += "; left"
			for _, i := range got.Left {
				text += " " + c.names[i]
			}
		}
		if err != nil {
			text = err.Error()
		}
		if !strings.Contains(text, c.want) || err == nil && text != c.want {
			t.Errorf("%q %+v: found %q, want %q", c.names, c.o, text, c.want)
		}
	}
}

func TestNumbers(t *testing.T) {
	nan := math.NaN()
	for _, c := range []struct {
		width  int
		values []float64
		want   string
	}{
		{1, []float64{3, -1, 0}, "[3 -1 0]"},
		{1, []float64{3, 0.5, 0}, "[3 bad 0]"},
		{1, []float64{nan, -2, 0}, "2 of 3 labels are no class numbers"},
		{3, []float64{0, 0, 1, 1, 0, 0}, "[2 0] labels are one-hot rows of 3 classes"},
		{3, []float64{.2, .1, .7, 0, .6, .4}, "[2 1] labels are scores of 3 classes"},
		{3, []float64{1, 1, 0, 0, 1, 1}, "no single highest value"},
		{3, []float64{4, 4, 0, 2, 2, 2}, "3 values for each row that are not one-hot"},
		{2, []float64{0, 1, 0, 0, 1, 0}, "[1 bad 0]"},
	} {
		rows := len(c.values) / c.width
		l, err := Numbers(rows, c.width, func(first, n int, dst []float64) error {
			copy(dst, c.values[first*c.width:(first+n)*c.width])
			return nil
		})
		var got string
		if err != nil {
			got = err.Error()
		} else {
			var classes []string
			for i := range rows {
				class, err := l.At(i)
				if err != nil {
					classes = append(classes, "bad")
					continue
				}
				classes = append(classes, fmt.Sprint(class))
			}
			got = "[" + strings.Join(classes, " ") + "] " + l.Assumed
		}
		if !strings.Contains(got, c.want) {
			t.Errorf("%v: found %q, want %q", c.values, got, c.want)
		}
	}
}

func TestClassNames(t *testing.T) {
	train, test := words("dog cat dog"), words("emu dog")
	names := ClassNames(nil, train, test)
	l, err := Texts(test, names)
	if err != nil || !slices.Equal(l.classes, []int32{2, 1}) || !strings.Contains(l.Assumed, "0 cat, 1 dog, 2 emu") {
		t.Errorf("found %+v, %v", l, err)
	}
	if names = ClassNames(words("emu dog cat"), train, test); !slices.Equal(names, words("emu dog cat")) {
		t.Errorf("found %q, want the order of the file", names)
	}
	if names = ClassNames(words("emu dog"), train, test); !slices.Equal(names, words("cat dog emu")) {
		t.Errorf("found %q, want alphabetical order, because a name is missing in that of the file", names)
	}
	l, err = Texts(words("10 2 -1"), ClassNames(nil, words("10 2 -1")))
	if err != nil || !slices.Equal(l.classes, []int32{10, 2, -1}) {
		t.Errorf("numerals: found %+v, %v", l, err)
	}
}

func TestLabelShape(t *testing.T) {
	for _, c := range []struct {
		shape []int
		rows  int
		width int // 0: an error
	}{
		{[]int{6}, 6, 1},
		{[]int{6, 1}, 6, 1},
		{[]int{1, 6}, 6, 1},
		{[]int{1, 1, 6}, 6, 1},
		{[]int{6, 4}, 6, 4},
		{[]int{1}, 1, 1},
		{[]int{1, 4}, 1, 4},
		{[]int{5}, 6, 0},
		{[]int{4, 6}, 6, 0},
		{[]int{6, 4, 2}, 6, 0},
		{nil, 1, 0},
		{[]int{1 << 40, 1 << 40}, 1 << 40, 0},
	} {
		if width, err := LabelShape(c.shape, c.rows); width != c.width || (err == nil) != (c.width > 0) {
			t.Errorf("%v for %d rows: found width %d, %v, want %d", c.shape, c.rows, width, err, c.width)
		}
	}
}

func TestReverse(t *testing.T) {
	shape := []int{2, 3, 4}
	stored, want := make([]float32, 24), make([]float32, 24)
	for i := range 2 {
		for j := range 3 {
			for k := range 4 {
				v := float32(100*i + 10*j + k)
				stored[i+2*j+6*k], want[12*i+4*j+k] = v, v
			}
		}
	}
	got := make([]float32, 24)
	if Reverse(got, stored, shape); !slices.Equal(got, want) {
		t.Errorf("found %v, want %v", got, want)
	}
}

func TestPointNames(t *testing.T) {
	table := func(rows ...[]float64) func(i, k int) float64 { return func(i, k int) float64 { return rows[i][k] } }
	for _, c := range []struct {
		at    func(i, k int) float64
		width int
		want  string
	}{
		{table([]float64{1, 2, 3, 0, 0, -1}), 6, "x y z nx ny nz"},
		{table([]float64{1, 2, 3, 200, 10, 0}), 6, "x y z red green blue"},
		{table([]float64{1, 2, 3, 0.5, 200, 10, 0}), 7, "x y z intensity red green blue"},
		{table([]float64{1, 2, 3, 0, 1, 0, 9}), 7, "x y z nx ny nz other"},
		{table([]float64{1, 2, 3, 9}), 4, "x y z intensity"},
	} {
		if names, assumed := PointNames(1, c.width, c.at); strings.Join(names, " ") != c.want || assumed == "" {
			t.Errorf("found %q and the note %q, want %q", names, assumed, c.want)
		}
	}
}

func TestFirstChannels(t *testing.T) {
	v := View{Dims: [3]int{1, 1, 2}, Channels: 3, First: true}
	if g := v.Grid([]float32{1, 2, 3, 4, 5, 6}); !slices.Equal(g.Values, []float32{1, 3, 5, 2, 4, 6}) {
		t.Errorf("found %v", g.Values)
	}
}

// TestManyNames chooses among as many arrays as a file may have: in the square of their number it would take hours.
func TestManyNames(t *testing.T) {
	var names []string
	for i := range 50_000 {
		names = append(names, fmt.Sprintf("k%d_x", i), fmt.Sprintf("k%d_y", i))
	}
	c, err := Choose(names, func(int) bool { return true }, func(i int) string { return names[i] }, Options{})
	if err != nil || len(c.Pairs) != 50_000 || c.Pairs[7] != (Pair{14, 15}) || len(c.Left) != 0 {
		t.Errorf("found %d pairs, %d arrays left and error %v", len(c.Pairs), len(c.Left), err)
	}
}
