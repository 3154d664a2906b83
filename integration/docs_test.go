package integration

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/internal/testenv"
)

// TestDocs runs the shell blocks of README.md and of the pages below docs as a reader does: those of a page one after
// another in one shell, in a folder with the files that the pages use as examples. Blocks that are not run say why in
// their first line, "```sh not run: REASON", which the page does not show. TestTutorial runs the tutorial.
func TestDocs(t *testing.T) {
	slow(t)
	needHDF5(t)
	examples := exampleFiles(t)
	all, run := 0, 0
	for _, name := range shellPages(t) {
		text := must(os.ReadFile(filepath.Join(testenv.Root(), name)))(t)
		blocks := shellBlocks(string(text))
		for _, b := range blocks {
			all++
			if b.notRun == "" {
				run++
			}
		}
		t.Run(name, func(t *testing.T) {
			blocks := runnable(t, blocks)
			if len(blocks) == 0 {
				return
			}
			t.Parallel()
			w := &world{t: t, bin: voxelstream(t), dir: t.TempDir()}
			if err := os.CopyFS(w.dir, os.DirFS(examples)); err != nil {
				t.Fatal(err)
			}
			s := session{
				dir: w.dir, local: w.local(), prepare: "set -uo pipefail\n" + prepared[filepath.Base(name)],
				env: []string{"VOXELSTREAM_TRAIN_EPOCHS=1", "CURL_HOME=" + w.dir},
			}
			named := func(b block) bool { return kafkaHosts.MatchString(b.script) }
			if kafkaHosts.MatchString(s.prepare) || slices.ContainsFunc(blocks, named) {
				w.startBroker(must(strconv.Atoi(s.local("9092")))(t))
			}
			s.typeBlocks(t, blocks)
		})
	}
	if run < 90 {
		t.Errorf("%d of %d blocks can be run, want at least 90", run, all)
	}
}

// shellPages are the pages with shell blocks, below the root of the repository. What the pages of decisions show was so
// at their time, and those of docs/reference/cli and docs/reference/layers are written by the program.
func shellPages(t *testing.T) []string {
	t.Helper()
	pages := []string{"README.md"}
	root := os.DirFS(testenv.Root())
	err := fs.WalkDir(root, "docs", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case name == "docs/decisions", name == "docs/tutorial", name == "docs/reference/cli":
			return fs.SkipDir
		case filepath.Ext(name) == ".md":
			pages = append(pages, name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return pages
}

// kafkaHosts is the addresses of a cluster.
var kafkaHosts = regexp.MustCompile(`\bkafka-?\d?:9092(,kafka-\d:9092)*`)

// replacements are made in what is typed: for addresses and folders that this machine does not have, and to take less
// time.
var replacements = []struct {
	from *regexp.Regexp
	to   string
}{
	{kafkaHosts, "127.0.0.1:9092"},
	{regexp.MustCompile(`\bhost:`), "127.0.0.1:"},
	{regexp.MustCompile(`/(srv|data|etc/voxelstream)/`), "$$PWD/$1/"},
	{regexp.MustCompile(`voxelstream serve`), "voxelstream serve --http :8080"}, // the default, which may be taken
	{regexp.MustCompile(`--(count|drawn|first) \d{4,}`), "--$1 100"},
	{regexp.MustCompile(`--epochs \d+`), "--epochs 1"},
	{regexp.MustCompile(`--objects 400`), "--objects 40"},
	{regexp.MustCompile(`, "version": "1f0c94be"`), ""}, // another one
	{regexp.MustCompile(`ingest simulate (.*?)( --length 60s| --loop.*)?(\n|$)`), "ingest simulate $1 --length 2s$3"},
}

// local returns a function that makes the replacements in the folder of the world, and gives each port a free one.
func (w *world) local() func(string) string {
	port := regexp.MustCompile(`\b(2368|7502|8001|808[0-3]|9092)\b`)
	free := map[string]string{}
	return func(s string) string {
		for _, r := range replacements {
			s = r.from.ReplaceAllString(s, r.to)
		}
		s = strings.ReplaceAll(s, "$PWD/", w.dir+"/")
		return port.ReplaceAllStringFunc(s, func(p string) string {
			if free[p] == "" {
				free[p] = strconv.Itoa(freePort(w.t))
			}
			return free[p]
		})
	}
}
