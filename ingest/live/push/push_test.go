package push

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"mime/multipart"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/formats"
	"github.com/voxelstream/voxelstream/ingest/ingesttest"
	"github.com/voxelstream/voxelstream/ingest/live"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const token = "a token of the tests"

var services = live.Services{
	Log: slog.New(slog.DiscardHandler),
	OpenFile: func(ctx context.Context, path string) (ingest.Source, error) {
		return formats.Open(ctx, path, ingest.Options{})
	},
}

// input is the parsed address of a free port, with the token of the tests and further options.
func input(t *testing.T, query string) *Input {
	t.Helper()
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(" "+token+" \nno token\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	in, problems := Kind.Parse("http://127.0.0.1:0?token-file=" + file + "&" + query)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return in.(*Input)
}

func open(t *testing.T, in *Input) *Source {
	t.Helper()
	return openWith(t, in, services)
}

func openWith(t *testing.T, in *Input, services live.Services) *Source {
	t.Helper()
	s, err := Open(t.Context(), in, services)
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

// TestReport: requests, files and refusals are reported.
func TestReport(t *testing.T) {
	var seen ingesttest.Events
	reported := services
	reported.Report = seen.Report
	s := openWith(t, input(t, "max=100"), reported)
	settle(t, s)
	const good = "Bearer " + token
	post(t, s, "a.xyz", good, "", strings.NewReader("1 2 3\n"))
	post(t, s, "a.xyz", "Bearer wrong", "", strings.NewReader("1 2 3\n"))
	post(t, s, "a.xyz", good, "", strings.NewReader(strings.Repeat("1 2 3\n", 100)))
	if requests, refused, files := seen.Count(live.Request), seen.Count(live.Refused),
		seen.Count(live.File); requests != 3 || refused != 2 || files != 1 {
		t.Errorf("%d requests, %d refused and %d files were reported, want 3, 2 and 1", requests, refused, files)
	}
}

func TestPush(t *testing.T) {
	s := open(t, input(t, "max=100"))
	settle(t, s)
	const good = "Bearer " + token
	for name, c := range map[string]struct {
		name, bearer, body string
		status             int
		want               string
	}{
		"cloud": {
			"a.xyz", good, "1 2 3\n4 5 6\n", 200,
			`{"items":[{"name":"a.xyz","stream":"a.xyz-17f1d338","samples":1}]}`,
		},
		"no token": {"a.xyz", "", "1 2 3\n", 401, `{"error":"want the bearer token"}`},
		"other":    {"a.xyz", good + "x", "1 2 3\n", 401, `{"error":"want the bearer token"}`},
		"large":    {"a.xyz", good, strings.Repeat("1 2 3\n", 50), 413, `{"error":"found 300 bytes, limit 100"}`},
		"unknown": {
			"a.bin", good, "\xff\xfe\x01", 422,
			`"name":"a.bin","samples":0,"error":"a.bin: kitti: truncated: found 3 bytes`,
		},
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
	if status, text := post(t, s, "a.xyz", good, "",
		io.MultiReader(strings.NewReader(strings.Repeat("1 2 3\n", 50)))); status != 413 {
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
	s := open(t, input(t, ""))
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

// TestBackPressure: while nobody settles, further requests are turned away, and the end of the program is told to
// those who wait.
func TestBackPressure(t *testing.T) {
	s := open(t, input(t, "queue=1"))
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

func TestAddress(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	short, long := file+".short", file+".long"
	if err := errors.Join(os.WriteFile(file, []byte(token+"\r\nsecond line\n"), 0o600),
		os.WriteFile(short, []byte("secret\n"), 0o600),
		os.WriteFile(long, bytes.Repeat([]byte("x"), 5000), 0o600)); err != nil {
		t.Fatal(err)
	}
	for query, want := range map[string]Options{
		"":                    {TokenFile: file, Max: 256 << 20, Queue: 8},
		"&max=1000&queue=3":   {TokenFile: file, Max: 1000, Queue: 3},
		"&max=1GiB&&queue=65": {TokenFile: file, Max: 1 << 30, Queue: 65},
	} {
		in, problems := Kind.Parse("http://:8080/?token-file=" + file + query)
		if len(problems) > 0 || in.(*Input).Options != want || in.(*Input).Address != ":8080" ||
			in.(*Input).Token != token || !in.Endless() {
			t.Errorf("%s: found %+v, %v, want %+v", query, in, problems, want)
		}
	}
	for address, want := range map[string][]string{
		"http://host?token-file=" + file:           {"found no host and port, want http://HOST:PORT"},
		"http://:1?token-file=/none/":              {"token-file: open /none/"},
		"http://:1?token-file=" + long:             {"a first line of more than 4096 bytes"},
		"http://:1?token-file=" + short:            {"token of 6 characters, want a file of 16 or more"},
		"http://:1?token-file=" + file + "&max=0":  {"max: found 0, want 1B or more"},
		"http://:1?token-file=" + file + "&queue=": {"queue: found"},
		"http://:1?max=a&speed=1": {
			"max: found",
			`found the option "speed", want token-file, max, state, queue`, "token-file: found nothing",
		},
		"http://me:secret@host?token=secret": {
			`found the option "token"`, "found no host and port",
			"token-file: found nothing",
		},
	} {
		in, problems := Kind.Parse(address)
		if in != nil || len(problems) != len(want) {
			t.Errorf("%s: found %v, %q, want %q", address, in, problems, want)
			continue
		}
		for i, p := range problems {
			if !strings.Contains(p.Error(), want[i]) || strings.Contains(p.Error(), "secret") {
				t.Errorf("%s: found %v, want %q", address, p, want[i])
			}
		}
	}
	if got, want := Kind.Mask("http://me:secret@host:1/a@b?token=secret&max=1&token-file=f"),
		"http://me:***@host:1/a@b?token=***&max=1&token-file=f"; got != want {
		t.Errorf("found %s, want %s", got, want)
	}
}
