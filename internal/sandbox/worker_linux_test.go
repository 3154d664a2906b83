package sandbox

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// Arguments that make the test binary a worker that does what it is told, with its rights or without them.
const (
	confinedArg = "sandbox-test"
	freeArg     = "sandbox-test-free"
	landlockArg = "sandbox-test-landlock"
)

func TestMain(m *testing.M) {
	if len(os.Args) == 2 {
		switch os.Args[1] {
		case confinedArg:
			serveTest(confine)
			return
		case freeArg:
			serveTest(func() Parts { return Parts{} })
			return
		case landlockArg:
			serveTest(onlyLandlock)
			return
		}
	}
	goleak.VerifyTestMain(m)
}

// serveTest answers lines with lines until the parent ends the connection.
func serveTest(with func() Parts) {
	w, err := enter(Limits{Memory: 2 << 30, Files: 32}, with)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for {
		line, err := w.Conn.readLine(1 << 10)
		if err != nil {
			return
		}
		answer := "done"
		if err := obey(w, string(line)); err != nil {
			answer = err.Error()
		}
		if _, err := io.WriteString(w.Conn, answer+"\n"); err != nil {
			return
		}
	}
}

// obey runs the command in a line.
func obey(w *Worker, line string) error {
	verb, rest, _ := strings.Cut(line, " ")
	switch verb {
	case "environ":
		return errors.New(strings.Join(os.Environ(), " "))
	case "where":
		dir, err := os.Getwd()
		return cmpErr(err, errors.New(dir))
	case "take":
		f, err := w.Conn.Take()
		if err != nil {
			return err
		}
		defer f.Close() //nolint:errcheck // opened for reading
		b := make([]byte, 64)
		n, err := f.ReadAt(b, 0)
		if n > 0 {
			return errors.New(string(b[:n]))
		}
		return err
	case "share":
		copy(w.Shared, rest)
		return nil
	case "panic":
		panic(rest)
	case "spin":
		for start := time.Now(); time.Since(start) < time.Minute; {
		}
		return nil
	case "allocate":
		b := make([]byte, 4<<30)
		for i := 0; i < len(b); i += 4096 {
			b[i] = 1
		}
		return fmt.Errorf("%d", len(b))
	case "hour":
		return errors.New(time.Unix(0, 0).Format(time.RFC3339))
	}
	return attempt(line)
}

func cmpErr(err, other error) error {
	if err != nil {
		return err
	}
	return other
}

// start starts a worker for the length of a test.
func start(t *testing.T, arg string) *Child {
	t.Helper()
	c, err := Start(1<<16, arg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Kill()
		c.Release()
	})
	if _, err := c.Parts(t.Context()); err != nil {
		t.Fatalf("%v: %s", err, c.Failure(err))
	}
	return c
}

// ask sends a line to a worker and returns its answer.
func ask(t *testing.T, c *Child, format string, args ...any) string {
	t.Helper()
	if _, err := fmt.Fprintf(c.Conn, format+"\n", args...); err != nil {
		t.Fatal(err)
	}
	stop := c.Conn.Bound(t.Context(), time.Minute)
	defer stop()
	line, err := c.Conn.readLine(64 << 10)
	if err != nil {
		t.Fatalf(format+": %v: %s", append(args, err, c.Failure(err))...)
	}
	return string(line)
}

// TestEnvironment: a worker has none of the parent's secrets, and a folder where nothing is.
func TestEnvironment(t *testing.T) {
	for _, name := range []string{
		"AWS_SECRET_ACCESS_KEY", "PGPASSWORD", "VOXELSTREAM_KAFKA_SASL_PASSWORD", "HDF5_PLUGIN_PATH", "GODEBUG_", "HOME_X",
		"LD_PRELOAD_X", "KUBERNETES_SERVICE_HOST", "http_proxy", "SSH_AUTH_SOCK",
	} {
		t.Setenv(name, "s3cret")
	}
	t.Setenv("TZ", "Asia/Tokyo")
	c := start(t, confinedArg)
	got := ask(t, c, "environ")
	if strings.Contains(got, "s3cret") || !strings.Contains(got, "TZ=Asia/Tokyo") {
		t.Errorf("found %s", got)
	}
	if dir := ask(t, c, "where"); dir != string(filepath.Separator) && !strings.Contains(dir, "not permitted") {
		t.Errorf("found the folder %s", dir)
	}
}

// TestTimeZone: the local time zone is known, although no file can be opened.
func TestTimeZone(t *testing.T) {
	if _, err := time.LoadLocation("Asia/Tokyo"); err != nil {
		t.Skip("this system has no time zones")
	}
	t.Setenv("TZ", "Asia/Tokyo")
	if got := ask(t, start(t, confinedArg), "hour"); got != "1970-01-01T09:00:00+09:00" {
		t.Errorf("found %s", got)
	}
}

// TestDescriptor passes a file that the worker could not open.
func TestDescriptor(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x")
	if err := os.WriteFile(path, []byte("content"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := start(t, confinedArg)
	for range 40 { // more than a worker may have open at once
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(c.Conn.WriteFile([]byte("take\n"), f), f.Close()); err != nil {
			t.Fatal(err)
		}
		if line, err := c.Conn.readLine(100); err != nil || string(line) != "content" {
			t.Fatalf("found %q, %v", line, err)
		}
	}
	if got := ask(t, c, "take"); !strings.Contains(got, "found no descriptor") {
		t.Errorf("without a descriptor: found %q", got)
	}
}

func TestSharedMemory(t *testing.T) {
	c := start(t, confinedArg)
	if c.Shared == nil {
		t.Skip("this system has no memory to share")
	}
	if got := ask(t, c, "share values"); got != "done" || !bytes.HasPrefix(c.Shared, []byte("values")) {
		t.Errorf("found %q and %q", got, c.Shared[:10])
	}
}

// TestEnds: a worker that fails is an error with a reason, and one that hangs or eats memory ends.
func TestEnds(t *testing.T) {
	for line, want := range map[string]string{
		"panic of the decoder": "panic: of the decoder", "spin": "processor time", "allocate": "out of memory",
	} {
		t.Run(line, func(t *testing.T) {
			if Instrumented && line == "allocate" {
				t.Skip("this build has no limit on address space")
			}
			c := start(t, confinedArg)
			if err := c.LimitCPU(time.Second); err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(c.Conn, line+"\n"); err != nil {
				t.Fatal(err)
			}
			stop := c.Conn.Bound(t.Context(), time.Minute)
			defer stop()
			_, err := c.Conn.readLine(100)
			if reason := c.Failure(err); err == nil || !strings.Contains(reason, want) {
				t.Errorf("found %v: %s, want %q", err, reason, want)
			}
		})
	}
}

func TestProbe(t *testing.T) {
	p, err := Probe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Log(p.String())
	if got := (&Parts{Landlock: 6, Seccomp: true}).String(); got != "landlock (version 6), seccomp; not in force: "+
		"no new privileges, no capabilities" {
		t.Errorf("found %s", got)
	}
	if got := (&Parts{Failures: []string{"why"}}).String(); !strings.HasPrefix(got, "limits only; not in force: ") ||
		!strings.HasSuffix(got, "(why)") {
		t.Errorf("found %s", got)
	}
}
