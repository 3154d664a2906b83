package sinks_test

import (
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/sinks"
)

// TestMaskPasswords: whatever characters a password has, no part of it is shown, and what is not a password stays.
func TestMaskPasswords(t *testing.T) {
	for _, password := range []string{"hush", "hu/sh", "hu@sh", "hu?sh", "hu?s@h", "hu&sh=1", "42?sh"} {
		text := "postgres://user:" + password + "@host:5432/db?table=x"
		masked := sinks.Mask(nil, text)
		if masked != "postgres://user:***@host:5432/db?table=***" && masked != "postgres://user:***@host:5432/db?table=x" {
			t.Errorf("%s: found %s", text, masked)
		}
	}
	masked := sinks.Mask(nil, "postgres://host:5432/db?mail=a@b")
	if !strings.HasPrefix(masked, "postgres://host:5432/db?mail=") {
		t.Errorf("no password: found %s", masked)
	}
}
