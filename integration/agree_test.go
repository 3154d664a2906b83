//go:build unix

package integration

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/apptest"
	"github.com/voxelstream/voxelstream/app/files"
	detect "github.com/voxelstream/voxelstream/app/objects"
	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/photogrammetry"
	"github.com/voxelstream/voxelstream/internal/testenv"
)

// items is what a command finds in an input.
type items struct {
	good, bad int
	err       error // nothing could be read
	scans     bool  // they are scans or depth frames, as far as inspect says
}

func (i items) String() string {
	if i.err != nil {
		return i.err.Error()
	}
	return fmt.Sprintf("%d items", i.good+i.bad)
}

// agrees reports whether two commands find the same.
func (i items) agrees(other items) bool {
	return (i.err != nil) == (other.err != nil) && (i.err != nil || i.good+i.bad == other.good+other.bad)
}

// inspected counts the items that inspect describes.
func inspected(t *testing.T, a *app.Env, path string) (out items) {
	t.Helper()
	for in := range files.InspectAll(t.Context(), a, path) {
		switch {
		case in.Err != nil && in.File == path:
			out.err = in.Err
		case in.Err != nil:
			out.bad++
		case in.Skipped == "":
			out.good += count(t, in.Detail)
			switch in.Detail.(type) {
			case *ingest.Points, *ingest.Depth, *ingest.Packets, *photogrammetry.Model:
				out.scans = true
			}
		}
	}
	if out.err == nil && out.good == 0 {
		out.err = errors.New("inspect: nothing to read")
	}
	return out
}

// scanned counts the items in which objects looks for objects.
func scanned(t *testing.T, a *app.Env, path string) items {
	t.Helper()
	s, err := detect.Find(t.Context(), a, []string{path}, nil, func(*detect.Frame) error { return nil })
	if errors.Is(err, app.ErrSkipped) {
		err = nil
	}
	return items{good: s.Frames, bad: s.Failed, err: err}
}

// count is the number of samples of a description.
func count(t *testing.T, d ingest.Detail) int {
	t.Helper()
	switch d := d.(type) {
	case *ingest.Points:
		if d.Count == 0 && d.Clouds == 0 { // one cloud without points, or none
			return 0
		}
		return max(1, d.Clouds)
	case *ingest.Depth:
		return max(1, d.Frames)
	case *ingest.Grids:
		return d.Rows
	case *ingest.Packets:
		return d.Frames
	case *photogrammetry.Model:
		if d.Points != nil {
			return 1
		}
	}
	return 0
}

// result is the outcome of convert or voxelize.
func result(good, bad int, err error) items {
	if err != nil && !errors.Is(err, app.ErrSkipped) {
		return items{err: err}
	}
	return items{good: good, bad: bad}
}

func converted(t *testing.T, a *app.Env, path string) items {
	t.Helper()
	s, err := files.Convert(t.Context(), a, path, filepath.Join(t.TempDir(), "o.parquet"))
	if s == nil {
		s = &files.ConvertSummary{}
	}
	return result(s.Samples, s.Failed, err)
}

func voxelized(t *testing.T, a *app.Env, path string) items {
	t.Helper()
	s, err := files.Voxelize(t.Context(), a, path, filepath.Join(t.TempDir(), "o.npz"), "index", false)
	if s == nil {
		s = &files.VoxelizeSummary{}
	}
	return result(s.Volumes, s.Failed, err)
}

// inputs are all sample files, the files and folders of the cases, and the folder of a simulated drive.
func inputs(t *testing.T) (paths []string) {
	t.Helper()
	drive := filepath.Join(t.TempDir(), "drive")
	must(files.Record(t.Context(), apptest.New(t), files.RecordOptions{
		Scene: "drive", Sensor: "vlp16", Count: 3, Out: drive,
	}))(t)
	paths = append(paths, drive)
	if dir, ok := testenv.Samples(); ok {
		table := must(os.ReadFile(filepath.Join(dir, "MANIFEST.tsv")))(t)
		for line := range strings.Lines(string(table)) {
			name, _, _ := strings.Cut(line, "\t")
			if path := filepath.Join(dir, filepath.FromSlash(name)); name != "path" {
				paths = append(paths, path)
			}
		}
	}
	if dir, ok := testenv.Cases(); ok {
		for _, path := range must(filepath.Glob(filepath.Join(dir, "sensors", "*", "*")))(t) {
			if filepath.Base(path) != "fact.json" {
				paths = append(paths, path)
			}
		}
	}
	return paths
}

// apart are the inputs in which the commands may find different things, and why.
var apart = map[string]string{
	"t10k-labels-idx1-ubyte.gz":  "labels can be inspected, but there is nothing to convert",
	"t10k-labels-idx1-ubyte":     "labels can be inspected, but there is nothing to convert",
	"train-labels-idx1-ubyte.gz": "labels can be inspected, but there is nothing to convert",
}

// TestCommandsAgree: inspect, convert, voxelize, objects, run and ingest find the same in every sample and in every case.
func TestCommandsAgree(t *testing.T) {
	slow(t)
	const few = 100 // items that run classifies
	settings := []string{"voxelize.grid", "16", "voxelize.fit", "whole", "ingest.fx", "500", "ingest.fy", "500"}
	flags := []string{"--json", "-q", "--grid", "16", "--fit", "whole", "--fx", "500", "--fy", "500"}
	w := newWorld(t)
	type input struct {
		path string
		items
	}
	var all, short []input
	for _, path := range inputs(t) {
		t.Run(filepath.Join(filepath.Base(filepath.Dir(path)), filepath.Base(path)), func(t *testing.T) {
			a := apptest.New(t, settings...)
			i, c, v := inspected(t, a, path), converted(t, a, path), voxelized(t, a, path)
			if apart[filepath.Base(path)] == "" && (!i.agrees(c) || !i.agrees(v)) {
				t.Errorf("%s:\ninspect  %v\nconvert  %v\nvoxelize %v", path, i, c, v)
			}
			if o := scanned(t, a, path); apart[filepath.Base(path)] == "" && i.scans && !i.agrees(o) {
				t.Errorf("%s:\ninspect  %v\nobjects  %v", path, i, o)
			}
			all = append(all, input{path, v})
			if v.good+v.bad <= few {
				short = append(short, input{path, v})
			}
		})
	}
	for command, list := range map[string][]input{"ingest": all, "run": short} {
		if len(list) < 2 { // without the samples, or of a run of single inputs
			continue
		}
		args := append([]string{command}, flags...)
		for _, in := range list {
			args = append(args, in.path)
		}
		w.set("broker.data_dir", command)
		p := w.do(exitDeadLetters, args...)
		s := one[struct {
			Volumes     int
			DeadLetters int `json:"dead_letters"`
			Files       []app.FileOutcome
		}](t, p.stdout.String())
		// Some of the cases are copies of one file, or have the IDs of another.
		twice := map[string]bool{}
		for _, f := range s.Files {
			twice[f.File] = f.Status == app.FileRepeated || strings.Contains(f.Error, "rename one of them")
		}
		volumes, unreadable := 0, 0
		names := map[string]int{}
		for _, in := range list {
			name := filepath.Base(in.path)
			switch names[name]++; {
			case !twice[in.path]:
				volumes += in.good
			case names[name] == 1:
				t.Errorf("%s: found that %s repeats an input, but none before it has its name", command, in.path)
			}
			if (in.err != nil || in.bad > 0) && !twice[in.path] {
				unreadable++
			}
		}
		if s.Volumes != volumes || s.DeadLetters < unreadable {
			t.Errorf("%s: found %d volumes and %d dead letters, want %d volumes and dead letters of %d inputs", command,
				s.Volumes, s.DeadLetters, volumes, unreadable)
		}
	}
}
