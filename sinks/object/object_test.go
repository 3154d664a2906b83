package object

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/voxelstream/voxelstream/internal/store"
	"github.com/voxelstream/voxelstream/internal/store/storetest"
	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/sinks"
	"github.com/voxelstream/voxelstream/sinks/arrow"
	"github.com/voxelstream/voxelstream/sinks/sinktest"
	"github.com/voxelstream/voxelstream/sinks/table"
)

// lines is a format that has options and cannot hold all classifications: JSON lines.
var lines = table.Format{
	Name: "lines", Doc: "Lines.", Extensions: []string{".lines", ".ln"},
	Options: func() any { return &lineOptions{End: "\n"} },
	Create: func(path string, options any) (table.Writer, error) {
		f, err := os.Create(path)
		return &lineWriter{f, options.(*lineOptions).End}, err
	},
	Open: func(path string) (table.Reader, error) {
		f, err := os.Open(path)
		return &lineReader{f, bufio.NewScanner(f)}, err
	},
}

type lineOptions struct {
	End string `yaml:"end" doc:"What ends a line."`
}

type lineWriter struct {
	*os.File
	end string
}

func (w *lineWriter) Write(cs []record.Classification) error {
	failed := map[int]error{}
	for i := range cs {
		b, err := json.Marshal(&cs[i])
		if err != nil {
			failed[i] = pipeline.Permanent(err)
			continue
		}
		if _, err := w.File.Write(append(b, w.end...)); err != nil {
			return err
		}
	}
	return pipeline.Partial(failed)
}

type lineReader struct {
	*os.File
	scanner *bufio.Scanner
}

func (r *lineReader) Read(dst []record.Classification) (int, error) {
	if !r.scanner.Scan() {
		return 0, io.EOF
	}
	return 1, json.Unmarshal(r.scanner.Bytes(), &dst[0])
}

var testKind = Kind([]*table.Format{&arrow.Format, &lines})

// open opens the sink of a text, as the program does.
func open(ctx context.Context, text string, services sinks.Services) (sinks.Sink, error) {
	return sinktest.TryOpen[sinks.Sink](ctx, testKind, text, services)
}

// at returns the text of a path in the bucket of a server.
func at(server, path string) string {
	return "s3://" + storetest.Bucket + "/" + path + "?access-key=k&secret-key=s&memory-keys=1000&endpoint=" +
		url.QueryEscape(server)
}

func harness(text string) sinktest.Harness {
	return sinktest.Harness{
		Kind: testKind,
		Open: func(t *testing.T) sinks.Sink {
			t.Helper()
			s, err := open(t.Context(), text, sinks.Services{})
			if err != nil {
				t.Fatal(err)
			}
			return s
		},
		Stored: func(t *testing.T) []string { return stored(t, text) },
	}
}

// stored reads all objects of a place.
func stored(t *testing.T, text string) (ids []string) {
	t.Helper()
	for _, c := range contents(t, text) {
		ids = append(ids, c.EventID)
	}
	return ids
}

func contents(t *testing.T, text string) (all []record.Classification) {
	t.Helper()
	o, problems := sinks.Parse([]*sinks.Kind{testKind}, text, sinks.Defaults{})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	f, _, err := kind{[]*table.Format{&arrow.Format, &lines}}.format(o.Target)
	if err != nil {
		t.Fatal(err)
	}
	text, _, _ = strings.Cut(text, "&memory-keys")
	s, err := store.Open(t.Context(), text+"&endpoint="+url.QueryEscape(endpointOf(t, o.Target.Query)))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close() //nolint:errcheck // read only
	files, err := s.List(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		err := s.Get(t.Context(), file.Name, func(path string) (err error) {
			r, err := f.Open(path)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, r.Close()) }()
			rows := make([]record.Classification, 100)
			for {
				n, err := r.Read(rows)
				all = append(all, rows[:n]...)
				clear(rows)
				if errors.Is(err, io.EOF) {
					return nil
				}
				if err != nil {
					return err
				}
			}
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all
}

func endpointOf(t *testing.T, query string) string {
	t.Helper()
	values, err := url.ParseQuery(query)
	if err != nil {
		t.Fatal(err)
	}
	return values.Get("endpoint")
}

func TestSuite(t *testing.T) {
	server := storetest.S3(t)
	for _, path := range []string{"results.arrow", "results.lines"} {
		t.Run(path, func(t *testing.T) {
			n := 0
			sinktest.Run(t, func(*testing.T) sinktest.Harness {
				n++
				return harness(at(server, fmt.Sprintf("%d/%s", n, path)))
			})
		})
	}
}

func TestKilled(t *testing.T) {
	sinktest.Kill(t, func(t *testing.T) string { return at(storetest.S3(t), "results.arrow") },
		func(_ *testing.T, place string) sinktest.Harness { return harness(place) })
}

func batch(from, to int) []record.Classification { return sinktest.Batch("s-0", from, to) }

func flush(t *testing.T, s sinks.Sink, cs []record.Classification) {
	t.Helper()
	if err := errors.Join(s.Write(t.Context(), cs), s.(pipeline.Flusher).Flush(t.Context())); err != nil {
		t.Fatal(err)
	}
}

func closed(t *testing.T, s sinks.Sink) {
	t.Helper()
	if err := s.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

func wantIDs(t *testing.T, found []string, n int) {
	t.Helper()
	slices.Sort(found)
	var want []string
	for i := range n {
		want = append(want, fmt.Sprintf("s-0/%d", i))
	}
	slices.Sort(want)
	if !slices.Equal(found, want) {
		t.Errorf("found %q, want %q", found, want)
	}
}

// TestLostAnswer: the object of a flush whose answer got lost is not stored again, even if more comes before the next
// attempt.
func TestLostAnswer(t *testing.T) {
	origin := storetest.S3(t)
	u, err := url.Parse(origin)
	if err != nil {
		t.Fatal(err)
	}
	var losing atomic.Bool
	p := httputil.NewSingleHostReverseProxy(u)
	p.ModifyResponse = func(r *http.Response) error {
		if losing.Load() && r.Request.Method == http.MethodPut {
			r.StatusCode = http.StatusForbidden // not repeated by the client
		}
		return nil
	}
	server := httptest.NewServer(p)
	t.Cleanup(server.Close)
	text := at(server.URL, "results.arrow")
	s, err := open(t.Context(), text, sinks.Services{})
	if err != nil {
		t.Fatal(err)
	}
	losing.Store(true)
	err = errors.Join(s.Write(t.Context(), batch(0, 3)), s.(pipeline.Flusher).Flush(t.Context()))
	if err == nil {
		t.Fatal("found no error of the first flush")
	}
	wantIDs(t, stored(t, text), 3)
	if err := s.Write(t.Context(), batch(2, 5)); err != nil {
		t.Fatal(err)
	}
	if err := s.(pipeline.Flusher).Flush(t.Context()); err == nil {
		t.Fatal("found no error of the second flush")
	}
	losing.Store(false)
	flush(t, s, batch(4, 7))
	closed(t, s)
	wantIDs(t, stored(t, text), 7)
}

// TestTwoWriters: two processes with the same number of objects do not replace each other's.
func TestTwoWriters(t *testing.T) {
	text := at(storetest.S3(t), "results.lines")
	var writers []sinks.Sink
	for range 2 {
		s, err := open(t.Context(), text, sinks.Services{})
		if err != nil {
			t.Fatal(err)
		}
		defer closed(t, s)
		writers = append(writers, s)
	}
	for i := range 6 {
		flush(t, writers[i%2], batch(i, i+1))
	}
	wantIDs(t, stored(t, text), 6)
}

// TestWindow: of four objects, a window of two knows the latest two.
func TestWindow(t *testing.T) {
	text := at(storetest.S3(t), "results.lines") + "&window=2"
	for i := range 4 {
		s, err := open(t.Context(), text, sinks.Services{})
		if err != nil {
			t.Fatal(err)
		}
		flush(t, s, batch(i, i+1))
		closed(t, s)
	}
	var repeated []string
	services := sinks.Services{Repeated: func(id record.ID) { repeated = append(repeated, id.String()) }}
	s, err := open(t.Context(), text, services)
	if err != nil {
		t.Fatal(err)
	}
	defer closed(t, s)
	flush(t, s, batch(0, 4))
	if !slices.Equal(repeated, []string{"s-0/2", "s-0/3"}) {
		t.Errorf("found %q repeated, want those of the last two objects", repeated)
	}
	if found := stored(t, text); len(found) != 6 {
		t.Errorf("found %q, want the first two again", found)
	}
}

// TestContents: everything a classification has is stored and read, in each format, with the options of the format.
func TestContents(t *testing.T) {
	server := storetest.S3(t)
	want := batch(0, 10)
	for _, text := range []string{
		at(server, "a.arrow"), at(server, "b.lines"), at(server, "c") + "&format=lines&end=%0A", at(server, "d.ln"),
	} {
		s, err := open(t.Context(), text, sinks.Services{})
		if err != nil {
			t.Fatal(err)
		}
		flush(t, s, want)
		closed(t, s)
		found := contents(t, text)
		if len(found) != len(want) {
			t.Fatalf("found %d classifications, want %d", len(found), len(want))
		}
		for i := range want {
			a, b := mustJSON(t, &found[i]), mustJSON(t, &want[i])
			if a != b {
				t.Errorf("%s: found %s, want %s", text, a, b)
			}
		}
	}
}

func mustJSON(t *testing.T, c *record.Classification) string {
	t.Helper()
	b, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestRefused(t *testing.T) {
	server := storetest.S3(t)
	for text, want := range map[string]string{
		at(server, "results"):                                                        "name the format",
		at(server, "results.parquet"):                                                ".arrow",
		at(server, "results") + "&format=lins":                                       "did you mean lines?",
		at(server, "results.arrow") + "&end=x":                                       "end",
		"s3:bucket/results.arrow":                                                    "want s3://BUCKET/PATH",
		"s3://bucket/results.arrow?secret-key=hush&x=hush2":                          `found the option "x"`,
		strings.Replace(at(server, "results.arrow"), storetest.Bucket, "missing", 1): "create the bucket",
	} {
		_, err := open(t.Context(), text, sinks.Services{})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: found %v, want %q", text, err, want)
		}
		if err != nil && (strings.Contains(err.Error(), "hush") || strings.Contains(err.Error(), "key=s&")) {
			t.Errorf("found a secret in %v", err)
		}
	}
	// Objects of another format, and ones that are damaged.
	s, err := open(t.Context(), at(server, "mixed")+"&format=lines", sinks.Services{})
	if err != nil {
		t.Fatal(err)
	}
	flush(t, s, batch(0, 1))
	closed(t, s)
	if _, err := open(t.Context(), at(server, "mixed")+"&format=arrow", sinks.Services{}); err == nil ||
		!strings.Contains(err.Error(), "choose another path") {
		t.Errorf("found %v, want that another path is chosen", err)
	}
	storetest.SetObject(t, server, "damaged.arrow/part-00000000-0123456789abcdef.arrow", "no table", "")
	if _, err := open(t.Context(), at(server, "damaged.arrow"), sinks.Services{}); err == nil ||
		!strings.Contains(err.Error(), "cannot read what was stored before") {
		t.Errorf("found %v, want an error about what was stored before", err)
	}
	// What is not ours does no harm.
	storetest.SetObject(t, server, "others.arrow/readme.txt", "text", "")
	storetest.SetObject(t, server, "others.arrow/part-1.arrow", "text", "")
	s, err = open(t.Context(), at(server, "others.arrow"), sinks.Services{})
	if err != nil {
		t.Fatal(err)
	}
	closed(t, s)
}
