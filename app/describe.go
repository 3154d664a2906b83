package app

import (
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"
)

// WriteExample writes config.yaml: every key with its comment, what is allowed, its environment name and its default.
func WriteExample(w io.Writer) error {
	var b strings.Builder
	b.WriteString("# Every key of the configuration with its default. Generated from the structs in app/config.go; `make generate` renews it.\n")
	b.WriteString("# Order of precedence: these defaults, the file named by --config, the environment, flags. `voxelstream config lint` checks a file.\n")
	c := Default()
	for _, f := range fields {
		indent := strings.Repeat("  ", strings.Count(f.path, "."))
		if f.section {
			fmt.Fprintf(&b, "\n%s# %s\n%s%s:\n", indent, f.doc, indent, f.key())
			continue
		}
		value, err := yaml.Marshal(f.of(&c).Interface())
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "%s# %s%s [%s]\n", indent, f.doc, f.hint(), f.env())
		fmt.Fprintf(&b, "%s%s: %s\n", indent, f.key(), strings.TrimSpace(string(value)))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// hint is what the comment adds to the doc: allowed values or the notation.
func (f field) hint() string {
	switch {
	case len(f.enum) > 0:
		return " One of " + strings.Join(f.enum, ", ") + "."
	case f.typ == reflect.TypeFor[Duration]():
		return " A duration: ms, s, m, h."
	case f.typ == reflect.TypeFor[Bytes]():
		return " A size: B, KiB, MiB, GiB."
	}
	return ""
}

// WriteReference writes the reference page of the configuration, as Markdown.
func WriteReference(w io.Writer) error {
	c := Default()
	var b strings.Builder
	b.WriteString("# Configuration\nGenerated from the structs in `app/config.go`.\n\n")
	b.WriteString("Values come from the defaults, then the file named by `--config`, then the environment, then flags; the later wins. Unknown keys, wrong types\n" +
		"and wrong units are all reported at once (`voxelstream config lint FILE`). `voxelstream config print` shows each effective value and its origin.\n")
	table := "| key | default | environment | meaning |\n|---|---|---|---|\n"
	b.WriteString("\n" + table)
	for _, f := range fields {
		if f.section {
			fmt.Fprintf(&b, "\n## %s\n%s\n\n%s", f.path, f.doc, table)
			continue
		}
		value := f.text(&c)
		if value != "" {
			value = "`" + value + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | `%s` | %s |\n", f.path, value, f.env(), f.doc+f.hint())
	}
	_, err := io.WriteString(w, b.String())
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
	for _, f := range fields {
		s := map[string]any{"description": f.doc + f.hint()}
		sections[f.parent()]["properties"].(map[string]any)[f.key()] = s
		if f.section {
			s["type"], s["additionalProperties"], s["properties"] = "object", false, map[string]any{}
			sections[f.path] = s
			continue
		}
		s["default"] = f.of(&c).Interface()
		switch {
		case len(f.enum) > 0:
			s["enum"] = f.enum
		case f.textual():
			s["type"] = []string{"string", "integer"}
		default:
			switch f.typ.Kind() {
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
