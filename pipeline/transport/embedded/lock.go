package embedded

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/voxelstream/voxelstream/internal/durable"
)

// lockDir locks the directory until the returned file is closed or the process ends, even by SIGKILL.
func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o640)
	if err != nil {
		return nil, err
	}
	if err := tryLock(f); err != nil {
		holder := ""
		if b, e := io.ReadAll(io.LimitReader(f, 32)); e == nil && len(b) > 0 {
			holder = ", pid " + strings.TrimSpace(string(b))
		}
		_ = f.Close()
		return nil, fmt.Errorf("data directory %s is %w%s (%w)", dir, durable.ErrLocked, holder, err)
	}
	b, err := io.ReadAll(io.LimitReader(f, 32))
	if _, number := strconv.Atoi(strings.TrimSpace(string(b))); err != nil || len(b) > 0 && number != nil {
		return nil, errors.Join(fmt.Errorf("%s: found %.20q, want the file of a data directory; choose another directory",
			f.Name(), b), err, f.Close())
	}
	// The PID is only for the error message above.
	if err := f.Truncate(0); err == nil {
		_, err = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
		if err != nil {
			_ = f.Close()
			return nil, err
		}
	}
	return f, nil
}
