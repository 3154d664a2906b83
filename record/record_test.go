package record

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestID(t *testing.T) {
	for text, want := range map[string]ID{
		"s/0":                          {Stream: "s"},
		"drive-1a2b/17":                {Stream: "drive-1a2b", Seq: 17},
		"drive-1a2b/17#3":              {Stream: "drive-1a2b", Seq: 17, Object: 3},
		"drive-1a2b/17~5":              {Stream: "drive-1a2b", Seq: 17, View: 5},
		"drive-1a2b/17#3~5":            {Stream: "drive-1a2b", Seq: 17, Object: 3, View: 5},
		"topic/4/18446744073709551615": {Stream: "topic/4", Seq: 1<<64 - 1},
		"a#1~2/b~3#4/9#4294967295~1":   {Stream: "a#1~2/b~3#4", Seq: 9, Object: 1<<32 - 1, View: 1},
		"/1":                           {Seq: 1},
	} {
		if got := want.String(); got != text {
			t.Errorf("%#v: found %s, want %s", want, got, text)
		}
		if got, err := ParseID(text); err != nil || got != want {
			t.Errorf("%s: found %#v, %v, want %#v", text, got, err, want)
		}
	}
	for _, bad := range []string{
		"", "s", "s/", "s/x", "s/-1", "s/01", "s/1#", "s/1#0", "s/1~0", "s/1~2#3",
		"s/1#4294967296", "s/1 ", "s/18446744073709551616",
	} {
		if id, err := ParseID(bad); err == nil {
			t.Errorf("%q: found %#v, want an error", bad, id)
		}
	}
}

func FuzzParseID(f *testing.F) {
	f.Add("drive-1a2b/17#3~5")
	f.Fuzz(func(t *testing.T, text string) {
		id, err := ParseID(text)
		if err == nil && id.String() != text {
			t.Fatalf("%q: parsed as %#v, which String writes as %q", text, id, id.String())
		}
	})
}

// TestWholeScanHasVersion1Fields checks that the classification of a whole scan has only the fields of version 1.
func TestWholeScanHasVersion1Fields(t *testing.T) {
	b, err := json.Marshal(&Classification{EventID: "s/1", Stream: "s", Seq: 1})
	if err != nil {
		t.Fatal(err)
	}
	for _, added := range []string{"object", "view", "box", "track", "energy", "unfamiliar", "distance", "velocity"} {
		if strings.Contains(string(b), `"`+added+`"`) {
			t.Errorf("found %s in %s", added, b)
		}
	}
}
