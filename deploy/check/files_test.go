package check

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	compose "github.com/compose-spec/compose-go/v2/cli"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	_ "github.com/grafana/grafana-foundation-sdk/go/stat"
	_ "github.com/grafana/grafana-foundation-sdk/go/timeseries"
)

// tool returns the path of a program, or skips the test.
func tool(t *testing.T, name, advice string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is missing, so the files for it are not checked: %s", name, advice)
	}
	return path
}

// passes runs a program and fails the test if it fails.
func passes(t *testing.T, dir, program string, args ...string) {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%s %q: %v\n%s", filepath.Base(program), args, err, out)
	}
}

func TestCompose(t *testing.T) {
	o, err := compose.NewProjectOptions([]string{"../compose/compose.yaml"}, compose.WithName("voxelstream"))
	if err != nil {
		t.Fatal(err)
	}
	p, err := o.LoadProject(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range p.Services {
		for _, v := range s.Volumes {
			if v.Type != "bind" || strings.HasSuffix(v.Source, "/scans") {
				continue
			}
			if _, err := os.Stat(v.Source); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		if s.Build != nil {
			if _, err := os.Stat(filepath.Join(s.Build.Context, s.Build.Dockerfile)); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	if _, err := os.Stat("../compose/compose.yaml"); err != nil || len(p.Services) != 6 {
		t.Errorf("found %d services, want 6", len(p.Services))
	}
}

func TestDockerfile(t *testing.T) {
	hadolint := os.Getenv("VOXELSTREAM_HADOLINT")
	if hadolint == "" {
		hadolint = tool(t, "hadolint", "run scripts/deploy-tools")
	}
	passes(t, "..", hadolint, "--failure-threshold", "info", "Dockerfile")
}

func TestUnits(t *testing.T) {
	analyze := tool(t, "systemd-analyze", "install systemd")
	dir := t.TempDir()
	var copies []string
	for _, name := range []string{"voxelstream-classify@.service", "voxelstream-ingest.service"} {
		text, err := os.ReadFile("../systemd/" + name)
		if err != nil {
			t.Fatal(err)
		}
		// The program need not be installed here.
		unit := strings.ReplaceAll(string(text), "/usr/local/bin/voxelstream", "/bin/true")
		path := filepath.Join(dir, strings.Replace(name, "@", "@1", 1))
		if err := os.WriteFile(path, []byte(unit), 0o600); err != nil {
			t.Fatal(err)
		}
		copies = append(copies, path)
		// 2 of 10, where 10 stands for no protection at all.
		passes(t, dir, analyze, "security", "--offline=true", "--threshold=20", path)
	}
	cmd := exec.Command(analyze, append([]string{"verify"}, copies...)...)
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 { // unknown settings are warnings
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}

func TestRules(t *testing.T) {
	promtool := tool(t, "promtool", "install prometheus")
	passes(t, "../prometheus", promtool, "check", "rules", "rules.yml")
	passes(t, "../prometheus", promtool, "test", "rules", "rules_test.yml")
	// The paths in the file are those of the container.
	text, err := os.ReadFile("../compose/prometheus.yml")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "prometheus.yml"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	passes(t, dir, promtool, "check", "config", "--syntax-only", "prometheus.yml")
}

// TestDashboard decodes the dashboard into the types of Grafana's schema, which refuse unknown fields.
func TestDashboard(t *testing.T) {
	text, err := os.ReadFile("../grafana/dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	var d dashboard.Dashboard
	// The error is a list, which is never nil, but may be empty.
	if err := d.UnmarshalJSONStrict(text); err != nil && err.Error() != "" {
		t.Error(err)
	}
	if err := d.Validate(); err != nil {
		t.Error(err)
	}
	if !json.Valid(text) || len(d.Panels) == 0 {
		t.Error("found no panels")
	}
}
