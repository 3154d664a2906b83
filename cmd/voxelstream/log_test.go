package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"
)

// TestTextLog: a message is one readable line, whatever is in its values.
func TestTextLog(t *testing.T) {
	var b bytes.Buffer
	log := slog.New(newTextLog(&b, slog.LevelInfo, clockElsewhere)).With("group", "g").WithGroup("part").With("n", 3)
	log.Debug("hidden")
	log.Info("assigned")
	log.Error("cannot read file", "file", "a\x1b.pcd\nb", "error", errors.Join(errors.New("x"), errors.New("y")))
	log.Warn("closed", "error", "first", "values", `1, "2"`, "flag", "a=b", "list", "1,2", "error", "second\nline")
	lines := strings.Split(b.String(), "\n")
	for i, want := range []string{
		" INFO  assigned  group=g, part.n=3",
		` ERROR cannot read file: x; y  group=g, part.n=3, part.file=a\u001b.pcd\u000ab`,
		` WARN  closed: first  group=g, part.n=3, part.values="1, \"2\"", part.flag="a=b", ` +
			`part.list=1,2, part.error=second; line`,
		"",
	} {
		if i >= len(lines) || len(lines) != 4 || !strings.HasSuffix(lines[i], want) {
			t.Errorf("line %d: found %q, want the end %q", i, lines, want)
		}
	}
}

// TestErrorAsRecord: with --log-format json, the error of a command is a record too.
func TestErrorAsRecord(t *testing.T) {
	var errs bytes.Buffer
	c := &cli{out: io.Discard, err: &errs}
	if code := c.execute([]string{"inspect", "missing.pcd", "--log-format", "json"}); code == exitDone {
		t.Errorf("found exit code %d", code)
	}
	var last map[string]any
	for line := range strings.Lines(errs.String()) {
		if err := json.Unmarshal([]byte(line), &last); err != nil {
			t.Errorf("%q: %v", line, err)
		}
	}
	if last["level"] != "ERROR" || last["exit_code"] != float64(exitFailed) {
		t.Errorf("found %v", last)
	}
}
