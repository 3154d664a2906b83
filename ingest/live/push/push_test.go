package push

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime/multipart"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/voxelstream/voxelstream/ingest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const token = "a token of the tests"

func open(t *testing.T, o Options) *Source {
	t.Helper()
	o.Address, o.Token = "127.0.0.1:0", token
	s, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		http.DefaultClient.CloseIdleConnections()
	})
	return s
}

// settle reads samples until the source ends; those whose first point has a negative x fail.
func settle(t *testing.T, s *Source) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			sample, err := s.Read(ctx)
			if err != nil {
				return
			}
			if c, ok := sample.Data.(*ingest.PointCloud); ok && c.X[0] < 0 {
				err = errors.New("x is negative")
			}
			s.Settle(sample.Stream, sample.Seq, err)
		}
	}()
	t.Cleanup(func() { cancel(); <-ended })
}

func post(t *testing.T, s *Source, name, bearer, contentType string, body io.Reader) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+s.Addr()+"/v1/ingest/"+name, body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", bearer)
	r.Header.Set("Content-Type", contentType)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close() //nolint:errcheck // read to its end
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}

func TestPush(t *testing.T) {
	s := open(t, Options{MaxBody: 100})
	settle(t, s)
	const good = "Bearer " + token
	for name, c := range map[string]struct {
		name, bearer, body string
		status             int
		want               string
	}{
		"cloud":     {"a.xyz", good, "1 2 3\n4 5 6\n", 200, `{"items":[{"name":"a.xyz","stream":"a.xyz-17f1d338","samples":1}]}`},
		"no token":  {"a.xyz", "", "1 2 3\n", 401, `{"error":"want the bearer token"}`},
		"other":     {"a.xyz", good + "x", "1 2 3\n", 401, `{"error":"want the bearer token"}`},
		"large":     {"a.xyz", good, strings.Repeat("1 2 3\n", 50), 413, `{"error":"found 300 bytes, limit 100"}`},
		"unknown":   {"a.bin", good, "\xff\xfe\x01", 422, `"name":"a.bin","samples":0,"error":"a.bin: found 3 bytes`},
		"damaged":   {"a.pcd", good, "# .PCD v0.7\nVERSION 0.7\nFIELDS x\n", 422, `"name":"a.pcd","samples":0,"error":`},
		"fails":     {"b.xyz", good, "-1 2 3\n4 5 6\n", 422, `"samples":0,"error":"x is negative"`},
		"no name":   {"", good, "1 2 3\n", 400, `{"error":"found file name \"\", want one`},
		"the above": {"%2e%2e", good, "1 2 3\n", 400, `{"error":"found file name \"..\", want one`},
	} {
		status, text := post(t, s, c.name, c.bearer, "application/octet-stream", strings.NewReader(c.body))
		if status != c.status || !strings.Contains(text, c.want) {
			t.Errorf("%s: found %d %s, want %d %s", name, status, text, c.status, c.want)
		}
	}
	// A body whose length is not told.
	if status, text := post(t, s, "a.xyz", good, "", io.MultiReader(strings.NewReader(strings.Repeat("1 2 3\n", 50)))); status != 413 {
		t.Errorf("found %d %s, want 413", status, text)
	}
	answer, err := http.Get("http://" + s.Addr() + "/v1/ingest/a.xyz")
	if err != nil || answer.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("GET: found %v, %v, want 405", answer, err)
	}
	if err == nil {
		answer.Body.Close() //nolint:errcheck // not of interest
	}
	if left, err := os.ReadDir(s.dir); err != nil || len(left) > 0 {
		t.Errorf("found %d folders of finished requests, %v", len(left), err)
	}
}

func TestMultipart(t *testing.T) {
	s := open(t, Options{})
	settle(t, s)
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	for _, f := range [][2]string{{"a.xyz", "1 2 3\n4 5 6\n"}, {"bad.bin", "\xff\xfe\x01"}, {"b.xyz", "7 8 9\n4 5 6\n"}} {
		w, err := form.CreateFormFile("file", f[0])
		if err == nil {
			_, err = io.WriteString(w, f[1])
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(form.WriteField("note", "no file"), form.Close()); err != nil {
		t.Fatal(err)
	}
	status, text := post(t, s, "", "Bearer "+token, form.FormDataContentType(), &body)
	var answer struct{ Items []Item }
	if err := json.Unmarshal([]byte(text), &answer); err != nil || status != 422 || len(answer.Items) != 3 {
		t.Fatalf("found %d %s, %v", status, text, err)
	}
	for i, want := range []struct {
		samples int
		failed  bool
	}{{1, false}, {0, true}, {1, false}} {
		if item := answer.Items[i]; item.Samples != want.samples || (item.Error != "") != want.failed {
			t.Errorf("item %d: found %+v, want %+v", i, item, want)
		}
	}
}

// TestBackPressure: while nobody settles, further requests are turned away, and the end of the program is told to those who wait.
func TestBackPressure(t *testing.T) {
	s := open(t, Options{Queue: 1})
	first := make(chan int, 1)
	go func() {
		status, _ := post(t, s, "a.xyz", "Bearer "+token, "", strings.NewReader("1 2 3\n4 5 6\n"))
		first <- status
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if _, err := s.Read(ctx); err != nil {
		t.Fatal(err)
	}
	if status, text := post(t, s, "b.xyz", "Bearer "+token, "", strings.NewReader("1 2 3\n4 5 6\n")); status != 429 {
		t.Errorf("found %d %s, want 429", status, text)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if status := <-first; status != 503 {
		t.Errorf("found %d, want 503", status)
	}
	if _, err := s.Read(ctx); !errors.Is(err, io.EOF) {
		t.Errorf("found %v, want the end", err)
	}
}

func TestParse(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(token+"\r\nsecond line\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	o, err := Parse("http://:8080?token-file=" + file + "&max=1000&queue=3")
	if err != nil || o.Address != ":8080" || o.Token != token || o.MaxBody != 1000 || o.Queue != 3 {
		t.Errorf("found %+v, %v", o, err)
	}
	for address, want := range map[string]string{
		"http://host":                 "want http://HOST:PORT",
		"http://:1?token-file=/none/": "no such file",
		"http://:1?max=a":             "invalid syntax",
		"http://:1?speed=1":           `found "speed"`,
	} {
		if _, err := Parse(address); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: found %v, want %q", address, err, want)
		}
	}
	if _, err := Open(t.Context(), Options{Address: "127.0.0.1:0"}); err == nil || !strings.Contains(err.Error(), "token of 0 characters") {
		t.Errorf("found %v, want that there is no token", err)
	}
}
