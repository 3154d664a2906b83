package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime"

	"github.com/voxelstream/voxelstream/app/config"
	"github.com/voxelstream/voxelstream/internal/screen"
)

// App is what every command needs: the configuration and where its output goes.
type App struct {
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

// New makes an App that logs to a screen as the configuration says.
func New(c *config.Loaded, out io.Writer, asJSON bool, s *screen.Screen) *App {
	if c.Threads > 0 {
		runtime.GOMAXPROCS(c.Threads)
	}
	var level slog.Level
	_ = level.UnmarshalText([]byte(c.Log.Level)) // the configuration is checked
	var h slog.Handler = slog.NewTextHandler(s, &slog.HandlerOptions{Level: level})
	if c.Log.Format == "json" {
		h = slog.NewJSONHandler(s, &slog.HandlerOptions{Level: level})
	}
	return &App{Config: c, Out: out, JSON: asJSON, Screen: s, Log: slog.New(h)}
}

// Threads is how many goroutines shall compute.
func (a *App) Threads() int {
	if a.Config.Threads > 0 {
		return a.Config.Threads
	}
	return runtime.GOMAXPROCS(0)
}

// print gives a result: v as one JSON document, or what text writes.
func (a *App) print(v any, text func(w io.Writer)) error {
	if a.JSON {
		return a.line(v)
	}
	text(a.Out)
	return nil
}

// line writes one JSON line.
func (a *App) line(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.Out, "%s\n", b)
	return err
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

// errInterrupted says that a signal ended the work before its end.
var errInterrupted = errors.New("interrupted")

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

// exist checks that all inputs are there, and that addresses can be understood, before work begins.
func exist(paths []string) error {
	var errs []error
	for _, p := range paths {
		if d, ok := doorOf(p); ok {
			if err := d.check(p); err != nil {
				errs = append(errs, Usage(err))
			}
			continue
		}
		if _, err := os.Stat(p); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// interrupted turns the end of ctx into an error.
func interrupted(ctx context.Context, err error) error {
	if err == nil && ctx.Err() != nil {
		return errInterrupted
	}
	return err
}

// Quiet ends progress; warnings and errors are still logged.
func (a *App) Quiet() {
	a.Config.Sinks.Terminal = false
	a.Screen.Mute()
}
