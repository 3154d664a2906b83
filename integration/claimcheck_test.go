//go:build unix

package integration

import (
	"net/url"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/internal/store"
	"github.com/voxelstream/voxelstream/internal/store/storetest"
	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/format"
	"github.com/voxelstream/voxelstream/nn/layers"
	"github.com/voxelstream/voxelstream/pipeline/transport"
)

// scans writes volumes of side cells along each axis with values that cannot be stored as bytes.
func (w *world) scans(name string, count, side int) string {
	w.t.Helper()
	x := make([]float32, count*side*side*side)
	for i := range x {
		x[i] = float32(i%1009)/1009 + float32(i/(side*side*side))
	}
	return w.write(name, npyOf([]int{count, side, side, side}, x))
}

// TestClaimCheck: volumes of 8 MiB pass through messages of at most 64 KiB, each once, although the process that sends
// them is killed after it has stored some of them. Messages that refer to anything else become dead letters.
func TestClaimCheck(t *testing.T) {
	slow(t)
	t.Run("folder", func(t *testing.T) {
		w := newWorld(t)
		claimCheck(t, w, w.path("objects"), w.path("objects"))
	})
	t.Run("bucket", func(t *testing.T) {
		w, server := newWorld(t), storetest.S3(t)
		w.env = append(w.env, "AWS_ACCESS_KEY_ID=key", "AWS_SECRET_ACCESS_KEY=secret", "AWS_ENDPOINT_URL="+server)
		place := "s3://" + storetest.Bucket + "/a/volumes"
		claimCheck(t, w, place, place+"?access-key=k&secret-key=s&endpoint="+url.QueryEscape(server))
	})
}

// claimCheck keeps objects at a place, which this process knows by another text.
func claimCheck(t *testing.T, w *world, place, ours string) {
	const count, side, classes = 8, 128, 4
	t.Helper()
	m := must(nn.Sequential("large", nn.Shape{side, side, side, 1}, layers.NewMaxPooling3D(16), layers.NewFlatten(),
		layers.NewDense(classes, "softmax")))(t)
	m.Init(1)
	must(0, format.Save(w.path("large.keras"), m))(t)
	w.broker()
	for key, value := range map[string]any{
		"model.path": w.path("large.keras"), "voxelize.grid": side, "voxelize.values": "raw",
		"kafka.max_message": "64KiB", "kafka.claim_check": place,
	} {
		w.set(key, value)
	}
	objectsThere := func() []store.File {
		t.Helper()
		s := must(store.Attach(t.Context(), ours))(t)
		defer s.Close() //nolint:errcheck // read only
		return must(s.List(t.Context(), ""))(t)
	}
	file := w.scans("scans.npy", count, side)
	p := w.start("ingest", file)
	p.throttle()
	p.until(t, "the first object", func() bool { return len(objectsThere()) > 0 })
	p.kill()
	if n := len(objectsThere()); n == count {
		t.Logf("all %d volumes were stored before the process was killed", n) // this machine is very busy
	}
	w.do(0, "ingest", file)
	c := client(t, w.addr())
	want := map[string]bool{}
	sent := messages(t, c, transport.TopicVolumes)
	var object *transport.Reference
	for _, m := range sent {
		r, err := m.Reference()
		if err != nil || r == nil || r.Size < 4*side*side*side || m.Size() > 64<<10 {
			t.Fatalf("found a message of %d bytes that refers to %v, %v", m.Size(), r, err)
		}
		want[m.EventID()], object = true, r
	}
	files := objectsThere()
	if len(want) != count || len(files) != count {
		t.Fatalf("found %d volumes and %d objects, want %d of both", len(want), len(files), count)
	}
	if place == ours {
		if all := must(os.ReadDir(place))(t); len(all) != count {
			t.Errorf("found %v, want nothing that the killed process has left", all)
		}
	}

	// What a hostile producer sends is among the rest.
	var hostile []transport.Message
	for name, headers := range map[string][3]string{
		"path":     {"../../../../etc/passwd", "5", object.SHA256},
		"file":     {w.write("secret", []byte("secret")), "6", object.SHA256},
		"absolute": {w.path("objects/" + object.Object()), strconv.FormatInt(object.Size, 10), object.SHA256},
		"size":     {object.Object(), "7", object.SHA256},
		"memory":   {object.Object(), "1152921504606846976", object.SHA256},
		"missing":  {strings.Repeat("ab", 32) + ".arrow", "5", strings.Repeat("ab", 32)},
	} {
		hostile = append(hostile, transport.Message{Key: []byte(name), Headers: []transport.Header{
			{Key: transport.HeaderEventID, Value: []byte("hostile-" + name)},
			{Key: "claim-object", Value: []byte(headers[0])},
			{Key: "claim-bytes", Value: []byte(headers[1])},
			{Key: "claim-sha256", Value: []byte(headers[2])},
		}})
	}
	produce(t, c, transport.TopicVolumes, hostile...)

	classify := []string{"classify", "--once", "--out", w.path("c.jsonl")}
	p = w.start(classify...)
	p.until(t, "the first classification", func() bool { return lines(w.path("c.jsonl")) > 0 })
	p.kill()
	p = w.start(classify...)
	<-p.done
	if code := p.cmd.ProcessState.ExitCode(); code != 0 && code != exitDeadLetters {
		t.Fatalf("classify: exit code %d\n%s", code, tail(p.stderr.String()))
	}
	wantAll(t, "classifications.jsonl", stored(t, w.path("c.jsonl")), want)
	wantAll(t, "topic classifications", published(t, c), want)
	reasons := map[string]string{}
	for _, m := range messages(t, c, transport.TopicDeadLetters) {
		d := must(transport.ReadDeadLetter(m))(t)
		if _, twice := reasons[m.EventID()]; twice {
			t.Errorf("found two dead letters of %s", m.EventID())
		}
		reasons[m.EventID()] = d.Error
		if name, _ := m.Header("claim-object"); name == "" {
			t.Errorf("found %v, want the headers of the message", m)
		}
	}
	for name, text := range map[string]string{
		"path": "claim-object", "file": "claim-object", "absolute": "claim-object", "size": "want 7",
		"memory": "want at most 134217728 (kafka.claim_check_max)", "missing": "not found at",
	} {
		if found := reasons["hostile-"+name]; !strings.Contains(found, text) {
			t.Errorf("%s: found the dead letter %q, want %q", name, found, text)
		}
	}
	if len(reasons) != len(hostile) {
		t.Errorf("found the dead letters %q, want %d", reasons, len(hostile))
	}
}
