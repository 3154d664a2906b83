package docs

import (
	"bytes"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

// TestSite: in the site that make docs-build has written, every link, picture, script and anchor is there, and nothing is loaded
// from elsewhere.
func TestSite(t *testing.T) {
	dir := os.Getenv("VOXELSTREAM_SITE")
	if dir == "" {
		t.Skip("set VOXELSTREAM_SITE to a built site, or run make docs-build")
	}
	site := os.DirFS(dir)
	files := map[string]*document{}
	err := fs.WalkDir(site, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		files[name] = nil
		if path.Ext(name) == ".html" {
			files[name], err = read(filepath.Join(dir, name))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	for name, doc := range files {
		if doc == nil {
			continue
		}
		for _, ref := range doc.refs {
			u, err := url.Parse(ref.target)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			if u.IsAbs() {
				if ref.loads {
					t.Errorf("%s: loads %s from elsewhere", name, ref.target)
				}
				continue
			}
			checked++
			target := name
			if u.Path != "" {
				target = path.Join(path.Dir(name), u.Path)
				if strings.HasSuffix(u.Path, "/") || u.Path == "." || u.Path == ".." {
					target = path.Join(target, "index.html")
				}
			}
			doc, ok := files[target]
			if !ok {
				t.Errorf("%s: the link %s leads nowhere", name, ref.target)
			} else if u.Fragment != "" && doc != nil && !doc.ids[u.Fragment] {
				t.Errorf("%s: no anchor for the link %s", name, ref.target)
			}
		}
	}
	if checked < 10000 {
		t.Errorf("found %d links", checked)
	}
}

// document is a page of the site: what it refers to, and its anchors.
type document struct {
	refs []reference
	ids  map[string]bool
}

// reference is a link, or something that the browser loads.
type reference struct {
	target string
	loads  bool
}

func read(file string) (*document, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	root, err := html.Parse(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	doc := &document{ids: map[string]bool{}}
	for n := range root.Descendants() {
		for _, a := range n.Attr {
			switch a.Key {
			case "id":
				if doc.ids[a.Val] {
					return nil, fmt.Errorf("%s: two elements have the ID %s", file, a.Val)
				}
				doc.ids[a.Val] = true
			case "href":
				doc.refs = append(doc.refs, reference{a.Val, n.Data == "link"})
			case "src":
				doc.refs = append(doc.refs, reference{a.Val, true})
			}
		}
	}
	return doc, nil
}
