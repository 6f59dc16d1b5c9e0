package literal

import (
	"strings"
	"testing"

	"tminus.dev/gen/flyteidl/core"
)

func TestTypeNames(t *testing.T) {
	for _, name := range []string{
		"integer", "float", "string", "boolean", "datetime", "duration", "none", "struct", "file", "directory",
		"list<integer>", "map<list<file>>", "list<map<datetime>>",
	} {
		typ, err := ParseType(name)
		if err != nil {
			t.Errorf("ParseType(%q): %v", name, err)
			continue
		}
		if got := TypeName(typ); got != name {
			t.Errorf("TypeName(ParseType(%q)) = %q", name, got)
		}
		if err := CheckType(typ); err != nil {
			t.Errorf("CheckType(%s): %v", name, err)
		}
	}
	if typ, err := ParseType(" list < map< integer > > "); err != nil || TypeName(typ) != "list<map<integer>>" {
		t.Errorf("blanks are not ignored: %v, %v", typ, err)
	}
}

func TestParseTypeRefuses(t *testing.T) {
	known := "; there are integer, float, string, boolean, datetime, duration, none, struct, file, directory, list<T>, map<T>"
	for in, want := range map[string]string{
		"":               `"" is no type` + known,
		"int":            `"int" is no type` + known,
		"integr":         `"integr" is no type` + known,
		"String":         `"String" is no type` + known,
		"list<>":         `"" is no type` + known,
		"list<boolean":   `"list<boolean" is no type` + known,
		"list":           `"list" is no type` + known,
		"binary":         `"binary" is no type` + known,
		deepName("list"): "nested more than 32 levels deep",
	} {
		if _, err := ParseType(in); err == nil || err.Error() != want {
			t.Errorf("ParseType(%.40q) = %v, want %s", in, err, want)
		}
	}
}

func deepName(outer string) string {
	return strings.Repeat(outer+"<", 100_000) + "integer" + strings.Repeat(">", 100_000)
}

func TestTypeNamesOfTheRest(t *testing.T) {
	for want, typ := range map[string]*core.LiteralType{
		"no type":                     {},
		"enum<red, blue>":             enum("red", "blue"),
		"integer | none":              union(simple("integer"), simple("none")),
		"list<float | list<string>>":  list(union(simple("float"), list(simple("string")))),
		"file<csv>":                   blob("csv", core.BlobType_SINGLE),
		"directory<parquet>":          blob("parquet", core.BlobType_MULTIPART),
		"schema":                      {Type: &core.LiteralType_Schema{}},
		"structured_dataset":          {Type: &core.LiteralType_StructuredDatasetType{}},
		"structured_dataset<parquet>": dataset("parquet"),
		"binary":                      simpleType(core.SimpleType_BINARY),
		"error":                       simpleType(core.SimpleType_ERROR),
		"99":                          simpleType(99),
	} {
		if got := TypeName(typ); got != want {
			t.Errorf("TypeName = %q, want %q", got, want)
		}
	}
	if got := TypeName(nil); got != "no type" {
		t.Errorf("TypeName(nil) = %q", got)
	}
	if got := TypeName(deepType(100_000)); len(got) > maxTypeName+len(elided) {
		t.Errorf("the name of a deep type is %d bytes long", len(got))
	}
}

func TestCheckTypeRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		typ  *core.LiteralType
		want string
	}{
		"nil":               {nil, "no type is given"},
		"unset":             {&core.LiteralType{}, "no type is given"},
		"list of nothing":   {list(nil), "no type is given"},
		"map of nothing":    {mapOf(&core.LiteralType{}), "no type is given"},
		"empty union":       {union(), "a union without variants has no values"},
		"unset variant":     {union(simple("none"), nil), "no type is given"},
		"empty enum":        {enum(), "an enum without values has no values"},
		"unknown simple":    {simpleType(99), "99 is no simple type"},
		"a recursion bomb":  {deepType(100_000), "nested more than 32 levels deep"},
		"a bomb of unions":  {deepUnion(100_000), "nested more than 32 levels deep"},
		"a bomb of nothing": {list(list(list(nil))), "no type is given"},
	} {
		if err := CheckType(c.typ); err == nil || err.Error() != c.want {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
}

// simple is the type that ParseType knows by name.
func simple(name string) *core.LiteralType {
	t, err := ParseType(name)
	if err != nil {
		panic(err)
	}
	return t
}

func list(t *core.LiteralType) *core.LiteralType {
	return &core.LiteralType{Type: &core.LiteralType_CollectionType{CollectionType: t}}
}

func mapOf(t *core.LiteralType) *core.LiteralType {
	return &core.LiteralType{Type: &core.LiteralType_MapValueType{MapValueType: t}}
}

func union(variants ...*core.LiteralType) *core.LiteralType {
	return &core.LiteralType{Type: &core.LiteralType_UnionType{UnionType: &core.UnionType{Variants: variants}}}
}

func enum(values ...string) *core.LiteralType {
	return &core.LiteralType{Type: &core.LiteralType_EnumType{EnumType: &core.EnumType{Values: values}}}
}

func blob(format string, d core.BlobType_BlobDimensionality) *core.LiteralType {
	return &core.LiteralType{Type: &core.LiteralType_Blob{Blob: &core.BlobType{Format: format, Dimensionality: d}}}
}

func dataset(format string) *core.LiteralType {
	return &core.LiteralType{Type: &core.LiteralType_StructuredDatasetType{
		StructuredDatasetType: &core.StructuredDatasetType{Format: format},
	}}
}

// tagged is t as flytekit tags the variants of a union.
func tagged(t *core.LiteralType, tag string) *core.LiteralType {
	return &core.LiteralType{Type: t.GetType(), Structure: &core.TypeStructure{Tag: tag}}
}

func deepType(depth int) *core.LiteralType {
	t := simple("integer")
	for range depth {
		t = list(t)
	}
	return t
}

func deepUnion(depth int) *core.LiteralType {
	t := simple("integer")
	for range depth {
		t = union(t)
	}
	return t
}
