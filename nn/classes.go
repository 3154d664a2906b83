package nn

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// MaxClasses limits the number of named classes.
const MaxClasses = 1 << 16

// ClassCount returns the number of classes that a classifier tells apart: the size of the last axis of its output, or 2
// for a single number. It is 0 for a model without outputs.
func (m *Model) ClassCount() int {
	if len(m.Outputs()) == 0 {
		return 0
	}
	shape := m.Outputs()[0].Shape
	if len(shape) == 0 {
		return 2
	}
	return max(2, shape[len(shape)-1])
}

// ClassName returns the name of a class. It is empty if the model does not name it, or names it by its number.
func (m *Model) ClassName(class int) string {
	if class >= len(m.Classes) || m.Classes[class] == strconv.Itoa(class) {
		return ""
	}
	return m.Classes[class]
}

// SetClasses names the classes of a classifier in the order of its outputs. Names that do not fit the outputs, empty
// names, repeated ones and those with control characters are errors, and nothing is changed.
func (m *Model) SetClasses(names []string) error {
	if err := CheckClasses(names); err != nil {
		return err
	}
	if want := m.ClassCount(); len(names) != want {
		return fmt.Errorf("found %d class names, want %d, the number of classes of model %s", len(names), want, m.Name)
	}
	m.Classes = slices.Clone(names)
	return nil
}

// CheckClasses returns an error if a name is empty or repeated, or has control characters.
func CheckClasses(names []string) error {
	if len(names) > MaxClasses {
		return fmt.Errorf("found %d class names, limit %d", len(names), MaxClasses)
	}
	first := map[string]int{}
	for i, n := range names {
		switch at, again := first[n]; {
		case n == "":
			return fmt.Errorf("class %d: found an empty name", i)
		case strings.ContainsFunc(n, unicode.IsControl):
			return fmt.Errorf("class %d: found the name %q, want one without control characters", i, n)
		case again:
			return fmt.Errorf("class %d: found the name %q, which is that of class %d", i, n, at)
		}
		first[n] = i
	}
	return nil
}

// ParseClasses parses the names of classes: a JSON list of names; an object of names by number or numbers by name, as
// JSON or as Python prints a dictionary; one name per line; or, in a single line, names separated by commas.
func ParseClasses(text string) ([]string, error) {
	text = strings.TrimSpace(strings.TrimPrefix(text, "\ufeff"))
	var names []string
	switch {
	case text == "":
		return nil, errors.New("found no class names")
	case text[0] == '[':
		if err := json.Unmarshal([]byte(text), &names); err != nil {
			return nil, fmt.Errorf("found no JSON list of class names: %w", err)
		}
	case text[0] == '{':
		byNumber, err := numbered(text)
		if err != nil {
			return nil, err
		}
		names = make([]string, len(byNumber))
		for i := range names {
			name, ok := byNumber[i]
			if !ok {
				return nil, fmt.Errorf("found no name of class %d among %d", i, len(names))
			}
			names[i] = name
		}
	default:
		separator := "\n"
		if !strings.Contains(text, separator) {
			separator = ","
		}
		for name := range strings.SplitSeq(text, separator) {
			names = append(names, strings.TrimSpace(name))
		}
	}
	return names, CheckClasses(names)
}

// numbered parses an object with the names of classes.
func numbered(text string) (map[int]string, error) {
	var object map[string]any
	if err := json.Unmarshal([]byte(text), &object); err != nil {
		return dictionary(text)
	}
	byNumber := map[int]string{}
	for key, value := range object {
		var err error
		var n int
		name, isName := value.(string)
		if number, ok := value.(float64); ok && number == float64(int(number)) {
			n, name = int(number), key
		} else if n, err = strconv.Atoi(key); err != nil || !isName {
			return nil, fmt.Errorf("found the entry %q, want a class number and a name", key)
		}
		if other, again := byNumber[n]; again {
			return nil, fmt.Errorf("class %d: found the names %q and %q", n, other, name)
		}
		byNumber[n] = name
	}
	return byNumber, nil
}

// dictionary parses what Python prints for a dictionary from numbers to strings: {0: 'chair', 1: "baker's table"}.
func dictionary(text string) (map[int]string, error) {
	byNumber := map[int]string{}
	rest := text[1:]
	for {
		rest = strings.TrimLeft(rest, " \t\r\n,")
		if rest == "}" {
			return byNumber, nil
		}
		key, after, ok := strings.Cut(rest, ":")
		n, err := strconv.Atoi(strings.TrimSpace(key))
		after = strings.TrimLeft(after, " ")
		if !ok || err != nil || after == "" || after[0] != '\'' && after[0] != '"' {
			return nil, fmt.Errorf("found %.40q, want a class number, a colon and a quoted name", rest)
		}
		quote := after[0]
		var name strings.Builder
		i := 1
		for ; i < len(after) && after[i] != quote; i++ {
			if after[i] == '\\' && i+1 < len(after) {
				i++
			}
			name.WriteByte(after[i])
		}
		if i >= len(after) {
			return nil, fmt.Errorf("class %d: found no end of the name", n)
		}
		if other, again := byNumber[n]; again {
			return nil, fmt.Errorf("class %d: found the names %q and %q", n, other, name.String())
		}
		byNumber[n], rest = name.String(), after[i+1:]
	}
}
