//go:build unix

package integration

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestSecretsStaySecret runs commands that work and commands that fail, at level debug, with a secret in every
// setting that takes one, and in every URL. Nothing that they print, write or show to other users of the machine may
// contain a secret.
func TestSecretsStaySecret(t *testing.T) {
	t.Parallel()
	needHDF5(t)
	const mark = "s3cr3t"
	n := 0
	secret := func() string { // each differs, so that a leak says where it comes from
		n++
		return fmt.Sprintf("%s-%02d-of-the-test", mark, n)
	}
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprint(w, "refused")
	}))
	defer hook.Close()
	closed := "127.0.0.1:" + strconv.Itoa(freePort(t))
	at := strings.TrimPrefix(hook.URL, "http://")
	for name, c := range map[string]struct {
		works bool
		set   map[string]string
		args  []string
	}{
		"works": {true, map[string]string{
			"http.listen": "127.0.0.1:0", "http.token": secret(), "sinks.out": "c.jsonl",
		}, []string{"run", "d.h5"}},
		"the HTTP token is short": {false, map[string]string{
			"http.listen": "127.0.0.1:0", "http.token": mark, "sinks.out": "c.jsonl",
		}, []string{"run", "d.h5"}},
		"webhook refuses": {false, map[string]string{
			"sinks.out": "webhook+http://" + at + "/x?token=" + secret() + "&header=X-Key:%20" + secret() + "&query=key%3D" +
				secret() + "&policy=required",
		}, []string{"run", "d.h5"}},
		"credentials in URLs": {false, map[string]string{
			"sinks.out": "webhook+http://me:" + secret() + "@" + at + "/x",
		}, []string{"run", "d.h5"}},
		"postgres": {false, map[string]string{
			"sinks.out": "postgres://ann:" + secret() + "@" + closed + "/lab?sslpassword=" + secret(),
		}, []string{"run", "d.h5"}},
		"mqtt": {false, map[string]string{
			"sinks.out": "mqtt://ann:" + secret() + "@" + closed + "/lab",
		}, []string{"run", "d.h5"}},
		"s3": {false, map[string]string{
			"sinks.out": "s3://bucket/x.jsonl?endpoint=http://" + closed + "&access-key=AKIAEXAMPLE&secret-key=" +
				secret(),
		}, []string{"run", "d.h5"}},
		"claim check": {true, map[string]string{ // it is reported, and small volumes do not need it
			"sinks.out": "c.jsonl",
			"kafka.claim_check": "s3://bucket/x?endpoint=http://" + closed + "&access-key=AKIAEXAMPLE&secret-key=" +
				secret(),
		}, []string{"run", "d.h5"}},
		"unknown option": {false, map[string]string{
			"sinks.out": "mqtt://ann@" + closed + "/lab?pasword=" + secret(),
		}, []string{"run", "d.h5"}},
		"input": {false, nil, []string{"run", "http://127.0.0.1:0?token=" + secret() + "&max=-1"}},
		"kafka": {false, map[string]string{
			"kafka.brokers": closed, "kafka.sasl.mechanism": "plain", "kafka.sasl.user": "u",
			"kafka.sasl.password": secret(),
		}, []string{"doctor"}},
		"kafka with tokens": {false, map[string]string{
			"kafka.brokers": at, "kafka.sasl.mechanism": "oauthbearer", "kafka.sasl.token_endpoint": hook.URL,
			"kafka.sasl.client_id": "id", "kafka.sasl.client_secret": secret(),
		}, []string{"doctor"}},
		"two settings": {false, map[string]string{
			"kafka.brokers": closed, "kafka.sasl.mechanism": "plain", "kafka.sasl.user": "u",
			"kafka.sasl.password": secret(), "kafka.sasl.password_file": "x",
		}, []string{"doctor"}},
		"traces": {false, map[string]string{
			"telemetry.traces.endpoint": "http://me:" + secret() + "@" + closed,
		}, []string{"run", "d.h5"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.digits("d.h5", 3, 1)
			w.set("log.level", "debug")
			for key, value := range c.set {
				w.set(key, value)
			}
			hides := func(what, text string) {
				t.Helper()
				if i := strings.Index(text, mark); i >= 0 {
					t.Errorf("%s shows a secret: ...%s", what, text[max(0, i-200):min(len(text), i+100)])
				}
			}
			p := w.start(c.args...)
			if runtime.GOOS == "linux" && name != "input" { // an argument of the operator is for all to see
				line, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(p.cmd.Process.Pid), "cmdline"))
				if err == nil {
					hides("the process listing", string(line))
				}
			}
			select {
			case <-p.done:
			case <-time.After(timeout):
				t.Fatalf("not over after %v", timeout)
			}
			if ok := p.cmd.ProcessState.ExitCode() == exitDone; ok != c.works {
				t.Errorf("found exit code %d", p.cmd.ProcessState.ExitCode())
			}
			hides("standard output", p.stdout.String())
			hides("standard error", p.stderr.String())
			if name == "input" {
				return
			}
			for _, more := range [][]string{{"config", "print"}, {"config", "print", "--json"}} {
				q := w.start(more...)
				<-q.done
				hides(strings.Join(more, " "), q.stdout.String()+q.stderr.String())
			}
			files, err := filepath.Glob(filepath.Join(w.dir, "*.jsonl"))
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range files {
				hides(f, string(must(os.ReadFile(f))(t)))
			}
		})
	}
}
