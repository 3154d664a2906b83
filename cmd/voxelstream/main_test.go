package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/voxelstream/voxelstream/app/apptest"
	"github.com/voxelstream/voxelstream/internal/testenv"
)

// TestMain removes the variables that the program takes for its configuration: some of them are for other tests.
func TestMain(m *testing.M) {
	for _, v := range os.Environ() {
		if name, _, _ := strings.Cut(v, "="); strings.HasPrefix(name, "VOXELSTREAM_") {
			_ = os.Unsetenv(name)
		}
	}
	os.Exit(m.Run())
}

// TestFlagsOfSeveralKeys: a flag sets one key, or several to the same value because they mean the same.
func TestFlagsOfSeveralKeys(t *testing.T) {
	shared := map[string]string{"grid": "the size of a grid, of voxelization and in rows of arrays"}
	found := 0
	check := func(cmd *cobra.Command) {
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			keys := f.Annotations[keyAnnotation]
			found += len(keys)
			if len(keys) > 1 && shared[f.Name] == "" {
				t.Errorf("%s --%s: found the keys %v, want one", cmd.CommandPath(), f.Name, keys)
			}
		})
	}
	var visit func(cmd *cobra.Command)
	visit = func(cmd *cobra.Command) {
		check(cmd)
		for _, c := range cmd.Commands() {
			visit(c)
		}
	}
	visit((&cli{out: io.Discard}).root())
	if found < 100 {
		t.Errorf("found %d flags that set keys, want more than 100", found)
	}
}

// TestGenerated: the reference pages are those that the commands describe now.
func TestGenerated(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "docs", "reference"), 0o700); err != nil {
		t.Fatal(err)
	}
	if code := (&cli{out: os.Stdout}).execute([]string{"docs", dir}); code != 0 {
		t.Fatal("docs failed")
	}
	made := 0
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		made++
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		want, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		have, err := os.ReadFile(filepath.Join(testenv.Root(), name))
		if err != nil || string(have) != string(want) {
			t.Errorf("%s differs from what the program says: run make generate (%v)", name, err)
		}
		return nil
	})
	if err != nil || made < 20 {
		t.Fatalf("found %d pages, %v", made, err)
	}
	commands := func(root string) int {
		pages, err := filepath.Glob(filepath.Join(root, "docs", "reference", "cli", "*.md"))
		if err != nil {
			t.Fatal(err)
		}
		return len(pages)
	}
	if got, want := commands(testenv.Root()), commands(dir); got != want {
		t.Errorf("found %d pages of commands, want %d: remove those of commands that are gone", got, want)
	}
}

func TestManPages(t *testing.T) {
	dir := t.TempDir()
	if code := (&cli{out: os.Stdout}).execute([]string{"docs", "--man", dir}); code != 0 {
		t.Fatal("docs --man failed")
	}
	if _, err := os.Stat(filepath.Join(dir, "voxelstream-run.1")); err != nil {
		t.Error(err)
	}
}

// TestExitCodes: what is wrong with the command line or the configuration is 2, what fails at work is 1.
func TestExitCodes(t *testing.T) {
	t.Chdir(t.TempDir())
	bad := filepath.Join(t.TempDir(), "bad.yaml")
	if err := os.WriteFile(bad, []byte("kafka:\n  grup: x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		code int
		args []string
	}{
		{0, []string{"version"}},
		{0, []string{"version", "--json"}},
		{0, []string{"--help"}},
		{0, []string{"completion", "bash"}},
		{0, []string{"config", "print"}},
		{0, []string{"config", "schema"}},
		{0, []string{"config", "lint"}},
		{2, []string{"config", "lint", bad}},
		{2, []string{"version", "--config", bad}},
		{1, []string{"inspect", "missing.pcd"}},
		{1, []string{"run", "missing.pcd"}},
		{2, []string{"run"}},
		{2, []string{"runn", "x"}},
		{2, []string{"inspect", "--no-such-flag", "x"}},
		{2, []string{"run", bad, "--forever"}},
		{2, []string{"inspect", "missing.pcd", "--rows", "0:4"}},
		{2, []string{"inspect", "missing.pcd", "--row", "0"}},
		{2, []string{"inspect", "missing.pcd", "--predict"}},
		{2, []string{"inspect", "missing.pcd", "--color", "z"}},
		{2, []string{"version", "--threads", "many"}},
		{2, []string{"generate", "--count", "3"}},
		{2, []string{"generate", "--count", "3", "--out", "digits.npz"}},
		{2, []string{"generate", "--count", "0", "--out", "x.h5"}},
		{2, []string{"generate", "--scene", "street", "--grid", "8", "--out", "x"}},
		{2, []string{"generate", "--objects", "3", "--count", "8", "--out", "x.h5"}},
		{2, []string{"generate", "--count", "3", "--sensor", "vlp16", "--out", "x.h5"}},
		{2, []string{"convert", bad, "no/such/x.npy"}},
		{2, []string{"train", "x.h5", "--out", "x.txt"}},
		{2, []string{"train", "--out", "x.keras"}},
		{2, []string{"model", "bench", "--mode", "sleep"}},
		{2, []string{"voxelize", "x.pcd"}},
		{0, []string{"voxelize", "--list"}},
		{0, []string{"voxelize", "--list", "--json"}},
		{2, []string{"voxelize", "--list", "x.pcd"}},
	} {
		if code := (&cli{out: os.Stdout}).execute(c.args); code != c.code {
			t.Errorf("%v: found exit code %d, want %d", c.args, code, c.code)
		}
	}
}

// TestSuggestions: misspelt commands and flags get a suggestion.
func TestSuggestions(t *testing.T) {
	for line, want := range map[string]string{
		"rnu":                       `unknown command "rnu" for "voxelstream" (did you mean run?)`,
		"dlq lst":                   `unknown command "lst" for "voxelstream dlq" (did you mean list?)`,
		"frobnicate":                `unknown command "frobnicate" for "voxelstream"; run 'voxelstream --help' for a list`,
		"help rnu":                  `unknown command "rnu" for "voxelstream" (did you mean run?)`,
		"help dlq lst":              `unknown command "lst" for "voxelstream dlq" (did you mean list?)`,
		"completion bsh":            `unknown command "bsh" for "voxelstream completion" (did you mean bash?)`,
		"clasify --brokers x":       `unknown command "clasify" for "voxelstream" (did you mean classify?)`,
		"clasify -z":                `unknown command "clasify" for "voxelstream" (did you mean classify?)`,
		"dlq lst --topic x":         `unknown command "lst" for "voxelstream dlq" (did you mean list?)`,
		"model sumary m --svg x":    `unknown command "sumary" for "voxelstream model" (did you mean summary?)`,
		"model sumary m --json":     `unknown command "sumary" for "voxelstream model" (did you mean summary?)`,
		"--jsn":                     "unknown flag: --jsn (did you mean --json?)",
		"run --modle x":             "unknown flag: --modle (did you mean --model?)",
		"run --jsn x.h5":            "unknown flag: --jsn (did you mean --json?)",
		"run --zzzzzzzz":            "unknown flag: --zzzzzzzz",
		"train --rows 1":            "unknown flag: --rows",
		"train --layers 1":          "unknown flag: --layers",
		"train --lr 0.1":            "unknown flag: --lr (did you mean --learning-rate?)",
		"train --val-split 0.1":     "unknown flag: --val-split (did you mean --validation-split?)",
		"train --validation-data x": "unknown flag: --validation-data (did you mean --validation?)",
		"train --batch 8":           "unknown flag: --batch (did you mean --batch-size?)",
		"train --model x":           "unknown flag: --model (did you mean --init?)",
		"train -m x":                "unknown shorthand flag: 'm' in -m (did you mean --init?)",
		"predict -m x":              "unknown shorthand flag: 'm' in -m (did you mean --model?)",
		"train --verbose":           "unknown flag: --verbose (did you mean --log-level?)",
		"summary m.keras":           `unknown command "summary" for "voxelstream" (did you mean model summary?)`,
		"predict x.h5 --rows 4:2":   `--rows: found "4:2", want FIRST:END with FIRST < END, such as 0:24`,
		"convert x y.npy --row -1":  `--row: found "-1", want an integer from 0`,
		"generate --count many":     `--count: found "many", must be an integer`,
		"evaluate x.h5 --split tst": `--split: found "tst" (did you mean test?), want one of train, val, test, all`,
		"run -z":                    "unknown shorthand flag: 'z' in -z",
		"version now":               "version: found the argument \"now\", want none\nusage: voxelstream version [flags]",
	} {
		root := (&cli{out: io.Discard}).root()
		root.SetArgs(strings.Fields(line))
		if err := root.Execute(); err == nil || err.Error() != want {
			t.Errorf("%s: found %v, want %s", line, err, want)
		}
	}
}

// TestHelpOfUnknown: a misspelt command has no help.
func TestHelpOfUnknown(t *testing.T) {
	for line, want := range map[string]struct {
		code int
		out  string
	}{
		"predcit --help":      {exitUsage, ""},
		"model sumary --help": {exitUsage, ""},
		"model --help":        {exitDone, "Usage:"},
		"train x.h5 --help":   {exitDone, "Usage:"},
	} {
		out, code := run(strings.Fields(line)...)
		if code != want.code || !strings.Contains(out, want.out) || want.out == "" && out != "" {
			t.Errorf("%s: found exit code %d and %q, want %d", line, code, out, want.code)
		}
	}
}

// TestModelAsData: a model among the data is reported before anything is classified, and results name the model.
func TestModelAsData(t *testing.T) {
	apptest.NeedHDF5(t)
	t.Chdir(t.TempDir())
	if _, code := run("generate", "--count", "11", "--out", "d.h5"); code != exitDone {
		t.Fatal("found no archive")
	}
	if _, code := run("train", "d.h5", "--out", "m.keras", "--epochs", "1", "--validation-split", "0"); code != exitDone {
		t.Fatal("found no model")
	}
	for line, want := range map[string]string{
		"train d.h5 --out m.keras --epochs 1 --validation-split 0 --resume": "training is complete after 1 epoch; raise",
		"train d.h5 --out x.keras --classes zero,one":                       ":X_train/2: found label 2, want 0 to 1",
		"generate --count -5 --out x.h5":                                    "--count: found -5, want at least 0\n",
		"evaluate d.h5":                                                     "no test part: evaluating the training part",
	} {
		if out, _ := said(strings.Fields(line)...); !strings.Contains(out, want) {
			t.Errorf("%s: found %s, want %q", line, out, want)
		}
	}
	if out, code := said("inspect", "d.h5", "--row", "10", "--png", "r.png", "--predict"); code != exitDone {
		t.Errorf("inspect of a row with its prediction: found exit code %d and %s", code, out)
	}
	for _, command := range []string{"evaluate", "predict"} {
		out, code := said(command, "d.h5", "m.keras")
		if code != exitUsage || !strings.Contains(out, "m.keras: found a Keras model") || strings.Contains(out, "d.h5 ") {
			t.Errorf("%s: found exit code %d and %s", command, code, out)
		}
		for model, want := range map[string]string{"digits": "model digits (built in)", "m.keras": "model m.keras"} {
			if out, _ := said(command, "d.h5", "--model", model); !strings.Contains(out, want) {
				t.Errorf("%s --model %s: found %s, want %q", command, model, out, want)
			}
		}
	}
}

// TestRows: commands that read archives take rows, whose IDs are those of all rows.
func TestRows(t *testing.T) {
	apptest.NeedHDF5(t)
	t.Chdir(t.TempDir())
	if _, code := run("generate", "--count", "11", "--test", "3", "--out", "d.h5"); code != exitDone {
		t.Fatal("found no archive")
	}
	for line, want := range map[string]string{
		"predict d.h5 --rows 2:4 --json":   ":X_train/2",
		"predict d.h5 --row 3 --json":      ":X_train/3",
		"predict d.h5 --row 8 --json":      ":X_test/0",
		"convert d.h5 d.npz --rows 9:20":   "d.npz: 2 samples",
		"convert d.h5 d.npy --row 7":       "d.npy: 1 sample\n",
		"evaluate d.h5 --rows 1:4 --json":  `{"rows":2,`,
		"predict d.h5 --rows 2:4 --row 1":  "",
		"evaluate d.h5 --rows 3:9 --quiet": "",
	} {
		out, code := run(strings.Fields(line)...)
		if (code == exitDone) != (want != "") || !strings.Contains(out, want) {
			t.Errorf("%s: found exit code %d and %q, want %q", line, code, out, want)
		}
	}
}

// TestQuiet: with --quiet, run prints no summary unless it is asked for as JSON.
func TestQuiet(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("c.xyz", []byte("0 0 0\n1 2 3\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ flag, want string }{
		{"", "volumes "},
		{"--quiet", ""},
		{"--quiet --json", `{"inputs":1,`},
	} {
		out, code := run(append([]string{"run", "c.xyz"}, strings.Fields(c.flag)...)...)
		if code != exitDone || !strings.HasPrefix(out, c.want) || c.want == "" && out != "" {
			t.Errorf("run %s: found exit code %d and %q, want %q", c.flag, code, out, c.want)
		}
	}
}
