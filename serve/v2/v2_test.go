package v2_test

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/voxelstream/voxelstream/internal/budget"
	"github.com/voxelstream/voxelstream/internal/testenv"

	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/format"
	"github.com/voxelstream/voxelstream/nn/layers"
	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/serve/models"
	v2 "github.com/voxelstream/voxelstream/serve/v2"
)

// values is the number of values of a row of the test model.
const values = 8

// server is a server of one model, two versions of which exist. It takes (2,2,2,1) and names its 3 classes.
type server struct {
	*httptest.Server
	t    *testing.T
	dir  string
	down error // why the server is not ready
}

func serve(t *testing.T, change func(*v2.Options)) *server {
	t.Helper()
	s := &server{t: t, dir: t.TempDir()}
	for i, version := range []string{"1", "2"} {
		dense := layers.NewDense(3, "softmax")
		m, err := nn.Sequential("m", nn.Shape{2, 2, 2, 1}, layers.NewFlatten(), dense)
		if err != nil {
			t.Fatal(err)
		}
		r := rand.New(rand.NewPCG(1, uint64(i)))
		for j := range dense.Params[0].Value {
			dense.Params[0].Value[j] = r.Float32() - .5
		}
		m.Classes = []string{"ball", "cube", "cone"}
		path := filepath.Join(s.dir, "shapes", version, "model.safetensors")
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := format.Save(path, m); err != nil {
			t.Fatal(err)
		}
	}
	settings := models.NewSettings()
	settings.Folder = s.dir
	repository := models.New(models.Options{
		Settings: settings, Threads: 2,
		Load: func(ctx context.Context, path string) (*nn.Model, record.Model, error) {
			m, err := format.Load(ctx, path)
			return m, record.Model{}, err
		},
	})
	if err := repository.LoadAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	o := v2.Options{
		Models: repository, Version: "1.2.3", MaxBody: 1 << 20, MaxMemory: 4 << 20, Control: true,
		Ready: func(context.Context) error { return s.down },
	}
	if change != nil {
		change(&o)
	}
	s.Server = httptest.NewServer(v2.New(o))
	t.Cleanup(func() {
		s.Close()
		if err := repository.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s
}

// answer is what the server answered.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (s *server) do(method, path string, body io.Reader, header ...string) answer {
	s.t.Helper()
	q, err := http.NewRequestWithContext(s.t.Context(), method, s.URL+path, body)
	if err != nil {
		s.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		q.Header.Set(header[i], header[i+1])
	}
	a, err := s.Client().Do(q)
	if err != nil {
		s.t.Fatal(err)
	}
	data, err := io.ReadAll(a.Body)
	if err = errors.Join(err, a.Body.Close()); err != nil {
		s.t.Fatal(err)
	}
	return answer{a.StatusCode, a.Header, data}
}

// infer posts a request to the current version.
func (s *server) infer(body string, header ...string) answer {
	s.t.Helper()
	return s.do(http.MethodPost, "/v2/models/shapes/infer", strings.NewReader(body), header...)
}

// want checks a status, and that an error says why.
func (a answer) want(t *testing.T, status int, text string) {
	t.Helper()
	if a.status != status || !strings.Contains(string(a.body), text) {
		t.Errorf("found %d %s, want %d %s", a.status, a.body, status, text)
	}
	if status < 400 {
		return
	}
	var e map[string]string
	if err := json.Unmarshal(a.body, &e); err != nil || len(e) != 1 || e["error"] == "" {
		t.Errorf("found %s, want an error", a.body)
	}
	if retry := a.header.Get("Retry-After"); (status == 429 || status == 503) != (retry != "") || retry == "0" {
		t.Errorf("found status %d with Retry-After %q", status, retry)
	}
}

// response is the JSON of an answer.
type response struct {
	Model   string `json:"model_name"`
	Version string `json:"model_version"`
	ID      string `json:"id"`
	Outputs []struct {
		Name, Datatype string
		Shape          []int64
		Parameters     map[string]int
		Data           json.RawMessage
	}
}

// parse returns the JSON of an answer and the bytes after it.
func (a answer) parse(t *testing.T) (r response, tail []byte) {
	t.Helper()
	n := len(a.body)
	if h := a.header.Get("Inference-Header-Content-Length"); h != "" {
		var err error
		if n, err = strconv.Atoi(h); err != nil || n > len(a.body) {
			t.Fatalf("found a header of %s bytes in a body of %d", h, len(a.body))
		}
	}
	if a.status != http.StatusOK {
		t.Fatalf("found %d %s", a.status, a.body)
	}
	if err := json.Unmarshal(a.body[:n], &r); err != nil {
		t.Fatalf("%s: %v", a.body[:n], err)
	}
	return r, a.body[n:]
}

// row is a row of numbers, as JSON and as bytes.
func row() (text string, data []byte) {
	var texts []string
	for i := range values {
		x := float32(i)*.25 - 1.1
		texts = append(texts, fmt.Sprint(x))
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(x))
	}
	return "[" + strings.Join(texts, ",") + "]", data
}

// binaryHead is the JSON of a request whose row follows it.
const binaryHead = `{"inputs":[{"name":"input_layer","shape":[1,2,2,2,1],"datatype":"FP32",` +
	`"parameters":{"binary_data_size":32}}]}`

// request is a valid request of one row.
func request() string {
	text, _ := row()
	return `{"id":"7","inputs":[{"name":"input_layer","shape":[1,2,2,2,1],"datatype":"FP32","data":` + text + `}]}`
}

func numbers(t *testing.T, data []byte) []float32 {
	t.Helper()
	out := make([]float32, len(data)/4)
	for i := range out {
		out[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
	}
	return out
}

// TestInfer: JSON and binary, compressed or not, nested or flat, give the same numbers, which are those of the network.
func TestInfer(t *testing.T) {
	s := serve(t, nil)
	text, data := row()
	r, tail := s.infer(request()).parse(t)
	var plain []float32
	if err := json.Unmarshal(r.Outputs[0].Data, &plain); err != nil {
		t.Fatal(err)
	}
	if r.Model != "shapes" || r.Version != "2" || r.ID != "7" || len(tail) != 0 || r.Outputs[0].Name != "dense" ||
		r.Outputs[0].Datatype != "FP32" || !slices.Equal(r.Outputs[0].Shape, []int64{1, 3}) {
		t.Errorf("found %+v", r)
	}
	m, err := format.Load(t.Context(), filepath.Join(s.dir, "shapes", "2", "model.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	plan, err := m.Compile(1, nn.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer plan.Close()
	copy(plan.Input(0), numbers(t, data))
	if err := plan.Forward(1, false, 0); err != nil || !slices.Equal(plan.Output(0), plain) {
		t.Errorf("found %v, want %v (%v)", plain, plan.Output(0), err)
	}

	compress := func(w io.WriteCloser, to *bytes.Buffer, text string) string {
		if _, err := io.WriteString(w, text); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return to.String()
	}
	var zipped, deflated bytes.Buffer
	head := strings.TrimSuffix(binaryHead, "}")
	half := strings.Replace(text, ",", "],[", 1)
	for name, a := range map[string]answer{
		"nested":       s.infer(strings.Replace(request(), text, "[["+half+" ]]", 1)),
		"binary input": s.infer(head+"}"+string(data), "Inference-Header-Content-Length", fmt.Sprint(len(head)+1)),
		"binary output": s.infer(head+`,"outputs":[{"name":"dense","parameters":{"binary_data":true}}]}`+string(data),
			"Inference-Header-Content-Length", fmt.Sprint(len(head)+64)),
		"all binary output": s.infer(strings.Replace(request(), "{", `{"parameters":{"binary_data_output":true},`, 1)),
		"raw":               s.infer(string(data), "Inference-Header-Content-Length", "0"),
		"gzip":              s.infer(compress(gzip.NewWriter(&zipped), &zipped, request()), "Content-Encoding", "gzip"),
		"deflate": s.infer(compress(zlib.NewWriter(&deflated), &deflated, request()), "Content-Encoding",
			"deflate"),
		"chunked": s.do(http.MethodPost, "/v2/models/shapes/versions/2/infer",
			io.MultiReader(strings.NewReader(request()))),
		"others ignored": s.infer(strings.Replace(request(), "{",
			`{"parameters":{"priority":1,"timeout":20000000,"sequence_id":0,"x":[1]},"y":null,`, 1)),
	} {
		r, tail := a.parse(t)
		var got []float32
		if strings.HasSuffix(name, "output") || name == "raw" {
			if got = numbers(t, tail); r.Outputs[0].Parameters["binary_data_size"] != len(tail) {
				t.Errorf("%s: found %v for %d bytes", name, r.Outputs[0].Parameters, len(tail))
			}
		} else if err := json.Unmarshal(r.Outputs[0].Data, &got); err != nil {
			t.Error(err)
		}
		if !slices.Equal(got, plain) {
			t.Errorf("%s: found %v, want %v", name, got, plain)
		}
	}
	old, _ := s.do(http.MethodPost, "/v2/models/shapes/versions/1/infer", strings.NewReader(request())).parse(t)
	if old.Version != "1" || bytes.Equal(old.Outputs[0].Data, r.Outputs[0].Data) {
		t.Errorf("found %+v, want the numbers of another version", old)
	}
}

// TestClassification: the largest values with their classes instead of all of them.
func TestClassification(t *testing.T) {
	s := serve(t, nil)
	ask := func(parameters string) answer {
		outputs := `{"outputs":[{"name":"dense","parameters":{` + parameters + `}}],`
		return s.infer(strings.Replace(request(), "{", outputs, 1))
	}
	r, _ := s.infer(request()).parse(t)
	var p []float64
	if err := json.Unmarshal(r.Outputs[0].Data, &p); err != nil {
		t.Fatal(err)
	}
	best := 0
	for i := range p {
		if p[i] > p[best] {
			best = i
		}
	}
	r, _ = ask(`"classification":2`).parse(t)
	var texts []string
	if err := json.Unmarshal(r.Outputs[0].Data, &texts); err != nil {
		t.Fatal(err)
	}
	first := fmt.Sprintf("%f:%d:%s", p[best], best, []string{"ball", "cube", "cone"}[best])
	if len(texts) != 2 || texts[0] != first || r.Outputs[0].Datatype != "BYTES" ||
		fmt.Sprint(r.Outputs[0].Shape) != "[1 2]" {
		t.Errorf("found %+v %v, want %s first", r.Outputs[0], texts, first)
	}
	r, tail := ask(`"classification":99,"binary_data":true`).parse(t)
	n := binary.LittleEndian.Uint32(tail)
	if fmt.Sprint(r.Outputs[0].Shape) != "[1 3]" || string(tail[4:4+n]) != first {
		t.Errorf("found %+v %q", r.Outputs[0], tail)
	}
}

// TestDescriptions: what clients read about the server and its models.
func TestDescriptions(t *testing.T) {
	s := serve(t, nil)
	get := func(path, want string) {
		t.Helper()
		s.do(http.MethodGet, path, nil).want(t, 200, want)
	}
	get("/v2", `"name":"voxelstream","version":"1.2.3"`)
	get("/v2/health/live", "")
	get("/v2/health/ready", "")
	get("/v2/models/shapes", `{"name":"shapes","versions":["1","2"],"platform":"voxelstream",`+
		`"inputs":[{"name":"input_layer","datatype":"FP32","shape":[-1,2,2,2,1]}],`+
		`"outputs":[{"name":"dense","datatype":"FP32","shape":[-1,3]}]}`)
	get("/v2/models/shapes/versions/1", `"name":"shapes"`)
	get("/v2/models/shapes/ready", "")
	get("/v2/models/shapes/versions/2/ready", "")
	get("/v2/models/shapes/config", `"input":[{"name":"input_layer","data_type":"TYPE_FP32","dims":[2,2,2,1]}]`)
	s.infer(request()).want(t, 200, "")
	s.infer("{}").want(t, 400, "expected 1 inputs")
	for _, path := range []string{"/v2/models/stats", "/v2/models/shapes/stats", "/v2/models/shapes/versions/2/stats"} {
		get(path, `"inference_count":1`)
		get(path, `"fail":{"count":1,`)
	}
	for _, path := range []string{"x", "shapes/versions/3", "x/ready", "x/stats"} {
		s.do(http.MethodGet, "/v2/models/"+path, nil).want(t, 404, "not found")
	}
	s.do(http.MethodPost, "/v2/models/x/infer", strings.NewReader(request())).want(t, 404, "unknown model: 'x'")
	for _, path := range []string{"/v2/x", "/v2/models", "/v2/systemsharedmemory/status", "/v2/models/shapes/x"} {
		s.do(http.MethodGet, path, nil).want(t, 404, "nothing at")
	}
	s.do(http.MethodGet, "/v2/models/shapes/infer", nil).want(t, 405, "want POST")
	s.do(http.MethodDelete, "/v2/models/shapes", nil).want(t, 405, "want GET")
	s.down = errors.New("no model yet")
	s.do(http.MethodGet, "/v2/health/ready", nil).want(t, 503, "no model yet")
	get("/v2/health/live", "")
}

// TestRepository: clients list, load and unload models.
func TestRepository(t *testing.T) {
	s := serve(t, nil)
	post := func(path, body string) answer { return s.do(http.MethodPost, path, strings.NewReader(body)) }
	post("/v2/repository/index", "").want(t, 200,
		`[{"name":"shapes","version":"1","state":"READY","reason":""},{"name":"shapes"`)
	post("/v2/repository/models/shapes/unload", `{"parameters":{"unload_dependents":false}}`).want(t, 200, "")
	s.infer(request()).want(t, 503, "model 'shapes' is not ready")
	s.do(http.MethodGet, "/v2/models/shapes/ready", nil).want(t, 503, "unloaded")
	post("/v2/repository/index", `{"ready":true}`).want(t, 200, "[]")
	post("/v2/repository/index", `{}`).want(t, 200, `"state":"UNAVAILABLE","reason":"unloaded"`)
	post("/v2/repository/models/shapes/load", "").want(t, 200, "")
	s.infer(request()).want(t, 200, "")
	post("/v2/repository/models/x/load", "").want(t, 404, "failed to load 'x'")
	post("/v2/repository/models/x/unload", "").want(t, 404, "")
	post("/v2/repository/models/shapes/load", `{"parameters":{"config":"{}"}}`).want(t, 400, "not supported")
	post("/v2/repository/models/shapes/load", `{"parameters":{"file:1/model.onnx":"AAAA"}}`).
		want(t, 400, "not supported")
	post("/v2/repository/models/shapes/load", `[`).want(t, 400, "failed to parse")
	post("/v2/repository/index", strings.Repeat(" ", 1<<20)).want(t, 413, "too large")

	s.do(http.MethodPost, "/v2/repository/models/shapes/unload", nil, "Sec-Fetch-Site", "cross-site").
		want(t, 403, "another site")
	s.infer(request()).want(t, 200, "")

	fixed := serve(t, func(o *v2.Options) { o.Control = false })
	fixed.do(http.MethodPost, "/v2/repository/models/shapes/unload", nil).want(t, 403, "turned off")
	fixed.do(http.MethodPost, "/v2/repository/index", nil).want(t, 200, "shapes")
}

// TestLimits: sizes, memory and deadlines.
func TestLimits(t *testing.T) {
	s := serve(t, func(o *v2.Options) { o.MaxBody, o.MaxMemory = 10_000, 15_000 })
	s.infer(strings.Repeat(" ", 10_001)).want(t, 413, "too large")
	s.do(http.MethodPost, "/v2/models/shapes/infer", io.MultiReader(strings.NewReader(strings.Repeat(" ", 10_001)))).
		want(t, 413, "too large")
	var bomb bytes.Buffer
	w := gzip.NewWriter(&bomb)
	if _, err := w.Write(make([]byte, 100_000)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	s.infer(bomb.String(), "Content-Encoding", "gzip").want(t, 413, "too large")
	little := serve(t, func(o *v2.Options) { o.Budget = budget.New(1 << 20) })
	little.infer(strings.Repeat(" ", 900_000)).want(t, 413, "ingest.memory")
	little.infer(request()).want(t, 200, "")

	slow, body := io.Pipe()
	done := make(chan answer)
	go func() { done <- s.do(http.MethodPost, "/v2/models/shapes/infer", slow) }()
	if _, err := io.WriteString(body, request()[:20]); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(testenv.Patience); ; { // until the server has begun to read the slow request
		a := s.infer(request() + strings.Repeat(" ", 9000))
		if a.status != http.StatusOK {
			a.want(t, 429, "in progress")
			break
		}
		if time.Now().After(end) {
			t.Fatal("the memory of requests is not limited")
		}
	}
	s.infer(request()).want(t, 200, "") // a small one fits
	if _, err := io.WriteString(body, request()[20:]); err != nil {
		t.Fatal(err)
	}
	if err := body.Close(); err != nil {
		t.Fatal(err)
	}
	a := <-done
	a.want(t, 200, "")
	s.infer(strings.Replace(request(), "{", `{"parameters":{"timeout":1},`, 1)).want(t, 504, "deadline")
}

// TestMalformed: what is wrong with a request is the client's fault, and said.
func TestMalformed(t *testing.T) {
	s := serve(t, nil)
	text, data := row()
	change := func(old, new string) string { return strings.Replace(request(), old, new, 1) }
	for body, want := range map[string]string{
		"":                                    "failed to parse",
		"null":                                "expected 1 inputs",
		"[]":                                  "failed to parse",
		"{":                                   "failed to parse",
		`{"inputs":{}}`:                       "failed to parse",
		request() + "x":                       "failed to parse",
		change(text, "[1,2,3]"):               "found 3 numbers, want 8",
		change(text, "[]"):                    "found 0 numbers, want 8",
		change(text, `"abc"`):                 "want an array of numbers",
		change(text, "7"):                     "want an array of numbers",
		change(text, `["1"]`):                 "want numbers",
		change(text, `[true]`):                "want numbers",
		change(text, `[{"a":1}]`):             "want numbers",
		change(text, `[null]`):                "want numbers",
		change(text, `[1e99]`):                "in the range of FP32",
		change(text, "null"):                  "found 0 numbers|neither|want an array",
		change(`,"data":`+text, ""):           "neither data nor binary_data_size",
		change("FP32", "FP64"):                "data-type is 'FP64'",
		change("FP32", "BYTES"):               "data-type is 'BYTES'",
		change("[1,2,2,2,1]", "[8]"):          "unexpected shape",
		change("[1,2,2,2,1]", "[-1,2,2,2,1]"): "want 8|want 0|batch size",
		change("[1,2,2,2,1]", "[4611686018427387904,2,2,2,1]"):          "want 0",
		change("[1,2,2,2,1]", "[1.5,2,2,2,1]"):                          "failed to parse",
		change("[1,2,2,2,1]", "null"):                                   "unexpected shape|want 1",
		change("input_layer", "other"):                                  "unexpected inference input 'other'",
		change(`"data"`, `"parameters":{"binary_data_size":32},"data"`): "both data and binary_data_size",
		change(`"data":`+text, `"parameters":{"binary_data_size":32}`):  "only 0 bytes are left",
		change(`"data":`+text, `"parameters":{"binary_data_size":-1}`):  "failed to parse",
		change("{", `{"outputs":[{"name":"x"}],`):                       "unexpected inference output 'x'",
		change("{", `{"outputs":[{"name":"dense"},{"name":"dense"}],`):  "twice",
		change("{", `{"parameters":{"sequence_id":3},`):                 "sequence_id",
		change("{", `{"parameters":{"sequence_id":{}},`):                "sequence_id",
		change("{", `{"parameters":{"timeout":-3},`):                    "failed to parse",
	} {
		a := s.infer(body)
		says := func(w string) bool { return strings.Contains(string(a.body), w) }
		if !slices.ContainsFunc(strings.Split(want, "|"), says) {
			t.Errorf("%s: found %s, want %s", body, a.body, want)
		}
		a.want(t, 400, "")
	}
	for _, header := range []string{"-1", "x", "1e3", "99999999999999999999", "100000"} {
		s.infer(request(), "Inference-Header-Content-Length", header).want(t, 400, "Inference-Header-Content-Length")
	}
	s.infer(request()+"1234", "Inference-Header-Content-Length", fmt.Sprint(len(request()))).
		want(t, 400, "4 bytes after")
	s.infer(string(data[1:]), "Inference-Header-Content-Length", "0").want(t, 400, "a multiple of 32")
	s.infer("", "Inference-Header-Content-Length", "0").want(t, 400, "a multiple of 32")
	s.infer(request(), "Content-Encoding", "br").want(t, 400, "gzip or deflate")
	s.infer(request(), "Content-Encoding", "gzip").want(t, 400, "cannot be read")
	nan := binary.LittleEndian.AppendUint32(data[:values*4-4:values*4-4], math.Float32bits(float32(math.NaN())))
	head := binaryHead
	s.infer(head+string(nan), "Inference-Header-Content-Length", fmt.Sprint(len(head))).
		want(t, 400, "JSON cannot represent")
	s.infer(string(nan), "Inference-Header-Content-Length", "0").want(t, 200, "")
}

// TestRandomDamage: requests with random damage never are an error of the server, and the server answers afterwards.
func TestRandomDamage(t *testing.T) {
	s := serve(t, nil)
	r := rand.New(rand.NewPCG(1, 18))
	_, data := row()
	head := strings.TrimSuffix(binaryHead, "}") +
		`,"outputs":[{"name":"dense","parameters":{"binary_data":false,"classification":0}}],"parameters":{"priority":1}}`
	statuses := map[int]int{}
	for range 1000 {
		text, header := request(), ""
		if r.IntN(2) == 0 {
			text, header = head+string(data), fmt.Sprint(len(head))
		}
		body := []byte(text)
		for range 1 + r.IntN(3) {
			i := r.IntN(len(body))
			switch r.IntN(4) {
			case 0:
				body[i] = byte(r.UintN(256))
			case 1:
				body = slices.Delete(body, i, min(len(body), i+1+r.IntN(20)))
			case 2:
				body = slices.Insert(body, i, body[r.IntN(i+1):i+1]...)
			case 3:
				body[i] = `{}[],:"0123456789-e.`[r.IntN(20)]
			}
			if len(body) == 0 {
				body = []byte("{}")
			}
		}
		a := s.infer(string(body), "Inference-Header-Content-Length", header)
		statuses[a.status]++
		if a.status >= 500 || a.status != 200 && !json.Valid(a.body) {
			t.Fatalf("%q: found %d %s", body, a.status, a.body)
		}
	}
	t.Log(statuses)
	if statuses[400] < 300 || statuses[200] < 10 {
		t.Errorf("found statuses %v, want damaged and valid requests", statuses)
	}
	s.infer(request()).want(t, 200, "")
}
