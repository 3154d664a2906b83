package h5

import (
	"fmt"
	"iter"
	"strings"
	"unicode/utf8"
)

// checkPath requires an absolute path in its shortest form.
func checkPath(path string) error {
	if path == "/" {
		return nil
	}
	if !strings.HasPrefix(path, "/") || !utf8.ValidString(path) || strings.ContainsRune(path, 0) {
		return fmt.Errorf("path %q is not UTF-8, or does not start with /", path)
	}
	for step := range strings.SplitSeq(path[1:], "/") {
		if step == "" || step == "." || step == ".." {
			return fmt.Errorf("path %q is not in its shortest form", path)
		}
	}
	return nil
}

// ancestry yields "/a", "/a/b", ... up to path itself; nothing for the root.
func ancestry(path string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for i := 1; i < len(path); i++ {
			if path[i] == '/' && !yield(path[:i]) {
				return
			}
		}
		if len(path) > 1 {
			yield(path)
		}
	}
}
