package testenv

import (
	"fmt"
	"os"
	"strings"
)

// PeakMemory is the most resident memory that a running process had so far, in bytes; 0 when it is over, or where there is no /proc. What the kernel
// tells a parent at a child's end (ru_maxrss) will not do: it counts the parent's own memory, which the child shares until it executes its program.
func PeakMemory(pid int) int {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	_, after, _ := strings.Cut(string(b), "VmHWM:")
	kib := 0
	_, _ = fmt.Sscan(after, &kib) // nothing is found when the process is over
	return kib << 10
}
