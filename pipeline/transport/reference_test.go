package transport

import (
	"slices"
	"strings"
	"testing"
)

// TestReference: a message keeps its key, its headers and its value apart from the checksum when its value is elsewhere.
func TestReference(t *testing.T) {
	m := New("s", "s/7", ContentArrow, []byte("value"), Header{HeaderSchema, []byte("volumes/2")},
		Header{HeaderTrace, []byte("00-1-2-01")})
	r := Reference{Size: 5, SHA256: strings.Repeat("0123456789abcdef", 4)}
	out := m.WithReference(Reference{Size: 1, SHA256: "other"}).WithReference(r)
	if err := out.Verify(); err != nil {
		t.Error(err)
	}
	found, err := out.Reference()
	if err != nil || *found != r {
		t.Errorf("found %v, %v, want %v", found, err, r)
	}
	if found.Object() != r.SHA256+".arrow" || string(out.Key) != "s" || len(out.Value) != 0 || out.Value == nil {
		t.Errorf("found %s in %v", found.Object(), out)
	}
	kept := slices.DeleteFunc(slices.Clone(m.Headers), func(h Header) bool { return h.Key == headerChecksum })
	if !slices.EqualFunc(out.Headers[:len(kept)], kept, func(a, b Header) bool {
		return a.Key == b.Key && string(a.Value) == string(b.Value)
	}) || len(out.Headers) != len(kept)+3 {
		t.Errorf("found the headers %q, want %q and those of the reference", out.Headers, kept)
	}
	if m.Verify() != nil || string(m.Value) != "value" || len(m.Headers) != 5 {
		t.Error("the message itself was changed")
	}
	if found, err := m.Reference(); found != nil || err != nil {
		t.Errorf("a message with a value: found %v, %v", found, err)
	}
	dead := DeadLetterOf(out, DeadLetter{Topic: "volumes", Stage: "decode"})
	original := Original(dead)
	if found, err := original.Reference(); err != nil || *found != r {
		t.Errorf("the message of a dead letter: found %v, %v", found, err)
	}
}

// TestHostileReference: a message cannot choose what is read.
func TestHostileReference(t *testing.T) {
	digest := strings.Repeat("ab", 32)
	for name, c := range map[string]struct{ object, size, digest, value, want string }{
		"path":            {"../../etc/passwd", "5", digest, "", "claim-object: found \"../../etc/passwd\", want " + digest},
		"absolute":        {"/etc/" + digest + ".arrow", "5", digest, "", "claim-object"},
		"folder":          {"a/" + digest + ".arrow", "5", digest, "", "claim-object"},
		"URL":             {"s3://other/" + digest + ".arrow", "5", digest, "", "claim-object"},
		"another object":  {strings.Repeat("cd", 32) + ".arrow", "5", digest, "", "claim-object"},
		"no object":       {"", "5", digest, "", "claim-object"},
		"path as digest":  {"../x.arrow", "5", "../x", "", "claim-sha256"},
		"long path":       {strings.Repeat("../", 21) + "x.arrow", "5", strings.Repeat("../", 21) + "x", "", "claim-sha256"},
		"no digest":       {".arrow", "5", "", "", "claim-sha256"},
		"upper case":      {strings.Repeat("AB", 32) + ".arrow", "5", strings.Repeat("AB", 32), "", "claim-sha256"},
		"no size":         {digest + ".arrow", "", digest, "", "claim-bytes"},
		"negative size":   {digest + ".arrow", "-1", digest, "", "claim-bytes"},
		"size of nothing": {digest + ".arrow", "0", digest, "", "claim-bytes"},
		"size too large":  {digest + ".arrow", "9223372036854775808", digest, "", "claim-bytes"},
		"value too":       {digest + ".arrow", "5", digest, "x", "want one of both"},
		"very long":       {strings.Repeat("x", 1<<20), "5", digest, "", "1048576 bytes in total"},
	} {
		m := Message{Value: []byte(c.value), Headers: []Header{
			{headerClaimObject, []byte(c.object)},
			{headerClaimBytes, []byte(c.size)},
			{headerClaimSHA256, []byte(c.digest)},
		}}
		r, err := m.Reference()
		if r != nil || err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: found %v, %v, want an error about %s", name, r, err, c.want)
		}
		if err != nil && len(err.Error()) > 1000 {
			t.Errorf("%s: found an error of %d bytes", name, len(err.Error()))
		}
	}
}
