package config

import (
	"slices"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/sinks"
)

func places(outputs []*sinks.Output) (out []string) {
	for _, o := range outputs {
		out = append(out, o.Place[strings.LastIndexByte(o.Place, '/')+1:])
	}
	return out
}

// TestOutputs checks that sinks given by flags replace those of the configuration, and that sinks.kafka and
// sinks.terminal add their sinks unless these are already listed.
func TestOutputs(t *testing.T) {
	for _, c := range []struct {
		name string
		set  []Override
		want []string
	}{
		{"defaults", nil, []string{"classifications.jsonl", "kafka:classifications", "terminal:"}},
		{
			"none",
			[]Override{{Key: "sinks.out", List: []string{}}, {Key: "sinks.kafka", Value: "false"}},
			[]string{"terminal:"},
		},
		{
			"several",
			[]Override{{Key: "sinks.out", List: []string{"a,b.jsonl", "-"}}},
			[]string{"a,b.jsonl", "stdout", "kafka:classifications", "terminal:"},
		},
		{
			"listed",
			[]Override{{Key: "sinks.out", List: []string{"terminal:", "kafka:classifications"}}},
			[]string{"terminal:", "kafka:classifications"},
		},
		{"another topic", []Override{
			{Key: "sinks.out", List: []string{"kafka:x"}},
			{Key: "kafka.classifications", Value: "y"},
		}, []string{"kafka:x", "kafka:y", "terminal:"}},
	} {
		l, err := Load("", nil, c.set)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		outputs, problems := l.Outputs()
		if got := places(outputs); !slices.Equal(got, c.want) || len(problems) > 0 {
			t.Errorf("%s: found %q, %v, want %q", c.name, got, problems, c.want)
		}
	}
	l, err := Load("", []string{"VOXELSTREAM_SINKS_OUT=a.jsonl,kafka:b"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	outputs, _ := l.Outputs()
	if got := places(outputs); !slices.Equal(got[:2], []string{"a.jsonl", "kafka:b"}) {
		t.Errorf("found %q", got)
	}
}

// TestReplaced checks that the environment variable of an earlier version gets an error with its replacement.
func TestReplaced(t *testing.T) {
	_, err := Load("", []string{"VOXELSTREAM_SINKS_JSONL=x.jsonl"}, nil)
	if err == nil || !strings.Contains(err.Error(), "environment VOXELSTREAM_SINKS_JSONL: this key was replaced by "+
		"sinks.out") {
		t.Errorf("found %v", err)
	}
	if _, err := Load("", []string{"VOXELSTREAM_SINKS_JSONL="}, nil); err != nil {
		t.Error(err)
	}
}

// TestMasked checks that neither config print nor an error reveals a secret.
func TestMasked(t *testing.T) {
	l := &Loaded{Config: Default()}
	l.Sinks.Out = Outputs{
		"a.jsonl?queue=3", "postgres://user:hush@host/db?table=x&password=hush",
		"kafka:x?pasword=hush",
	}
	for _, s := range l.Settings() {
		if s.Key != "sinks.out" {
			continue
		}
		want := "a.jsonl?queue=3,postgres://user:***@host/db?table=x&password=***,kafka:x?pasword=***"
		if s.Text != want {
			t.Errorf("found %s, want %s", s.Text, want)
		}
		if got := s.Value.([]string); len(got) != 3 || strings.Contains(strings.Join(got, ""), "hush") {
			t.Errorf("found %q", got)
		}
	}
	for _, p := range l.Problems() {
		if strings.Contains(p.Error(), "hush") {
			t.Error(p)
		}
	}
}
