package input

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/voxelstream/voxelstream/app"
)

// maxMatches limits the number of files that a pattern matches.
const maxMatches = 1 << 20

// Expand replaces each glob pattern among paths by the files and folders that it matches, in lexical order. The
// patterns are those of [filepath.Match], and ** stands for any number of folders; as the last element, it matches all
// files below. Names that begin with a dot are matched only by patterns that do. A path that exists is no pattern. A
// pattern without a match is an error.
func Expand(paths []string) ([]string, error) {
	var out []string
	var errs []error
	for _, path := range paths {
		if !isPattern(path) {
			out = append(out, path)
			continue
		}
		matches, err := glob(path)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", path, err))
		}
		out = append(out, matches...)
	}
	return out, errors.Join(errs...)
}

// isPattern reports whether a text is a glob pattern, and not the name of a file or a URL.
func isPattern(text string) bool {
	if !strings.ContainsAny(text, "*?[") || strings.Contains(text, "://") {
		return false
	}
	_, err := os.Lstat(text)
	return err != nil
}

func glob(pattern string) ([]string, error) {
	if _, err := filepath.Match(pattern, ""); err != nil {
		return nil, app.Usage(errors.New("found a malformed glob pattern: a [ without its ]"))
	}
	clean := filepath.ToSlash(filepath.Clean(pattern))
	dir := ""
	if strings.HasPrefix(clean, "/") {
		dir = "/"
	}
	g := &globber{found: map[string]bool{}}
	if err := g.walk(dir, strings.Split(strings.TrimPrefix(clean, "/"), "/")); err != nil {
		return nil, err
	}
	if len(g.found) == 0 {
		return nil, errors.New("no file matches the pattern")
	}
	out := make([]string, 0, len(g.found))
	for path := range g.found {
		out = append(out, path)
	}
	slices.Sort(out)
	return out, nil
}

// globber collects the matches of a pattern. It does not follow links to folders for **, so it ends.
type globber struct{ found map[string]bool }

// walk matches the elements of a pattern below dir. A folder that cannot be read matches nothing.
func (g *globber) walk(dir string, elements []string) error {
	if len(elements) == 0 {
		if g.found[dir] = true; len(g.found) > maxMatches {
			return fmt.Errorf("found more than %d matches", maxMatches)
		}
		return nil
	}
	first, rest := elements[0], elements[1:]
	if !strings.ContainsAny(first, "*?[") {
		path := filepath.Join(dir, first)
		if _, err := os.Lstat(path); err != nil {
			return nil //nolint:nilerr // does not match
		}
		return g.walk(path, rest)
	}
	below := dir
	if below == "" {
		below = "."
	}
	entries, err := os.ReadDir(below)
	if err != nil {
		return nil //nolint:nilerr // matches nothing
	}
	if first == "**" && len(rest) > 0 {
		if err := g.walk(dir, rest); err != nil {
			return err
		}
	}
	for _, e := range entries {
		if err := g.entry(filepath.Join(dir, e.Name()), e, first, elements); err != nil {
			return err
		}
	}
	return nil
}

// entry matches an entry of a folder with the first of some elements.
func (g *globber) entry(path string, e fs.DirEntry, first string, elements []string) error {
	rest := elements[1:]
	hidden := strings.HasPrefix(e.Name(), ".") && !strings.HasPrefix(first, ".")
	switch matched, _ := filepath.Match(first, e.Name()); { // the pattern was checked
	case hidden:
	case first == "**" && e.IsDir():
		return g.walk(path, elements)
	case first == "**" && len(rest) == 0:
		return g.walk(path, nil)
	case first != "**" && matched && (len(rest) == 0 || isFolder(path)):
		return g.walk(path, rest)
	}
	return nil
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}
