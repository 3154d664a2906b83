//go:build unix

package integration

import (
	"encoding/json"
	"fmt"
	"math"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/sinks/arrow"
	"github.com/voxelstream/voxelstream/sinks/hdf5"
	"github.com/voxelstream/voxelstream/sinks/parquet"
	"github.com/voxelstream/voxelstream/sinks/table"
	"github.com/voxelstream/voxelstream/sinks/table/tabletest"
)

// readResults prints the rows of a table of classifications, as lines of JSON. What a second program reads in the same
// file must be the same.
const readResults = `
import json, math, sys
import duckdb, h5py
import numpy as np
import pandas as pd
import pyarrow as pa, pyarrow.feather, pyarrow.parquet

path = sys.argv[1]
if path.endswith(".h5"):
    with h5py.File(path) as f:
        assert f.attrs["voxelstream.kind"] == "classifications", dict(f.attrs)
        columns = {k: (d.asstr() if h5py.check_string_dtype(d.dtype) else d)[:] for k, d in f.items()}
    time = columns["time"].view("datetime64[ns]")
    columns["time"] = [None if np.isnat(t) else t.astype(int).item() for t in time]
    columns["label"] = [None if x == -1 else x.item() for x in columns["label"]]
    columns["name"] = [x or None for x in columns["name"]]
    columns["unfamiliar"] = [None if x == -1 else bool(x) for x in columns["unfamiliar"]]
    classes, scores = columns.pop("top_classes"), columns.pop("top_scores")
    assert ((classes == -1) == np.isnan(scores)).all()
    columns["top_k"] = [[{"class": k.item(), "score": s.item()} for k, s in zip(*row) if k != -1] for row in zip(classes, scores)]
    frame = pd.DataFrame({k: list(v) for k, v in columns.items()})
    rows = [{k: v.item() if isinstance(v, np.generic) else v for k, v in zip(columns, row)} for row in zip(*columns.values())]
    for row in rows:
        missing = ("box_", "distance_", "velocity_", "energy")
        row.update({k: None for k, v in row.items() if k.startswith(missing) and math.isnan(v)})
else:
    parquet = path.endswith(".parquet")
    table = pa.parquet.read_table(path) if parquet else pa.feather.read_table(path)
    table.validate(full=True)
    assert table.schema.metadata[b"voxelstream.kind"] == b"classifications", table.schema.metadata
    if parquet:
        names = table.column_names
        other = duckdb.sql(f"SELECT * REPLACE (epoch_ns(time) AS time) FROM '{path}'").fetchall()
        other = [dict(zip(names, row)) for row in other]
        frame = pd.read_parquet(path)
    else:
        frame = pd.read_feather(path)
    assert str(table.schema.field("time").type) == "timestamp[ns, tz=UTC]", table.schema
    at = table.column_names.index("time")
    table = table.set_column(at, "time", table.column("time").cast(pa.int64()))
    rows = table.to_pylist()
    if parquet:
        assert other == rows, (other[:2], rows[:2])
assert len(frame) == len(rows) and list(frame["event_id"]) == [r["event_id"] for r in rows]
for row in rows:
    print(json.dumps(row))
`

// seen reads a table with other programs. It has the rows in the order of their IDs.
func seen(t *testing.T, py, path string) []map[string]any {
	t.Helper()
	out, err := exec.Command(py, "-c", readResults, path).Output()
	if err != nil {
		if e, ok := err.(*exec.ExitError); ok { //nolint:errorlint // Output returns it as it is
			t.Fatalf("%s: %s", path, e.Stderr)
		}
		t.Fatal(err)
	}
	rows := jsonLines[map[string]any](t, string(out))
	slices.SortFunc(rows, func(a, b map[string]any) int {
		return strings.Compare(fmt.Sprint(a["event_id"]), fmt.Sprint(b["event_id"]))
	})
	return rows
}

// expected is what other programs should see of classifications.
func expected(t *testing.T, cs []record.Classification) []map[string]any {
	t.Helper()
	slices.SortFunc(cs, func(a, b record.Classification) int { return strings.Compare(a.EventID, b.EventID) })
	rows := make([]map[string]any, len(cs))
	for i := range cs {
		row := map[string]any{}
		for _, c := range table.Columns() {
			v := c.Value(&cs[i])
			switch c.Type {
			case table.Time:
				if v != nil {
					v = cs[i].Time.UnixNano()
				}
			case table.Float32:
				if v != nil {
					v = float64(v.(float32))
				}
			case table.JSON:
				list := []map[string]any{}
				for _, k := range cs[i].TopK {
					list = append(list, map[string]any{"class": k.Class, "score": float64(k.Score)})
				}
				v = list
			}
			row[c.Name] = v
		}
		rows[i] = row
	}
	b, err := json.Marshal(rows)
	if err != nil {
		t.Fatal(err)
	}
	return one[[]map[string]any](t, string(b))
}

// TestPyarrowReadsResults: pyarrow, pandas, DuckDB and h5py see the values that were written.
func TestPyarrowReadsResults(t *testing.T) {
	py := python(t, "pyarrow, pandas, duckdb, h5py")
	needHDF5(t)
	for _, f := range []*table.Format{&parquet.Format, &arrow.Format, &hdf5.Format} {
		path := filepath.Join(t.TempDir(), "rows"+f.Extensions[0])
		rows := tabletest.Rows(1000)
		rows[0].Track = math.MaxInt64
		tabletest.Write(t, f, path, rows, 100)
		sameRows(t, f.Name, seen(t, py, path), expected(t, rows))
		tabletest.Write(t, f, path, nil, 1)
		sameRows(t, f.Name, seen(t, py, path), nil)
	}
}

func sameRows(t *testing.T, name string, got, want []map[string]any) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: found %d rows, want %d", name, len(got), len(want))
	}
	for i := range got {
		if !reflect.DeepEqual(got[i], want[i]) {
			t.Fatalf("%s: row %d: found %v, want %v", name, i, got[i], want[i])
		}
	}
}

// TestPyarrowReadsTablesOfRun: run writes tables in several formats at once. After kills, the next run completes each,
// and they hold the same rows. If there is Python, other programs read them too.
func TestPyarrowReadsTablesOfRun(t *testing.T) {
	needHDF5(t)
	w := newWorld(t)
	const n, kills = 600, 2
	archive := w.digits("digits.h5", n, 1)
	args := []string{"run", archive, "--to-topic=false", "--table=false", "--out", "r.jsonl"}
	formats := []*table.Format{&parquet.Format, &arrow.Format, &hdf5.Format}
	for _, f := range formats {
		args = append(args, "--out", "r"+f.Extensions[0]+"?flush-rows=50&publish-every=20ms")
	}
	for k := range kills {
		p := w.start(args...)
		p.until(t, "classifications", func() bool { return p.ended() || lines(w.path("r.jsonl")) > (k+1)*n/(kills+2) })
		p.kill()
	}
	w.do(0, args...)
	// A row that was classified again after a kill may be in one file from the first time and in another from the
	// second, with another latency.
	untimed := func(rows []map[string]any) []map[string]any {
		for _, row := range rows {
			delete(row, "latency_ms")
		}
		return rows
	}
	want := untimed(expected(t, stored(t, w.path("r.jsonl"))))
	if len(want) != n {
		t.Fatalf("found %d rows of JSON, want %d", len(want), n)
	}
	for _, f := range formats {
		rows, err := tabletest.Read(f, w.path("r"+f.Extensions[0]))
		if err != nil {
			t.Fatal(err)
		}
		sameRows(t, f.Name, untimed(expected(t, rows)), want)
	}
	if hidden, err := filepath.Glob(w.path(".r.*")); err != nil || len(hidden) > 0 {
		t.Errorf("found %q (%v), want nothing beside the files", hidden, err)
	}
	t.Run("Pyarrow", func(t *testing.T) {
		py := python(t, "pyarrow, pandas, duckdb, h5py")
		for _, f := range formats {
			sameRows(t, f.Name, untimed(seen(t, py, w.path("r"+f.Extensions[0]))), want)
		}
	})
}
