package config

import (
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

	"github.com/voxelstream/voxelstream/ingest/formats"
	"github.com/voxelstream/voxelstream/internal/option"
	"github.com/voxelstream/voxelstream/sinks"
	"github.com/voxelstream/voxelstream/sinks/all"
	"github.com/voxelstream/voxelstream/voxelize"
)

// Key describes a key for the flag that sets it.
type Key struct {
	// Doc is the meaning with the values that are allowed, Default the default as text.
	Doc, Default string
	// Kind names the type: int, number, duration, size, cells, list, string, bool. Whole says that each value of the
	// flag of a list is one item, which may hold commas.
	Kind  string
	Whole bool
	// Flag is the flag that the key declares; empty: none.
	Flag string
	// Choices are the values that are allowed where they are a list, ChoiceDocs what each means; nil where that is not
	// said.
	Choices, ChoiceDocs []string
}

// defaults are the keys with their defaults, made once: every flag of every command asks for them at the start of the
// program.
var defaults = sync.OnceValue(func() []option.Field {
	c := Default()
	return option.Settings(&c)
})

// Describe describes the key of that path, and panics where there is none: the flags of the command line are fixed.
func Describe(path string) Key {
	f, ok := option.Find(defaults(), path)
	if !ok {
		panic("no such key: " + path)
	}
	return Key{
		Doc: f.Doc + f.Hint(), Default: f.String(), Kind: f.Kind(), Whole: f.Whole(), Flag: f.Flag,
		Choices: f.Choices(), ChoiceDocs: f.ChoiceDocs(),
	}
}

// Flags lists the keys that declare a flag, by the flag's name: those of the given paths, each that of a section or of
// a key. It panics where a path has none, as the flags of the command line are fixed.
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

// WriteDocs writes the generated files of a checkout at root: config.yaml, schema and reference of the configuration,
// and the reference pages of the lists that it chooses from.
func WriteDocs(root string) error {
	for path, write := range map[string]func(io.Writer) error{
		"config.yaml": WriteExample, "docs/reference/config.md": WriteReference,
		"docs/reference/config.schema.json": writeSchema,
		"docs/reference/formats.md":         formats.WriteReference, "docs/reference/methods.md": voxelize.WriteReference,
		"docs/reference/sinks.md": func(w io.Writer) error { return sinks.WriteReference(w, all.Kinds) },
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

// WriteExample writes config.yaml: every key with its comment, what is allowed, its environment name and its default.
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

// flow is a YAML value behind its key: a list goes below it.
func flow(value []byte, indent string) string {
	text := strings.TrimSpace(string(value))
	if strings.HasPrefix(text, "- ") {
		return "\n  " + indent + strings.ReplaceAll(text, "\n", "\n  "+indent)
	}
	return " " + text
}

// plain is the value as files hold it: what has a notation of its own is a string.
func plain(f option.Field) any {
	if f.Notation() {
		return f.String()
	}
	return f.Value()
}

// WriteReference writes the reference page of the configuration, as Markdown.
func WriteReference(w io.Writer) error {
	c := Default()
	var b strings.Builder
	b.WriteString("# Configuration\nGenerated from the option structs of the packages.\n\n")
	b.WriteString("Later sources override earlier ones: defaults, the file given by `--config`, environment " +
		"variables, flags. " +
		"`voxelstream config\nlint FILE` reports all unknown keys, wrong types and missing units at once. `voxelstream config " +
		"print` shows each effective\nvalue and its origin.\n")
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

// meaning is what a cell of the reference says: the documentation with what each choice means.
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

// JSONSchema is the configuration file's schema, for editors.
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
				s["enumDescriptions"] = docs // which editors show; others leave unknown keywords alone
			}
		case f.Plain():
			s["type"] = []string{"string", "integer"}
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
