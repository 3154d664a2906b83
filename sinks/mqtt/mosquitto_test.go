//go:build unix

package mqtt

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/sinks/sinktest"
)

// mosquitto is a Mosquitto broker that lets the user ann with the password s3cret write to topics below a.
type mosquitto struct {
	t    *testing.T
	port string
	conf string
	cmd  *exec.Cmd
	seen map[string]bool // user properties of messages
}

func newMosquitto(t *testing.T) *mosquitto {
	t.Helper()
	for _, program := range []string{"/usr/sbin/mosquitto", "mosquitto_passwd", "mosquitto_sub"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip("found no Mosquitto, which scripts/servers installs")
		}
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(free.Addr().String())
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	b := &mosquitto{t: t, port: port, conf: filepath.Join(dir, "conf"), seen: map[string]bool{}}
	passwords, rights := filepath.Join(dir, "passwords"), filepath.Join(dir, "rights")
	conf := fmt.Sprintf("listener %s 127.0.0.1\nuser root\npassword_file %s\nacl_file %s\nmax_packet_size 2000\n"+
		"max_queued_messages 0\nset_tcp_nodelay true\n", port, passwords, rights)
	err = errors.Join(os.WriteFile(b.conf, []byte(conf), 0o600),
		os.WriteFile(rights, []byte("user ann\ntopic readwrite a/#\n"), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mosquitto_passwd", "-b", "-c", passwords, "ann", "s3cret").CombinedOutput(); err != nil {
		t.Fatalf("mosquitto_passwd: %v: %s", err, out)
	}
	b.start()
	t.Cleanup(b.kill)
	return b
}

// start starts the broker and makes a subscription that keeps messages.
func (b *mosquitto) start() {
	b.t.Helper()
	b.cmd = exec.Command("/usr/sbin/mosquitto", "-c", b.conf)
	if err := b.cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	var out []byte
	var err error
	for range 100 {
		if out, err = b.subscriber("-E").CombinedOutput(); err == nil {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	b.t.Fatalf("mosquitto_sub: %v: %s", err, out)
}

func (b *mosquitto) kill() {
	b.cmd.Process.Kill() //nolint:errcheck // it may have ended
	b.cmd.Wait()         //nolint:errcheck // it was killed
}

func (b *mosquitto) subscriber(args ...string) *exec.Cmd {
	args = append(args, "-V", "mqttv5", "-h", "127.0.0.1", "-p", b.port, "-u", "ann", "-P", "s3cret", "-i", "reader",
		"-c", "-x", "3600", "-q", "1", "-t", "a/#")
	return exec.Command("mosquitto_sub", args...)
}

// next returns topic, QoS, content type, user properties and payload of the next n messages. The client does not always
// acknowledge its last message, which then comes again.
func (b *mosquitto) next(n int) (messages [][]string) {
	b.t.Helper()
	for len(messages) < n {
		out, err := b.subscriber("-C", fmt.Sprint(n-len(messages)), "-W", "30", "-F", "%t|%q|%C|%P|%p").Output()
		if err != nil {
			b.t.Fatalf("mosquitto_sub: %v: %s", err, out)
		}
		for line := range strings.Lines(string(out)) {
			m := strings.SplitN(strings.TrimSpace(line), "|", 5)
			if !b.seen[m[3]] {
				b.seen[m[3]] = true
				messages = append(messages, m)
			}
		}
	}
	return messages
}

// TestMosquitto talks to a Mosquitto broker, which is killed and started again. Its own client receives the messages.
func TestMosquitto(t *testing.T) {
	b := newMosquitto(t)
	url := func(user, options string) string {
		return "mqtt://" + user + "@127.0.0.1:" + b.port + "/a/{stream}" + options
	}
	s := open(t, url("ann:s3cret", ""))
	const n = 500
	write(t, s, batch(0, n))
	got := b.next(n)
	for i, want := range batch(0, n) {
		properties := fmt.Sprintf("event-id:%s model-digest:%s", want.EventID, want.Model.Digest)
		if m := got[i]; m[0] != "a/s-0" || m[1] != "1" || m[2] != "application/json" || m[3] != properties ||
			!strings.Contains(m[4], `"event_id":"`+want.EventID+`"`) {
			t.Fatalf("found %q as message %d", m, i)
		}
	}

	b.kill()
	if err := s.Write(t.Context(), batch(n, n+10)); err == nil || pipeline.IsPermanent(err) {
		t.Errorf("found %v, want a temporary error", err)
	}
	b.start()
	write(t, s, batch(n, n+10))
	if got := b.next(10); got[0][3] != fmt.Sprintf("event-id:s-0/%d model-digest:%s", n, batch(0, 1)[0].Model.Digest) {
		t.Errorf("found %q", got[0])
	}

	long, bad := sinktest.Classification("s-0", 0), sinktest.Classification("s\u0085", 0)
	long.Name, long.EventID = strings.Repeat("x", 2000), "long/0"
	err := s.Write(t.Context(), append(batch(n+10, n+12), long, bad))
	partial, ok := errors.AsType[*pipeline.PartialError](err)
	if !ok || len(partial.Failed) != 2 || !pipeline.IsPermanent(partial.Failed[2]) ||
		!pipeline.IsPermanent(partial.Failed[3]) {
		t.Errorf("found %v, want permanent errors of 2 and 3", err)
	}
	b.next(2)
	odd := sinktest.Classification("s-0", n+12)
	odd.Stream = "a/+#\u0001\ufffe\xff$"
	write(t, s, append(batch(n+13, n+14), odd))
	if got := b.next(2); got[1][0] != "a/a%2F%2B%23%01%EF%BF%BE%FF$" {
		t.Errorf("found the topic %s", got[1][0])
	}

	unacknowledged := open(t, url("ann:s3cret", "?qos=0"))
	write(t, unacknowledged, batch(0, 300))
	for text, want := range map[string]string{
		url("ann:hush", ""): "not authorized", url("bob:s3cret", ""): "not authorized",
	} {
		if _, err := openURL(t.Context(), text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("found %v, want %s", err, want)
		}
	}
	other := open(t, strings.Replace(url("ann:s3cret", ""), "/a/", "/b/", 1))
	if err := other.Write(t.Context(), batch(0, 2)); err == nil || pipeline.IsPermanent(err) ||
		!strings.Contains(err.Error(), "not authorized") {
		t.Errorf("found %v, want a temporary error", err)
	}
}
