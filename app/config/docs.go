package config

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"

	"go.yaml.in/yaml/v3"

	"github.com/voxelstream/voxelstream/augment"
	"github.com/voxelstream/voxelstream/ingest/formats"
	"github.com/voxelstream/voxelstream/internal/option"
	"github.com/voxelstream/voxelstream/perception"
	"github.com/voxelstream/voxelstream/sinks"
	"github.com/voxelstream/voxelstream/sinks/all"
	"github.com/voxelstream/voxelstream/sinks/arrow"
	"github.com/voxelstream/voxelstream/sinks/wire"
	"github.com/voxelstream/voxelstream/voxelize"
)

// Key describes a configuration key for the flag that sets it.
type Key struct {
	// Doc is the documentation including the allowed values. Default is the default as text.
	Doc, Default string
	// Kind is the type: int, number, duration, size, cells, list, string, bool. Whole reports that each value of a
	// list's flag is one item, which may contain commas.
	Kind  string
	Whole bool
	// Flag is the name of the flag, or empty. Group is the heading of the flag in help: that of the key, or else that of
	// its section.
	Flag, Group string
	// Choices lists the allowed values, and ChoiceDocs their documentation. They are nil if the values are not
	// enumerated or not documented.
	Choices, ChoiceDocs []string
	// Suggestions are the values that completion offers: the choices, or examples.
	Suggestions []string
}

// defaults returns all keys with their default values. They are computed once, because every flag of every command
// needs them at startup.
var defaults = sync.OnceValue(func() []option.Field {
	c := Default()
	return option.Settings(&c)
})

// groups returns the headings of the flags of the top-level sections.
var groups = sync.OnceValue(func() map[string]string {
	c, out := Default(), map[string]string{}
	for _, f := range option.Fields(&c) {
		if f.Section && f.Parent() == "" {
			out[f.Path] = f.Group()
		}
	}
	return out
})

// Describe returns the description of a key. It panics if the key does not exist, because the program's flags are
// fixed.
func Describe(path string) Key {
	f, ok := option.Find(defaults(), path)
	if !ok {
		panic("no such key: " + path)
	}
	section, _, _ := strings.Cut(path, ".")
	return Key{
		Doc: f.Doc + f.Hint(), Default: f.String(), Kind: f.Kind(), Whole: f.Whole(), Flag: f.Flag,
		Group:   cmp.Or(f.Group(), groups()[section]),
		Choices: f.Choices(), ChoiceDocs: f.ChoiceDocs(), Suggestions: f.Suggestions(),
	}
}

// Flags returns the flags of the given keys and sections, as a map from flag name to key. It panics if a path has no
// flags, because the program's flags are fixed.
func Flags(paths ...string) map[string]string {
	out := map[string]string{}
	for _, path := range paths {
		have := len(out)
		for _, f := range defaults() {
			if f.Flag != "" && (f.Path == path || f.Parent() == path) {
				out[f.Flag] = f.Path
			}
		}
		if len(out) == have {
			panic("no flags: " + path)
		}
	}
	return out
}

// WriteDocs writes the generated files of the checkout at root: config.yaml, its JSON schema, and the reference pages
// of the configuration, formats, methods, augmentations, perception steps and sinks, and the schemas of classifications.
func WriteDocs(root string) error {
	for path, write := range map[string]func(io.Writer) error{
		"config.yaml": WriteExample, "docs/reference/config.md": WriteReference,
		"docs/reference/config.schema.json":      writeSchema,
		"docs/reference/classification.avsc":     wire.WriteAvro,
		"docs/reference/classification.proto":    wire.WriteProto,
		"docs/reference/classification.arrow.md": arrow.WriteSchema,
		"docs/reference/formats.md":              formats.WriteReference,
		"docs/reference/augmentations.md":        augment.WriteReference,
		"docs/reference/methods.md":              voxelize.WriteReference,
		"docs/reference/perception.md":           perception.WriteReference,
		"docs/reference/sinks.md":                func(w io.Writer) error { return sinks.WriteReference(w, all.Kinds) },
	} {
		f, err := os.Create(filepath.Join(root, path))
		if err != nil {
			return err
		}
		if err := errors.Join(write(f), f.Close()); err != nil {
			return err
		}
	}
	return nil
}

// WriteExample writes config.yaml: every key with its documentation, allowed values, environment variable and
// default.
func WriteExample(w io.Writer) error {
	var b strings.Builder
	b.WriteString("# All configuration keys with their defaults. Generated from the option structs; run `make " +
		"generate` to update it.\n")
	b.WriteString("# Later sources override earlier ones: defaults, the file given by --config, environment " +
		"variables, flags.\n")
	b.WriteString("# `voxelstream config lint` checks a file.\n")
	c := Default()
	for _, f := range option.Fields(&c) {
		indent := strings.Repeat("  ", strings.Count(f.Path, "."))
		if f.Section {
			fmt.Fprintf(&b, "\n%s# %s\n%s%s:\n", indent, f.Doc, indent, f.Key())
			continue
		}
		value, err := yaml.Marshal(plain(f))
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "%s# %s%s [%s]\n", indent, f.Doc, f.Hint(), envName(f.Path))
		for i, doc := range f.ChoiceDocs() {
			fmt.Fprintf(&b, "%s#   %s: %s\n", indent, f.Choices()[i], doc)
		}
		fmt.Fprintf(&b, "%s%s:%s\n", indent, f.Key(), flow(value, indent))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// flow returns a YAML value as it follows its key. A list goes on new lines.
func flow(value []byte, indent string) string {
	text := strings.TrimSpace(string(value))
	if strings.HasPrefix(text, "- ") {
		return "\n  " + indent + strings.ReplaceAll(text, "\n", "\n  "+indent)
	}
	return " " + text
}

// plain returns a value as it is written in files. Values with a text notation are strings.
func plain(f option.Field) any {
	if f.Notation() {
		return f.String()
	}
	return f.Value()
}

// WriteReference writes the Markdown reference page of the configuration.
func WriteReference(w io.Writer) error {
	c := Default()
	var b strings.Builder
	b.WriteString("# Configuration\nGenerated from the option structs of the packages.\n\n")
	b.WriteString("Later sources override earlier ones: defaults, the file given by `--config`, environment " +
		"variables, flags. `voxelstream config\nlint FILE` reports all unknown keys, wrong types and missing units " +
		"at once. `voxelstream config print` shows each effective\nvalue and its origin.\n")
	table := "| key | default | environment | meaning |\n|---|---|---|---|\n"
	b.WriteString("\n" + table)
	for _, f := range option.Fields(&c) {
		if f.Section {
			fmt.Fprintf(&b, "\n## %s\n%s\n\n%s", f.Path, f.Doc, table)
			continue
		}
		value := f.String()
		if value != "" {
			value = "`" + value + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | `%s` | %s |\n", f.Path, value, envName(f.Path),
			strings.ReplaceAll(meaning(f), "|", `\|`))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// meaning returns the documentation of a field, including that of its choices.
func meaning(f option.Field) string {
	var text strings.Builder
	text.WriteString(f.Doc + f.Hint())
	for i, doc := range f.ChoiceDocs() {
		fmt.Fprintf(&text, "<br>`%s`: %s", f.Choices()[i], doc)
	}
	return text.String()
}

func writeSchema(w io.Writer) error {
	schema, err := JSONSchema()
	if err == nil {
		_, err = w.Write(schema)
	}
	return err
}

// JSONSchema returns the JSON schema of the configuration file, for editors.
func JSONSchema() ([]byte, error) {
	c := Default()
	root := map[string]any{
		"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Voxelstream configuration",
		"type": "object", "additionalProperties": false, "properties": map[string]any{},
	}
	sections := map[string]map[string]any{"": root}
	for _, f := range option.Fields(&c) {
		s := map[string]any{"description": f.Doc + f.Hint()}
		sections[f.Parent()]["properties"].(map[string]any)[f.Key()] = s
		if f.Section {
			s["type"], s["additionalProperties"], s["properties"] = "object", false, map[string]any{}
			sections[f.Path] = s
			continue
		}
		s["default"] = plain(f)
		switch {
		case len(f.Choices()) > 0:
			s["enum"] = f.Choices()
			if docs := f.ChoiceDocs(); docs != nil {
				s["enumDescriptions"] = docs // shown by editors; unknown keywords are ignored elsewhere
			}
		case f.Plain() != "":
			s["type"] = []string{"string", f.Plain()}
		case f.Notation():
			s["type"] = "string"
		default:
			for keyword, tag := range map[string]string{
				"minimum": "min", "exclusiveMinimum": "above", "maximum": "max", "exclusiveMaximum": "below",
			} {
				if limit, ok := f.Bound(tag); ok {
					s[keyword] = limit
				}
			}
			switch f.Type().Kind() {
			case reflect.Bool:
				s["type"] = "boolean"
			case reflect.Int, reflect.Uint64:
				s["type"] = "integer"
			case reflect.Float64:
				s["type"] = "number"
			case reflect.Slice:
				s["type"], s["items"] = "array", map[string]any{"type": "string"}
			default:
				s["type"] = "string"
			}
		}
	}
	out, err := json.MarshalIndent(root, "", "  ")
	return append(out, '\n'), err
}
