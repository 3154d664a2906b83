package v1

import (
	"encoding/json"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/voxelstream/voxelstream/ingest/formats"
)

func formatNames() []string { return formats.Name("").Choices() }

// openAPI returns the OpenAPI document.
func openAPI(version string) ([]byte, error) {
	d := &document{schemas: schema{}}
	paths := schema{}
	for _, r := range routes() {
		at, ok := paths[r.path].(schema)
		if !ok {
			at = schema{}
			paths[r.path] = at
		}
		at[strings.ToLower(r.method)] = d.operation(&r)
	}
	var tags []schema
	for _, g := range groups {
		tags = append(tags, schema{"name": g.name, "description": g.doc})
	}
	return json.MarshalIndent(schema{
		"openapi": "3.1.0",
		"info": schema{
			"title": "Voxelstream", "version": version,
			"description": "Classifies volumes: files and streams of sensors, and tensors.",
			"license":     schema{"name": "Apache-2.0", "identifier": "Apache-2.0"},
		},
		"tags": tags, "paths": paths, "components": schema{"schemas": d.schemas},
	}, "", "  ")
}

// document collects the schemas of named types.
type document struct{ schemas schema }

func (d *document) operation(r *route) schema {
	op := schema{"tags": []string{r.group}, "summary": r.summary, "operationId": operationID(r)}
	if r.doc != "" {
		op["description"] = r.doc
	}
	var parameters []schema
	for _, p := range r.parameters {
		parameters = append(parameters, schema{
			"name": p.name, "in": p.in, "description": p.doc, "schema": p.schema, "required": p.in == "path",
		})
	}
	if parameters != nil {
		op["parameters"] = parameters
	}
	if r.body != nil {
		op["requestBody"] = schema{"content": d.contents(r.body), "required": !r.optional}
	}
	answer := schema{"description": "Success."}
	if r.answer != nil {
		answer["content"] = d.contents(r.answer)
	}
	answers := schema{"200": answer}
	for _, status := range r.also {
		answers[strconv.Itoa(status)] = schema{"description": http.StatusText(status), "content": answer["content"]}
	}
	problem := d.contents([]content{{typeJSON, Problem{}}})
	if r.plain {
		problem = schema{"text/plain": schema{"schema": text()}}
	}
	if r.overload {
		for _, status := range []int{
			http.StatusTooManyRequests, http.StatusServiceUnavailable, http.StatusGatewayTimeout,
		} {
			a := schema{"description": http.StatusText(status), "content": problem}
			if status != http.StatusGatewayTimeout {
				a["headers"] = schema{"Retry-After": schema{
					"description": "Seconds after which the request may succeed.", "schema": schema{"type": "integer"},
				}}
			}
			answers[strconv.Itoa(status)] = a
		}
	}
	answers["default"] = schema{"description": "An error.", "content": problem}
	op["responses"] = answers
	return op
}

// operationID is made of the method and the words of the path: postV1Classify.
func operationID(r *route) string {
	var id strings.Builder
	id.WriteString(strings.ToLower(r.method))
	for _, word := range strings.FieldsFunc(r.path, func(c rune) bool { return strings.ContainsRune("/{}.", c) }) {
		id.WriteString(strings.ToUpper(word[:1]) + word[1:])
	}
	return id.String()
}

func (d *document) contents(all []content) schema {
	out := schema{}
	for _, c := range all {
		m := schema{}
		if c.value != nil {
			m["schema"] = d.of(reflect.TypeOf(c.value))
		}
		out[c.media] = m
	}
	return out
}

// of returns the JSON schema of a type. Structs with a name are collected.
func (d *document) of(t reflect.Type) schema {
	if v, ok := reflect.TypeAssert[interface{ variants() []any }](reflect.Zero(t)); ok {
		var any []schema
		for _, one := range v.variants() {
			any = append(any, d.of(reflect.TypeOf(one)))
		}
		return schema{"anyOf": any}
	}
	switch {
	case t == reflect.TypeFor[time.Time]():
		return schema{"type": "string", "format": "date-time"}
	case t == reflect.TypeFor[file]():
		return schema{"type": "string", "contentMediaType": typeBytes}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return schema{"anyOf": []schema{d.of(t.Elem()), {"type": "null"}}}
	case reflect.Bool:
		return schema{"type": "boolean"}
	case reflect.String:
		return text()
	case reflect.Float32, reflect.Float64:
		return schema{"type": "number"}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return schema{"type": "integer"}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return schema{"type": "integer", "minimum": 0}
	case reflect.Slice:
		return schema{"type": "array", "items": d.of(t.Elem())}
	case reflect.Array:
		return schema{"type": "array", "items": d.of(t.Elem()), "minItems": t.Len(), "maxItems": t.Len()}
	case reflect.Map:
		return schema{"type": "object", "additionalProperties": d.of(t.Elem())}
	case reflect.Struct:
		return d.structure(t)
	}
	return schema{} // any value
}

func (d *document) structure(t reflect.Type) schema {
	name := t.Name()
	if name != "" {
		name = strings.ToUpper(name[:1]) + name[1:]
		if d.schemas[name] != nil {
			return schema{"$ref": "#/components/schemas/" + name}
		}
		d.schemas[name] = schema{}
	}
	properties, required := schema{}, []string{}
	for f := range t.Fields() {
		key, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if key == "" || key == "-" {
			continue
		}
		properties[key] = d.of(f.Type)
		if !strings.Contains(options, "omit") {
			required = append(required, key)
		}
	}
	s := schema{"type": "object", "properties": properties}
	if len(required) > 0 {
		s["required"] = required
	}
	if name == "" {
		return s
	}
	d.schemas[name] = s
	return schema{"$ref": "#/components/schemas/" + name}
}
