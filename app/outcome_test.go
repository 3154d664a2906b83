package app

import (
	"errors"
	"slices"
	"testing"
)

func TestOutcomes(t *testing.T) {
	var o Outcomes
	o.Add("good.h5").Used(3)
	bad := o.Add("bad.h5")
	bad.Used(2)
	bad.FailedRow(errors.New("bad.h5: row 2: found NaN"))
	bad.FailedRow(errors.New("row 3"))
	bad.End(FileRepeated, "seen before")
	o.Add("readme.txt").End(FileSkipped, "ignored by *.txt")
	o.Add("copy.h5").End(FileRepeated, "the same name and content as good.h5")
	want := []FileOutcome{
		{File: "good.h5", Status: FileDone, Rows: 3},
		{File: "bad.h5", Status: FileFailed, Rows: 2, Failed: 2, Error: "row 2: found NaN"},
		{File: "readme.txt", Status: FileSkipped, Error: "ignored by *.txt"},
		{File: "copy.h5", Status: FileRepeated, Error: "the same name and content as good.h5"},
	}
	list := o.List()
	if !slices.Equal(list, want) {
		t.Errorf("found %+v, want %+v", list, want)
	}
	if got, want := CountFiles(list), "1 done, 1 repeated, 1 skipped, 1 partial"; got != want {
		t.Errorf("found %q, want %q", got, want)
	}
	if got, want := Remarkable(list), []FileOutcome{want[1], want[2], want[3]}; !slices.Equal(got, want) {
		t.Errorf("found %+v, want %+v", got, want)
	}
}
