package train

import (
	"strings"
	"testing"
)

// TestChoices: every name of the lists makes what it names, has documentation, and others are refused.
func TestChoices(t *testing.T) {
	for list, names := range map[string][]string{
		"optimizer": Optimizers(), "schedule": Schedules(),
		"loss": Losses(), "monitor": Monitors(),
	} {
		seen := map[string]bool{}
		doc := map[string]func(string) string{
			"optimizer": OptimizerDoc, "schedule": ScheduleDoc, "loss": LossDoc,
			"monitor": MonitorDoc,
		}[list]
		for _, name := range append(names, "none of them") {
			if seen[name] {
				t.Errorf("%s: found %s twice", list, name)
			}
			seen[name] = true
			known := name != "none of them"
			if (doc(name) != "") != known {
				t.Errorf("%s %s: found documentation %q", list, name, doc(name))
			}
			var err error
			switch list {
			case "optimizer":
				var r Rule
				if r, err = NewRule(name, .5, true); err == nil && strings.ToLower(r.Class()) != name {
					t.Errorf("optimizer %s: found %s", name, r.Class())
				}
			case "schedule":
				var s Schedule
				s, err = NewSchedule(name, ScheduleOptions{
					Rate: .5, Epoch: 10, Steps: 20, Boundaries: []int64{3},
					Rates: []float64{.5, .1},
				})
				if s != nil && (s.Check() != nil || s.Rate(0) != .5) {
					t.Errorf("schedule %s: found rate %g at first, %v", name, s.Rate(0), s.Check())
				}
			case "loss":
				_, err = NewLoss(name, false, 0)
			case "monitor":
				err = checkMonitor(name, true)
			}
			if (err == nil) != known || !known && !strings.Contains(err.Error(), names[0]) {
				t.Errorf("%s %s: found %v", list, name, err)
			}
		}
	}
}
