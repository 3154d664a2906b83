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
// underscores of names, and underscores are taken too; a plus stands for itself, as in file names. The error names
// everything that is unknown, given twice or wrong, and what is known.
func FromQuery(v any, query string) error { return errors.Join(SetQuery(v, query)...) }

// SetQuery is FromQuery with one error for each problem.
func SetQuery(v any, query string) (problems []error) {
	values, err := url.ParseQuery(strings.ReplaceAll(query, "+", "%2B"))
	if err != nil {
		problems = []error{err} // of one part: the others are in values
	}
	fields := Settings(v)
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = QueryName(f)
	}
	bad := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	for _, key := range slices.Sorted(maps.Keys(values)) {
		name := strings.ReplaceAll(key, "_", "-")
		i := slices.Index(names, name)
		switch {
		case i < 0 && len(names) == 0:
			bad("found the option %q, want none", key)
		case i < 0:
			bad("found the option %q%s, want %s", key, DidYouMean(name, names), strings.Join(names, ", "))
		case len(values[key]) > 1:
			bad("%s: found it %d times, want it once", key, len(values[key]))
		default:
			if err := fields[i].Set(values[key][0]); err != nil {
				bad("%s: %w", key, err)
			}
		}
	}
	return problems
}

// MaskQuery is the query with stars in place of the values that must not be shown: those of secret settings of the
// struct that v points to, and those of unknown names, which may be misspelt secrets.
func MaskQuery(v any, query string) string {
	shown := map[string]bool{}
	for _, f := range Settings(v) {
		shown[QueryName(f)] = !f.Secret
	}
	parts := strings.Split(query, "&")
	for i, part := range parts {
		key, value, _ := strings.Cut(part, "=")
		name, err := url.PathUnescape(strings.ReplaceAll(key, "_", "-"))
		if value != "" && (err != nil || !shown[name]) {
			parts[i] = key + "=***"
		}
	}
	return strings.Join(parts, "&")
}

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
