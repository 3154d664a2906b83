package option

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
)

// FromQuery sets the fields of the struct that v points to from the query of a URL. Names in a query may have dashes
// in place of underscores. A plus is not a space, because file names may contain one. A secret can be read from a
// file or an environment variable: password-file=PATH, password-env=NAME. The error lists all options that are
// unknown, invalid or given twice.
func FromQuery(v any, query string) error { return errors.Join(SetQuery(v, query)...) }

// SetQuery is like FromQuery but returns one error per problem.
func SetQuery(v any, query string) (problems []error) {
	secrets, problems := ParseQuery(v, query)
	return append(problems, split(secrets.Read())...)
}

// ParseQuery is like SetQuery, but does not read secrets in files and in the environment. [Secrets.Read] does.
func ParseQuery(v any, query string) (secrets Secrets, problems []error) {
	values, err := url.ParseQuery(strings.ReplaceAll(query, "+", "%2B"))
	if err != nil {
		problems = []error{err} // of one option; the others are in values
	}
	fields, names := queryNames(v)
	bad := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	given := map[string]string{}
	for _, key := range slices.Sorted(maps.Keys(values)) {
		name := strings.ReplaceAll(key, "_", "-")
		f, ok := fields[name]
		switch {
		case !ok && len(names) == 0:
			bad("found the option %q, want none", key)
		case !ok:
			bad("found the option %q%s, want %s", key, DidYouMean(name, names), strings.Join(names, ", "))
		case len(values[key]) > 1:
			bad("%s: found %d times, want once", key, len(values[key]))
		case given[f.Path] != "":
			bad("%s: found together with %s, want one of them", key, given[f.Path])
		case name != QueryName(f):
			secrets = append(secrets, secret{f, name, values[key][0]})
		case f.Secret:
			if err := f.setSecret(values[key][0]); err != nil {
				bad("%s: %w", key, err)
			}
		default:
			if err := f.Set(values[key][0]); err != nil {
				bad("%s: %w", key, err)
			}
		}
		given[f.Path] = key
	}
	return secrets, problems
}

// queryNames returns the names allowed in a query, in the order of the settings, and the field of each.
func queryNames(v any) (fields map[string]Field, names []string) {
	fields = map[string]Field{}
	for _, f := range Settings(v) {
		own := []string{QueryName(f)}
		if f.Secret {
			own = append(own, own[0]+fileEnding, own[0]+envEnding)
		}
		for _, n := range own {
			fields[n] = f
		}
		names = append(names, own...)
	}
	return fields, names
}

// MaskQuery replaces values in a query that must not be shown by stars: secrets of the struct that v points to, and the
// values of unknown options, which may be misspelt secrets.
func MaskQuery(v any, query string) string {
	fields, _ := queryNames(v)
	parts := strings.Split(query, "&")
	for i, part := range parts {
		key, value, _ := strings.Cut(part, "=")
		name, err := url.PathUnescape(strings.ReplaceAll(key, "_", "-"))
		f, known := fields[name]
		if value != "" && (err != nil || !known || f.Secret && name == QueryName(f)) {
			parts[i] = key + "=" + Stars
		}
	}
	return strings.Join(parts, "&")
}

// Stars replaces a value that must not be shown.
const Stars = "***"

// QueryName returns the name of a setting in a query.
func QueryName(f Field) string { return strings.ReplaceAll(f.Path, "_", "-") }

// DidYouMean returns a suggestion of a similar name, as " (did you mean x?)", or an empty string.
func DidYouMean(name string, names []string) string {
	if best := Similar(name, names); best != "" {
		return fmt.Sprintf(" (did you mean %s?)", best)
	}
	return ""
}

// Similar returns the name that was probably meant, or an empty string: the one that stands for a name of Keras, or else
// the one with the least distance, if that is small for the length of the name.
func Similar(name string, names []string) string {
	name = strings.ToLower(name)
	for _, n := range synonyms[name] {
		if slices.Contains(names, n) {
			return n
		}
	}
	limit := min(max(2, 2*len(name)/5), len(name)-1)
	best, distance := "", limit+1
	for _, n := range names {
		if d := editDistance(name, strings.ToLower(n)); d < distance {
			best, distance = n, d
		}
	}
	return best
}

// synonyms lists, for names that users of Keras know, those that stand for them here.
var synonyms = map[string][]string{
	"batch":           {"batch-size"},
	"lr":              {"learning-rate"},
	"mae":             {"mean_absolute_error"},
	"model":           {"init"},
	"mse":             {"mean_squared_error"},
	"val-split":       {"validation-split"},
	"validation-data": {"validation"},
	"verbose":         {"log-level"},
}

// editDistance returns the number of bytes to insert or delete, or of neighbours to swap. Replacing a byte counts as two.
// No byte is part of two edits (optimal string alignment).
func editDistance(a, b string) int {
	before, above, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before, above, row = above, row, before
		row[0] = i + 1
		for j := range len(b) {
			row[j+1] = min(above[j+1], row[j]) + 1
			switch {
			case a[i] == b[j]:
				row[j+1] = min(row[j+1], above[j])
			case i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j]:
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
	}
	return row[len(b)]
}
