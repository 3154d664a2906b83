package input

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/ingest/live"
	"github.com/voxelstream/voxelstream/ingest/live/all"
	"github.com/voxelstream/voxelstream/internal/option"
	"github.com/voxelstream/voxelstream/internal/regular"
)

// Kinds lists the live sources and topics, in the order of the documentation. All other inputs are files or folders.
func Kinds() []live.Kind { return append(all.Kinds(), topicKind) }

// Parse parses the inputs on a command line. It reports all problems at once: missing files, invalid addresses and
// unknown options. Problems with the command line are marked as usage errors. Glob patterns are expanded (see [Expand]).
func Parse(texts []string) ([]Input, error) {
	var errs []error
	inputs := make([]Input, 0, len(texts))
	expanded, err := Expand(texts)
	if err != nil {
		errs = append(errs, err)
	}
	for _, text := range expanded {
		in, problems := parse(text)
		if in.live != nil && slices.ContainsFunc(inputs, func(other Input) bool { return other.text == in.text }) {
			problems = append(problems, app.Usage(errors.New("found this live source twice, want once")))
		}
		for _, err := range problems {
			errs = append(errs, fmt.Errorf("%s: %w", in.text, err))
		}
		inputs = append(inputs, in)
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return inputs, nil
}

// ParseFiles parses inputs that must be files or folders.
func ParseFiles(texts []string) ([]Input, error) {
	inputs, err := Parse(texts)
	if err != nil {
		return nil, err
	}
	for _, in := range inputs {
		if in.Live() {
			return nil, app.Usage(fmt.Errorf("%s: found a live source, want a file or a folder", in.text))
		}
	}
	return inputs, nil
}

// parse parses one input. The returned input has its text even if there are problems.
func parse(text string) (in Input, problems []error) {
	for _, k := range Kinds() {
		if !k.Match(text) {
			continue
		}
		in.text = k.Mask(text)
		in.live, problems = k.Parse(text)
		for i, err := range problems {
			problems[i] = app.Usage(err)
		}
		return in, problems
	}
	info, err := os.Stat(text)
	switch {
	case err != nil:
	case !info.IsDir() && !info.Mode().IsRegular():
		return Input{text: text}, []error{fmt.Errorf("found %s, want a file or a folder", regular.Kind(info.Mode()))}
	default:
		return Input{text: text, path: text}, nil
	}
	if scheme, _, ok := strings.Cut(text, "://"); ok {
		in.text = (&live.Kind{Scheme: scheme}).Mask(text)
		return in, []error{app.Usage(unknownScheme(scheme))}
	}
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		err = e.Err // without the path, which the text is
	}
	return Input{text: text}, []error{err}
}

// unknownScheme says which schemes are known.
func unknownScheme(scheme string) error {
	var known []string
	for _, k := range Kinds() {
		if k.Scheme != "" {
			known = append(known, k.Scheme)
		}
	}
	return fmt.Errorf("found neither a file of this name nor a known scheme%s, want one of %s",
		option.DidYouMean(scheme, known), strings.Join(known, ", "))
}
