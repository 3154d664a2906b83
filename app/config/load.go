package config

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/spf13/viper"
	"go.yaml.in/yaml/v3"

	"github.com/voxelstream/voxelstream/internal/option"
	"github.com/voxelstream/voxelstream/internal/regular"
	"github.com/voxelstream/voxelstream/voxelize"
)

// EnvPrefix is the prefix of the environment variables that set keys: VOXELSTREAM_KAFKA_GROUP sets kafka.group.
const EnvPrefix = "VOXELSTREAM_"

// maxFile is the maximum size of the configuration file in bytes.
const maxFile = 1 << 20

// otherNames lists environment variables with EnvPrefix that do not set a key.
var otherNames = []string{
	EnvPrefix + "CONFIG", EnvPrefix + "SAMPLES", EnvPrefix + "PYTHON", EnvPrefix + "TORCH", EnvPrefix + "PARITY",
	EnvPrefix + "PARITY_DIR",
	EnvPrefix + "REAL_KAFKA", EnvPrefix + "NOHDF5", EnvPrefix + "TIER",
}

// replaced maps keys of earlier versions to their replacement.
var replaced = map[string]string{
	"sinks.jsonl":   "sinks.out, a list of files and URLs",
	"ingest.signed": "nothing: negative values are accepted",
}

// Override is a key set by a flag.
type Override struct {
	Key, Flag string
	// Value is the value as text. Items of a list are separated by commas.
	Value string
	// List is the value of a repeatable flag. It takes the place of Value.
	List []string
}

// Setting is a key with its effective value and the origin of that value.
type Setting struct {
	Key   string `json:"key"`
	Value any    `json:"value"`
	// Text is the value as written in the environment.
	Text string `json:"-"`
	// Origin is "default", "file:line", "environment NAME" or "flag --name".
	Origin string `json:"origin"`
}

// Loaded is a configuration with the origins of its values.
type Loaded struct {
	Config
	origins map[string]string
}

// Settings lists every key in the order of config.yaml. Secrets are masked.
func (l *Loaded) Settings() []Setting {
	var out []Setting
	for _, f := range option.Settings(&l.Config) {
		s := Setting{Key: f.Path, Value: f.Value(), Text: f.String(), Origin: cmp.Or(l.origins[f.Path], "default")}
		if f.Notation() {
			s.Value = s.Text
		}
		switch m := s.Value.(type) {
		case interface{ Masked() []string }:
			s.Value, s.Text = m.Masked(), strings.Join(m.Masked(), ",")
		case interface{ Masked() string }:
			s.Value, s.Text = m.Masked(), m.Masked()
		}
		if f.Secret && !f.Zero() {
			s.Value, s.Text = masked, masked
		}
		out = append(out, s)
	}
	return out
}

// IsSet reports whether the user has set a key.
func (l *Loaded) IsSet(key string) bool { return l.origins[key] != "" }

// ByFlag reports whether a flag on the command line has set a key.
func (l *Loaded) ByFlag(key string) bool { return strings.HasPrefix(l.origins[key], flagOrigin) }

// flagOrigin begins the origin of a value that a flag has set.
const flagOrigin = "flag --"

// masked is shown in place of secrets.
const masked = "********"

// Error contains all problems of a configuration. Each names the key, what was found and what is allowed.
type Error struct{ Problems []error }

// Error returns one line per problem.
func (e *Error) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.Error()
	}
	return "configuration:\n  " + strings.Join(lines, "\n  ")
}

// Unwrap returns the problems.
func (e *Error) Unwrap() []error { return e.Problems }

// loader holds the state of a load in progress.
type loader struct {
	*Loaded
	fields []option.Field
	// values merges the sources. It holds strings and lists of strings.
	values *viper.Viper
}

// Load reads the defaults, then the file (if path is not empty), environ (in the form of os.Environ) and overrides.
// Later sources override earlier ones. All problems are reported at once, as an *Error.
func Load(path string, environ []string, overrides []Override) (*Loaded, error) {
	l := &loader{
		Loaded: &Loaded{Config: Default(), origins: map[string]string{}},
		values: viper.NewWithOptions(viper.KeyDelimiter("::")),
	}
	l.fields = option.Fields(&l.Config)
	var problems []error
	if path != "" {
		ps, err := l.file(path)
		if err != nil {
			return nil, &Error{Problems: []error{err}}
		}
		problems = append(problems, ps...)
	}
	problems = append(problems, l.environment(environ)...)
	problems = append(problems, l.flags(overrides)...)
	for _, f := range l.fields {
		if err := l.set(f); err != nil {
			problems = append(problems,
				fmt.Errorf("%s: %w", f.Path, err)) // values have been checked, so this cannot fail
		}
	}
	problems = append(problems, l.unused(overrides)...)
	if problems = append(problems, l.Problems()...); len(problems) > 0 {
		return nil, &Error{Problems: problems}
	}
	return l.Loaded, nil
}

// set stores the merged value of a field. A field that no source sets keeps its default.
func (l *loader) set(f option.Field) error {
	if f.Section {
		return nil
	}
	switch v := l.values.Get(viperKey(f.Path)).(type) {
	case string:
		return f.Set(v)
	case []string:
		return f.SetList(v)
	}
	return nil
}

func (l *loader) flags(overrides []Override) (problems []error) {
	for _, o := range overrides {
		f, ok := option.Find(l.fields, o.Key)
		if !ok || f.Section {
			problems = append(problems, fmt.Errorf("--%s: sets the unknown key %s", o.Flag, o.Key))
			continue
		}
		if o.List != nil {
			l.values.Set(viperKey(o.Key), o.List)
		} else if err := f.Check(o.Value); err != nil {
			problems = append(problems, fmt.Errorf("--%s (%s): %w", o.Flag, o.Key, err))
			continue
		} else {
			l.values.Set(viperKey(o.Key), o.Value)
		}
		l.origins[o.Key] = flagOrigin + o.Flag
	}
	l.Ingest.Given = inputFlags(overrides)
	return problems
}

// unused reports flags for options of other voxelization methods than the one in use. A file may hold those of many. If
// only a model can state the method, there is no telling.
func (l *loader) unused(overrides []Override) (problems []error) {
	if !l.IsSet("voxelize.method") && l.IsSet("model.path") {
		return nil
	}
	for _, o := range overrides {
		key, ok := strings.CutPrefix(o.Key, "voxelize.")
		if !ok {
			continue
		}
		methods := voxelize.MethodsWith(key)
		if method := l.Voxelize.Method; len(methods) > 0 && !slices.Contains(methods, string(method)) {
			problems = append(problems, fmt.Errorf("--%s (%s): no effect with method %s; it is an option of %s", o.Flag, o.Key,
				method, strings.Join(methods, ", ")))
		}
	}
	return problems
}

// inputFlags returns the flags that only set keys of the section ingest, by key; nil if there are none.
func inputFlags(overrides []Override) map[string]string {
	var given map[string]string
	for _, o := range overrides {
		elsewhere := func(other Override) bool { return other.Flag == o.Flag && !strings.HasPrefix(other.Key, "ingest.") }
		if key, ok := strings.CutPrefix(o.Key, "ingest."); ok && !slices.ContainsFunc(overrides, elsewhere) {
			if given == nil {
				given = map[string]string{}
			}
			given[key] = o.Flag
		}
	}
	return given
}

func viperKey(path string) string { return strings.ReplaceAll(path, ".", "::") }

// envName returns the environment variable that sets a key.
func envName(path string) string {
	return EnvPrefix + strings.ToUpper(strings.ReplaceAll(path, ".", "_"))
}

// file validates the file against the option structs, node by node, and passes valid values to viper. Viper alone is
// too lenient: it accepts true for 1, truncates 1.9 to 1 and ignores the case of keys.
func (l *loader) file(path string) (problems []error, err error) {
	data, err := regular.ReadSetting(path, maxFile)
	if err != nil {
		return nil, err
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
	c := &checker{path: path, fields: l.fields, set: map[string]any{}, lines: map[string]int{}}
	c.section("", doc.Content[0])
	for _, key := range slices.Sorted(maps.Keys(c.set)) {
		if err := l.values.MergeConfigMap(nested(key, c.set[key])); err != nil {
			problems = append(problems, fmt.Errorf("%s: %s: %w", path, key, err))
		}
		l.origins[key] = fmt.Sprintf("%s:%d", path, c.lines[key])
	}
	return append(problems, c.problems...), nil
}

// nested converts a.b: v to the nested maps that viper merges.
func nested(path string, v any) map[string]any {
	if section, key, ok := strings.Cut(path, "."); ok {
		return map[string]any{section: nested(key, v)}
	}
	return map[string]any{path: v}
}

// checker walks the nodes of a file.
type checker struct {
	path     string
	fields   []option.Field
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
	keys := c.keysOf(path)
	if n.Kind != yaml.MappingNode {
		c.bad(n, cmp.Or(path, "file"), "found %s, want a section with the keys %s", kindName(n),
			strings.Join(keys, ", "))
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
		f, ok := option.Find(c.fields, sub)
		switch {
		case !ok && replaced[sub] != "":
			c.bad(k, sub, "this key was replaced by %s", replaced[sub])
		case !ok || strings.Contains(k.Value, "."):
			c.bad(k, sub, "unknown key%s, want one of %s", option.DidYouMean(k.Value, keys), strings.Join(keys, ", "))
		case f.Section:
			c.section(sub, v)
		default:
			c.value(f, v)
		}
	}
}

// tagsOf returns the YAML types that are accepted for a field. Values parsed from text (durations, sizes, grids) may be
// unquoted, and YAML may then resolve them to another type, so the parser decides.
func tagsOf(f option.Field) []string {
	switch {
	case f.Notation():
		return []string{"!!str", "!!int", "!!float"}
	case f.Type().Kind() == reflect.Bool:
		return []string{"!!bool"}
	case f.Type().Kind() == reflect.Float64:
		return []string{"!!int", "!!float"}
	case f.Type().Kind() == reflect.String:
		return []string{"!!str"}
	}
	return []string{"!!int"}
}

func (c *checker) value(f option.Field, n *yaml.Node) {
	if f.Type().Kind() == reflect.Slice {
		if n.Kind != yaml.SequenceNode {
			c.bad(n, f.Path, "found %s, %s", kindName(n), f.Allowed())
			return
		}
		list := []string{}
		for i, item := range n.Content {
			if item.Kind != yaml.ScalarNode || item.Tag != "!!str" {
				c.bad(item, fmt.Sprintf("%s[%d]", f.Path, i), "found %s, want a string", kindName(item))
				return
			}
			list = append(list, item.Value)
		}
		c.keep(f, n, list)
		return
	}
	if f.Secret && n.Kind == yaml.ScalarNode && !slices.Contains(tagsOf(f), n.ShortTag()) {
		c.bad(n, f.Path, "found a value that is not a string, want it in quotes")
		return
	}
	if n.Kind != yaml.ScalarNode || !slices.Contains(tagsOf(f), n.ShortTag()) {
		c.bad(n, f.Path, "found %s, %s", kindName(n), f.Allowed())
		return
	}
	if err := f.Check(n.Value); err != nil {
		c.bad(n, f.Path, "%s", err)
		return
	}
	c.keep(f, n, n.Value)
}

func (c *checker) keep(f option.Field, n *yaml.Node, v any) {
	c.set[f.Path], c.lines[f.Path] = v, n.Line
}

// kindName describes a node in words, with its value.
func kindName(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a section"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "an alias"
	}
	names := map[string]string{
		"!!str": "the string", "!!int": "the whole number", "!!float": "the number",
		"!!bool": "the boolean", "!!null": "nothing",
	}
	if n.ShortTag() == "!!null" {
		return "nothing"
	}
	return fmt.Sprintf("%s %q", cmp.Or(names[n.ShortTag()], "a "+n.ShortTag()), n.Value)
}

// keysOf lists the keys of a section.
func (c *checker) keysOf(section string) []string {
	var out []string
	for _, f := range c.fields {
		if f.Parent() == section {
			out = append(out, f.Key())
		}
	}
	return out
}

func (l *loader) environment(environ []string) (problems []error) {
	names := map[string]option.Field{}
	for _, f := range l.fields {
		if !f.Section {
			names[envName(f.Path)] = f
		}
	}
	gone := map[string]string{}
	for key, by := range replaced {
		gone[envName(key)] = by
	}
	environ = slices.Sorted(slices.Values(environ))
	for _, e := range environ {
		name, value, _ := strings.Cut(e, "=")
		if !strings.HasPrefix(name, EnvPrefix) || slices.Contains(otherNames, name) || isServiceLink(name, value) {
			continue
		}
		f, ok := names[name]
		if by := gone[name]; by != "" {
			if value != "" {
				problems = append(problems, fmt.Errorf("environment %s: this key was replaced by %s", name, by))
			}
			continue
		}
		if !ok {
			problems = append(problems,
				fmt.Errorf("environment %s: unknown variable%s; config print lists all keys", name,
					option.DidYouMean(name, slices.Sorted(maps.Keys(names)))))
			continue
		}
		if value == "" {
			continue // treated as unset, because shells unset a variable for one command with NAME=
		}
		if err := f.Check(value); err != nil {
			problems = append(problems, fmt.Errorf("environment %s (%s): %w", name, f.Path, err))
			continue
		}
		if err := l.values.MergeConfigMap(nested(f.Path, value)); err != nil {
			problems = append(problems, fmt.Errorf("environment %s (%s): %w", name, f.Path, err))
			continue
		}
		l.origins[f.Path] = "environment " + name
	}
	return problems
}
