//go:build unix

package integration

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/parquet/file"
)

// cloudCases are the cases of point clouds and meshes.
var cloudCases = []sensorCase{
	{
		folder:  "20-ply-confidence-hides-intensity",
		learned: "The property with the plain name is the intensity, not the first synonym before it.",
		args:    []string{"convert", "bunny.ply", "o.parquet"},
		out:     []string{"intensity comes from field intensity; not kept: confidence"},
		check:   intensities("o.parquet", 0.1, 0.2),
	},
	{
		folder:  "22-e57-quaternion-not-normalised",
		learned: "Writers print quaternions with few digits or of any length, so readers normalize them.",
		args:    []string{"inspect", "nonunit.e57", "slightly.e57", "--json"},
		out:     []string{"a pose's quaternion has length 2.828: normalized"},
		check: func(t *testing.T, _, out string) {
			for _, p := range pointsOf(t, out, 2) {
				p.within(t, [3]float64{9, 20, 30}, [3]float64{10, 21, 31})
			}
		},
	},
	{
		folder:  "25-text-cr-only-line-ends",
		learned: "A carriage return alone ends a line, too, as in files of old Macintosh programs.",
		args:    []string{"inspect", "cr.obj", "cr.xyz", "cr.ply", "--json"},
		check:   counts(2, 2, 1),
	},
	{
		folder:  "29-text-negative-nan",
		learned: "Each C library prints NaN in its own way, with signs and payloads.",
		args:    []string{"inspect", "dash.pcd", "ind.pcd", "nan.ply", "mnan.xyz", "ind.xyz", "nan.obj", "--json"},
		check: func(t *testing.T, _, out string) {
			for i, p := range pointsOf(t, out, 6) {
				if want := []int{2, 2, 2, 3, 3, 2}[i]; p.Count != want || p.Finite != want-1 {
					t.Errorf("%s: found %d points, %d finite, want %d and %d", p.File, p.Count, p.Finite, want, want-1)
				}
			}
		},
	},
	{
		folder:  "50-csv-byte-order-mark",
		learned: "Spreadsheets and PowerShell begin text with a byte order mark.",
		args:    []string{"inspect", "bom.csv", "bom_nohead.xyz", "bom.pcd", "bom.ply", "bom.obj", "--json"},
		check:   counts(2, 2, 1, 1, 1),
	},
	{
		folder:  "51-csv-decimal-commas",
		learned: "A comma between semicolons, tabs or blanks is a decimal comma, and an apostrophe separates thousands.",
		args:    []string{"inspect", "dec_semi.csv", "dec_tab.txt", "thous_apos.txt", "--json"},
		check: func(t *testing.T, _, out string) {
			ps := pointsOf(t, out, 3)
			ps[0].within(t, [3]float64{1.5, 2.5, 3.5}, [3]float64{4.5, 5.5, 6.5})
			ps[1].within(t, [3]float64{1.5, 2.5, 3.5}, [3]float64{4.5, 5.5, 6.5})
			ps[2].within(t, [3]float64{2600000.5, 1200000.5, 450.5}, [3]float64{2600001.5, 1200001.5, 451.5})
		},
	},
	{
		folder:  "51-csv-decimal-commas",
		learned: "Where all commas could separate thousands, only the user knows.",
		args:    []string{"inspect", "dec_int.xyz"},
		exit:    1,
		out:     []string{`line 1: found "1,500"`, "--comma decimal or --comma thousands"},
	},
	{
		folder:  "51-csv-decimal-commas",
		learned: "A flag says what the commas are.",
		args:    []string{"inspect", "dec_int.xyz", "--comma", "decimal", "--json"},
		check: func(t *testing.T, _, out string) {
			pointsOf(t, out, 1)[0].within(t, [3]float64{1.5, 2.5, 3.5}, [3]float64{4.5, 5.5, 6.5})
		},
	},
	{
		folder:  "54-xyz-comment-between-rows",
		learned: "Merged scans have comments between rows, and DOS programs end text with Ctrl-Z.",
		args:    []string{"inspect", "midcomment.xyz", "ctrlz.xyz", "--json"},
		check:   counts(2, 2),
	},
	{
		folder:  "55-pts-several-blocks",
		learned: "A PTS file has a block with its own count for each scan.",
		args:    []string{"inspect", "pts2.pts", "pts_two_blocks.pts", "--json"},
		check:   counts(4, 3400),
	},
	{
		folder:  "66-kitti-no-reason",
		learned: "Scans in KITTI's layout have long ranges, wide reflectances and single bad points, and may be cut off.",
		args:    []string{"inspect", "kitti_420m.bin", "kitti_int4000.bin", "kitti_nan.bin", "kitti_cut.bin", "--json"},
		out:     []string{"found 31996 bytes, want a multiple of 16: the last 12 bytes are left out"},
		check:   counts(2000, 2000, 2000, 1999),
	},
	{
		folder:  "67-ply-64-bit-and-bool",
		learned: "Of a property that is not kept only the size must be known.",
		args:    []string{"inspect", "longtype.ply", "bool.ply", "--json"},
		check:   counts(1, 1),
	},
	{
		folder:  "68-ply-ascii-vertex-list",
		learned: "Vertices of text files have list properties, too.",
		args:    []string{"inspect", "vlist_ascii.ply", "--json"},
		check:   counts(2),
	},
	{
		folder:  "69-obj-not-recognised",
		learned: "OBJ separates by any blanks, continues lines with a backslash, and may begin with megabytes of normals.",
		args:    []string{"inspect", "tab.obj", "cont.obj", "vn_first.obj", "--json"},
		check:   counts(2, 2, 2),
	},
	{
		folder:  "73-pcd-commas",
		learned: "Some programs write PCD with commas between the values.",
		args:    []string{"inspect", "comma.pcd", "--json"},
		check: func(t *testing.T, _, out string) {
			pointsOf(t, out, 1)[0].within(t, [3]float64{1, 2, 3}, [3]float64{1, 2, 3})
		},
	},
}

// inspectedPoints is what inspect says of a file of points.
type inspectedPoints struct {
	File          string
	Count, Finite int
	Min, Max      [3]float64
}

// within checks the bounds.
func (p inspectedPoints) within(t *testing.T, lo, hi [3]float64) {
	t.Helper()
	for k := range lo {
		if d := max(p.Min[k]-lo[k], lo[k]-p.Min[k], p.Max[k]-hi[k], hi[k]-p.Max[k]); !(d < 1e-9) {
			t.Errorf("%s: found points from %v to %v, want %v to %v", p.File, p.Min, p.Max, lo, hi)
		}
	}
}

// pointsOf parses the output of inspect --json for n files.
func pointsOf(t *testing.T, out string, n int) []inspectedPoints {
	t.Helper()
	var ps []inspectedPoints
	for d := json.NewDecoder(strings.NewReader(out)); d.More(); {
		var p inspectedPoints
		if err := d.Decode(&p); err != nil {
			t.Fatalf("%v in %s", err, out)
		}
		ps = append(ps, p)
	}
	if len(ps) != n {
		t.Fatalf("found %d files, want %d: %s", len(ps), n, out)
	}
	return ps
}

// counts checks the numbers of points that inspect --json says.
func counts(want ...int) func(t *testing.T, dir, out string) {
	return func(t *testing.T, _, out string) {
		t.Helper()
		for i, p := range pointsOf(t, out, len(want)) {
			if p.Count != want[i] {
				t.Errorf("%s: found %d points, want %d", p.File, p.Count, want[i])
			}
		}
	}
}

// intensities checks the intensities of a Parquet file.
func intensities(name string, want ...float32) func(t *testing.T, dir, out string) {
	return func(t *testing.T, dir, _ string) {
		t.Helper()
		r := must(file.OpenParquetFile(filepath.Join(dir, name), false))(t)
		defer r.Close() //nolint:errcheck // read only
		at := r.MetaData().Schema.ColumnIndexByName("intensity")
		column, ok := must(r.RowGroup(0).Column(at))(t).(*file.Float32ColumnChunkReader)
		if !ok {
			t.Fatalf("column %d is no float32", at)
		}
		got := make([]float32, len(want)+1)
		_, n, err := column.ReadBatch(int64(len(got)), got, make([]int16, len(got)), nil)
		if err != nil || n != len(want) {
			t.Fatalf("found %d intensities, %v, want %d", n, err, len(want))
		}
		for i, v := range want {
			if got[i] != v {
				t.Errorf("row %d: found intensity %g, want %g", i, got[i], v)
			}
		}
	}
}
