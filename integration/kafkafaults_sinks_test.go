//go:build unix

package integration

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

func sinkFaults() []faultCase {
	return []faultCase{
		{
			name: "disk of the sink full", what: "the disk with the JSON lines file is full for 6 s", on: onAny,
			run: fillSinkDisk,
		},
		{
			name: "JSON lines copied and truncated", what: "the JSON lines file is rotated three times as logrotate " +
				"does with copytruncate, and the member is restarted", on: onAny, quick: true,
			// Lines that are written but not yet confirmed when the file is cut off may be in the copy or not, so they are
			// written again: one batch at most.
			run: func(t *trial) { rotate(t, copyTruncate, 32) },
		},
		{
			name: "JSON lines renamed", what: "three times, the JSON lines file is renamed, and deleted 2 s later",
			on: onAny, quick: true, run: func(t *trial) { rotate(t, rename, 0) },
		},
	}
}

func fillSinkDisk(t *trial) {
	t.topics()
	small := t.w.path("small")
	must(0, os.Mkdir(small, 0o700))(t)
	if err := mountSmall(small, 8<<20); err != nil {
		t.Skipf("user %d may not mount a small disk on %s: %v", os.Getuid(), runtime.GOOS, err)
	}
	t.Cleanup(func() {
		if err := unmount(small); err != nil {
			t.Error(err)
		}
	})
	m := t.prepare()
	m.lines = filepath.Join(small, "out.jsonl")
	m.up()
	stop := t.flow(150, nil, names(0, 8)...)
	t.some(100, m)
	t.strike("the disk is full")
	filler := filepath.Join(small, "filler")
	f := must(os.Create(filler))(t)
	for chunk := make([]byte, 4<<10); ; {
		if _, err := f.Write(chunk); err != nil {
			break
		}
	}
	m.until(t.T, "a complaint", func() bool { return strings.Contains(m.stderr.String(), "no space left on device") })
	time.Sleep(6 * time.Second)
	_ = f.Close() // it is full
	must(0, os.Remove(filler))(t)
	t.strike("the disk has room")
	time.Sleep(3 * time.Second)
	stop()
	t.finish()
	t.wantLines(must(os.ReadFile(m.lines))(t), 0)
}

// wantLines checks that each volume is in the JSON lines, with at most the given number of repeats.
func (t *trial) wantLines(b []byte, repeats int) {
	t.Helper()
	if n := bytes.Count(b, []byte{0}); n > 0 {
		t.Errorf("the JSON lines have %d NUL bytes", n)
		b = bytes.ReplaceAll(b, []byte{0}, nil)
	}
	found := map[string]bool{}
	twice := 0
	for _, c := range parse(t.T, b) {
		if found[c.EventID] {
			twice++
		}
		found[c.EventID] = true
	}
	want := map[string]bool{}
	for id, k := range t.sent {
		if k == toClassify {
			want[id] = true
		}
	}
	if n := missing(t.T, "JSON lines", found, want); n > 0 {
		t.Errorf("%d of %d volumes are not in the JSON lines", n, len(want))
	}
	if twice > repeats {
		t.Errorf("found %d repeats in the JSON lines, want %d or less", twice, repeats)
	}
}

// copyTruncate moves the lines of a file away as logrotate's copytruncate does. The member is stopped during this,
// because lines that are written between the copy and the truncation are always lost.
func copyTruncate(t *trial, m *member) []byte {
	m.freeze()
	b := must(os.ReadFile(m.lines))(t)
	must(0, os.Truncate(m.lines, 0))(t)
	m.thaw()
	return b
}

// rename moves the file away, and deletes it after a moment in which the member may notice.
func rename(t *trial, m *member) []byte {
	must(0, os.Rename(m.lines, m.lines+".1"))(t)
	time.Sleep(2 * time.Second)
	b := must(os.ReadFile(m.lines + ".1"))(t)
	must(0, os.Remove(m.lines+".1"))(t)
	return b
}

// rotate rotates the file of a member, and checks that each volume is in one of the files. Each rotation may repeat
// some lines.
func rotate(t *trial, away func(*trial, *member) []byte, repeats int) {
	const rotations = 3
	t.topics()
	m := t.join()
	stop := t.flow(150, nil, names(0, 8)...)
	var all []byte
	for range rotations {
		t.some(200, m)
		t.strike("the file is rotated at %d lines", m.count())
		all = append(all, away(t, m)...)
	}
	t.some(50, m)
	m.terminate(t.T)
	m.wait(t.T, exitDone)
	m.up()
	t.some(50, m)
	stop()
	t.finish()
	rest, err := os.ReadFile(m.lines)
	if err != nil {
		t.Errorf("after the rotations: %v", err)
	}
	t.wantLines(append(all, rest...), rotations*repeats)
}
