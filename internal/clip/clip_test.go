package clip

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestText(t *testing.T) {
	for _, text := range []string{"", "short", strings.Repeat("x", Limit)} {
		if got := Text(text); got != text {
			t.Errorf("%d bytes became %d", len(text), len(got))
		}
	}
	for i := range 8 {
		text := strings.Repeat("x", i) + strings.Repeat("é€𝄞", 1_000_000)
		got := Text(text)
		if len(got) > Limit || len(got) < Limit-10 || !utf8.ValidString(got) ||
			!strings.HasSuffix(got, fmt.Sprintf("... (cut, %d bytes in total)", len(text))) {
			t.Errorf("%d bytes became %d: %q", len(text), len(got), got[len(got)-60:])
		}
	}
	if got := To(strings.Repeat("\x80", 1000), 100); len(got) > 100 || len(got) < 90 {
		t.Errorf("bytes that are not UTF-8 became %d: %q", len(got), got)
	}
}

func TestError(t *testing.T) {
	if Error(nil) != nil || Error(io.EOF) != io.EOF { //nolint:errorlint // it must be the same
		t.Error("a short error was changed")
	}
	err := Error(fmt.Errorf("%s: %w", strings.Repeat("x", 1<<20), io.EOF))
	if !errors.Is(err, io.EOF) || len(err.Error()) > Limit {
		t.Errorf("found %d bytes", len(err.Error()))
	}
}
