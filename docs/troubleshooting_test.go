package docs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/internal/testenv"
)

// TestMessages: the program still prints the messages that the troubleshooting page explains.
func TestMessages(t *testing.T) {
	b, err := os.ReadFile(filepath.Join(testenv.Root(), "docs", "help", "troubleshooting.md"))
	if err != nil {
		t.Fatal(err)
	}
	texts := messages(t)
	found := regexp.MustCompile("(?m)^### `(.+)`$").FindAllStringSubmatch(string(b), -1)
	for _, m := range found {
		if !printed(texts, strings.Split(m[1], "…")) {
			t.Errorf("troubleshooting.md: no text of the program has %q", m[1])
		}
	}
	if len(found) < 25 {
		t.Errorf("found %d messages", len(found))
	}
}

// printed reports whether a text has all pieces in their order.
func printed(texts, pieces []string) bool {
	for _, text := range texts {
		ok := true
		for _, piece := range pieces {
			_, text, ok = strings.Cut(text, strings.TrimSpace(piece))
			if !ok {
				break
			}
		}
		if ok {
			return true
		}
	}
	return false
}

// messages returns the string constants of the program, each joined of its parts.
func messages(t *testing.T) []string {
	t.Helper()
	var texts []string
	root := testenv.Root()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != root {
			switch d.Name() {
			case ".git", "build", "node_modules", "bench", "docs":
				return fs.SkipDir
			}
			return nil
		}
		if d.IsDir() || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			e, ok := n.(ast.Expr)
			if !ok {
				return true
			}
			text, ok := constant(e)
			if ok {
				texts = append(texts, text)
			}
			return !ok
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return texts
}

// constant is the value of a string literal or of a sum of literals.
func constant(e ast.Expr) (string, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		text, err := strconv.Unquote(e.Value)
		return text, err == nil && e.Kind == token.STRING
	case *ast.BinaryExpr:
		x, okX := constant(e.X)
		y, okY := constant(e.Y)
		return x + y, okX && okY && e.Op == token.ADD
	}
	return "", false
}
