//go:build unix

package budget

import (
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"testing"
)

func TestSize(t *testing.T) {
	for text, want := range map[string]int64{"60%": 600 << 20, "100%": 1000 << 20, "1MiB": 1 << 20, "3GB": 3e9} {
		var s Size
		if err := s.UnmarshalText([]byte(text)); err != nil || s.Of(1000<<20) != want || s.String() != text {
			t.Errorf("%s: found %v of 1000 MiB, %v, %v, want %d", text, s.Of(1000<<20), s, err, want)
		}
	}
	for _, text := range []string{"", "?", "0%", "101%", "-1%", "1.5%", "%", "1", "1KiB", "0B"} {
		if err := new(Size).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q: found no error", text)
		}
	}
}

// machineOf runs this test's process in a shell after a command, and returns what Machine and the collector's limit are
// there.
func machineOf(t *testing.T, before string, env ...string) (machine, limit int64) {
	t.Helper()
	cmd := exec.Command("sh", "-c", before+` && exec "$0" -test.run=TestMachine`, os.Args[0])
	cmd.Env = append(append(os.Environ(), "BUDGET_TEST_MACHINE=1"), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if _, err := fmt.Sscanf(string(out), "machine %d limit %d", &machine, &limit); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return machine, limit
}

// TestMachine: limits of the address space and of a control group are those of the machine, and the collector's limit
// follows unless GOMEMLIMIT is set.
func TestMachine(t *testing.T) {
	if os.Getenv("BUDGET_TEST_MACHINE") != "" {
		LimitHeap(Machine())
		fmt.Printf("machine %d limit %d\n", Machine(), debug.SetMemoryLimit(-1))
		os.Exit(0)
	}
	whole, limit := machineOf(t, "true")
	if whole < 64<<20 || limit != int64(collected*float64(whole)) {
		t.Errorf("found %d bytes, limit %d", whole, limit)
	}
	if _, limit := machineOf(t, "true", "GOMEMLIMIT=off"); limit != math.MaxInt64 {
		t.Errorf("GOMEMLIMIT=off: found the limit %d", limit)
	}
	const kib = 2 << 20
	if n, _ := machineOf(t, fmt.Sprintf("ulimit -v %d", kib)); n != min(whole, kib<<10/4*3) {
		t.Errorf("address space: found %d bytes, want %d", n, kib<<10/4*3)
	}
	const group = 96 << 20
	procs := cgroup(t, group)
	if n, _ := machineOf(t, "echo $$ > "+procs); n != group {
		t.Errorf("control group: found %d bytes, want %d", n, group)
	}
}

// cgroup makes a control group with a limit of memory, and returns the file to which its processes are written.
func cgroup(t *testing.T, limit int64) string {
	t.Helper()
	for root, file := range map[string]string{
		"/sys/fs/cgroup/memory": "memory.limit_in_bytes", "/sys/fs/cgroup": "memory.max",
	} {
		dir := filepath.Join(root, fmt.Sprintf("budget-test-%d", os.Getpid()))
		if _, err := os.Stat(filepath.Join(root, "cgroup.procs")); err != nil || os.Mkdir(dir, 0o700) != nil {
			continue
		}
		t.Cleanup(func() {
			if err := os.Remove(dir); err != nil {
				t.Error(err)
			}
		})
		if os.WriteFile(filepath.Join(dir, file), fmt.Appendln(nil, limit), 0o600) == nil {
			return filepath.Join(dir, "cgroup.procs")
		}
	}
	t.Skip("no control group with a limit of memory can be made here")
	return ""
}
