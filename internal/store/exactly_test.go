package store

import (
	"errors"
	"testing"
)

// TestExactly: no memory is taken for an object with another size, nor for more than a server has said.
func TestExactly(t *testing.T) {
	for found, want := range map[int64]int64{1 << 60: 12, 13: 12, 11: 12, 0: 1 << 60, 12: 1 << 60} {
		_, err := (&exactly{size: want}).begin(found)
		if wrong, ok := errors.AsType[*SizeError](err); !ok || wrong.Found != found || wrong.Want != want {
			t.Errorf("found %v, want %d and %d", err, found, want)
		}
	}
	e := &exactly{size: 1 << 60}
	w, err := e.begin(-1) // the server does not say it
	if err != nil || cap(e.content) != 0 {
		t.Fatalf("found %v and %d bytes of memory", err, cap(e.content))
	}
	if n, err := w.Write([]byte("abc")); n != 3 || err != nil {
		t.Errorf("found %d, %v", n, err)
	}
	e.size = 5
	if _, err := w.Write([]byte("def")); err == nil {
		t.Error("found more bytes than wanted, and no error")
	}
}
