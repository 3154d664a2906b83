package sinktest

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/voxelstream/voxelstream/pipeline"
)

// The environment of a child process of Kill: where the storage is, from which number to write, and whether to stop
// between a write and its flush.
const (
	envPlace = "SINKTEST_PLACE"
	envFrom  = "SINKTEST_FROM"
	envHold  = "SINKTEST_HOLD"
)

// What a child prints: that all up to a number is settled, and that it stands between a write and its flush.
const (
	sayThrough = "settled through "
	sayHeld    = "held back"
	sayDone    = "all is settled"
)

// Kill writes to a sink in child processes that are killed with SIGKILL: once between a write and its flush, then at
// random moments. Nothing that settled may be missing afterwards, and once all is written everything must be stored as
// the kind guarantees.
//
// A child is the test binary, which runs the calling test again: it must call Kill and do nothing else. place makes
// storage in the parent and names it, as a path or an address; at makes a harness for the storage of that name, in
// parent and child.
func Kill(t *testing.T, place func(t *testing.T) string, at func(t *testing.T, place string) Harness) {
	if p := os.Getenv(envPlace); p != "" {
		child(t, at(t, p))
		return
	}
	p := place(t)
	h := at(t, p)
	r := rand.New(rand.NewPCG(1, 2))
	settled := 0
	if h.Kind.Flush != nil {
		settled = h.kill(t, p, settled, -1)
	}
	for range 8 {
		settled = max(settled, h.kill(t, p, settled, time.Duration(r.IntN(60))*time.Millisecond))
	}
	s := h.Open(t)
	write(t, s, batch(max(0, settled-5), killed)...)
	closed(t, s)
	expect(t, h, killed)
	t.Logf("%d of %d were settled when the last child died", settled, killed)
}

// killed is how many classifications are written in all: more than a child manages before it is killed.
const killed = 20_000

// kill runs a child that writes from a number on, and kills it when it has worked for some time or, where that is
// negative, when it stands between a write and its flush. It returns up to which number all is settled.
func (h Harness) kill(t *testing.T, place string, from int, after time.Duration) (settled int) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run", "^"+regexp.QuoteMeta(t.Name())+"$", "-test.v")
	// A little is written again, as after a crash of the whole pipeline.
	cmd.Env = append(os.Environ(), envPlace+"="+place, envFrom+"="+strconv.Itoa(max(0, from-5)))
	if after < 0 {
		cmd.Env = append(cmd.Env, envHold+"=1")
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	settled = from
	dead := false
	for lines := bufio.NewScanner(out); lines.Scan(); {
		line := lines.Text()
		fmt.Fprintln(&all, line)
		if n, ok := strings.CutPrefix(line, sayThrough); ok {
			if settled, err = strconv.Atoi(n); err != nil {
				t.Fatalf("found %q", line)
			}
			if after >= 0 && !dead {
				time.AfterFunc(after, func() { cmd.Process.Kill() }) //nolint:errcheck // it may have ended
				dead = true
			}
		}
		if line == sayHeld {
			cmd.Process.Kill() //nolint:errcheck // it may have ended
			dead = true
		}
		if line == sayDone {
			dead = true
		}
	}
	cmd.Wait() //nolint:errcheck // it was killed
	if !dead {
		t.Fatalf("the child ended by itself:\n%s", all.String())
	}
	stored := map[string]bool{}
	for _, id := range h.Stored(t) {
		stored[id] = true
	}
	for i := range settled {
		if id := fmt.Sprintf("s-0/%d", i); !stored[id] {
			t.Fatalf("%s was settled, and is not stored; settled are %d, stored %d", id, settled, len(stored))
		}
	}
	return settled
}

// child writes until it is killed.
func child(t *testing.T, h Harness) {
	from, err := strconv.Atoi(os.Getenv(envFrom))
	if err != nil {
		t.Fatal(err)
	}
	s := h.Open(t)
	_, flushes := s.(pipeline.Flusher)
	const size, writes = 10, 3 // writes between two flushes
	for i := 1; from < killed; i++ {
		next := min(from+size, killed)
		write(t, s, batch(from, next)...)
		from = next
		if flushes && i%writes != 0 && from < killed {
			continue
		}
		if os.Getenv(envHold) != "" && i > writes {
			fmt.Println(sayHeld)
			time.Sleep(time.Hour)
		}
		flush(t, s)
		fmt.Printf("%s%d\n", sayThrough, from)
	}
	fmt.Println(sayDone)
}
