package stream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/apptest"
	"github.com/voxelstream/voxelstream/app/input"
	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/internal/testenv"
	"github.com/voxelstream/voxelstream/pipeline/transport"
	"github.com/voxelstream/voxelstream/record"
)

func TestCheckTopics(t *testing.T) {
	a := apptest.New(t)
	for text, usage := range map[string]bool{
		"kafka://frames": false, "kafka://volumes": true,
		"kafka://volumes.dlq?group=x": true,
	} {
		if _, err := parseInputs(a, []string{text}); app.IsUsage(err) != usage || (err != nil) != usage {
			t.Errorf("%s: found error %v, want one of usage: %t", text, err, usage)
		}
	}
}

// TestTopicsOfOneGroup reads two topics of files with one group, as a named member. Neither may shut the other out.
func TestTopicsOfOneGroup(t *testing.T) {
	a := apptest.New(t, "broker.data_dir", t.TempDir(), "kafka.instance_id", "one", "kafka.partitions", "1")
	cl, err := connect(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.close(t.Context()) //nolint:errcheck // all has been read
	var sources []*topicSource
	for _, name := range []string{"frames", "scans"} {
		s, err := newTopicSource(t.Context(), a, cl, &deadLetters{}, &input.Topic{
			Name: name, TopicOptions: input.TopicOptions{Group: "files"},
		})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close(t.Context()) //nolint:errcheck // as above
		sources = append(sources, s)
		if _, err := cl.producer.Produce(t.Context(), name, transport.New("k", "id", "", nil)); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), testenv.Patience)
	defer cancel()
	for members := 0; members < 2; {
		g, err := cl.client.DescribeGroup(ctx, "files")
		if err != nil {
			t.Fatalf("found %d members, want 2: %v", members, err)
		}
		members = g.Members
	}
	for _, s := range sources {
		d, err := s.consumer.Read(ctx)
		if err != nil {
			t.Fatal(err)
		}
		d.Settle(nil)
	}
}

func TestNamesOfMessages(t *testing.T) {
	long := strings.Repeat("x", maxName+1)
	for _, c := range []struct {
		key, name, event string // name and event are headers
		wantName, wantID string
		named            bool
	}{
		{wantName: "message", wantID: "frames/2/7"},
		{key: "a.pcd", wantName: "a.pcd", wantID: "frames/2/7"},
		{key: "camera", name: "b.ply", event: "shot 1", wantName: "b.ply", wantID: "shot 1", named: true},
		{key: "../etc/passwd", name: "..", wantName: "message", wantID: "frames/2/7"},
		{key: "/", name: `a\b`, wantName: "message", wantID: "frames/2/7"},
		{key: ".", name: "a\x00", event: "a\nb", wantName: "message", wantID: "frames/2/7"},
		{key: "\xff\xfe", name: long, event: long, wantName: "message", wantID: "frames/2/7"},
	} {
		m := transport.Message{
			Key: []byte(c.key), Topic: "frames", Partition: 2, Offset: 7,
			Headers: []transport.Header{{Key: "name", Value: []byte(c.name)}},
		}
		m.SetHeader(transport.HeaderEventID, c.event)
		if name := fileName(m); name != c.wantName {
			t.Errorf("%+v: found name %q, want %q", c, name, c.wantName)
		}
		if id, named := eventID(m); id != c.wantID || named != c.named {
			t.Errorf("%+v: found id %q, %v, want %q, %v", c, id, named, c.wantID, c.named)
		}
	}
}

// listed is a source of what a list says: nil is a sample.
type listed []error

func (l *listed) Read(context.Context) (ingest.Sample, error) {
	if len(*l) == 0 {
		return ingest.Sample{}, io.EOF
	}
	err := (*l)[0]
	*l = (*l)[1:]
	return ingest.Sample{ID: record.ID{Stream: "file", Seq: 3}}, err
}

func (*listed) Close() error { return nil }

func TestNamesOfSamples(t *testing.T) {
	bad := &ingest.ItemError{ID: record.ID{Stream: "file"}, Err: errors.New("bad")}
	for _, c := range []struct {
		source listed
		named  bool
		want   string
	}{
		{source: listed{}, want: "EOF"},
		{source: listed{nil}, want: "frames/2/7 EOF"},
		{source: listed{nil, nil, nil}, want: "frames/2/7/0 frames/2/7/1 frames/2/7/2 EOF"},
		{source: listed{nil, bad}, want: "frames/2/7/0 bad EOF"},
		{source: listed{bad, nil}, want: "bad frames/2/7 EOF"},
		{source: listed{nil}, named: true, want: "shot/0 EOF"},
	} {
		f := &topicFile{src: &c.source, stream: "frames/2", offset: 7, id: "frames/2/7", named: c.named}
		if c.named {
			f.id = "shot"
		}
		var got []string
		for !slices.Contains(got, "EOF") {
			switch s, err := f.next(t.Context()); {
			case err == nil:
				got = append(got, fmt.Sprintf("%s/%d", s.Stream, s.Seq))
			case errors.Is(err, bad):
				got = append(got, "bad")
			default:
				got = append(got, err.Error())
			}
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("%+v: found %s, want %s", c, s, c.want)
		}
	}
	// Who stops between the first sample and the second does not name the first: the next one who reads will.
	ctx, stop := context.WithCancel(t.Context())
	stop()
	f := &topicFile{src: &listed{nil, context.Canceled}, stream: "frames/2", id: "frames/2/7"}
	if _, err := f.next(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("found error %v, want the context's", err)
	}
}
