package v1

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/classify"
	"github.com/voxelstream/voxelstream/ingest/formats"
	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/zoo"
	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/serve/batch"
	"github.com/voxelstream/voxelstream/serve/classifier"
	"github.com/voxelstream/voxelstream/serve/frame"
	"github.com/voxelstream/voxelstream/serve/models"
	"github.com/voxelstream/voxelstream/voxelize"
	"github.com/voxelstream/voxelstream/voxelize/volarrow"
)

// start serves the model "digits", whose input is volumes of 16x16x16 cells in the colours of Oranges.
func start(t *testing.T) (url string, repository *models.Repository, folder string) {
	t.Helper()
	m, err := zoo.New("tutorial", nn.Shape{16, 16, 16, 3}, 10)
	if err != nil {
		t.Fatal(err)
	}
	m.Init(1)
	m.Colormap = "Oranges"
	repository = models.New(models.Options{
		Settings: models.NewSettings(), Files: []string{"digits="},
		Load: func(context.Context, string) (*nn.Model, record.Model, error) {
			return m, record.Model{Name: "digits", Version: "1", Digest: "d"}, nil
		},
	})
	if err := repository.LoadAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	folder = t.TempDir()
	mux := http.NewServeMux()
	mux.Handle("/v1/classify", New(Options{
		Find: classifier.Of(repository), Reading: formats.NewOptions(), Voxelize: voxelize.DefaultOptions(),
		MaxBody:  1 << 20,
		Requests: 2, Folder: folder,
	}))
	mux.Handle("/v1/", Reference("test"))
	s := httptest.NewServer(mux)
	t.Cleanup(func() {
		s.Close()
		if err := repository.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s.URL, repository, folder
}

// cloud returns an ASCII PCD file of points on a line that n determines.
func cloud(n int) []byte {
	var b bytes.Buffer
	b.WriteString(
		"VERSION .7\nFIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nCOUNT 1 1 1\nWIDTH 50\nHEIGHT 1\nPOINTS 50\nDATA ascii\n",
	)
	for i := range 50 {
		fmt.Fprintf(&b, "%d %d %d\n", i, i*n, (i*7)%11)
	}
	return b.Bytes()
}

// post sends a body and returns the answer.
func post(t *testing.T, url string, body []byte, headers ...string) (status int, kind string, answer []byte) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	a, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close() //nolint:errcheck // read only
	answer, err = io.ReadAll(a.Body)
	if err != nil {
		t.Fatal(err)
	}
	return a.StatusCode, a.Header.Get("Content-Type"), answer
}

type result struct {
	record.Classification
	Error string `json:"error"`
}

// items decodes an answer that is a JSON array.
func items(t *testing.T, status int, answer []byte) (out []result) {
	t.Helper()
	if err := json.Unmarshal(answer, &out); err != nil || status != http.StatusOK {
		t.Fatalf("status %d, %v: %.300s", status, err, answer)
	}
	return out
}

func TestFiles(t *testing.T) {
	url, _, folder := start(t)
	status, kind, answer := post(t, url+"/v1/classify?name=a.pcd", cloud(1))
	one := items(t, status, answer)
	if len(one) != 1 || one[0].Error != "" || len(one[0].TopK) != 3 || kind != "application/json" ||
		!strings.HasPrefix(one[0].EventID, "a.pcd-") {
		t.Fatalf("found %s: %s", kind, answer)
	}
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, _ = z.Write(cloud(1))
	_ = z.Close()
	status, _, answer = post(t, url+"/v1/classify", zipped.Bytes(), "Content-Encoding", "gzip", "Content-Disposition",
		`attachment; filename="a.pcd"`)
	if again := items(t, status, answer); again[0].EventID != one[0].EventID ||
		!slices.Equal(again[0].TopK, one[0].TopK) {
		t.Errorf("compressed: found %v, want %v", again, one)
	}
	var b bytes.Buffer
	form := multipart.NewWriter(&b)
	for i := range 3 {
		part, err := form.CreateFormFile("file", fmt.Sprintf("%d.pcd", i))
		if err != nil {
			t.Fatal(err)
		}
		data := cloud(i)
		if i == 1 {
			data = data[:60]
		}
		_, _ = part.Write(data)
	}
	_ = form.Close()
	status, _, answer = post(t, url+"/v1/classify", b.Bytes(), "Content-Type", form.FormDataContentType())
	three := items(t, status, answer)
	if len(three) != 3 || three[0].Error != "" || three[1].Error == "" || three[2].Error != "" {
		t.Errorf("found %s", answer)
	}
	status, kind, answer = post(t, url+"/v1/classify", b.Bytes(), "Content-Type", form.FormDataContentType(), "Accept",
		"application/jsonl")
	if status != http.StatusOK || kind != "application/jsonl" || bytes.Count(answer, []byte("\n")) != 3 {
		t.Errorf("found %d %s: %s", status, kind, answer)
	}
	if bytes.Contains(answer, []byte(folder)) {
		t.Errorf("found the folder of uploads in the answer: %s", answer)
	}
	if left, err := os.ReadDir(folder); err != nil || len(left) > 0 {
		t.Errorf("found %v, %v in the folder of uploads, want nothing", left, err)
	}
}

func TestFrames(t *testing.T) {
	url, _, _ := start(t)
	status, kind, answer := post(t, url+"/v1/classify?volumes=1&name=a.pcd", cloud(1))
	m, err := frame.Decode(answer)
	if err != nil || status != http.StatusOK || kind != frame.ContentType {
		t.Fatalf("found status %d, %s, %v", status, kind, err)
	}
	v, err := m.Volume()
	if err != nil || v.Dims != [3]int{16, 16, 16} || !slices.Contains(v.Index, 255) {
		t.Errorf("found %v, %v", v.Dims, err)
	}
	if _, points, err := m.Part("points", frame.U16); err != nil || len(points) != 50*3*2 {
		t.Errorf("found %d bytes of points, %v", len(points), err)
	}
	var h frame.Header
	if err := m.Into(&h); err != nil || h.Classification == nil || len(h.Classification.TopK) != 3 {
		t.Errorf("found %s, %v", m.Header, err)
	}
}

// TestArrow compares the classifications of all record batches of a stream with those of the model.
func TestArrow(t *testing.T) {
	url, repository, _ := start(t)
	s, err := repository.Model("digits", "")
	if err != nil {
		t.Fatal(err)
	}
	var stream []byte
	var volumes []classify.Item
	for n := range 5 {
		var vs []voxelize.Volume
		for i := range 30 {
			index := make([]byte, 16*16*16)
			for k := range index {
				index[k] = byte(k * (n*30 + i))
			}
			v := s.Input().Volume(nil, index)
			v.Stream, v.Seq = "upload", uint64(n*30+i)
			vs = append(vs, v)
			volumes = append(volumes, classify.Item{Volume: v})
		}
		message, err := volarrow.Encode(nil, vs)
		if err != nil {
			t.Fatal(err)
		}
		if n > 0 { // without the schema, which is a message of 8 bytes and the size in bytes 4 to 7
			message = message[8+binary.LittleEndian.Uint32(message[4:]):]
		}
		stream = append(stream, message[:len(message)-8]...) // without the end
	}
	stream = append(stream, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0)
	want, err := s.Classify(t.Context(), volumes, batch.Normal)
	if err != nil {
		t.Fatal(err)
	}
	status, _, answer := post(t, url+"/v1/classify", stream, "Content-Type", typeArrow)
	got := items(t, status, answer)
	if len(got) != len(want) {
		t.Fatalf("found %d items, want %d", len(got), len(want))
	}
	for i := range want {
		if got[i].EventID != want[i].EventID || !slices.Equal(got[i].TopK, want[i].TopK) {
			t.Fatalf("item %d: found %+v, want %+v", i, got[i], want[i])
		}
	}
	status, _, answer = post(t, url+"/v1/classify?limit=7", stream, "Content-Type", typeArrow)
	if got := items(t, status, answer); len(got) != 7 {
		t.Errorf("limit 7: found %d items", len(got))
	}
	for _, cut := range []int{1, 9, 500, len(stream) / 2, len(stream) - 9} {
		if status, _, answer := post(t, url+"/v1/classify", stream[:cut], "Content-Type", typeArrow); status != 422 {
			t.Errorf("cut at %d: found status %d: %.200s", cut, status, answer)
		}
	}
}

func TestRefused(t *testing.T) {
	url, _, _ := start(t)
	for name, test := range map[string]struct {
		query   string
		body    []byte
		headers []string
		want    int
	}{
		"model":             {"?model=other", cloud(1), nil, 404},
		"version":           {"?version=7", cloud(1), nil, 404},
		"volumes":           {"?volumes=maybe", cloud(1), nil, 400},
		"limit":             {"?limit=0", cloud(1), nil, 400},
		"format":            {"?format=doc", cloud(1), nil, 400},
		"other format":      {"?format=las", cloud(1), nil, 422},
		"dots":              {"?name=..", cloud(1), nil, 400},
		"empty":             {"", nil, nil, 422},
		"unknown":           {"", []byte("a file of no format"), nil, 422},
		"damaged":           {"?name=a.pcd", cloud(1)[:60], nil, 422},
		"too large":         {"", make([]byte, 2<<20), nil, 413},
		"encoding":          {"", cloud(1), []string{"Content-Encoding", "br"}, 415},
		"not gzip":          {"", cloud(1), []string{"Content-Encoding", "gzip"}, 400},
		"accept":            {"", cloud(1), []string{"Accept", "image/png"}, 406},
		"media type":        {"", cloud(1), []string{"Content-Type", "a b"}, 400},
		"no boundary":       {"", cloud(1), []string{"Content-Type", "multipart/form-data"}, 400},
		"no form":           {"", cloud(1), []string{"Content-Type", "multipart/form-data; boundary=x"}, 400},
		"no Arrow":          {"", cloud(1), []string{"Content-Type", typeArrow}, 422},
		"directory as name": {"?name=../../etc/a.pcd", cloud(1), nil, 200},
	} {
		t.Run(name, func(t *testing.T) {
			status, _, answer := post(t, url+"/v1/classify"+test.query, test.body, test.headers...)
			if status != test.want {
				t.Errorf("found status %d: %.200s, want %d", status, answer, test.want)
			}
			var p Problem
			if err := json.Unmarshal(answer, &p); status != 200 && (err != nil || p.Error == "") {
				t.Errorf("found %.200s, want an error as JSON", answer)
			}
		})
	}
}

// TestDocument checks that the document and the page have every endpoint, and that every reference is defined.
func TestDocument(t *testing.T) {
	url, _, _ := start(t)
	get := func(path string) (string, http.Header) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		a, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer a.Body.Close() //nolint:errcheck // read only
		b, err := io.ReadAll(a.Body)
		if err != nil || a.StatusCode != http.StatusOK {
			t.Fatalf("%s: found status %d, %v", path, a.StatusCode, err)
		}
		return string(b), a.Header
	}
	text, _ := get("/v1/openapi.json")
	var d struct {
		Paths      map[string]map[string]struct{ OperationID string }
		Components struct{ Schemas map[string]any }
	}
	if err := json.Unmarshal([]byte(text), &d); err != nil {
		t.Fatal(err)
	}
	page, header := get("/v1/")
	ids := map[string]bool{}
	for _, r := range routes() {
		id := d.Paths[r.path][strings.ToLower(r.method)].OperationID
		if id == "" || ids[id] || !strings.Contains(page, `id="`+id+`"`) {
			t.Errorf("%s %s: found ID %q, want one of its own that is on the page too", r.method, r.path, id)
		}
		ids[id] = true
	}
	for _, part := range strings.Split(text, `"#/components/schemas/`)[1:] {
		if name, _, _ := strings.Cut(part, `"`); d.Components.Schemas[name] == nil {
			t.Errorf("schema %s is not defined", name)
		}
	}
	if strings.Contains(page, "<script") ||
		!strings.Contains(header.Get("Content-Security-Policy"), "default-src 'none'") {
		t.Errorf("found policy %q", header.Get("Content-Security-Policy"))
	}
}
