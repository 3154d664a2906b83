package formats

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/array"
	"github.com/voxelstream/voxelstream/ingest/photogrammetry"
	"github.com/voxelstream/voxelstream/internal/testenv"
)

// manifest is the table of sample files with facts found independently of this program.
func manifest(t *testing.T) map[string]string {
	t.Helper()
	f, err := os.Open(testenv.Sample(t, "MANIFEST.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // opened for reading
	r := csv.NewReader(f)
	r.Comma, r.LazyQuotes, r.FieldsPerRecord = '\t', true, -1
	rows, err := r.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	facts := map[string]string{}
	for _, row := range rows[1:] {
		facts[row[0]] = row[len(row)-1]
	}
	return facts
}

// cloudOf reads all points of a file.
func cloudOf(t *testing.T, path string) []*ingest.PointCloud {
	t.Helper()
	var out []*ingest.PointCloud
	for _, s := range samplesOf(t, path, ingest.Options{}) {
		p, ok := s.Data.(*ingest.PointCloud)
		if !ok {
			t.Fatalf("found %T, want a cloud", s.Data)
		}
		out = append(out, p)
	}
	return out
}

func samplesOf(t *testing.T, path string, o ingest.Options) []ingest.Sample {
	t.Helper()
	src, err := Open(t.Context(), path, o)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close() //nolint:errcheck // opened for reading
	var out []ingest.Sample
	for {
		s, err := src.Read(t.Context())
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, s)
	}
}

func inspected[D ingest.Detail](t *testing.T, path string) D {
	t.Helper()
	info, err := Inspect(context.Background(), path, ingest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	d, ok := info.Detail.(D)
	if !ok {
		t.Fatalf("found %T", info.Detail)
	}
	return d
}

// triple parses "a,b,c...", any list of at least three numbers.
func triple(t *testing.T, s string) [3]float64 {
	t.Helper()
	parts := strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' })
	var v [3]float64
	for i := range v {
		var err error
		if v[i], err = strconv.ParseFloat(parts[i], 64); err != nil {
			t.Fatal(err)
		}
	}
	return v
}

// near compares with six significant digits, the precision of the facts.
func near(a, b [3]float64) bool {
	for i := range a {
		if math.Abs(a[i]-b[i]) > 5.1e-6*math.Max(math.Abs(b[i]), 1e-6) {
			return false
		}
	}
	return true
}

// pointFacts are the ways in which facts speak of clouds; each pattern is checked where it matches.
var (
	reCount  = regexp.MustCompile(`^(\d+) points x|points=(\d+)|vertex=(\d+)\[|legacy count (\d+)|counts \['(\d+)'|recordCount=\['(\d+)'\]|^OBJ v=(\d+)|points3D\.\w+ (\d+) points|points (\d+)(?:;|\n|$)`)
	reFinite = regexp.MustCompile(`finite xyz (\d+)`)
	reFirst  = regexp.MustCompile(`first(?: finite| vertex|)(?: v)? \(?(-?[\d.e+-]+,-?[\d.e+-]+,-?[\d.e+-]+)|xyz \((-?[\d.e+-]+,-?[\d.e+-]+,-?[\d.e+-]+)\) intensity`)
	reLASBox = regexp.MustCompile(`max/min x,y,z ([^;]*);`)
	reBounds = regexp.MustCompile(`min(?: xyz)? \(([^)]*)\) max(?: xyz)? \(([^)]*)\)`)
	reColor  = regexp.MustCompile(`colour of first finite r=(\d+) g=(\d+) b=(\d+)`)
	reText   = regexp.MustCompile(`\((\d+) non-comment\); first data line: (.*?); last: (.*)`)
)

func group(m []string) string {
	for _, s := range m[1:] {
		if s != "" {
			return s
		}
	}
	return ""
}

// checkPoints compares one file of points with what is known of it, and says how many facts it had to offer.
func checkPoints(t *testing.T, path, facts string) {
	var d *ingest.Points
	switch detail := inspected[ingest.Detail](t, path).(type) {
	case *photogrammetry.Model:
		d = detail.Points
	case *ingest.Points:
		d = detail
	default:
		t.Fatalf("found %T", detail)
	}
	checked := 0
	if m := reCount.FindStringSubmatch(facts); m != nil {
		checked++
		if want := group(m); strconv.Itoa(d.Count) != want {
			t.Errorf("count: found %d, want %s", d.Count, want)
		}
	}
	if m := reFinite.FindStringSubmatch(facts); m != nil {
		checked++
		if strconv.Itoa(d.Finite) != m[1] {
			t.Errorf("finite: found %d, want %s", d.Finite, m[1])
		}
	}
	if m := reFirst.FindStringSubmatch(facts); m != nil && d.First != nil {
		checked++
		if want := triple(t, group(m)); !near(*d.First, want) {
			t.Errorf("first: found %v, want %v", *d.First, want)
		}
	}
	if m := reBounds.FindStringSubmatch(facts); m != nil && !strings.Contains(facts, "x,y,z") {
		checked++
		lo, hi := triple(t, m[1]), triple(t, m[2])
		if !near(*d.Min, lo) || !near(*d.Max, hi) {
			t.Errorf("bounds: found %v %v, want %v %v", *d.Min, *d.Max, lo, hi)
		}
	}
	if m := reLASBox.FindStringSubmatch(facts); m != nil && d.Count > 1 {
		checked++
		checkLASBox(t, d, m[1])
	}
	if m := reColor.FindStringSubmatch(facts); m != nil {
		checked++
		p := cloudOf(t, path)[0]
		i := 0
		for math.IsNaN(p.X[i]) {
			i++
		}
		if got := fmt.Sprint(p.R[i], p.G[i], p.B[i]); got != strings.Join(m[1:], " ") {
			t.Errorf("colour: found %s, want %v", got, m[1:])
		}
	}
	if checked == 0 {
		t.Errorf("found no fact to check in %q", facts)
	}
}

// checkLASBox compares with the header's bounds: max x, min x, max y and so on. Writers round them, so a unit of
// the last digit is let pass.
func checkLASBox(t *testing.T, d *ingest.Points, box string) {
	t.Helper()
	parts := strings.Split(box, ",")
	for k := range 3 {
		hi, _ := strconv.ParseFloat(parts[2*k], 64)
		lo, _ := strconv.ParseFloat(parts[2*k+1], 64)
		if math.Abs(d.Max[k]-hi) > 0.006 || math.Abs(d.Min[k]-lo) > 0.006 {
			t.Errorf("bounds: found %v %v, want %s", *d.Min, *d.Max, box)
		}
	}
}

func isSparse(name string) bool {
	return strings.Contains(name, "points3D") || strings.HasSuffix(name, ".nvm")
}

var reBinvox = regexp.MustCompile(`dim \['(\d+)', '(\d+)', '(\d+)'\].*occupied (\d+)`)

func checkBinvox(t *testing.T, path, facts string) {
	m := reBinvox.FindStringSubmatch(facts)
	g, ok := samplesOf(t, path, ingest.Options{})[0].Data.(*ingest.Grid)
	if m == nil || !ok {
		t.Fatalf("found %v in %q", g, facts)
	}
	sum := float32(0)
	for _, v := range g.Values {
		sum += v
	}
	if got, want := fmt.Sprint(g.Dims[0], g.Dims[1], g.Dims[2], sum), strings.Join(m[1:], " "); got != want {
		t.Errorf("found %s, want %s", got, want)
	}
}

var reNIfTI = regexp.MustCompile(`dim \((\d+), ([\d, ]+)\).* slope (\S+) inter (\S+) .*raw min (\S+) max (\S+) sum (\S+) nonzero (\d+)`)

func checkNIfTI(t *testing.T, path, facts string) {
	m := reNIfTI.FindStringSubmatch(facts)
	if m == nil {
		t.Fatalf("found no fact in %q", facts)
	}
	number := func(s string) float64 {
		v, err := strconv.ParseFloat(s, 64)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	slope, inter := number(m[3]), number(m[4])
	sum, nonzero, cells, want := 0.0, 0, 0, 1
	for d := range strings.SplitSeq(m[2], ", ") {
		want *= int(number(d))
	}
	lo, hi := math.Inf(1), math.Inf(-1)
	for _, s := range samplesOf(t, path, ingest.Options{}) {
		g, ok := s.Data.(*ingest.Grid)
		if !ok {
			t.Fatalf("found %T", s.Data)
		}
		for _, v := range g.Values {
			raw := (float64(v) - inter) / slope
			cells++
			if !(math.Abs(raw) <= 1e-3) {
				nonzero++
			}
			if !math.IsNaN(raw) { // the facts leave them out
				lo, hi, sum = math.Min(lo, raw), math.Max(hi, raw), sum+raw
			}
		}
	}
	got, facts3 := [3]float64{lo, hi, sum}, [3]float64{number(m[5]), number(m[6]), number(m[7])}
	for i := range got {
		if !(math.Abs(got[i]-facts3[i]) <= 1e-6*math.Abs(facts3[i])+1e-3) {
			t.Errorf("min, max and sum: found %v, want %v", got, facts3)
			break
		}
	}
	if cells != want || strconv.Itoa(nonzero) != m[8] {
		t.Errorf("found %d cells, %d not zero, want %d, %s", cells, nonzero, want, m[8])
	}
}

var (
	reDICOM     = regexp.MustCompile(`'Rows': (\d+), 'Columns': (\d+)`)
	reRescale   = regexp.MustCompile(`'RescaleIntercept': '(\S+)'`)
	rePixelData = regexp.MustCompile(`PixelData bytes \d+ min (\S+) max (\S+) sum (\S+)`)
)

func checkDICOM(t *testing.T, path, facts string) {
	g, ok := samplesOf(t, path, ingest.Options{})[0].Data.(*ingest.Grid)
	size := reDICOM.FindStringSubmatch(facts)
	if !ok || size == nil {
		t.Fatalf("found %v in %q", g, facts)
	}
	if got := fmt.Sprint(g.Dims[1], g.Dims[2]); got != size[1]+" "+size[2] {
		t.Errorf("found %s, want %v", got, size[1:])
	}
	m := rePixelData.FindStringSubmatch(facts)
	if m == nil {
		return // one bit a pixel
	}
	inter := 0.0
	if r := reRescale.FindStringSubmatch(facts); r != nil {
		inter, _ = strconv.ParseFloat(r[1], 64)
	}
	lo, hi, sum := math.Inf(1), math.Inf(-1), 0.0
	for _, v := range g.Values {
		raw := float64(v) - inter
		lo, hi, sum = min(lo, raw), max(hi, raw), sum+raw
	}
	if got := fmt.Sprintf("%.0f %.0f %.0f", lo, hi, sum); got != strings.Join(m[1:], " ") {
		t.Errorf("found %s, want %v", got, m[1:])
	}
}

var reIDX = regexp.MustCompile(`dims \((\d+),(?: (\d+), (\d+))?\); payload sum (\d+)`)

// checkIDX sums the pixels, or the labels by their histogram.
func checkIDX(t *testing.T, path, facts string) {
	m := reIDX.FindStringSubmatch(facts)
	if m == nil {
		t.Fatalf("found no fact in %q", facts)
	}
	d := inspected[*ingest.Grids](t, path)
	sum := 0
	for label, n := range d.Labels {
		v, err := strconv.Atoi(label)
		if err != nil {
			t.Fatal(err)
		}
		sum += v * n
	}
	if m[2] != "" {
		if got := fmt.Sprint(d.Shape); got != fmt.Sprintf("[%s %s]", m[2], m[3]) {
			t.Errorf("found shape %s, want %s %s", got, m[2], m[3])
		}
		for _, s := range samplesOf(t, path, ingest.Options{}) {
			g, ok := s.Data.(*ingest.Grid)
			if !ok {
				t.Fatalf("found %T", s.Data)
			}
			for _, v := range g.Values {
				sum += int(v)
			}
		}
	}
	if got := fmt.Sprint(d.Rows, sum); got != m[1]+" "+m[4] {
		t.Errorf("found %s, want %s %s", got, m[1], m[4])
	}
}

// textRows are the files of text points: how many lines before the points.
var textRows = map[string]struct {
	before int
	fields string
}{
	"threejs_helix_201.xyz":           {0, "x y z"},
	"pyntcloud_diamond.xyz":           {0, "x y z nx ny nz"},
	"pdal_utm17_1.txt":                {1, "X Y Z"},
	"trimesh_points_cloudcompare.xyz": {0, "x y z red green blue alpha"},
	"pdal_autzen.pts":                 {1, "x y z intensity red green blue"},
	"pdal_no-color.ptx":               {10, "x y z intensity"},
	"sbcv_Example.asc":                {2, "X Y Z Rf Gf Bf Intensity"},
}

// checks are the ways to compare a sample with its facts; a file is compared in every way that takes it.
var checks = []struct {
	takes func(name, facts string) bool
	check func(t *testing.T, path, facts string)
}{
	{isPoints, checkPoints},
	{func(name, facts string) bool {
		return strings.HasSuffix(name, ".png") && strings.Contains(facts, "bitdepth 16") || strings.HasSuffix(name, ".pgm")
	}, checkDepth},
	{func(_, facts string) bool { return strings.HasPrefix(facts, "IDX") }, checkIDX},
	{func(_, facts string) bool { return strings.HasPrefix(facts, "DICOM") }, checkDICOM},
	{func(_, facts string) bool { return strings.HasPrefix(facts, "NIfTI") }, checkNIfTI},
	{func(name, _ string) bool { return strings.HasSuffix(name, ".binvox") }, checkBinvox},
	{func(name, _ string) bool { return textRows[path.Base(name)].fields != "" }, checkText},
	{func(_, facts string) bool { return strings.Contains(facts, "scans=0") }, checkNoScan},
	{func(_, facts string) bool { return reNPZ.MatchString(facts) }, checkNPZ},
}

func isPoints(name, facts string) bool {
	if strings.Contains(facts, "scans=0") {
		return false
	}
	switch filepath.Ext(name) {
	case ".e57", ".las", ".laz", ".pcd", ".ply":
		return true
	}
	switch path.Dir(name) {
	case "mesh":
		return !strings.HasSuffix(name, ".binvox")
	case "sfm":
		return isSparse(name)
	}
	return path.Dir(name) == "lidar/kitti" || path.Dir(name) == "lidar/nuscenes"
}

// TestFacts reads every sample and compares it with its facts; where that is another test's, elsewhere says whose,
// and unread why no reader takes the rest.
func TestFacts(t *testing.T) {
	dir := filepath.Dir(testenv.Sample(t, "MANIFEST.tsv"))
	for name, facts := range manifest(t) {
		checked := false
		for _, c := range checks {
			if c.takes(name, facts) {
				checked = true
				t.Run(name, func(t *testing.T) { c.check(t, filepath.Join(dir, filepath.FromSlash(name)), facts) })
			}
		}
		_, there := longestPrefix(elsewhere, name)
		_, never := longestPrefix(unread, name)
		if n := count(checked, there, never); n != 1 {
			t.Errorf("%s: found %d of: compared here, compared elsewhere, not read; want 1 (%.80s)", name, n, facts)
		}
	}
}

func count(conditions ...bool) int {
	n := 0
	for _, c := range conditions {
		if c {
			n++
		}
	}
	return n
}

// longestPrefix finds the entry of a file or of the folder that it lies in.
func longestPrefix(entries map[string]string, name string) (string, bool) {
	for ; name != "." && name != "/"; name = path.Dir(name) {
		if v, ok := entries[name]; ok {
			return v, true
		}
	}
	return "", false
}

// elsewhere are the files and folders that other tests compare with their facts.
var elsewhere = map[string]string{
	"hdf5": "internal/h5",
	"models/nkarl_3d_image_classification.h5": "nn/format",
	"models/onnx":                                         "nn/format",
	"lidar/calibration":                                   "ingest/packets, with the recordings that need them",
	"lidar/hesai/nebula_qt64_packets.db3":                 "ingest/packets, TestPacketFacts",
	"lidar/robosense/nebula_helios16P_packets.db3":        "ingest/packets",
	"lidar/velodyne/einride_vlp16_packet.bin":             "TestPacketFacts",
	"lidar/velodyne/mrpt_sample_velodyne_vlp16_gps.pcap":  "TestPacketFacts",
	"lidar/velodyne/nebula_vlp32_packets.db3":             "TestPacketFacts, ingest/packets",
	"lidar/ouster/OS-0-128-U1_v2.3.0_1024x10.pcap":        "TestPacketFacts, ingest/packets",
	"lidar/ouster/OS-0-128-U1_v2.3.0_1024x10.json":        "read with the recording",
	"lidar/ouster/OS-0-128-U1_v2.3.0_1024x10_digest.json": "ingest/packets, the truth of the recording",
	"lidar/ouster/OS-1-32-G_v2.1.1_1024x10.pcap":          "TestPacketFacts, ingest/packets",
	"lidar/ouster/OS-1-32-G_v2.1.1_1024x10.json":          "read with the recording",
	"lidar/ouster/OS-1-32-G_v2.1.1_1024x10_digest.json":   "ingest/packets, the truth of the recording",
	"rgbd/slambook/ch12_pose.txt": "nothing: poses of images without depth; alone, a table " +
		"of numbers as text clouds are",
	"rosbag":                                    "TestPacketFacts, ingest/packets",
	"lidar/text/pdal_bunny_8.pts":               "TestPTSCount: the file says eight rows and holds nine",
	"npy/pyntcloud_diamond.npz":                 "ingest/array",
	"rgbd/redwood/camera_primesense.json":       "ingest/depth, read with the frames",
	"rgbd/redwood/color_00000.jpg":              "TestDepthFolders, read with the frames",
	"rgbd/redwood/color_00001.jpg":              "TestDepthFolders, read with the frames",
	"rgbd/redwood/color_00002.jpg":              "TestDepthFolders, read with the frames",
	"rgbd/redwood/odometry.log":                 "ingest/depth, read with the frames",
	"rgbd/redwood/trajectory.log":               "ingest/depth, read with the frames",
	"rgbd/slambook/ch5_color_1.png":             "TestDepthFolders, read with the frames",
	"rgbd/slambook/ch5_pose.txt":                "ingest/depth, read with the frames",
	"rgbd/tango/20171122163055_zenfone_ar.yaml": "TestTangoHasItsCalibration",
	"rgbd/tsdf_fusion/camera-intrinsics.txt":    "ingest/depth, read with the frame",
	"rgbd/tsdf_fusion/frame-000150.color.png":   "TestDepthFolders, read with the frame",
	"rgbd/tsdf_fusion/frame-000150.pose.txt":    "ingest/depth, read with the frame",
	"rgbd/tum_layout/associations.txt":          "TestTUMFolder",
	"rgbd/tum_layout/depth.txt":                 "TestTUMFolder",
	"rgbd/tum_layout/rgb.txt":                   "TestTUMFolder",
	"rgbd/tum_layout/rgb_1628069033.660061.png": "TestTUMFolder",
	"sfm/sbcv_colmap_bin_cameras.bin":           "ingest/photogrammetry",
	"sfm/sbcv_colmap_bin_images.bin":            "ingest/photogrammetry",
	"sfm/sbcv_colmap_notshared_cameras.txt":     "ingest/photogrammetry",
}

// unread are the files and folders that no reader of points, frames or grids takes.
var unread = map[string]string{
	"lidar/ouster/OS-0-32-U1_v2.2.0_1024x10-single-packet.pcap": "one packet of a sensor whose JSON is not among the samples",
	"rgbd/formats/TUM_color.png":                                "a colour image alone",
	"rgbd/redwood/rgbd.match": "pairs of frames to register, which the frames' " +
		"names say too",
	"rgbd/slambook/ch12_color_1.png": "a colour image without its depth",
	"rgbd/tango/20171122163055_zenfone_ar.jpg": "a photograph of the scene, in no relation to the " +
		"points that the calibration says",
}

// TestUnread: nothing comes out of what is listed as unread.
func TestUnread(t *testing.T) {
	dir := filepath.Dir(testenv.Sample(t, "MANIFEST.tsv"))
	for name := range unread {
		src, err := Open(t.Context(), filepath.Join(dir, filepath.FromSlash(name)), ingest.Options{})
		if err != nil {
			continue
		}
		if s, err := src.Read(t.Context()); err == nil {
			t.Errorf("%s: found a sample %T", name, s.Data)
		}
		if err := src.Close(); err != nil {
			t.Error(err)
		}
	}
}

var reNPZ = regexp.MustCompile(`(\w+)\.npy \w+ \((\d+),[^)]*\) sum=(\S+)`)

// checkNPZ compares the rows and the sum of every array: of values, or of the labels of the array that a name
// belongs to.
func checkNPZ(t *testing.T, path, facts string) {
	type total struct{ rows, values, labels float64 }
	got := map[string]total{}
	for _, s := range samplesOf(t, path, ingest.Options{}) {
		g, ok := s.Data.(*ingest.Grid)
		if !ok {
			t.Fatalf("found %T", s.Data)
		}
		_, name, _ := strings.Cut(s.Stream, ":")
		v := got[name]
		v.rows, v.labels = v.rows+1, v.labels+float64(s.Label)
		for _, x := range g.Values {
			v.values += float64(x)
		}
		got[name] = v
	}
	for _, m := range reNPZ.FindAllStringSubmatch(facts, -1) {
		v, ok := got[m[1]]
		sum := v.values
		if !ok {
			v = got[strings.NewReplacer("labels", "images", "targets", "X", "y_", "X_").Replace(m[1])]
			sum = v.labels
		}
		want, err := strconv.ParseFloat(m[3], 64)
		if err != nil {
			t.Fatal(err)
		}
		if strconv.FormatFloat(v.rows, 'f', 0, 64) != m[2] || math.Abs(sum-want) > 1e-5*math.Abs(want) {
			t.Errorf("%s: found %v rows and sum %v, want %s and %s", m[1], v.rows, sum, m[2], m[3])
		}
	}
}

// checkNoScan: a file without a scan is a stream without a sample.
func checkNoScan(t *testing.T, path, _ string) {
	if d := inspected[*ingest.Points](t, path); d.Count != 0 {
		t.Errorf("found %d points, want 0", d.Count)
	}
	if s := samplesOf(t, path, ingest.Options{}); len(s) != 0 {
		t.Errorf("found %d samples, want 0", len(s))
	}
}

func checkText(t *testing.T, path, facts string) {
	rows := textRows[filepath.Base(path)]
	m := reText.FindStringSubmatch(facts)
	if m == nil {
		t.Fatalf("found no fact in %q", facts)
	}
	d := inspected[*ingest.Points](t, path)
	if want := m[1]; strconv.Itoa(d.Count+rows.before) != want {
		t.Errorf("lines: found %d points and %d lines before, want %s", d.Count, rows.before, want)
	}
	if got := strings.Join(d.Fields, " "); got != rows.fields {
		t.Errorf("fields: found %s, want %s", got, rows.fields)
	}
	p := cloudOf(t, path)[0]
	n := p.Len() - 1
	if want := triple(t, m[3]); [3]float64{p.X[n], p.Y[n], p.Z[n]} != want {
		t.Errorf("last: found %v %v %v, want %v", p.X[n], p.Y[n], p.Z[n], want)
	}
}

var reDepth = regexp.MustCompile(`PNG (\d+)x(\d+) .*min (\d+) max (\d+) zeros (\d+) sum (\d+); px\[row 240,col 320\]=(\d+)`)

var rePGM = regexp.MustCompile(`P5 (\d+)x(\d+) maxval 65535; as big-endian \(PGM spec\) min (\d+) max (\d+) zeros (\d+) centre (\d+)`)

func checkDepth(t *testing.T, path, facts string) {
	m := reDepth.FindStringSubmatch(facts)
	if pgm := rePGM.FindStringSubmatch(facts); pgm != nil {
		// The sum is not known; the one that is found stands in for it.
		m = []string{"", pgm[1], pgm[2], pgm[3], pgm[4], pgm[5], "", pgm[6]}
	}
	if m == nil {
		t.Fatalf("found no fact in %q", facts)
	}
	d := inspected[*ingest.Depth](t, path)
	f, ok := samplesOf(t, path, ingest.Options{})[0].Data.(*ingest.Frame)
	if !ok {
		t.Fatal("found no frame")
	}
	sum, zeros := int64(0), 0
	for _, v := range f.Depth {
		raw := int64(math.Round(float64(v) * 1000))
		sum += raw
		if raw == 0 {
			zeros++
		}
	}
	if m[6] == "" {
		m[6] = strconv.FormatInt(sum, 10)
	}
	got := fmt.Sprint(d.Width, d.Height, math.Round(d.Max*1000), zeros, sum, math.Round(float64(f.Depth[240*640+320])*1000))
	maxRaw, _ := strconv.ParseFloat(m[4], 64)
	want := fmt.Sprint(m[1], " ", m[2], " ", maxRaw, " ", m[5], " ", m[6], " ", m[7])
	if got != want || d.Valid != d.Width*d.Height-zeros || d.Unit != "mm" {
		t.Errorf("found %s (%d valid, unit %s), want %s", got, d.Valid, d.Unit, want)
	}
}

// TestPTSCount: the file holds nine rows and says eight.
func TestPTSCount(t *testing.T) {
	d := inspected[*ingest.Points](t, testenv.Sample(t, "lidar/text/pdal_bunny_8.pts"))
	if d.Count != 8 || *d.First != [3]float64{-0.037829, 0.12794, 0.004474} {
		t.Errorf("found %d points, first %v", d.Count, *d.First)
	}
}

func TestTUMFolder(t *testing.T) {
	dir := filepath.Dir(testenv.Sample(t, "rgbd/tum_layout/associations.txt"))
	src, err := Open(t.Context(), dir, ingest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close() //nolint:errcheck // opened for reading
	frames, missing := 0, 0
	for {
		s, err := src.Read(t.Context())
		var item *ingest.ItemError
		switch {
		case errors.Is(err, io.EOF):
			if frames != 1 || missing != 996 {
				t.Errorf("found %d frames and %d missing, want 1 and 996", frames, missing)
			}
			d := inspected[*ingest.Depth](t, dir)
			if d.Frames != 997 || d.Missing != 996 || d.Unit != "1/5000 m" || d.Valid != 640*480-138663 {
				t.Errorf("inspect: found %+v", d)
			}
			return
		case errors.As(err, &item):
			missing++
			continue
		case err != nil:
			t.Fatal(err)
		}
		f, ok := s.Data.(*ingest.Frame)
		if !ok {
			t.Fatalf("found %T", s.Data)
		}
		frames++
		if at := f.Depth[240*640+320]; at != float32(12664)/5000 {
			t.Errorf("centre: found %g m, want 12664/5000", at)
		}
		if s.Time.UnixNano() != 1628069033660061000 {
			t.Errorf("time: found %d", s.Time.UnixNano())
		}
		// The colour image's facts: first pixel, centre, sum of all values.
		sum := 0
		for _, c := range f.Color {
			sum += int(c.R) + int(c.G) + int(c.B)
		}
		if c := f.Color[0]; c.R != 142 || c.G != 143 || c.B != 140 || sum != 121622063 {
			t.Errorf("colour: found %v and sum %d", c, sum)
		}
		p, err := f.Points()
		if err != nil || p.Len() != 640*480-138663 || len(p.R) != p.Len() {
			t.Errorf("points: found %d, %v", p.Len(), err)
		}
	}
}

// TestDepthFolders: frames, units and cameras of the folders without lists.
func TestDepthFolders(t *testing.T) {
	for file, want := range map[string]string{
		"rgbd/redwood/depth_00000.png":            "depth-folder 3 [525 525 319.5 239.5]",
		"rgbd/tsdf_fusion/frame-000150.depth.png": "depth-folder 1 [585 585 320 240]",
		"rgbd/slambook/ch5_depth_1.pgm":           "depth-folder 2 [525 525 319.5 239.5]",
	} {
		dir := filepath.Dir(testenv.Sample(t, file))
		info, err := Inspect(t.Context(), dir, ingest.Options{})
		if err != nil {
			t.Fatal(err)
		}
		d, ok := info.Detail.(*ingest.Depth)
		if !ok || fmt.Sprint(info.Format, " ", d.Frames, " ",
			[4]float64{d.Camera.Fx, d.Camera.Fy, d.Camera.Cx, d.Camera.Cy}) != want || d.Missing != 0 {
			t.Errorf("%s: found %s %+v, want %s", file, info.Format, info.Detail, want)
		}
		for _, s := range samplesOf(t, dir, ingest.Options{}) {
			if f, ok := s.Data.(*ingest.Frame); !ok || f.Color == nil {
				t.Errorf("%s: found no colour", file)
			}
		}
	}
}

func TestTangoHasItsCalibration(t *testing.T) {
	path := testenv.Sample(t, "rgbd/tango/20171122163055_zenfone_ar.ply")
	info, err := Inspect(t.Context(), path, ingest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	d, ok := info.Detail.(*ingest.Points)
	if !ok || info.Format != "tango" || d.Camera == nil || *d.Camera != (ingest.Intrinsics{
		Fx: 212.983, Fy: 212.983, Cx: 112.211, Cy: 84.7216,
		Lens: ingest.Brown(-0.149772, -1.22478, 0.000850621, -0.00134066, 2.57497),
	}) {
		t.Errorf("found %s %+v", info.Format, info.Detail)
	}
}

func TestVoxelgridArchive(t *testing.T) {
	path := testenv.Sample(t, "mnist3d/voxelgrid_dev.npz")
	d := inspected[*ingest.Grids](t, path)
	if d.Rows != 6500 || fmt.Sprint(d.Shape) != "[8 8 8]" {
		t.Errorf("found %d rows of %v", d.Rows, d.Shape)
	}
	total := 0
	for _, n := range d.Labels {
		total += n
	}
	if total != 6500 {
		t.Errorf("found %d labels", total)
	}
}

// TestNIfTIAgreesWithNibabel compares orientation and scaling with nibabel 5.3: as_closest_canonical of the first
// volume, as [z][y][x], times (index mod 1009), summed without NaN:
//
//	im = nib.as_closest_canonical(nib.load(p)); d = np.asarray(im.dataobj).astype(float).reshape(im.shape[:3] + (-1,))[..., 0].T
//	np.nansum(d * (np.arange(d.size).reshape(d.shape) % 1009))
func TestNIfTIAgreesWithNibabel(t *testing.T) {
	for name, want := range map[string]struct {
		dims [3]int
		sum  float64
	}{
		"nibabel_anatomical.nii":           {[3]int{25, 41, 33}, 142540288608},
		"nibabel_example4d.nii.gz":         {[3]int{24, 96, 128}, 25676837100},
		"nibabel_resampled_anat_moved.nii": {[3]int{3, 21, 17}, 3722461260.4538574},
		"nibabel_someones_epi.nii.gz":      {[3]int{33, 61, 53}, 2452421678.2812824},
		"nibabel_standard.nii.gz":          {[3]int{7, 5, 4}, 549270},
		"nilearn_mni152_t1.nii.gz":         {[3]int{189, 233, 197}, 168048120574},
	} {
		g, ok := samplesOf(t, testenv.Sample(t, "mri/"+name), ingest.Options{})[0].Data.(*ingest.Grid)
		if !ok {
			t.Fatal("found no grid")
		}
		sum := 0.0
		for i, v := range g.Values {
			if !math.IsNaN(float64(v)) {
				sum += float64(v) * float64(i%1009)
			}
		}
		if g.Dims != want.dims || !(math.Abs(sum-want.sum) <= 1e-6*want.sum) {
			t.Errorf("%s: found %v and %.10g, want %v and %.10g", name, g.Dims, sum, want.dims, want.sum)
		}
	}
}

// TestMedMNISTParts: the facts of the archive, part by part.
func TestMedMNISTParts(t *testing.T) {
	path := testenv.Sample(t, "mri/medmnist3d/adrenalmnist3d.npz")
	for part, want := range map[string]struct {
		rows, ones int
		sum        float64
	}{
		"train": {1188, 259, 105033740},
		"val":   {98, 22, 8922960},
		"test":  {298, 69, 26407545},
	} {
		rows, ones, sum := 0, 0, 0.0
		for _, s := range samplesOf(t, path, ingest.Options{Readers: []any{&array.Options{Part: part}}}) {
			g, ok := s.Data.(*ingest.Grid)
			if !ok || g.Dims != [3]int{28, 28, 28} || s.Label < 0 {
				t.Fatalf("%s: found %T of label %d", part, s.Data, s.Label)
			}
			rows++
			ones += int(s.Label)
			for _, v := range g.Values {
				sum += float64(v)
			}
		}
		// The manifest gives eight digits of the sums.
		if rows != want.rows || ones != want.ones || math.Abs(sum-want.sum) > 1e-7*want.sum {
			t.Errorf("%s: found %d rows, %d ones and sum %.10g, want %+v", part, rows, ones, sum, want)
		}
	}
	if _, err := Open(t.Context(), path, ingest.Options{Readers: []any{&array.Options{Part: "dev"}}}); err == nil ||
		!strings.Contains(err.Error(), `part "dev": found the arrays`) {
		t.Errorf("found %v, want that there is no such part", err)
	}
}
