package augment

import (
	"fmt"
	"slices"
	"strings"

	"github.com/voxelstream/voxelstream/internal/option"
)

// Recipe is a list of augmentations that are applied in order.
type Recipe []Step

// Step is an augmentation of a recipe.
type Step struct {
	// Kind is the name of the kind.
	Kind string
	Augmentation
}

// Parse returns the recipe of a text: augmentations, separated by commas or semicolons, each by its name or with
// options as in rotate:axis=z,degrees=15. It returns all problems.
func Parse(text string) (recipe Recipe, errs []error) {
	known := true // the kind of the options that follow
	for item := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == ',' || r == ';' }) {
		item = strings.TrimSpace(item)
		name, setting, has := strings.Cut(item, ":")
		if !has && strings.Contains(item, "=") { // a further option
			name, setting = "", item
		}
		switch {
		case item == "" || name == "" && !known:
			continue
		case name == "" && len(recipe) == 0:
			errs = append(errs, fmt.Errorf("found the option %q, want the name of an augmentation before it", item))
			continue
		case name != "":
			var kind Kind
			if kind, known = kindOf(name); !known {
				errs = append(errs, fmt.Errorf("found %q%s, want one of %s", name, option.DidYouMean(name, names()),
					strings.Join(names(), ", ")))
				continue
			}
			recipe = append(recipe, Step{kind.Name, kind.Options()})
		}
		last := recipe[len(recipe)-1]
		if setting == "" {
			continue
		}
		if err := set(last.Augmentation, setting); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", last.Kind, err))
		}
	}
	return recipe, append(errs, recipe.check()...)
}

// check reports conflicts between options, more than one mixup, and augmentations that need different data.
func (r Recipe) check() (errs []error) {
	mixed := 0
	needs := map[Data]string{}
	for _, s := range r {
		for _, err := range option.Validate(s.Augmentation) {
			errs = append(errs, fmt.Errorf("%s: %w", s.Kind, err))
		}
		if _, ok := s.Augmentation.(mixer); ok {
			mixed++
		}
		if of := Of(s.Augmentation); len(of) == 1 {
			needs[of[0]] = s.Kind
		}
	}
	if len(needs) > 1 {
		errs = append(errs, fmt.Errorf("found %s, which needs points, and %s, which needs grids", needs[Points], needs[Grids]))
	}
	if mixed > 1 {
		errs = append(errs, fmt.Errorf("mixup: found %d times, want at most once", mixed))
	}
	return errs
}

// set sets an option, given as NAME=VALUE.
func set(a Augmentation, text string) error {
	name, value, has := strings.Cut(text, "=")
	name = strings.TrimSpace(name)
	settings := option.Settings(a)
	f, ok := option.Find(settings, name)
	if !ok || !has {
		var want []string
		for _, f := range settings {
			want = append(want, f.Path)
		}
		return fmt.Errorf("found the option %q%s, want NAME=VALUE with one of %s", text, option.DidYouMean(name, want),
			strings.Join(want, ", "))
	}
	if err := f.Set(strings.TrimSpace(value)); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

func kindOf(name string) (Kind, bool) {
	all := Kinds()
	i := slices.IndexFunc(all, func(k Kind) bool { return k.Name == strings.TrimSpace(name) })
	if i < 0 {
		return Kind{}, false
	}
	return all[i], true
}

func names() []string {
	var out []string
	for _, k := range Kinds() {
		out = append(out, k.Name)
	}
	return out
}

// String returns the text of the recipe, with all options. [Parse] parses it.
func (r Recipe) String() string {
	var out []string
	for _, s := range r {
		var options []string
		for _, f := range option.Settings(s.Augmentation) {
			options = append(options, f.Path+"="+f.String())
		}
		out = append(out, s.Kind+":"+strings.Join(options, ","))
	}
	return strings.Join(out, ";")
}
