package lidar

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/ingesttest"
)

// variant is a file as somebody's software writes it, and what is read from it: points of all clouds, and a part of
// the notes or of the error.
type variant struct {
	name, data string
	want       string // of each cloud: x y z, intensity and colours where there are any
	note, err  string
}

func describe(clouds []*ingest.PointCloud) string {
	var out []string
	for _, p := range clouds {
		s := fmt.Sprint(p.X, p.Y, p.Z)
		if p.Intensity != nil {
			s += fmt.Sprint(" i", p.Intensity)
		}
		if p.R != nil {
			s += fmt.Sprint(" c", p.R, p.G, p.B)
		}
		out = append(out, s)
	}
	return strings.Join(out, "; ")
}

// readVariant reads a file with the format that recognizes it.
func readVariant(t *testing.T, v variant, o ingest.Options) (got, notes string, err error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), v.name)
	if err := os.WriteFile(path, []byte(v.data), 0o600); err != nil {
		t.Fatal(err)
	}
	head, err := ingest.ReadHead(path)
	if err != nil {
		t.Fatal(err)
	}
	var best ingest.Format
	var bad error
	sure := ingest.No
	for _, f := range []ingest.Format{PCD, PLY, LAS, LAZ, PTX, E57, NuScenes, KITTI, PTS, XYZ} {
		if k := f.Detect(head); k > sure {
			best, sure = f, k
		}
	}
	if sure == ingest.No {
		return "", "", fmt.Errorf("not recognized")
	}
	o.Notes = new(ingest.Notes)
	src, err := best.Open(t.Context(), path, o)
	if err != nil {
		t.Fatal(err)
	}
	var clouds []*ingest.PointCloud
	_, err = ingest.Each(t.Context(), src, func(s ingest.Sample) error {
		clouds = append(clouds, s.Data.(*ingest.PointCloud)) //nolint:forcetypeassert // these formats have no others
		return nil
	}, func(e error) { bad = e })
	for _, n := range o.Notes.Take() {
		notes += n.Text + "\n"
	}
	return describe(clouds), notes, errors.Join(err, bad)
}

func (v variant) test(t *testing.T, o ingest.Options) {
	t.Helper()
	got, notes, err := readVariant(t, v, o)
	switch {
	case v.err != "":
		if err == nil || !strings.Contains(err.Error(), v.err) {
			t.Errorf("%s: %.60q: found %s, error %v, want %q", v.name, v.data, got, err, v.err)
		}
		return
	case err != nil || got != v.want:
		t.Errorf("%s: %.60q: found %s, error %v, want %s", v.name, v.data, got, err, v.want)
	case !strings.Contains(notes, v.note) || v.note == "" && notes != "":
		t.Errorf("%s: %.60q: found notes %q, want %q", v.name, v.data, notes, v.note)
	}
}

func utf16le(s string) string {
	b := []byte{0xff, 0xfe}
	for _, u := range utf16.Encode([]rune(s)) {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	return string(b)
}

const two = "[1 4] [2 5] [3 6]"

// TestTextVariants: tables of points as spreadsheets, viewers, surveyors and programs of all kinds write them.
func TestTextVariants(t *testing.T) {
	rows := strings.Repeat("1.5 2.5 3.5\n", 5000)
	for _, v := range []variant{
		// Line ends, marks, indentation.
		{name: "cr.xyz", data: "1 2 3\r4 5 6\r", want: two},
		{name: "crlf.xyz", data: "1 2 3\r\n4 5 6\r\n", want: two},
		{name: "mixed.xyz", data: "1 2 3\r4 5 6\r\n\n", want: two},
		{name: "crcrlf.xyz", data: "1 2 3\r\r\n4 5 6\r\r\n", want: two},
		{name: "indented.xyz", data: "   1 2 3\n\t4 5 6  \n", want: two},
		{name: "bom.csv", data: "\ufeffx,y,z\n1,2,3\n4,5,6\n", want: two},
		{name: "bom-comment.asc", data: "\ufeff//X,Y,Z\n1,2,3\n4,5,6\n", want: two},
		{name: "utf16.csv", data: utf16le("x,y,z\r\n1,2,3\r\n4,5,6\r\n"), want: two},
		{name: "utf16.txt", data: utf16le("1\t2\t3\r\n4\t5\t6\r\n"), want: two},
		{name: "ctrlz.txt", data: "1 2 3\n4 5 6\n\x1a", want: two},
		{name: "zeros.xyz", data: "1 2 3\n4 5 6\n\x00\x00\x00\x00", want: two},
		{name: "formfeed.xyz", data: "1 2 3\n\f4 5 6\n", want: two},
		{name: "crcsv.csv", data: "x,y,z\r1,2,3\r4,5,6", want: two},
		{name: "latin1.txt", data: "H\xf6he der Punkte\n1 2 3\n4 5 6\n", want: two, note: ""},

		// Words for numbers.
		{name: "nan.xyz", data: "1 2 3\n-nan -nan(ind) nan(snan)\n4 5 6\n", want: "[1 NaN 4] [2 NaN 5] [3 NaN 6]"},
		{name: "msvc.xyz", data: "1 2 3\n-1.#IND00 1.#QNAN 1.#INF00\n4 5 6\n", want: "[1 NaN 4] [2 NaN 5] [3 +Inf 6]"},
		{name: "fortran.xyz", data: "1.0D+00 2.0d0 0.3D+01\n 4.0D0 5.0D0 0.6D1\n", want: two},
		{name: "hex.xyz", data: "0x1p0 0x1p+1 0x1.8p1\n4 5 6\n", want: two},
		{name: "na.csv", data: "x,y,z\n1,2,3\nNA,NA,NA\n4,5,6\n", want: "[1 NaN 4] [2 NaN 5] [3 NaN 6]"},
		{name: "plus.xyz", data: "+1 +2 +3\n+4 +5.0 +6.\n", want: two},
		{name: "stars.xyz", data: "1 2 3\n***** 5 6\n", want: "[1 NaN] [2 5] [3 6]"},

		// Comments and blank lines between rows.
		{name: "hash.xyz", data: "1 2 3\n# scan 2\n4 5 6\n", want: two},
		{name: "slashes.xyz", data: "1 2 3\n\n// scan 2\n\n4 5 6\n", want: two},
		{name: "semicolon.xyz", data: "1 2 3\n; scan 2\n4 5 6\n", want: two},
		{name: "percent.xyz", data: "% Octave\n1 2 3\n% more\n4 5 6\n", want: two},
		{name: "tail.xyz", data: "1 2 3 # first\n4 5 6 // second\n", want: two},
		{
			name: "end.xyz", data: "1 2 3\n4 5 6\nEND\n",
			want: two, note: `1 row left out: line 3, value 1 of 3: found "END"`,
		},

		// Separators, decimal commas, thousands.
		{name: "semi.csv", data: "x;y;z\n1,0;2,0;3,0\n4,0;5,0;6,0\n", want: two},
		{name: "tab.txt", data: "1,5\t2\t3\n4,5\t5\t6\n", want: "[1.5 4.5] [2 5] [3 6]"},
		{name: "space.xyz", data: "1,25 2,5 3\n4 5,75 6\n", want: "[1.25 4] [2.5 5.75] [3 6]"},
		{name: "lead.xyz", data: "0,500 1,500 2,500\n", want: "[0.5] [1.5] [2.5]"},
		{name: "late.csv", data: "x;y;z\n1;2;3\n4,5;5;6\n", want: "[1 4.5] [2 5] [3 6]"},
		{
			name: "utm.csv", data: "x;y;z\n690000,125;5300000,500;420,250\n",
			want: "[690000.125] [5.3000005e+06] [420.25]",
		},
		{name: "quoted.csv", data: "\"x\",\"y\",\"z\"\n\"1,5\",\"2,5\",\"3,5\"\n", want: "[1.5] [2.5] [3.5]"},
		{
			name: "apostrophe.txt", data: "2'600'000.5 1'200'000.5 450.5\n",
			want: "[2.6000005e+06] [1.2000005e+06] [450.5]",
		},
		{name: "bar.txt", data: "x|y|z\n1|2|3\n4|5|6\n", want: two},
		{name: "comma-space.csv", data: "x, y, z\n1, 2, 3\n4, 5, 6\n", want: two},
		{name: "trailing.csv", data: "x,y,z,\n1,2,3,\n4,5,6,\n", want: two},
		{name: "trailing2.csv", data: "1,2,3,\n4,5,6,\n", want: two},
		{
			name: "thousand.txt", data: "1,500 2,500 3,500\n4,500 5,500 6,500\n",
			err: `line 1: found "1,500": a decimal comma`,
		},
		{name: "thousand.csv", data: "x;y;z\n1,234,567;2,000;3\n", err: "line 2: found \"1,234,567\""},
		{name: "both.csv", data: "x;y;z\n1,234.5;2,345.5;3\n", err: "--comma"},
		{name: "german.csv", data: "x;y;z\n1.234,5;2.345,5;3\n", err: "line 2"},
		{name: "ambiguous.txt", data: "1,5, 2,5, 3,5\n4,5, 5,5, 6,5\n", err: "commas separate values and decimals"},
		{name: "split.csv", data: "x,y,z\n1,5,2,5,3,5\n", err: "line 1 names 3 columns, line 2 has 6 values"},

		// Quoted and empty cells.
		{name: "q.csv", data: "\"x\",\"y\",\"z\"\n\"1\",\"2\",\"3\"\n\"4\",\"5\",\"6\"\n", want: two},
		{
			name: "empty.csv", data: "x,y,z,intensity\n1,2,3,\n4,5,6,7\n",
			want: two + " i[NaN 7]", note: "1 empty cell read as NaN",
		},
		{
			name: "empty2.csv", data: "x,y,z\n1,2,3\n4,,6\n,,\n",
			want: "[1 4 NaN] [2 NaN NaN] [3 6 NaN]", note: "4 empty cells read as NaN",
		},
		{
			name: "emptytab.tsv", data: "x\ty\tz\ti\n1\t2\t3\t\n4\t\t6\t7\n",
			want: "[1 4] [2 NaN] [3 6] i[NaN 7]", note: "2 empty cells",
		},
		{name: "text.csv", data: "x,y,z,class\n1,2,3,tree\n4,5,6,\"road, wet\"\n", want: two},
		{name: "pandas.csv", data: ",x,y,z\n0,1,2,3\n1,4,5,6\n", want: two},
		{name: "r.txt", data: "\"x\" \"y\" \"z\"\n\"1\" 1 2 3\n\"2\" 4 5 6\n", want: two},

		// Headers.
		{
			name: "veloview.csv", want: two + " i[7 8]", note: "x comes from field Points_m_XYZ:0",
			data: "\"Points_m_XYZ:0\",\"Points_m_XYZ:1\",\"Points_m_XYZ:2\",\"intensity\",\"laser_id\",\"azimuth\"\n" +
				"1,2,3,7,0,100\n4,5,6,8,1,200\n",
		},
		{
			name: "veloview2.csv", want: two + " i[9 9]", note: "x comes from field Points:0",
			data: "intensity,laser_id,Points:0,Points:1,Points:2\n9,0,1,2,3\n9,1,4,5,6\n",
		},
		{
			name: "cc.asc", data: "//X Y Z R G B Intensity\n1 2 3 10 20 30 .5\n4 5 6 11 21 31 .25\n",
			want: two + " i[0.5 0.25] c[10 11] [20 21] [30 31]",
		},
		{name: "cc2.txt", data: "//X,Y,Z,Scalar field\n2\n1,2,3,9\n4,5,6,9\n", want: two},
		{
			name: "survey.csv", want: "[4 8] [3 7] [5 9]", note: "y comes from field Northing",
			data: "Project: Bridge\nDate: 2020-01-02\n\nPoint ID,Northing,Easting,Elevation,Code\n" +
				"P1,3,4,5,TREE\nP2,7,8,9,ROAD\n",
		},
		{
			name: "survey2.csv", want: "[4 8] [3 7] [5 9]", note: "z comes from field elev",
			data: "Point,N (m),E (m),Elev (m)\n1,3,4,5\n2,7,8,9\n",
		},
		{name: "title.txt", data: "My survey of the old bridge\n1 2 3\n4 5 6\n", want: two},
		{name: "units.csv", data: "X (m),Y (m),Z (m)\n1,2,3\n4,5,6\n", want: two},
		{
			name: "mm.csv", data: "X [mm],Y [mm],Z [mm]\n1000,2000,3000\n",
			want: "[1] [2] [3]", note: "coordinates multiplied by 0.001",
		},
		{name: "coord.csv", data: "x_coord,y_coord,z_coord\n1,2,3\n4,5,6\n", want: two},
		{name: "arcgis.csv", data: "FID,POINT_X,POINT_Y,POINT_Z\n0,1,2,3\n1,4,5,6\n", want: two},
		{name: "unitrow.csv", data: "x,y,z\nm,m,m\n1,2,3\n4,5,6\n", want: two, note: "1 row left out: line 2"},
		{name: "order.csv", data: "intensity,z,y,x\n.5,3,2,1\n.25,6,5,4\n", want: two + " i[0.5 0.25]"},
		{
			name: "hides.csv", data: "x,y,z,confidence,intensity\n1,2,3,.9,.1\n",
			want: "[1] [2] [3] i[0.1]", note: "not kept: confidence",
		},
		{name: "nir.csv", data: "x,y,z,red,r,g,b\n1,2,3,99,10,20,30\n", want: "[1] [2] [3] c[10] [20] [30]"},
		{name: "lat.csv", data: "lat,lon,alt\n52.1,4.3,10\n52.2,4.4,11\n", err: "longitude and latitude are not read"},
		{name: "other.csv", data: "a,b,c\n1,2,3\n4,5,6\n", err: "not recognized"},
		{name: "count.csv", data: "x,y,z\n1,2,3,4\n5,6,7,8\n", err: "line 1 names 3 columns, line 2 has 4 values"},

		// Point numbers, times, text columns without names.
		{
			name: "id.txt", data: "1 100.5 200.5 10.5\n2 101.5 201.5 11.5\n3 102.5 202.5 12.5\n",
			err: "seem to be point numbers: name them with --columns",
		},
		{name: "time.txt", data: "1700000000.1 1 2 3\n1700000000.2 4 5 6\n", err: "seem to be times"},
		{name: "p.txt", data: "P1 1 2 3\nP2 4 5 6\n", want: two, note: "columns without names, read as column1 x y z"},
		{name: "desc.csv", data: "1,2,3,tree\n4,5,6,road\n", want: two, note: "read as x y z"},
		{name: "words.txt", data: "1 2 3 old tree\n4 5 6 wide road\n", want: two, note: "read as x y z"},
		{name: "molecule.xyz", data: "3\nwater\nO 0 0 0.1\nH 0 0.7 -0.4\nH 0 -0.7 -0.4\n", err: "a molecule"},

		// Colours and normals without names.
		{
			name: "rgb.xyz", data: "1 2 3 10 20 30\n4 5 6 11 21 31\n",
			want: two + " c[10 11] [20 21] [30 31]", note: "read as x y z red green blue",
		},
		{
			name: "rgb16.txt", data: "1 2 3 65535 0 257\n4 5 6 0 65535 0\n",
			want: two + " c[255 0] [0 255] [1 0]", note: "read as 16 bits",
		},
		{
			name: "rgbf.xyzrgb", data: "1 2 3 1.0 0.5 0.2\n4 5 6 0.0 1.0 0.2\n",
			want: two + " c[255 0] [128 255] [51 51]", note: "red green blue",
		},
		{name: "normals.xyzn", data: "1 2 3 0 0 1\n4 5 6 0.6 0 0.8\n", want: two, note: "read as x y z nx ny nz"},

		{
			name: "trimesh.xyz",
			data: "1 2 3 10 20 30 255\n4 5 6 11 21 31 255\n", want: two + " c[10 11] [20 21] [30 31]",
			note: "red green blue alpha",
		},
		{name: "poses.txt", data: "1 2 3 0 0 0 1\n4 5 6 0.6 0 0 0.8\n", want: two, note: "read as x y z qx qy qz qw"},
		{
			name: "pcv.pts", want: two + " i[0.5 0.25] c[255 0] [128 0] [0 255]",
			data: "//X;Y;Z;Rf;Gf;Bf;Intensity;curvature;Illuminance (PCV);Volume density (r=0.01);Nx\n2\n" +
				"1;2;3;1;0.5;0;0.5;0;0.9;86421136.0;0.8\n4;5;6;0;0;1;0.25;0;0.9;86421136.0;0.8\n",
		},
		{name: "name.csv", data: "name, x, y, z\ntop, 1, 2, 3\nthe corner, 4, 5, 6\n", want: two},
		{
			name: "ice.csv", err: "longitude and latitude are not read",
			data: "RelativeTime,Latitude,Longitude,Elevation\n0.0,69.3,-49.8,630.1\n0.1,69.4,-49.9,631.1\n",
		},
		{
			name: "raster.asc", err: "line 1: found \"ncols 4\": a grid of heights",
			data: "ncols 4\nnrows 2\nxllcorner 0\nyllcorner 0\ncellsize 1\nNODATA_value -9999\n1 2 3 4\n5 6 7 8\n",
		},
		{name: "again.txt", data: "X Y Z\n1 2 3\n\nX Y Z\n4 5 6\n", want: two, note: "1 row left out: line 4"},
		{name: "labels.csv", data: "id,label,score\n1,2,0.5\n2,3,0.25\n", err: "not recognized"},
		{name: "xy.csv", data: "x,y,v\n1,2,0.5\n2,3,0.25\n", err: "want one named z"},
		{
			name: "numpy.txt",
			data: "1.000000000000000000e+00 2.000000000000000000e+00 3.000000000000000000e+00\n4 5 6\n",
			want: two,
		},
		{
			name: "meshlab.xyz", data: "1.0 2.0 3.0 0 0 -1 \n4.0 5.0 6.0 0 0 1 \n",
			want: two, note: "read as x y z nx ny nz",
		},
		{
			name: "matlab.txt", data: "   1.0000000e+00   2.0000000e+00   3.0000000e+00\n   4.0000000e+00   5   6\n",
			want: two,
		},
		{name: "excel.csv", data: "sep=;\nx;y;z\n1,5;2;3\n4;5;6\n", want: "[1.5 4] [2 5] [3 6]"},
		{
			name: "swiss.csv", data: "E;N;H\n2'600'000,5;1'200'000,5;450,5\n",
			want: "[2.6000005e+06] [1.2000005e+06] [450.5]", note: "x comes from field E",
		},
		{
			name: "enh.csv", data: "Punkt;E;N;H\nA1;2600000,5;1200000,25;450\n",
			want: "[2.6000005e+06] [1.20000025e+06] [450]", note: "x comes from field E",
		},
		{
			name: "feet.csv", data: "Easting (ft),Northing (ft),Elevation (ft)\n10,20,30\n",
			want: "[3.048] [6.096] [9.144]", note: "multiplied by 0.3048",
		},
		{name: "units.csv", data: "x (m),y (m),z (ft)\n10,20,30\n", err: "found different units"},
		{name: "quotes.txt", data: "'x' 'y' 'z'\n1 2 3\n4 5 6\n", want: two},
		{name: "nbsp.txt", data: "1\u00a0234,5 2\u00a0345,5 3,5\n", want: "[1234.5] [2345.5] [3.5]"},
		{
			name: "ghost.csv", data: "x,y,z\n1,2,3\n,,\n4,5,6\n,,\n",
			want: "[1 NaN 4 NaN] [2 NaN 5 NaN] [3 NaN 6 NaN]", note: "6 empty cells",
		},

		// Damaged rows.
		{
			name: "odd.csv", data: "x,y,z\n1,2,3\n1,two,3\n4,5,6\n",
			want: two, note: `1 row left out: line 3, value 2 of 3: found "two"`,
		},
		{name: "first.csv", data: "x,y,z\noops,2,3\n1,2,3\n4,5,6\n", want: two, note: "1 row left out: line 2"},
		{name: "first.xyz", data: "oops 2 3\n1 2 3\n4 5 6\n", want: two, note: "1 row left out: line 1"},
		{
			name: "cut.xyz", data: "1 2 3\n4 5 6\n7 8",
			want: two, note: "line 3, value 3 of 3: found the end of the line",
		},
		{name: "long.xyz", data: "1 2 3\n4 5 6\n7 8 9 10\n", want: two, note: `line 3: found "10" after 3 values`},
		{name: "two.csv", data: "x,y,z\n1,2,3\n1,two,3\n1,two,3\n", err: `line 3, value 2 of 3: found "two"`},
		{
			name: "late.xyz",
			data: rows + "1 2 oops\n" + rows, note: `1 row left out: line 5001, value 3 of 3: found "oops"`,
			want: "many",
		},
		{name: "none.xyz", data: "1 2\n3 4\n", err: `line 1: found "1 2", want x, y and z`},

		// Counts and blocks.
		{
			name: "pts2.pts", data: "1\n1 2 3 -5 10 20 30\n1\n4 5 6 -5 1 2 3\n",
			want: "[1] [2] [3] i[-5] c[10] [20] [30]; [4] [5] [6] i[-5] c[1] [2] [3]",
		},
		{name: "dark.pts", data: "2\n1 2 3 5 0 0 1\n4 5 6 5 1 0 0\n", want: two + " i[5 5] c[0 1] [0 0] [1 0]"},
		{name: "rgb.pts", data: "2\n1 2 3 0 0 1\n4 5 6 1 0 0\n", want: two + " c[0 1] [0 0] [1 0]"},
		{name: "fewer.pts", data: "3\n1 2 3\n4 5 6\n", want: two, note: "line 1 says 3 points, found 2"},
		{
			name: "more.pts", data: "2\n1 2 3\n4 5 6\n7 8 9\n",
			want: two, note: "1 row left out: line 1 announces 2 points",
		},
		{
			name: "short-block.pts", data: "3\n1 2 3\n4 5 6\n1\n7 8 9\n",
			want: two + "; [7] [8] [9]", note: "line 1 says 3 points, found 2",
		},
		{name: "crlf.pts", data: "2\r\n1 2 3\r\n\r\n4 5 6\r\n2\r\n1 2 3\r\n4 5 6\r\n", want: two + "; " + two},
		{name: "bom.pts", data: "\ufeff2\n1 2 3\n4 5 6\n", want: two},
		{name: "comma.pts", data: "2\n1,2,3\n4,5,6\n", want: two},
		{
			name: "nocount.pts", data: "1 2 3 7 10 20 30\n4 5 6 8 11 21 31\n",
			want: two + " i[7 8] c[10 11] [20 21] [30 31]",
		},
	} {
		t.Run(v.name, func(t *testing.T) {
			if v.want == "many" {
				got, notes, err := readVariant(t, v, ingesttest.Options)
				if err != nil || !strings.HasPrefix(got, "[1.5 1.5") || !strings.Contains(notes, v.note) {
					t.Errorf("found %.30q, error %v, notes %s", got, err, notes)
				}
				return
			}
			v.test(t, ingesttest.Options)
		})
	}
}

// TestPTXVariants: several scans, dark colours, cut files, byte order marks.
func TestPTXVariants(t *testing.T) {
	head := "2\n1\n0 0 0\n1 0 0\n0 1 0\n0 0 1\n1 0 0 0\n0 1 0 0\n0 0 1 0\n10 0 0 1\n"
	scan := head + "1 2 3 0.5\n4 5 6 0.5\n"
	const want = "[11 14] [2 5] [3 6] i[0.5 0.5]"
	for _, v := range []variant{
		{name: "two.ptx", data: scan + scan, want: want + "; " + want},
		{name: "cr.ptx", data: strings.ReplaceAll(scan, "\n", "\r"), want: want},
		{name: "crlf.ptx", data: strings.ReplaceAll(scan+scan, "\n", "\r\n"), want: want + "; " + want},
		{name: "bom.ptx", data: "\ufeff" + scan, want: want},
		{name: "utf16.ptx", data: utf16le(scan), want: want},
		{name: "blank.ptx", data: strings.ReplaceAll(scan, "\n", "\n\n"), want: want},
		{name: "dark.ptx", data: head + "1 2 3 0.5 0 0 1\n4 5 6 0.5 1 0 0\n", want: want + " c[0 1] [0 0] [1 0]"},
		{
			name: "cut.ptx", data: scan + head + "1 2 3 0.5\n4 5",
			want: want + "; [11] [2] [3] i[0.5]", note: "line 24, value 3 of 4",
		},
		{
			name: "short.ptx", data: scan + head + "1 2 3 0.5\n",
			want: want + "; [11] [2] [3] i[0.5]", note: "says 2 points, found 1",
		},
		{name: "tail.ptx", data: scan + "END\n", want: want, note: "left out after scan 1"},
		{
			name: "odd.ptx", data: head + "1 2 3 0.5\n4 oops 6 0.5\n",
			want: "[11] [2] [3] i[0.5]", note: "line 12, value 2 of 4",
		},
		{
			name: "scaled.ptx", data: strings.Replace(scan, "1 0 0 0\n", "2 0 0 0\n", 1),
			want: "[12 18] [2 5] [3 6] i[0.5 0.5]", note: "not a rotation",
		},
		{name: "nan.ptx", data: head + "1 2 3 0.5\n-nan -nan -nan 0\n", want: "[11 NaN] [2 NaN] [3 NaN] i[0.5 0]"},
		{name: "bad.ptx", data: "2\n1\n0 0\n", err: "line 3: found \"0 0\", want the 3 numbers"},
		{name: "few.ptx", data: head + "1 2\n4 5\n", err: "found 2 values, want 4 or 7"},
	} {
		t.Run(v.name, func(t *testing.T) { v.test(t, ingesttest.Options) })
	}
}

// TestRawVariants: scans of KITTI's and nuScenes' layout that are not from there.
func TestRawVariants(t *testing.T) {
	scan := func(k int, edit func(i int, v []float32)) string {
		var b []byte
		for i := range 100 {
			v := make([]float32, k)
			for j := range v {
				v[j] = float32(math.Sin(float64(7*i+j)) * 20)
			}
			v[3] = 0.5
			if edit != nil {
				edit(i, v)
			}
			b = append(b, rawFloats(v...)...)
		}
		return string(b)
	}
	for _, v := range []variant{
		{name: "far.bin", data: scan(4, func(i int, v []float32) { v[0] = 420 }), want: "100"},
		{name: "reflectance.bin", data: scan(4, func(i int, v []float32) { v[3] = 4000 }), want: "100"},
		{name: "nan.bin", data: scan(4, func(i int, v []float32) {
			if i == 3 {
				v[0], v[1], v[2] = float32(math.NaN()), float32(math.NaN()), float32(math.NaN())
			}
		}), want: "100"},
		{name: "inf.bin", data: scan(4, func(i int, v []float32) {
			if i == 3 {
				v[2] = float32(math.Inf(1))
			}
		}), want: "100"},
		{name: "negative.bin", data: scan(4, func(i int, v []float32) {
			if i == 3 {
				v[3] = -1
			}
		}), want: "100"},
		{
			name: "cut.bin", data: scan(4, nil)[:1595],
			want: "99", note: "found 1595 bytes, want a multiple of 16: the last 11 bytes",
		},
		{name: "zeros.bin", data: scan(4, func(i int, v []float32) {
			if i < 90 {
				clear(v)
			}
		}), want: "100"},
		{
			name: "integers.bin",
			data: scan(4, func(i int, v []float32) { v[0], v[1], v[2] = float32(i), float32(-i), 2 }),
			want: "100",
		},
		{name: "rings.bin", data: scan(5, func(i int, v []float32) { v[4] = float32(i % 16) }), want: "100"},
		{
			name: "sweep.pcd.bin", data: scan(5, func(i int, v []float32) { v[3], v[4] = 300, float32(i%32) })[:1990],
			want: "99", note: "multiple of 20",
		},
		{name: "six.bin", data: scan(6, nil), err: "name the floats of a point with --columns"},
		{name: "five.bin", data: scan(5, nil), err: "name the floats of a point with --columns"},
	} {
		t.Run(v.name, func(t *testing.T) {
			got, notes, err := readVariant(t, v, ingesttest.Options)
			if v.err != "" {
				if err == nil || !strings.Contains(err.Error(), v.err) {
					t.Errorf("found error %v, want %q", err, v.err)
				}
				return
			}
			n := fmt.Sprint(len(strings.Fields(strings.SplitN(got, "]", 2)[0])))
			if err != nil || n != v.want || !strings.Contains(notes, v.note) || v.note == "" && notes != "" {
				t.Errorf("found %s points, error %v, notes %q, want %s and %q", n, err, notes, v.want, v.note)
			}
		})
	}
}

func f32(v ...float32) string { return string(rawFloats(v...)) }

func f64(v ...float64) string { return string(float64s(v...)) }

// TestPCDVariants: headers and bodies as other programs than PCL write them.
func TestPCDVariants(t *testing.T) {
	const head = "# .PCD v0.7 - Point Cloud Data file format\nVERSION 0.7\nFIELDS x y z\nSIZE 4 4 4\nTYPE F F F\n" +
		"COUNT 1 1 1\nWIDTH 2\nHEIGHT 1\nVIEWPOINT 0 0 0 1 0 0 0\nPOINTS 2\n"
	const ascii, binary = head + "DATA ascii\n", head + "DATA binary\n"
	body := f32(1, 2, 3, 4, 5, 6)
	edit := func(s string, pairs ...string) string { return strings.NewReplacer(pairs...).Replace(s) }
	fields := func(names, sizes, types, counts string) string {
		return edit(
			binary,
			"FIELDS x y z",
			"FIELDS "+names,
			"SIZE 4 4 4",
			"SIZE "+sizes,
			"TYPE F F F",
			"TYPE "+types,
			"COUNT 1 1 1",
			"COUNT "+counts,
		)
	}
	for _, v := range []variant{
		{name: "comma.pcd", data: ascii + "1,2,3\n4,5,6\n", want: two},
		{name: "comma-space.pcd", data: ascii + "1, 2, 3\n4, 5, 6\n", want: two},
		{name: "decimal.pcd", data: ascii + "1,5 2,5 3,5\n4,5 5,5 6,25\n", want: "[1.5 4.5] [2.5 5.5] [3.5 6.25]"},
		{name: "semicolon.pcd", data: ascii + "1;2;3\n4;5;6\n", want: two},
		{name: "tab.pcd", data: ascii + "1\t2\t3\n4\t5\t6\n", want: two},
		{name: "cr.pcd", data: strings.ReplaceAll(ascii+"1 2 3\n4 5 6\n", "\n", "\r"), want: two},
		{name: "crlf.pcd", data: strings.ReplaceAll(ascii+"1 2 3\n4 5 6\n", "\n", "\r\n"), want: two},
		{name: "crlf-binary.pcd", data: strings.ReplaceAll(binary, "\n", "\r\n") + body, want: two},
		{name: "bom.pcd", data: "\ufeff" + ascii + "1 2 3\n4 5 6\n", want: two},
		{name: "bom-binary.pcd", data: "\ufeff" + binary + body, want: two},
		{name: "utf16.pcd", data: utf16le(ascii + "1 2 3\n4 5 6\n"), want: two},
		{name: "nan.pcd", data: ascii + "1 2 3\n-nan -1.#IND nan(ind)\n", want: "[1 NaN] [2 NaN] [3 NaN]"},
		{name: "blank.pcd", data: ascii + "\n1 2 3\n\n# more\n4 5 6\n\x1a", want: two},
		{
			name: "odd.pcd", data: ascii + "1 2 3\n4 oops 6\n",
			want: "[1] [2] [3]", note: `1 row left out: line 13, value 2 of 3: found "oops"`,
		},
		{name: "cut.pcd", data: ascii + "1 2 3\n", want: "[1] [2] [3]", note: "truncated: found 1 of 2 rows"},
		{
			name: "cut-row.pcd", data: ascii + "1 2 3\n4 5",
			want: "[1] [2] [3]", note: "line 13, value 3 of 3: found the end of the line",
		},
		{name: "empty.pcd", data: ascii, err: "found 0 rows"},
		{
			name: "cut-binary.pcd", data: binary + body[:20],
			want: "[1] [2] [3]", note: "truncated: found 1 of 2 points in 20 bytes",
		},
		{
			name: "padded.pcd", data: binary + body + strings.Repeat("\x00", 4096),
			want: two, note: "4096 bytes after the 2 points",
		},
		{name: "noviewpoint.pcd", data: edit(binary, "VIEWPOINT 0 0 0 1 0 0 0\n", "") + body, want: two},
		{
			name: "viewpoint.pcd", data: edit(binary, "VIEWPOINT 0 0 0 1", "VIEWPOINT 1 0 0 1") + body,
			want: two, note: "is not applied to the points",
		},
		{name: "nocount.pcd", data: edit(binary, "COUNT 1 1 1\n", "") + body, want: two},
		{
			name: "nosize.pcd", data: edit(ascii, "SIZE 4 4 4\n", "", "TYPE F F F\n", "") + "1 2 3\n4 5 6\n",
			want: two, note: "no SIZE or no TYPE",
		},
		{name: "notype.pcd", data: edit(binary, "TYPE F F F\n", "") + body, want: two, note: "no TYPE"},
		{name: "nopoints.pcd", data: edit(binary, "POINTS 2\n", "") + body, want: two},
		{name: "nowidth.pcd", data: edit(binary, "WIDTH 2\nHEIGHT 1\n", "") + body, want: two},
		{name: "height0.pcd", data: edit(binary, "HEIGHT 1", "HEIGHT 0") + body, want: two, note: "POINTS says 2"},
		{
			name: "disagree.pcd", data: edit(binary, "WIDTH 2", "WIDTH 3") + body,
			want: two, note: "POINTS says 2, WIDTH and HEIGHT 3 x 1",
		},
		{name: "disagree2.pcd", data: edit(binary, "POINTS 2", "POINTS 1") + body, want: two, note: "POINTS says 1"},
		{
			name: "noversion.pcd",
			data: edit(binary, "# .PCD v0.7 - Point Cloud Data file format\nVERSION 0.7\n", "") + body,
			want: two,
		},
		{name: "comments.pcd", data: edit(binary, "VERSION", "# made by hand\n#\nVERSION") + body, want: two},
		{name: "lower.pcd", data: edit(strings.ToLower(ascii), "v0.7", "v0.7") + "1 2 3\n4 5 6\n", want: two},
		{
			name: "unknown.pcd", data: edit(binary, "WIDTH", "SENSOR lidar\nWIDTH") + body,
			want: two, note: `found "SENSOR", want a PCD key`,
		},
		{name: "columns.pcd", data: edit(binary, "FIELDS", "COLUMNS") + body, want: two},
		{name: "double.pcd", data: fields("x y z", "8 8 8", "F F F", "1 1 1") + f64(1, 2, 3, 4, 5, 6), want: two},
		{
			name: "padding.pcd",
			data: fields("x y z _", "4 4 4 1", "F F F U", "1 1 1 4") + f32(1, 2, 3, 9, 4, 5, 6, 9),
			want: two,
		},
		{
			name: "padding2.pcd",
			data: fields("x y _ z _", "4 4 1 4 1", "F F U F U", "1 1 4 1 2") + f32(1, 2, 9, 3) + "ab" +
				f32(4, 5, 9, 6) + "ab",
			want: two,
		},
		{
			name: "rgb-float.pcd",
			data: fields("x y z rgb", "4 4 4 4", "F F F F", "1 1 1 1") +
				f32(1, 2, 3, math.Float32frombits(0xff0a0b0c), 4, 5, 6, 0),
			want: two + " c[10 0] [11 0] [12 0]",
		},
		{
			name: "rgb-uint.pcd",
			data: fields("x y z rgb", "4 4 4 4", "F F F U", "1 1 1 1") +
				f32(1, 2, 3, math.Float32frombits(0x0a0b0c), 4, 5, 6, 0),
			want: two + " c[10 0] [11 0] [12 0]",
		},
		{
			name: "rgb-ascii.pcd",
			data: edit(ascii, "x y z", "x y z rgb", "4 4 4", "4 4 4 4", "F F F", "F F F U", "1 1 1", "1 1 1 1") +
				"1 2 3 657164\n4 5 6 4278190335\n",
			want: two + " c[10 0] [7 0] [12 255]",
		},
		{
			name: "intensity.pcd",
			data: fields("x y z confidence intensity", "4 4 4 4 4", "F F F F F", "1 1 1 1 1") +
				f32(1, 2, 3, .9, .1, 4, 5, 6, .8, .2),
			want: two + " i[0.1 0.2]", note: "not kept: confidence",
		},
		{
			name: "duplicate.pcd",
			data: edit(ascii, "x y z", "x y z x", "4 4 4", "4 4 4 4", "F F F", "F F F F", "1 1 1", "1 1 1 1") +
				"1 2 3 9\n4 5 6 9\n",
			want: two, note: "not kept: x",
		},
		{
			name: "rgb3.pcd",
			data: fields("x y z rgb", "4 4 4 1", "F F F U", "1 1 1 3") + f32(1, 2, 3) + "abc" + f32(4, 5, 6) + "abc",
			want: two, note: "colours are left out",
		},
		{name: "size.pcd", data: edit(binary, "SIZE 4 4 4", "SIZE 4 4") + body, err: "found 3 FIELDS, 2 SIZE"},
		{name: "nodata.pcd", data: head, err: "found no DATA line"},
		{
			name: "zip.pcd", data: edit(binary, "DATA binary", "DATA gzip") + body,
			err: `found "gzip", want ascii, binary`,
		},
		{name: "garbage.pcd", data: "hello world\n", err: "found no DATA line"},
		{
			name: "packed0.pcd",
			data: edit(head, "POINTS 2", "POINTS 0", "WIDTH 2", "WIDTH 0") + "DATA binary_compressed\n",
			want: "[] [] []",
		},
		{
			name: "packed-more.pcd", data: edit(string(pcdPacked()), "POINTS 2", "POINTS 1", "WIDTH 2", "WIDTH 1"),
			want: "[1] [3] [5]", note: "POINTS says 1, the data hold 2",
		},
	} {
		t.Run(v.name, func(t *testing.T) { v.test(t, ingesttest.Options) })
	}
}

// TestPLYVariants: headers, types, orders and damage.
func TestPLYVariants(t *testing.T) {
	const xyz = "property float x\nproperty float y\nproperty float z\n"
	colors := func(kind, prefix string) string {
		text := "property T Pred\nproperty T Pgreen\nproperty T Pblue\n"
		return strings.NewReplacer("T", kind, "P", prefix).Replace(text)
	}
	head := func(format string, props string) string {
		return "ply\nformat " + format + " 1.0\nelement vertex 2\n" + props + "end_header\n"
	}
	ascii, little := head("ascii", xyz), head("binary_little_endian", xyz)
	body, text := f32(1, 2, 3, 4, 5, 6), "1 2 3\n4 5 6\n"
	edit := func(s string, pairs ...string) string { return strings.NewReplacer(pairs...).Replace(s) }
	for _, v := range []variant{
		{name: "cr.ply", data: strings.ReplaceAll(ascii+text, "\n", "\r"), want: two},
		{name: "cr-binary.ply", data: strings.ReplaceAll(little, "\n", "\r") + body, want: two},
		{name: "crlf.ply", data: strings.ReplaceAll(ascii+text, "\n", "\r\n"), want: two},
		{name: "crlf-binary.ply", data: strings.ReplaceAll(little, "\n", "\r\n") + body, want: two},
		{name: "bom.ply", data: "\ufeff" + ascii + text, want: two},
		{name: "bom-binary.ply", data: "\ufeff" + little + body, want: two},
		{name: "utf16.ply", data: utf16le(ascii + text), want: two},
		{name: "upper.ply", data: edit(ascii, "ply", "PLY") + text, want: two},
		{
			name: "comments.ply",
			data: edit(ascii, "element", "comment made by hand\nobj_info num_cols 2\nobj_info\ncomment\nelement") +
				text,
			want: two,
		},
		{
			name: "unknown.ply", data: edit(ascii, "element", "author me\nelement") + text,
			want: two, note: `header line 3 is skipped: found "author me"`,
		},
		{
			name: "int64.ply",
			data: head("binary_little_endian", xyz+"property int64 id\nproperty uint64 t\n") + f32(1, 2, 3) +
				"12345678abcdefgh" + f32(4, 5, 6) + "12345678abcdefgh",
			want: two,
		},
		{
			name: "bool.ply",
			data: head("binary_little_endian", xyz+"property bool b\n") + f32(1, 2, 3) + "\x01" + f32(4, 5, 6) +
				"\x00",
			want: two,
		},
		{
			name: "types.ply",
			data: edit(ascii, "float x", "float32_t x", "float y", "Float32 y", "float z", "double z") + text,
			want: two,
		},
		{
			name: "uint8_t.ply",
			data: head("ascii", xyz+colors("uint8_t", "")) +
				"1 2 3 1 0 0\n4 5 6 0 1 0\n",
			want: two + " c[1 0] [0 1] [0 0]",
		},
		{name: "string.ply", data: head("ascii", xyz+"property string name\n") + "1 2 3 a\n4 5 6 b\n", want: two},
		{
			name: "string-binary.ply", data: head("binary_little_endian", xyz+"property string name\n") + body,
			err: `property name: found type "string"`,
		},
		{
			name: "list.ply", data: head("ascii", xyz+"property list uchar int tracks\n") + "1 2 3 2 8 9\n4 5 6 0\n",
			want: two,
		},
		{
			name: "list-first.ply",
			data: head("ascii", "property list uchar int tracks\n"+xyz) + "2 8 9 1 2 3\n0 4 5 6\n",
			want: two,
		},
		{
			name: "list-odd.ply",
			data: head("ascii", xyz+"property list uchar int tracks\n") + "1 2 3 2 8 9\n4 5 6 3 1\n",
			want: "[1] [2] [3]", note: "1 row left out: line 10",
		},
		{
			name: "list-int64.ply",
			data: head("binary_little_endian", xyz+"property list uint8 int64 l\n") + f32(1, 2, 3) + "\x01abcdefgh" +
				f32(4, 5, 6) + "\x00",
			want: two,
		},
		{
			name: "list-cut.ply",
			data: head("binary_little_endian", xyz+"property list uint8 int64 l\n") + f32(1, 2, 3) + "\x01abcdefgh" +
				f32(4, 5),
			want: "[1] [2] [3]", note: "found 1 of 2 rows",
		},
		{
			name: "faces-first.ply",
			data: edit(ascii, "element vertex", "element face 1\nproperty list uchar int i\nelement vertex") +
				"3 0 1 1\n" + text,
			want: two,
		},
		{
			name: "faces-between.ply",
			data: edit(little, "end_header", "element face 1\nproperty list uchar int i\nend_header") + body +
				"\x01\x00\x00\x00\x00",
			want: two,
		},
		{
			name: "camera.ply",
			data: edit(little, "element vertex", "element cam 1\nproperty float f\nproperty bool b\nelement vertex") +
				f32(9) + "\x01" + body,
			want: two,
		},
		{
			name: "point.ply", data: edit(ascii, "element vertex", "element point") + text,
			want: two, note: "element point is read as the vertices",
		},
		{name: "extra.ply", data: little + body + "some more", want: two, note: "9 bytes after the last element"},
		{name: "newline.ply", data: little + body + "\n", want: two},
		{
			name: "wrong-size.ply", data: edit(little, "float z", "short z") + body,
			want: "[1 2.304855714121459e-41] [2 2.313824024293138e-41] [0 16544]",
			note: "4 bytes after the last element",
		},
		{
			name: "cut.ply", data: little + body[:22],
			want: "[1] [2] [3]", note: "truncated: found 1 of 2 rows in 22 bytes",
		},
		{
			name: "cut-ascii.ply", data: ascii + "1 2 3\n4 5",
			want: "[1] [2] [3]", note: "line 9, value 3 of 3: found the end of the line",
		},
		{name: "cut-rows.ply", data: ascii + "1 2 3\n", want: "[1] [2] [3]", note: "truncated: found 1 of 2 rows"},
		{name: "nan.ply", data: ascii + "-nan -nan(ind) 1.#QNAN\n4 5 6\n", want: "[NaN 4] [NaN 5] [NaN 6]"},
		{name: "comma.ply", data: ascii + "1,5 2,5 3,5\n4,25 5,5 6,5\n", want: "[1.5 4.25] [2.5 5.5] [3.5 6.5]"},
		{name: "indented.ply", data: ascii + "  1 2 3\n\t4 5 6\n", want: two},
		{name: "blank.ply", data: ascii + "\n1 2 3\n\n4 5 6\n\x1a", want: two},
		{
			name: "uppercase.ply",
			data: edit(ascii, "float x", "float X", "float y", "float Y", "float z", "float Z") + text,
			want: two,
		},
		{
			name: "ushort.ply",
			data: head("binary_little_endian", xyz+colors("ushort", "")) +
				f32(1, 2, 3) + "\x0a\x00\x14\x00\x1e\x00" + f32(4, 5, 6) + "\xff\x00\x00\x00\x00\x00",
			want: two + " c[10 255] [20 0] [30 0]", note: "read as 8 bits",
		},
		{
			name: "int.ply",
			data: head("ascii", xyz+colors("int", "")) +
				"1 2 3 65535 257 0\n4 5 6 0 0 0\n",
			want: two + " c[255 0] [1 0] [0 0]", note: "read as 16 bits",
		},
		{
			name: "bunny.ply",
			data: head("ascii", xyz+"property float confidence\nproperty float intensity\n") +
				"1 2 3 .9 .1\n4 5 6 .8 .2\n",
			want: two + " i[0.1 0.2]", note: "not kept: confidence",
		},
		{
			name: "scalar.ply", data: head("ascii", xyz+"property float scalar_Intensity\n") + "1 2 3 7\n4 5 6 8\n",
			want: two + " i[7 8]", note: "scalar_Intensity",
		},
		{
			name: "diffuse.ply",
			data: head("ascii", xyz+colors("uchar", "diffuse_")) + "1 2 3 7 8 9\n4 5 6 7 8 9\n",
			want: two + " c[7 7] [8 8] [9 9]",
		},
		{name: "end-header.ply", data: edit(little, "end_header", "end header") + body, want: two},
		{name: "noformat.ply", data: edit(ascii, "format ascii 1.0\n", "") + text, err: "found no format line"},
		{name: "format.ply", data: edit(ascii, "ascii", "zipped") + text, err: `found "zipped", want ascii`},
		{name: "noend.ply", data: edit(ascii, "end_header\n", ""), err: "found no end_header"},
		{name: "novertex.ply", data: edit(ascii, "vertex", "vortex") + text, err: "found no element vertex"},
	} {
		t.Run(v.name, func(t *testing.T) { v.test(t, ingesttest.Options) })
	}
}

// TestLASVariants: headers that are wrong, colours of 8 bits, cut files.
func TestLASVariants(t *testing.T) {
	le := binary.LittleEndian
	file := func(minor byte, format int, edit func(b []byte)) string {
		b := las(minor, format)
		if edit != nil {
			edit(b)
		}
		return string(b)
	}
	record := lasFormats[3].length + 2
	red := func(values ...uint16) func(b []byte) {
		return func(b []byte) {
			for i, v := range values {
				le.PutUint16(b[lasMinHeader+i*record+lasFormats[3].rgb:], v)
			}
		}
	}
	const want = "[100 105] [99.5 104.5] [99 104] i[7 7]"
	const black = " [0 0] [0 0]"
	one := "[100] [99.5] [99] i[7]"
	for _, v := range []variant{
		{name: "wide.las", data: file(2, 3, red(0xff00, 0x1200)), want: want + " c[255 18]" + black},
		{
			name: "narrow.las", data: file(2, 3, red(255, 18)),
			want: want + " c[255 18]" + black, note: "colours of 16 bits are at most 255: read as 8 bits",
		},
		{name: "black.las", data: file(2, 3, red(0, 0)), want: want + " c[0 0]" + black},
		{
			name: "cut.las", data: file(2, 3, nil)[:lasMinHeader+record+5],
			want: one + " c[18] [0] [0]", note: "truncated: found 1 of 2 points",
		},
		{
			name: "more.las", data: file(2, 0, func(b []byte) { le.PutUint32(b[lasLegacyCount:], 1) }),
			want: one, note: "22 bytes after the 1 points of the header",
		},
		{
			name: "fewer.las", data: file(2, 0, func(b []byte) { le.PutUint32(b[lasLegacyCount:], 9) }),
			want: want, note: "truncated: found 2 of 9 points",
		},
		{
			name: "nocount.las", data: file(2, 0, func(b []byte) { le.PutUint32(b[lasLegacyCount:], 0) }),
			want: want, note: "found 0 points, the data hold 2",
		},
		{
			name: "legacy.las",
			data: file(4, 1, func(b []byte) { le.PutUint64(b[lasCount64:], 0); le.PutUint32(b[lasLegacyCount:], 2) }),
			want: want,
		},
		{
			name: "version.las", data: file(4, 6, func(b []byte) { b[lasVersion+1] = 5 }),
			want: want, note: "version 1.5, read as 1.4",
		},
		{
			name: "scale0.las", data: file(2, 0, func(b []byte) { le.PutUint64(b[lasScale+8:], 0) }),
			err: "found scale 0 and offset 100 of y",
		},
		{
			name: "nan.las",
			data: file(2, 0, func(b []byte) { le.PutUint64(b[lasOffset:], math.Float64bits(math.NaN())) }),
			err:  "offset NaN of x",
		},
		{name: "vlrs.las", data: file(2, 0, func(b []byte) { le.PutUint32(b[lasVLRs:], 1<<31) }), want: want},
		{
			name: "format.las", data: file(2, 0, func(b []byte) { b[lasPointFormat] = 11 }),
			err: "point format: found 11",
		},
		{
			name: "record.las", data: file(2, 3, func(b []byte) { le.PutUint16(b[lasRecordLength:], 20) }),
			err: "record length: found 20, want at least 34",
		},
		{
			name: "evlr.las", data: file(4, 6, func(b []byte) { le.PutUint64(b[lasEVLRAt:], uint64(len(b))-1) }),
			want: want,
		},
	} {
		t.Run(v.name, func(t *testing.T) { v.test(t, ingesttest.Options) })
	}
}

// TestE57Variants: poses, missing nodes, invalid states, spherical coordinates.
func TestE57Variants(t *testing.T) {
	const proto = `<cartesianX type="Float" precision="double"/><cartesianY type="Float"/><cartesianZ type="Float"/>`
	points := [][]byte{float64s(1, 4), float64s(2, 5), float64s(3, 6)}
	file := func(rest string) string { return string(e57File(2, proto, rest, points)) }
	pose := func(w, x, y, z string) string {
		return "<pose><rotation><w>" + w + "</w><x>" + x + "</x><y>" + y + "</y><z>" + z + "</z></rotation></pose>"
	}
	const turned = "[-1 -4] [-2 -5] [3 6]" // by 180 degrees about z
	for _, v := range []variant{
		{name: "plain.e57", data: file(""), want: two},
		{name: "nopose.e57", data: file("<pose/>"), want: two},
		{
			name: "norotation.e57", data: file("<pose><translation><x>10</x></translation></pose>"),
			want: "[11 14] [2 5] [3 6]",
		},
		{name: "unit.e57", data: file(pose("1", "0", "0", "0")), want: two},
		{
			name: "nonunit.e57", data: file(pose("0", "0", "0", "2")),
			want: turned, note: "quaternion has length 2: normalized",
		},
		{name: "digits.e57", data: file(pose("0", "0", "0", "0.9999")), want: turned},
		{name: "zero.e57", data: file(pose("0", "0", "0", "0")), want: two, note: "0 0 0 0"},
		{name: "now.e57", data: file("<pose><rotation><z>1</z></rotation></pose>"), want: turned},
		{name: "nan.e57", data: file(pose("nan", "0", "0", "0")), err: "pose: quaternion NaN"},
		{
			name: "invalid.e57", want: "[1 NaN] [2 NaN] [3 NaN]",
			data: string(e57File(2, proto+`<cartesianInvalidState type="Integer" minimum="0" maximum="2"/>`, "",
				append(points, []byte{2 << 2}))),
		},
		{
			name: "invalid-float.e57", want: "[1 NaN] [2 NaN] [3 NaN]",
			data: string(e57File(2, proto+`<cartesianInvalidState type="Float"/>`, "", append(points, float64s(0, 1)))),
		},
		{
			name: "scaled.e57", want: "[1 1.02] [2 5] [3 6]",
			data: string(e57File(2, `<cartesianX type="ScaledInteger" minimum="0.0" maximum="255.0" scale="0.01" `+
				`offset="1"/><cartesianY type="Float"/><cartesianZ type="Float"/>`, "",
				[][]byte{{0, 2}, points[1], points[2]})),
		},
		{
			name: "spherical.e57", want: "[2 3] [0 0] [0 0]",
			data: string(e57File(2, `<sphericalRange type="Float"/><sphericalAzimuth type="Float"/>`+
				`<sphericalElevation type="Float"/>`, "",
				[][]byte{float64s(2, 3), float64s(0, 0), float64s(0, 0)})),
		},
		{
			name: "missing.e57", err: "want one named z",
			data: string(e57File(2, `<cartesianX type="Float"/><cartesianY type="Float"/>`, "", points[:2])),
		},
	} {
		t.Run(v.name, func(t *testing.T) { v.test(t, ingesttest.Options) })
	}
}

// TestColumnsAndComma: the options decide what the data leave open.
func TestColumnsAndComma(t *testing.T) {
	for _, c := range []struct {
		variant
		o Options
	}{
		{
			variant{
				name: "id.txt", data: "1 100.5 200.5 10.5\n2 101.5 201.5 11.5\n",
				want: "[100.5 101.5] [200.5 201.5] [10.5 11.5]",
			},
			Options{Columns: []string{"-", "x", "y", "z"}},
		},
		{
			variant{name: "pnezd.csv", data: "1,20,10,30,A B\n2,21,11,31,C\n", want: "[10 11] [20 21] [30 31]"},
			Options{Columns: []string{"-", "y", "x", "z", "-"}},
		},
		{variant{name: "named.csv", data: "x,y,z,a\n1,2,3,7\n4,5,6,8\n", want: two +
			" i[7 8]"}, Options{Columns: []string{"x", "y", "z", "intensity"}}},
		{
			variant{name: "few.csv", data: "1,2,3\n", err: "found 3 columns, --columns names 4"},
			Options{Columns: []string{"x", "y", "z", "-"}},
		},
		{
			variant{name: "noz.csv", data: "1,2,3\n", err: "--columns: fields: found [x y ], want one named z"},
			Options{Columns: []string{"x", "y", "-"}},
		},
		{
			variant{name: "raw.bin", data: f32(1, 2, 3, -9, 4, 5, 6, -9), want: two},
			Options{Columns: []string{"x", "y", "z", "-"}},
		},
		{variant{name: "raw6.bin", data: f32(9, 1, 2, 3, -1, 7, 9, 4, 5, 6, -1, 8), want: two +
			" i[7 8]"}, Options{Columns: []string{"-", "x", "y", "z", "-", "intensity"}}},
		{variant{name: "mm.txt", data: "1,500 2,500 3,500\n", want: "[1.5] [2.5] [3.5]"}, Options{Comma: "decimal"}},
		{
			variant{name: "thousands.txt", data: "1,500 2,500.5 3\n", want: "[1500] [2500.5] [3]"},
			Options{Comma: "thousands"},
		},
		{
			variant{name: "thousands.csv", data: "x;y;z\n1,234,567;2,000;3\n", want: "[1.234567e+06] [2000] [3]"},
			Options{Comma: "thousands"},
		},
		{variant{name: "auto.txt", data: "1,5 2,500 3,500\n", want: "[1.5] [2.5] [3.5]"}, Options{Comma: "auto"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := ingesttest.Options
			o.Readers = []any{&c.o}
			c.test(t, o)
		})
	}
}
