package option

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

type guarded struct {
	User     string `yaml:"user"`
	Password string `yaml:"password" secret:"true"`
	PIN      int    `yaml:"pin_code" secret:"true" min:"1000"`
}

func TestSecrets(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"pw": "s3cret word\r\n\n", "pin": "4711", "empty": "\n",
		"long": strings.Repeat("x", maxSecret+1), "bad": "abc",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("TEST_PASSWORD", "from env")
	t.Setenv("TEST_EMPTY", "")
	for query, want := range map[string]guarded{
		"user=a&password=b":                          {"a", "b", 0},
		"user=a&password-file=" + dir + "/pw":        {"a", "s3cret word", 0},
		"password_env=TEST_PASSWORD&pin-code=1234":   {"", "from env", 1234},
		"pin_code_file=" + dir + "/pin&password=a+b": {"", "a+b", 4711},
	} {
		var got guarded
		if err := FromQuery(&got, query); err != nil || got != want {
			t.Errorf("%s: found %+v, %v, want %+v", query, got, err, want)
		}
	}
	for query, want := range map[string]string{
		"password-file=" + dir + "/none":             "password-file: open " + dir + "/none",
		"password-file=" + dir + "/empty":            "empty is empty or not set",
		"password-file=" + dir + "/long":             "more than 65536 bytes, the limit",
		"password-env=TEST_EMPTY":                    "password-env: TEST_EMPTY is empty or not set",
		"password=x&password-env=TEST_PASSWORD":      "password-env: found together with password, want one of them",
		"user-file=x":                                `found the option "user-file"`,
		"pasword-file=x":                             "did you mean password-file?",
		"pin-code=hidden":                            "pin-code: found an invalid value, want a whole number, 1000 or more",
		"pin-code-file=" + dir + "/bad":              "pin-code-file: found an invalid value",
		"pin-code=12":                                "found an invalid value",
		"password-file=" + dir + "/none&user=x&zz=1": `found the option "zz"`,
	} {
		err := FromQuery(&guarded{}, query)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: found %v, want %q", query, err, want)
		}
		for _, hidden := range []string{"hidden", "abc", "found 12"} {
			if err != nil && strings.Contains(err.Error(), hidden) {
				t.Errorf("%v shows the value", err)
			}
		}
	}
	if got := MaskQuery(&guarded{}, "user=a&password=b&password-file=c&pin_code_env=D&pasword=e"); got != "user=a&password=***&password-file=c&pin_code_env=D&pasword=***" {
		t.Errorf("found %s", got)
	}
}

// TestParseQuery reads no secret before it is told to.
func TestParseQuery(t *testing.T) {
	var g guarded
	secrets, problems := ParseQuery(&g, "user=a&password-env=TEST_LATER")
	if len(secrets) != 1 || len(problems) != 0 || g.User != "a" || g.Password != "" {
		t.Fatalf("found %v, %v, %+v", secrets, problems, g)
	}
	t.Setenv("TEST_LATER", "now")
	if err := secrets.Read(); err != nil || g.Password != "now" {
		t.Errorf("found %+v, %v", g, err)
	}
}
