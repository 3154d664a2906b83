package sinks_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/sinks"
)

// fake is a sink that remembers how it was opened.
type fake struct {
	target  sinks.Target
	options any
	closed  *int
}

func (*fake) Write(context.Context, []record.Classification) error { return nil }
func (f *fake) Close(context.Context) error                        { *f.closed++; return nil }

// table flushes, too.
type table struct{ fake }

func (*table) Flush(context.Context) error { return nil }

type databaseOptions struct {
	Table    string `yaml:"table"`
	Password string `yaml:"password" secret:"true"`
}

func (o *databaseOptions) Validate() error {
	if o.Table == "" {
		return errors.New("table: found nothing, want a name")
	}
	return nil
}

// formatOptions are those of a format that the target chooses.
type formatOptions struct {
	Format string `yaml:"format"`
	Level  int    `yaml:"level" min:"1"`
}

// kinds are two formats of files, of which one ends in the other's extension, and two stores that are none.
func kinds(closed *int) []*sinks.Kind {
	open := func(_ context.Context, t sinks.Target, options any, _ sinks.Services) (sinks.Sink, error) {
		if strings.Contains(t.Path, "broken") {
			return nil, errors.New("it is broken")
		}
		return &fake{t, options, closed}, nil
	}
	return []*sinks.Kind{
		{Name: "gz", Extensions: []string{".gz"}, Guarantee: sinks.AtLeastOnce, Open: open},
		{
			Name: "lines", Extensions: []string{".lines", ".lines.gz"}, Guarantee: sinks.ExactlyOnce, Path: "FILE",
			Flush: &sinks.Flush{Rows: 100, Bytes: 1 << 20},
			Open: func(_ context.Context, t sinks.Target, options any, _ sinks.Services) (sinks.Sink, error) {
				return &table{fake{t, options, closed}}, nil
			},
		},
		{
			Name: "database", Schemes: []string{"db"}, Guarantee: sinks.ExactlyOnce,
			Options: func(sinks.Target) any { return &databaseOptions{} },
			Resolve: func(t *sinks.Target, _ sinks.Defaults) (string, error) { return "database:" + t.Path, nil }, Open: open,
		},
		{
			Name: "store", Guarantee: sinks.BestEffort, Open: open,
			Options: func(t sinks.Target) any {
				if strings.Contains(t.Query, "format=packed") {
					return &formatOptions{Level: 3}
				}
				return nil
			},
			Resolve: func(t *sinks.Target, d sinks.Defaults) (string, error) {
				t.Path = strings.TrimPrefix(t.Path, "//")
				if t.Path == "" {
					t.Path = d.Topic
				}
				return "store:" + t.Path, nil
			},
		},
		{
			Name: "wrong", Open: open, Flush: &sinks.Flush{Rows: 1, Bytes: 1, Every: 1},
			Resolve: func(*sinks.Target, sinks.Defaults) (string, error) { return "wrong", nil },
		},
	}
}

func TestParse(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	if err := os.Symlink(dir, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]struct{ kind, path, place, shown string }{
		"a.lines":          {"lines", "a.lines", "file:" + real + "/a.lines", "a.lines"},
		"A.LINES.GZ":       {"lines", "A.LINES.GZ", "file:" + real + "/A.LINES.GZ", "A.LINES.GZ"},
		"a.txt.gz?queue=3": {"gz", "a.txt.gz", "file:" + real + "/a.txt.gz", "a.txt.gz?queue=3"},
		"x/../a.lines?flush-rows=3": {
			"lines", "x/../a.lines", "file:" + real + "/a.lines",
			"x/../a.lines?flush-rows=3",
		},
		"link/new/a.lines": {
			"lines", "link/new/a.lines", "file:" + real + "/new/a.lines",
			"link/new/a.lines",
		},
		"lines:a%20b.out": {"lines", "a%20b.out", "file:" + real + "/a%20b.out", "lines:a%20b.out"},
		"file:a.lines":    {"lines", "a.lines", "file:" + real + "/a.lines", "file:a.lines"},
		"FILE:///no/a%3Fb%20c.lines": {
			"lines", "/no/a?b c.lines", "file:/no/a?b c.lines",
			"file:///no/a%3Fb%20c.lines",
		},
		"lines://localhost/no/x": {"lines", "/no/x", "file:/no/x", "lines://localhost/no/x"},
		"./db:x.lines":           {"lines", "./db:x.lines", "file:" + real + "/db:x.lines", "./db:x.lines"},
		`C:\a.lines`:             {"lines", `C:\a.lines`, "file:" + real + `/C:\a.lines`, `C:\a.lines`},
		"db://u:hush@h/d?table=x&password=hush": {
			"database", "//u:hush@h/d", "database://u:hush@h/d",
			"db://u:***@h/d?table=x&password=***",
		},
		"db://u:hu/sh:@@h/d?table=x": {
			"database", "//u:hu/sh:@@h/d", "database://u:hu/sh:@@h/d",
			"db://u:***@h/d?table=x",
		},
		"db://u@x:hush@h/d?table=x": {
			"database", "//u@x:hush@h/d", "database://u@x:hush@h/d",
			"db://u@x:***@h/d?table=x",
		},
		"database:?table=x&password-file=/none": {"database", "", "database:", "database:?table=x&password-file=/none"},
		"store:":                                {"store", "topic", "store:topic", "store:topic"},
		"store://b/c?format=packed&level=2":     {"store", "b/c", "store:b/c", "store:b/c?format=packed&level=2"},
	} {
		o, problems := sinks.Parse(kinds(nil), text, sinks.Defaults{Topic: "topic"})
		if len(problems) > 0 {
			t.Errorf("%s: %v", text, problems)
			continue
		}
		if o.Kind.Name != want.kind || o.Target.Path != want.path || o.Place != want.place || o.Target.Text != want.shown {
			t.Errorf("%s: found %s, path %s, place %s, shown as %s; want %+v", text, o.Kind.Name, o.Target.Path,
				o.Place, o.Target.Text, want)
		}
		if file := o.File(); (file != "") != strings.HasPrefix(o.Place, "file:") {
			t.Errorf("%s: found the file %q", text, file)
		}
	}
}

func TestParseProblems(t *testing.T) {
	for text, want := range map[string][]string{
		"": {"found nothing"},
		"a.lin": {`a.lin: found the file name extension ".lin" (did you mean .lines?), want .gz, .lines, .lines.gz; ` +
			`or name the format: gz:FILE, lines:FILE`},
		"/dev/null": {`"/dev/null" without a file name extension`},
		"dbb:x?secret=hush": {`dbb:x?secret=***: found the scheme "dbb" (did you mean db?), want database, ` +
			`db, file, gz, lines, store, wrong; for a file of that name write ./dbb:x`},
		"-":                  {"no sink writes to standard output"},
		"lines:":             {"found no file name"},
		"lines:-":            {"use - alone for standard output"},
		"lines:a/":           {"found the directory a/, want a file"},
		"lines://a/b":        {`found the host "a", want none: lines:PATH or lines:///PATH`},
		"file:///a%zz.lines": {`invalid URL escape "%zz"`},
		"lines:a\x00b":       {"zero byte"},
		"a.lines?queue=0&polcy=x": {
			"queue: found 0, want 1 to 65536",
			`found the option "polcy" (did you mean policy?), want policy, queue, attempts, flush-rows, flush-bytes, flush-every`,
		},
		"a.gz?flush-rows=1":             {`found the option "flush-rows"`},
		"a.lines?policy=maybe":          {`policy: found "maybe", want one of required, best-effort`},
		"a.lines?flush-every=0s":        {"flush-every: found 0s, want more than 0s"},
		"db:x?password=hush":            {"db:x?password=***: table: found nothing, want a name"},
		"db:x?table=a&table=b":          {"table: found 2 times"},
		"store:x?level=3":               {`found the option "level"`},
		"store:x?format=packed&level=0": {"level: found 0, want 1 or more"},
	} {
		o, problems := sinks.Parse(kinds(nil), text, sinks.Defaults{Topic: "topic"})
		if o != nil || len(problems) != len(want) {
			t.Errorf("%s: found %v, want %d problems", text, problems, len(want))
			continue
		}
		all := errors.Join(problems...).Error()
		for _, w := range want {
			if !strings.Contains(all, w) {
				t.Errorf("%s: found %s, want %q", text, all, w)
			}
		}
		if strings.Contains(all, "hush") {
			t.Errorf("%s shows a secret", all)
		}
	}
}

// TestParseList: two sinks of one place are an error, and the other problems are reported all the same.
func TestParseList(t *testing.T) {
	t.Chdir(t.TempDir())
	outputs, problems := sinks.ParseList(kinds(nil),
		[]string{"a.lines", "lines:./x/../a.lines", "b.nothing", "store:", "store:topic"}, sinks.Defaults{Topic: "topic"})
	for i, bad := range []bool{false, true, true, false, true} {
		if (outputs[i] == nil) != bad || (len(problems[i]) > 0) != bad {
			t.Errorf("%d: found %v, %v", i, outputs[i], problems[i])
		}
	}
	if !strings.Contains(problems[1][0].Error(), "found the same sink as a.lines") {
		t.Error(problems[1])
	}
}

// TestOpen: what the options say is what the sink and the pipeline get. A secret is read when the sink is opened.
func TestOpen(t *testing.T) {
	closed := 0
	file := filepath.Join(t.TempDir(), "password")
	open := func(text string) (pipeline.Output[record.Classification], error) {
		t.Helper()
		o, problems := sinks.Parse(kinds(&closed), text, sinks.Defaults{})
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		return o.Open(t.Context(), sinks.Services{})
	}
	secret := "db:x?table=t&attempts=0&password-file=" + file
	if _, err := open(secret); err == nil || !strings.Contains(err.Error(), "sink "+secret+": password-file: open ") {
		t.Errorf("found %v", err)
	}
	if err := os.WriteFile(file, []byte("hush\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := open(secret)
	if err != nil {
		t.Fatal(err)
	}
	if o := out.Sink.(*fake).options.(*databaseOptions); o.Table != "t" || o.Password != "hush" {
		t.Errorf("found %+v", o)
	}
	if out.Name != secret || out.Policy != pipeline.Required || out.Queue != 16 || out.Retry == nil ||
		out.Retry.Attempts != 0 || out.Flush.Rows != 0 {
		t.Errorf("found %+v", out)
	}
	out, err = open("a.lines?policy=best-effort&queue=3&flush-rows=7&flush-every=2s")
	if err != nil {
		t.Fatal(err)
	}
	if out.Policy != pipeline.BestEffort || out.Queue != 3 || out.Retry != nil || out.Flush.Rows != 7 ||
		out.Flush.Bytes != 1<<20 || out.Flush.Every != 2*time.Second {
		t.Errorf("found %+v", out)
	}
	if out, err = open("a.lines"); err != nil || out.Flush.Rows != 100 || out.Flush.Every != 10*time.Second {
		t.Errorf("found %+v, %v", out, err)
	}
	c := record.Classification{EventID: "s/1"}
	if out.Flush.Size(&c) < 100 {
		t.Error("a classification has no size")
	}
	if out, err = open("store:x"); err != nil || out.Policy != pipeline.BestEffort {
		t.Errorf("found %+v, %v: a kind that promises no more is best-effort by default", out, err)
	}
	if _, err := open("wrong:"); err == nil || closed != 1 {
		t.Errorf("a kind that is declared wrongly was opened (%v), or not closed again", err)
	}
}

// TestOpenAll: when one cannot be opened, those that could are closed.
func TestOpenAll(t *testing.T) {
	closed := 0
	outputs, problems := sinks.ParseList(kinds(&closed),
		[]string{"store:a", "db:broken?table=x", "store:broken", "store:b"}, sinks.Defaults{})
	for _, p := range problems {
		if len(p) > 0 {
			t.Fatal(p)
		}
	}
	_, err := sinks.OpenAll(t.Context(), outputs, sinks.Services{})
	if err == nil || closed != 2 || !strings.Contains(err.Error(), "sink db:broken?table=x: it is broken") ||
		!strings.Contains(err.Error(), "sink store:broken: it is broken") {
		t.Errorf("found %v, %d closed", err, closed)
	}
	open, err := sinks.OpenAll(t.Context(), outputs[:1], sinks.Services{})
	if err != nil || len(open) != 1 {
		t.Fatal(open, err)
	}
	if err := sinks.Close(t.Context(), open); err != nil || closed != 3 {
		t.Error(err, closed)
	}
}

// TestReference: a kind's declaration is its documentation.
func TestReference(t *testing.T) {
	var b bytes.Buffer
	if err := sinks.WriteReference(&b, kinds(nil)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| [lines](#lines) | `FILE.lines`, `FILE.lines.gz`, `lines:FILE` | exactly once |",
		"| `flush-rows` | `100` | ", "| `password` |  | ", "| `attempts` |  | ",
		"| `policy` | `required` | ",
		"## lines\nSyntax: `FILE.lines`, `FILE.lines.gz`, `lines:FILE`. Guarantee: exactly once.\n\n",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("found %s\nwant %q in it", &b, want)
		}
	}
	if got, want := sinks.Help(kinds(nil)), "Files by extension (.gz, .lines, .lines.gz) or URLs (gz:, lines:FILE, "+
		"database:, store:, wrong:)."; got != want {
		t.Errorf("found %s", got)
	}
}

// FuzzParse: no text panics, and what is shown of one that holds a password never shows it.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"a.lines", "db://u:hunter2@h/d?table=x&password=hunter2", "file:///%41.lines", "-",
		"?", "store:?format=packed", ":", "lines:?%zz=1",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		o, problems := sinks.Parse(kinds(nil), text, sinks.Defaults{Topic: "t"})
		if (o == nil) != (len(problems) > 0) {
			t.Fatalf("found %v, %v", o, problems)
		}
		sinks.Mask(kinds(nil), text)
	})
}

// TestOpenTransient: a sink that cannot be opened for a moment is tried again, and one that is broken is not.
func TestOpenTransient(t *testing.T) {
	for _, c := range []struct {
		errs  []error
		calls int
		ok    bool
	}{
		{[]error{syscall.EMFILE, syscall.EIO, nil}, 3, true},
		{[]error{syscall.EIO, syscall.EIO, syscall.EIO, syscall.EIO, nil}, 4, false},
		{[]error{syscall.EACCES, nil}, 1, false},
		{[]error{errors.New("broken"), nil}, 1, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			calls, closed := 0, 0
			kind := &sinks.Kind{Open: func(context.Context, sinks.Target, any, sinks.Services) (sinks.Sink, error) {
				calls++
				return &fake{closed: &closed}, c.errs[calls-1]
			}}
			_, err := (&sinks.Output{Kind: kind}).Open(t.Context(), sinks.Services{})
			if calls != c.calls || (err == nil) != c.ok {
				t.Errorf("%v: found %d calls, %v, want %d", c.errs, calls, err, c.calls)
			}
		})
	}
}
