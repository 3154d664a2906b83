package integration

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/voxelstream/voxelstream/internal/testenv/inject"
	"github.com/voxelstream/voxelstream/pipeline/transport"
	"github.com/voxelstream/voxelstream/pipeline/transport/embedded"
	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/sinks/all"
	"github.com/voxelstream/voxelstream/sinks/table"
)

// A faultJob is something small that people do with the binary. Each of its calls on a file below the world's folder
// fails once.
type faultJob struct {
	name string
	// prepare makes the inputs.
	prepare func(w *world)
	// do does the job, or continues it: a second time, everything is done.
	do func(a *attempt)
	// results describes what the job has made: name and content. Nothing in it may depend on time or chance.
	results func(w *world) map[string]string
}

// attempt is a job that is being done. A fault may end its processes.
type attempt struct {
	*world
	begin func(*exec.Cmd) error
	// fault is what will fail. It is nil if nothing does.
	fault *fault
	// failed is the process that has failed because of it.
	failed *process
	// again says that this is not the first attempt.
	again bool
}

// fault is a call that fails once, for the n-th time that this is done to this file.
type fault struct {
	point
	errno unix.Errno
	hit   atomic.Bool
}

type point struct {
	op   inject.Op
	path string // without what is random in the names of temporary files
	n    int
}

func (f *fault) String() string {
	return fmt.Sprintf("%s %s #%d %s", f.op, f.path, f.n, unix.ErrnoName(f.errno))
}

// random is what is random in the names of temporary files: a long number, or letters of crypto/rand.
var random = regexp.MustCompile(`[A-Z2-7]{26}|\d{6,}|\.tmp-[^/]*`)

// counter numbers calls.
type counter map[point]int

func (c counter) next(call inject.Call) point {
	p := point{op: call.Op, path: random.ReplaceAllString(strings.TrimSuffix(call.Path, " (deleted)"), "*")}
	c[p]++
	p.n = c[p]
	return p
}

// errnos are the errors of the calls.
var errnos = []unix.Errno{unix.EIO, unix.ENOSPC, unix.EMFILE, unix.EACCES, unix.EINTR}

// run starts a command and waits for its end. It is nil if the command has failed because of the fault.
func (a *attempt) run(args ...string) *process {
	a.t.Helper()
	if a.failed != nil {
		return nil
	}
	p := a.launch(args...)
	a.finish(p)
	if a.failed != nil {
		return nil
	}
	return p
}

func (a *attempt) launch(args ...string) *process {
	return startBy(a.t, a.begin, a.bin, a.dir, a.env, args...)
}

// finish waits for the end of a process.
func (a *attempt) finish(p *process) {
	a.t.Helper()
	select {
	case <-p.done:
	case <-time.After(timeout):
		_ = p.cmd.Process.Signal(unix.SIGQUIT) // its goroutines go to standard error
		time.Sleep(time.Second)
		p.kill()
		a.t.Fatalf("hang: voxelstream %s: not over after %v\nstderr: %s", strings.Join(p.args, " "), timeout,
			p.stderr.String())
	}
	code := p.cmd.ProcessState.ExitCode()
	switch {
	case code == exitDone:
	case a.fault == nil || !a.fault.hit.Load():
		a.t.Fatalf("voxelstream %s: exit code %d without a fault: %s", strings.Join(p.args, " "), code,
			tail(p.stderr.String()))
	default:
		a.failed = p
	}
}

// until waits for a condition while a service works. It reports false if the fault has ended the service.
func (a *attempt) until(p *process, what string, ok func() bool) bool {
	a.t.Helper()
	for end := time.Now().Add(timeout); !ok(); time.Sleep(10 * time.Millisecond) {
		if p.ended() {
			a.finish(p)
			if a.failed == nil {
				a.t.Errorf("voxelstream %s: ended with 0 before %s: %s", strings.Join(p.args, " "), what,
					tail(p.stderr.String()))
			}
			return false
		}
		if time.Now().After(end) {
			a.t.Fatalf("hang: voxelstream %s: no %s after %v\nstderr: %s", strings.Join(p.args, " "), what, timeout,
				tail(p.stderr.String()))
		}
	}
	return true
}

// faultWorld makes a world in which everything that the job touches is below one folder.
func faultWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, bin: voxelstream(t), dir: must(filepath.EvalSymlinks(scratch(t)))(t)}
	w.env = []string{
		"VOXELSTREAM_MODEL_PATH=", "VOXELSTREAM_BROKER_DATA_DIR=kafka", "TMPDIR=" + w.path("tmp"),
		"VOXELSTREAM_KAFKA_SESSION_TIMEOUT=6s",
	}
	return w
}

// scratch makes a folder, in memory where that has room: these jobs sync a lot, and nobody pulls the plug.
func scratch(t *testing.T) string {
	t.Helper()
	const memory = "/dev/shm"
	var s unix.Statfs_t
	if unix.Statfs(memory, &s) != nil || s.Bavail*uint64(s.Bsize) < 1<<30 {
		return t.TempDir()
	}
	dir := must(os.MkdirTemp(memory, "voxelstream-faults-"))(t) //nolint:usetesting // not on the disk
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// copyOf copies the inputs to a new world.
func copyOf(t *testing.T, from *world) *world {
	t.Helper()
	w := faultWorld(t)
	w.env = append(slices.Clone(from.env), "TMPDIR="+w.path("tmp"))
	if err := os.CopyFS(w.dir, os.DirFS(from.dir)); err != nil {
		t.Fatal(err)
	}
	return w
}

// names lists the files and folders below the world's folder, without the broker's.
func (w *world) names() []string {
	w.t.Helper()
	var all []string
	err := filepath.WalkDir(w.dir, func(path string, e fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(w.dir, path)
		if rel == "kafka" {
			return filepath.SkipDir
		}
		all = append(all, random.ReplaceAllString(rel, "*"))
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return all
}

// faultFree does the job twice without a fault and returns the calls, the results and the files of it.
func (j *faultJob) faultFree(t *testing.T, inputs *world) (calls []point, want map[string]string, files []string) {
	w := copyOf(t, inputs)
	seen := counter{}
	var mu sync.Mutex
	record := func(cmd *exec.Cmd) error {
		return inject.Start(cmd, w.dir, func(c inject.Call) unix.Errno {
			mu.Lock()
			defer mu.Unlock()
			calls = append(calls, seen.next(c))
			return 0
		})
	}
	j.do(&attempt{world: w, begin: record})
	want = j.results(w)
	j.do(&attempt{world: w, begin: (*exec.Cmd).Start, again: true})
	compare(t, "done twice", j.results(w), want)
	return calls, want, w.names()
}

// test lets a call fail, and wants the job to be done in the end as if nothing had happened.
func (j *faultJob) test(t *testing.T, inputs *world, f *fault, want map[string]string, files []string) {
	w := copyOf(t, inputs)
	seen := counter{}
	disturb := func(cmd *exec.Cmd) error {
		return inject.Start(cmd, w.dir, func(c inject.Call) unix.Errno {
			if seen.next(c) == f.point && f.hit.CompareAndSwap(false, true) {
				return f.errno
			}
			return 0
		})
	}
	a := &attempt{world: w, begin: disturb, fault: f}
	j.do(a)
	if !f.hit.Load() {
		t.Skip("this call was not made")
	}
	if a.failed != nil {
		a.named(f)
		// It may have become a dead letter that an input could not be read, which settles nothing: it is read again.
		want = maps.Clone(want)
		delete(want, deadLetters)
		// What there is under its final name is whole, or at least a part of what is wanted.
		for name, content := range j.results(w) {
			if name == deadLetters {
				continue
			}
			if extra := without(content, want[name]); extra != "" {
				t.Errorf("after the fault, %s has what it should not: %s", name, tail(extra))
			}
		}
	} else {
		compare(t, "after a fault that the process has survived", j.results(w), want)
	}
	j.do(&attempt{world: w, begin: (*exec.Cmd).Start, again: true})
	compare(t, "done again", j.results(w), want)
	for _, name := range w.names() {
		// What cannot be removed stays.
		removed := slices.Contains([]inject.Op{inject.Remove, inject.List, inject.Open}, f.op) &&
			strings.HasPrefix(name, f.path)
		if !slices.Contains(files, name) && !removed {
			t.Errorf("left behind: %s", name)
		}
	}
}

// named wants the failed process to have named the file and the error.
func (a *attempt) named(f *fault) {
	said := a.failed.stderr.String()
	texts := []string{f.errno.Error()}
	if strings.Contains(f.path, ".sqlite") { // SQLite has its own words
		texts = append(texts, "disk I/O error", "unable to open database file", "disk is full")
	}
	says := func(text string) bool { return strings.Contains(said, text) }
	if !slices.ContainsFunc(texts, says) {
		a.t.Errorf("the message does not say %q: %s", texts, tail(said))
	}
	// Of a temporary file, the name of what it was to become will do.
	name := strings.Trim(filepath.Base(f.path), ".*")
	for !says(name) {
		shorter := strings.TrimSuffix(strings.TrimSuffix(name, filepath.Ext(name)), ".")
		if shorter == name {
			a.t.Errorf("the message does not name %s: %s", f.path, tail(said))
			break
		}
		name = shorter
	}
}

// deadLetters is the name of the dead letters among the results of a job.
const deadLetters = "dead letters"

// without returns the lines of found that are not in want.
func without(found, want string) string {
	if found == want {
		return ""
	}
	lines := map[string]bool{}
	for line := range strings.Lines(want) {
		lines[line] = true
	}
	extra := ""
	for line := range strings.Lines(found) {
		if !lines[line] {
			extra += line
		}
		delete(lines, line) // more than once is too much as well
	}
	return extra
}

func compare(t *testing.T, when string, found, want map[string]string) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if found[name] == want[name] {
			continue
		}
		t.Errorf("%s: %s: missing: %s\nextra: %s", when, name, tail(without(want[name], found[name])),
			tail(without(found[name], want[name])))
	}
	for name := range found {
		if _, ok := want[name]; !ok && name != deadLetters {
			t.Errorf("%s: %s should not exist", when, name)
		}
	}
}

// classifications returns the rows of a file of classifications as lines, in order of their ids. A file that is not
// there has none.
func (w *world) classifications(name string) string {
	w.t.Helper()
	i := slices.IndexFunc(all.Formats, func(f *table.Format) bool {
		return slices.ContainsFunc(f.Extensions, func(e string) bool { return strings.HasSuffix(name, e) })
	})
	// A file that is only created, not begun, does not pretend to hold anything.
	if info, err := os.Stat(w.path(name)); errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() == 0 {
		return ""
	}
	r, err := all.Formats[i].Open(w.path(name))
	if err != nil && strings.Contains(err.Error(), "readonly database") {
		return "" // its journal is to be rolled back first, by who writes to it next
	}
	if err != nil {
		return fmt.Sprintf("unreadable: %v\n", err)
	}
	defer r.Close() //nolint:errcheck // opened for reading
	var cs []record.Classification
	if _, err = table.Each(r, func(some []record.Classification) error {
		cs = append(cs, some...)
		return nil
	}); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Sprintf("unreadable: %v\n", err)
	}
	return linesOf(w.t, cs)
}

func linesOf(t *testing.T, cs []record.Classification) string {
	t.Helper()
	var lines []string
	for i := range cs {
		cs[i].LatencyMS, cs[i].Time, cs[i].Origin = 0, time.Time{}, nil
		lines = append(lines, string(must(json.Marshal(cs[i]))(t))+"\n")
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}

// onTopics returns the classifications and the dead letters in the log of the embedded broker, which must have stopped.
func (w *world) onTopics() (classifications, dead string) {
	w.t.Helper()
	b, err := embedded.Start(embedded.Config{DataDir: w.path("kafka"), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		w.t.Fatal(err)
	}
	defer b.Close() //nolint:errcheck // opened for reading
	c := client(w.t, b.Addr())
	defer c.Close()
	exists := func(topic string) bool {
		_, err := os.Stat(w.path("kafka/log/partitions/" + topic + "-0"))
		return err == nil
	}
	if exists(transport.TopicClassifications) {
		classifications = linesOf(w.t, published(w.t, c))
	}
	if exists(transport.TopicDeadLetters) {
		for _, m := range messages(w.t, c, transport.TopicDeadLetters) {
			if !strings.HasPrefix(m.EventID(), "replay/") { // what was sent back, and when
				dead += m.EventID() + "\n"
			}
		}
	}
	return classifications, dead
}

// content returns the bytes of files that exist.
func (w *world) content(names ...string) map[string]string {
	files := map[string]string{}
	for _, name := range names {
		if b, err := os.ReadFile(w.path(name)); err == nil {
			files[name] = string(b)
		}
	}
	return files
}

// TestFaults lets calls on files fail, one at a time. By default it tries one call of each job; with
// VOXELSTREAM_FAULTS=all (make faults) all calls with all errors, and with a number that many of each job, distributed
// evenly.
func TestFaults(t *testing.T) {
	needHDF5(t)
	probe := exec.Command("true")
	if err := inject.Start(probe, t.TempDir(), func(inject.Call) unix.Errno { return 0 }); err != nil {
		t.Skipf("no faults can be injected: %v", err)
	}
	must(0, probe.Wait())(t)
	most := 1
	switch v := os.Getenv("VOXELSTREAM_FAULTS"); v {
	case "":
	case "all":
		most = 1 << 30
	default:
		most = must(strconv.Atoi(v))(t)
	}
	for i := range faultJobs {
		j := &faultJobs[i]
		t.Run(j.name, func(t *testing.T) {
			inputs := faultWorld(t)
			must(0, os.Mkdir(inputs.path("tmp"), 0o700))(t)
			j.prepare(inputs)
			calls, want, files := j.faultFree(t, inputs)
			var faults []*fault
			for n, p := range calls {
				for m := range errnos {
					// Neighbours in this list have different calls, and errors take turns.
					k := (n + m) % len(errnos)
					faults = append(faults, &fault{point: p, errno: errnos[k]})
				}
			}
			t.Logf("%d calls", len(calls))
			step := max(1, len(faults)/most)
			for k := step / 2; k < len(faults); k += step {
				f := faults[k]
				t.Run(f.String(), func(t *testing.T) {
					t.Parallel()
					j.test(t, inputs, f, want, files)
				})
			}
		})
	}
}
