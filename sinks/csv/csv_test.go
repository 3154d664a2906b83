package csv_test

import (
	"bytes"
	stdcsv "encoding/csv"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/sinks/sinktest"
	"github.com/voxelstream/voxelstream/sinks/table/tabletest"

	"github.com/voxelstream/voxelstream/sinks/csv"
	"github.com/voxelstream/voxelstream/sinks/internal/appendfile/appendtest"
)

func TestSuite(t *testing.T) { appendtest.Suite(t, &csv.Kind, ".csv", ".tsv.gz", ".csv.zst") }

func TestKilled(t *testing.T)     { appendtest.Kill(t, &csv.Kind, ".csv") }
func TestKilledZstd(t *testing.T) { appendtest.Kill(t, &csv.Kind, ".tsv.zst") }

func TestFormat(t *testing.T) {
	t.Run("rows", func(t *testing.T) { tabletest.RoundTrip(t, &csv.Format, 3001) })
	t.Run("refuses what it cannot hold", func(t *testing.T) { tabletest.Refusals(t, &csv.Format) })
}

func FuzzReader(f *testing.F) { tabletest.Fuzz(f, &csv.Format) }

func BenchmarkFormat(b *testing.B) { tabletest.Benchmark(b, &csv.Format) }

func BenchmarkSink(b *testing.B) { appendtest.Benchmark(b, &csv.Kind) }

// TestTexts: any text comes back, another reader of CSV sees it, and none is a formula.
func TestTexts(t *testing.T) {
	var rows []record.Classification
	for i, text := range []string{
		"=1+1", "+1", "-1", "@SUM(A1)", "'", "''=x", "'=1", "\t=1", "\r\n", "\n", "a,b", "a\tb", `"`, `a"b`, `"a","b"`,
		"＝1", " =1", "", "x\r", "x\r\ny", "ä\u2028",
	} {
		c := sinktest.Classification("s", i)
		c.Name, c.Stream, c.Model.Name = text, text, text
		c.EventID = c.ID().String()
		rows = append(rows, c)
	}
	for _, name := range []string{"a.csv", "a.tsv"} {
		path := filepath.Join(t.TempDir(), name)
		tabletest.Write(t, &csv.Format, path, rows, len(rows))
		got, err := tabletest.Read(&csv.Format, path)
		if err != nil || len(got) != len(rows) {
			t.Fatalf("%s: found %d rows, %v", name, len(got), err)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		r := stdcsv.NewReader(bytes.NewReader(data))
		if name == "a.tsv" {
			r.Comma = '\t'
		}
		seen, err := r.ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		for i := range rows {
			if got[i].Name != rows[i].Name || got[i].EventID != rows[i].EventID || got[i].Model != rows[i].Model {
				t.Errorf("%s: found %+v, want %+v", name, got[i], rows[i])
			}
			for _, cell := range seen[i+1][:2] {
				if strings.IndexAny(cell, "=+-@\t\r\n") == 0 {
					t.Errorf("%s: found the cell %q, which is a formula", name, cell)
				}
				// That package turns \r\n into \n.
				want := strings.ReplaceAll(rows[i].Stream, "\r\n", "\n")
				if !strings.HasPrefix(strings.TrimPrefix(cell, "'"), want) {
					t.Errorf("%s: another reader found %q, want %q", name, cell, want)
				}
			}
		}
	}
}

// TestHeader: the header of a file decides its form.
func TestHeader(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.csv")
	if err := os.WriteFile(path, []byte("event_id,stream\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := appendtest.TryOpen(t, &csv.Kind, path, "")
	if err == nil || !strings.Contains(err.Error(), "want the header") {
		t.Errorf("found %v", err)
	}
	// One with tabs is continued with tabs.
	tsv := filepath.Join(t.TempDir(), "a.tsv")
	tabletest.Write(t, &csv.Format, tsv, tabletest.Rows(3), 3)
	if err := os.Rename(tsv, path); err != nil {
		t.Fatal(err)
	}
	s := appendtest.Open(t, &csv.Kind, path, "")
	if err := s.Write(t.Context(), tabletest.Rows(5)); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if rows, err := tabletest.Read(&csv.Format, path); err != nil || len(rows) != 5 {
		t.Errorf("found %d rows, %v", len(rows), err)
	}
}
