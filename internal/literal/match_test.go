package literal

import (
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"tminus.dev/gen/flyteidl/core"
)

// lit is a literal of the named type.
func lit(t *testing.T, typ *core.LiteralType, v any) *core.Literal {
	t.Helper()
	l, err := FromValue(typ, v)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestMatch(t *testing.T) {
	var (
		integer  = simple("integer")
		str      = simple("string")
		none     = simple("none")
		optional = union(tagged(integer, "int"), tagged(none, "none"))
		one      = lit(t, integer, 1)
		text     = lit(t, str, "red")
		void     = lit(t, none, nil)
		csv      = lit(t, blob("csv", core.BlobType_SINGLE), "/f")
		wrap     = func(l *core.Literal, typ *core.LiteralType) *core.Literal {
			return scalar(&core.Scalar{Value: &core.Scalar_Union{Union: &core.Union{Value: l, Type: typ}}})
		}
	)
	deepOptional := optional
	for range 20 {
		deepOptional = union(tagged(deepOptional, "deep"), none)
	}
	for _, c := range []struct {
		name string
		typ  *core.LiteralType
		l    *core.Literal
		want string // "" for a match
	}{
		{"an integer", integer, one, ""},
		{"a string for an integer", integer, text, "want integer, got string"},
		{"an integer for a float", simple("float"), one, "want float, got integer"},
		{"nil", integer, nil, "want integer, got no value"},
		{"an empty literal", integer, &core.Literal{}, "want integer, got no value"},
		{"an empty scalar", integer, scalar(&core.Scalar{}), "want integer, got no value"},
		{"an empty primitive", integer, primitive(&core.Primitive{}), "want integer, got no value"},
		{"no type", nil, one, "no type is given"},
		{"none for an integer", integer, void, "want integer, got none"},
		{"an enum's value", enum("red"), text, ""},
		{"not an enum's value", enum("blue", "green"), text, `want enum<blue, green>, got "red"`},
		{"an integer for an enum", enum("1"), one, "want enum<1>, got integer"},
		{"a list", list(integer), lit(t, list(integer), []any{1, 2}), ""},
		{"an empty list", list(integer), lit(t, list(str), []any{}), ""},
		{"a list of others", list(integer), lit(t, list(str), []any{"x"}), "[0]: want integer, got string"},
		{"an integer for a list", list(integer), one, "want list<integer>, got integer"},
		{"a map", mapOf(integer), lit(t, mapOf(integer), map[string]any{"a": 1}), ""},
		{"a map of others", mapOf(integer), lit(t, mapOf(str), map[string]any{"b": "x", "a": "x"}), "[a]: want integer, got string"},
		{"a list for a map", mapOf(integer), lit(t, list(integer), []any{1}), "want map<integer>, got a list"},
		{"a map for a struct", simple("struct"), lit(t, mapOf(integer), map[string]any{}), "want struct, got a map"},
		{"a csv for any file", simple("file"), csv, ""},
		{"a csv for a csv", blob("CSV", core.BlobType_SINGLE), csv, ""},
		{"a csv for a png", blob("png", core.BlobType_SINGLE), csv, "want file<png>, got file<csv>"},
		{"any file for a png", blob("png", core.BlobType_SINGLE), lit(t, simple("file"), "/f"), ""},
		{"a file for a directory", simple("directory"), csv, "want directory, got file<csv>"},
		{"a dataset for a schema", &core.LiteralType{Type: &core.LiteralType_Schema{}}, lit(t, dataset(""), "/d"), ""},
		{"none for a dataset", dataset(""), void, ""},
		{"a file for a dataset", dataset(""), csv, "want structured_dataset, got file<csv>"},
		{"flytekit's default None", optional, void, ""},
		{"a bare value of a union", optional, one, ""},
		{"a bare value of no variant", optional, text, "want integer | none, got string"},
		{"a variant", optional, wrap(one, tagged(integer, "int")), ""},
		{"a variant without a type", optional, wrap(one, nil), ""},
		{"another tag", optional, wrap(one, tagged(integer, "uint8")), `want integer | none, got integer tagged "uint8"`},
		{"a variant's tag on another value", optional, wrap(text, tagged(integer, "int")), `want integer | none, got string tagged "int"`},
		{"a union for an integer", integer, wrap(one, integer), "want integer, got a union"},
		{"unions twenty deep", deepOptional, one, ""},
		{"no datetime", simple("datetime"), primitive(&core.Primitive{Value: &core.Primitive_Datetime{
			Datetime: &timestamppb.Timestamp{Seconds: 1 << 60},
		}}), "the datetime lies outside the years 1 to 9999"},
		{"no duration", simple("duration"), primitive(&core.Primitive{Value: &core.Primitive_Duration{
			Duration: &durationpb.Duration{Seconds: 1, Nanos: -1},
		}}), "the duration is longer than 10,000 years or malformed"},
		{"an offloaded value", integer, &core.Literal{Value: &core.Literal_OffloadedMetadata{
			OffloadedMetadata: &core.LiteralOffloadedMetadata{Uri: "s3://x", InferredType: integer},
		}}, "an offloaded value cannot be read here; send the value itself"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := ""
			if err := Match(c.typ, c.l); err != nil {
				got = err.Error()
			}
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestMatchStopsAtBombs(t *testing.T) {
	start := time.Now()
	if err := Match(deepType(100_000), deepLiteral(100_000)); err == nil {
		t.Error("a value 100,000 levels deep matches")
	}
	if err := Match(deepUnion(100_000), deepLiteral(1)); err == nil {
		t.Error("a union 100,000 levels deep matches")
	}
	wide := wideUnion(22)
	if err := Match(wide, deepLiteral(1)); err == nil {
		t.Error("a union of 4 million variants matches what is none of them")
	}
	if err := Castable(wide, wide); err == nil {
		t.Error("a union of 4 million variants was compared with itself")
	}
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("it took %s", took)
	}
}

// wideUnion has 2^depth variants; sharing keeps it small, as a client could not.
func wideUnion(depth int) *core.LiteralType {
	t := simple("string")
	for range depth {
		t = union(t, t)
	}
	return t
}

func TestCastable(t *testing.T) {
	var (
		integer  = simple("integer")
		str      = simple("string")
		none     = simple("none")
		optional = union(tagged(integer, "int"), tagged(none, "none"))
		schema   = &core.LiteralType{Type: &core.LiteralType_Schema{}}
	)
	for _, c := range []struct {
		name     string
		from, to *core.LiteralType
		want     string // "" when it can be bound
	}{
		{"the same", integer, integer, ""},
		{"an integer to a float", integer, simple("float"), "integer cannot be bound to float"},
		{"an enum to a string", enum("a"), str, ""},
		{"a string to an enum", str, enum("a"), ""},
		{"an enum to itself", enum("a"), enum("a"), ""},
		{"an enum to another", enum("a"), enum("b"), "enum<a> cannot be bound to enum<b>"},
		{"lists", list(integer), list(integer), ""},
		{"a list of none", list(none), list(integer), ""},
		{"lists of others", list(integer), list(str), "list<integer> cannot be bound to list<string>"},
		{"an integer to a list", integer, list(integer), "integer cannot be bound to list<integer>"},
		{"maps", mapOf(list(enum("a"))), mapOf(list(str)), ""},
		{"a map of none", mapOf(none), mapOf(str), ""},
		{"a list to a map", list(str), mapOf(str), "list<string> cannot be bound to map<string>"},
		{"a csv to any file", blob("csv", 0), simple("file"), ""},
		{"any file to a csv", simple("file"), blob("csv", 0), ""},
		{"a csv to a png", blob("csv", 0), blob("png", 0), "file<csv> cannot be bound to file<png>"},
		{"a file to a directory", simple("file"), simple("directory"), "file cannot be bound to directory"},
		{"a schema to a dataset", schema, dataset(""), ""},
		{"a schema to a csv dataset", schema, dataset("csv"), "schema cannot be bound to structured_dataset<csv>"},
		{"a parquet dataset to a schema", dataset("Parquet"), schema, ""},
		{"a csv dataset to a schema", dataset("csv"), schema, "structured_dataset<csv> cannot be bound to schema"},
		{"none to a dataset", none, dataset(""), ""},
		{"an integer to a dataset", integer, dataset(""), "integer cannot be bound to structured_dataset"},
		{"none to an optional", none, optional, ""},
		{"an integer to an optional", integer, optional, ""},
		{"a string to an optional integer", str, optional, "string cannot be bound to integer | none"},
		{"an optional to its type", optional, integer, "integer | none cannot be bound to integer"},
		{"an optional to itself", optional, optional, ""},
		{"an optional to a wider union", optional, union(tagged(integer, "int"), str, tagged(none, "none")), ""},
		{"an optional to a narrower union", optional, union(tagged(integer, "int")), "integer | none cannot be bound to integer"},
		{"a union of one to its type", union(integer), integer, ""},
		{"a string to string | enum", str, union(str, enum("a")), "string fits more than one variant of string | enum<a>"},
		{"a list to a union of lists", list(integer), union(list(str), list(integer)), ""},
		{"another tag", tagged(integer, "a"), tagged(integer, "b"), `integer tagged "a" cannot be bound to the same tagged "b"`},
		{"a tag to none", tagged(integer, "a"), integer, `integer tagged "a" cannot be bound to the same tagged ""`},
		{"no tag to a tag", integer, tagged(integer, "a"), ""},
		{"nothing", nil, integer, "no type cannot be bound to integer"},
		{"to nothing", integer, nil, "integer cannot be bound to no type"},
		{"a recursion bomb", deepType(100_000), deepType(100_000), "nested more than 64 levels deep"},
		{"a bomb of unions", deepUnion(100_000), deepUnion(100_000), "nested more than 64 levels deep"},
		{"unions of one, forty deep", deepUnion(40), deepUnion(20), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := ""
			if err := Castable(c.from, c.to); err != nil {
				got = err.Error()
			}
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestAttribute(t *testing.T) {
	name := func(s string) *core.PromiseAttribute {
		return &core.PromiseAttribute{Value: &core.PromiseAttribute_StringValue{StringValue: s}}
	}
	at := func(i int32) *core.PromiseAttribute {
		return &core.PromiseAttribute{Value: &core.PromiseAttribute_IntValue{IntValue: i}}
	}
	path := func(steps ...*core.PromiseAttribute) []*core.PromiseAttribute { return steps }
	var (
		lists     = lit(t, simple("map<list<integer>>"), map[string]any{"a": []any{1, 2}})
		generic   = lit(t, simple("struct"), map[string]any{"n": 3, "l": []any{"x", map[string]any{"deep": true}}})
		dataclass = msgpack("\x82\xa1a\x01\xa1b\x91\xa1q")
		wrapped   = lit(t, union(simple("list<integer>"), simple("none")), []any{7})
	)
	for _, c := range []struct {
		l       *core.Literal
		path    []*core.PromiseAttribute
		typ     string
		want    string
		wantErr string
	}{
		{lists, nil, "map<list<integer>>", `{"a":[1,2]}`, ""},
		{lists, path(name("a")), "list<integer>", "[1,2]", ""},
		{lists, path(name("a"), at(1)), "integer", "2", ""},
		{generic, path(name("n")), "integer", "3", ""},
		{generic, path(name("l"), at(1), name("deep")), "boolean", "true", ""},
		{dataclass, path(name("b")), "list<string>", "[q]", ""},
		{dataclass, path(name("a")), "float", "1", ""},
		{wrapped, path(at(0)), "integer", "7", ""},
		{lists, path(name("b")), "integer", "", `attribute "b": not found; did you mean "a"?`},
		{lists, path(name("a"), at(2)), "integer", "", `attribute [2]: the list has 2 elements`},
		{lists, path(name("a"), at(-1)), "integer", "", `attribute [-1]: the list has 2 elements`},
		{lists, path(name("a"), name("b")), "integer", "", `attribute "b": a list is indexed by a number`},
		{lists, path(name("a"), at(0), at(0)), "integer", "", `attribute [0]: integer has no attributes`},
		{generic, path(name("l"), at(0), name("x")), "string", "", `attribute "x": "x" has no attributes`},
		{dataclass, path(name("b")), "integer", "", `want integer, got a list`},
		{dataclass, path(name("c")), "integer", "", `attribute "c": not found; did you mean "a"?`},
	} {
		got, err := Attribute(c.l, c.path, simple(c.typ))
		if c.wantErr != "" {
			if err == nil || err.Error() != c.wantErr {
				t.Errorf("%v of %s: %v, want %s", c.path, Text(c.l), err, c.wantErr)
			}
			continue
		}
		if err != nil || Text(got) != c.want {
			t.Errorf("%v of %s = %s, %v, want %s", c.path, Text(c.l), Text(got), err, c.want)
		}
	}
}
