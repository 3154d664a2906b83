package service

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/telemetry"
)

// serve runs a listener until the test ends or stop is called, which returns what the group did.
func serve(t *testing.T, o Options, mount func(*Listener)) (l *Listener, stop func() error) {
	t.Helper()
	l = NewListener(o, slog.New(slog.DiscardHandler))
	l.Health.interval = time.Nanosecond
	if mount != nil {
		mount(l)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- Run(ctx, 2*time.Minute, l.Part(), Part{Start: func(context.Context) error { close(ready); return nil }})
		close(ended)
	}()
	select {
	case <-ready:
	case err := <-ended:
		t.Fatal(err)
	}
	stop = func() error {
		cancel()
		return <-ended
	}
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
	return l, stop
}

func get(t *testing.T, l *Listener, path string) (status int, body string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+l.Addr()+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if l.Authenticated() {
		r.Header.Set("Authorization", "Bearer "+l.tokens.list[0].text)
	}
	c := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(answer.Body)
	if err = errors.Join(err, answer.Body.Close()); err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(b)
}

func TestAddress(t *testing.T) {
	for listen, want := range map[string]string{
		":8080": "127.0.0.1:8080", "0.0.0.0:8080": "0.0.0.0:8080", "[::1]:0": "[::1]:0", "[::]:80": "[::]:80",
		"localhost:80": "localhost:80",
		"8080":         "", ":http": "", ":65536": "", ":-1": "", "": "", "host": "", "::1:80": "", ":": "",
	} {
		got, err := Options{Listen: listen}.Address()
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: found %q, %v, want %q", listen, got, err, want)
		}
	}
}

func TestMetricsAreServed(t *testing.T) {
	m := telemetry.New(telemetry.Options{})
	m.Count("consumer volumes", pipeline.EventRead, 5)
	l, _ := serve(t, Options{Listen: ":0"}, func(l *Listener) { l.Handle("GET /metrics", m.Handler()) })
	status, body := get(t, l, "/metrics")
	p := expfmt.NewTextParser(model.UTF8Validation)
	f, err := p.TextToMetricFamilies(strings.NewReader(body))
	if status != http.StatusOK || err != nil ||
		f["voxelstream_read_total"].GetMetric()[0].GetCounter().GetValue() != 5 {
		t.Errorf("found %d, %v, %v", status, f["voxelstream_read_total"], err)
	}
	if host, _, err := net.SplitHostPort(l.Addr()); err != nil || host != "127.0.0.1" {
		t.Errorf("found host %s, want 127.0.0.1", host)
	}
}

func TestReadiness(t *testing.T) {
	model, broker := NewState("no model yet"), errors.New("no answer from 10.0.0.1:9092")
	l, _ := serve(t, Options{Listen: ":0"}, func(l *Listener) {
		l.Health.Register("model", model.Check)
		l.Health.Register("broker", func(context.Context) error { return broker })
	})
	want := func(status int, reasons ...string) {
		t.Helper()
		got, body := get(t, l, "/readyz")
		var r Readiness
		if err := json.Unmarshal([]byte(body), &r); err != nil || got != status ||
			r.Ready != (status == http.StatusOK) {
			t.Errorf("found %d %s, want %d (%v)", got, body, status, err)
		}
		var found []string
		for _, c := range r.Checks {
			if c.Ready != (c.Reason == "") {
				t.Errorf("found %+v", c)
			}
			found = append(found, c.Name+": "+c.Reason)
		}
		if fmt.Sprint(found) != fmt.Sprint(reasons) {
			t.Errorf("found %v, want %v", found, reasons)
		}
		if alive, _ := get(t, l, "/healthz"); alive != http.StatusOK {
			t.Errorf("found /healthz %d", alive)
		}
	}
	want(503, "model: no model yet", "broker: no answer from 10.0.0.1:9092")
	model.Set(nil)
	want(503, "model: ", "broker: no answer from 10.0.0.1:9092")
	l.Health.Register("broker", func(context.Context) error { return nil }) // replaces
	want(200, "model: ", "broker: ")
	model.Set(errors.New("reloading"))
	want(503, "model: reloading", "broker: ")
	model.Set(nil)
	l.Health.Stopping()
	want(503, "model: ", "broker: ", "process: stopping")
}

// TestChecksAreBounded: a check that hangs is not ready, and those who ask often do not multiply the work.
func TestChecksAreBounded(t *testing.T) {
	var h Health
	asked := make(chan struct{}, 100)
	h.Register("counted", func(context.Context) error { asked <- struct{}{}; return nil })
	for range 20 {
		h.Ready(t.Context())
	}
	if n := len(asked); n != 1 {
		t.Errorf("asked %d times within a moment, want once", n)
	}
	h.Register("hangs", func(ctx context.Context) error { <-ctx.Done(); time.Sleep(time.Millisecond); return nil })
	if r := h.Ready(t.Context()); r.Ready || r.Checks[1].Reason != "no answer in time" || !r.Checks[0].Ready {
		t.Errorf("found %+v", r)
	}
	time.Sleep(10 * time.Millisecond) // the check that hung has ended
}

func TestProfilesAreLocal(t *testing.T) {
	for _, c := range []struct {
		o    Options
		want int
	}{
		{Options{Listen: ":0"}, 200},
		{Options{Listen: "localhost:0"}, 200},
		{Options{Listen: "0.0.0.0:0"}, 404},
		{Options{Listen: "0.0.0.0:0", PProf: true}, 200},
	} {
		l, stop := serve(t, c.o, nil)
		for _, path := range []string{"/debug/pprof/", "/debug/pprof/goroutine?debug=1", "/debug/pprof/cmdline"} {
			if status, _ := get(t, l, path); status != c.want {
				t.Errorf("%+v: %s: found %d, want %d", c.o, path, status, c.want)
			}
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	}
}

func TestPortIsTaken(t *testing.T) {
	l, _ := serve(t, Options{Listen: ":0"}, nil)
	second := NewListener(Options{Listen: l.Addr()}, slog.New(slog.DiscardHandler))
	if err := Run(t.Context(), time.Second, second.Part()); err == nil || !strings.Contains(err.Error(), l.Addr()) {
		t.Errorf("found %v", err)
	}
}

// TestGracefulStop: a request that is at work when the listener stops has its answer.
func TestGracefulStop(t *testing.T) {
	working := make(chan struct{})
	l, stop := serve(t, Options{Listen: ":0"}, func(l *Listener) {
		l.Handle("GET /api/run", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			close(working)
			time.Sleep(200 * time.Millisecond)
			if r.Context().Err() != nil {
				t.Error("the request was cancelled")
			}
			_, _ = io.WriteString(w, "done")
		}))
	})
	answer := make(chan string, 1)
	go func() {
		_, body := get(t, l, "/api/run")
		answer <- body
	}()
	<-working
	if err := stop(); err != nil {
		t.Error(err)
	}
	if a := <-answer; a != "done" {
		t.Errorf("found %q", a)
	}
}

// TestSlowClients: those who send no request, half of one, or do not read their answer do not hold the stop.
func TestSlowClients(t *testing.T) {
	streaming := make(chan struct{})
	l, stop := serve(t, Options{Listen: ":0"}, func(l *Listener) {
		l.Handle("GET /live", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			close(streaming)
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 1<<16)); err != nil {
					return
				}
			}
		}))
	})
	for _, send := range []string{
		"", "GET /metrics HTTP/1.1\r\nHost:",
		"GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n",
	} {
		var d net.Dialer
		c, err := d.DialContext(t.Context(), "tcp", l.Addr())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close() //nolint:errcheck // the server has closed it
		if _, err := io.WriteString(c, send); err != nil {
			t.Fatal(err)
		}
	}
	<-streaming
	begin := time.Now()
	if err := stop(); err != nil {
		t.Error(err)
	}
	if took := time.Since(begin); took > time.Minute {
		t.Errorf("stopping took %v", took)
	}
}

// TestHeaderTime: whoever does not send a whole header is cut off.
func TestHeaderTime(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for seconds")
	}
	t.Parallel()
	l, _ := serve(t, Options{Listen: ":0"}, nil)
	var d net.Dialer
	c, err := d.DialContext(t.Context(), "tcp", l.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close() //nolint:errcheck // the server has closed it
	if _, err := io.WriteString(c, "GET /healthz HTTP/1.1\r\n"); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	if err := c.SetReadDeadline(begin.Add(4 * headerTime)); err != nil {
		t.Fatal(err)
	}
	_, err = bufio.NewReader(c).ReadString('\n')
	if took := time.Since(begin); errors.Is(err, context.DeadlineExceeded) || took < headerTime/2 ||
		took > 3*headerTime {
		t.Errorf("found %v after %v", err, took)
	}
}
