package live

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/internal/option"
)

// Kind is one kind of live source. Its address on the command line is SCHEME://TARGET?OPTIONS.
type Kind struct {
	// Name is that of the kind in documentation and summaries.
	Name string
	// Scheme begins its addresses, before "://". A kind without one has a single address, which is Form, and no
	// options.
	Scheme string
	// Form shows how its addresses are written: udp://HOST:PORT?sensor=NAME.
	Form string
	// Doc describes it in one or more sentences, for the help and the reference page.
	Doc string
	// Example is an address as one would write it.
	Example string
	// Options makes the options with their defaults: a pointer to a struct with the tags of internal/option, which
	// the query of the address sets. Nil: it has none.
	Options func() any
	// New checks a target and the options that the query set, and makes the input. Several problems are joined by
	// [errors.Join]; each is one line and does not repeat the address.
	New func(target string, options any) (Input, error)
}

// Input is the parsed address of a live source. Those of the kinds in package all are Openers.
type Input interface {
	// Endless says that the source ends with its context only.
	Endless() bool
}

// Opener is an Input that needs nothing but the services to open.
type Opener interface {
	Input
	// Open begins to receive.
	Open(ctx context.Context, s Services) (ingest.Source, error)
}

// Services are what live sources get from the program.
type Services struct {
	Log *slog.Logger
	// Stdin is the standard input.
	Stdin io.Reader
	// OpenFile opens a file or a folder with the options that the program's readers have.
	OpenFile func(ctx context.Context, path string) (ingest.Source, error)
	// MaxFile is the size in bytes of the largest file that OpenFile takes.
	MaxFile int64
	// Report is told what happens at the source besides its samples; nil: nobody is. It is quick, and may be called by
	// any goroutine.
	Report func(e Event, n int)
	// StateDir is a folder for what a source keeps for the next process; "" if there is none. It may not exist yet.
	StateDir string
	// Ready is told why the source receives nothing at present, and nil when it does again; nil: nobody is. Until then
	// the program is not ready. It may be called by any goroutine, also with the same again.
	Ready func(err error)
}

// SetReady reports why the source receives nothing at present, or nil.
func (s *Services) SetReady(err error) {
	if s.Ready != nil {
		s.Ready(err)
	}
}

// Event is what happens at a live source. The words are those of the pipeline's events.
type Event string

// The events.
const (
	// Packet counts packets of a sensor. Repeated ones came twice, Damaged ones cannot be decoded, Lost ones were sent
	// and never came, Dropped ones came while the kernel's buffer was full.
	Packet   Event = "packet"
	Repeated Event = "repeated"
	Damaged  Event = "damaged"
	Lost     Event = "lost"
	Dropped  Event = "dropped"
	// Missed counts sweeps of a sensor that were complete while the reader was too far behind.
	Missed Event = "missed"
	// File counts files that were taken, Postponed those that could not be read for a reason that may pass, each time,
	// and Quarantined those that are not read because the process died when it read them.
	File        Event = "file"
	Postponed   Event = "postponed"
	Quarantined Event = "quarantined"
	// Request counts requests of clients, Refused those that were not accepted.
	Request Event = "request"
	Refused Event = "refused"
)

// Count reports n events, if there are any and somebody wants to know.
func (s *Services) Count(e Event, n int) {
	if s.Report != nil && n > 0 {
		s.Report(e, n)
	}
}

// Match says whether text is an address of the kind. It may still be a wrong one.
func (k *Kind) Match(text string) bool {
	if k.Scheme == "" {
		return text == k.Form
	}
	return strings.HasPrefix(text, k.Scheme+"://")
}

// split is the target and the query of an address, and new options for the query to set.
func (k *Kind) split(text string) (target, query string, options any) {
	target, query, _ = strings.Cut(strings.TrimPrefix(text, k.Scheme+"://"), "?")
	options = &struct{}{}
	if k.Options != nil {
		options = k.Options()
	}
	return target, query, options
}

// Parse reads an address. Everything that is wrong with it is reported, one error for each problem.
func (k *Kind) Parse(text string) (Input, []error) {
	if !k.Match(text) {
		return nil, []error{fmt.Errorf("want %s", k.Form)}
	}
	target, query, options := k.split(text)
	problems := option.SetQuery(options, query)
	in, err := k.New(target, options)
	for _, err := range split(err) {
		if !slices.ContainsFunc(problems, func(p error) bool { return subject(p) == subject(err) }) {
			problems = append(problems, err)
		}
	}
	if len(problems) > 0 {
		return nil, problems
	}
	return in, nil
}

// subject is the option that a problem names: one that could not be set is missing, too, which is not worth a second
// message.
func subject(problem error) string {
	name, _, ok := strings.Cut(problem.Error(), ":")
	if !ok || strings.Contains(name, " ") {
		return problem.Error()
	}
	return name
}

// Mask is an address without the values that must not be shown: a password before the host, and what
// [option.MaskQuery] leaves out.
func (k *Kind) Mask(text string) string {
	if k.Scheme == "" || !k.Match(text) {
		return text
	}
	target, query, options := k.split(text)
	host, _, _ := strings.Cut(target, "/")
	if i := strings.LastIndexByte(host, '@'); i >= 0 {
		user, _, _ := strings.Cut(host[:i], ":")
		target = user + ":***" + target[i:]
	}
	masked := k.Scheme + "://" + target
	if strings.Contains(text, "?") {
		masked += "?" + option.MaskQuery(options, query)
	}
	return masked
}

// split takes apart what [errors.Join] joined.
func split(err error) []error {
	if err == nil {
		return nil
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	return []error{err}
}
