package formats

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/ingest"
)

// drained counts the samples and the bad items of an input.
func drained(t *testing.T, path string, o ingest.Options) (samples, bad int) {
	t.Helper()
	ids, failures := read(t, path, o)
	return len(ids), len(failures)
}

// read returns the ids of the samples of an input, and the bad items.
func read(t *testing.T, path string, o ingest.Options) (ids []string, bad []string) {
	t.Helper()
	src, err := Open(t.Context(), path, o)
	if err != nil {
		t.Fatal(err)
	}
	return drain(t, src)
}

// drain reads a source to its end and closes it.
func drain(t *testing.T, src ingest.Source) (ids []string, bad []string) {
	t.Helper()
	defer src.Close() //nolint:errcheck // opened for reading
	for {
		s, err := src.Read(t.Context())
		if errors.Is(err, io.EOF) {
			return ids, bad
		}
		if item, ok := errors.AsType[*ingest.ItemError](err); ok {
			if item.Stream == "" {
				t.Errorf("found no stream in %v", err)
			}
			bad = append(bad, err.Error())
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, s.ID.String())
	}
}

// TestFolderOfFiles: every file is a stream, skipped for a reason, or a bad item.
func TestFolderOfFiles(t *testing.T) {
	dir := tree(t, map[string]string{
		"b.xyz": "1 2 3\n4 5 6\n", "a.xyz": "7 8 9\n1 1 1\n", "sub/deep/c.pcd": pcd, "broken.pcd": "# .PCD\nFIELDS x\n",
		"notes.md": "# Notes\n", "empty.las": "", "old/d.pcd": pcd,
		".hidden": pcd, "Thumbs.db": "", "e.pcd.part": pcd, ".git/f.pcd": pcd, "b.json": "{}",
		"g/cameras.txt": "# Camera list\n",
	})
	if err := os.Symlink(dir, filepath.Join(dir, "loop")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(dir, "nothing"), filepath.Join(dir, "dangling")); err != nil {
		t.Fatal(err)
	}
	skipped := map[string][]string{}
	o := reading(auto, "old", "*.tif")
	o.Skipped = func(_, reason string, files []string) {
		for _, f := range files {
			rel, err := filepath.Rel(dir, f)
			if err != nil {
				t.Fatal(err)
			}
			skipped[reason] = append(skipped[reason], filepath.ToSlash(rel))
		}
	}
	ids, bad := read(t, dir, o)
	if len(ids) != 3 || !strings.HasPrefix(ids[0], "a.xyz-") || !strings.HasPrefix(ids[1], "b.xyz-") ||
		!strings.HasPrefix(ids[2], "c.pcd-") {
		t.Errorf("found samples %q", ids)
	}
	for i, want := range []string{
		"broken.pcd: pcd: ", "dangling: no such file", "empty.las: the file is empty",
		"notes.md: found",
	} {
		if i >= len(bad) || !strings.Contains(bad[i], want) {
			t.Errorf("found bad items %q, want %q", bad, want)
		}
	}
	if got, want := fmt.Sprint(skipped), "map[a link to a folder; name it as an input of its own:[loop] "+
		"hidden:[.git .hidden Thumbs.db] ignored by old:[old] it accompanies b.xyz:[b.json] "+
		"it has cameras but no points:[g/cameras.txt] unfinished, by its name:[e.pcd.part]]"; got != want {
		t.Errorf("found %s\nwant  %s", got, want)
	}
	// The same file has the same id by itself.
	if alone, _ := read(t, filepath.Join(dir, "a.xyz"), ingest.Options{}); !slices.Equal(alone, ids[:1]) {
		t.Errorf("found ids %q alone and %q in the folder", alone, ids[:1])
	}
	// Files lists the same.
	inputs, left := 0, 0
	for f := range Files(t.Context(), dir, o) {
		if f.Skipped == "" {
			inputs++
		} else {
			left++
		}
	}
	if inputs != len(ids)+len(bad) || left != 8 {
		t.Errorf("found %d inputs and %d skipped files", inputs, left)
	}
}

// TestEmptyFolders: a folder in which there is nothing to read is an error.
func TestEmptyFolders(t *testing.T) {
	if _, err := Open(t.Context(), t.TempDir(), ingest.Options{}); err == nil || !strings.Contains(err.Error(), "no file") {
		t.Errorf("found error %v", err)
	}
	src, err := Open(t.Context(), tree(t, map[string]string{".hidden": pcd}), ingest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := src.Read(t.Context()); err == nil || !strings.Contains(err.Error(), "all of its files were skipped") {
		t.Errorf("found error %v", err)
	}
	if err := src.Close(); err != nil {
		t.Error(err)
	}
}

// TestNoSample: an input in which there is nothing is a bad item.
func TestNoSample(t *testing.T) {
	empty := strings.NewReplacer("WIDTH 1", "WIDTH 0", "POINTS 1", "POINTS 0").Replace(pcdHeader)
	dir := tree(t, map[string]string{"a.xyz": "1 2 3\n4 5 6\n", "points3D.txt": "# 3D point list\n", "c.pcd": empty})
	for f := range Files(t.Context(), dir, ingest.Options{}) {
		if f.Skipped != "" {
			t.Errorf("found %+v", f)
		}
	}
	if n, bad := drained(t, dir, ingest.Options{}); n != 3 || bad != 0 { // an empty cloud is one
		t.Errorf("found %d samples and %d bad, want 3", n, bad)
	}
}

// TestRecordingAndOthers: a folder that is one recording is read as such, and files of other formats in it are inputs
// of their own.
func TestRecordingAndOthers(t *testing.T) {
	pgm := "P5 2 2 65535\n\x00\x01\x00\x01\x00\x01\x00\x01"
	dir := tree(t, map[string]string{
		"depth/1.pgm": pgm, "depth/2.pgm": pgm, "depth.txt": "1.5 depth/1.pgm\n2.5 depth/2.pgm\n", "groundtruth.txt": "",
		"README": "hello", "accelerometer.txt": "1 2 3\n", "scans/a.pcd": pcd, "scans/b.pcd": "# .PCD v.7\nFIELDS x\n",
		"other/depth.txt": "3.5 3.pgm\n", "other/3.pgm": pgm,
	})
	ids, bad := read(t, dir, ingest.Options{})
	if len(ids) != 4 || len(bad) != 1 || !strings.HasPrefix(ids[2], "other-") || !strings.HasPrefix(ids[3], "a.pcd-") {
		t.Errorf("found samples %q and bad items %q", ids, bad)
	}
	// The recording alone.
	src, err := OpenSingle(t.Context(), dir, ingest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if ids, bad := drain(t, src); len(ids) != 2 || len(bad) != 0 {
		t.Errorf("found samples %q and bad items %q, want those of the recording", ids, bad)
	}
	if _, err := OpenSingle(t.Context(), filepath.Join(dir, "scans"), ingest.Options{}); err == nil {
		t.Error("opened a folder that is no recording")
	}
}

// TestKITTIFolder: the files of a sequence are one input, and files of other formats beside them are inputs of their own.
func TestKITTIFolder(t *testing.T) {
	const scan = "\x00\x00\x80\x3f\x00\x00\x00\x40\x00\x00\x40\x40\x00\x00\x00\x3f" // 1 2 3 .5
	const pose = "1 0 0 0 0 1 0 0 0 0 1 0\n"
	dir := tree(t, map[string]string{
		"velodyne/000000.bin": scan, "velodyne/000001.bin": scan, "labels/000000.label": "\x28\x00\x00\x00",
		"times.txt": "0\n.1\n", "poses.txt": pose + pose, "calib.txt": "P0: " + pose + "Tr: " + pose,
		"truth.jsonl": "{}\n", "image_2/000000.png": string(png(2, 2, 16, 0)), "voxels/000000.bin": "\xff\xff",
		"voxels/000000.invalid": "\x00", "oxts/data/0000000000.txt": "49 8 1\n", "map.pcd": pcd,
	})
	o := ingest.Options{Skipped: func(_, reason string, files []string) { t.Errorf("%s: %q", reason, files) }}
	ids, bad := read(t, dir, o)
	if len(ids) != 3 || len(bad) != 0 || !strings.HasSuffix(ids[1], "/1") || !strings.HasPrefix(ids[2], "map.pcd-") {
		t.Errorf("found samples %q and bad items %q", ids, bad)
	}
	// --format kitti reads each scan by itself.
	if ids, _ := read(t, filepath.Join(dir, "velodyne"), reading("kitti")); len(ids) != 2 || ids[0] == ids[1] ||
		!strings.HasPrefix(ids[0], "000000.bin-") {
		t.Errorf("found samples %q", ids)
	}
	// Poses beside the sequences are no points.
	dir = tree(t, map[string]string{
		"poses/00.txt": pose + pose, "sequences/00/velodyne/0.bin": scan, "sequences/00/calib.txt": "",
	})
	var skipped string
	o.Skipped = func(_, reason string, _ []string) { skipped = reason }
	if ids, bad := read(t, dir, o); len(ids) != 1 || len(bad) != 0 || skipped != "it has poses but no points" {
		t.Errorf("found samples %q, bad items %q and skipped files: %s", ids, bad, skipped)
	}
}
