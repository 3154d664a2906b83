package methodtest_test

import (
	"testing"

	"github.com/voxelstream/voxelstream/voxelize"
	"github.com/voxelstream/voxelstream/voxelize/methodtest"
)

// TestMethods runs the suite on every method of the list.
func TestMethods(t *testing.T) {
	seen := map[voxelize.MethodName]bool{}
	for _, m := range voxelize.Methods() {
		if seen[m.Name] {
			t.Errorf("found two methods named %s", m.Name)
		}
		seen[m.Name] = true
		t.Run(string(m.Name), func(t *testing.T) { methodtest.Method(t, m) })
	}
}
