package option

import (
	"strings"
	"testing"
	"time"
)

type queried struct {
	Buffer   Bytes         `yaml:"buffer" unit:"B" min:"1B" max:"1GiB"`
	Limit    Bytes         `yaml:"limit" min:"1B"`
	Settle   time.Duration `yaml:"settle" above:"0s"`
	State    string        `yaml:"state_file"`
	Password string        `yaml:"password" secret:"true"`
}

func TestFromQuery(t *testing.T) {
	for query, want := range map[string]queried{
		"":                                {},
		"buffer=65536":                    {Buffer: 65536},
		"buffer=64KiB&limit=1kB":          {Buffer: 65536, Limit: 1000},
		"settle=2s&state-file=/a+b/c%20d": {Settle: 2 * time.Second, State: "/a+b/c d"},
		"state_file=x&&password=y":        {State: "x", Password: "y"},
	} {
		var got queried
		if err := FromQuery(&got, query); err != nil || got != want {
			t.Errorf("%s: found %+v, %v, want %+v", query, got, err, want)
		}
	}
	for query, want := range map[string][]string{
		"limit=65536": {"limit: found \"65536\", want a whole number of bytes with its unit"},
		"buffer=0&settle=0s&bufer=1": {
			"buffer: found 0, want 1B to 1GiB",
			"settle: found 0s, want more than 0s", `"bufer" (did you mean buffer?)`,
		},
		"buffer=1&buffer=2&settle=2":     {"buffer: found 2 times", `settle: found "2", want a duration with its unit`},
		"buffer=99999999999999999999999": {"buffer: found"},
		"state-file=%zz":                 {"invalid URL escape"},
	} {
		var o queried
		problems := SetQuery(&o, query)
		if len(problems) != len(want) {
			t.Errorf("%s: found %q, want %d problems", query, problems, len(want))
		}
		for _, w := range want {
			if err := FromQuery(&queried{}, query); err == nil || !strings.Contains(err.Error(), w) {
				t.Errorf("%s: found error %v, want %q", query, err, w)
			}
		}
	}
}

func TestMaskQuery(t *testing.T) {
	for query, want := range map[string]string{
		"":                               "",
		"buffer=1&password=abc&settle=x": "buffer=1&password=***&settle=x",
		"passwrd=abc&state_file=/f":      "passwrd=***&state_file=/f",
		"pass%77ord=abc&token":           "pass%77ord=***&token",
		"a%zz=b":                         "a%zz=***",
	} {
		if got := MaskQuery(&queried{}, query); got != want {
			t.Errorf("%s: found %s, want %s", query, got, want)
		}
	}
}

func TestSimilar(t *testing.T) {
	names := []string{"cx", "labels", "loss", "epochs", "calibration", "learning-rate", "mean_squared_error"}
	for name, want := range map[string]string{
		"rows": "", "layers": "", "lx": "", "": "", "cy": "",
		"los": "loss", "calib": "", "boss": "loss", "lsos": "loss", "LABEL": "labels", "epohcs": "epochs", "calibratoin": "calibration",
		"lr": "learning-rate", "mse": "mean_squared_error", "mae": "",
	} {
		if got := Similar(name, names); got != want {
			t.Errorf("%q: found %q, want %q", name, got, want)
		}
	}
}
