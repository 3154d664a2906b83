package tensorboard

import (
	"bytes"
	"encoding/hex"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestRecord is a record that tf.io.TFRecordWriter wrote of "voxels".
func TestRecord(t *testing.T) {
	const want = "06000000000000007369d537766f78656c73f9e12114"
	if got := hex.EncodeToString(record([]byte("voxels"))); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestEvents is a file that TensorBoard's EventAccumulator read, byte for byte; testdata/check_events.py reads any.
func TestEvents(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "train")
	now := func() time.Time { return time.Unix(1234567890, 500e6) }
	for range 2 { // two in one second have names of their own
		w, err := create(dir, 3, now)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Write(3, Scalar{"epoch_loss", .75}, Scalar{"epoch_accuracy", .5}); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	files, err := filepath.Glob(filepath.Join(dir, "events.out.tfevents.1234567890.*.v2"))
	if err != nil || len(files) != 2 {
		t.Fatalf("got files %v (%v), want two", files, err)
	}
	want, err := os.ReadFile("testdata/events")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		got, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("got\n%x, want\n%x", got, want)
		}
	}
}

func TestCreateFails(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Create(filepath.Join(file, "below"), 0); err == nil {
		t.Error("got no error for a folder in a file")
	}
}
