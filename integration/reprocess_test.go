//go:build unix

package integration

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// reprocessed is the result of reprocess --json.
type reprocessed struct {
	Rows, Classified, Failed, Skipped int64
	Files                             []struct {
		File, Status string
		Rows         int64
		Error        string
	}
	Outputs []string
}

// result returns what reprocess --json has printed.
func (p *process) result(t *testing.T) (r reprocessed) {
	t.Helper()
	if err := json.Unmarshal([]byte(p.stdout.String()), &r); err != nil {
		t.Fatalf("%v in %q", err, tail(p.stdout.String()))
	}
	return r
}

// bulk returns the command line of a job with many small shards.
func bulk(out string, more ...string) []string {
	return append([]string{"reprocess", "--json", "--shard-rows", "16", "--format", "arrow", "--out", out}, more...)
}

// results returns the content of each file of a job but the report, whose times differ.
func results(t *testing.T, out string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(out, func(path string, e fs.DirEntry, err error) error {
		if err == nil && strings.HasPrefix(e.Name(), ".tmp-") {
			return filepath.SkipDir // a killed process has left it, and the next one removes it
		}
		if err != nil || e.IsDir() || strings.HasPrefix(e.Name(), "report.") {
			return err
		}
		b, err := os.ReadFile(path)
		rel, _ := filepath.Rel(out, path)
		files[rel] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// same compares two results.
func same(t *testing.T, found, want map[string]string) {
	t.Helper()
	if maps.Equal(found, want) {
		return
	}
	for name := range want {
		if found[name] != want[name] {
			t.Errorf("%s: found %d bytes, want %d with the same content", name, len(found[name]), len(want[name]))
		}
	}
	for name := range found {
		if _, ok := want[name]; !ok {
			t.Errorf("%s: this file should not exist", name)
		}
	}
}

// parts counts the complete parts of a job.
func parts(out string) int {
	names, _ := filepath.Glob(filepath.Join(out, "parts", "*.arrow"))
	return len(names)
}

// TestReprocessTwice: a second process with the output of one that is running ends at once, and names the output. One
// that was killed is not in the way.
func TestReprocessTwice(t *testing.T) {
	needHDF5(t)
	w := newWorld(t)
	w.set("model.path", must(slowModel())(t))
	inputs := []string{w.digits("a.h5", 500, 1)}
	out := w.path("out")
	first := w.start(bulk(out, inputs...)...)
	first.until(t, "a part", func() bool { return parts(out) > 0 })
	second := w.do(1, bulk(out, inputs...)...)
	second.says(t, out+": in use by another process")
	if first.ended() {
		t.Fatal("the first process ended before the second: the scenario needs more rows")
	}
	first.kill()
	if r := w.do(0, bulk(out, inputs...)...).result(t); r.Rows != 500 || r.Skipped == 0 {
		t.Errorf("found %+v, want 500 rows, some of them from the process that was killed", r)
	}
}

// TestReprocessKilled: a job that is killed 20 times, on a disk that is full twice, ends with the bytes of one that is
// left alone, and does only as much again as was in progress.
func TestReprocessKilled(t *testing.T) {
	slow(t)
	needHDF5(t)
	w := newWorld(t)
	w.set("model.path", must(slowModel())(t))
	w.set("threads", 2)
	inputs := []string{w.digits("a.h5", 300, 1), w.digits("b.h5", 500, 2), w.digits("c.h5", 7, 3)}
	whole := w.path("whole")
	if r := w.do(0, bulk(whole, inputs...)...).result(t); r.Rows != 807 || r.Classified != 807 {
		t.Fatalf("found %+v, want 807 rows", r)
	}
	want := results(t, whole)

	disk := w.path("disk")
	if err := os.Mkdir(disk, 0o700); err != nil {
		t.Fatal(err)
	}
	mounted := mountSmall(disk, 24<<20) == nil
	if mounted {
		t.Cleanup(func() { unmount(disk) }) //nolint:errcheck // nothing depends on it
	}
	out := filepath.Join(disk, "out")
	r := rand.New(rand.NewPCG(7, 7))
	for kill := range 20 {
		filler := filepath.Join(disk, "filler")
		full := mounted && (kill == 5 || kill == 12)
		if full {
			fill(t, filler, 64<<10)
		}
		before := parts(out)
		p := w.start(bulk(out, inputs...)...)
		p.throttle()
		if full {
			p.wait(t, exitFailed)
			p.says(t, "no space left")
			if err := os.Remove(filler); err != nil {
				t.Fatal(err)
			}
			continue
		}
		p.until(t, "a new part", func() bool { return parts(out) > before })
		time.Sleep(time.Duration(r.IntN(60)) * time.Millisecond)
		if p.ended() {
			t.Fatalf("the job was done before kill %d", kill+1)
		}
		p.kill()
	}
	if !mounted {
		t.Log("no full disk was tried: mounting one needs a privileged user")
	}
	done := int64(parts(out))
	last := w.do(0, bulk(out, inputs...)...).result(t)
	if last.Rows != 807 || last.Skipped < 16*(done-2) || done < 20 {
		t.Errorf("found %+v with %d parts before, want their rows skipped", last, done)
	}
	same(t, results(t, out), want)
	if left, _ := filepath.Glob(filepath.Join(out, "*", ".tmp-*")); len(left) > 0 {
		t.Errorf("found %q left behind", left)
	}
}

// fill writes a file until the disk has only so many bytes left.
func fill(t *testing.T, path string, leave int) {
	t.Helper()
	f := must(os.Create(path))(t)
	defer f.Close() //nolint:errcheck // the disk is full
	block := bytes.Repeat([]byte("x"), 16<<10)
	size := int64(0)
	for {
		n, err := f.Write(block)
		size += int64(n)
		if errors.Is(err, syscall.ENOSPC) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Truncate(max(0, size-int64(leave))); err != nil {
		t.Fatal(err)
	}
}

// TestReprocessSpread: three processes share a job over Kafka. One is killed, one is frozen while the others finish, and
// the results are those of a single process.
func TestReprocessSpread(t *testing.T) {
	slow(t)
	needHDF5(t)
	w := newWorld(t)
	w.set("model.path", must(slowModel())(t))
	w.set("threads", 1)
	inputs := []string{w.digits("a.h5", 300, 1), w.digits("b.h5", 500, 2)}
	whole := w.path("whole")
	w.do(0, bulk(whole, inputs...)...)
	w.broker()
	out := w.path("out")
	planner := w.start(bulk(out, inputs...)...)
	planner.until(t, "a manifest", func() bool {
		_, err := os.Stat(filepath.Join(out, "manifest.json"))
		return err == nil
	})
	join := []string{"reprocess", "join", "--json", "--shard-rows", "16", "--out", out}
	frozen, killed := w.start(join...), w.start(join...)
	for _, p := range []*process{frozen, killed} {
		p.until(t, "an assignment", func() bool { return strings.Contains(p.stderr.String(), "kafka: assigned") })
	}
	before := parts(out)
	planner.until(t, "a few parts", func() bool { return parts(out) > before+2 })
	if err := frozen.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	killed.kill()
	t.Logf("%d parts before a worker was frozen and one was killed", parts(out))
	planner.wait(t, 0)
	if r := planner.result(t); r.Rows != 800 || r.Failed != 0 {
		t.Errorf("found %+v, want 800 rows", r)
	}
	same(t, results(t, out), results(t, whole))
	if err := frozen.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	frozen.wait(t, 0)
	same(t, results(t, out), results(t, whole))
}
