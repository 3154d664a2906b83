//go:build unix

package integration

import (
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/voxelstream/voxelstream/internal/service"
)

var listening = regexp.MustCompile(`listening for HTTP.* address=http://(127\.0\.0\.1:\d+)`)

// httpAddr is where a process that was started with --http :0 listens.
func (p *process) httpAddr(t *testing.T) (addr string) {
	t.Helper()
	p.until(t, "HTTP listener's address", func() bool {
		m := listening.FindStringSubmatch(p.stderr.String())
		if m != nil {
			addr = m[1]
		}
		return m != nil
	})
	return addr
}

// get asks a listener; status 0 says that it does not answer.
func get(t *testing.T, addr, path string) (status int, body string) {
	t.Helper()
	r := must(http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+addr+path, nil))(t)
	c := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := c.Do(r)
	if err != nil {
		return 0, err.Error()
	}
	b, err := io.ReadAll(answer.Body)
	if err = errors.Join(err, answer.Body.Close()); err != nil {
		t.Error(err)
	}
	return answer.StatusCode, string(b)
}

// metric is the sum of a counter or gauge over all parts that begin with a text.
func metric(t *testing.T, addr, name, part string) (sum float64) {
	t.Helper()
	_, body := get(t, addr, "/metrics")
	p := expfmt.NewTextParser(model.UTF8Validation)
	families, err := p.TextToMetricFamilies(strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range families[name].GetMetric() {
		if label(m, "part") == part {
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return sum
}

func label(m *dto.Metric, name string) string {
	for _, l := range m.GetLabel() {
		if l.GetName() == name {
			return l.GetValue()
		}
	}
	return ""
}

// TestHTTP is an operator's view of a member of the group: it becomes ready, counts what it does, and ends within the
// time although somebody holds a connection.
func TestHTTP(t *testing.T) {
	t.Parallel()
	needHDF5(t)
	w := newWorld(t)
	w.broker()
	archive := w.digits("d.h5", 60, 1)
	p := w.start("classify", "--http", ":0")
	addr := p.httpAddr(t)
	var r service.Readiness
	p.until(t, "readiness", func() bool {
		status, body := get(t, addr, "/readyz")
		if alive, _ := get(t, addr, "/healthz"); alive != http.StatusOK {
			t.Errorf("found /healthz %d", alive)
		}
		if err := json.Unmarshal([]byte(body), &r); err != nil {
			t.Errorf("%v: %s", err, body)
		}
		return status == http.StatusOK
	})
	var checks []string
	for _, c := range r.Checks {
		checks = append(checks, c.Name)
	}
	if got := strings.Join(checks, " "); got != "start kafka group" {
		t.Errorf("found the checks %s", got)
	}
	w.do(exitDone, "ingest", "-q", archive)
	p.until(t, "60 classifications in the metrics", func() bool {
		return metric(t, addr, "voxelstream_written_total", "producer classifications") == 60
	})
	if n := metric(t, addr, "voxelstream_consumer_partitions", "consumer volumes"); n != 4 {
		t.Errorf("found %g partitions, want 4", n)
	}
	if status, body := get(t, addr, "/debug/pprof/goroutine?debug=1"); status != http.StatusOK ||
		!strings.Contains(body, "goroutine profile") {
		t.Errorf("found profile %d %.100s", status, body)
	}

	var d net.Dialer
	slow := must(d.DialContext(t.Context(), "tcp", addr))(t)
	defer slow.Close() //nolint:errcheck // the process is gone by then
	if _, err := io.WriteString(slow, "GET /metrics HTTP/1.1\r\n"); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	p.terminate(t)
	p.wait(t, exitDone)
	if took := time.Since(begin); took > time.Minute {
		t.Errorf("it took %v to end", took)
	}
}

// TestHTTPTaken: a command that cannot have its listener does not begin.
func TestHTTPTaken(t *testing.T) {
	t.Parallel()
	l := must(net.Listen("tcp", "127.0.0.1:0"))(t)
	defer l.Close() //nolint:errcheck // nothing was accepted
	w := newWorld(t)
	p := w.do(exitFailed, "classify", "--once", "--http", l.Addr().String())
	p.says(t, l.Addr().String(), "address already in use")
}
