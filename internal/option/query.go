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
	best, distance := "", max(2, len(name)/4)+1
	for _, n := range names {
		if d := editDistance(strings.ToLower(name), strings.ToLower(n)); d < distance {
			best, distance = n, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(" (did you mean %s?)", best)
}

// editDistance returns the Levenshtein distance: the number of bytes to insert, delete or replace.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
