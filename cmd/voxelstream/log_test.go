package main

import (
	"bytes"
	"errors"
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
