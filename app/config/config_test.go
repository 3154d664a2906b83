package config

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/internal/option"
	"github.com/voxelstream/voxelstream/internal/testenv"
)

var update = flag.Bool("update", false, "update the .want files with the problems found")

// TestFiles loads every testdata/*.good.yml, and compares the problems of every *.bad.yml with its .want file.
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
			var bad *Error
			if !errors.As(err, &bad) {
				t.Fatalf("found error %v, want an *Error", err)
			}
			var got strings.Builder
			for _, p := range bad.Problems {
				got.WriteString(strings.ReplaceAll(p.Error(), file+":", "") + "\n")
			}
			wanted := strings.TrimSuffix(file, ".yml") + ".want"
			if *update {
				if err := os.WriteFile(wanted, []byte(got.String()), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(wanted)
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
	same(t, &a, &b)
}

func TestPrecedenceAndOrigin(t *testing.T) {
	file := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(file, []byte("kafka:\n  group: from-file\n  brokers: [a:1, b:2]\npipeline:\n  batch: 8\n  "+
		"linger: 5ms\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	env := []string{
		"VOXELSTREAM_PIPELINE_BATCH=16", "VOXELSTREAM_PIPELINE_LINGER=7ms", "VOXELSTREAM_KAFKA_PARTITIONS=",
		"PATH=/bin",
	}
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
		if s.Text != w.value || s.Origin != w.origin {
			t.Errorf("%s: found %s from %s, want %s from %s", s.Key, s.Text, s.Origin, w.value, w.origin)
		}
	}
}

// TestUnusedMethodOptions: a flag for an option that the voxelization method does not have is refused.
func TestUnusedMethodOptions(t *testing.T) {
	for _, tt := range []struct {
		method, key, value string
		used               bool
	}{
		{"mnist3d", "channels", "count", false},
		{"channels", "channels", "count", true},
		{"channels", "attributes", "height", false},
		{"channels", "empty", "1", true},
		{"mean", "empty", "1", true},
		{"voxnet", "sensor_position", "0,0,1", true},
		{"regular", "sensor_position", "0,0,1", false},
		{"regular", "edge", "0.1", true},
	} {
		_, err := Load("", nil, []Override{
			{Key: "voxelize.method", Flag: "method", Value: tt.method},
			{Key: "voxelize." + tt.key, Flag: tt.key, Value: tt.value},
		})
		if got := err == nil; got != tt.used {
			t.Errorf("--method %s --%s: found error %v, want none: %v", tt.method, tt.key, err, tt.used)
		}
	}
	channels := Override{Key: "voxelize.channels", Flag: "channels", Value: "count"}
	if _, err := Load("", nil, []Override{channels}); err == nil {
		t.Error("found no error, want that the default method has no channels")
	}
	model := Override{Key: "model.path", Flag: "model", Value: "m.keras"}
	if _, err := Load("", nil, []Override{model, channels}); err != nil {
		t.Errorf("found error %v, want none: the model may state a method with channels", err)
	}
}

// TestInputFlags: a flag that also sets keys of other sections has an effect, whatever the format of the input.
func TestInputFlags(t *testing.T) {
	l, err := Load("", nil, []Override{
		{Key: "ingest.data", Flag: "data", Value: "X"},
		{Key: "ingest.row_grid", Flag: "grid", Value: "8"},
		{Key: "voxelize.grid", Flag: "grid", Value: "8"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := l.Ingest.Given, map[string]string{"data": "data"}; !maps.Equal(got, want) {
		t.Errorf("found %v, want %v", got, want)
	}
}

// TestOneCandidate checks that a shadow and a canary exclude each other.
func TestOneCandidate(t *testing.T) {
	_, err := Load("", []string{"VOXELSTREAM_MODEL_SHADOW=a.keras", "VOXELSTREAM_MODEL_CANARY=b.keras"}, nil)
	if err == nil || !strings.Contains(err.Error(), "model.canary: found b.keras, want either") {
		t.Errorf("found %v", err)
	}
}

// TestSecrets checks that a secret from the environment is used and never shown.
func TestSecrets(t *testing.T) {
	l, err := Load("", []string{
		"VOXELSTREAM_KAFKA_SASL_MECHANISM=plain", "VOXELSTREAM_KAFKA_SASL_USER=u",
		"VOXELSTREAM_KAFKA_SASL_PASSWORD=s3cret",
	}, nil)
	if err != nil || l.Kafka.SASL.Password != "s3cret" {
		t.Fatalf("found %v", err)
	}
	for _, s := range l.Settings() {
		if strings.Contains(fmt.Sprint(s.Value, s.Text), "s3cret") {
			t.Errorf("%s reveals the secret: %v", s.Key, s)
		}
		if s.Key == "kafka.sasl.password" &&
			(s.Text == "" || s.Origin != "environment VOXELSTREAM_KAFKA_SASL_PASSWORD") {
			t.Errorf("found %+v", s)
		}
	}
	_, err = Load("testdata/types.bad.yml", nil, nil)
	if err == nil || strings.Contains(err.Error(), "12345") || !strings.Contains(err.Error(), "kafka.sasl.password") {
		t.Errorf("found %v", err)
	}
}

// TestAllAtOnce checks that problems in the file, the environment and the flags are reported together.
func TestAllAtOnce(t *testing.T) {
	file := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(file, []byte("kafka:\n  grup: x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Load(file, []string{
		"VOXELSTREAM_PIPELINE_LINGR=1s", "VOXELSTREAM_PIPELINE_BUDGET=many",
		"VOXELSTREAM_KAFKA=oops",
	},
		[]Override{{Key: "threads", Flag: "threads", Value: "-1"}, {Key: "pipeline.drain", Flag: "drain", Value: "5"}})
	if err == nil {
		t.Fatal("want an error")
	}
	for _, want := range []string{
		"c.yaml:2: kafka.grup: unknown key (did you mean group?), want one of brokers,",
		"environment VOXELSTREAM_PIPELINE_LINGR: unknown variable (did you mean VOXELSTREAM_PIPELINE_LINGER?)",
		`environment VOXELSTREAM_PIPELINE_BUDGET (pipeline.budget): found "many", want a whole number of bytes`,
		"environment VOXELSTREAM_KAFKA: unknown variable",
		`--drain (pipeline.drain): found "5", want a duration`,
		"--threads (threads): found -1, want 0 or more",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("found error %v\nwant it to contain %q", err, want)
		}
	}
}

// TestGenerated checks that config.yaml is up to date and equals the defaults.
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
		t.Error("config.yaml is out of date: run make generate")
	}
	l, err := Load(file, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	d := Default()
	same(t, &l.Config, &d)
}

// TestFields checks that every key is documented, that its default and choices are valid, and that either all or none
// of its choices are documented.
func TestFields(t *testing.T) {
	d := Default()
	if errs := d.Problems(); len(errs) > 0 {
		t.Error(errs)
	}
	for _, f := range option.Fields(&d) {
		if f.Doc == "" || !strings.HasSuffix(f.Doc, ".") && !strings.HasSuffix(f.Doc, "?") {
			t.Errorf("%s: found documentation %q, want a sentence", f.Path, f.Doc)
		}
		if f.Section || f.Type().Kind() == reflect.Slice {
			continue
		}
		if err := f.Check(f.String()); err != nil {
			t.Errorf("default of %s: %v", f.Path, err)
		}
		for _, choice := range f.Choices() {
			if err := f.Check(choice); err != nil {
				t.Errorf("choice of %s: %v", f.Path, err)
			}
		}
		if docs := f.ChoiceDocs(); slices.Contains(docs, "") || len(docs) > 0 && len(docs) != len(f.Choices()) {
			t.Errorf("%s: found documentation %q for the choices %q", f.Path, docs, f.Choices())
		}
	}
}

// same reports settings that differ between two configurations.
func same(t *testing.T, found, want *Config) {
	t.Helper()
	w := option.Settings(want)
	for i, f := range option.Settings(found) {
		if f.String() != w[i].String() {
			t.Errorf("%s: found %s, want %s", f.Path, f.String(), w[i].String())
		}
	}
}
