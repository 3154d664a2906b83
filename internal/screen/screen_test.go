package screen

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

func TestTerminal(t *testing.T) {
	var b bytes.Buffer
	s := &Screen{out: &b, width: 10}
	s.Show(true, func() []string { return []string{"table", "a line that is far too long"} })
	if _, err := s.Write([]byte("log\n")); err != nil {
		t.Fatal(err)
	}
	s.Show(true, func() []string { return []string{"\n\rew"} })
	s.Done()
	s.Show(true, func() []string { return []string{"next"} })
	want := "table\na line th\n" + "\x1b[2F\x1b[J" + "log\n" + "table\na line th\n" + "\x1b[2F\x1b[J" +
		`\u000a\u0` + "\nnext\n"
	if b.String() != want {
		t.Errorf("found %q, want %q", b.String(), want)
	}
}

func TestPlain(t *testing.T) {
	var b bytes.Buffer
	s := Plain(&b)
	p := s.Progress("rows")
	p.Set(5, 10, "loss 0.1")
	p.Set(7, 0, "")
	for _, want := range []string{"[############............] 5/10 rows", "left  loss 0.1\n", "7 rows"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("found %q, want %q in it", b.String(), want)
		}
	}
	if strings.Contains(b.String(), "\x1b") {
		t.Errorf("found an escape sequence in %q", b.String())
	}
}

// TestProgressEnd: the end is shown once, even if the total grows with what is done.
func TestProgressEnd(t *testing.T) {
	var b bytes.Buffer
	s := &Screen{out: &b, every: time.Hour}
	p := s.Progress("rows")
	for i := range int64(5) {
		p.Set(i, max(i, 2), "")
	}
	if n := strings.Count(b.String(), "\n"); n != 1 || !strings.Contains(b.String(), "2/2") {
		t.Errorf("found %q, want one line", b.String())
	}
}
