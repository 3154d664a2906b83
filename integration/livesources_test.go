package integration

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// scans puts files of points into a folder the way programs should: under another name first.
func scans(t *testing.T, dir string, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		temporary := filepath.Join(dir, fmt.Sprintf("%d.xyz.tmp", i))
		if err := os.WriteFile(temporary, fmt.Appendf(nil, "1 2 3\n4 5 6\n7 8 %d\n", 10+i), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(temporary, strings.TrimSuffix(temporary, ".tmp")); err != nil {
			t.Fatal(err)
		}
	}
}

// onceStored counts the lines of a file that are complete, and fails on one that is there twice.
func onceStored(t *testing.T, path string) int {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	ids := map[string]bool{}
	event := regexp.MustCompile(`"event_id":"([^"]+)"`)
	for line := range strings.Lines(string(data)) {
		m := event.FindStringSubmatch(line)
		if !strings.HasSuffix(line, "\n") || m == nil {
			continue
		}
		if ids[m[1]] {
			t.Errorf("%s is stored twice", m[1])
		}
		ids[m[1]] = true
	}
	return len(ids)
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(60 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// TestWatchedFolderIsKilled: files come while run watches, is killed in the middle and started again: each is
// classified, none twice, and a last run, which finds nothing new, reads nothing again.
func TestWatchedFolderIsKilled(t *testing.T) {
	slow(t)
	bin, dir := voxelstream(t), t.TempDir()
	in, out, state := filepath.Join(dir, "in"), filepath.Join(dir, "out.jsonl"),
		filepath.Join(dir, "in", ".voxelstream-watch")
	if err := os.Mkdir(in, 0o700); err != nil {
		t.Fatal(err)
	}
	run := func() *process { return start(t, bin, dir, nil, "run", "watch://in?settle=50ms", "--out", out) }
	const all, each = 60, 20
	for i := 0; i < all; i += each {
		p := run()
		scans(t, in, i, i+each)
		eventually(t, "some classifications", func() bool { return onceStored(t, out) > i+each/4 })
		p.kill()
	}
	p := run()
	eventually(t, "all classifications", func() bool { return onceStored(t, out) == all })
	eventually(t, "all of the state", func() bool {
		data, err := os.ReadFile(state)
		return err == nil && strings.Count(string(data), "\n") == all
	})
	p.kill()
	p = run()
	scans(t, in, all, all+1)
	eventually(t, "the last file", func() bool { return onceStored(t, out) == all+1 })
	p.terminate(t)
	p.wait(t, 0) // nothing else ends it
	if text := p.stdout.String(); !regexp.MustCompile(`volumes\s+1 from`).MatchString(text) {
		t.Errorf("found %s, want that 1 volume was read by the last run", tail(text))
	}
}

// TestPushIsStored: when a client has its answer, the classification is on its way for good: run may be killed.
func TestPushIsStored(t *testing.T) {
	slow(t)
	bin, dir := voxelstream(t), t.TempDir()
	out := filepath.Join(dir, "out.jsonl")
	if err := os.WriteFile(filepath.Join(dir, "token"), []byte("a token of the tests\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func() (*process, string) {
		p := start(t, bin, dir, nil, "run", "http://127.0.0.1:0?token-file=token", "--out", out)
		address := regexp.MustCompile(`address=(http://[^ /]+/v1/ingest/)`)
		var m []string
		eventually(t, "the address", func() bool {
			m = address.FindStringSubmatch(p.stderr.String())
			return m != nil
		})
		return p, m[1]
	}
	p, address := run()
	const files = 10
	for i := range files {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, fmt.Sprintf("%s%d.xyz", address, i),
			strings.NewReader(fmt.Sprintf("1 2 3\n4 5 6\n7 8 %d\n", 10+i)))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer a token of the tests")
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(answer.Body)
		answer.Body.Close() //nolint:errcheck // read to its end
		if err != nil || answer.StatusCode != http.StatusOK {
			t.Fatalf("found %d %s, %v", answer.StatusCode, text, err)
		}
	}
	p.kill()
	p, _ = run()
	eventually(t, "all classifications", func() bool { return onceStored(t, out) == files })
	p.kill()
}

// TestLiveSourceSettings: a live source that cannot be opened ends the run, and says why.
func TestLiveSourceSettings(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("short", []byte("secret"))
	for input, want := range map[string]string{
		"udp://127.0.0.1:0?sensor=ouster":     "want the sensor's metadata",
		"http://127.0.0.1:0?token-file=short": "want a file of 16 or more",
	} {
		w.do(exitUsage, "run", input).says(t, input, want)
	}
	w.do(exitFailed, "run", "watch://none").says(t, "watch://none", "no such file or directory")
}
