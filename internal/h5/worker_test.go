//go:build cgo && !nohdf5

package h5

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/voxelstream/voxelstream/internal/mutants"
	"github.com/voxelstream/voxelstream/internal/sandbox"
)

// Names that, in a request for "/", make a worker of this test binary misbehave; unguarded switches the policy off
// for one request.
const (
	unguarded = "test: unguarded"
	crash     = "test: crash"
	spin      = "test: spin"
	allocate  = "test: allocate"
	deaf      = "test: deaf"
	escape    = "test: escape"
)

// The initializer of a variable runs before the init function in which a worker stays.
var _ = func() bool {
	onRequest = func(q *request) {
		switch q.Name {
		case unguarded:
			policyOff = true
		case crash:
			_ = syscall.Kill(os.Getpid(), syscall.SIGSEGV)
			time.Sleep(time.Minute)
		case spin:
			for start := time.Now(); time.Since(start) < time.Minute; {
			}
		case allocate:
			sink = make([]byte, 3<<30)
		case deaf:
			os.Exit(0)
		case escape:
			if _, err := os.ReadFile(os.Args[0]); err == nil {
				os.Exit(3)
			}
			if _, err := net.Dial("tcp", "127.0.0.1:1"); !errors.Is(err, os.ErrPermission) {
				os.Exit(4)
			}
		}
	}
	return true
}()

var sink []byte

func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == orphanArg {
		runOrphan()
		return
	}
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/voxelstream/voxelstream/internal/h5.work"))
}

// orphanArg makes the test binary open a file, print the process id of its worker and busy it.
const orphanArg = "h5-orphan"

func runOrphan() {
	f, err := Open(context.Background(), filepath.Join("testdata", "types.h5"))
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(f.w.Pid())
	_, _ = f.Attr(context.Background(), "/", spin)
}

func TestWorkerFails(t *testing.T) {
	for name, want := range map[string]string{
		crash: "SIGSEGV", spin: "no answer in", allocate: "out of memory", deaf: "ended",
	} {
		t.Run(name[6:], func(t *testing.T) {
			if name == allocate && sandbox.Instrumented {
				t.Skip("this build has no limit on address space")
			}
			started, failed := Workers()
			f := reopen(t, filepath.Join("testdata", "types.h5"))
			f.w.timeout = 2 * time.Second
			_, err := f.Attr(t.Context(), "/", name)
			if !errors.Is(err, ErrWorker) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "types.h5") {
				t.Errorf("error %v, want ErrWorker with %q", err, want)
			}
			if _, err := f.Object(t.Context(), "/"); !errors.Is(err, ErrWorker) {
				t.Errorf("later error %v, want ErrWorker", err)
			}
			select {
			case <-f.w.Exited():
			default:
				t.Error("the worker still runs")
			}
			if s, n := Workers(); s != started+1 || n != failed+1 {
				t.Errorf("counted %d workers, %d of them failed; want %d and %d", s, n, started+1, failed+1)
			}
		})
	}
}

// TestWorkerIsKilled: a worker that is killed from outside has one successor.
func TestWorkerIsKilled(t *testing.T) {
	f := reopen(t, filepath.Join("testdata", "types.h5"))
	before, err := f.Object(t.Context(), "/u8")
	must(t, err)
	must(t, syscall.Kill(f.w.Pid(), syscall.SIGKILL))
	after, err := f.Object(t.Context(), "/u8")
	if err != nil || after.Kind != before.Kind || !slices.Equal(after.Dims, before.Dims) {
		t.Errorf("found %+v, %v, want %+v", after, err, before)
	}
	must(t, syscall.Kill(f.w.Pid(), syscall.SIGKILL))
	if _, err := f.Object(t.Context(), "/u8"); !errors.Is(err, ErrWorker) {
		t.Errorf("after the second kill: found error %v, want ErrWorker", err)
	}
}

// TestConfined: the worker reaches neither files nor the network; see package sandbox for the rest.
func TestConfined(t *testing.T) {
	f := reopen(t, filepath.Join("testdata", "types.h5"))
	p, err := f.w.Parts(t.Context())
	must(t, err)
	if !p.Complete() {
		t.Skipf("this system confines with %s", p.String())
	}
	if _, err := f.Attr(t.Context(), "/", escape); !errors.Is(err, ErrNotFound) {
		t.Errorf("error %v, want that there is no such attribute", err)
	}
}

func TestCancel(t *testing.T) {
	f := reopen(t, filepath.Join("testdata", "types.h5"))
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	start := time.Now()
	if _, err := f.Attr(ctx, "/", spin); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v, want the context's", err)
	}
	if took := time.Since(start); took > time.Minute {
		t.Errorf("took %v", took)
	}
	if _, err := f.Object(t.Context(), "/"); !errors.Is(err, ErrWorker) {
		t.Errorf("later error %v, want ErrWorker", err)
	}
	canceled, cancel2 := context.WithCancel(t.Context())
	cancel2()
	g := reopen(t, filepath.Join("testdata", "types.h5"))
	if _, err := g.Object(canceled, "/"); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want the context's", err)
	}
	if _, err := g.Object(t.Context(), "/"); err != nil {
		t.Errorf("a call cancelled before it began spoilt the file: %v", err)
	}
	if _, err := Open(canceled, filepath.Join("testdata", "types.h5")); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want the context's", err)
	}
}

// TestSilence makes many goroutines fail at once: nothing reaches standard error, and the file goes on.
func TestSilence(t *testing.T) {
	f := reopen(t, filepath.Join("testdata", "types.h5"))
	w, path := create(t)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				if err := f.ReadFloat32(t.Context(), "/f64_big", 0, 3, make([]float32, 3)); err == nil {
					t.Error("no error")
				}
				if _, err := f.Attr(t.Context(), "/", "none"); err == nil {
					t.Error("no error")
				}
				if _, err := Create(filepath.Join(path, "none")); err == nil {
					t.Error("no error")
				}
				if err := onThread(func() error { return setAttr(-1, nil, 1) }); err == nil {
					t.Error("no error")
				}
			}
		})
	}
	wg.Wait()
	if s := f.w.Printed(); s != "" {
		t.Errorf("the worker printed %q", s)
	}
	must(t, f.ReadFloat32(t.Context(), "/u8", 0, 1, make([]float32, 2)))
	w.Abort()
}

// TestNothingStaysOpen counts what libhdf5 holds, in the worker and here, after all is closed.
func TestNothingStaysOpen(t *testing.T) {
	f := reopen(t, filepath.Join("testdata", "small_old.h5"))
	objects, err := f.Objects(t.Context())
	must(t, err)
	for _, o := range objects {
		_, err := f.Attrs(t.Context(), o.Path)
		must(t, err)
		if o.Kind == Dataset {
			must(t, f.ReadFloat64(t.Context(), o.Path, 0, o.Rows(), make([]float64, o.Rows()*o.RowLen())))
		}
	}
	p, _, err := f.call(t.Context(), &request{Op: opClose}, nil)
	must(t, err)
	if p.Open != 0 {
		t.Errorf("%d objects are open in the worker", p.Open)
	}
	w, _ := create(t)
	must(t, WriteDataset(w, "/g/x", Layout{Dims: []int{2}}, []float64{1, 2}))
	must(t, w.SetAttr("/g/x", "name", []string{"a"}))
	must(t, w.Close())
	must(t, onThread(func() error {
		if n := openObjects(); n != 0 {
			t.Errorf("%d objects are open after writing", n)
		}
		return nil
	}))
}

// TestWire feeds damaged answers and requests: errors, never much memory.
func TestWire(t *testing.T) {
	var good bytes.Buffer
	must(t, writeReply(&good, &reply{Open: 3}, []byte("payload"), nil))
	for n := range good.Len() {
		if _, _, err := readReply(bytes.NewReader(good.Bytes()[:n]), nil, nil); err == nil {
			t.Errorf("%d of %d bytes were accepted", n, good.Len())
		}
	}
	if _, b, err := readReply(bytes.NewReader(good.Bytes()), nil, nil); err != nil || string(b) != "payload" {
		t.Errorf("%q, %v", b, err)
	}
	if _, _, err := readReply(bytes.NewReader(good.Bytes()), make([]byte, 5), nil); err == nil {
		t.Error("a payload of the wrong length was accepted")
	}
	shared := []byte("values and more")
	var head bytes.Buffer
	must(t, writeReply(&head, new(reply), shared[:6], shared))
	for _, dst := range [][]byte{nil, make([]byte, 6)} {
		if _, b, err := readReply(bytes.NewReader(head.Bytes()), dst, shared); err != nil || string(b) != "values" {
			t.Errorf("found %q, %v, want the values in shared memory", b, err)
		}
	}
	for name, c := range map[string]struct{ dst, shared []byte }{
		"wrong length": {make([]byte, 5), shared}, "beyond the memory": {nil, shared[:5]}, "no memory": {nil, nil},
	} {
		if _, _, err := readReply(bytes.NewReader(head.Bytes()), c.dst, c.shared); err == nil {
			t.Errorf("%s: shared values were accepted", name)
		}
	}
	big := nativeEndian.AppendUint32(nativeEndian.AppendUint32(nil, maxHead+1), 0)
	if _, _, err := readReply(bytes.NewReader(big), nil, nil); err == nil || !strings.Contains(err.Error(), "limit") {
		t.Errorf("error %v, want the limit", err)
	}
	claim := nativeEndian.AppendUint32(nativeEndian.AppendUint32(nil, maxHead), maxPayload)
	if _, _, err := readReply(bytes.NewReader(claim), nil, nil); !errors.Is(err, io.ErrUnexpectedEOF) &&
		!errors.Is(err, io.EOF) {
		t.Errorf("error %v, want the end", err)
	}
	if _, err := encodeRequest(&request{Name: strings.Repeat("x", maxRequest)}); err == nil {
		t.Error("a long request was accepted")
	}
	if _, err := readRequest(bytes.NewReader(nativeEndian.AppendUint32(nil, maxRequest+1))); err == nil {
		t.Error("a long request was accepted")
	}
	if _, _, err := takeStrings([]byte{255, 255, 255, 255}, 1); err == nil {
		t.Error("a long string was accepted")
	}
	if _, _, err := takeInts(make([]byte, 15), 2); err == nil {
		t.Error("missing integers were accepted")
	}
}

func FuzzReply(f *testing.F) {
	m := mutants.New(f, "hdf5, reply")
	var good bytes.Buffer
	if err := writeReply(&good, &reply{Attrs: []attrHead{{Name: "a", Class: String, Count: 1}}},
		appendString(nil, "text"), nil); err != nil {
		f.Fatal(err)
	}
	m.Add(good.Bytes())
	m.Fuzz(func(_ *testing.T, data []byte) {
		p, payload, err := readReply(bytes.NewReader(data), nil, nil)
		if err != nil {
			return
		}
		for _, a := range p.Attrs {
			_, _, _ = takeStrings(payload, a.Count)
			_, _, _ = takeInts(payload, a.Count)
			_, _, _ = takeFloats(payload, a.Count)
		}
	})
}
