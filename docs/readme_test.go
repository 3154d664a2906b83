package docs

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestFigures: the figures of the README are those of the pages that it links to, which programs write.
func TestFigures(t *testing.T) {
	texts := map[string]string{}
	for _, p := range pages(t) {
		texts[p.name] = p.text
	}
	_, section, _ := strings.Cut(texts["README.md"], "\n## How fast, how accurate\n")
	section, _, _ = strings.Cut(section, "\n## ")
	rows := regexp.MustCompile(`(?m)^\| .*\]\(([^)#]+).*\|$`).FindAllStringSubmatch(section, -1)
	if len(rows) < 5 {
		t.Errorf("found %d rows of figures", len(rows))
	}
	figure := regexp.MustCompile(`\d[\d,.]*\d`)
	for _, row := range rows {
		page := texts[filepath.ToSlash(filepath.Clean(row[1]))]
		columns := strings.Split(row[0], "|")
		for _, n := range append(figure.FindAllString(columns[2], -1), figure.FindAllString(columns[3], -1)...) {
			if !regexp.MustCompile(`(^|[^\d,.])` + regexp.QuoteMeta(n) + `($|[^\d,.]|[,.]\D)`).MatchString(page) {
				t.Errorf("README.md: %s is not on %s", n, row[1])
			}
		}
	}
}
