//go:build unix

package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/voxelstream/voxelstream/internal/h5"
	"github.com/voxelstream/voxelstream/internal/testenv"
	"github.com/voxelstream/voxelstream/pipeline/transport"
	"github.com/voxelstream/voxelstream/pipeline/transport/kafka"
	"github.com/voxelstream/voxelstream/record"
)

// timeout is how long a process may take for what it does in a few seconds.
const timeout = testenv.Patience

// The exit codes of the command line.
const (
	exitDone        = 0
	exitFailed      = 1
	exitUsage       = 2
	exitDeadLetters = 3
	exitTerminated  = 128 + 15 // by SIGTERM
)

// buildDir holds what TestMain's lazy builds make.
var buildDir string

// atOnce is the least number of tests that run at the same time: most of them wait for other processes.
const atOnce = 3

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "voxelstream-integration-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	buildDir = dir
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given {
		_ = flag.Set("test.parallel", strconv.Itoa(max(atOnce, runtime.GOMAXPROCS(0)))) // the flag exists
	}
	code := m.Run()
	_ = os.RemoveAll(dir)
	// The thread that calls libhdf5 lasts as long as the process.
	hdf5 := goleak.IgnoreAnyFunction("github.com/voxelstream/voxelstream/internal/h5.work")
	if err := goleak.Find(hdf5); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// The binary, and the mutant that commits the highest finished offset: built once, by the first test that wants them.
var (
	build       = sync.OnceValues(func() (string, error) { return goBuild("voxelstream") })
	buildMutant = sync.OnceValues(func() (string, error) { return goBuild("mutant", "mutant") })
)

func goBuild(name string, tags ...string) (string, error) {
	path := filepath.Join(buildDir, name)
	flags := exec.Command("scripts/ldflags")
	flags.Dir = testenv.Root()
	ldflags, err := flags.Output()
	if err != nil {
		return "", fmt.Errorf("scripts/ldflags: %w", err)
	}
	cmd := exec.Command("go", "build", "-tags", strings.Join(append(tags, buildTags...), ","), "-ldflags",
		string(ldflags), "-o", path, "./cmd/voxelstream")
	cmd.Dir = testenv.Root()
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
}

// voxelstream is the path of the real thing.
func voxelstream(t *testing.T) string {
	t.Helper()
	return must(build())(t)
}

// must takes the result of a call that is not to fail: must(f())(t).
func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// needHDF5 skips where this build cannot write archives.
func needHDF5(t *testing.T) {
	t.Helper()
	if h5.LibraryVersion() == "" {
		t.Skip("built without HDF5")
	}
}

// slow leaves a test out of go test -short; the others run beside it.
func slow(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("takes tens of seconds, mostly waiting")
	}
	t.Parallel()
}

// output collects what a process writes.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// process is a running command of the binary. It does not outlive its test.
type process struct {
	args           []string
	cmd            *exec.Cmd
	stdout, stderr output
	done           chan struct{} // closed when it has ended
}

// environment is ours without the variables that the binary takes for its configuration: some of them are for these
// tests.
func environment() []string {
	return slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "VOXELSTREAM_") })
}

// start runs a command line in dir, with env on top of an environment without our own variables.
func start(t *testing.T, bin, dir string, env []string, args ...string) *process {
	t.Helper()
	return startBy(t, (*exec.Cmd).Start, bin, dir, env, args...)
}

// startWith is start with files for the standard input and output, unless they are nil.
func startWith(t *testing.T, stdin, stdout *os.File, bin, dir string, env []string, args ...string) *process {
	t.Helper()
	return startBy(t, func(cmd *exec.Cmd) error {
		if stdin != nil {
			cmd.Stdin = stdin
		}
		if stdout != nil {
			cmd.Stdout = stdout
		}
		return cmd.Start()
	}, bin, dir, env, args...)
}

// startBy is start by a function in place of [exec.Cmd.Start].
func startBy(t *testing.T, begin func(*exec.Cmd) error, bin, dir string, env []string, args ...string) *process {
	t.Helper()
	p := &process{args: args, cmd: exec.Command(bin, args...), done: make(chan struct{})}
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = dir, &p.stdout, &p.stderr
	p.cmd.Env = append(environment(), env...)
	if err := begin(p.cmd); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait() // ProcessState tells
		close(p.done)
	}()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() && p.stderr.String() != "" {
			t.Logf("voxelstream %s: %v\nstdout: %s\nstderr: %s", strings.Join(args, " "), p.cmd.ProcessState,
				tail(p.stdout.String()), tail(p.stderr.String()))
		}
	})
	return p
}

// tail is the end of a long text.
func tail(s string) string {
	const most = 1500
	if len(s) > most {
		return "... " + s[len(s)-most:]
	}
	return s
}

// kill is kill -9, and waits for the end.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.done
}

// ready waits until a process that serves HTTP on an address is ready.
func (p *process) ready(t *testing.T, addr string) {
	t.Helper()
	p.until(t, "readiness", func() bool {
		status, _ := get(t, addr, "/readyz")
		return status == 200
	})
}

// terminate asks to drain.
func (p *process) terminate(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
}

// ended says whether the process is over.
func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// wait waits for the end and wants an exit code.
func (p *process) wait(t *testing.T, code int) {
	t.Helper()
	select {
	case <-p.done:
	case <-time.After(timeout):
		_ = p.cmd.Process.Signal(syscall.SIGQUIT) // its goroutines go to standard error
		time.Sleep(time.Second)
		p.kill()
		t.Fatalf("voxelstream %s: not over after %v\nstderr: %s", strings.Join(p.args, " "), timeout, p.stderr.String())
	}
	if got := p.cmd.ProcessState.ExitCode(); got != code {
		t.Fatalf("voxelstream %s: exit code %d, want %d\nstderr: %s", strings.Join(p.args, " "), got, code,
			tail(p.stderr.String()))
	}
}

// says wants a text on standard error.
func (p *process) says(t *testing.T, texts ...string) {
	t.Helper()
	for _, s := range texts {
		if !strings.Contains(p.stderr.String(), s) {
			t.Errorf("voxelstream %s: standard error does not say %q:\n%s", strings.Join(p.args, " "), s,
				tail(p.stderr.String()))
		}
	}
}

// endsWithin waits for the end of the process, at most so long, and says whether it came.
func (p *process) endsWithin(wait time.Duration) bool {
	select {
	case <-p.done:
		return true
	case <-time.After(wait):
		return p.ended()
	}
}

// until waits for something to become true while the process runs.
func (p *process) until(t *testing.T, what string, f func() bool) {
	t.Helper()
	deadline := time.Now().Add(timeout)
	for !f() {
		if p.ended() {
			if f() {
				return
			}
			t.Fatalf("voxelstream %s: ended (%v) before %s\nstderr: %s", strings.Join(p.args, " "),
				p.cmd.ProcessState, what, tail(p.stderr.String()))
		}
		if time.Now().After(deadline) {
			t.Fatalf("voxelstream %s: no %s after %v", strings.Join(p.args, " "), what, timeout)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// peak waits for the end, and is the most resident memory that the process had, in bytes; 0 where there is no /proc.
// What the kernel tells at a child's end (ru_maxrss) will not do: it counts our own memory, which the child shares
// until it executes its program.
func (p *process) peak(t *testing.T) int {
	t.Helper()
	most := 0
	p.until(t, "its end", func() bool {
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
		_, after, _ := strings.Cut(string(b), "VmHWM:")
		kib := 0
		_, _ = fmt.Sscan(after, &kib) // nothing is found when the process is over
		most = max(most, kib<<10)
		return p.ended()
	})
	if most == 0 && runtime.GOOS == "linux" {
		t.Fatalf("voxelstream %s: found no peak memory", strings.Join(p.args, " "))
	}
	return most
}

// world is the folder of one test, with a model and an environment in which small things happen fast.
type world struct {
	t   *testing.T
	bin string
	dir string
	env []string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	return &world{t: t, bin: voxelstream(t), dir: t.TempDir(), env: []string{
		"VOXELSTREAM_MODEL_PATH=" + must(smallModel())(t), "VOXELSTREAM_KAFKA_SESSION_TIMEOUT=6s",
		"VOXELSTREAM_BROKER_DATA_DIR=kafka",
	}}
}

// smallModel is a network of ten classes for grids of 16x16x16 cells, hardly trained: what it says does not matter
// here, only that it is said once. largeModel is one for 24x24x24 cells; slowModel takes some time a volume.
var (
	smallModel = sync.OnceValues(func() (string, error) { return newModel("tutorial", 16) })
	largeModel = sync.OnceValues(func() (string, error) { return newModel("tutorial", 24) })
	slowModel  = sync.OnceValues(func() (string, error) { return newModel("voxnet", 16) })
)

func newModel(arch string, side int) (string, error) {
	bin, err := build()
	if err != nil {
		return "", err
	}
	name := filepath.Join(buildDir, fmt.Sprintf("%s-%d", arch, side))
	// Ten labelled grids are enough for train.
	labels := make([]int64, 10)
	values := make([]float32, len(labels)*side*side*side)
	for i := range labels {
		labels[i] = int64(i)
	}
	for i := range values {
		values[i] = float32(i%7) / 7
	}
	if err := writeNPZ(name+".npz", map[string][]byte{
		"X_train": npyOf([]int{len(labels), side, side, side}, values), "y_train": npyOf([]int{len(labels)}, labels),
	}); err != nil {
		return "", err
	}
	cmd := exec.Command(bin, "train", name+".npz", "--arch", arch, "--grid", strconv.Itoa(side), "--epochs", "1",
		"--validation-split", "0",
		"--out", name+".keras")
	cmd.Env = environment()
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("train: %w\n%s", err, out)
	}
	return name + ".keras", nil
}

// set adds variables, given as key and value, for instance "pipeline.batch", 8.
func (w *world) set(key string, value any) {
	name := "VOXELSTREAM_" + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
	w.env = append(w.env, fmt.Sprintf("%s=%v", name, value))
}

// start runs a command of the binary in the world's folder.
func (w *world) start(args ...string) *process {
	w.t.Helper()
	return start(w.t, w.bin, w.dir, w.env, args...)
}

// do runs a command to its end and wants an exit code.
func (w *world) do(code int, args ...string) *process {
	w.t.Helper()
	p := w.start(args...)
	p.wait(w.t, code)
	return p
}

// path is a file of the world.
func (w *world) path(name string) string { return filepath.Join(w.dir, name) }

// write makes a file.
func (w *world) write(name string, content []byte) string {
	w.t.Helper()
	if err := os.WriteFile(w.path(name), content, 0o600); err != nil {
		w.t.Fatal(err)
	}
	return w.path(name)
}

// digits generates an archive of drawn digits.
func (w *world) digits(name string, count, seed int, more ...string) string {
	w.t.Helper()
	file := name
	if !strings.HasSuffix(name, ".h5") {
		file += ".h5"
	}
	w.do(0, append([]string{
		"generate", "-q", "--force", "--count", strconv.Itoa(count), "--seed", strconv.Itoa(seed), "--out", w.path(file),
	}, more...)...)
	if file != name {
		w.do(0, "convert", "-q", "--force", w.path(file), w.path(name))
		must(0, os.Remove(w.path(file)))(w.t)
	}
	return w.path(name)
}

// broker starts the embedded broker as a process of its own, on a port that stays, and lets the world's commands use
// it.
func (w *world) broker() *process {
	w.t.Helper()
	port := freePort(w.t)
	p := w.startBroker(port)
	w.set("kafka.brokers", fmt.Sprintf("127.0.0.1:%d", port))
	return p
}

func (w *world) startBroker(port int) *process {
	w.t.Helper()
	p := start(w.t, w.bin, w.dir, nil, "broker", "--json", "--broker-data-dir", w.path("kafka"), "--port",
		strconv.Itoa(port))
	p.until(w.t, "broker's address", func() bool { return strings.Contains(p.stdout.String(), "address") })
	return p
}

// addr is the address of the world's broker.
func (w *world) addr() string {
	for _, v := range w.env {
		if a, ok := strings.CutPrefix(v, "VOXELSTREAM_KAFKA_BROKERS="); ok {
			return a
		}
	}
	w.t.Fatal("the world has no broker")
	return ""
}

func freePort(t *testing.T) int {
	t.Helper()
	l := must(net.Listen("tcp", "127.0.0.1:0"))(t)
	defer l.Close() //nolint:errcheck // only its number is wanted
	return l.Addr().(*net.TCPAddr).Port
}

// client connects this process to the broker.
func client(t *testing.T, addr string) *kafka.Client {
	t.Helper()
	c := must(kafka.Open(kafka.Config{Brokers: []string{addr}, Log: slog.New(slog.DiscardHandler)}))(t)
	t.Cleanup(c.Close)
	return c
}

// produce puts messages on a topic, which it makes where needed.
func produce(t *testing.T, c *kafka.Client, topic string, ms ...transport.Message) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	if err := c.EnsureTopics(ctx, kafka.Topic{Name: topic, Partitions: 4, Replication: 1}); err != nil {
		t.Fatal(err)
	}
	p := must(kafka.NewProducer(c, kafka.ProducerConfig{}))(t)
	defer p.Close(ctx) //nolint:errcheck // everything is acknowledged
	if _, err := p.Produce(ctx, topic, ms...); err != nil {
		t.Fatal(err)
	}
}

// messages is everything that is on a topic.
func messages(t *testing.T, c *kafka.Client, topic string) []transport.Message {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	var all []transport.Message
	for m, err := range c.Records(ctx, topic, false) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, m)
	}
	return all
}

// stored reads the classifications of a JSON lines file; a missing file holds none. A last line without its end is
// left out: a killed process may leave one.
func stored(t *testing.T, path string) []record.Classification {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return parse(t, b[:bytes.LastIndexByte(b, '\n')+1])
}

// published is the classifications on the topic.
func published(t *testing.T, c *kafka.Client) []record.Classification {
	t.Helper()
	var all []record.Classification
	for _, m := range messages(t, c, transport.TopicClassifications) {
		if err := m.Verify(); err != nil {
			t.Error(err)
		}
		all = append(all, parse(t, m.Value)...)
	}
	return all
}

func parse(t *testing.T, b []byte) []record.Classification {
	t.Helper()
	return jsonLines[record.Classification](t, string(b))
}

// jsonLines decodes JSON documents, one after the other.
func jsonLines[T any](t *testing.T, s string) []T {
	t.Helper()
	var all []T
	for d := json.NewDecoder(strings.NewReader(s)); d.More(); {
		var v T
		if err := d.Decode(&v); err != nil {
			t.Fatalf("%v in %.300q", err, s)
		}
		all = append(all, v)
	}
	return all
}

// one is the only JSON document of s.
func one[T any](t *testing.T, s string) T {
	t.Helper()
	all := jsonLines[T](t, s)
	if len(all) != 1 {
		t.Fatalf("found %d JSON documents, want one: %.300q", len(all), s)
	}
	return all[0]
}

// lines is how many lines a growing file has.
func lines(path string) int {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	return bytes.Count(b, []byte{'\n'})
}

// ids are the event ids of classifications; where names them, once each is wanted.
func ids(t *testing.T, where string, cs []record.Classification) map[string]bool {
	t.Helper()
	seen := map[string]bool{}
	twice := 0
	for i := range cs {
		if seen[cs[i].EventID] {
			twice++
		}
		seen[cs[i].EventID] = true
	}
	if twice > 0 {
		t.Errorf("%s: %d of %d classifications are repeats", where, twice, len(cs))
	}
	return seen
}

// missing counts what of want is not in got; anything more in got is an error.
func missing(t *testing.T, where string, got, want map[string]bool) int {
	t.Helper()
	n := 0
	for id := range want {
		if !got[id] {
			n++
		}
	}
	for id := range got {
		if !want[id] {
			t.Errorf("%s: %s was never sent", where, id)
		}
	}
	return n
}

// wantAll wants each volume once.
func wantAll(t *testing.T, where string, cs []record.Classification, want map[string]bool) {
	t.Helper()
	if n := missing(t, where, ids(t, where, cs), want); n > 0 {
		t.Errorf("%s: %d of %d volumes have no classification", where, n, len(want))
	}
}
