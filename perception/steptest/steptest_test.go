package steptest_test

import (
	"testing"

	"github.com/voxelstream/voxelstream/perception"
	"github.com/voxelstream/voxelstream/perception/steptest"
)

// TestSteps runs the suite on every step of the list.
func TestSteps(t *testing.T) {
	seen := map[perception.StepName]bool{}
	for _, s := range perception.Steps() {
		if seen[s.Name] {
			t.Errorf("found two steps named %s", s.Name)
		}
		seen[s.Name] = true
		t.Run(string(s.Name), func(t *testing.T) { steptest.Step(t, s) })
	}
}
