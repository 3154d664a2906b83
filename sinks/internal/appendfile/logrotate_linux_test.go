package appendfile_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/sinks/internal/appendfile/appendtest"
	"github.com/voxelstream/voxelstream/sinks/sinktest"
)

// TestLogrotate writes rows while logrotate rotates the file. With "create" or "nocreate", each row that was acknowledged
// is in one of the files. With "copytruncate", this holds for the rows that are not written while logrotate runs.
func TestLogrotate(t *testing.T) {
	program, err := exec.LookPath("logrotate")
	if err != nil {
		t.Skip("there is no logrotate")
	}
	for _, mode := range []string{"create", "nocreate", "copytruncate"} {
		for _, name := range []string{"c.jsonl", "c.csv"} {
			t.Run(mode+" "+name, func(t *testing.T) { logrotate(t, program, mode, name) })
		}
	}
}

func logrotate(t *testing.T, program, mode, name string) {
	dir := t.TempDir()
	path, conf := filepath.Join(dir, name), filepath.Join(t.TempDir(), "conf")
	text := fmt.Sprintf("%s {\n\tsize 1\n\trotate 100\n\t%s\n}\n", path, mode)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s := open(t, path, "")
	var acknowledged atomic.Int64
	stop, done := make(chan struct{}), make(chan error, 1)
	go func() {
		for {
			select {
			case <-stop:
				done <- nil
				return
			default:
			}
			i := int(acknowledged.Load())
			if err := s.Write(t.Context(), []record.Classification{sinktest.Classification("s", i)}); err != nil {
				done <- err
				return
			}
			acknowledged.Add(1)
		}
	}()
	during := map[int64]bool{} // numbers of rows that may be written while logrotate runs
	const rounds = 12
	for range rounds {
		for before := acknowledged.Load(); acknowledged.Load() < before+10; time.Sleep(time.Millisecond) {
			select {
			case err := <-done:
				t.Fatal(err)
			default:
			}
		}
		first := acknowledged.Load()
		cmd := exec.CommandContext(t.Context(), program, "-s", conf+".state", conf)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		for i := first; mode == "copytruncate" && i <= acknowledged.Load(); i++ {
			during[i] = true
		}
	}
	close(stop)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	closed(t, s)
	files, err := filepath.Glob(path + "*")
	if err != nil || len(files) < rounds {
		t.Fatalf("found %d files, %v", len(files), err)
	}
	found := map[string]int{}
	for _, f := range files {
		if bytes.IndexByte(read(t, f), 0) >= 0 {
			t.Errorf("found zeros in %s", f)
		}
		copied := filepath.Join(t.TempDir(), name) // with its extension
		if err := os.WriteFile(copied, read(t, f), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, id := range appendtest.Stored(t, copied) {
			found[id]++
		}
	}
	missing := 0
	for i := range acknowledged.Load() {
		id := fmt.Sprintf("s/%d", i)
		if found[id] == 0 && !during[i] {
			missing++
		}
		if found[id] > 1 && mode != "copytruncate" {
			t.Errorf("found %s %d times", id, found[id])
		}
	}
	if missing > 0 {
		t.Errorf("%d of %d acknowledged rows are missing", missing, acknowledged.Load())
	}
	s = open(t, path, "") // can be opened again
	closed(t, s)
}
