package postgres

import (
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/sinks"
)

func TestTargets(t *testing.T) {
	kinds := []*sinks.Kind{&Kind}
	for text, want := range map[string]string{
		"postgres://host/db":                             "postgres://host/db?table=classifications",
		"postgresql://u:p%40@host:5432/db?table=a.b":     "postgres://host:5432/db?table=a.b",
		"postgres://u@h1:1,h2:2/db?password=x":           "postgres://h1:1,h2:2/db?table=classifications",
		"postgres:///db?host=/run/postgresql":            "postgres:///run/postgresql/db?table=classifications",
		"postgres://[::1]:5/db?connect-timeout=3&queue=": "",
		"postgres:db":                                         "",
		"postgres://u:pa%zz@host/db":                          "",
		"postgres://u:pa/ss@host/db":                          "",
		"postgres://host/db?table=a.b.c":                      "",
		"postgres://host/db?table=":                           "",
		"postgres://host/db?table=a.":                         "",
		"postgres://host/db?table=" + strings.Repeat("x", 64): "",
		"postgres://host/db?sslmode=full":                     "",
		"postgres://host/db?target-session-attrs=rw":          "",
		"postgres://host/db?sslpassword=pass&x=1":             "",
	} {
		o, problems := sinks.Parse(kinds, text, sinks.Defaults{})
		if want == "" {
			if len(problems) == 0 {
				t.Errorf("%s: found %s, want an error", text, o.Place)
			}
			for _, err := range problems {
				for _, secret := range []string{"pa%zz", "pa/ss", "=pass"} {
					if strings.Contains(err.Error(), secret) {
						t.Errorf("found the password in %v", err)
					}
				}
			}
			continue
		}
		if len(problems) > 0 || o.Place != want {
			t.Errorf("%s: found %v, %v, want %s", text, o, problems, want)
		}
	}
}
