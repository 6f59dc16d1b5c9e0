package manifest

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
)

// Schema is the JSON Schema of a document, made of the same definition as the
// decoder, for editors that complete and check YAML as it is written.
func Schema() ([]byte, error) {
	s := schemaOf(reflect.TypeFor[Document]())
	s["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	s["$id"] = "https://tminus.dev/manifest.schema.json"
	s["title"] = "tminus manifest"
	s["description"] = "A launch plan, its schedule and the workflow it launches, as tminus apply takes them."
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write schema: %w", err)
	}
	return append(b, '\n'), nil
}

// scalars are what the decoder takes for a string: version: 1.10 needs no quotes.
var scalars = []string{"string", "number", "boolean"}

func schemaOf(t reflect.Type) map[string]any {
	switch t {
	case reflect.TypeFor[Value]():
		return map[string]any{}
	case reflect.TypeFor[Variable]():
		return map[string]any{"oneOf": []any{map[string]any{"type": "string"}, structSchema(t)}}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return schemaOf(t.Elem())
	case reflect.Struct:
		return structSchema(t)
	case reflect.Map:
		return map[string]any{"type": "object", "additionalProperties": schemaOf(t.Elem())}
	case reflect.Slice:
		return map[string]any{"type": "array", "items": schemaOf(t.Elem())}
	case reflect.String:
		return map[string]any{"type": scalars}
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.Int:
		return map[string]any{"type": "integer"}
	default:
		panic("a manifest cannot hold " + t.String())
	}
}

func structSchema(t reflect.Type) map[string]any {
	properties := map[string]any{}
	var required []string
	for f := range t.Fields() {
		tag := f.Tag
		name := tag.Get("yaml")
		property := schemaOf(f.Type)
		property["description"] = tag.Get("doc")
		if allowed, ok := tag.Lookup("enum"); ok {
			property["enum"] = strings.Fields(allowed)
			delete(property, "type")
		}
		if least, err := strconv.Atoi(tag.Get("min")); err == nil {
			property["minimum"] = least
		}
		if example, ok := tag.Lookup("example"); ok {
			if f.Type.Kind() == reflect.Slice {
				property["examples"] = [][]string{{example}}
			} else {
				property["examples"] = []string{example}
			}
		}
		if tag.Get("required") != "" {
			required = append(required, name)
		}
		properties[name] = property
	}
	s := map[string]any{"type": "object", "properties": properties, "additionalProperties": false}
	if len(required) > 0 {
		s["required"] = required
	}
	return s
}
