package app

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/internal/testenv"
	"github.com/voxelstream/voxelstream/nn/zoo"
	"github.com/voxelstream/voxelstream/voxelize"
	"github.com/voxelstream/voxelstream/voxelize/colormap"
)

// TestFiles loads every testdata/*.good.yml, and compares the problems of each *.bad.yml with those in its .want file.
func TestFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/*.yml")
	if err != nil || len(files) == 0 {
		t.Fatal("no files", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			_, err := Load(file, nil, nil)
			if strings.HasSuffix(file, ".good.yml") {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			var bad *ConfigError
			if !errors.As(err, &bad) {
				t.Fatalf("found %v, want a ConfigError", err)
			}
			var got strings.Builder
			for _, p := range bad.Problems {
				got.WriteString(strings.ReplaceAll(p.Error(), file+":", "") + "\n")
			}
			want, err := os.ReadFile(strings.TrimSuffix(file, ".yml") + ".want")
			if err != nil {
				t.Fatal(err)
			}
			if got.String() != string(want) {
				t.Errorf("found:\n%swant:\n%s", got.String(), want)
			}
		})
	}
}

func TestEmptyFileIsDefault(t *testing.T) {
	l, err := Load("", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	a, b := l.Config, Default()
	for _, f := range keys() {
		if f.text(&a) != f.text(&b) {
			t.Errorf("%s: found %s, want %s", f.path, f.text(&a), f.text(&b))
		}
	}
}

func TestPrecedenceAndOrigin(t *testing.T) {
	file := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(file, []byte("kafka:\n  group: from-file\n  brokers: [a:1, b:2]\npipeline:\n  batch: 8\n  linger: 5ms\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	env := []string{"VOXELSTREAM_PIPELINE_BATCH=16", "VOXELSTREAM_PIPELINE_LINGER=7ms", "VOXELSTREAM_KAFKA_PARTITIONS=", "PATH=/bin"}
	l, err := Load(file, env, []Override{{Key: "pipeline.linger", Flag: "linger", Value: "9ms"}})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]struct{ value, origin string }{
		"kafka.group":      {"from-file", file + ":2"},
		"kafka.brokers":    {"a:1,b:2", file + ":3"},
		"pipeline.batch":   {"16", "environment VOXELSTREAM_PIPELINE_BATCH"},
		"pipeline.linger":  {"9ms", "flag --linger"},
		"kafka.partitions": {"4", "default"},
	}
	for _, s := range l.Settings() {
		w, ok := want[s.Key]
		if !ok {
			continue
		}
		f, _ := lookup(s.Key)
		if f.text(&l.Config) != w.value || s.Origin != w.origin {
			t.Errorf("%s: found %s from %s, want %s from %s", s.Key, f.text(&l.Config), s.Origin, w.value, w.origin)
		}
	}
}

// TestAllAtOnce: file, environment and flags are wrong in the same run; each problem is named.
func TestAllAtOnce(t *testing.T) {
	file := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(file, []byte("kafka:\n  grup: x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Load(file, []string{"VOXELSTREAM_PIPELINE_LINGR=1s", "VOXELSTREAM_PIPELINE_BUDGET=many", "VOXELSTREAM_KAFKA=oops"},
		[]Override{{Key: "threads", Flag: "threads", Value: "-1"}, {Key: "pipeline.drain", Flag: "drain", Value: "5"}})
	if err == nil {
		t.Fatal("found no error")
	}
	for _, want := range []string{
		"c.yaml:2: kafka.grup: unknown key (did you mean group?), want one of brokers,",
		"environment VOXELSTREAM_PIPELINE_LINGR: unknown name (did you mean VOXELSTREAM_PIPELINE_LINGER?)",
		`environment VOXELSTREAM_PIPELINE_BUDGET (pipeline.budget): found "many", want a whole number of bytes`,
		"environment VOXELSTREAM_KAFKA: unknown name",
		`--drain (pipeline.drain): found "5", want a duration`,
		"threads: found -1, want 0 or more",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("found %v\nwant it to say %q", err, want)
		}
	}
}

// TestGenerated: config.yaml is what the structs say, and loads to just the defaults.
func TestGenerated(t *testing.T) {
	var b bytes.Buffer
	if err := WriteExample(&b); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(testenv.Root(), "config.yaml")
	have, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(have, b.Bytes()) {
		t.Error("config.yaml differs from the structs: run make generate")
	}
	l, err := Load(file, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	d := Default()
	for _, f := range keys() {
		if f.text(&l.Config) != f.text(&d) {
			t.Errorf("%s: config.yaml gives %s, the structs %s", f.path, f.text(&l.Config), f.text(&d))
		}
	}
}

// TestFields: every key is documented, its default is allowed, and the lists of names are those of the packages that own them.
func TestFields(t *testing.T) {
	d := Default()
	if errs := d.Validate(); len(errs) > 0 {
		t.Error(errs)
	}
	for _, f := range fields {
		if f.doc == "" || !strings.HasSuffix(f.doc, ".") && !strings.HasSuffix(f.doc, "?") {
			t.Errorf("%s: doc %q is no sentence", f.path, f.doc)
		}
		if f.section {
			continue
		}
		if f.typ.Kind().String() != "slice" {
			if err := f.check(f.text(&d)); err != nil {
				t.Errorf("default of %s: %v", f.path, err)
			}
		}
	}
	same := func(key string, want []string) {
		if f, _ := lookup(key); !slices.Equal(f.enum, want) {
			t.Errorf("%s: found %v, want %v", key, f.enum, want)
		}
	}
	var methods, values []string
	for _, m := range voxelize.Methods() {
		methods = append(methods, string(m))
	}
	for _, v := range voxelize.Values() {
		values = append(values, string(v))
	}
	same("voxelize.method", methods)
	same("voxelize.value", values)
	same("voxelize.colormap", colormap.Names())
	same("train.arch", zoo.Names())
}

func TestUnits(t *testing.T) {
	for _, c := range []struct {
		in   string
		want Bytes
		ok   bool
	}{
		{"0B", 0, true},
		{"512MiB", 512 << 20, true},
		{"1 GiB", 1 << 30, true},
		{"3kB", 3000, true},
		{"512", 0, false},
		{"1.5GiB", 0, false},
		{"-1B", 0, false},
		{"9999999TiB", 0, false},
		{"MiB", 0, false},
		{"1mib", 0, false},
	} {
		var b Bytes
		if err := b.UnmarshalText([]byte(c.in)); (err == nil) != c.ok || b != c.want {
			t.Errorf("%q: found %d, %v", c.in, b, err)
		}
	}
	for _, c := range []struct{ in, out string }{{"200ms", "200ms"}, {"24h", "24h"}, {"90s", "1m30s"}, {"10m", "10m"}, {"0s", "0s"}, {"5", ""}, {"-1s", ""}, {"1d", ""}} {
		var d Duration
		if err := d.UnmarshalText([]byte(c.in)); (err == nil) != (c.out != "") || err == nil && d.String() != c.out {
			t.Errorf("%q: found %v, %v", c.in, d, err)
		}
	}
	for _, c := range []struct{ in, out string }{{"16", "16"}, {"16x24x32", "16x24x32"}, {"8x8x8", "8"}, {"0", ""}, {"16x16", ""}, {"a", ""}, {"5000", ""}} {
		var d Dims
		if err := d.UnmarshalText([]byte(c.in)); (err == nil) != (c.out != "") || err == nil && d.String() != c.out {
			t.Errorf("%q: found %v, %v", c.in, d, err)
		}
	}
}
