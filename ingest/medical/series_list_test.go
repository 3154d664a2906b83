package medical

import "testing"

func TestListSeries(t *testing.T) {
	all := []*series{{uid: "1.2", number: "1"}, {uid: "1.3", number: "1"}, {uid: "1.4", number: "2"}}
	if got, want := list(all), `"1.2", "1.3", "2"`; got != want {
		t.Errorf("found %s, want %s", got, want)
	}
}
