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
	"github.com/voxelstream/voxelstream/internal/screen"
)

// print writes a result: v as a JSON line, or the output of text.
func (c *cli) print(v any, text func(w io.Writer)) error {
	if c.json {
		return c.line(v)
	}
	var b bytes.Buffer
	text(&b)
	_, err := io.WriteString(c.out, screen.Visible(b.String()))
	return err
}

// line writes one JSON line.
func (c *cli) line(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.out, "%s\n", b)
	return err
}

// show prints the result of a command, if there is one, and returns the command's error.
func show[T any](c *cli, r *T, err error, text func(io.Writer, *T)) error {
	if r == nil {
		return err
	}
	return errors.Join(c.print(r, func(w io.Writer) { text(w, r) }), err)
}

// logger returns a logger that writes to w, with the configured level and format.
func logger(c config.Log, w io.Writer) *slog.Logger {
	o := &slog.HandlerOptions{Level: slog.Level(c.Level)}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}

// className returns the number of a class, followed by its name if it has one.
func className(class int, name string) string {
	if name == "" {
		return strconv.Itoa(class)
	}
	return fmt.Sprintf("%d %s", class, name)
}
