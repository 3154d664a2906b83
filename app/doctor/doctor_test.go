package doctor

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/voxelstream/voxelstream/app/apptest"
	"github.com/voxelstream/voxelstream/internal/store/storetest"
)

func byName(checks []Check) map[string]Check {
	m := map[string]Check{}
	for _, c := range checks {
		m[c.Name] = c
	}
	return m
}

func TestRun(t *testing.T) {
	dir := t.TempDir()
	checks, err := Run(t.Context(), apptest.New(t, "broker.data_dir", filepath.Join(dir, "not", "yet"),
		"sinks.out", filepath.Join(dir, "c.jsonl")))
	found := byName(checks)
	for _, name := range []string{"processor", "kafka", "broker data", "model"} {
		if c := found[name]; !c.OK || c.Found == "" {
			t.Errorf("%s: found %+v", name, c)
		}
	}
	for _, c := range checks { // the machine may lack HDF5 or have a low limit on open files
		if c.OK != (err == nil || !strings.Contains(err.Error(), c.Name+": ")) {
			t.Errorf("check %+v contradicts the error %v", c, err)
		}
	}
}

// TestRunFails checks that Run returns all checks, and an error that lists those that failed.
func TestRunFails(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	a := apptest.New(t, "broker.data_dir", filepath.Join(file, "kafka"), "model.path", file+".keras",
		"kafka.brokers", "127.0.0.1:1")
	ctx, stop := context.WithTimeout(t.Context(), time.Second) // bounds the connection attempt
	defer stop()
	checks, err := Run(ctx, a)
	if err == nil {
		t.Fatal("want an error")
	}
	found := byName(checks)
	for _, name := range []string{"kafka", "broker data", "model"} {
		if c := found[name]; c.OK || c.Advice == "" || !strings.Contains(err.Error(), name+": ") {
			t.Errorf("%s: found %+v and error %v", name, c, err)
		}
	}
	if !found["processor"].OK {
		t.Errorf("found %+v", found["processor"])
	}
}

// TestClaimCheck: a place for large volumes is read, and a folder may be missing.
func TestClaimCheck(t *testing.T) {
	server := storetest.S3(t)
	bucket := func(name string) string {
		return "s3://" + name + "/a?access-key=k&secret-key=hush&region=r&endpoint=" + server
	}
	for place, want := range map[string]string{
		filepath.Join(t.TempDir(), "not", "yet"): "", bucket(storetest.Bucket): "", bucket("missing"): "create the bucket",
	} {
		c := checkClaimCheck(t.Context(), place)
		if c.OK != (want == "") || c.OK != (c.Advice == "") || !strings.Contains(c.Found, want) || c.Found == "" ||
			strings.Contains(c.Found, "hush") {
			t.Errorf("%s: found %+v, want %q", place, c, want)
		}
	}
	checks, _ := Run(t.Context(), apptest.New(t, "broker.data_dir", t.TempDir(), "kafka.claim_check", t.TempDir()))
	if !byName(checks)["claim check"].OK {
		t.Errorf("found %+v", checks)
	}
}
