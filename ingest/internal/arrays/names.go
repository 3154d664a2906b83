package arrays

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Words of the names of arrays, in common use. An array whose name has a word of data holds samples, one with a word of
// labels their classes; the other words say which belong together: X_train and y_train, train/images and train/labels.
var (
	sampleWords = words("x grids grid volumes volume vol vols voxels voxel vox")
	dataWords   = append(words("data images image imgs img points point pointcloud pointclouds clouds cloud pc pcs xyz "+
		"inputs input samples scans scan features"), sampleWords...)
	labelWords = words("y label labels target targets class classes category categories cls")
	// plainWords say nothing about which arrays belong together.
	plainWords = words("set array arr value all")
	// metaWords are those of arrays about the data: they are only read by name.
	metaWords = words("affine spacing origin transform pose poses intrinsics extrinsics calib camera mean std names name " +
		"ids id index indices filenames paths weights weight history bounds offset scale shape size")
)

func words(text string) []string { return strings.Fields(text) }

// fused are names without a separator: xtrain, trainY.
var fused = regexp.MustCompile(`^(?:([xy])(train|test|val|valid|validation|dev|tr|te)|` +
	`(train|test|val|valid|validation|dev|tr|te)([xy]))$`)

// wordsOf splits a name into words in lower case.
func wordsOf(name string) []string {
	var out []string
	for w := range strings.FieldsFuncSeq(strings.ToLower(name), func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9')
	}) {
		if m := fused.FindStringSubmatch(w); m != nil {
			out = append(out, m[1]+m[4], m[2]+m[3])
		} else {
			out = append(out, w)
		}
	}
	return out
}

// sampleWord returns the word of a name that says that the first axis counts samples, or may do so.
func sampleWord(name string) string {
	for _, w := range wordsOf(name) {
		if slices.Contains(sampleWords, w) {
			return w
		}
	}
	return ""
}

// Role is what a name says about an array.
type Role int

// The roles.
const (
	Other Role = iota
	Data
	Label
	Meta
)

// RoleOf returns the role of an array by its name, and the rest of the name, which data and their labels share.
func RoleOf(name string) (role Role, key string) {
	all := wordsOf(name)
	var rest []string
	for _, w := range slices.Backward(all) {
		switch {
		case role == Other && slices.Contains(labelWords, w):
			role = Label
		case role == Other && slices.Contains(dataWords, w):
			role = Data
		case role == Other && slices.Contains(metaWords, w):
			role = Meta
		case slices.Contains(labelWords, w), slices.Contains(dataWords, w), slices.Contains(plainWords, w):
		default:
			rest = append(rest, w)
		}
	}
	slices.Reverse(rest)
	return role, strings.Join(rest, " ")
}

// Pair is an array of data and that of its labels, by their indices in a list of names; Labels is -1 if there are none.
type Pair struct{ Data, Labels int }

// Choice is what was chosen in a file.
type Choice struct {
	Pairs []Pair
	// Left are the arrays that are not read.
	Left []int
	// Free says that names or --data left no other choice, so that the choice needs no note.
	Free bool
}

// Choose chooses arrays of data with their labels among those of a file. usable says which can be data at all, describe
// describes an array for an error.
func Choose(names []string, usable func(i int) bool, describe func(i int) string, o Options) (Choice, error) {
	var c Choice
	labelled := map[string][]int{} // arrays of labels by key
	for i, name := range names {
		if role, key := RoleOf(name); role == Label {
			labelled[key] = append(labelled[key], i)
		}
	}
	labels := func(data int) (int, error) {
		switch {
		case o.Labels == NoLabels:
			return -1, nil
		case o.Labels != "":
			return find(names, o.Labels, "labels")
		}
		_, key := RoleOf(names[data])
		first := -1
		for _, i := range labelled[key] {
			switch {
			case i == data:
			case folder(names[i]) == folder(names[data]):
				return i, nil
			case first < 0:
				first = i
			}
		}
		return first, nil
	}
	add := func(data int) error {
		l, err := labels(data)
		c.Pairs = append(c.Pairs, Pair{data, l})
		return err
	}
	if o.Data != "" {
		i, err := find(names, o.Data, "data")
		if err == nil {
			err = add(i)
		}
		c.Free = true
		return c, err
	}
	byKey := map[string][]int{}
	var keys []string
	var others []int
	for i, name := range names {
		role, key := RoleOf(name)
		switch {
		case !usable(i) || role == Meta:
		case role == Data:
			if byKey[key] == nil {
				keys = append(keys, key)
			}
			byKey[key] = append(byKey[key], i)
		case role == Other:
			others = append(others, i)
		}
	}
	var chosen []int
	for _, key := range keys {
		if len(byKey[key]) > 1 {
			return c, ask(names, byKey[key], describe)
		}
		chosen = append(chosen, byKey[key][0])
	}
	if len(chosen) == 0 {
		chosen = others
		if len(others) > 1 {
			return c, ask(names, others, describe)
		}
	}
	if len(chosen) == 0 { // only labels: they are the data
		for i := range names {
			if role, _ := RoleOf(names[i]); role == Label && usable(i) {
				chosen = append(chosen, i)
			}
		}
		if len(chosen) == 0 {
			return c, nil
		}
		o.Labels = NoLabels
	}
	c.Free = true
	for _, i := range chosen {
		if err := add(i); err != nil {
			return c, err
		}
		c.Free = c.Free && sampleWord(names[i]) == "x"
	}
	used, pairs := map[int]bool{}, false
	for _, p := range c.Pairs {
		used[p.Data], used[p.Labels] = true, true
		pairs = pairs || p.Labels >= 0
	}
	for i := range names {
		if !used[i] && !(pairs && IsClassList(names[i])) {
			c.Left = append(c.Left, i)
		}
	}
	return c, nil
}

// classLists are the names of lists of the names of classes, in lower case without separators.
var classLists = words("classnames classes classlist classlabels labelnames labelsnames labellist categories " +
	"categorynames targetnames")

// IsClassList reports whether the name of an array or an attribute is that of a list of the names of classes.
func IsClassList(name string) bool {
	name = name[strings.LastIndexByte(name, '/')+1:]
	return slices.Contains(classLists, strings.Map(func(r rune) rune {
		if r == '_' || r == '-' || r == ' ' || r == '.' {
			return -1
		}
		return r
	}, strings.ToLower(name)))
}

// InPart reports whether an array belongs to a part of the data, train, val or test, by a word of its name that starts
// with the part.
func InPart(name, part string) bool {
	return slices.ContainsFunc(wordsOf(name), func(w string) bool { return strings.HasPrefix(w, strings.ToLower(part)) })
}

// Note says what is read, and what is not, with the reason if why has one. It is empty if names left no choice.
func (c Choice) Note(names []string, why func(i int) string) string {
	if c.Free && len(c.Left) == 0 {
		return ""
	}
	var read, left []string
	for _, p := range c.Pairs {
		text := strings.Trim(names[p.Data], "/")
		if p.Labels >= 0 {
			text += " with labels " + strings.Trim(names[p.Labels], "/")
		}
		read = append(read, text)
	}
	for _, i := range c.Left {
		text := names[i]
		if reason := why(i); reason != "" {
			text += " (" + reason + ")"
		}
		left = append(left, text)
	}
	text := "read: " + List(read)
	if len(left) > 0 {
		text += "; not read: " + List(left)
	}
	return text
}

// folder is the part of a path before the last slash.
func folder(name string) string { return name[:strings.LastIndexByte(name, '/')+1] }

// find returns the array of that name, with or without a slash in front, or of that last part if only one has it.
func find(names []string, want, flag string) (int, error) {
	want = strings.Trim(want, "/")
	for i, name := range names {
		if strings.Trim(name, "/") == want {
			return i, nil
		}
	}
	var parts []int
	for i, name := range names {
		if strings.HasSuffix(name, "/"+want) {
			parts = append(parts, i)
		}
	}
	if len(parts) == 1 {
		return parts[0], nil
	}
	if len(names) == 0 {
		return -1, fmt.Errorf("--%s %s: not found, the file has no arrays of numbers", flag, want)
	}
	return -1, fmt.Errorf("--%s %s: not found, want one of %s", flag, want, List(names))
}

// ask is the error where several arrays may be the data.
func ask(names []string, among []int, describe func(i int) string) error {
	var list []string
	for _, i := range among[:min(len(among), maxListed)] {
		list = append(list, strings.Trim(names[i], "/")+" "+describe(i))
	}
	if len(among) > maxListed {
		list = append(list, "...")
	}
	return fmt.Errorf("found several arrays that may be the data: %s; choose one with --data NAME", strings.Join(list, ", "))
}

// maxListed limits the names in an error.
const maxListed = 12

// List lists names, up to a dozen.
func List(names []string) string {
	out := make([]string, 0, maxListed+1)
	for _, n := range names[:min(len(names), maxListed)] {
		out = append(out, strings.Trim(n, "/"))
	}
	if len(names) > maxListed {
		out = append(out, fmt.Sprintf("and %d more", len(names)-maxListed))
	}
	return strings.Join(out, ", ")
}
