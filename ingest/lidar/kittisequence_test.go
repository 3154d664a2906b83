package lidar

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/ingesttest"
	"github.com/voxelstream/voxelstream/internal/mutants"
)

// writeTree writes files below a folder.
func writeTree(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, data := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func gzipped(data []byte) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write(data) // cannot fail
	_ = z.Close()
	return b.String()
}

// kittiCalib has the axes of KITTI, x of the camera to the right, y down and z forward, and a scanner at 0.1, -0.2, -0.3
// m from the camera.
const kittiCalib = "P0: 1 0 0 0 0 1 0 0 0 0 1 0\r\nTr: 0 -1 0 0.1 0 0 -1 -0.2 1 0 0 -0.3\r\n"

// kittiFiles is a sequence of three scans. The camera is at the origin, then 10 m ahead and turned left by 90 degrees,
// then 10 m ahead and turned back.
func kittiFiles() map[string]string {
	files := map[string]string{
		"times.txt": "0.000000e+00\n1.037875e-01\n0.25\n",
		"poses.txt": "1 0 0 0 0 1 0 0 0 0 1 0\r\n0 0 -1 0 0 1 0 0 1 0 0 10\r\n" +
			"1.0e+00 0 0 0 0 1 0 0 0 0 1 1.0e+01\r\n",
		"calib.txt":              kittiCalib,
		"velodyne/notes.txt":     "not a scan\n",
		"labels/000000.label":    "\x28\x00\x00\x00",
		"image_2/000000.png":     "no picture",
		"truth.jsonl":            "{}\n",
		"velodyne/000000.bin.gz": gzipped(rawFloats(1, 2, 3, .5, -4, 5, 6, 1)),
	}
	for i := 1; i < 3; i++ {
		files[fmt.Sprintf("velodyne/%06d.bin", i)] = string(rawFloats(float32(i), 2, 3, .5, -4, 5, 6, 1))
	}
	return files
}

// scanTexts reads a sequence. A sample is what text makes of it, and a bad item its error.
func scanTexts(t *testing.T, dir string, o ingest.Options, text func(s *ingest.Sample) string) (out []string, err error) {
	t.Helper()
	src, err := KITTISequence.Open(t.Context(), dir, o)
	if err != nil {
		return nil, err
	}
	defer src.Close() //nolint:errcheck // opened for reading
	for {
		s, err := src.Read(t.Context())
		switch {
		case errors.Is(err, io.EOF):
			return out, nil
		case err != nil:
			out = append(out, err.Error())
		default:
			out = append(out, text(&s))
		}
	}
}

// seconds is the time of a sample, and whether it has a pose.
func seconds(s *ingest.Sample) string {
	text := "?"
	if !s.Time.IsZero() {
		text = fmt.Sprint(float64(s.Time.UnixNano()) / 1e9)
	}
	if s.Data.(*ingest.PointCloud).Pose != nil {
		text += " pose"
	}
	return text
}

// placed is the number, first coordinate and time of a sample, and its position and the direction of its x axis.
func placed(s *ingest.Sample) string {
	p := s.Data.(*ingest.PointCloud)
	text := fmt.Sprintf("%d %g %s", s.Seq, p.X[0], seconds(s))
	if p.Pose != nil {
		text += fmt.Sprintf(" %.4f %.4f %.4f x %.4f %.4f %.4f", p.Pose.T[0], p.Pose.T[1], p.Pose.T[2], p.Pose.R[0],
			p.Pose.R[3], p.Pose.R[6])
	}
	return strings.ReplaceAll(text, "-0.0000", "0.0000")
}

// TestKITTISequence: poses of the scanner are those computed by hand. By Tr, the camera is 0.3 m ahead of the scanner and
// 0.1 m to the left. When the camera turns left about itself, the scanner, which was at (-0.3, -0.1) from it, is at
// (0.1, -0.3) from it: it moves by (0.4, -0.2), and by the 10 m of the camera.
func TestKITTISequence(t *testing.T) {
	dir := t.TempDir()
	writeTree(t, dir, kittiFiles())
	o := ingest.Options{Notes: new(ingest.Notes)}
	got, err := scanTexts(t, dir, o, placed)
	want := []string{
		"0 1 0 pose 0.0000 0.0000 0.0000 x 1.0000 0.0000 0.0000",
		"1 1 0.1037875 pose 10.4000 -0.2000 0.0000 x 0.0000 1.0000 0.0000",
		"2 2 0.25 pose 10.0000 0.0000 0.0000 x 1.0000 0.0000 0.0000",
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("found %q, %v, want %q", got, err, want)
	}
	if notes := o.Notes.Take(); len(notes) != 1 || !strings.Contains(notes[0].Text, "1 file of velodyne") {
		t.Errorf("found notes %q", notes)
	}
	ingesttest.Slices(t, KITTISequence, dir)
	info, err := KITTISequence.Inspect(t.Context(), dir, ingest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	p := info.(*ingest.Points)
	if p.Count != 6 || p.Clouds != 3 || p.Poses != 3 || p.Missing != 0 || *p.Max != [3]float64{2, 5, 6} {
		t.Errorf("found %+v", p)
	}
}

// TestKITTISequenceLists: what is missing or broken in the lists is noted with its line, and concerns only its scan.
func TestKITTISequenceLists(t *testing.T) {
	whole := kittiFiles()
	for name, c := range map[string]struct {
		change map[string]string // empty texts remove files
		scans  string            // their times, and whether they have poses
		note   string
	}{
		"no times": {
			map[string]string{"times.txt": ""},
			`["? pose" "? pose" "? pose"]`,
			"found no times.txt",
		},
		"no poses": {
			map[string]string{"poses.txt": ""},
			`["0" "0.1037875" "0.25"]`,
			"found no poses.txt",
		},
		"no calib": {
			map[string]string{"calib.txt": ""},
			`["0" "0.1037875" "0.25"]`,
			"found no Tr in calib.txt",
		},
		"no Tr": {
			map[string]string{"calib.txt": "P0: 1\n"},
			`["0" "0.1037875" "0.25"]`,
			"found no Tr in calib.txt",
		},
		"one pose": {
			map[string]string{"poses.txt": "1 0 0 0 0 1 0 0 0 0 1 0\n"},
			`["0 pose" "0.1037875" "0.25"]`,
			"poses.txt ends with line 1: scans from 1 to 2 have no pose",
		},
		"more times": {
			map[string]string{"times.txt": "0\n1\n2\n3\n"},
			`["0 pose" "1 pose" "2 pose"]`,
			"times.txt has 4 lines, but the last scan is 2",
		},
		"broken time": {
			map[string]string{"times.txt": "0\nx\n2\n"},
			`["0 pose" "? pose" "2 pose"]`,
			`1 of 3 lines of times.txt; the first is line 2: found time "x"`,
		},
		"blank time": {
			map[string]string{"times.txt": "0\n\n2\n"},
			`["0 pose" "? pose" "2 pose"]`,
			"line 2: found time",
		},
		"broken pose": {
			map[string]string{"poses.txt": strings.Replace(whole["poses.txt"], "-1", "-1 7", 1)},
			`["0 pose" "0.1037875" "0.25 pose"]`,
			"line 2: found 13 numbers, want 12",
		},
		"lost": {
			map[string]string{"poses.txt": strings.Replace(whole["poses.txt"], "0 0 -1", "0 nan 0", 1)},
			`["0 pose" "0.1037875" "0.25 pose"]`,
			"line 2: ",
		},
		"byte mark": {
			map[string]string{"times.txt": "\ufeff0\n1\n2"},
			`["0 pose" "1 pose" "2 pose"]`,
			"",
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			files := maps.Clone(whole)
			for name, data := range c.change {
				if files[name] = data; data == "" {
					delete(files, name)
				}
			}
			writeTree(t, dir, files)
			if head, err := ingest.ReadHead(dir); err != nil || KITTISequence.Detect(head) == ingest.No {
				t.Error("not recognized")
			}
			o := ingest.Options{Notes: new(ingest.Notes)}
			got, err := scanTexts(t, dir, o, seconds)
			if err != nil {
				t.Fatal(err)
			}
			if notes := fmt.Sprint(o.Notes.Take()); fmt.Sprintf("%q", got) != c.scans || !strings.Contains(notes, c.note) {
				t.Errorf("found %q and notes %s, want %s and %s", got, notes, c.scans, c.note)
			}
		})
	}
}

// TestKITTISequenceErrors: lists that cannot be read are errors with the file and the line.
func TestKITTISequenceErrors(t *testing.T) {
	for name, c := range map[string]struct{ file, data, want string }{
		"times": {"times.txt", "0\nx\ny\n", `times.txt, line 2: found time "x", want seconds`},
		"poses": {"poses.txt", "1 2 3\n", "poses.txt, line 1: found 3 numbers, want 12"},
		"words": {"poses.txt", strings.Repeat("x ", 12), `poses.txt, line 1: found "x", want a number`},
		"calib": {"calib.txt", "P0: 0\nTr: 1 2 3\n", "calib.txt, line 2: Tr: found 3 numbers, want 12"},
	} {
		dir := t.TempDir()
		files := kittiFiles()
		files[c.file] = c.data
		writeTree(t, dir, files)
		if _, err := scanTexts(t, dir, ingest.Options{}, placed); err == nil || !strings.Contains(err.Error(), c.want) ||
			!strings.HasPrefix(err.Error(), dir) {
			t.Errorf("%s: found %v, want %s", name, err, c.want)
		}
	}
}

// TestKITTISequenceGaps: a gap in the numbers of the scans and a damaged scan are bad items, and the others keep their
// times. Numbers from the first scan on are those of an excerpt.
func TestKITTISequenceGaps(t *testing.T) {
	dir := t.TempDir()
	scan := string(rawFloats(7, 2, 3, .5))
	writeTree(t, dir, map[string]string{
		"calib.txt": kittiCalib, "times.txt": "0\n1\n2\n3\n4\n5\n6\n7\n", "velodyne/000002.bin": scan,
		"velodyne/000005.bin": scan, "velodyne/000006.bin": "short", "velodyne/7.bin": scan,
	})
	got, err := scanTexts(t, dir, ingest.Options{}, placed)
	if err != nil || len(got) != 5 || got[0] != "0 7 2" || got[2] != "2 7 5" || got[4] != "4 7 7" ||
		!strings.Contains(got[1], "velodyne: found no scan from 3 to 4, lines 4 to 5 of times.txt") ||
		!strings.Contains(got[3], "000006.bin: kitti: truncated") {
		t.Errorf("found %q, %v", got, err)
	}
	info, err := KITTISequence.Inspect(t.Context(), dir, ingest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if p := info.(*ingest.Points); p.Clouds != 5 || p.Missing != 2 || p.Poses != 0 || p.Count != 3 {
		t.Errorf("found %+v", p)
	}
	ingesttest.Slices(t, KITTISequence, dir)
}

// TestKITTISequenceTwice: files with the same number are one scan.
func TestKITTISequenceTwice(t *testing.T) {
	dir := t.TempDir()
	scan, other := rawFloats(1, 2, 3, .5), rawFloats(9, 2, 3, .5)
	writeTree(t, dir, map[string]string{
		"calib.txt": kittiCalib, "times.txt": "0\n1\n", "velodyne/000000.bin": string(scan),
		"velodyne/000000.bin.gz": gzipped(other), "velodyne/000.bin.gz": gzipped(scan), "velodyne/000001.bin": string(other),
	})
	o := ingest.Options{Notes: new(ingest.Notes)}
	got, err := scanTexts(t, dir, o, placed)
	if want := []string{"0 1 0", "1 9 1"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("found %q, %v, want %q", got, err, want)
	}
	const want = "left out 2 scans of velodyne whose numbers other scans have"
	if !slices.ContainsFunc(o.Notes.Take(), func(n ingest.Note) bool { return strings.Contains(n.Text, want) }) {
		t.Errorf("want the note %q", want)
	}
}

// TestKITTILayouts: the folders of KITTI's other datasets.
func TestKITTILayouts(t *testing.T) {
	root := t.TempDir()
	scan := string(rawFloats(1, 2, 3, .5, -4, 5, 6, 1))
	writeTree(t, root, map[string]string{
		"sequences/07/velodyne/000000.bin": scan, "sequences/07/calib.txt": kittiCalib,
		"sequences/07/times.txt": "1.5", "poses/07.txt": "1 0 0 0 0 1 0 0 0 0 1 4\n",
		"drive/velodyne_points/data/0000000000.bin": scan, "drive/oxts/data/0000000000.txt": "49.0 8.4\n",
		"drive/velodyne_points/timestamps.txt": "2011-09-26 13:02:25.951199337\n",
		"training/velodyne/000000.bin":         scan, "training/calib/000000.txt": "P0: 1\n",
		"empty/velodyne/scan.bin": scan, "empty/calib.txt": kittiCalib,
	})
	for name, want := range map[string]string{
		"sequences/07": "[0 1 1.5 pose 4.0000 0.0000 0.0000 x 1.0000 0.0000 0.0000]",
		"drive":        "[0 1 1.3170421459511993e+09]",
	} {
		if got, err := scanTexts(t, filepath.Join(root, name), ingest.Options{}, placed); err != nil || fmt.Sprint(got) != want {
			t.Errorf("%s: found %v, %v, want %s", name, got, err, want)
		}
	}
	for _, name := range []string{"training", "empty", "drive/oxts", "sequences"} {
		head, err := ingest.ReadHead(filepath.Join(root, name))
		if err != nil || KITTISequence.Detect(head) != ingest.No {
			t.Errorf("%s: found a sequence, or %v", name, err)
		}
		if _, err := scanTexts(t, filepath.Join(root, name), ingest.Options{}, placed); err == nil {
			t.Errorf("%s: found no error", name)
		}
	}
}

// TestKITTISequenceMutants: whatever is in the files, nothing panics, and poses are rotations.
func TestKITTISequenceMutants(t *testing.T) {
	dir := t.TempDir()
	files := kittiFiles()
	writeTree(t, dir, files)
	r := rand.New(rand.NewPCG(1, 1))
	for _, name := range []string{"times.txt", "poses.txt", "calib.txt", "velodyne/000001.bin"} {
		for i := range 50 {
			writeTree(t, dir, map[string]string{name: string(mutants.Mutate(r, []byte(files[name])))})
			if _, err := ingesttest.Drain(t.Context(), KITTISequence, dir); errors.Is(err, ingesttest.ErrContract) {
				t.Errorf("mutant %d of %s: %v", i, name, err)
			}
			_, _ = scanTexts(t, dir, ingesttest.Options, func(s *ingest.Sample) string {
				if p := s.Data.(*ingest.PointCloud).Pose; p != nil && math.IsNaN(p.R[0]+p.T[0]+p.T[1]+p.T[2]) {
					t.Errorf("mutant %d of %s: found pose %v", i, name, p)
				}
				return ""
			})
		}
		writeTree(t, dir, map[string]string{name: files[name]})
	}
}

// TestKITTIPoses: a list of matrices is no table of points, and other tables are no lists of matrices.
func TestKITTIPoses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "00.txt")
	for text, want := range map[string]ingest.Confidence{
		kittiFiles()["poses.txt"]: ingest.Likely, "": ingest.No, "\n": ingest.No, "1 2 3\n4 5 6\n": ingest.No,
		"1 2 3 4 5 6 7 8 9 10 11 12\n": ingest.No, kittiFiles()["poses.txt"] + "1 0 0 0\n": ingest.No,
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		head, err := ingest.ReadHead(path)
		if got := KITTIPoses.Detect(head); err != nil || got != want {
			t.Errorf("%q: found %d, %v, want %d", text, got, err, want)
		}
	}
	if err := os.WriteFile(path, []byte(kittiFiles()["poses.txt"]+"1 0 0 2 0 1 0 0 0 0 1 10\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	info, err := KITTIPoses.Inspect(t.Context(), path, ingest.Options{})
	if err != nil || *info.(*PoseList) != (PoseList{Poses: 4, Last: [3]float64{2, 0, 10}, Length: 12}) {
		t.Errorf("found %+v, %v", info, err)
	}
	if _, err := KITTIPoses.Open(t.Context(), path, ingest.Options{}); !errors.Is(err, errNoScans) {
		t.Errorf("found %v", err)
	}
}
