package ingest

import "testing"

func TestOrientations(t *testing.T) {
	seen := map[Orientation]bool{}
	for _, o := range Orientations() {
		axes, reversed, err := o.Axes()
		if err != nil || OrientationOf(axes, reversed) != o || seen[o] {
			t.Errorf("%s: found %v, %v, %v", o, axes, reversed, err)
		}
		seen[o] = true
	}
	if len(seen) != 48 || !seen[RAS] || !seen["LPS"] || !seen["PIR"] {
		t.Errorf("found %d orientations, want 48 with RAS, LPS and PIR", len(seen))
	}
	if axes, reversed, err := Orientation("PIR").Axes(); err != nil || axes != [3]int{1, 2, 0} ||
		reversed != [3]bool{true, true, false} {
		t.Errorf("PIR: found %v, %v, %v", axes, reversed, err)
	}
	if start, end := Orientation("PIR").Ends(1); start != 'S' || end != 'I' {
		t.Errorf("PIR: y runs from %c to %c, want S to I", start, end)
	}
	for _, o := range []Orientation{"", "RA", "RASS", "RAR", "RLS", "ras", "XYZ", "R\xffS"} {
		if _, _, err := o.Axes(); err == nil {
			t.Errorf("%q: found no error", string(o))
		}
	}
}
