package main

import (
	"context"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/voxelstream/voxelstream/internal/clip"
	"github.com/voxelstream/voxelstream/internal/screen"
)

// textLog writes log messages for people, one line each: time, severity, message, the first error if there is one, and
// the other attributes as NAME=VALUE, separated by commas. Values that could be taken for several are quoted. Programs
// read the log as JSON.
type textLog struct {
	level  slog.Level
	clock  string // format of the time
	w      io.Writer
	mu     *sync.Mutex
	prefix string      // names of the groups
	attrs  []slog.Attr // of the logger, with their prefixes
}

// Formats of the time of a message: on a terminal, somebody is watching.
const (
	clockOnTerminal = "15:04:05"
	clockElsewhere  = "2006-01-02T15:04:05.000Z07:00"
)

func newTextLog(w io.Writer, level slog.Level, clock string) *textLog {
	return &textLog{level: level, clock: clock, w: w, mu: new(sync.Mutex)}
}

// Enabled reports whether messages of a severity are written.
func (l *textLog) Enabled(_ context.Context, level slog.Level) bool { return level >= l.level }

// WithAttrs returns a handler whose messages have the attributes.
func (l *textLog) WithAttrs(attrs []slog.Attr) slog.Handler {
	out := *l
	out.attrs = slices.Clone(l.attrs)
	for _, a := range attrs {
		out.attrs = append(out.attrs, slog.Attr{Key: l.prefix + a.Key, Value: a.Value})
	}
	return &out
}

// WithGroup returns a handler that puts the name of a group before those of further attributes.
func (l *textLog) WithGroup(name string) slog.Handler {
	out := *l
	if name != "" {
		out.prefix += name + "."
	}
	return &out
}

// Handle writes a message.
func (l *textLog) Handle(_ context.Context, r slog.Record) error {
	var attrs []string
	failure := ""
	add := func(key string, v slog.Value) {
		v = v.Resolve()
		text := clip.Text(v.String())
		if err, ok := v.Any().(error); ok {
			text = clip.Error(err).Error()
		}
		isError := key == "error" || strings.HasSuffix(key, ".error")
		if isError {
			text = strings.ReplaceAll(text, "\n", "; ")
		}
		if isError && failure == "" {
			failure = ": " + text
			return
		}
		if strings.Contains(text, ", ") || strings.Contains(text, "=") {
			text = strconv.Quote(text)
		}
		attrs = append(attrs, key+"="+text)
	}
	for _, a := range l.attrs {
		add(a.Key, a.Value)
	}
	r.Attrs(func(a slog.Attr) bool {
		add(l.prefix+a.Key, a.Value)
		return true
	})
	var b strings.Builder
	b.WriteString(r.Time.Format(l.clock) + " ")
	b.WriteString(r.Level.String() + strings.Repeat(" ", max(0, len("ERROR")-len(r.Level.String()))) + " ")
	b.WriteString(r.Message + failure)
	if len(attrs) > 0 {
		b.WriteString("  " + strings.Join(attrs, ", "))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	_, err := io.WriteString(l.w, screen.OneLine(b.String())+"\n")
	return err
}
