//go:build unix

package integration

import (
	"bytes"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/voxelstream/voxelstream/pipeline/transport"
)

// hidden lists what is only there while a file is written: hidden names in the folder of a world, and the temporary
// files of its processes.
func (w *world) hidden(t *testing.T, temp string) []string {
	t.Helper()
	var out []string
	for _, dir := range []string{w.dir, temp} {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if strings.HasPrefix(e.Name(), ".") || dir == temp {
				out = append(out, e.Name())
			}
		}
	}
	return out
}

// temporary gives the processes of a world a folder of their own for temporary files.
func (w *world) temporary(t *testing.T) string {
	t.Helper()
	temp := t.TempDir()
	w.env = append(w.env, "TMPDIR="+temp)
	return temp
}

// endless are commands that write files and do not end within the time of a test. The standard input of the last one
// stays open.
func (w *world) endless() map[string][]string {
	data := w.digits("digits.h5", 30, 1)
	return map[string][]string{
		"generate": {"generate", "--count", "1000000", "--out", "g.h5"},
		"train":    {"train", data, "--epochs", "1000000", "--batch-size", "1", "--out", "m.keras", "--force"},
		"run":      {"run", "-", "--out", "c.parquet"},
	}
}

// begin starts an endless command and waits until it writes.
func (w *world) begin(t *testing.T, temp string, args []string) *process {
	t.Helper()
	r, held, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { held.Close() }) //nolint:errcheck // nothing was written
	p := startWith(t, r, nil, w.bin, w.dir, w.env, args...)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	want := temp
	if args[0] != "run" {
		want = w.dir
	}
	p.until(t, "something to clean", func() bool {
		entries, _ := os.ReadDir(want)
		return slices.ContainsFunc(entries, func(e os.DirEntry) bool { return strings.Contains(e.Name(), "voxelstream-") })
	})
	return p
}

// TestSignalsLeaveNothing: a command that a signal stops ends with its number and leaves no temporary files.
func TestSignalsLeaveNothing(t *testing.T) {
	t.Parallel()
	needHDF5(t)
	w := newWorld(t)
	temp := w.temporary(t)
	commands := w.endless()
	for _, s := range []syscall.Signal{syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM} {
		if signal.Ignored(s) { // the tests run under nohup
			continue
		}
		for name, args := range commands {
			p := w.begin(t, temp, args)
			if err := p.cmd.Process.Signal(s); err != nil {
				t.Fatal(err)
			}
			p.wait(t, 128+int(s))
			p.says(t, "interrupted")
			if left := w.hidden(t, temp); len(left) > 0 {
				t.Errorf("%s after %v: found %q", name, s, left)
			}
		}
	}
	// A command whose work cannot be interrupted ends too.
	cloud := w.write("cloud.xyz", bytes.Repeat([]byte("0.12345 1.12345 2.12345\n"), 1e6))
	p := w.start("convert", cloud, "out.ply")
	p.until(t, "the output", func() bool { return len(w.hidden(t, temp)) > 0 })
	p.terminate(t)
	p.wait(t, exitTerminated)
	if left := w.hidden(t, temp); len(left) > 0 {
		t.Errorf("convert: found %q", left)
	}
	if _, err := os.Stat(w.path("out.ply")); err == nil {
		t.Error("an interrupted conversion has written its output")
	}
	// nohup lets a process outlive its terminal.
	p = start(t, "sh", w.dir, w.env, "-c", `trap "" HUP; exec "$0" "$@"`, w.bin, "generate", "--count", "1000000",
		"--out", "g.h5")
	p.until(t, "the output", func() bool { return len(w.hidden(t, temp)) > 0 })
	for _, s := range []syscall.Signal{syscall.SIGHUP, syscall.SIGHUP, syscall.SIGTERM} {
		if err := p.cmd.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
	}
	p.wait(t, exitTerminated)
}

// TestKilledIsCleaned: what a process leaves that was killed is removed at the next start, also by another command, but
// not what a living one is writing.
func TestKilledIsCleaned(t *testing.T) {
	t.Parallel()
	needHDF5(t)
	w := newWorld(t)
	temp := w.temporary(t)
	alive := w.begin(t, temp, []string{"generate", "--count", "1000000", "--out", "alive.h5"})
	writing := w.hidden(t, temp)
	for _, args := range w.endless() {
		w.begin(t, temp, args).kill()
	}
	if left := w.hidden(t, temp); len(left) <= len(writing) {
		t.Fatalf("found only %q: nothing was left", left)
	}
	w.do(exitDone, "generate", "--count", "2", "--out", "other.h5")
	left := w.hidden(t, temp)
	left = slices.DeleteFunc(left, func(name string) bool { return slices.Contains(writing, name) })
	// The journal of a table holds results that are not in the table yet.
	if left = slices.DeleteFunc(left, func(name string) bool { return name == ".c.parquet.journal" }); len(left) > 0 {
		t.Errorf("found %q", left)
	}
	alive.terminate(t)
	alive.wait(t, exitTerminated)
}

// TestWriters: two processes do not write to one file, whatever name each of them has for it.
func TestWriters(t *testing.T) {
	t.Parallel()
	needHDF5(t)
	w := newWorld(t)
	temp := w.temporary(t)
	if err := os.Mkdir(w.path("sub"), 0o700); err != nil {
		t.Fatal(err)
	}
	for link, to := range map[string]string{
		"link.h5": "g.h5", "sub/link.h5": "../link.h5", "dir": ".", "mirror.keras": "m.keras",
	} {
		if err := os.Symlink(to, w.path(link)); err != nil {
			t.Fatal(err)
		}
	}
	commands := w.endless()
	p := w.begin(t, temp, commands["generate"])
	for _, name := range []string{"g.h5", "link.h5", "sub/link.h5", "dir/g.h5", w.path("sub/../dir/./g.h5")} {
		w.do(exitFailed, "generate", "--count", "2", "--out", name, "--force").says(t, "in use by another process")
	}
	p.kill()
	w.do(exitDone, "generate", "--count", "2", "--out", "sub/link.h5")
	if info, err := os.Lstat(w.path("link.h5")); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link was replaced (%v)", err)
	}

	p = w.begin(t, temp, commands["train"])
	p.until(t, "a checkpoint", func() bool { _, err := os.Stat(w.path("m.keras.checkpoint")); return err == nil })
	for _, args := range [][]string{
		{"train", "digits.h5", "--epochs", "1", "--out", "m.keras", "--force"},
		{"train", "digits.h5", "--epochs", "1", "--out", "mirror.keras", "--force"},
		{"train", "digits.h5", "--epochs", "1", "--out", "n.keras", "--checkpoint", "m.keras.checkpoint", "--force"},
		{"train", "digits.h5", "--epochs", "1", "--out", "n.keras", "--best", "m.keras", "--force"},
	} {
		w.do(exitFailed, args...).says(t, "in use by another process")
	}
	p.kill()
	w.do(exitDone, "train", "digits.h5", "--epochs", "1", "--out", "m.keras", "--force")
}

// TestNeverOverwritten: what this program did not write stays as it is.
func TestNeverOverwritten(t *testing.T) {
	t.Parallel()
	needHDF5(t)
	w := newWorld(t)
	data := w.digits("digits.h5", 20, 1)
	const foreign = "somebody else's\ntext\n"
	for code, lines := range map[int][]string{
		exitFailed: {
			"run digits.h5 --out OUT.jsonl", "run digits.h5 --out OUT.csv", "run digits.h5 --out OUT.csv.gz",
			"run digits.h5 --out OUT.parquet", "run digits.h5 --out OUT.arrow", "run digits.h5 --out OUT.h5",
			"run digits.h5 --out OUT.sqlite", "broker --broker-data-dir OUT/lock",
		},
		exitUsage: {
			"reprocess digits.h5 --out OUT/results.parquet", "reprocess digits.h5 --out OUT/manifest.json",
			"reprocess digits.h5 --out OUT/report.html", "generate --count 2 --out OUT.h5",
			"train digits.h5 --epochs 1 --out OUT.keras --resume",
			"train digits.h5 --epochs 1 --out new.keras --resume --history OUT.csv",
			"train digits.h5 --epochs 1 --out OUT.checkpoint.keras --checkpoint own.checkpoint --resume",
		},
	} {
		for _, line := range lines {
			args := strings.Fields(line)
			i := slices.IndexFunc(args, func(a string) bool { return strings.HasPrefix(a, "OUT") })
			if err := os.MkdirAll(w.path(filepath.Dir(args[i])), 0o700); err != nil {
				t.Fatal(err)
			}
			path := w.write(args[i], []byte(foreign))
			if strings.HasPrefix(args[i], "OUT/") {
				args[i] = "OUT"
			}
			w.do(code, args...)
			if b := must(os.ReadFile(path))(t); string(b) != foreign {
				t.Errorf("%s: the file was changed", line)
			}
			if err := os.RemoveAll(w.path("OUT")); err != nil {
				t.Fatal(err)
			}
		}
	}
	// An output is none of the inputs, under any name.
	if err := os.Link(data, w.path("hard.h5")); err != nil {
		t.Fatal(err)
	}
	before := must(os.ReadFile(data))(t)
	for _, line := range []string{
		"convert digits.h5 ./digits.h5", "convert digits.h5 hard.h5", "voxelize digits.h5 --out digits.h5",
		"train digits.h5 --epochs 1 --out hard.h5", "train hard.h5 --epochs 1 --out m.keras --best digits.h5",
		"train digits.h5 --epochs 1 --out two.keras --best two.keras",
	} {
		w.do(exitUsage, append(strings.Fields(line), "--force")...)
	}
	if !bytes.Equal(must(os.ReadFile(data))(t), before) {
		t.Error("an input was overwritten")
	}
	// A planted link is not followed.
	precious := w.write("precious", []byte(foreign))
	if err := os.Symlink(precious, w.path("t.keras.checkpoint.new")); err != nil {
		t.Fatal(err)
	}
	w.do(exitDone, "train", "digits.h5", "--epochs", "1", "--out", "t.keras")
	if b := must(os.ReadFile(precious))(t); string(b) != foreign {
		t.Error("a checkpoint was written through a planted link")
	}
}

// TestUmask: outputs have the permissions that the umask leaves.
func TestUmask(t *testing.T) {
	t.Parallel()
	needHDF5(t)
	w := newWorld(t)
	w.digits("digits.h5", 4, 1)
	for _, umask := range []os.FileMode{0o077, 0o027, 0} {
		for _, line := range []string{
			"generate --count 2 --out OUT.h5", "convert digits.h5 OUT.npz", "voxelize digits.h5 --out OUT.npy",
			"inspect digits.h5 --png OUT.png", "run digits.h5 --out OUT.jsonl", "run digits.h5 --out OUT.parquet",
			"train digits.h5 --epochs 1 --out OUT.keras", "model summary --svg OUT.svg",
		} {
			args := strings.Fields(line)
			i := slices.IndexFunc(args, func(a string) bool { return strings.HasPrefix(a, "OUT") })
			args[i] = fmt.Sprintf("u%03o%s", umask, args[i])
			p := start(t, "sh", w.dir, w.env, append([]string{
				"-c", fmt.Sprintf(`umask %03o; exec "$0" "$@"`, umask), w.bin,
			}, args...)...)
			p.wait(t, exitDone)
			info := must(os.Stat(w.path(args[i])))(t)
			if want := 0o666 &^ umask; info.Mode().Perm() != want {
				t.Errorf("umask %03o: %s: found %v, want %v", umask, line, info.Mode().Perm(), want)
			}
		}
	}
}

// TestBrokenPipe: a command whose output nobody reads ends quietly and leaves nothing.
func TestBrokenPipe(t *testing.T) {
	t.Parallel()
	needHDF5(t)
	w := newWorld(t)
	temp := w.temporary(t)
	cloud := w.write("c.xyz", []byte("0 0 0\n1 1 1\n"))
	p := start(t, "sh", w.dir, w.env, "-c", `{ "$0" inspect "$1"; echo "code $?" >&2; } | true`, w.bin, cloud)
	p.wait(t, exitDone)
	// true may end after the text was written; then the code is 0.
	if text := p.stderr.String(); text != "code 141\n" && text != "code 0\n" {
		t.Errorf("found %q", text)
	}
	r, closed, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	defer closed.Close() //nolint:errcheck // nobody reads it
	w.do(exitDone, "ingest", cloud, "-q", "--broker-data-dir", "k")
	for _, args := range [][]string{
		{"inspect", cloud},
		{"--json", "version"},
		{"dlq", "list", "--broker-data-dir", "k"},
	} {
		p := startWith(t, nil, closed, w.bin, w.dir, w.env, args...)
		p.wait(t, 128+int(syscall.SIGPIPE))
		if text := p.stderr.String(); text != "" {
			t.Errorf("%q: found %q on standard error", args, text)
		}
	}
	if left := w.hidden(t, temp); len(left) > 0 {
		t.Errorf("found %q", left)
	}
}

// TestHostileNames: names in files cannot control a terminal, nor begin a line.
func TestHostileNames(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var clouds, others, all []string
	for i, name := range []string{
		"a\x1b[31mb", "a\x1b]0;t\x07", "a\u009b2J", "a\nvoxelstream: all is well", "a\rb", "a\x7f", "a\x08\x08b", "a\u202eb",
		"a\u2066b", "a\u0085b", "a\u2028b", "a\xffb", "a\tb", "%s%n", "a';--", "<b>",
	} {
		w.write(name+".xyz", []byte("0 0 0\n1 1 1\n"))
		w.write(name+".bin", []byte("?"))
		field := strings.Map(func(r rune) rune {
			if r == '\n' || r == '\r' || r == '\t' || r == 0x85 || r == 0x2028 {
				return '_'
			}
			return r
		}, name)
		cloud := fmt.Sprintf("%d.pcd", i)
		w.write(cloud, []byte("VERSION .7\nFIELDS x y z "+field+"\nSIZE 4 4 4 4\nTYPE F F F F\n"+
			"COUNT 1 1 1 1\nWIDTH 1\nHEIGHT 1\nPOINTS 1\nDATA ascii\n1 2 3 4\n"))
		clouds, others, all = append(clouds, name+".xyz", cloud), append(others, name+".bin",
			name+".none"), append(all, name)
	}
	commands := [][]string{
		append([]string{"inspect"}, clouds...), append([]string{"inspect", "--json"}, append(clouds, others...)...),
		append([]string{"inspect"}, others...), append([]string{"inspect", "--log-format", "json"}, others...),
		append([]string{"evaluate"}, others...),
		{strings.Join(all, "")},
		{"dlq", "show", strings.Join(all, "")},
		{"voxelize", clouds[0], "--out", strings.Join(all[:8], "")},
	}
	for _, name := range all {
		commands = append(commands, []string{"convert", name + ".xyz", name + ".pcd"})
	}
	w.broker()
	var letters []transport.Message
	for _, name := range all {
		m := transport.DeadLetterOf(transport.Message{Key: []byte(name), Value: []byte(name)},
			transport.DeadLetter{Time: time.Now()})
		for _, header := range []string{"event-id", "dlq-topic", "dlq-stage", "dlq-error", "dlq-x" + name} {
			key := strings.ToValidUTF8(header, "?")
			m.Headers = slices.DeleteFunc(m.Headers, func(h transport.Header) bool { return h.Key == key })
			m.Headers = append(m.Headers, transport.Header{Key: key, Value: []byte(name)})
		}
		letters = append(letters, m)
	}
	produce(t, client(t, w.addr()), transport.TopicDeadLetters, letters...)
	commands = append(commands, []string{"dlq", "list"}, []string{"dlq", "list", "--json"})
	for partition := range 4 {
		commands = append(commands, []string{"dlq", "show", fmt.Sprintf("%d:0", partition)},
			[]string{"dlq", "show", "--json", fmt.Sprintf("%d:1", partition)})
	}
	for _, args := range commands {
		p := w.start(args...)
		<-p.done
		if slices.Equal(args, []string{"dlq", "list"}) && !strings.Contains(p.stdout.String(), `\u000avoxelstream`) {
			t.Errorf("%q: found no hostile dead letter in %q", args, p.stdout.String())
		}
		for _, text := range []string{p.stdout.String(), p.stderr.String()} {
			if !utf8.ValidString(text) || strings.ContainsAny(text, "\x1b\a\b\r\x7f\u009b\u0085\u202e\u2066\u2028") ||
				strings.Contains("\n"+text, "\nvoxelstream: all is well") {
				t.Errorf("%q: found %q", args, text)
			}
		}
	}
	if entries := must(filepath.Glob(w.path("*.pcd")))(t); len(entries) != 32 {
		t.Errorf("found %d files, want the converted ones too", len(entries))
	}
}
