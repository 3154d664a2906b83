//go:build unix

package integration

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/internal/testenv"
)

// sensorCase is a command on the inputs of one folder of cases, which once gave wrong results. A folder may
// have several.
type sensorCase struct {
	folder string
	// learned says in one sentence what is to be known about such inputs.
	learned string
	// args is the command line. It runs in a copy of the folder.
	args []string
	exit int
	// out are texts that standard output and standard error together contain, not are texts that they do not.
	out, not []string
	// check looks at the files in dir and at standard output. It may be nil.
	check func(t *testing.T, dir, out string)
}

// sensorCases are those of all families.
func sensorCases() []sensorCase {
	return slices.Concat(medicalCases, packetCases, cloudCases, arrayCases, depthCases)
}

// casesDir is the folder of the cases of a kind, sensors or models. Without it the test is skipped.
func casesDir(t *testing.T, kind string) string {
	t.Helper()
	dir, ok := testenv.Cases()
	if !ok {
		t.Skip("the cases are not here: put the folder cases beside the checkout or set VOXELSTREAM_CASES")
	}
	return filepath.Join(dir, kind)
}

// TestSensorCases: inputs that were once read wrongly are read as they should be.
func TestSensorCases(t *testing.T) {
	t.Parallel()
	runCases(t, "sensors", sensorCases())
}

// TestModelCases: models and training data that once gave wrong results, or none, give the right ones.
func TestModelCases(t *testing.T) {
	t.Parallel()
	runCases(t, "models", slices.Concat(valueCases))
}

// runCases runs the commands of all cases of a kind.
func runCases(t *testing.T, kind string, all []sensorCase) {
	t.Helper()
	cases := casesDir(t, kind)
	bin := voxelstream(t)
	for _, c := range all {
		t.Run(c.folder+"/"+c.args[0], func(t *testing.T) {
			t.Parallel()
			if !strings.HasSuffix(c.learned, ".") || strings.Contains(c.learned, "\n") {
				t.Errorf("learned: found %q, want a sentence", c.learned)
			}
			from := filepath.Join(cases, c.folder)
			if _, err := os.Stat(from); err != nil {
				t.Skipf("%s is not among the cases", c.folder)
			}
			dir := t.TempDir()
			if err := os.CopyFS(dir, os.DirFS(from)); err != nil {
				t.Fatal(err)
			}
			p := start(t, bin, dir, nil, c.args...)
			p.wait(t, c.exit)
			all := p.stdout.String() + p.stderr.String()
			for _, s := range c.out {
				if !strings.Contains(all, s) {
					t.Errorf("the output does not say %q:\n%s", s, tail(all))
				}
			}
			for _, s := range c.not {
				if strings.Contains(all, s) {
					t.Errorf("the output says %q:\n%s", s, tail(all))
				}
			}
			if c.check != nil {
				c.check(t, dir, p.stdout.String())
			}
		})
	}
}

// TestSensorCasesComplete: every folder of the cases is tried.
func TestSensorCasesComplete(t *testing.T) {
	t.Parallel()
	entries := must(os.ReadDir(casesDir(t, "sensors")))(t)
	for _, e := range entries {
		tried := slices.ContainsFunc(sensorCases(), func(c sensorCase) bool { return c.folder == e.Name() })
		if e.IsDir() && !tried {
			t.Errorf("%s is not tried", e.Name())
		}
	}
}
