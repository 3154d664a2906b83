package push

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

const cloud = "1 2 3\n4 5 6\n"

// head is the head of a request with some further fields.
func head(fields ...string) string {
	return "POST /v1/ingest/a.xyz HTTP/1.1\r\nHost: " +
		"test\r\nAuthorization: Bearer " + token + "\r\n" + strings.Join(append(fields, ""), "\r\n") + "\r\n"
}

// converse sends the parts of a request, a pause between them, and gives the status of each answer until the
// connection is closed.
func converse(t *testing.T, s *Source, pause time.Duration, parts ...string) (statuses []int) {
	t.Helper()
	var d net.Dialer
	c, err := d.DialContext(t.Context(), "tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close() //nolint:errcheck // the server ends it
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		for i, p := range parts {
			if i > 0 {
				time.Sleep(pause)
			}
			if _, err := io.WriteString(c, p); err != nil {
				return // the server has had enough
			}
		}
	}()
	r := bufio.NewReader(c)
	for {
		answer, err := http.ReadResponse(r, nil)
		if err != nil {
			break
		}
		_, err = io.Copy(io.Discard, answer.Body)
		answer.Body.Close() //nolint:errcheck // read to its end
		statuses = append(statuses, answer.StatusCode)
		if err != nil || answer.Close {
			break
		}
	}
	<-sent
	return statuses
}

// TestHostileRequests: what a client should not send is answered or cut off, in time, and the server is free for
// others after each.
func TestHostileRequests(t *testing.T) {
	in := input(t, "queue=1&max=100")
	in.headerTime, in.bodyTime, in.stallTime = 300*time.Millisecond, time.Second, 300*time.Millisecond
	s := open(t, in)
	settle(t, s)
	length := func(n int) string { return fmt.Sprintf("Content-Length: %d", n) }
	const last = "Connection: close"
	for name, c := range map[string]struct {
		pause time.Duration
		parts []string
		want  string
		cut   bool // the answer may be lost, because the server closes while we send
	}{
		"good": {parts: []string{head(length(len(cloud)), last), cloud}, want: "[200]"},
		"slow, in time": {
			pause: 50 * time.Millisecond,
			parts: []string{head(length(len(cloud)), last), cloud[:4], cloud[4:]}, want: "[200]",
		},
		"slow header": {pause: 600 * time.Millisecond, parts: []string{head()[:40], head()[40:]}, want: "[]"},
		"body stops":  {parts: []string{head(length(len(cloud))), cloud[:4]}, want: "[408]"},
		"body trickles": {
			pause: 200 * time.Millisecond,
			parts: append([]string{head(length(len(cloud)))}, strings.Split(cloud, "")...), want: "[408]",
		},
		"too short":   {parts: []string{head(length(6), last), cloud}, want: "[200]"}, // the rest is no request
		"negative":    {parts: []string{head("Content-Length: -1"), cloud}, want: "[400]"},
		"two lengths": {parts: []string{head("Content-Length: 5", "Content-Length: 12"), cloud}, want: "[400]"},
		"huge length": {parts: []string{head("Content-Length: 9223372036854775807"), cloud}, want: "[413]"},
		"no number":   {parts: []string{head("Content-Length: many"), cloud}, want: "[400]"},
		"bad chunk":   {parts: []string{head("Transfer-Encoding: chunked"), "zz\r\nabc"}, want: "[400]"},
		"huge chunk": {parts: []string{
			head("Transfer-Encoding: chunked"),
			"7fffffffffffffff\r\n" + strings.Repeat("1 2 3\n", 100),
		}, want: "[413]"},
		"unknown coding": {parts: []string{head("Transfer-Encoding: gzip"), cloud}, want: "[501]"},
		"huge header":    {parts: []string{head("X-Long: " + strings.Repeat("x", 1<<20))}, want: "[431]", cut: true},
		"many headers":   {parts: []string{head(strings.Repeat("X-Y: z\r\n", 1<<16))}, want: "[431]", cut: true},
		"bad multipart": {parts: []string{head(length(len(cloud)), "Content-Type: multipart/form-data; boundary=b",
			last), cloud}, want: "[400]"},
		"no boundary": {parts: []string{
			head(length(len(cloud)), "Content-Type: multipart/form-data", last),
			cloud,
		}, want: "[400]"},
		"no HTTP": {parts: []string{"\x16\x03\x01\x02\x00\x01\r\n\r\n"}, want: "[400]"},
	} {
		if found := fmt.Sprint(converse(t, s, c.pause, c.parts...)); found != c.want && (!c.cut || found != "[]") {
			t.Errorf("%s: found answers %s, want %s", name, found, c.want)
		}
		waitFree(t, s)
		if status, text := post(t, s, "a.xyz", "Bearer "+token, "", strings.NewReader(cloud)); status != http.StatusOK {
			t.Errorf("behind %s: found %d %s, want 200", name, status, text)
		}
		waitFree(t, s)
	}
	if left, err := os.ReadDir(s.dir); err != nil || len(left) > 0 {
		t.Errorf("found %d folders of finished requests, %v", len(left), err)
	}
}

// waitFree waits until no request is at work: an answer comes a moment before its request has ended.
func waitFree(t *testing.T, s *Source) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); len(s.places) > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("a request does not end")
		}
	}
}

// TestSlowPipeline: the limits are of the client's time, not of the time that its samples take.
func TestSlowPipeline(t *testing.T) {
	in := input(t, "")
	in.bodyTime, in.stallTime = 200*time.Millisecond, 100*time.Millisecond
	s := open(t, in)
	answer := make(chan int, 1)
	go func() {
		status, _ := post(t, s, "a.xyz", "Bearer "+token, "", strings.NewReader(cloud))
		answer <- status
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	sample, err := s.Read(ctx)
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(500 * time.Millisecond)
	s.Settle(sample.Stream, sample.Seq, nil)
	if status := <-answer; status != http.StatusOK {
		t.Errorf("found %d, want 200", status)
	}
}
