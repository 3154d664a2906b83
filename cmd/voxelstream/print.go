package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"

	"github.com/voxelstream/voxelstream/app/config"
	"github.com/voxelstream/voxelstream/internal/clip"
	"github.com/voxelstream/voxelstream/internal/screen"
)

// present writes a result: as a JSON line, or as the text that text writes of it. Names in the result that come from files
// and messages of others can neither control a terminal nor begin a line.
func present[T any](c *cli, v T, text func(io.Writer, T)) error {
	if c.json {
		return c.line(v)
	}
	var b bytes.Buffer
	text(&b, screen.Printable(v))
	_, err := io.WriteString(c.results(), screen.Visible(c.streams.shown(b.String())))
	return err
}

// results returns where results go: to standard error if standard output takes the place of a file.
func (c *cli) results() io.Writer {
	if c.streams.out != "" {
		return c.err
	}
	return c.out
}

// line writes one JSON line. What a terminal could take for a command is escaped, which leaves the same values.
func (c *cli) line(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = io.WriteString(c.results(), screen.Visible(c.streams.shown(string(b)))+"\n")
	return err
}

// show prints the result of a command, if there is one, and returns the command's error.
func show[T any](c *cli, r *T, err error, text func(io.Writer, *T)) error {
	if r == nil {
		return err
	}
	return errors.Join(present(c, r, text), err)
}

// summarize is like show, for a command whose result is a file: the text about it is left out with --quiet.
func summarize[T any](c *cli, r *T, err error, text func(io.Writer, *T)) error {
	if c.quiet && !c.json {
		return err
	}
	return show(c, r, err, text)
}

// logger returns a logger that writes to w, with the configured level and format.
func logger(c config.Log, w io.Writer, terminal bool) *slog.Logger {
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: slog.Level(c.Level), ReplaceAttr: clipped}))
	}
	clock := clockElsewhere
	if terminal {
		clock = clockOnTerminal
	}
	return slog.New(newTextLog(w, slog.Level(c.Level), clock))
}

// clipped shortens a value in the log, which may quote an input.
func clipped(_ []string, a slog.Attr) slog.Attr {
	switch v := a.Value.Any().(type) {
	case string:
		a.Value = slog.StringValue(clip.Text(v))
	case error:
		a.Value = slog.AnyValue(clip.Error(v))
	}
	return a
}

// className returns the number of a class, followed by its name if it has one.
func className(class int, name string) string {
	if name == "" {
		return strconv.Itoa(class)
	}
	return fmt.Sprintf("%d %s", class, name)
}
