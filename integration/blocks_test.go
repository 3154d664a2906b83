package integration

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// block is a shell block of a page, and the output that the page shows after it.
type block struct {
	line           int // of the page
	script, output string
	notRun         string // why tests do not run it
}

var (
	fences   = regexp.MustCompile("(?ms)^```([a-z]*) *([^\n]*)\n(.*?)^```")
	prompted = regexp.MustCompile(`(?m)^\$ (.*\n)`)
)

// shellBlocks returns the blocks of a page that have no language, or the language sh, and the commands of those with
// the language console, which follow a $.
func shellBlocks(page string) []block {
	var all []block
	for _, m := range fences.FindAllStringSubmatchIndex(page, -1) {
		b := block{line: 1 + strings.Count(page[:m[0]], "\n"), script: page[m[6]:m[7]]}
		b.notRun, _ = strings.CutPrefix(page[m[4]:m[5]], "not run: ")
		switch page[m[2]:m[3]] {
		case "console":
			commands := ""
			for _, m := range prompted.FindAllStringSubmatch(b.script, -1) {
				commands += m[1]
			}
			b.script = commands
			all = append(all, b)
		case "", "sh":
			all = append(all, b)
		case "text":
			if len(all) > 0 {
				all[len(all)-1].output = b.script
			}
		}
	}
	return all
}

// tools are programs that blocks call and that a machine may not have.
var tools = regexp.MustCompile(`\b(curl|jq|openssl|python3|sqlite3|zstd)\b`)

// runnable returns the blocks that can be run here.
func runnable(t *testing.T, blocks []block) []block {
	t.Helper()
	missing := "" // blocks after one that needs it may need what that one makes
	return slices.DeleteFunc(blocks, func(b block) bool {
		for _, tool := range tools.FindAllString(b.script, -1) {
			if _, err := exec.LookPath(tool); err != nil {
				missing = "needs " + tool
			}
		}
		if b.notRun == "" {
			b.notRun = missing
		}
		if b.notRun != "" {
			t.Logf("the block in line %d is not run: %s", b.line, b.notRun)
		}
		return b.notRun != ""
	})
}

// session is a shell in which the blocks of a page are typed.
type session struct {
	dir     string
	env     []string
	prepare string                // what is typed before the first block
	local   func(s string) string // replaces what a page names and this machine does not have
}

// The functions of a session. It ends when its standard input does, which is when the test's process ends.
// Commands that go on until they are stopped run in the background: ready waits until the
// last one has logged a text, and stop ends them all, without an error.
const functions = `
running=
ready() {
	until grep -q "$2" "$1"; do
		kill -0 $! || { cat "$1"; exit 1; }
		sleep 0.02
	done
	running="$running $!"
}
stop() {
	for pid in $running; do
		kill $pid
		wait $pid || { echo "$pid: exit code $?"; cat *.log; exit 1; }
	done
	running=
}
exec 3<&0 </dev/null
{ read -r -u 3 || true; kill -KILL 0; } >/dev/null 2>&1 &
guard=$!
disown $guard
trap 'kill $guard $(jobs -p) 2>/dev/null || true; wait' EXIT
set -e
`

// lasting are the commands that go on until they are stopped, and what they log when they are ready.
var lasting = []struct {
	command *regexp.Regexp
	ready   string
}{
	{regexp.MustCompile(`voxelstream serve`), "INFO  serving "},
	{regexp.MustCompile(`voxelstream broker`), "broker listening"},
	{regexp.MustCompile(`voxelstream classify --([^o]|ou)`), "kafka: assigned"}, // not with --once
	{regexp.MustCompile(`voxelstream (run|ingest) '?watch:`), "INFO  watching "},
	{regexp.MustCompile(`voxelstream (run|ingest) '?(udp|http):`), "INFO  listening  address"},
	{regexp.MustCompile(`voxelstream (run|ingest) '?kafka:`), "INFO  reading files "},
}

var (
	// worker is a command for which the lasting ones of earlier blocks are stopped.
	worker  = regexp.MustCompile(`(?m)voxelstream (run|serve|classify)`)
	comment = regexp.MustCompile(`\s+# .*$`)
)

// typingLimit is the longest that the blocks of a page may take.
const typingLimit = 8 * time.Minute

// typeBlocks runs the blocks and returns what each of them prints on both streams.
func (s session) typeBlocks(t *testing.T, blocks []block) []string {
	t.Helper()
	const end = "-- end of block --"
	script := functions + s.local(s.prepare) + "\n"
	for i, b := range blocks {
		text := s.local(strings.ReplaceAll(b.script, "\\\n", ""))
		if worker.MatchString(text) {
			script += "stop\n"
		}
		for n, line := range strings.Split(text, "\n") {
			script += background(line, fmt.Sprintf("%d-%d.log", i, n)) + "\n"
		}
		script += "echo '" + end + "'\n"
	}
	script += "stop\n"
	ctx, cancel := context.WithTimeout(t.Context(), typingLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-c", script)
	// A shell that waits for a worker that has died ends at the limit, with all that it has started.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 10 * time.Second
	cmd.Dir = s.dir
	cmd.Env = append(environment(), "PATH="+filepath.Dir(voxelstream(t))+":"+os.Getenv("PATH"))
	cmd.Env = append(cmd.Env, s.env...)
	if _, err := cmd.StdinPipe(); err != nil { // it ends with this process
		t.Fatal(err)
	}
	out, err := cmd.CombinedOutput()
	outputs := strings.Split(string(out), end+"\n")
	if err != nil || len(outputs) != len(blocks)+1 {
		at := blocks[min(len(outputs), len(blocks))-1]
		t.Fatalf("the block in line %d: %v\n%s\n%s", at.line, err, at.script, tail(outputs[len(outputs)-1]))
	}
	return outputs
}

// background starts a command that lasts in the background, with its output in a file.
func background(line, log string) string {
	for _, l := range lasting {
		if l.command.MatchString(line) && !strings.HasSuffix(line, "&") {
			command := comment.ReplaceAllString(line, "")
			return fmt.Sprintf("%s >%s 2>&1 & ready %s '%s'", command, log, log, l.ready)
		}
	}
	return line
}
