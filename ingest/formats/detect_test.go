package formats

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/ingest"
)

// reading returns options with a selection.
func reading(format Name, ignore ...string) ingest.Options {
	return ingest.Options{Readers: []any{&Selection{Format: format, Ignore: ignore}}}
}

// tree makes files in a new folder; a name that ends with a slash is a folder.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, data := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const (
	pcdHeader = "VERSION .7\nFIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nCOUNT 1 1 1\nWIDTH 1\nHEIGHT 1\nPOINTS 1\nDATA ascii\n"
	pcd       = pcdHeader + "1 2 3\n"
	notLPC    = "\x00\x01\x02\x03 no points"
)

// TestReasons: what no format recognizes is judged by its name, and the decoder's reason is the error.
func TestReasons(t *testing.T) {
	for name, c := range map[string]struct{ data, want string }{
		"empty.xyz":    {"", "the file is empty"},
		"empty.bin":    {"", "the file is empty"},
		"words.txt":    {"hello world\n", "xyz: line 1"},
		"table.csv":    {"a,b\n1,2\n", "xyz: line 1"},
		"a.pcd":        {pcdHeader + "1 2 z\n", "pcd: line 10"},
		"exe.pcd":      {"\x7fELF\x02\x01\x01" + strings.Repeat("\x00", 20), "want the header of a PCD file"},
		"b.las":        {notLPC, "las: "},
		"c.LAZ":        {notLPC, "laz: "},
		"d.e57":        {notLPC, "e57: "},
		"e.nii":        {notLPC, "nifti: "},
		"f.dcm":        {notLPC, "dicom: "},
		"g.binvox":     {notLPC, "binvox: "},
		"h.npz":        {notLPC, "npz: "},
		"i.nvm":        {notLPC, "nvm: "},
		"j.json":       {"{}", "opensfm: "},
		"k.ply":        {notLPC, "ply: "},
		"points3D.bin": {notLPC, "colmap: "},
		"cameras.txt":  {"1 NO_SUCH_MODEL 1 1 1\n", "colmap-cameras-text: "},
		"zeros.bin":    {string(make([]byte, 160)), "--format kitti"},
		"x":            {"what is this", "not a known format"},
		"y.zst":        {"\x28\xb5\x2f\xfd....", "a Zstandard archive"},
		"z.pcd":        {"version https://git-lfs.github.com/spec/v1\n", "pcd: "},
		"lfs":          {"version https://git-lfs.github.com/spec/v1\n", "Git LFS"},
	} {
		path := filepath.Join(tree(t, map[string]string{name: c.data}), name)
		_, err := Open(t.Context(), path, ingest.Options{})
		if err == nil { // the format was recognized; its reader has the reason
			_, err = Inspect(t.Context(), path, ingest.Options{})
		}
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), path) ||
			strings.Count(err.Error(), path) != 1 {
			t.Errorf("%s: found %v, want %q and the path once", name, err, c.want)
		}
	}
	none := filepath.Join(t.TempDir(), "none")
	_, err := Open(t.Context(), none, ingest.Options{})
	if !errors.Is(err, os.ErrNotExist) || !strings.HasPrefix(err.Error(), none+": ") {
		t.Errorf("found error %v, want that the file is not there", err)
	}
}

// TestForced: --format opens a file that is not recognized, and gives the decoder's reason for one of another format.
func TestForced(t *testing.T) {
	dir := tree(t, map[string]string{
		"zeros": string(make([]byte, 160)), "b/1.dat": string(make([]byte, 32)), "b/2.dat": "short", "a.pcd": pcd,
	})
	if n, bad := drained(t, filepath.Join(dir, "zeros"), reading("kitti")); n != 1 || bad != 0 {
		t.Errorf("found %d samples and %d bad, want 1", n, bad)
	}
	if n, bad := drained(t, filepath.Join(dir, "b"), reading("kitti")); n != 1 || bad != 1 {
		t.Errorf("a folder: found %d samples and %d bad, want 1 and 1", n, bad)
	}
	for format, want := range map[Name]string{
		"las": "las: ", "tum": "want a folder", "kiti": "want one of auto, ", "": "", auto: "", "pcd": "",
	} {
		_, err := Inspect(t.Context(), filepath.Join(dir, "a.pcd"), reading(format))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: found %v, want %q", format, err, want)
		}
	}
}
