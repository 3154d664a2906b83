package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// maxPage is the limit of all files of the page together, compressed, in bytes.
const maxPage = 400_000

// TestDistIsCurrent compares the digest that the build wrote with that of the source.
func TestDistIsCurrent(t *testing.T) {
	files := []string{"index.html", "package.json", "package-lock.json", "tsconfig.json", "vite.config.ts"}
	for _, dir := range []string{"src", "public"} {
		if err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				files = append(files, filepath.ToSlash(path))
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(files)
	all := sha256.New()
	for _, name := range files {
		b, err := os.ReadFile(filepath.FromSlash(name))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(all, "%x  %s\n", sha256.Sum256(b), name)
	}
	found, err := fs.ReadFile(Dist(), "source.sha256")
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("%x\n", all.Sum(nil)); string(found) != want {
		t.Error("dist was built from another source: run 'make web' and commit dist")
	}
}

func TestPageIsSmall(t *testing.T) {
	sum := 0
	if err := fs.WalkDir(Dist(), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := fs.ReadFile(Dist(), path)
		if err != nil {
			return err
		}
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		if _, err := w.Write(content); err != nil {
			return err
		}
		if err := w.Close(); err != nil {
			return err
		}
		t.Logf("%7d bytes compressed: %s", b.Len(), path)
		sum += b.Len()
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	t.Logf("%7d bytes in all", sum)
	if sum > maxPage {
		t.Errorf("found %d bytes, want at most %d", sum, maxPage)
	}
}

// TestPageNeedsNoInlineCode: the page works under a Content-Security-Policy that allows only files of its own origin.
func TestPageNeedsNoInlineCode(t *testing.T) {
	page, err := fs.ReadFile(Dist(), "index.html")
	if err != nil {
		t.Fatal(err)
	}
	for what, bad := range map[string]string{
		"an inline script":   `(?is)<script[^>]*>\s*[^<\s]`,
		"an inline style":    `(?i)<style|\sstyle=`,
		"a handler":          `(?i)\son[a-z]+=`,
		"an address outside": `(?i)(src|href)="?(https?:)?//`,
	} {
		if found := regexp.MustCompile(bad).Find(page); found != nil {
			t.Errorf("index.html: found %s: %s", what, found)
		}
	}
	if !strings.Contains(string(page), `type="module"`) {
		t.Error("index.html: found no script")
	}
}
