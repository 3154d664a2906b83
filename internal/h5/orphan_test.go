//go:build cgo && !nohdf5 && linux

package h5

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestOrphan kills a process whose worker is busy: the worker goes with it.
func TestOrphan(t *testing.T) {
	cmd := exec.Command(os.Args[0], orphanArg)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	must(t, err)
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	must(t, err)
	must(t, syscall.Kill(pid, 0))
	time.Sleep(50 * time.Millisecond)
	must(t, cmd.Process.Kill())
	_ = cmd.Wait()
	for range 100 {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil || strings.Contains(string(stat), ") Z ") {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Error("the worker outlives its parent")
}
