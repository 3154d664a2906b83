package option

import (
	"errors"
	"fmt"
	"reflect"
	"testing"
)

type inner struct {
	Low  int `yaml:"low" min:"1"`
	High int `yaml:"high"`
}

func (i *inner) Validate() error {
	if i.Low > i.High {
		return fmt.Errorf("low: found %d, want at most high (%d)", i.Low, i.High)
	}
	return nil
}

type other struct {
	Name string `yaml:"name" enum:"a,b"`
}

func (o *other) Validate() error {
	return errors.Join(errors.New("name: one"), errors.Join(errors.New("name: two")))
}

type outer struct {
	Part struct {
		List []any `yaml:",inline"`
	} `yaml:"part"`
	Size Dims `yaml:"size"`
}

func TestValidate(t *testing.T) {
	v := &outer{}
	v.Part.List = []any{&inner{Low: 0, High: -1}, &other{Name: "c"}}
	var found []string
	for _, err := range Validate(v) {
		found = append(found, err.Error())
	}
	want := []string{
		"part.low: found 0, want 1 or more",
		`part.name: found "c", want one of a, b`,
		"part.low: found 0, want at most high (-1)",
		"part.name: one",
		"part.name: two",
	}
	if !reflect.DeepEqual(found, want) {
		t.Errorf("found %q, want %q", found, want)
	}
	v.Part.List = []any{&inner{Low: 1, High: 1}}
	if errs := Validate(v); len(errs) > 0 {
		t.Errorf("found %v in good options", errs)
	}
}

func TestListOfOptions(t *testing.T) {
	list := Distinct([]func() any{
		func() any { return &inner{Low: 1} }, nil, func() any { return &other{Name: "a"} }, func() any { return &inner{Low: 9} },
	})
	if len(list) != 2 {
		t.Fatalf("found %d structs, want those of 2 types", len(list))
	}
	if o := Of(list, inner{}); o.Low != 1 {
		t.Errorf("found low %d, want that of the first struct of its type, 1", o.Low)
	}
	if o := Of(list, Dims{7}); o != (Dims{7}) {
		t.Errorf("found %v where the list has none, want the default", o)
	}
	copied := Clone(list)
	list[0].(*inner).Low = 5
	if o := Of(copied, inner{}); o.Low != 1 {
		t.Errorf("found low %d in a copy after a change of the original", o.Low)
	}
	defer func() {
		if recover() == nil {
			t.Error("found no panic where options are no pointer to a struct")
		}
	}()
	Distinct([]func() any{func() any { return inner{} }})
}
