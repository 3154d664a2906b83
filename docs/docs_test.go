// Package docs tests the pages: their links, commands, titles and messages, and the site that is built from them.
package docs

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/internal/testenv"
)

// page is a Markdown file.
type page struct {
	name string // below the root of the repository
	text string
}

// pages returns the pages below docs and those beside it.
func pages(t *testing.T) []page {
	t.Helper()
	var all []page
	add := func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".md" {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(testenv.Root(), path)
		all = append(all, page{filepath.ToSlash(name), string(b)})
		return err
	}
	roots := []string{
		"docs", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "app/models/builtin/README.md",
	}
	for _, root := range roots {
		if err := filepath.WalkDir(filepath.Join(testenv.Root(), root), add); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

var (
	fenced  = regexp.MustCompile("(?ms)^```([^\n]*)\n(.*?)^```")
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.*)$`)
	symbols = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
	id      = regexp.MustCompile(`(?:id|name)="([^"]+)"`)
)

// TestLinks: links between pages, to headings and to files of the repository are not broken.
func TestLinks(t *testing.T) {
	anchors := map[string][]string{}
	all := pages(t)
	for _, p := range all {
		anchors[p.name] = p.anchors()
	}
	checked := 0
	for _, p := range all {
		for _, m := range link.FindAllStringSubmatch(fenced.ReplaceAllString(p.text, ""), -1) {
			if strings.Contains(m[1], "://") || strings.HasPrefix(m[1], "mailto:") {
				continue
			}
			checked++
			target, anchor, _ := strings.Cut(m[1], "#")
			file := p.name
			if target != "" {
				file = filepath.ToSlash(filepath.Join(filepath.Dir(p.name), target))
			}
			if _, err := os.Stat(filepath.Join(testenv.Root(), file)); err != nil {
				t.Errorf("%s: the link %s leads nowhere", p.name, m[1])
			} else if anchor != "" && filepath.Ext(file) == ".md" && !slices.Contains(anchors[file], anchor) {
				t.Errorf("%s: no heading for the link %s", p.name, m[1])
			}
		}
	}
	if checked < 500 {
		t.Errorf("found %d links", checked)
	}
}

// anchors returns the targets within a page: its headings, as GitHub and Hugo name them, and elements with an ID.
func (p page) anchors() []string {
	var names []string
	text := fenced.ReplaceAllString(p.text, "")
	for _, m := range heading.FindAllStringSubmatch(text, -1) {
		title := link.ReplaceAllString(m[1], "") // the text of a link stays
		names = append(names, strings.ReplaceAll(symbols.ReplaceAllString(strings.ToLower(title), ""), " ", "-"))
	}
	for _, m := range id.FindAllStringSubmatch(text, -1) {
		names = append(names, m[1])
	}
	return names
}

// TestTitles: a page begins with a title that no other page has, and says below it what the reader gets.
func TestTitles(t *testing.T) {
	titles := map[string]string{}
	for _, p := range pages(t) {
		first, rest, _ := strings.Cut(p.text, "\n")
		title := strings.TrimLeft(first, "# ")
		if !strings.HasPrefix(first, "#") || title == "" {
			t.Errorf("%s: found %q, want a title in the first line", p.name, first)
		}
		if other, ok := titles[title]; ok {
			t.Errorf("%s: has the title of %s, %q", p.name, other, title)
		}
		titles[title] = p.name
		if strings.TrimSpace(rest) == "" {
			t.Errorf("%s: found nothing below the title", p.name)
		}
	}
}

var (
	command = regexp.MustCompile("(?m)(?:^|[ `(|])(?:bin/)?voxelstream ([a-z]+)((?: [a-z]+)?)([^`\n#|]*)")
	flag    = regexp.MustCompile(`(?:^| )(--[a-z][a-z-]*)`)
	lidar   = regexp.MustCompile(`(?:^|[ '"])(udp://[^ '"]*)`)
)

// TestCommands: the commands and flags in pages exist, udp:// inputs name their sensor, and blocks of shell commands are
// well-formed. A block without a language is one of shell commands; one with the language console has commands after a
// $, and output.
func TestCommands(t *testing.T) {
	root, err := os.ReadFile(filepath.Join(testenv.Root(), "docs", "reference", "cli", "voxelstream.md"))
	if err != nil {
		t.Fatal(err)
	}
	global := names(root)
	flags, blocks, sensors := 0, 0, 0
	for _, p := range pages(t) {
		if p.generated() || p.historical() {
			continue
		}
		for _, m := range fenced.FindAllStringSubmatch(p.text, -1) {
			if lang, _, _ := strings.Cut(m[1], " "); lang == "" || lang == "sh" {
				blocks++
				if out, err := parse(m[2]); err != nil {
					t.Errorf("%s: not a block of shell commands: %s\n%s", p.name, out, m[2])
				}
			}
		}
		if p.name == "CONTRIBUTING.md" { // its examples add flags
			continue
		}
		// A command may continue on the next line.
		text := strings.ReplaceAll(p.text, "\\\n", " ")
		for _, m := range command.FindAllStringSubmatch(text, -1) {
			cli := filepath.Join(testenv.Root(), "docs", "reference", "cli", "voxelstream_"+m[1])
			help, err := os.ReadFile(cli + "_" + strings.TrimSpace(m[2]) + ".md")
			if err != nil { // the second word is an argument
				help, err = os.ReadFile(cli + ".md")
			}
			if err != nil {
				t.Errorf("%s: no command %s", p.name, m[1])
				continue
			}
			for _, f := range flag.FindAllStringSubmatch(m[2]+m[3], -1) {
				flags++
				if !slices.Contains(append(names(help), global...), f[1]) {
					t.Errorf("%s: %s%s has no flag %s", p.name, m[1], m[2], f[1])
				}
			}
			for _, in := range lidar.FindAllStringSubmatch(m[2]+m[3], -1) {
				// Simulate sends to such an address. It needs a sensor only for a scene.
				if sensors++; m[2] != " simulate" && !strings.Contains(in[1], "sensor=") {
					t.Errorf("%s: %s %s names no sensor", p.name, m[1], in[1])
				}
			}
		}
	}
	if flags < 200 || blocks < 100 || sensors < 5 {
		t.Errorf("found %d flags, %d blocks and %d addresses of sensors", flags, blocks, sensors)
	}
}

// names returns the flags that a reference page has in its tables.
func names(page []byte) []string {
	var all []string
	for _, m := range regexp.MustCompile("(?m)^\\| `(?:-\\w, )?(--[a-z][a-z-]*)").FindAllSubmatch(page, -1) {
		all = append(all, string(m[1]))
	}
	return all
}

// parse checks the syntax of shell commands.
func parse(text string) ([]byte, error) {
	cmd := exec.Command("bash", "-n")
	cmd.Stdin = strings.NewReader(text)
	return cmd.CombinedOutput()
}

// generated reports whether a page is written by a program from the code, which is tested where it is.
func (p page) generated() bool { return strings.HasPrefix(p.name, "docs/reference/cli/") }

// historical reports whether a page says how something was at its time.
func (p page) historical() bool {
	return strings.HasPrefix(p.name, "docs/decisions/") || p.name == "CHANGELOG.md"
}

// TestBlocks: the first line of a block has only a language, or says after it why tests do not run the block. The shell
// languages are sh and console.
func TestBlocks(t *testing.T) {
	info := regexp.MustCompile(`^(([a-z]*)|(sh|console) not run: \S.*)$`)
	notRun := 0
	for _, p := range pages(t) {
		if p.generated() || p.historical() {
			continue
		}
		for _, m := range fenced.FindAllStringSubmatch(p.text, -1) {
			found := info.FindStringSubmatch(m[1])
			if found == nil || slices.Contains([]string{"bash", "shell", "zsh"}, found[2]) {
				t.Errorf("%s: found a block that begins with ```%s, want ```, ```LANGUAGE or ```sh not run: REASON", p.name, m[1])
			} else if found[3] != "" {
				notRun++
			}
		}
	}
	if notRun < 10 {
		t.Errorf("found %d blocks that are not run", notRun)
	}
}
