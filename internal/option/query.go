package option

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
)

// FromQuery sets the settings of the struct that v points to by the query of a URL. In a query dashes stand for the
// underscores of names, and underscores are taken too; a plus stands for itself, as in file names. A secret setting
// may be given by a file or a variable of the environment that holds it: password-file=PATH, password-env=NAME. The
// error names everything that is unknown, given twice or wrong, and what is known.
func FromQuery(v any, query string) error { return errors.Join(SetQuery(v, query)...) }

// SetQuery is FromQuery with one error for each problem.
func SetQuery(v any, query string) (problems []error) {
	secrets, problems := ParseQuery(v, query)
	return append(problems, split(secrets.Read())...)
}

// ParseQuery is SetQuery, but secrets in files and in the environment are read later, by Read.
func ParseQuery(v any, query string) (secrets Secrets, problems []error) {
	values, err := url.ParseQuery(strings.ReplaceAll(query, "+", "%2B"))
	if err != nil {
		problems = []error{err} // of one part: the others are in values
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

// queryNames are the names that a query may hold, in the order of the settings, with the setting of each.
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

// MaskQuery is the query with stars in place of the values that must not be shown: those of secret settings of the
// struct that v points to, and those of unknown names, which may be misspelt secrets.
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

// Stars stand for a value that must not be shown.
const Stars = "***"

// QueryName is how a setting is written in a query.
func QueryName(f Field) string { return strings.ReplaceAll(f.Path, "_", "-") }

// DidYouMean proposes the name that was probably meant, as " (did you mean x?)", or nothing.
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

// editDistance is Levenshtein's: insertions, deletions and replacements of one byte.
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
