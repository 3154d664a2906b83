package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime"

	"github.com/voxelstream/voxelstream/app/config"
	"github.com/voxelstream/voxelstream/internal/screen"
)

// Env is what the work of every command needs.
type Env struct {
	// Config is shared: nobody changes it.
	Config *config.Loaded
	// Out takes results; JSON asks for one JSON document, or JSON lines, instead of text.
	Out  io.Writer
	JSON bool
	// Screen takes progress and logs.
	Screen *screen.Screen
	Log    *slog.Logger
	// Abort, when closed, is the hard stop: the second signal.
	Abort <-chan struct{}
}

// New makes an Env that logs to a screen as the configuration says.
func New(c *config.Loaded, out io.Writer, asJSON bool, s *screen.Screen) *Env {
	if c.Threads > 0 {
		runtime.GOMAXPROCS(c.Threads)
	}
	var level slog.Level
	_ = level.UnmarshalText([]byte(c.Log.Level)) // the configuration is checked
	var h slog.Handler = slog.NewTextHandler(s, &slog.HandlerOptions{Level: level})
	if c.Log.Format == "json" {
		h = slog.NewJSONHandler(s, &slog.HandlerOptions{Level: level})
	}
	return &Env{Config: c, Out: out, JSON: asJSON, Screen: s, Log: slog.New(h)}
}

// Threads is how many goroutines shall compute.
func (a *Env) Threads() int {
	if a.Config.Threads > 0 {
		return a.Config.Threads
	}
	return runtime.GOMAXPROCS(0)
}

// Print gives a result: v as one JSON document, or what text writes.
func (a *Env) Print(v any, text func(w io.Writer)) error {
	if a.JSON {
		return a.Line(v)
	}
	text(a.Out)
	return nil
}

// Line writes one JSON line.
func (a *Env) Line(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.Out, "%s\n", b)
	return err
}

// Quantiles are of latencies in milliseconds.
type Quantiles struct {
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
}

// Exit codes of the command line.
const (
	ExitDone        = 0
	ExitFailed      = 1
	ExitUsage       = 2
	ExitDeadLetters = 3
)

// ErrDeadLetters says that a command did its work, but some items went to the dead letters.
var ErrDeadLetters = errors.New("some items went to the dead letters; dlq list says why")

// ErrInterrupted says that a signal ended the work before its end.
var ErrInterrupted = errors.New("interrupted")

// usageError is what the user can only mend by another command line.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// Usage marks err as one of usage.
func Usage(err error) error { return usageError{err} }

// ExitCode is the exit code that an error stands for.
func ExitCode(err error) int {
	var config *config.Error
	var usage usageError
	switch {
	case err == nil:
		return ExitDone
	case errors.As(err, &config), errors.As(err, &usage):
		return ExitUsage
	case errors.Is(err, ErrDeadLetters):
		return ExitDeadLetters
	}
	return ExitFailed
}

// Interrupted turns the end of ctx into an error.
func Interrupted(ctx context.Context, err error) error {
	if err == nil && ctx.Err() != nil {
		return ErrInterrupted
	}
	return err
}

// Quiet ends progress; warnings and errors are still logged.
func (a *Env) Quiet() {
	a.Config.Sinks.Terminal = false
	a.Screen.Mute()
}
