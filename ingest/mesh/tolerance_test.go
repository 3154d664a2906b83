package mesh

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/ingest"
)

const two = "[1 4] [2 5] [3 6]"

// TestVariants: meshes as other programs write them, what is read from them, and a part of the notes or of the error.
func TestVariants(t *testing.T) {
	normals := strings.Repeat("vn 0 0 1\n", 8000) // more than a head
	for _, v := range []struct{ name, data, want, note, err string }{
		{name: "tab.obj", data: "v\t1\t2\t3\nv\t4\t5\t6\n", want: two},
		{name: "cont.obj", data: "v 1 2 \\\n3\nv 4 \\\r\n5 \\\r\n6\n", want: two},
		{name: "cont-f.obj", data: "v 1 2 3\nf 1 \\\n1 \\\n1\nv 4 5 6\n", want: two},
		{name: "normals.obj", data: normals + "v 1 2 3\nv 4 5 6\n", want: two},
		{name: "cr.obj", data: "v 1 2 3\rv 4 5 6\r", want: two},
		{name: "crlf.obj", data: "# x\r\nv 1 2 3\r\n\r\nv 4 5 6\r\n", want: two},
		{name: "bom.obj", data: "\ufeff# x\nv 1 2 3\nv 4 5 6\n", want: two},
		{name: "bom2.obj", data: "\ufeffv 1 2 3\nv 4 5 6\n", want: two},
		{name: "indented.obj", data: "  v 1 2 3\n\tv 4 5 6\n", want: two},
		{name: "comment.obj", data: "v 1 2 3 # first\n# v 7 8 9\nv 4 5 6\n", want: two},
		{name: "colors.obj", data: "v 1 2 3 1 0 0.5\nv 4 5 6 0 1 0\n", want: two + " c[255 0] [0 255] [128 0]"},
		{name: "bytes.obj", data: "v 1 2 3 255 0 10\nv 4 5 6 0 255 0\n", want: two + " c[255 0] [0 255] [10 0]"},
		{
			name: "some.obj", data: "v 1 2 3 1 0 0.5\nv 4 5 6\n",
			want: two, note: "colours are left out: 1 of 2 vertices",
		},
		{
			name: "weight.obj", data: "v 1 2 3 2.0\nv 4 5 6 1\n",
			want: two, note: "a fourth coordinate (weight) is not applied",
		},
		{name: "one.obj", data: "v 1 2 3 1.0\nv 4 5 6 1.0\n", want: two},
		{name: "negative.obj", data: "v 1 2 3\nv 4 5 6\nf -1//-1 -2//-2 -1//-1\n", want: two},
		{name: "nan.obj", data: "v -nan nan(ind) 1.#QNAN\nv 1 2 3\n", want: "[NaN 1] [NaN 2] [NaN 3]"},
		{name: "fortran.obj", data: "v 0.1D+01 2.0d0 3.\nv 4 5 6\n", want: two},
		{name: "unknown.obj", data: "v 1 2 3\nsomething else\nv 4 5 6\n", want: two},
		{name: "curves.obj", data: "cstype bspline\ndeg 3\nv 1 2 3\nv 4 5 6\nparm u 0 1\nend\n", want: two},
		{
			name: "odd.obj", data: "v 1 2 3\nv 1 oops 3\nv 4 5 6\n",
			want: two, note: `1 vertex left out: line 2, value 2: found "oops"`,
		},
		{name: "odd-cont.obj", data: "f 1 \\\n1\nv 1 2 3\nv 1 oops 3\nv 4 5 6\n", want: two, note: "line 4, value 2"},
		{name: "cut.obj", data: "v 1 2 3\nv 4 5 6\nv 7 8", want: two, note: "line 3, value 3"},
		{name: "comma.obj", data: "v 1,5 2,5 3,5\nv 4,5 5,5 6,5\n", err: `line 1, value 1: found "1,5"`},
		{name: "tex.obj", data: "vt 0 0\nv 1 2 3\nvt 1 1\nv 4 5 6\n\x1a", want: two},

		{name: "crlf.off", data: "OFF\r\n2 0 0\r\n1 2 3\r\n4 5 6\r\n", want: two},
		{name: "cr.off", data: "OFF\r2 0 0\r1 2 3\r4 5 6\r", want: two},
		{name: "bom.off", data: "\ufeffOFF\n2 0 0\n1 2 3\n4 5 6\n", want: two},
		{name: "one-line.off", data: "OFF 2 0 0\n1 2 3\n4 5 6\n", want: two},
		{
			name: "comments.off",
			data: "# a mesh\n\nOFF # yes\n# counts\n2 0 0 # here\n1 2 3 # first\n# next\n4 5 6\n",
			want: two,
		},
		{name: "lines.off", data: "OFF\n2\n0\n0\n1 2 3\n4 5 6\n", want: two},
		{name: "noword.off", data: "2 0 0\n1 2 3\n4 5 6\n", want: two},
		{name: "noedges.off", data: "OFF\n2 0\n1 2 3\n4 5 6\n", want: two},
		{
			name: "coff.off", data: "COFF\n2 0 0\n1 2 3 255 0 9 255\n4 5 6 1 2 3 255\n",
			want: two + " c[255 1] [0 2] [9 3]",
		},
		{
			name: "coff3.off", data: "COFF\n2 0 0\n1 2 3 1.0 0 0.2\n4 5 6 0 1 0\n",
			want: two + " c[255 0] [0 255] [51 0]",
		},
		{name: "noff.off", data: "NOFF\n2 0 0\n1 2 3 0 0 1\n4 5 6 0 0 1\n", want: two},
		{
			name: "stcnoff.off", data: "STCNOFF\n2 0 0\n1 2 3 0 0 1 9 8 7 255 0 0\n4 5 6 0 0 1 9 8 7 255 1 1\n",
			want: two + " c[9 9] [8 8] [7 7]",
		},
		{name: "rgb.off", data: "OFF\n2 0 0\n1 2 3 9 9 9\n4 5 6 9 9 9\n", want: two},
		{name: "nan.off", data: "OFF\n2 0 0\n-nan -nan -nan\n4 5 6\n", want: "[NaN 4] [NaN 5] [NaN 6]"},
		{name: "cut.off", data: "OFF\n3 0 0\n1 2 3\n4 5 6\n", want: two, note: "truncated: found 2 of 3 vertices"},
		{
			name: "odd.off", data: "OFF\n3 0 0\n1 2 3\n1 oops 3\n4 5 6\n",
			want: two, note: "1 vertex left out: line 4, value 2",
		},
		{name: "binary.off", data: "OFF BINARY\n\x00\x00\x00\x02", err: "found OFF BINARY, want text"},
		{name: "4.off", data: "4OFF\n1 0 0\n1 2 3 4\n", err: "found 4OFF, want vertices of three dimensions"},
		{name: "n.off", data: "nOFF 5\n1 0 0\n1 2 3 4 5\n", err: "found nOFF"},
		{name: "empty.off", data: "OFF\n", err: "want OFF and the numbers of vertices"},

		{
			name: "crlf.binvox",
			data: strings.ReplaceAll("#binvox 1\ndim 1 1 2\ntranslate 0 0 0\nscale 1\ndata\n", "\n", "\r\n") +
				"\x01\x02",
			want: "[1 2 1] [1 1]",
		},
		{
			name: "order.binvox",
			data: "#binvox 1\nscale 1\n\ntranslate 0 0 0\ndim  1\t1 2\nbbox 0 0 0\ndata \n\x00\x01\x01\x01",
			want: "[1 2 1] [0 1]",
		},
		{name: "bare.binvox", data: "#binvox 1\ndim 1 1 2\ndata\n\x01\x02", want: "[1 2 1] [1 1]"},
		{
			name: "255.binvox", data: "#binvox 1\ndim 1 1 2\ndata\n\x00\x01\xff\x01",
			want: "[1 2 1] [0 1]", note: "run 1 has the value 255",
		},
		{name: "zero.binvox", data: "#binvox 1\ndim 1 1 2\ndata\n\x00\x00\x01\x02", want: "[1 2 1] [1 1]"},
		{name: "more.binvox", data: "#binvox 1\ndim 1 1 2\ndata\n\x01\x02rest", want: "[1 2 1] [1 1]"},
		{name: "cut.binvox", data: "#binvox 1\ndim 1 1 2\ndata\n\x01\x01", err: "truncated: found 1 cells, want 2"},
		{name: "nodim.binvox", data: "#binvox 1\ndata\n\x01\x01", err: "dim: found [0 0 0]"},
	} {
		t.Run(v.name, func(t *testing.T) {
			got, notes, err := readVariant(t, v.name, v.data)
			switch {
			case v.err != "":
				if err == nil || !strings.Contains(err.Error(), v.err) {
					t.Errorf("found %s, error %v, want %q", got, err, v.err)
				}
			case err != nil || got != v.want:
				t.Errorf("found %s, error %v, want %s", got, err, v.want)
			case !strings.Contains(notes, v.note) || v.note == "" && notes != "":
				t.Errorf("found notes %q, want %q", notes, v.note)
			}
		})
	}
}

// readVariant reads a file with the format that recognizes it.
func readVariant(t *testing.T, name, data string) (got, notes string, err error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
		t.Fatal(err)
	}
	head, err := ingest.ReadHead(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []ingest.Format{OFF, OBJ, Binvox} {
		if f.Detect(head) == ingest.No {
			continue
		}
		o := ingest.Options{Notes: new(ingest.Notes)}
		src, err := f.Open(t.Context(), path, o)
		if err != nil {
			t.Fatal(err)
		}
		s, err := src.Read(t.Context())
		if err != nil {
			return "", "", err
		}
		switch d := s.Data.(type) {
		case *ingest.PointCloud:
			if got = fmt.Sprint(d.X, d.Y, d.Z); d.R != nil {
				got += fmt.Sprint(" c", d.R, d.G, d.B)
			}
		case *ingest.Grid:
			got = fmt.Sprint(d.Dims, d.Values)
		}
		for _, n := range o.Notes.Take() {
			notes += n.Text + "\n"
		}
		return got, notes, nil
	}
	return "", "", fmt.Errorf("not recognized")
}
