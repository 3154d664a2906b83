// Package app contains what all commands share: their environment and the errors that callers distinguish. The
// commands themselves are in the packages below it. They take an [Env], return typed results and print nothing:
//
//   - stream: ingestion, classification, dead letters and the embedded broker
//   - learn: training, evaluation and quantization
//   - models: loading, describing, converting, running and benchmarking models
//   - bulk: bulk classification and the comparison of its results
//   - files: inspecting, converting, voxelizing, reconstructing and generating files
//   - doctor: checks of the machine
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
	"slices"
	"sync"

	"github.com/voxelstream/voxelstream/app/config"
	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/internal/screen"
	"github.com/voxelstream/voxelstream/internal/service"
	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/serve/live"
	"github.com/voxelstream/voxelstream/telemetry"
)

// Env is the environment of a command. Commands do not modify it.
type Env struct {
	Config *config.Loaded
	Log    *slog.Logger
	// Progress shows progress; it may be nil.
	Progress Progress
	// Screen shows live tables; nil means none.
	Screen *screen.Screen
	// Force allows commands to overwrite existing files; see [Env.CheckOutputs].
	Force bool
	// Stay keeps run alive after its inputs have ended, until it is interrupted, if it has a listener.
	Stay bool
	// Forever makes run watch its inputs until it is interrupted.
	Forever bool
	// Rows selects the rows of each file that inspect draws, and that predict, convert and evaluate read.
	Rows Rows
	// Stdout receives classifications written to standard output. It may be nil.
	Stdout io.Writer
	// Confined reads the files that others send; nil reads them in this process.
	Confined ingest.Confined
	// Abort requests a stop without draining when it is closed. It may be nil.
	Abort <-chan struct{}
	// Observer receives the events of all parts. HTTP, Metrics and Live, which shows the page what the pipeline does,
	// belong to the HTTP listener. All are nil without a listener; see [Env.Serve].
	Observer pipeline.Observer
	// Tracer records traces; nil if they are off.
	Tracer   pipeline.Tracer
	HTTP     *service.Listener
	Metrics  *telemetry.Metrics
	Live     *live.Hub
	starting *service.State // nil without a listener
	// Notes remembers what was noted about files; nil logs the same note each time a file is read.
	Notes *Notes
}

// Notes are the notes about files that were logged. Many commands read a file more than once.
type Notes struct {
	mu   sync.Mutex
	seen map[fileNote]bool
}

type fileNote struct {
	file string
	ingest.Note
}

// maxSeen limits the notes that are remembered.
const maxSeen = 1 << 12

// first reports whether a note about a file is new.
func (n *Notes) first(file string, note ingest.Note) bool {
	if n == nil {
		return true
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	key := fileNote{file, note}
	if n.seen[key] {
		return false
	}
	if n.seen == nil || len(n.seen) >= maxSeen {
		n.seen = map[fileNote]bool{}
	}
	n.seen[key] = true
	return true
}

// Threads returns the number of threads for computation.
func (a *Env) Threads() int {
	if a.Config.Threads > 0 {
		return a.Config.Threads
	}
	return runtime.GOMAXPROCS(0)
}

// StateDir is the directory in which the process keeps its state: the data directory of the embedded broker, or "" with
// another broker.
func (a *Env) StateDir() string {
	if len(a.Config.Kafka.Brokers) > 0 {
		return ""
	}
	return a.Config.Broker.DataDir
}

// maxNoted is the number of files of one input about which the same note is logged as a warning.
const maxNoted = 5

// Arriving returns the options for reading files that others send: like Reading, but in processes without rights.
func (a *Env) Arriving() ingest.Options {
	o := a.Reading()
	o.Confined = a.Confined
	return o
}

// Reading returns the options for reading inputs. Notes about inputs and skipped files are logged.
func (a *Env) Reading() ingest.Options {
	o := a.Config.Ingest
	o.Fields = slices.Concat(o.Fields, a.Config.Voxelize.Fields())
	var mu sync.Mutex
	files := map[string]int{} // by note
	o.Noted = func(file string, notes []ingest.Note) {
		mu.Lock()
		defer mu.Unlock()
		for _, n := range notes {
			if !a.Notes.first(file, n) {
				continue
			}
			level := slog.LevelWarn
			if files[n.Text]++; files[n.Text] > maxNoted {
				level = slog.LevelDebug
			}
			a.Log.Log(context.Background(), level, n.Text, "file", file, "count", n.Count)
			if files[n.Text] == maxNoted {
				a.Log.Warn("the same note about further files is logged at debug level")
			}
		}
	}
	o.Skipped = func(folder, reason string, files []string) {
		a.Log.Info("skipped files", "folder", folder, "reason", reason, "count", len(files), "first", files[0])
	}
	return o
}

// Progress shows the progress of work.
type Progress interface {
	// Bar starts a progress bar. what is the unit that it counts, in the plural: "rows".
	Bar(what string) Bar
	// Line prints a permanent line.
	Line(text string)
}

// Bar is the progress of one piece of work.
type Bar interface {
	// Set shows done out of total units, and a note. A total of 0 means that it is unknown.
	Set(done, total int64, note string)
	Done()
}

// OnScreen shows progress on a screen.
func OnScreen(s *screen.Screen) Progress { return onScreen{s} }

type onScreen struct{ *screen.Screen }

func (s onScreen) Bar(what string) Bar { return s.Progress(what) }

// Logged logs the lines of progress, and shows no bars.
func Logged(log *slog.Logger) Progress { return logged{log} }

type logged struct{ log *slog.Logger }

func (logged) Bar(string) Bar     { return noBar{} }
func (l logged) Line(text string) { l.log.Info(text) }

// Bar starts a progress bar. Without Progress, the bar does nothing.
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

// Quantiles holds latency quantiles in milliseconds.
type Quantiles struct {
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
}

// Count formats a number with its noun: 1 row, 2 rows.
func Count[N int | int64](n N, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// ErrDeadLetters reports that a command finished, but some items became dead letters. It accompanies a result.
var ErrDeadLetters = errors.New("some items became dead letters; run dlq list for the reasons")

// ErrInterrupted reports that a signal ended the work early.
var ErrInterrupted = errors.New("interrupted")

// Interrupted returns an error if ctx has ended.
func Interrupted(ctx context.Context, err error) error {
	if err == nil && ctx.Err() != nil {
		return ErrInterrupted
	}
	return err
}

type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// Usage marks err as a usage error: one that requires a different command line or configuration.
func Usage(err error) error { return usageError{err} }

// IsUsage reports whether err is marked by [Usage] or is a [config.Error].
func IsUsage(err error) bool {
	var usage usageError
	var invalid *config.Error
	return errors.As(err, &usage) || errors.As(err, &invalid)
}
