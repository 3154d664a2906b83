// Package app holds what all commands have in common: their environment, and the errors that a caller tells apart. What the commands do is in the
// packages below it, one for each kind of work; they take an [Env], return typed results, and print nothing:
//
//   - stream: inputs to volumes, volumes to classifications, dead letters, the embedded broker
//   - learn: training, evaluation, low precision
//   - models: loading, describing, converting, running and measuring models
//   - files: inspecting, converting, voxelizing, reconstructing and generating files
//   - doctor: what this machine has
//   - config: the configuration
//
// Flags, printing and exit codes are in cmd/voxelstream.
package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime"

	"github.com/voxelstream/voxelstream/app/config"
	"github.com/voxelstream/voxelstream/internal/screen"
	"github.com/voxelstream/voxelstream/internal/service"
	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/telemetry"
)

// Env is the environment in which a command works. Nothing that a command does changes it.
type Env struct {
	Config *config.Loaded
	Log    *slog.Logger
	// Progress may be nil.
	Progress Progress
	// Screen shows live tables; nil means none.
	Screen *screen.Screen
	// Stdout takes the classifications that go to the standard output; nil: none can.
	Stdout io.Writer
	// Abort, when closed, asks for a stop without draining. It may be nil.
	Abort <-chan struct{}
	// Observer is told what the parts do; nil: nobody is. HTTP and Metrics are nil without a listener. See [Env.Serve].
	Observer pipeline.Observer
	HTTP     *service.Listener
	Metrics  *telemetry.Metrics
	starting *service.State // nil without a listener
}

// Threads is the number of goroutines that compute.
func (a *Env) Threads() int {
	if a.Config.Threads > 0 {
		return a.Config.Threads
	}
	return runtime.GOMAXPROCS(0)
}

// Progress shows how far work has come.
type Progress interface {
	// Bar begins a bar that counts things of a kind, such as "rows".
	Bar(what string) Bar
	// Line adds a line that stays.
	Line(text string)
}

// Bar is the progress of one piece of work.
type Bar interface {
	// Set shows that done of total are done, with a note; total 0 means that it is not known.
	Set(done, total int64, note string)
	Done()
}

// OnScreen shows progress on a screen.
func OnScreen(s *screen.Screen) Progress { return onScreen{s} }

type onScreen struct{ *screen.Screen }

func (s onScreen) Bar(what string) Bar { return s.Progress(what) }

// Bar begins a bar where there is progress to show; elsewhere it does nothing.
func (a *Env) Bar(what string) Bar {
	if a.Progress == nil {
		return noBar{}
	}
	return a.Progress.Bar(what)
}

// Line shows a line of progress.
func (a *Env) Line(text string) {
	if a.Progress != nil {
		a.Progress.Line(text)
	}
}

type noBar struct{}

func (noBar) Set(int64, int64, string) {}
func (noBar) Done()                    {}

// Quantiles are of latencies in milliseconds.
type Quantiles struct {
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
}

// Count writes a number with its noun: 1 row, 2 rows.
func Count[N int | int64](n N, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// ErrDeadLetters says that a command did its work, but some items went to the dead letters. It comes with a result.
var ErrDeadLetters = errors.New("some items went to the dead letters; dlq list says why")

// ErrInterrupted says that a signal ended the work early.
var ErrInterrupted = errors.New("interrupted")

// Interrupted turns the end of ctx into an error.
func Interrupted(ctx context.Context, err error) error {
	if err == nil && ctx.Err() != nil {
		return ErrInterrupted
	}
	return err
}

type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// Usage marks err as one that only another command line or configuration can avoid.
func Usage(err error) error { return usageError{err} }

// IsUsage says whether err is marked by [Usage], or a [config.Error].
func IsUsage(err error) bool {
	var usage usageError
	var invalid *config.Error
	return errors.As(err, &usage) || errors.As(err, &invalid)
}
