package serving

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/apptest"
	"github.com/voxelstream/voxelstream/app/models"
	"github.com/voxelstream/voxelstream/app/stream"
	"github.com/voxelstream/voxelstream/ingest/array"
	"github.com/voxelstream/voxelstream/internal/testenv"
	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/format"
	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/serve/v2/grpc/inference"
)

// start serves until the test ends or stop is called, which returns what Serve did. Ready is closed when the listener
// accepts requests.
func start(t *testing.T, overrides ...string) (url string, stop func() error) {
	t.Helper()
	a := apptest.New(t, append([]string{"http.listen", "127.0.0.1:0"}, overrides...)...)
	ctx, cancel := context.WithCancel(t.Context())
	address, ended := make(chan string, 1), make(chan error, 1)
	go func() {
		ended <- a.Serve(ctx, func(ctx context.Context, a *app.Env) error {
			address <- a.HTTP.Base().String()
			return Serve(ctx, a)
		})
		close(ended)
	}()
	stop = func() error {
		cancel()
		return <-ended
	}
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
	select {
	case at := <-address:
		return strings.TrimSuffix(at, "/"), stop
	case err := <-ended:
		t.Fatal(err)
		return "", nil
	}
}

func ask(t *testing.T, method, url string, body io.Reader, header ...string) (int, []byte) {
	t.Helper()
	q, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		q.Header.Set(header[i], header[i+1])
	}
	c := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	a, err := c.Do(q)
	if err != nil {
		t.Error(err)
		return 0, nil
	}
	data, err := io.ReadAll(a.Body)
	if err = errors.Join(err, a.Body.Close()); err != nil {
		t.Error(err)
	}
	return a.StatusCode, data
}

// ready waits until the server is ready.
func ready(t *testing.T, url string) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		status, body := ask(t, http.MethodGet, url+"/v2/health/ready", nil)
		if status == http.StatusOK {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("the server is not ready: %s", body)
		}
	}
}

// TestSameNumbers: a model gives the same numbers, to the last bit, over HTTP, in model predict and behind Kafka. Its
// scores are the outputs of the network, as it has no calibration.
func TestSameNumbers(t *testing.T) {
	dir := t.TempDir()
	model := filepath.Join(dir, "copy.safetensors")
	a := apptest.New(t, "voxelize.values", "raw")
	m, err := models.Load(t.Context(), "", format.Options{})
	if err != nil {
		t.Fatal(err)
	}
	m.Trust = nn.Trust{}
	if err := format.Save(model, m.Model); err != nil {
		t.Fatal(err)
	}
	const rows = 100 // more than a batch
	shape := []int{rows, 16, 16, 16, 1}
	x := make([]float32, rows*16*16*16)
	r := rand.New(rand.NewPCG(1, 1))
	var body []byte
	for i := range x {
		x[i] = r.Float32()
		body = binary.LittleEndian.AppendUint32(body, math.Float32bits(x[i]))
	}
	in, out := filepath.Join(dir, "x.npy"), filepath.Join(dir, "y.npy")
	var npy bytes.Buffer
	if err := array.WriteFloat32(&npy, shape, x); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(in, npy.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := models.Predict(t.Context(), a, model, []string{in}, []string{out}); err != nil {
		t.Fatal(err)
	}
	_, want, err := array.ReadRows(out, []int{10})
	if err != nil {
		t.Fatal(err)
	}

	results := filepath.Join(dir, "results.jsonl")
	streamed := apptest.New(t, "voxelize.values", "raw", "model.path", model, "model.top_k", "10", "sinks.out", results,
		"sinks.kafka", "false", "broker.data_dir", filepath.Join(dir, "kafka"))
	if _, err := stream.Run(t.Context(), streamed, []string{in}); err != nil {
		t.Fatal(err)
	}
	lines, err := os.ReadFile(results)
	if err != nil {
		t.Fatal(err)
	}
	classified := 0
	for line := range bytes.Lines(lines) {
		var c record.Classification
		if err := json.Unmarshal(line, &c); err != nil {
			t.Fatal(err)
		}
		classified++
		for _, s := range c.TopK {
			if w := want[int(c.Seq)*10+s.Class]; s.Score != w {
				t.Errorf("%s, class %d: found score %g behind Kafka, want %g", c.EventID, s.Class, s.Score, w)
			}
		}
	}
	if classified != rows {
		t.Errorf("found %d classifications, want %d", classified, rows)
	}

	url, _ := start(t, "serve.models", "copy="+model)
	ready(t, url)
	status, answer := ask(t, http.MethodPost, url+"/v2/models/copy/infer", bytes.NewReader(body),
		"Inference-Header-Content-Length", "0")
	if status != http.StatusOK {
		t.Fatalf("found %d %s", status, answer)
	}
	answer = answer[len(answer)-4*len(want):]
	got := make([]float32, len(want))
	for i := range got {
		got[i] = math.Float32frombits(binary.LittleEndian.Uint32(answer[4*i:]))
	}
	if !slices.Equal(got, want) {
		t.Error("found other numbers over HTTP than in model predict")
	}
	status, page := ask(t, http.MethodGet, url+"/metrics", nil)
	for _, text := range []string{
		`voxelstream_inference_rows_total{model="copy",version=`,
		`voxelstream_inference_stage_duration_seconds_count{model="copy",stage="queue",version=`,
		`voxelstream_inference_batch_rows_count{model="copy"`,
		`voxelstream_inference_pending_requests{model="copy"`,
		`voxelstream_model_info{name="copy"`,
	} {
		if status != http.StatusOK || !strings.Contains(string(page), text) {
			t.Errorf("the metrics have no %s", text)
		}
	}
}

// TestDrain: after the signal, requests in progress are answered.
func TestDrain(t *testing.T) {
	url, stop := start(t)
	ready(t, url)
	body, writer := io.Pipe()
	type result struct {
		status int
		body   []byte
	}
	answered := make(chan result)
	go func() {
		status, data := ask(t, http.MethodPost, url+"/v2/models/digits/infer", body)
		answered <- result{status, data}
	}()
	numbers := strings.TrimSuffix(strings.Repeat("0,", 16*16*16), ",")
	text := `{"inputs":[{"name":"input_layer","shape":[1,16,16,16,1],"datatype":"FP32","data":[` + numbers + `]}]}`
	if _, err := io.WriteString(writer, text[:6000]); err != nil { // more than the client's buffer: it has been sent
		t.Fatal(err)
	}
	time.Sleep(50 * time.Millisecond) // until the server reads it
	stopped := make(chan error)
	go func() { stopped <- stop() }()
	for end := time.Now().Add(testenv.Patience); ; {
		if status, _ := ask(t, http.MethodGet, url+"/readyz", nil); status == http.StatusServiceUnavailable {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the server stays ready while it stops")
		}
	}
	if _, err := io.WriteString(writer, text[6000:]); err != nil {
		t.Fatal(err)
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	if r := <-answered; r.status != http.StatusOK {
		t.Errorf("found %d %s", r.status, r.body)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

// TestStart: models that cannot be loaded are reported, and the server needs an address.
func TestStart(t *testing.T) {
	a := apptest.New(t, "http.listen", "127.0.0.1:0", "serve.models", "/does/not/exist.keras")
	err := a.Serve(t.Context(), Serve)
	if err == nil || !strings.Contains(err.Error(), "/does/not/exist.keras") {
		t.Errorf("found %v", err)
	}
	if err := Serve(t.Context(), apptest.New(t)); !app.IsUsage(err) {
		t.Errorf("found %v", err)
	}
	named := Repository(apptest.New(t, "model.path", "x/shapes.keras"))
	if err := named.LoadAll(t.Context()); err == nil || !strings.Contains(fmt.Sprint(err), "model shapes") {
		t.Errorf("found %v", err)
	}
}

// TestTLS: with the certificate of the HTTP listener, gRPC is encrypted and refuses connections that are not.
func TestTLS(t *testing.T) {
	ours := testenv.NewAuthority(t)
	cert, key := ours.Issue("models.example")
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	url, _ := start(t, "http.cert_file", cert, "http.key_file", key, "serve.grpc", address)
	if !strings.HasPrefix(url, "https://") {
		t.Errorf("found %s, want https", url)
	}
	trusted, err := credentials.NewClientTLSFromFile(ours.File, "models.example")
	if err != nil {
		t.Fatal(err)
	}
	live := func(c credentials.TransportCredentials, wait bool) error {
		conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(c))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close() //nolint:errcheck // a test
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		a, err := inference.NewGRPCInferenceServiceClient(conn).ServerLive(ctx, &inference.ServerLiveRequest{},
			grpc.WaitForReady(wait))
		if err == nil && !a.GetLive() {
			t.Error("the server is not live")
		}
		return err
	}
	if err := live(trusted, true); err != nil {
		t.Errorf("with TLS: %v", err)
	}
	if err := live(insecure.NewCredentials(), false); err == nil {
		t.Error("a call without TLS was answered")
	}
}

// TestControl: without serve.control, clients cannot change which models answer.
func TestControl(t *testing.T) {
	url, _ := start(t, "serve.control", "false")
	ready(t, url)
	for path, body := range map[string]string{
		"/v2/repository/models/digits/unload": "{}", "/v2/repository/models/digits/load": "{}",
		"/api/models/switch": `{"name":"digits","version":"1"}`, "/api/models/rollback": "{}",
	} {
		status, answer := ask(t, http.MethodPost, url+path, strings.NewReader(body), "Content-Type", "application/json")
		if status != http.StatusForbidden {
			t.Errorf("%s: found %d %s", path, status, answer)
		}
	}
	if status, body := ask(t, http.MethodGet, url+"/api/models", nil); status != http.StatusOK {
		t.Errorf("found %d %s", status, body)
	}
}
