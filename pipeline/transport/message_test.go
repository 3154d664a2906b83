package transport

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/voxelstream/voxelstream/internal/clip"
)

func TestMessage(t *testing.T) {
	m := New("stream", "stream/7", ContentArrow, []byte("123456789"))
	// e3069283 is the check value of CRC-32C in the catalogue of parametrized CRC algorithms.
	for name, want := range map[string]string{
		HeaderEventID: "stream/7", headerContentType: ContentArrow,
		headerChecksum: "crc32c:e3069283",
	} {
		if got, ok := m.Header(name); !ok || got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if err := m.Verify(); err != nil {
		t.Error(err)
	}
	for i := range m.Value {
		damaged := m
		damaged.Value = bytes.Clone(m.Value)
		damaged.Value[i] ^= 1
		if err := damaged.Verify(); err == nil || !strings.Contains(err.Error(), "stream/7") {
			t.Errorf("byte %d damaged: %v", i, err)
		}
	}
	m.SetHeader("trace", "first")
	m.SetHeader("trace", "second")
	if got, _ := m.Header("trace"); got != "second" || len(m.Headers) != 4 {
		t.Errorf("found %q in %d headers after setting one twice", got, len(m.Headers))
	}
	foreign := Message{Topic: "volumes", Partition: 2, Offset: 9}
	if got := foreign.EventID(); got != "volumes/2/9" || foreign.Verify() != nil {
		t.Errorf("a message of another program: %q, %v", got, foreign.Verify())
	}
	if n := m.Size(); n < int64(len(m.Value)+len(m.Key)) {
		t.Errorf("size %d", n)
	}
}

func TestDeadLetter(t *testing.T) {
	m := New("stream", "stream/7", ContentArrow, []byte("value"))
	d := DeadLetter{
		Topic: "volumes", Partition: 3, Offset: 1 << 40, Stage: "decode",
		Error: "row 5: \xff " + strings.Repeat("é", 5000), Attempts: 4,
		Time: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC),
	}
	dead := DeadLetterOf(DeadLetterOf(m, DeadLetter{Stage: "earlier"}), d)
	got, err := ReadDeadLetter(dead)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Error) > clip.Limit || !strings.HasPrefix(got.Error, "row 5: ") {
		t.Errorf("reason of %d bytes: %.20q", len(got.Error), got.Error)
	}
	got.Error = d.Error
	if got != d {
		t.Errorf("got %+v, want %+v", got, d)
	}
	d.Gone = true
	for i, small := range append([]Message{DeadLetterOf(m, d)}, Smaller(m, d)...) {
		if got, err := ReadDeadLetter(small); err != nil || !got.Gone || got.LeftOut() {
			t.Errorf("%d of a message that is gone: found %+v, %v", i, got, err)
		}
	}
	back := Original(dead)
	same := slices.EqualFunc(back.Headers, m.Headers, func(x, y Header) bool {
		return x.Key == y.Key && bytes.Equal(x.Value, y.Value)
	})
	if !same || !bytes.Equal(back.Value, m.Value) || !bytes.Equal(back.Key, m.Key) {
		t.Errorf("restored as %+v", back)
	}
	if _, err := ReadDeadLetter(m); err == nil || !strings.Contains(err.Error(), headerDeadTopic+" is missing") {
		t.Errorf("an ordinary message: %v", err)
	}
	dead.SetHeader(headerDeadOffset, "many")
	if _, err := ReadDeadLetter(dead); err == nil || !strings.Contains(err.Error(), headerDeadOffset) {
		t.Errorf("an invalid offset: %v", err)
	}
}

func TestValidTopic(t *testing.T) {
	for name, want := range map[string]bool{
		"volumes": true, "Volumes.dlq_2-x": true, strings.Repeat("a", 249): true,
		"": false, "a b": false, "a/b": false, "\u00fc": false, "a\n": false, strings.Repeat("a", 250): false,
	} {
		if got := ValidTopic(name); got != want {
			t.Errorf("%q: found %v, want %v", name, got, want)
		}
	}
}
