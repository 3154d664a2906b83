//go:build unix

package integration

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/voxelstream/voxelstream/internal/testenv"
)

var listeningGRPC = regexp.MustCompile(`listening for gRPC.* address=(127\.0\.0\.1:\d+)`)

// serve starts the inference server with the model "digits" and returns its addresses.
func (w *world) serve(model string) (p *process, http, grpc string) {
	w.t.Helper()
	w.set("serve.watch", "0s")
	p = w.start("serve", "--http", ":0", "--grpc", ":0", "--model", "digits="+model)
	http = p.httpAddr(w.t)
	p.ready(w.t, http)
	return p, http, listeningGRPC.FindStringSubmatch(p.stderr.String())[1]
}

// clients returns the folder of an environment with the clients of scripts/clients-requirements.txt, or skips.
func clients(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("VOXELSTREAM_CLIENTS")
	if dir == "" {
		t.Skip("set VOXELSTREAM_CLIENTS to an environment with scripts/clients-requirements.txt to compare with it")
	}
	return filepath.Join(dir, "bin")
}

// tensor returns rows of the input of a network for 16x16x16 cells, as values between 0 and 1.
func tensor(rows int) []float32 {
	r := rand.New(rand.NewPCG(1, 2))
	out := make([]float32, rows*16*16*16*3)
	for i := range out {
		out[i] = r.Float32()
	}
	return out
}

// TestPythonTritonClients checks that Triton's own clients get the same numbers as model predict in every way of asking.
// Both compute batches of 64 rows. With fewer rows, predict rounds differently.
func TestPythonTritonClients(t *testing.T) {
	bin := clients(t)
	w := newWorld(t)
	w.write("x.npy", npyOf([]int{70, 16, 16, 16, 3}, tensor(70)))
	model := must(smallModel())(t)
	w.do(0, "model", "predict", model, "--values", "raw", "--input", "x.npy", "--output", "y.npy")
	p, http, grpc := w.serve(model)
	script := filepath.Join(testenv.Root(), "integration", "scripts", "triton_clients.py")
	cmd := exec.CommandContext(t.Context(), filepath.Join(bin, "python"), script, http, grpc, "digits", w.path("x.npy"),
		w.path("y.npy"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
	p.terminate(t)
	p.wait(t, 0)
}

// TestPythonSchemathesis lets schemathesis derive requests from the OpenAPI document, valid and invalid ones, and check
// status, type and schema of each answer.
func TestPythonSchemathesis(t *testing.T) {
	bin := clients(t)
	w := newWorld(t)
	p, http, _ := w.serve(must(smallModel())(t))
	w.write("schemathesis.toml", []byte("[parameters]\n\"path.model\" = \"digits\"\n"))
	// A valid request for the schema may still be none for the model. Loading is left out, since the rest needs the
	// model.
	cmd := exec.CommandContext(t.Context(), filepath.Join(bin, "schemathesis"), "run",
		"http://"+http+"/v1/openapi.json",
		"--phases", "coverage,fuzzing", "--max-examples", "5", "--seed", "1",
		"--exclude-checks", "positive_data_acceptance", "--exclude-path-regex",
		"load", "--no-color")
	cmd.Dir = w.dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	p.terminate(t)
	p.wait(t, 0)
}

// bodies returns valid requests, as path and body.
func bodies(w *world) map[string][]byte {
	values := make([]string, 16*16*16*3)
	for i := range values {
		values[i] = "0.5"
	}
	input := `{"inputs":[{"name":"input_layer","datatype":"FP32","shape":[1,16,16,16,3],"data":[%s]}]}`
	return map[string][]byte{
		"/v2/models/digits/infer":            fmt.Appendf(nil, input, strings.Join(values, ",")),
		"/v2/models/digits/versions/1/infer": fmt.Appendf(nil, input, "1,2"),
		"/v2/repository/index":               []byte(`{"ready":true}`),
		"/v2/repository/models/other/load":   []byte(`{"parameters":{"a":1}}`),
		"/v2/models/digits/config":           nil,
		"/v1/classify":                       must(os.ReadFile(w.digits("a.npz", 3, 1)))(w.t),
		"/v1/classify?name=a.pcd": []byte("VERSION .7\nFIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nCOUNT 1 1 1\nWIDTH 2\n" +
			"HEIGHT 1\nPOINTS 2\nDATA ascii\n1 2 3\n4 5 6\n"),
		"/api/explain?method=gradient": []byte("VXF1\x10\x00\x00\x00{\"type\":\"frame\"}"),
	}
}

// malformed returns a request that is damaged in some way, or by chance still valid.
func malformed(r *rand.Rand, addr string, valid map[string][]byte, paths []string) *http.Request {
	path := paths[r.IntN(len(paths))]
	body := slices.Clone(valid[path])
	junk := []string{
		"", "-1", "0", "1e9", "99999999999999999999", "null", "true", "{}", "[]", `"`, "\\u0000", "NaN", "%00", "..", "é",
		"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[", "application/json", "gzip", "multipart/form-data; boundary=x",
		"application/vnd.apache.arrow.stream",
	}
	any := func() string { return junk[r.IntN(len(junk))] }
	for range r.IntN(4) {
		switch at := r.IntN(len(body) + 1); r.IntN(4) {
		case 0:
			body = body[:at]
		case 1:
			body = slices.Insert(body, at, []byte(any())...)
		case 2:
			if at < len(body) {
				body[at] = byte(r.UintN(256))
			}
		case 3:
			body = slices.Delete(body, at, at+r.IntN(len(body)-at+1))
		}
	}
	if r.IntN(4) == 0 {
		at := 1 + r.IntN(len(path))
		path = path[:at] + strings.NewReplacer("%", "%25", "\"", "%22", "[", "%5B", "{", "%7B", "\\", "%5C", "}", "%7D",
			"]", "%5D", " ", "%20").Replace(any()) + path[at:]
	}
	methods := []string{"POST", "POST", "POST", "POST", "GET", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "X"}
	method := methods[r.IntN(len(methods))]
	q, err := http.NewRequest(method, "http://"+addr+path, bytes.NewReader(body)) //nolint:noctx // below
	if err != nil {
		return nil // not a URL
	}
	for _, name := range []string{
		"Inference-Header-Content-Length", "Content-Type", "Content-Encoding", "Accept", "Content-Disposition",
	} {
		switch r.IntN(6) {
		case 0:
			q.Header.Set(name, strings.Trim(any(), "\x00"))
		case 1:
			q.Header.Set(name, strconv.Itoa(r.IntN(len(body)+2)))
		}
	}
	return q
}

// TestMalformed sends 5,000 damaged requests. The server must refuse them, without an internal error, and must still
// answer afterwards.
func TestMalformed(t *testing.T) {
	needHDF5(t)
	slow(t)
	w := newWorld(t)
	p, addr, _ := w.serve(must(smallModel())(t))
	valid := bodies(w)
	var paths []string
	for path := range valid {
		paths = append(paths, path)
	}
	slices.Sort(paths)
	const clients, each = 8, 625
	var sent, failed atomic.Int64
	var all sync.WaitGroup
	for n := range clients {
		all.Go(func() {
			r := rand.New(rand.NewPCG(7, uint64(n)))
			for range each {
				q := malformed(r, addr, valid, paths)
				if q == nil {
					sent.Add(1)
					continue
				}
				answer, err := http.DefaultClient.Do(q.WithContext(t.Context()))
				sent.Add(1)
				if err != nil {
					if strings.Contains(err.Error(), "invalid header") ||
						strings.Contains(err.Error(), "invalid method") {
						continue // not sent
					}
					t.Errorf("%s %s: %v", q.Method, q.URL, err)
					continue
				}
				text, _ := io.ReadAll(io.LimitReader(answer.Body, 500))
				_ = answer.Body.Close()
				if answer.StatusCode >= 400 {
					failed.Add(1)
				}
				if s := answer.StatusCode; s >= 500 && s != 503 && s != 504 {
					t.Errorf("%s %s: found status %d: %s", q.Method, q.URL, s, text)
				}
			}
		})
	}
	all.Wait()
	if sent.Load() != clients*each || failed.Load() < clients*each/2 {
		t.Errorf("%d requests were sent and %d refused, want %d and at least half of them", sent.Load(), failed.Load(),
			clients*each)
	}
	if status, body := get(t, addr, "/readyz"); status != 200 {
		t.Errorf("found status %d: %s", status, body)
	}
	p.terminate(t)
	p.wait(t, 0)
}

// TestReloads loads a model again and again, alternating between two files, while clients send requests. None of them
// may fail, and each answer must be that of one of the two. VOXELSTREAM_RELOADS is the number of reloads.
func TestReloads(t *testing.T) {
	slow(t)
	reloads := 10
	if n, err := strconv.Atoi(os.Getenv("VOXELSTREAM_RELOADS")); err == nil {
		reloads = n
	}
	w := newWorld(t)
	first := must(os.ReadFile(must(smallModel())(t)))(t)
	second := w.path("second.keras")
	w.do(0, "train", strings.TrimSuffix(must(smallModel())(t), ".keras")+".npz", "--epochs", "2", "--seed", "5",
		"--validation-split", "0", "--out", second)
	files := [][]byte{first, must(os.ReadFile(second))(t)}
	model := w.write("m.keras", first)
	p, addr, _ := w.serve(model)
	body := new(bytes.Buffer)
	if err := binary.Write(body, binary.LittleEndian, tensor(1)); err != nil {
		t.Fatal(err)
	}
	infer := func(ctx context.Context) (string, error) {
		q, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+addr+"/v2/models/digits/infer",
			bytes.NewReader(body.Bytes()))
		if err != nil {
			return "", err
		}
		q.Header.Set("Inference-Header-Content-Length", "0")
		a, err := http.DefaultClient.Do(q)
		if err != nil {
			return "", err
		}
		defer a.Body.Close() //nolint:errcheck // read only
		b, err := io.ReadAll(a.Body)
		if err != nil || a.StatusCode != http.StatusOK {
			return "", fmt.Errorf("status %d: %s, %w", a.StatusCode, b, err)
		}
		return string(b[len(b)-10*4:]), nil
	}
	load := func(i int) {
		t.Helper()
		if err := os.WriteFile(model+".new", files[i%2], 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(model+".new", model); err != nil {
			t.Fatal(err)
		}
		a, err := http.Post("http://"+addr+"/v2/repository/models/digits/load", "", nil) //nolint:noctx // it ends
		if err != nil {
			t.Fatal(err)
		}
		defer a.Body.Close() //nolint:errcheck // read only
		if b, _ := io.ReadAll(a.Body); a.StatusCode != http.StatusOK {
			t.Fatalf("load %d: status %d: %s", i, a.StatusCode, b)
		}
	}
	known := map[string]bool{}
	for i := range 2 {
		load(i)
		known[must(infer(t.Context()))(t)] = true
	}
	if len(known) != 2 {
		t.Fatal("both models give the same numbers, want different ones")
	}
	var requests atomic.Int64
	ctx, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for ctx.Err() == nil {
				got, err := infer(t.Context())
				if err != nil || !known[got] {
					t.Errorf("request %d: found other numbers than those of both models, %v", requests.Load(), err)
					return
				}
				requests.Add(1)
			}
		})
	}
	for i := range reloads {
		load(i)
	}
	stop()
	all.Wait()
	t.Logf("%d reloads, %d requests, none failed", reloads, requests.Load())
	if requests.Load() == 0 {
		t.Error("no request was sent")
	}
	p.terminate(t)
	p.wait(t, 0)
}
