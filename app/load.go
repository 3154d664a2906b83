package app

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/go-viper/mapstructure/v2"
	"github.com/spf13/viper"
	"go.yaml.in/yaml/v3"
)

// maxConfigFile bounds the configuration file.
const maxConfigFile = 1 << 20

// otherNames are environment variables that begin with EnvPrefix and set no key.
var otherNames = []string{
	EnvPrefix + "CONFIG", EnvPrefix + "SAMPLES", EnvPrefix + "PYTHON", EnvPrefix + "TORCH", EnvPrefix + "PARITY", EnvPrefix + "PARITY_DIR",
	EnvPrefix + "REAL_KAFKA", EnvPrefix + "NOHDF5", EnvPrefix + "TIER",
}

// Override is a key that was set by a flag.
type Override struct {
	Key, Flag string
	// Value as text; a list's items are separated by commas.
	Value string
}

// Setting is a key with its effective value and where that came from.
type Setting struct {
	Key   string `json:"key"`
	Value any    `json:"value"`
	// Origin is "default", "file:line", "environment NAME" or "flag --name".
	Origin string `json:"origin"`
}

// Loaded is a configuration with the origins of its values.
type Loaded struct {
	Config
	origins map[string]string
}

// Settings lists every key in the order of config.yaml.
func (l *Loaded) Settings() []Setting {
	var out []Setting
	for _, f := range keys() {
		out = append(out, Setting{Key: f.path, Value: f.of(&l.Config).Interface(), Origin: cmp.Or(l.origins[f.path], "default")})
	}
	return out
}

// ConfigError is all that is wrong with a configuration, one problem per item, each naming the key, what was found and what is allowed.
type ConfigError struct{ Problems []error }

// Error has a problem per line.
func (e *ConfigError) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.Error()
	}
	return "configuration:\n  " + strings.Join(lines, "\n  ")
}

// Unwrap returns the problems.
func (e *ConfigError) Unwrap() []error { return e.Problems }

// Load reads defaults, then the file (if path is not empty), then environ (as os.Environ gives it), then overrides; the later wins. Everything
// that is wrong is reported at once, as a *ConfigError.
func Load(path string, environ []string, overrides []Override) (*Loaded, error) {
	l := &Loaded{Config: Default(), origins: map[string]string{}}
	var problems []error
	values := viper.NewWithOptions(viper.KeyDelimiter("::"))
	for _, f := range keys() {
		values.SetDefault(viperKey(f.path), f.of(&l.Config).Interface())
	}
	if path != "" {
		ps, err := l.file(path, values)
		if err != nil {
			return nil, &ConfigError{Problems: []error{err}}
		}
		problems = append(problems, ps...)
	}
	problems = append(problems, l.environment(environ, values)...)
	for _, o := range overrides {
		f, ok := lookup(o.Key)
		if !ok || f.section {
			problems = append(problems, fmt.Errorf("--%s: sets the unknown key %s", o.Flag, o.Key))
		} else if err := f.check(o.Value); err != nil {
			problems = append(problems, fmt.Errorf("--%s (%s): %w", o.Flag, o.Key, err))
		} else {
			values.Set(viperKey(o.Key), o.Value)
			l.origins[o.Key] = "flag --" + o.Flag
		}
	}
	if err := values.UnmarshalExact(&l.Config, func(d *mapstructure.DecoderConfig) {
		d.TagName = "yaml"
		d.DecodeHook = mapstructure.ComposeDecodeHookFunc(mapstructure.TextUnmarshallerHookFunc(), mapstructure.StringToSliceHookFunc(","))
	}); err != nil {
		problems = append(problems, err) // what is checked above cannot fail here
	}
	if problems = append(problems, l.Validate()...); len(problems) > 0 {
		return nil, &ConfigError{Problems: problems}
	}
	return l, nil
}

func viperKey(path string) string { return strings.ReplaceAll(path, ".", "::") }

// file checks the file against the structs, node by node, and hands the good values to viper, which alone would let typing errors pass: it
// takes true for 1, cuts 1.9 to 1 and takes any case of a key.
func (l *Loaded) file(path string, values *viper.Viper) (problems []error, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // opened for reading
	data, err := io.ReadAll(io.LimitReader(f, maxConfigFile+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxConfigFile {
		return nil, fmt.Errorf("%s: found more than %d bytes, the limit", path, maxConfigFile)
	}
	dec := yaml.NewDecoder(strings.NewReader(string(data)))
	var doc, second yaml.Node
	if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
		return nil, nil // an empty file sets nothing
	} else if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if err := dec.Decode(&second); !errors.Is(err, io.EOF) {
		problems = append(problems, fmt.Errorf("%s: found a second YAML document, want one", path))
	}
	c := &checker{path: path, set: map[string]any{}, lines: map[string]int{}}
	c.section("", doc.Content[0])
	for _, key := range slices.Sorted(maps.Keys(c.set)) {
		if err := values.MergeConfigMap(nested(key, c.set[key])); err != nil {
			problems = append(problems, fmt.Errorf("%s: %s: %w", path, key, err))
		}
		l.origins[key] = fmt.Sprintf("%s:%d", path, c.lines[key])
	}
	return append(problems, c.problems...), nil
}

// nested turns a.b: v into the maps that viper merges.
func nested(path string, v any) map[string]any {
	if section, key, ok := strings.Cut(path, "."); ok {
		return map[string]any{section: nested(key, v)}
	}
	return map[string]any{path: v}
}

// checker walks the nodes of a file.
type checker struct {
	path     string
	set      map[string]any
	lines    map[string]int
	problems []error
}

func (c *checker) bad(n *yaml.Node, key, format string, args ...any) {
	c.problems = append(c.problems, fmt.Errorf("%s:%d: %s: %s", c.path, n.Line, key, fmt.Sprintf(format, args...)))
}

func (c *checker) section(path string, n *yaml.Node) {
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		return // "kafka:" with nothing below it
	}
	if n.Kind != yaml.MappingNode {
		c.bad(n, cmp.Or(path, "file"), "found %s, want a section with the keys %s", kindName(n), strings.Join(keysOf(path), ", "))
		return
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		sub := strings.TrimPrefix(path+"."+k.Value, ".")
		if line, again := seen[k.Value]; again {
			c.bad(k, sub, "found twice, first at line %d", line)
			continue
		}
		seen[k.Value] = k.Line
		f, ok := lookup(sub)
		switch {
		case !ok || strings.Contains(k.Value, "."):
			c.bad(k, sub, "unknown key%s, want one of %s", nearest(k.Value, keysOf(path)), strings.Join(keysOf(path), ", "))
		case f.section:
			c.section(sub, v)
		default:
			c.value(f, v)
		}
	}
}

// tagsOf are the YAML types that a field may be written as. What is parsed from text (a duration, a size, a grid) may be unquoted, and then YAML
// has its own idea of its type; the parser decides.
func tagsOf(f field) []string {
	switch {
	case f.textual():
		return []string{"!!str", "!!int", "!!float"}
	case f.typ.Kind() == reflect.Bool:
		return []string{"!!bool"}
	case f.typ.Kind() == reflect.Float64:
		return []string{"!!int", "!!float"}
	case f.typ.Kind() == reflect.String:
		return []string{"!!str"}
	}
	return []string{"!!int"}
}

func (c *checker) value(f field, n *yaml.Node) {
	if f.typ.Kind() == reflect.Slice {
		if n.Kind != yaml.SequenceNode {
			c.bad(n, f.path, "found %s, %s", kindName(n), f.allowed())
			return
		}
		list := []string{}
		for i, item := range n.Content {
			if item.Kind != yaml.ScalarNode || item.Tag != "!!str" {
				c.bad(item, fmt.Sprintf("%s[%d]", f.path, i), "found %s, want a text", kindName(item))
				return
			}
			list = append(list, item.Value)
		}
		c.keep(f, n, list)
		return
	}
	if n.Kind != yaml.ScalarNode || !slices.Contains(tagsOf(f), n.ShortTag()) {
		c.bad(n, f.path, "found %s, %s", kindName(n), f.allowed())
		return
	}
	if err := f.check(n.Value); err != nil {
		c.bad(n, f.path, "%s", err)
		return
	}
	c.keep(f, n, n.Value)
}

func (c *checker) keep(f field, n *yaml.Node, v any) { c.set[f.path], c.lines[f.path] = v, n.Line }

// kindName says what a node is, in words and with its value.
func kindName(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a section"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "an alias"
	}
	names := map[string]string{"!!str": "the text", "!!int": "the whole number", "!!float": "the number", "!!bool": "the truth value", "!!null": "nothing"}
	if n.ShortTag() == "!!null" {
		return "nothing"
	}
	return fmt.Sprintf("%s %q", cmp.Or(names[n.ShortTag()], "a "+n.ShortTag()), n.Value)
}

// keysOf lists what a section may hold.
func keysOf(section string) []string {
	var out []string
	for _, f := range fields {
		if f.parent() == section {
			out = append(out, f.key())
		}
	}
	return out
}

func (l *Loaded) environment(environ []string, values *viper.Viper) (problems []error) {
	names := map[string]field{}
	for _, f := range keys() {
		names[f.env()] = f
	}
	environ = slices.Sorted(slices.Values(environ))
	for _, e := range environ {
		name, value, _ := strings.Cut(e, "=")
		if !strings.HasPrefix(name, EnvPrefix) || slices.Contains(otherNames, name) {
			continue
		}
		f, ok := names[name]
		if !ok {
			problems = append(problems, fmt.Errorf("environment %s: unknown name%s; config print lists the keys", name,
				nearest(name, slices.Sorted(maps.Keys(names)))))
			continue
		}
		if value == "" {
			continue // as if it were not set, which is how a shell unsets for one command
		}
		if err := f.check(value); err != nil {
			problems = append(problems, fmt.Errorf("environment %s (%s): %w", name, f.path, err))
			continue
		}
		if err := values.MergeConfigMap(nested(f.path, value)); err != nil {
			problems = append(problems, fmt.Errorf("environment %s (%s): %w", name, f.path, err))
			continue
		}
		l.origins[f.path] = "environment " + name
	}
	return problems
}

// nearest proposes the name that was probably meant, as " (did you mean x?)", or nothing.
func nearest(name string, names []string) string {
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
