package formats

import "testing"

// TestCompanion: a file accompanies the one with its own name rather than another recording.
func TestCompanion(t *testing.T) {
	names := []string{"a.pcap", "b.json", "b.pcap", "c.json"}
	for name, want := range map[string]string{"b.json": "b.pcap", "c.json": "a.pcap", "b.pcap": ""} {
		if got := companion(step{path: name, names: names}); got != want {
			t.Errorf("%s: found %q, want %q", name, got, want)
		}
	}
}
