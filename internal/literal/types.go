package literal

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"tminus.dev/gen/flyteidl/core"
)

// simpleNames are the types without parts, as people write them.
var simpleNames = map[core.SimpleType]string{
	core.SimpleType_NONE:     "none",
	core.SimpleType_INTEGER:  "integer",
	core.SimpleType_FLOAT:    "float",
	core.SimpleType_STRING:   "string",
	core.SimpleType_BOOLEAN:  "boolean",
	core.SimpleType_DATETIME: "datetime",
	core.SimpleType_DURATION: "duration",
	core.SimpleType_STRUCT:   "struct",
	core.SimpleType_BINARY:   "binary",
	core.SimpleType_ERROR:    "error",
}

// parsable lists the names that ParseType takes.
var parsable = []string{
	"integer", "float", "string", "boolean", "datetime", "duration", "none",
	"struct", "file", "directory", "list<T>", "map<T>",
}

// ParseType reads the name of a type: integer, float, string, boolean,
// datetime, duration, none, struct, file, directory, or list<T> and map<T> of
// any of them. A map's keys are strings.
func ParseType(s string) (*core.LiteralType, error) {
	return parseType(strings.TrimSpace(s), 0)
}

func parseType(s string, depth int) (*core.LiteralType, error) {
	if depth > maxTypeDepth {
		return nil, fmt.Errorf("nested more than %d levels deep", maxTypeDepth)
	}
	switch s {
	case "file":
		return blobType(core.BlobType_SINGLE), nil
	case "directory":
		return blobType(core.BlobType_MULTIPART), nil
	case "binary", "error": // Nobody can write such a value down.
	default:
		for simple, name := range simpleNames {
			if name == s {
				return simpleType(simple), nil
			}
		}
	}
	if element, ok := inner(s, "list"); ok {
		t, err := parseType(element, depth+1)
		return &core.LiteralType{Type: &core.LiteralType_CollectionType{CollectionType: t}}, err
	}
	if value, ok := inner(s, "map"); ok {
		t, err := parseType(value, depth+1)
		return &core.LiteralType{Type: &core.LiteralType_MapValueType{MapValueType: t}}, err
	}
	return nil, fmt.Errorf("%q is no type; there are %s", cut(s, 64), strings.Join(parsable, ", "))
}

// inner is what stands between the angle brackets after outer.
func inner(s, outer string) (string, bool) {
	s, ok := strings.CutPrefix(s, outer)
	s, opened := strings.CutPrefix(strings.TrimSpace(s), "<")
	s, closed := strings.CutSuffix(s, ">")
	return strings.TrimSpace(s), ok && opened && closed
}

func simpleType(t core.SimpleType) *core.LiteralType {
	return &core.LiteralType{Type: &core.LiteralType_Simple{Simple: t}}
}

func blobType(d core.BlobType_BlobDimensionality) *core.LiteralType {
	return &core.LiteralType{Type: &core.LiteralType_Blob{Blob: &core.BlobType{Dimensionality: d}}}
}

// CheckType reports why t cannot be the type of a variable: a part of it has
// no type, or it nests too deep.
func CheckType(t *core.LiteralType) error {
	return checkType(t, 0)
}

func checkType(t *core.LiteralType, depth int) error {
	if depth > maxTypeDepth {
		return fmt.Errorf("nested more than %d levels deep", maxTypeDepth)
	}
	switch k := t.GetType().(type) {
	case *core.LiteralType_CollectionType:
		return checkType(k.CollectionType, depth+1)
	case *core.LiteralType_MapValueType:
		return checkType(k.MapValueType, depth+1)
	case *core.LiteralType_UnionType:
		if len(k.UnionType.GetVariants()) == 0 {
			return errors.New("a union without variants has no values")
		}
		for _, v := range k.UnionType.GetVariants() {
			if err := checkType(v, depth+1); err != nil {
				return err
			}
		}
	case *core.LiteralType_EnumType:
		if len(k.EnumType.GetValues()) == 0 {
			return errors.New("an enum without values has no values")
		}
	case *core.LiteralType_Simple:
		if _, known := simpleNames[k.Simple]; !known {
			return fmt.Errorf("%d is no simple type", k.Simple)
		}
	case nil:
		return errors.New("no type is given")
	}
	return nil
}

// Optional says that none is among the values of t.
func Optional(t *core.LiteralType) bool {
	return isNone(t) || slices.ContainsFunc(t.GetUnionType().GetVariants(), isNone)
}

func isNone(t *core.LiteralType) bool {
	s, ok := t.GetType().(*core.LiteralType_Simple)
	return ok && s.Simple == core.SimpleType_NONE
}

// TypeName writes t as ParseType reads it, and the types that ParseType does
// not know in the same manner: enum<a, b>, integer | none, file<csv>. Very long
// names are cut short.
func TypeName(t *core.LiteralType) string {
	var w strings.Builder
	writeType(&w, t, 0)
	return cut(w.String(), maxTypeName)
}

// maxTypeName is how long a type's name may grow, in bytes.
const maxTypeName = 1000

func writeType(w *strings.Builder, t *core.LiteralType, depth int) {
	if depth > maxDepth || w.Len() > maxTypeName {
		w.WriteString("…")
		return
	}
	switch k := t.GetType().(type) {
	case *core.LiteralType_Simple:
		name, known := simpleNames[k.Simple]
		if !known {
			name = k.Simple.String()
		}
		w.WriteString(name)
	case *core.LiteralType_CollectionType:
		w.WriteString("list<")
		writeType(w, k.CollectionType, depth+1)
		w.WriteString(">")
	case *core.LiteralType_MapValueType:
		w.WriteString("map<")
		writeType(w, k.MapValueType, depth+1)
		w.WriteString(">")
	case *core.LiteralType_Blob:
		writeFormat(w, blobName(k.Blob), k.Blob.GetFormat())
	case *core.LiteralType_Schema:
		w.WriteString("schema")
	case *core.LiteralType_StructuredDatasetType:
		writeFormat(w, "structured_dataset", k.StructuredDatasetType.GetFormat())
	case *core.LiteralType_EnumType:
		w.WriteString("enum<" + cut(strings.Join(k.EnumType.GetValues(), ", "), maxTypeName) + ">")
	case *core.LiteralType_UnionType:
		for i, v := range k.UnionType.GetVariants() {
			if i > 0 {
				w.WriteString(" | ")
			}
			writeType(w, v, depth+1)
			if w.Len() > maxTypeName {
				return
			}
		}
	default:
		w.WriteString("no type")
	}
}

func writeFormat(w *strings.Builder, name, format string) {
	w.WriteString(name)
	if format != "" {
		w.WriteString("<" + format + ">")
	}
}

func blobName(t *core.BlobType) string {
	if t.GetDimensionality() == core.BlobType_MULTIPART {
		return "directory"
	}
	return "file"
}
