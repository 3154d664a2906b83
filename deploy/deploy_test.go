// Package deploy tests the files for operators: everything that the dashboard, alerts, runbook and guarantees name
// must exist.
package deploy

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/internal/testenv"
)

func read(t *testing.T, path ...string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(append([]string{testenv.Root()}, path...)...))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

var metricName = regexp.MustCompile(`\bvoxelstream_[a-z0-9_]+`)

// metrics returns the metrics of the reference, with the names that Prometheus makes of histograms.
func metrics(t *testing.T) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `(voxelstream_[a-z0-9_]+)` \\| (\\w+) \\|").
		FindAllStringSubmatch(read(t, "docs/reference/metrics.md"), -1) {
		if m[2] != "histogram" {
			names[m[1]] = true
			continue
		}
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			names[m[1]+suffix] = true
		}
	}
	if len(names) < 30 {
		t.Fatalf("found %d metrics in the reference", len(names))
	}
	return names
}

// TestMetricsExist: dashboard, alerts and pages name only metrics of the reference, in queries with the right suffix.
func TestMetricsExist(t *testing.T) {
	known := metrics(t)
	var dashboard struct {
		Panels []struct{ Targets []struct{ Expr string } }
	}
	if err := json.Unmarshal([]byte(read(t, "deploy/grafana/dashboard.json")), &dashboard); err != nil {
		t.Fatal(err)
	}
	texts := map[string]string{
		"alerts": read(t, "deploy/prometheus/rules.yml"), "tests of alerts": read(t, "deploy/prometheus/rules_test.yml"),
	}
	for _, p := range dashboard.Panels {
		for _, target := range p.Targets {
			texts["dashboard"] += target.Expr + "\n"
		}
	}
	for where, text := range texts {
		names := metricName.FindAllString(text, -1)
		if len(names) < 10 {
			t.Errorf("%s: found %d names of metrics", where, len(names))
		}
		for _, name := range names {
			if !known[name] {
				t.Errorf("%s: no metric %s in docs/reference/metrics.md", where, name)
			}
		}
	}
}

// TestDashboardGenerated: dashboard.json is what its program writes.
func TestDashboardGenerated(t *testing.T) {
	path := filepath.Join(t.TempDir(), "dashboard.json")
	cmd := exec.Command("go", "run", "./deploy/grafana", path)
	cmd.Dir = testenv.Root()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b, []byte(read(t, "deploy/grafana/dashboard.json"))) {
		t.Error("dashboard.json is old: run go generate ./deploy/grafana")
	}
}

// TestRunbook: each alert has a section in the runbook and links to it, and is tested. Each section is that of an alert.
func TestRunbook(t *testing.T) {
	rules, tests, runbook := read(t, "deploy/prometheus/rules.yml"), read(t, "deploy/prometheus/rules_test.yml"),
		read(t, "docs/how-to/runbook.md")
	parts := strings.Split(rules, "- alert: ")[1:]
	var alerts []string
	for _, part := range parts {
		name, _, _ := strings.Cut(part, "\n")
		alerts = append(alerts, name)
		if link := "docs/how-to/runbook.md#" + strings.ToLower(name) + "\n"; !strings.Contains(part, link) {
			t.Errorf("%s does not link to %s", name, link)
		}
		if !strings.Contains(tests, "alertname: "+name+"\n        exp_alerts:\n          - exp_labels:") {
			t.Errorf("%s: no test in which it fires", name)
		}
		section := regexp.MustCompile(`(?ms)^## ` + name + `\n(.*?)(^## |\z)`).FindStringSubmatch(runbook)
		if section == nil {
			t.Errorf("%s has no section in the runbook", name)
			continue
		}
		for _, want := range []string{"**Means:**", "**Confirm:**", "**Do:**"} {
			if !strings.Contains(section[1], want) {
				t.Errorf("the section of %s has no %s", name, want)
			}
		}
	}
	for _, m := range regexp.MustCompile(`(?m)^## (Voxelstream\w+)`).FindAllStringSubmatch(runbook, -1) {
		if !slices.Contains(alerts, m[1]) {
			t.Errorf("the runbook has a section on %s, which is no alert", m[1])
		}
	}
}

// TestGuarantees: each test that the guarantees name exists.
func TestGuarantees(t *testing.T) {
	page := read(t, "docs/explanation/guarantees.md")
	named := regexp.MustCompile("`([a-z0-9/]+)\\.(Test\\w+)`").FindAllStringSubmatch(page, -1)
	if len(named) < 15 {
		t.Errorf("found %d tests on the page", len(named))
	}
	for _, m := range named {
		files, err := filepath.Glob(filepath.Join(testenv.Root(), m[1], "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		found := false
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			found = found || bytes.Contains(b, []byte("\nfunc "+m[2]+"(t *testing.T)"))
		}
		if !found {
			t.Errorf("no test %s in %s", m[2], m[1])
		}
	}
}

var setting = regexp.MustCompile(`\bVOXELSTREAM_[A-Z0-9_]+`)

// TestSettingsExist: the files for operators set variables that exist.
func TestSettingsExist(t *testing.T) {
	reference := read(t, "docs/reference/config.md")
	err := filepath.WalkDir(filepath.Join(testenv.Root(), "deploy"), func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasSuffix(path, ".go") {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, name := range setting.FindAllString(string(b), -1) {
			if name != "VOXELSTREAM_CONFIG" && !strings.Contains(reference, "`"+name+"`") {
				t.Errorf("%s: no variable %s in docs/reference/config.md", path, name)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
