//go:build unix

package integration

import (
	"errors"
	"io"
	"net/url"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/internal/store"
	"github.com/voxelstream/voxelstream/internal/store/storetest"
	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/sinks/all"
)

// objects is a world with an archive of digits and an object store.
type objects struct {
	*world
	server, archive string
}

func newObjects(t *testing.T, count int) *objects {
	t.Helper()
	needHDF5(t)
	o := &objects{world: newWorld(t), server: storetest.S3(t)}
	o.env = append(o.env, "AWS_ACCESS_KEY_ID=key", "AWS_SECRET_ACCESS_KEY=secret", "AWS_ENDPOINT_URL="+o.server)
	o.archive = o.digits("digits.h5", count, 1)
	return o
}

// stored reads the objects in a folder, in their order.
func (o *objects) stored(folder string) (cs []record.Classification, names []string) {
	o.t.Helper()
	s, err := store.Open(o.t.Context(), "s3://"+storetest.Bucket+"/"+folder+"?access-key=k&secret-key=s&endpoint="+
		url.QueryEscape(o.server))
	if err != nil {
		o.t.Fatal(err)
	}
	defer s.Close() //nolint:errcheck // read only
	files, err := s.List(o.t.Context(), "")
	if err != nil {
		o.t.Fatal(err)
	}
	for _, f := range files {
		names = append(names, f.Name)
		err := s.Get(o.t.Context(), f.Name, func(file string) error { return readTableOf(file, &cs) })
		if err != nil {
			o.t.Fatal(err)
		}
	}
	return cs, names
}

// readTableOf appends the rows of a file to cs.
func readTableOf(file string, cs *[]record.Classification) (err error) {
	for _, f := range all.Formats {
		if !slices.Contains(f.Extensions, path.Ext(file)) {
			continue
		}
		r, err := f.Open(file)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, r.Close()) }()
		for {
			rows := make([]record.Classification, 100)
			n, err := r.Read(rows)
			*cs = append(*cs, rows[:n]...)
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
		}
	}
	return errors.New("no format of " + file)
}

// TestObjectStore: a process that is killed while it stores classifications in an object store goes on where it was,
// and a run over what is stored adds nothing.
func TestObjectStore(t *testing.T) {
	const count, folder = 300, "a/results.csv"
	o := newObjects(t, count)
	o.set("pipeline.batch", 10)
	run := []string{
		"run", o.archive, "--to-topic=false", "--table=false", "--out",
		"s3://" + storetest.Bucket + "/" + folder + "?flush-rows=20",
	}
	p := o.start(run...)
	p.throttle()
	p.until(t, "the first object", func() bool {
		_, names := o.stored(folder)
		return len(names) > 0
	})
	p.kill()
	_, before := o.stored(folder)
	if len(before) > count/20-2 {
		t.Fatalf("found %d objects, want less than all: the test needs more volumes", len(before))
	}
	o.do(0, run...)
	cs, names := o.stored(folder)
	if found := ids(t, "after a kill", cs); len(found) != count {
		t.Errorf("found %d classifications, want %d", len(found), count)
	}
	if len(names) <= len(before) || !slices.Equal(names[:len(before)], before) {
		t.Errorf("found the objects %q, want more than %q after them", names, before)
	}
	o.do(0, run...)
	if _, again := o.stored(folder); !slices.Equal(again, names) {
		t.Errorf("another run made %q of %q", again, names)
	}
	p = o.do(1, "run", o.archive, "--out", "s3://missing/x.csv")
	p.says(t, "create the bucket missing")
}

// readObjects prints how many rows pyarrow finds in a folder of an object store, and the sum of their positions.
const readObjects = `
import sys
import pyarrow.dataset, pyarrow.compute
from pyarrow import fs

server, folder, format = sys.argv[1:]
s3 = fs.S3FileSystem(access_key="k", secret_key="s", endpoint_override=server, scheme="http", region="us-east-1")
table = pyarrow.dataset.dataset(folder, filesystem=s3, format=format).to_table()
table.validate(full=True)
print(table.num_rows, pyarrow.compute.sum(table["seq"]), len(table["event_id"].unique()))
`

// TestPyarrowReadsObjects: pyarrow reads a folder of objects as one table, in each format that it has.
func TestPyarrowReadsObjects(t *testing.T) {
	py := python(t, "pyarrow.dataset")
	o := newObjects(t, 100)
	for _, f := range all.Formats {
		if !slices.Contains([]string{"csv", "arrow", "parquet"}, f.Name) {
			continue
		}
		folder := storetest.Bucket + "/results" + f.Extensions[0]
		o.do(0, "run", o.archive, "--to-topic=false", "--table=false", "--out", "s3://"+folder+"?flush-rows=30")
		out, err := exec.Command(py, "-c", readObjects, strings.TrimPrefix(o.server, "http://"), folder, f.Name).
			CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", f.Name, err, out)
		}
		if found := strings.TrimSpace(string(out)); found != "100 4950 100" {
			t.Errorf("%s: pyarrow found %s, want 100 rows, the sum 4950 and 100 IDs", f.Name, found)
		}
	}
}
