package config_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/voxelstream/voxelstream/app/config"
	"github.com/voxelstream/voxelstream/internal/mutants"
	"github.com/voxelstream/voxelstream/internal/testenv"
)

// FuzzLoad reads configuration files.
func FuzzLoad(f *testing.F) {
	whole, err := os.ReadFile(filepath.Join(testenv.Root(), "config.yaml"))
	if err != nil {
		f.Fatal(err)
	}
	m := mutants.New(f, "configuration")
	m.Add(whole)
	m.Add([]byte(`a: &a [x, x, x]
b: &b [*a, *a, *a]
kafka:
  brokers: ["a:1", 'b:2']
  topic: |
    volumes
http: {listen: ":80"}
`))
	path := filepath.Join(f.TempDir(), "config.yaml")
	m.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if l, err := config.Load(path, nil, nil); err == nil && l == nil {
			t.Error("found no configuration and no error")
		}
	})
}
