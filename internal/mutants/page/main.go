// Command page merges a report of mutants into the reference page: page REPORT PAGE.
package main

import (
	"bytes"
	"fmt"
	"log"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/voxelstream/voxelstream/internal/mutants"
)

const intro = `# Robustness
Damaged inputs that each decoder reads in ` + "`make mutants`" + `: copies of good inputs with bytes changed, removed
and duplicated, mostly in headers. None may panic, use more than 2 s of processor time, or allocate more than %d MiB in
total. Readers of inputs have limits of 64 MiB for a file and 4 Mi points or cells. Inputs that once failed are in
` + "`testdata/fuzz`" + ` of each package, and every test run reads them. ` + "`scripts/mutants`" + ` writes this page.

Parquet files are read by ` + "`reprocess diff`" + ` and by the sink that continues one. A page may have at most 64 MiB,
compressed and decompressed, and its sizes are checked before the library reads it.

Total: %s damaged inputs.

| decoder | inputs | longest, ms | largest allocation, MiB |
|---|--:|--:|--:|
`

// row is what a decoder did with its mutants.
type row struct {
	count   int
	slowest string
	largest string
}

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: page REPORT PAGE")
	}
	rows := map[string]row{}
	page, err := os.ReadFile(os.Args[2]) //nolint:forbidigo,gosec // a file of the repository
	if err != nil && !os.IsNotExist(err) {
		log.Fatal(err)
	}
	for line := range strings.Lines(string(page)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) == 4 {
			add(rows, cells)
		}
	}
	report, err := os.ReadFile(os.Args[1]) //nolint:forbidigo,gosec // a file of scripts/mutants
	if err != nil {
		log.Fatal(err)
	}
	for line := range strings.Lines(string(report)) {
		add(rows, strings.Split(strings.TrimSpace(line), "\t"))
	}
	total := 0
	var table bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(rows)) {
		r := rows[name]
		total += r.count
		fmt.Fprintf(&table, "| %s | %s | %s | %s |\n", name, grouped(r.count), r.slowest, r.largest)
	}
	text := fmt.Sprintf(intro, mutants.MaxAlloc>>20, grouped(total)) + table.String()
	if err := os.WriteFile(os.Args[2], []byte(text), 0o644); err != nil { //nolint:gosec // a page to read
		log.Fatal(err)
	}
}

// add takes a row of numbers.
func add(rows map[string]row, cells []string) {
	for i := range cells {
		cells[i] = strings.TrimSpace(cells[i])
	}
	if len(cells) != 4 {
		return
	}
	if n, err := strconv.Atoi(strings.ReplaceAll(cells[1], ",", "")); err == nil {
		rows[cells[0]] = row{n, cells[2], cells[3]}
	}
}

// grouped writes a number with commas between thousands.
func grouped(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
