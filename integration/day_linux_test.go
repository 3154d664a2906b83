package integration

import (
	"archive/zip"
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"golang.org/x/sys/unix"

	"github.com/voxelstream/voxelstream/ingest/simulate"
	"github.com/voxelstream/voxelstream/pipeline/transport"
	"github.com/voxelstream/voxelstream/pipeline/transport/kafka"
	"github.com/voxelstream/voxelstream/pipeline/transport/recordset/recordtest"
)

// dayMemory is the memory limit of the service.
const dayMemory = 1 << 30

// TestDay is a day of a service in a few minutes (VOXELSTREAM_DAY, make day): run watches a folder and takes files over
// HTTP, UDP and Kafka, with 1 GiB of memory. Good and hostile inputs arrive at random, and so do kills of the service,
// its workers and the broker, a full disk, a lack of descriptors, and files from the future and the past. In the end
// each good input is classified once, each hostile one was named, and neither memory nor descriptors have grown.
func TestDay(t *testing.T) {
	v := os.Getenv("VOXELSTREAM_DAY")
	if v == "" {
		t.Skip("set VOXELSTREAM_DAY to a duration")
	}
	needHDF5(t)
	length := must(time.ParseDuration(v))(t)
	seed := uint64(1)
	if s := os.Getenv("VOXELSTREAM_SEED"); s != "" {
		seed = must(strconv.ParseUint(s, 10, 64))(t)
	}
	d := newDay(t, seed)
	d.pass(length)
	d.settle(length)
	d.check()
}

// day is a service and what has happened to it.
type day struct {
	*world
	r                *rand.Rand
	service, broker  *process
	brokerPort       int
	push, udp, http  string
	disk             string // a small disk, or an ordinary folder
	small            bool
	limit            *memoryLimit
	hostileFiles     []hostileFile
	cloud, grid, h5  []byte
	frames           chan transport.Message
	clients          sync.WaitGroup
	stop             context.CancelFunc
	ctx              context.Context
	expected         bool // the service may end: we have caused it
	number, disaster int
	log              strings.Builder // of services that have ended

	mu      sync.Mutex
	counts  map[string]int
	good    map[string]int    // name: rows
	hostile map[string]string // name: how it came
	named   map[string]bool   // by an answer to a client
	samples []sample
	refused map[int]int // uploads, by process, as its metrics say
	answers [5]string   // to bad connections, by kind
}

// sample is what the service uses at a time.
type sample struct{ memory, files int }

// hostileFile is a file that must be refused.
type hostileFile struct {
	name, extension string
	data            []byte
}

func newDay(t *testing.T, seed uint64) *day {
	w := newWorld(t)
	w.set("model.path", "")
	w.dir = must(os.MkdirTemp("", "voxelstream-day-"))(t) //nolint:usetesting // it is kept if the test fails
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("its files are in %s", w.dir)
			return
		}
		must(0, os.RemoveAll(w.dir))(t)
	})
	d := &day{
		world: w, r: rand.New(rand.NewPCG(seed, 0)), brokerPort: freePort(t), disk: w.path("disk"),
		push: fmt.Sprintf("127.0.0.1:%d", freePort(t)), udp: fmt.Sprintf("127.0.0.1:%d",
			freeUDPPort(t)), http: fmt.Sprintf("127.0.0.1:%d", freePort(t)),
		frames: make(chan transport.Message, 1024), counts: map[string]int{}, good: map[string]int{},
		hostile: map[string]string{}, named: map[string]bool{}, refused: map[int]int{},
	}
	d.ctx, d.stop = context.WithCancel(t.Context())
	t.Cleanup(d.stop)
	must(0, errors.Join(os.Mkdir(w.path("in"), 0o700), os.Mkdir(d.disk, 0o700)))(t)
	w.write("token", []byte("a token of the tests\n"))
	d.cloud = scan(1)
	d.grid = must(os.ReadFile(w.digits("two.npz", 2, 7)))(t)
	d.h5 = must(os.ReadFile(w.digits("three.h5", 3, 8)))(t)
	d.hostileFiles = hostileFiles(t, d.h5)
	if err := mountSmall(d.disk, 256<<20); err == nil {
		d.small = true
		t.Cleanup(func() { unmount(d.disk) }) //nolint:errcheck // nothing depends on it
	} else {
		t.Logf("the disk is never full, because no small one can be mounted: %v", err)
	}
	d.limit = newMemoryLimit(t, dayMemory)
	w.set("kafka.brokers", fmt.Sprintf("127.0.0.1:%d", d.brokerPort))
	d.broker = w.startBroker(d.brokerPort)
	c := client(t, w.addr())
	must(0, c.EnsureTopics(d.ctx, kafka.Topic{Name: "frames", Partitions: 2, Replication: 1}))(t)
	d.clients.Go(func() { d.produce(c) })
	d.clients.Go(d.measure)
	return d
}

// hostileFiles makes files of the kinds that have stopped programs.
func hostileFiles(t *testing.T, h5 []byte) []hostileFile {
	var member, archive bytes.Buffer
	g := must(gzip.NewWriterLevel(&member, gzip.BestSpeed))(t)
	zeros := make([]byte, 64<<20)
	must(g.Write(zeros))(t)
	must(0, g.Close())(t)
	z := zip.NewWriter(&archive)
	for i := range 8 {
		e := must(z.Create(fmt.Sprintf("X_%d.npy", i)))(t)
		must(e.Write([]byte("\x93NUMPY\x01\x00\x76\x00{'descr': '<f4', 'fortran_order': False, 'shape': (134217728,), }" +
			strings.Repeat(" ", 118-62) + "\n")))(t)
		must(e.Write(zeros))(t)
	}
	must(0, z.Close())(t)
	pcd := func(points string) []byte {
		return []byte("VERSION .7\nFIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nCOUNT 1 1 1\nWIDTH " + points +
			"\nHEIGHT 1\nPOINTS " + points + "\nDATA binary\nabc")
	}
	damaged := bytes.Clone(h5)
	for i := 64; i < 4096; i++ {
		damaged[i] = 0xa5
	}
	nifti := make([]byte, 352)
	binary.LittleEndian.PutUint32(nifti, 348)
	for i, v := range []uint16{3, 32767, 32767, 32767, 1, 1, 1, 1} {
		binary.LittleEndian.PutUint16(nifti[40+2*i:], v)
	}
	binary.LittleEndian.PutUint16(nifti[70:], 16)
	binary.LittleEndian.PutUint16(nifti[72:], 32)
	copy(nifti[344:], "n+1\x00")
	return []hostileFile{
		{"gzip bomb", ".xyz.gz", bytes.Repeat(member.Bytes(), 64)},
		{"zip bomb", ".npz", archive.Bytes()},
		{"cut HDF5", ".h5", h5[:1500]},
		{"damaged HDF5", ".h5", damaged},
		{"too many points", ".pcd", pcd("999999999999")},
		{"cut points", ".pcd", pcd("1000")},
		{"huge array", ".npy", append([]byte("\x93NUMPY\x01\x00\x76\x00{'descr': '<f4', 'fortran_order': False, "+
			"'shape': (99999999999,), }"+strings.Repeat(" ", 118-62)+"\n"), 1, 2, 3)},
		{"huge mesh", ".ply", []byte("ply\nformat binary_little_endian 1.0\nelement vertex 4000000000\n" +
			"property float x\nproperty float y\nproperty float z\nend_header\nabc")},
		{"huge volume", ".nii", nifti},
		{"nothing", ".pcd", nil},
		{"noise", ".bin", []byte("neither this nor that")},
		{"nested JSON", ".json", bytes.Repeat([]byte("["), 1<<20)},
		{"half a database", ".db3", append([]byte("SQLite format 3\x00\x10\x00\x01\x01\x00\x40\x20\x20"),
			make([]byte, 4000)...)},
		{"packets of nothing", ".pcap", append([]byte{0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0}, make([]byte, 5000)...)},
	}
}

// count counts an event for the table.
func (d *day) count(what string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.counts[what]++
}

// name is the next name of an input. Its letter says what it is.
func (d *day) name(letter string) string {
	d.number++
	return fmt.Sprintf("%s%06d", letter, d.number)
}

// alive starts the service if it has ended, as a supervisor does.
func (d *day) alive() {
	if d.service != nil && !d.service.ended() {
		return
	}
	if p := d.service; p != nil {
		said := p.stderr.String()
		d.log.WriteString(said)
		state := p.cmd.ProcessState
		if strings.Contains(said, "panic:") || strings.Contains(said, "fatal error:") {
			d.t.Errorf("the service crashed: %s", tail(said))
		}
		if !d.expected {
			d.count("end of its own: " + state.String())
			d.t.Logf("the service has ended (%v): %s", state, tail(said))
		}
	}
	d.expected = false
	d.count("start of the service")
	args := []string{
		"run", "watch://in?settle=100ms&poll=200ms", "http://" + d.push + "?token-file=token&max=64MiB",
		"udp://" + d.udp + "?sensor=vlp16", "kafka://frames", "--out", filepath.Join(d.disk, "out.jsonl"),
		"--out", filepath.Join(d.disk, "out.parquet"), "--http", d.http,
	}
	p := start(d.t, "sh", d.dir, d.env, append([]string{"-c", d.limit.script, d.bin}, args...)...)
	d.mu.Lock()
	d.service = p
	d.mu.Unlock()
}

// pass lets things happen for a while.
func (d *day) pass(length time.Duration) {
	d.clients.Go(func() { d.turns(length) })
	const between = 100 * time.Millisecond
	next := 3 * time.Second
	for begin := time.Now(); time.Since(begin) < length; time.Sleep(between) {
		d.alive()
		if d.r.IntN(4) > 0 {
			d.sendGood()
		} else {
			d.sendHostile()
		}
		if time.Since(begin) > next {
			next += 2*time.Second + time.Duration(d.r.IntN(3000))*time.Millisecond
			d.strike()
		}
	}
}

// sendGood sends a good input by one of the ways.
func (d *day) sendGood() {
	data, rows, extension := d.cloud, 1, ".pcd"
	switch d.r.IntN(5) {
	case 0:
		data, rows, extension = d.grid, 2, ".npz"
	case 1:
		data, rows, extension = d.h5, 3, ".h5"
	}
	way := []string{"watch", "watch", "push", "kafka"}[d.r.IntN(4)]
	name := d.name("g")
	d.mu.Lock()
	d.good[name] = rows
	d.mu.Unlock()
	d.count("good by " + way)
	switch way {
	case "watch":
		var changed time.Time
		switch d.r.IntN(8) { // the clock of its writer is wrong
		case 0:
			changed = time.Now().Add(24 * time.Hour)
		case 1:
			changed = time.Unix(0, 0)
		}
		d.drop(name+extension, data, changed)
	case "push":
		d.clients.Go(func() { d.post(name+extension, data, true) })
	case "kafka":
		d.frames <- message(name, extension, data)
	}
}

func message(name, extension string, data []byte) transport.Message {
	m := transport.New(name, name, transport.ContentArrow, data)
	m.SetHeader("name", name+extension)
	return m
}

// drop renames a file into the watched folder. changed is its time, zero for now.
func (d *day) drop(name string, data []byte, changed time.Time) {
	temporary := d.write("in/"+name+".tmp", data)
	if !changed.IsZero() {
		must(0, os.Chtimes(temporary, changed, changed))(d.t)
	}
	must(0, os.Rename(temporary, d.path("in/"+name)))(d.t)
}

// post sends a file by HTTP, a good one until it is stored.
func (d *day) post(name string, data []byte, good bool) {
	for d.ctx.Err() == nil {
		r, _ := http.NewRequestWithContext(d.ctx, http.MethodPost, "http://"+d.push+"/v1/ingest/"+name,
			bytes.NewReader(data))
		r.Header.Set("Authorization", "Bearer a token of the tests")
		answer, err := http.DefaultClient.Do(r)
		if err == nil {
			text, _ := io.ReadAll(answer.Body)
			_ = answer.Body.Close() // read to its end
			d.count(fmt.Sprintf("answer %d", answer.StatusCode))
			again := answer.StatusCode >= 500 || answer.StatusCode == http.StatusTooManyRequests
			switch {
			case answer.StatusCode == http.StatusOK:
				return
			case good && !again:
				d.t.Errorf("%s: found %d %s, want 200", name, answer.StatusCode, text)
				return
			case !good && !again:
				d.mu.Lock()
				d.named[stem(name)] = true
				d.mu.Unlock()
				return
			}
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// stem is the part of a name by which inputs are told from each other.
func stem(name string) string { return inputName.FindString(name) }

var inputName = regexp.MustCompile(`[gh]\d{6}`)

// produce sends messages to the topic.
func (d *day) produce(c *kafka.Client) {
	p, err := kafka.NewProducer(c, kafka.ProducerConfig{})
	if err != nil {
		d.t.Error(err)
		return
	}
	defer p.Close(context.WithoutCancel(d.ctx)) //nolint:errcheck // everything is acknowledged
	for m := range d.frames {
		for {
			if _, err := p.Produce(d.ctx, "frames", m); err == nil {
				break
			} else if d.ctx.Err() != nil {
				return
			}
			time.Sleep(100 * time.Millisecond)
		}
	}
}

// turns plays a lidar.
func (d *day) turns(length time.Duration) {
	conn, err := net.Dial("udp", d.udp)
	if err != nil {
		d.t.Error(err)
		return
	}
	defer conn.Close() //nolint:errcheck // UDP
	scene, err := simulate.NamedScene("room", 0)
	if err != nil {
		d.t.Error(err)
		return
	}
	lost := writerFunc(func(b []byte) (int, error) {
		_, _ = conn.Write(b) // nobody may listen
		return len(b), nil
	})
	if _, err := simulate.Play(d.ctx, lost, simulate.Take(simulate.VLP16(scene, time.Now()), length/4),
		0.25); err != nil && d.ctx.Err() == nil {
		d.t.Error(err)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

// sendHostile sends something hostile by one of the ways.
func (d *day) sendHostile() {
	f := d.hostileFiles[d.r.IntN(len(d.hostileFiles))]
	name := d.name("h")
	way := []string{"watch", "push", "kafka", "connection", "packets", "batch", "folder"}[d.r.IntN(7)]
	what := "hostile by " + way
	if slices.Contains([]string{"watch", "push", "kafka"}, way) {
		d.mu.Lock()
		d.hostile[name] = way + ": " + f.name
		d.mu.Unlock()
	}
	switch way {
	case "watch":
		if d.r.IntN(4) == 0 {
			name += "\x1b[31m\r"
		}
		d.drop(name+f.extension, f.data, time.Time{})
	case "push":
		d.clients.Go(func() { d.post(name+f.extension, f.data, false) })
	case "kafka":
		d.frames <- message(name, f.extension, f.data)
	case "connection":
		d.clients.Go(d.badConnection(d.r.IntN(5)))
	case "packets":
		d.clients.Go(d.badPackets(d.r.Uint64()))
	case "batch":
		all := recordtest.HostileBatches(64)
		b := all[d.r.IntN(len(all))]
		d.clients.Go(func() {
			code, err := recordtest.ProduceRaw(d.addr(), "frames", 0, b.Raw)
			switch {
			case err != nil:
				d.count("batch not taken: the connection was closed")
			case code != 0:
				d.count("batch refused by the broker")
			default:
				d.count("batch stored: " + b.Name)
			}
		})
	case "folder":
		d.oddity(name)
	}
	d.count(what)
}

// oddity puts something into the watched folder that is no file.
func (d *day) oddity(name string) {
	path := d.path("in/" + name)
	var err error
	switch d.r.IntN(4) {
	case 0:
		err = unix.Mkfifo(path, 0o600)
	case 1:
		err = os.Mkdir(path, 0o700)
	case 2:
		err = os.Symlink(name, path)
	case 3:
		err = os.Symlink("/dev/zero", path)
	}
	if err != nil {
		d.t.Error(err)
	}
	d.mu.Lock()
	d.hostile[name] = "folder: no file"
	d.mu.Unlock()
}

// badConnection does to the HTTP listener what clients should not.
func (d *day) badConnection(kind int) func() {
	return func() {
		conn, err := net.Dial("tcp", d.push)
		if err != nil {
			return
		}
		defer conn.Close() //nolint:errcheck // its peer copes
		head := "POST /v1/ingest/x.pcd HTTP/1.1\r\nHost: localhost\r\n"
		auth := "Authorization: Bearer a token of the tests\r\n"
		text := []string{
			head + "Authorization: Bearer wrong\r\nContent-Length: 3\r\n\r\nabc",
			head + auth + "Content-Length: 9223372036854775807\r\n\r\nabc",
			head + auth + "Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nabc",
			head + auth + "Content-Length: 100\r\n\r\n", // and nothing follows
			"\x16\x03\x01 " + strings.Repeat("x", 100_000),
		}[kind]
		_, _ = io.WriteString(conn, text) // it may be closed at once
		_ = conn.SetReadDeadline(time.Now().Add(2 * time.Second))
		answer, _ := io.ReadAll(io.LimitReader(conn, 1<<10)) // there may be none
		if _, status, ok := strings.Cut(string(answer), " "); ok {
			status, _, _ = strings.Cut(status, " ")
			d.count(fmt.Sprintf("answer %s to a bad connection", status))
			d.mu.Lock()
			d.answers[kind] = status
			d.mu.Unlock()
		}
	}
}

// badPackets sends noise to the sensor's port.
func (d *day) badPackets(seed uint64) func() {
	return func() {
		conn, err := net.Dial("udp", d.udp)
		if err != nil {
			return
		}
		defer conn.Close() //nolint:errcheck // UDP
		r := rand.New(rand.NewPCG(seed, 1))
		for range 100 {
			b := make([]byte, r.IntN(1500))
			if r.IntN(3) == 0 {
				b = make([]byte, 1206) // the length of a packet
			}
			for i := range b {
				b[i] = byte(r.Uint32())
			}
			_, _ = conn.Write(b) // nobody may listen
		}
	}
}

// strike lets the next disaster happen.
func (d *day) strike() {
	pid := d.service.cmd.Process.Pid
	signal := func(s unix.Signal) {
		d.expected = true
		_ = unix.Kill(pid, s) // it may have ended
	}
	d.disaster++
	switch what := d.disaster % 8; what {
	case 0:
		d.count("SIGKILL of the service")
		signal(unix.SIGKILL)
	case 1:
		d.count("kill of a worker")
		for _, child := range children(pid) {
			_ = unix.Kill(child, unix.SIGKILL) // it may have ended
		}
	case 2:
		d.count("SIGTERM of the service")
		signal(unix.SIGTERM)
	case 3, 4:
		d.count("descriptors used up")
		d.starve(pid)
	case 5:
		d.count("SIGKILL of the broker")
		d.broker.kill()
		time.Sleep(time.Second)
		d.broker = d.startBroker(d.brokerPort)
	case 6:
		d.count("SIGHUP of the service")
		signal(unix.SIGHUP)
	case 7:
		if d.small {
			d.count("disk full")
			d.fillDisk()
		}
	}
}

// starve takes the service's descriptors away for a moment.
func (d *day) starve(pid int) {
	var was unix.Rlimit
	if unix.Prlimit(pid, unix.RLIMIT_NOFILE, nil, &was) != nil {
		return // it has ended
	}
	few := unix.Rlimit{Cur: uint64(openFiles(pid)), Max: was.Max}
	_ = unix.Prlimit(pid, unix.RLIMIT_NOFILE, &few, nil)
	time.Sleep(time.Second)
	_ = unix.Prlimit(pid, unix.RLIMIT_NOFILE, &was, nil)
}

// fillDisk fills the disk for a moment.
func (d *day) fillDisk() {
	filler := filepath.Join(d.disk, "filler")
	f := must(os.Create(filler))(d.t)
	chunk := make([]byte, 64<<10)
	for {
		if _, err := f.Write(chunk); err != nil {
			break
		}
	}
	time.Sleep(1500 * time.Millisecond)
	must(0, errors.Join(f.Close(), os.Remove(filler)))(d.t)
}

// children lists the processes that a process has started.
func children(pid int) (all []int) {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, task := range tasks {
		more, _ := os.ReadFile(task)
		b = append(append(b, ' '), more...)
	}
	for field := range strings.FieldsSeq(string(b)) {
		n, _ := strconv.Atoi(field)
		all = append(all, n)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// openFiles counts the descriptors of a process.
func openFiles(pid int) int {
	names, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	return len(names)
}

// measure notes what the service and its workers use until the day is over.
func (d *day) measure() {
	for n := 0; d.ctx.Err() == nil; n++ {
		d.mu.Lock()
		p := d.service
		d.mu.Unlock()
		if p != nil && n%5 == 0 {
			d.scrape(p.cmd.Process.Pid)
		}
		d.mu.Lock()
		if p != nil {
			pid := p.cmd.Process.Pid
			s := sample{resident(pid), openFiles(pid)}
			for _, child := range children(pid) {
				s.memory += resident(child)
			}
			if s.memory > 0 {
				d.samples = append(d.samples, s)
			}
		}
		d.mu.Unlock()
		time.Sleep(100 * time.Millisecond)
	}
}

var refusedUploads = regexp.MustCompile(`(?m)^voxelstream_refused_total\{part="http:[^}]*\} (\d+)`)

// scrape notes what the metrics of the service say of uploads that it refused.
func (d *day) scrape(pid int) {
	r, _ := http.NewRequestWithContext(d.ctx, http.MethodGet, "http://"+d.http+"/metrics", nil)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return // it may have ended
	}
	text, _ := io.ReadAll(answer.Body)
	_ = answer.Body.Close() // read to its end
	if m := refusedUploads.FindSubmatch(text); m != nil {
		n, _ := strconv.Atoi(string(m[1]))
		d.mu.Lock()
		d.refused[pid] = n
		d.mu.Unlock()
	}
}

// settle waits until everything good is classified, and ends the service.
func (d *day) settle(length time.Duration) {
	close(d.frames)
	deadline := time.Now().Add(timeout + length)
	for {
		d.alive()
		if left := d.missing(); len(left) == 0 {
			break
		} else if time.Now().After(deadline) {
			d.t.Errorf("%d of %d good inputs are not classified: %.20q", len(left), len(d.good), left)
			break
		}
		time.Sleep(200 * time.Millisecond)
	}
	time.Sleep(2 * time.Second) // for what is hostile and came last
	p := d.service
	d.expected = true
	p.terminate(d.t)
	select {
	case <-p.done:
	case <-time.After(timeout):
		d.t.Errorf("the service does not end: %s", tail(p.stderr.String()))
		_ = p.cmd.Process.Signal(unix.SIGQUIT)
		<-p.done
	}
	if code := p.cmd.ProcessState.ExitCode(); code != exitDone && code != exitDeadLetters {
		d.t.Errorf("the service has ended with %v: %s", p.cmd.ProcessState, tail(p.stderr.String()))
	}
	d.log.WriteString(p.stderr.String())
	d.stop()
	d.clients.Wait()
}

// missing lists the good inputs that are not classified yet.
func (d *day) missing() (left []string) {
	found := map[string]int{}
	b, _ := os.ReadFile(filepath.Join(d.disk, "out.jsonl"))
	event := regexp.MustCompile(`"event_id":"([gh]\d{6})`)
	for _, m := range event.FindAllSubmatch(b, -1) {
		found[string(m[1])]++
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for name, rows := range d.good {
		if found[name] < rows {
			left = append(left, name)
		}
	}
	slices.Sort(left)
	return left
}

// check compares what was sent with what was stored and said, and prints a table.
func (d *day) check() {
	t := d.t
	cs := stored(t, filepath.Join(d.disk, "out.jsonl"))
	lines := ids(t, "out.jsonl", cs)
	perName := map[string]int{}
	turns := 0
	for id := range lines {
		if s := stem(id); s != "" {
			perName[s]++
		} else {
			turns++
		}
	}
	for name, rows := range d.good {
		if perName[name] > rows {
			t.Errorf("%s: found %d classifications, want %d", name, perName[name], rows)
		}
	}
	w := &world{t: t, dir: d.disk}
	if table := strings.Count(w.classifications("out.parquet"), "\n"); table != len(lines) {
		t.Errorf("found %d classifications in out.parquet, want %d", table, len(lines))
	}

	named := maps.Clone(d.named)
	letters := 0
	for _, l := range d.deadLetters() {
		letters++
		named[stem(cmp.Or(l.Input, l.EventID))] = true
		named[stem(l.EventID)] = true
	}
	for _, n := range inputName.FindAllString(d.log.String(), -1) {
		named[n] = true
	}
	for _, l := range d.deadLetters() {
		if s := stem(l.EventID + " " + l.Input); d.good[s] > 0 {
			t.Errorf("the good input %s is a dead letter: %s", s, l.Error)
		}
	}
	unnamed := map[string]int{}
	for name, what := range d.hostile {
		if !named[name] && perName[name] == 0 {
			unnamed[what]++
		}
	}
	for what, n := range unnamed {
		t.Errorf("%d hostile inputs are named nowhere: %s", n, what)
	}

	d.checkUnnamed()

	first, last, most := spread(d.samples)
	killed := d.limit.killed()
	if killed > 0 {
		t.Errorf("the kernel has killed %d processes for lack of memory", killed)
	}
	const slack = 128 << 20
	if last.memory > first.memory+slack {
		t.Errorf("memory has grown from %d to %d MiB", first.memory>>20, last.memory>>20)
	}
	if last.files > first.files+20 {
		t.Errorf("open files have grown from %d to %d", first.files, last.files)
	}
	var text strings.Builder
	tab := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	row := func(what string, n any) { _, _ = fmt.Fprintf(tab, "%s\t%v\n", what, n) }
	row("good inputs", len(d.good))
	row("hostile files", len(d.hostile))
	row("classifications", len(lines))
	row("turns of the lidar", turns)
	row("dead letters", letters)
	for _, what := range slices.Sorted(maps.Keys(d.counts)) {
		row(what, d.counts[what])
	}
	row("memory: median of the first and last quarter, most (MiB)", fmt.Sprintf("%d, %d, %d", first.memory>>20,
		last.memory>>20, most.memory>>20))
	row("open files: median of the first and last quarter, most", fmt.Sprintf("%d, %d, %d", first.files, last.files,
		most.files))
	row("killed for lack of memory", killed)
	_ = tab.Flush() // to memory
	t.Logf("\n%s", text.String())
}

var strayPackets = regexp.MustCompile(`bad=(\d+) "of another kind"=(\d+)`)

// checkUnnamed wants what is hostile and has no name to have been named by where it came from: batches by dead letters
// with their offsets, connections by answers and metrics, packets by the log. Services that were killed take some of that
// with them.
func (d *day) checkUnnamed() {
	t := d.t
	offsets := map[string]bool{}
	for _, l := range d.deadLetters() {
		if l.Topic == "frames" && stem(l.EventID+" "+l.Input) == "" {
			offsets[l.At] = true
		}
	}
	batches := 0
	for what, n := range d.counts {
		if strings.HasPrefix(what, "batch stored") {
			batches += n
		}
	}
	if len(offsets) < batches {
		t.Errorf("found %d dead letters of batches, want %d", len(offsets), batches)
	}
	wants := [len(d.answers)]string{"401", "413", "400", "", "431"} // the last has no end of its header
	refused := 0
	for _, n := range d.refused {
		refused += n
	}
	for kind, status := range d.answers {
		if status != "" && status != wants[kind] {
			t.Errorf("a bad connection of kind %d was answered %s, want %q", kind, status, wants[kind])
		}
		if status == "401" && refused == 0 {
			t.Error("found no upload in the metrics that was refused")
		}
	}
	if d.counts["hostile by connection"] >= 10 && d.answers == [len(d.answers)]string{} {
		t.Errorf("none of %d bad connections was answered", d.counts["hostile by connection"])
	}
	stray := 0
	for _, m := range strayPackets.FindAllStringSubmatch(d.log.String(), -1) {
		for _, s := range m[1:] {
			n, _ := strconv.Atoi(s)
			stray += n
		}
	}
	if d.counts["hostile by packets"] >= 10 && stray == 0 {
		t.Error("the log does not name the packets that are of no lidar")
	}
	d.counts["refused uploads (metrics)"], d.counts["stray packets (log)"] = refused, stray
	d.counts["dead letters of batches"] = len(offsets)
}

// spread is the median of the first and of the last quarter of samples, and the most of all.
func spread(all []sample) (first, last, most sample) {
	median := func(some []sample, of func(sample) int) int {
		var vs []int
		for _, s := range some {
			vs = append(vs, of(s))
		}
		slices.Sort(vs)
		if len(vs) == 0 {
			return 0
		}
		return vs[len(vs)/2]
	}
	memory, files := func(s sample) int { return s.memory }, func(s sample) int { return s.files }
	quarter := len(all) / 4
	first = sample{median(all[:quarter], memory), median(all[:quarter], files)}
	last = sample{median(all[len(all)-quarter:], memory), median(all[len(all)-quarter:], files)}
	for _, s := range all {
		most = sample{max(most.memory, s.memory), max(most.files, s.files)}
	}
	return first, last, most
}

// memoryLimit is a control group, or where there is none, a limit on the data of a process.
type memoryLimit struct {
	// script runs its arguments under the limit.
	script string
	dir    string
}

func newMemoryLimit(t *testing.T, bytes int) *memoryLimit {
	name := fmt.Sprintf("voxelstream-day-%d", os.Getpid())
	for parent, file := range map[string]string{
		"/sys/fs/cgroup/memory": "memory.limit_in_bytes", "/sys/fs/cgroup": "memory.max",
	} {
		dir := filepath.Join(parent, name)
		if os.Mkdir(dir, 0o755) != nil {
			continue
		}
		// Where this is no file system of control groups, there is no such file.
		if err := setLimit(filepath.Join(dir, file), bytes); err != nil {
			_ = os.Remove(dir)
			continue
		}
		t.Cleanup(func() {
			for range 50 { // until the last process has left it
				if os.Remove(dir) == nil {
					return
				}
				time.Sleep(100 * time.Millisecond)
			}
		})
		return &memoryLimit{script: `echo $$ > ` + dir + `/cgroup.procs && exec "$0" "$@"`, dir: dir}
	}
	t.Log("no control group can be made: each process has a limit of its own")
	return &memoryLimit{script: fmt.Sprintf(`ulimit -d %d && exec "$0" "$@"`, bytes>>10)}
}

// setLimit writes a number to a file that exists.
func setLimit(path string, n int) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(strconv.Itoa(n))
	return errors.Join(err, f.Close())
}

// killed is how many processes the kernel has killed because of the limit.
func (m *memoryLimit) killed() int {
	for _, file := range []string{"memory.oom_control", "memory.events"} {
		b, err := os.ReadFile(filepath.Join(m.dir, file))
		if err != nil {
			continue
		}
		_, after, _ := strings.Cut(string(b), "oom_kill ")
		n := 0
		_, _ = fmt.Sscan(after, &n) // 0 without a number
		return n
	}
	return 0
}
