package sinks

import (
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/voxelstream/voxelstream/internal/option"
)

// Target is the destination of a sink.
type Target struct {
	// Text is what the user wrote, without secrets. It names the sink in logs, metrics and reports.
	Text string
	// Scheme is the URL scheme, or empty for a path. Path is the text between the scheme and the query. For a kind that
	// writes to a file, it is the file name. Otherwise it is unchanged, with slashes, user and password.
	Scheme, Path string
	// Query is the query of the URL, which holds the options, with secrets.
	Query string
}

// schemeForm matches a scheme with its colon. A scheme has at least two characters, because a single one is a Windows
// drive.
var schemeForm = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.-]+:`)

// split parses a text of the form PATH or SCHEME:PATH, optionally followed by ?QUERY.
func split(text string) Target {
	t := Target{Text: text, Path: text}
	if s := schemeForm.FindString(text); s != "" {
		t.Scheme, t.Path = strings.ToLower(s[:len(s)-1]), text[len(s):]
	}
	t.Path, t.Query, _ = strings.Cut(t.Path, "?")
	return t
}

// join returns the text of a target with the given query. It includes secrets in the path.
func (t Target) join(query string) string {
	text := t.Path
	if t.Scheme != "" {
		text = t.Scheme + ":" + text
	}
	if query != "" {
		text += "?" + query
	}
	return text
}

// password matches the user and password of a URL, up to the last @, because a password that is not percent-encoded may
// contain any character.
var password = regexp.MustCompile(`^(//[^:]*):.*@`)

// masked returns the text of the target without password and secrets. known are the options allowed in the query.
func (t Target) masked(known any) string {
	query := t.Query
	if before, behind, found := cutLast(query, "@"); found && unfinished(t.Path, before) {
		// The password contains a question mark, which was taken for the end of the path.
		user, _, _ := strings.Cut(t.Path[2:], ":")
		t.Path, query, _ = strings.Cut("//"+user+":"+option.Stars+"@"+behind, "?")
		return t.join(option.MaskQuery(known, query))
	}
	t.Path = password.ReplaceAllString(t.Path, "$1:"+option.Stars+"@")
	return t.join(option.MaskQuery(known, query))
}

// hostPort matches //HOST:PORT, optionally followed by a path.
var hostPort = regexp.MustCompile(`^//[^/@:]*:[0-9]+(/|$)`)

// unfinished reports whether a path ends within a password: it has a colon, but no @ with a host after it. A number
// after the colon is a port only if the query has options.
func unfinished(path, query string) bool {
	authority, isURL := strings.CutPrefix(path, "//")
	if !isURL || strings.Contains(authority, "@") || !strings.Contains(authority, ":") {
		return false
	}
	return !hostPort.MatchString(path) || !strings.Contains(query, "=")
}

// cutLast is like strings.Cut, but cuts at the last separator.
func cutLast(text, separator string) (before, after string, found bool) {
	if i := strings.LastIndex(text, separator); i >= 0 {
		return text[:i], text[i+len(separator):], true
	}
	return text, "", false
}

// kind returns the kind of a target.
func (t Target) kind(kinds []*Kind) (*Kind, error) {
	scheme := t.Scheme
	if t.Path == "-" && scheme == "" {
		scheme = "-"
	}
	for _, k := range kinds {
		if scheme != "" && (k.Name == scheme || slices.Contains(k.Schemes, scheme)) {
			return k, nil
		}
	}
	if scheme == "-" {
		return nil, errors.New("no sink writes to standard output")
	}
	if scheme != "" && scheme != fileScheme {
		names := schemes(kinds)
		advice := ""
		if !strings.HasPrefix(t.Path, "//") {
			advice = "; for a file of that name write ./" + t.masked(&struct{}{})
		}
		return nil, fmt.Errorf("found the scheme %q%s, want %s%s",
			scheme, option.DidYouMean(scheme, names), strings.Join(names, ", "), advice)
	}
	return byExtension(kinds, t.Path)
}

// fileScheme is the scheme of a file whose extension selects the kind.
const fileScheme = "file"

// byExtension returns the kind with the longest extension that path ends in.
func byExtension(kinds []*Kind, path string) (found *Kind, err error) {
	base := strings.ToLower(filepath.Base(path))
	longest := ""
	var all []string
	for _, k := range kinds {
		for _, e := range k.Extensions {
			if all = append(all, e); strings.HasSuffix(base, e) && len(e) > len(longest) {
				found, longest = k, e
			}
		}
	}
	if found != nil {
		return found, nil
	}
	ext := filepath.Ext(base)
	what := fmt.Sprintf("the file name extension %q%s", ext, option.DidYouMean(ext, all))
	if ext == "" {
		what = fmt.Sprintf("%q without a file name extension", path)
	}
	return nil, fmt.Errorf("found %s, want %s; or name the format: %s", what, strings.Join(all, ", "), forms(kinds))
}

// schemes returns all schemes, sorted.
func schemes(kinds []*Kind) []string {
	names := []string{fileScheme}
	for _, k := range kinds {
		names = append(names, k.Name)
		names = append(names, k.Schemes...)
	}
	names = slices.DeleteFunc(names, func(n string) bool { return n == "-" })
	slices.Sort(names)
	return names
}

// forms lists the kinds that write to files, as SCHEME:FILE.
func forms(kinds []*Kind) string {
	var out []string
	for _, k := range kinds {
		if len(k.Extensions) > 0 {
			out = append(out, k.Name+":FILE")
		}
	}
	return strings.Join(out, ", ")
}

// fileName converts the path of a URL to a file name. Only the form //HOST/PATH is percent-encoded.
func (t *Target) fileName() error {
	if t.Scheme != "" && strings.HasPrefix(t.Path, "//") {
		host, path, _ := strings.Cut(t.Path[2:], "/")
		if host != "" && host != "localhost" {
			return fmt.Errorf("found the host %q, want none: %s:PATH or %s:///PATH", host, t.Scheme, t.Scheme)
		}
		path, err := url.PathUnescape("/" + path)
		if err != nil {
			return err
		}
		t.Path = path
	}
	switch {
	case t.Path == "":
		return errors.New("found no file name")
	case t.Path == "-":
		return errors.New("found -, want a file name; use - alone for standard output")
	case strings.HasSuffix(t.Path, "/") || strings.HasSuffix(t.Path, string(filepath.Separator)):
		return fmt.Errorf("found the directory %s, want a file", t.Path)
	case strings.ContainsRune(t.Path, 0):
		return errors.New("found a zero byte in the file name")
	}
	return nil
}

// filePlace returns a unique name for a file: its absolute path, in which the links of the part that exists are
// resolved.
func filePlace(path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	rest := ""
	for dir := abs; ; dir = filepath.Dir(dir) {
		if real, err := filepath.EvalSymlinks(dir); err == nil {
			return fileScheme + ":" + filepath.Join(real, rest), nil
		}
		if dir == filepath.Dir(dir) {
			return fileScheme + ":" + abs, nil
		}
		rest = filepath.Join(filepath.Base(dir), rest)
	}
}
