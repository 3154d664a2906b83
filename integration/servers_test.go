//go:build unix

package integration

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/voxelstream/voxelstream/internal/testenv"
	"github.com/voxelstream/voxelstream/record"
)

// receiver is a webhook's endpoint that remembers event IDs. Now and then it is not available.
type receiver struct {
	mu       sync.Mutex
	requests int
	ids      map[string]bool
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	var cs []record.Classification
	if err = errors.Join(err, json.Unmarshal(body, &cs)); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.requests++; r.requests%3 == 1 {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	for i := range cs {
		r.ids[cs[i].EventID] = true
	}
}

func (r *receiver) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.ids)
}

// mosquitto starts a Mosquitto broker and its own client, which writes topic and payload of each message as a line.
func (w *world) mosquitto(topics string) (port int, received *output) {
	w.t.Helper()
	for _, program := range []string{"/usr/sbin/mosquitto", "mosquitto_sub"} {
		if _, err := exec.LookPath(program); err != nil {
			w.t.Skip("found no Mosquitto, which scripts/servers installs")
		}
	}
	port = freePort(w.t)
	received = new(output)
	begin := func(name string, args ...string) {
		cmd := exec.Command(name, args...)
		cmd.Stdout = received
		if err := cmd.Start(); err != nil {
			w.t.Fatal(err)
		}
		w.t.Cleanup(func() {
			_ = cmd.Process.Kill() // it may have ended
			_ = cmd.Wait()
		})
	}
	begin("/usr/sbin/mosquitto", "-c", w.write("mosquitto.conf", fmt.Appendf(nil,
		"listener %d 127.0.0.1\nuser root\nallow_anonymous true\n", port)))
	client := []string{
		"-V", "mqttv5", "-h", "127.0.0.1", "-p", strconv.Itoa(port), "-i", "reader", "-c", "-x", "3600", "-q", "1",
		"-t", topics,
	}
	// The first client only makes the subscription, which holds messages for the second.
	subscribed := func() bool {
		return exec.Command("mosquitto_sub", append(client, "-E")...).Run() == nil
	}
	for tries := 0; !subscribed(); tries++ {
		if tries == 100 {
			w.t.Fatal("Mosquitto does not answer")
		}
		time.Sleep(50 * time.Millisecond)
	}
	begin("mosquitto_sub", append(client, "-F", "%t %p")...)
	return port, received
}

// TestServers: a process that stores in PostgreSQL, posts to an endpoint and publishes by MQTT is killed and started
// again, and so is the database. psql counts each volume once; the endpoint and Mosquitto's client get each.
func TestServers(t *testing.T) {
	t.Parallel()
	needHDF5(t)
	w := newWorld(t)
	port, received := w.mosquitto("lab/+/+")
	database, err := testenv.StartPostgres()
	if errors.Is(err, testenv.ErrNoPostgres) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := database.Stop(); err != nil {
			t.Error(err)
		}
	})
	endpoint := &receiver{ids: map[string]bool{}}
	hook := httptest.NewServer(endpoint)
	defer hook.Close()

	const volumes = 400
	archive := w.digits("digits.h5", volumes, 1)
	w.set("model.path", must(slowModel())(t))
	w.set("pipeline.batch", 8)
	w.env = append(w.env, "DATABASE_PASSWORD="+testenv.PostgresPassword)
	database.MustSQL(t, "postgres", "CREATE SCHEMA lab")
	args := []string{
		"run", archive, "--to-topic=false", "--table=false",
		"--out", fmt.Sprintf("postgres://postgres@127.0.0.1:%d/postgres?password-env=DATABASE_PASSWORD&"+
			"table=lab.results&flush-every=20ms", database.Port),
		"--out", "webhook+" + hook.URL + "/?flush-every=20ms",
		"--out", fmt.Sprintf("mqtt://127.0.0.1:%d/lab/{stream}/{class}", port),
	}
	rows := func() int {
		text, err := database.SQL("postgres", "SELECT count(*) FROM lab.results")
		n, e := strconv.Atoi(text)
		if err != nil || e != nil {
			return 0 // before the table exists
		}
		return n
	}
	for kill := range 4 {
		before := rows()
		p := w.start(args...)
		if kill < 3 {
			p.throttle()
		}
		p.until(t, "new rows", func() bool { return rows() > before })
		if kill < 3 {
			p.kill()
			continue
		}
		database.Kill()
		if err := database.Start(); err != nil {
			t.Fatal(err)
		}
		p.wait(t, exitDone)
	}
	got := database.MustSQL(t, "postgres", "SELECT count(*), count(DISTINCT event_id), count(top_k->0->>'class') "+
		"FROM lab.results")
	if want := fmt.Sprintf("%d|%[1]d|%[1]d", volumes); got != want {
		t.Errorf("psql found %s, want %s", got, want)
	}
	if n := endpoint.count(); n != volumes {
		t.Errorf("the endpoint found %d event IDs, want %d", n, volumes)
	}
	published := map[string]bool{}
	for deadline := time.Now().Add(timeout); len(published) < volumes && time.Now().Before(deadline); {
		for line := range strings.Lines(received.String()) {
			topic, payload, _ := strings.Cut(line, " ")
			var c record.Classification
			if json.Unmarshal([]byte(payload), &c) != nil {
				continue // the last line may be incomplete
			}
			if want := fmt.Sprintf("lab/%s/%d", c.Stream, c.Class); topic != want {
				t.Fatalf("found the topic %s, want %s", topic, want)
			}
			published[c.EventID] = true
		}
		time.Sleep(50 * time.Millisecond)
	}
	if len(published) != volumes {
		t.Errorf("Mosquitto's client found %d event IDs, want %d", len(published), volumes)
	}
}
