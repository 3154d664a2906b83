package integration

import (
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/internal/testenv"
)

// TestDocs runs the blocks of the pages that are marked with "sh run", each page in a folder with the files that pages use
// as examples. The mark is invisible to readers. What other blocks name is checked in docs.
func TestDocs(t *testing.T) {
	slow(t)
	needHDF5(t)
	bin := voxelstream(t)
	examples := exampleFiles(t)
	pages, err := filepath.Glob(filepath.Join(testenv.Root(), "docs", "*", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	marked := regexp.MustCompile("(?ms)^```sh run\n(.*?)^```")
	run := 0
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		blocks := marked.FindAllSubmatch(text, -1)
		if len(blocks) == 0 {
			continue
		}
		run += len(blocks)
		t.Run(filepath.Base(page), func(t *testing.T) {
			dir := t.TempDir()
			if err := os.CopyFS(dir, os.DirFS(examples)); err != nil {
				t.Fatal(err)
			}
			for _, block := range blocks {
				cmd := exec.Command("bash", "-euo", "pipefail", "-c", string(block[1]))
				cmd.Dir = dir
				cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(bin)+":"+os.Getenv("PATH"))
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Errorf("%v\n%s\n%s", err, block[1], out)
				}
			}
		})
	}
	if run < 11 {
		t.Errorf("found %d blocks to run", run)
	}
}

// exampleFiles makes a folder with the files that the pages use as examples: digits, models, clouds and folders of them.
func exampleFiles(t *testing.T) string {
	t.Helper()
	w := &world{t: t, bin: voxelstream(t), dir: t.TempDir()}
	model := filepath.Join(testenv.Root(), "app/models/builtin/digits.safetensors")
	var ply strings.Builder
	ply.WriteString("ply\nformat ascii 1.0\nelement vertex 400\n" +
		"property float x\nproperty float y\nproperty float z\nend_header\n")
	var raw []byte // coordinates and intensity as KITTI stores them
	for i := range 400 {
		x, y := float32(i%20)/10, float32(i/20)/10
		fmt.Fprintln(&ply, x, y, x*y)
		for _, v := range []float32{x, y, x * y, 0.5} {
			raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(v))
		}
	}
	w.write("scan.ply", []byte(ply.String()))
	w.write("scan.bin", raw)
	w.do(exitDone, "model", "convert", model, w.path("digits.keras"))
	w.do(exitDone, "model", "convert", model, w.path("shapes.keras"))
	w.do(exitDone, "generate", "--count", "300", "--augment", "--seed", "1", "--out", w.path("mnist3d.h5"))
	w.do(exitDone, "convert", w.path("scan.ply"), w.path("scan.pcd"))
	for _, folder := range []string{"archives", "scans"} {
		if err := os.Mkdir(w.path(folder), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	w.do(exitDone, "generate", "--count", "40", "--seed", "2", "--out", w.path("archives/a.h5"))
	w.do(exitDone, "generate", "--count", "40", "--seed", "3", "--out", w.path("archives/b.h5"))
	w.do(exitDone, "convert", w.path("scan.ply"), w.path("scans/first.pcd"))
	w.do(exitDone, "convert", w.path("scan.ply"), w.path("scans/second.ply"))
	return w.dir
}
