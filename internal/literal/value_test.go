package literal

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/structpb"
	"pgregory.net/rapid"

	"tminus.dev/gen/flyteidl/core"
)

// noon is 2026-01-31 12:00 in Berlin.
var noon = time.Date(2026, 1, 31, 12, 0, 0, 0, time.FixedZone("CET", 3600))

// Each row: a value of a type, as it reads in a command line and in JSON.
func TestValues(t *testing.T) {
	for _, c := range []struct {
		typ  string
		in   any
		text string
		json string
	}{
		{"integer", 7, "7", `7`},
		{"integer", int64(math.MinInt64), "-9223372036854775808", `-9223372036854775808`},
		{"integer", uint64(math.MaxInt64), "9223372036854775807", `9223372036854775807`},
		{"integer", float64(1e15), "1000000000000000", `1000000000000000`},
		{"integer", json.Number("12"), "12", `12`},
		{"integer", json.Number("1e3"), "1000", `1000`},
		{"integer", "-42", "-42", `-42`},
		{"float", 2.5, "2.5", `2.5`},
		{"float", 3, "3", `3`},
		{"float", uint8(3), "3", `3`},
		{"float", json.Number("0.1"), "0.1", `0.1`},
		{"float", "1e6", "1e+06", `1000000`},
		{"float", math.Inf(-1), "-Inf", `"-Inf"`},
		{"float", "NaN", "NaN", `"NaN"`},
		{"string", "", "", `""`},
		{"string", "a b", "a b", `"a b"`},
		{"string", "12", "12", `"12"`},
		{"boolean", true, "true", `true`},
		{"boolean", "false", "false", `false`},
		{"datetime", noon, "2026-01-31T11:00:00Z", `"2026-01-31T11:00:00Z"`},
		{"datetime", "2026-01-31T12:00:00+01:00", "2026-01-31T11:00:00Z", `"2026-01-31T11:00:00Z"`},
		{"datetime", "2026-01-31T11:00:00.5Z", "2026-01-31T11:00:00.5Z", `"2026-01-31T11:00:00.5Z"`},
		{"datetime", "2026-01-31", "2026-01-31T00:00:00Z", `"2026-01-31T00:00:00Z"`},
		{"duration", "90s", "1m30s", `"1m30s"`},
		{"duration", 90 * time.Second, "1m30s", `"1m30s"`},
		{"duration", "PT90S", "1m30s", `"1m30s"`},
		{"duration", "P1DT2H3M4.5S", "26h3m4.5s", `"26h3m4.5s"`},
		{"duration", "P2W", "336h0m0s", `"336h0m0s"`},
		{"duration", "-PT1M", "-1m0s", `"-1m0s"`},
		{"none", nil, "", `null`},
		{"file", "s3://b/k", "s3://b/k", `"s3://b/k"`},
		{"directory", "/data/in", "/data/in", `"/data/in"`},
		{"struct", map[string]any{"b": []any{1, nil, true}, "a": "<x>"}, `{"a":"<x>","b":[1,null,true]}`, `{"a":"\u003cx\u003e","b":[1,null,true]}`},
		{"struct", `{"n": 1.5}`, `{"n":1.5}`, `{"n":1.5}`},
		{"list<integer>", []any{1, "2", 3.0}, "[1,2,3]", `[1,2,3]`},
		{"list<string>", `["a","b"]`, "[a,b]", `["a","b"]`},
		{"list<list<float>>", []any{[]any{}, []any{1.5}}, "[[],[1.5]]", `[[],[1.5]]`},
		{"list<file>", []any{"/a", "/b"}, "[/a,/b]", `["/a","/b"]`},
		{"map<integer>", map[string]any{"b": 2, "a": 1}, `{"a":1,"b":2}`, `{"a":1,"b":2}`},
		{"map<datetime>", `{"t":"2026-01-31"}`, `{"t":"2026-01-31T00:00:00Z"}`, `{"t":"2026-01-31T00:00:00Z"}`},
	} {
		typ := simple(c.typ)
		l, err := FromValue(typ, c.in)
		if err != nil {
			t.Errorf("FromValue(%s, %v): %v", c.typ, c.in, err)
			continue
		}
		if err := Match(typ, l); err != nil {
			t.Errorf("%s %v does not match its own type: %v", c.typ, c.in, err)
		}
		if got := Text(l); got != c.text {
			t.Errorf("Text of %s %v = %q, want %q", c.typ, c.in, got, c.text)
		}
		if got, err := json.Marshal(ToValue(l)); err != nil || string(got) != c.json {
			t.Errorf("JSON of %s %v = %s, %v, want %s", c.typ, c.in, got, err, c.json)
		}
	}
}

func TestFromValueRefuses(t *testing.T) {
	for _, c := range []struct {
		typ  *core.LiteralType
		in   any
		want string
	}{
		{simple("integer"), nil, `want integer, got nothing`},
		{simple("integer"), "x", `want integer, got "x"`},
		{simple("integer"), true, `want integer, got true`},
		{simple("integer"), 1.5, `want integer, got 1.5, which has a fraction`},
		{simple("integer"), "1.5", `want integer, got 1.5, which has a fraction`},
		{simple("integer"), math.NaN(), `want integer, got NaN, which has a fraction`},
		{simple("integer"), 1e19, `1e+19 does not fit the 64 bits of an integer`},
		{simple("integer"), float64(1 << 63), `9.223372036854776e+18 does not fit the 64 bits of an integer`},
		{simple("integer"), uint64(1 << 63), `9223372036854775808 does not fit the 64 bits of an integer`},
		{simple("integer"), json.Number("9223372036854775808"), `9223372036854775808 does not fit the 64 bits of an integer`},
		{simple("float"), json.Number("1e999"), `1e999 does not fit the 64 bits of a float`},
		{simple("float"), "", `want float, got ""`},
		{simple("string"), 1.1, `want string, got 1.1; put it in quotes to make it a string`},
		{simple("string"), nil, `want string, got nothing`},
		{simple("string"), "a\xff", `"a\xff" is not valid UTF-8`},
		{simple("boolean"), "yes", `want boolean, got "yes"; use true or false`},
		{simple("boolean"), 1, `want boolean, got 1; use true or false`},
		{simple("datetime"), "tomorrow", `want datetime, got "tomorrow"; use an RFC 3339 time such as 2026-01-31T09:00:00Z`},
		{simple("datetime"), 5, `want datetime, got 5; use an RFC 3339 time such as 2026-01-31T09:00:00Z`},
		{simple("datetime"), time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC), `10000-01-01T00:00:00Z lies outside the years 1 to 9999`},
		{simple("duration"), 90, `want duration, got 90; use a duration such as 90s, 1h30m or PT90S`},
		{simple("duration"), "P1M", `want duration, got "P1M"; use a duration such as 90s, 1h30m or PT90S`},
		{simple("duration"), "PT", `want duration, got "PT"; use a duration such as 90s, 1h30m or PT90S`},
		{simple("duration"), "P999999W", `want duration, got "P999999W"; use a duration such as 90s, 1h30m or PT90S`},
		{simple("none"), 0, `want none, got 0`},
		{simple("file"), "", `want file, got ""; give its path or URI`},
		{simple("file"), []any{"a"}, `want file, got a list; give its path or URI`},
		{simple("struct"), "[1]", `want struct, got "[1]"`},
		{simple("struct"), map[string]any{"n": uint64(1<<60 + 1)}, `[n]: 1152921504606846977 is too large for a struct's numbers; put it in quotes`},
		{simple("struct"), map[string]any{"n": math.Inf(1)}, `[n]: a struct cannot hold +Inf`},
		{simple("struct"), map[string]any{"n": struct{}{}}, `[n]: want struct, got {}`},
		{simple("list<integer>"), 5, `want list<integer>, got 5`},
		{simple("list<integer>"), "[1] 2", `want list<integer>, got "[1] 2"`},
		{simple("list<integer>"), []any{1, "x"}, `[1]: want integer, got "x"`},
		{simple("map<integer>"), map[string]any{"a": 1, "b": nil}, `[b]: want integer, got nothing`},
		{simple("map<list<string>>"), map[string]any{"a": []any{"", 1}}, `[a]: [1]: want string, got 1; put it in quotes to make it a string`},
		{enum("red", "blue"), "green", `want enum<red, blue>, got "green"`},
		{union(simple("integer"), simple("none")), "x", `want integer | none, got "x"`},
		{simpleType(core.SimpleType_BINARY), "***", `want binary, got "***"; use base64`},
		{simpleType(core.SimpleType_ERROR), "x", `a value of type error cannot be written down`},
		{nil, 1, `no type is given`},
		{deepType(1000), strings.Repeat("[", 1000) + strings.Repeat("]", 1000), "nested more than 64 levels deep"},
	} {
		l, err := FromValue(c.typ, c.in)
		switch {
		case l != nil || err == nil:
			t.Errorf("FromValue(%s, %v) = %v, want the error %s", TypeName(c.typ), c.in, l, c.want)
		case !strings.HasSuffix(err.Error(), c.want):
			t.Errorf("FromValue(%s, %v): %v, want %s", TypeName(c.typ), c.in, err, c.want)
		}
	}
}

func TestUnionTakesTheVariantAsWritten(t *testing.T) {
	typ := union(simple("integer"), simple("string"), simple("float"), simple("none"), simple("list<integer>"), simple("list<string>"))
	for _, c := range []struct {
		in   any
		want string
	}{
		{5, "integer"},
		{"5", "string"},
		{5.5, "float"},
		{json.Number("5"), "integer"},
		{json.Number("5.0"), "float"},
		{nil, "none"},
		{[]any{1}, "list<integer>"},
		{[]any{"x"}, "list<string>"},
	} {
		l, err := FromValue(typ, c.in)
		if err != nil {
			t.Errorf("%v: %v", c.in, err)
			continue
		}
		if got := TypeName(l.GetScalar().GetUnion().GetType()); got != c.want {
			t.Errorf("%v became %s, want %s", c.in, got, c.want)
		}
	}
	if l, err := FromValue(union(simple("integer"), simple("none")), "5"); err != nil || Text(l) != "5" {
		t.Errorf("text for an optional integer: %v, %v", l, err)
	}
}

// A value of any type that can be written down reads back as it was.
func TestValuesReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		typ := drawType(t, 3)
		want, err := FromValue(typ, drawValue(t, typ))
		if err != nil {
			t.Fatalf("FromValue(%s): %v", TypeName(typ), err)
		}
		if err := Match(typ, want); err != nil {
			t.Fatalf("a %s does not match its own type: %v", TypeName(typ), err)
		}
		if err := Castable(typ, typ); err != nil {
			t.Fatalf("a %s cannot be bound to its own type: %v", TypeName(typ), err)
		}
		plain, err := json.Marshal(ToValue(want))
		if err != nil {
			t.Fatalf("JSON: %v", err)
		}
		d := json.NewDecoder(strings.NewReader(string(plain)))
		d.UseNumber()
		var back any
		if err := d.Decode(&back); err != nil {
			t.Fatal(err)
		}
		got, err := FromValue(typ, back)
		if err != nil {
			t.Fatalf("reading %s back as %s: %v", plain, TypeName(typ), err)
		}
		if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
			t.Fatalf("%s as %s reads back differently:\n%s", plain, TypeName(typ), diff)
		}
	})
}

func drawType(t *rapid.T, depth int) *core.LiteralType {
	kinds := []string{"integer", "float", "string", "boolean", "datetime", "duration", "none", "file", "directory", "struct", "enum", "dataset"}
	if depth > 0 {
		kinds = append(kinds, "list", "map", "optional")
	}
	switch kind := rapid.SampledFrom(kinds).Draw(t, "type"); kind {
	case "list":
		return list(drawType(t, depth-1))
	case "map":
		return mapOf(drawType(t, depth-1))
	case "optional":
		return union(simple(rapid.SampledFrom([]string{"integer", "string", "boolean"}).Draw(t, "variant")), simple("none"))
	case "enum":
		return enum("red", "blue")
	case "dataset":
		return dataset("parquet")
	default:
		return simple(kind)
	}
}

func drawValue(t *rapid.T, typ *core.LiteralType) any {
	switch k := typ.GetType().(type) {
	case *core.LiteralType_CollectionType:
		out := []any{}
		for range rapid.IntRange(0, 3).Draw(t, "length") {
			out = append(out, drawValue(t, k.CollectionType))
		}
		return out
	case *core.LiteralType_MapValueType:
		out := map[string]any{}
		for range rapid.IntRange(0, 3).Draw(t, "length") {
			out[rapid.String().Draw(t, "key")] = drawValue(t, k.MapValueType)
		}
		return out
	case *core.LiteralType_UnionType:
		return drawValue(t, rapid.SampledFrom(k.UnionType.GetVariants()).Draw(t, "variant"))
	case *core.LiteralType_EnumType:
		return rapid.SampledFrom(k.EnumType.GetValues()).Draw(t, "enum")
	case *core.LiteralType_Blob, *core.LiteralType_StructuredDatasetType:
		return "s3://" + rapid.String().Draw(t, "uri")
	}
	switch typ.GetSimple() {
	case core.SimpleType_INTEGER:
		return rapid.Int64().Draw(t, "integer")
	case core.SimpleType_FLOAT:
		return rapid.Float64().Draw(t, "float")
	case core.SimpleType_STRING:
		return rapid.String().Draw(t, "string")
	case core.SimpleType_BOOLEAN:
		return rapid.Bool().Draw(t, "boolean")
	case core.SimpleType_DATETIME:
		return time.Unix(rapid.Int64Range(-62135596800, 253402300799).Draw(t, "seconds"), rapid.Int64Range(0, 999_999_999).Draw(t, "nanos"))
	case core.SimpleType_DURATION:
		return time.Duration(rapid.Int64().Draw(t, "duration"))
	case core.SimpleType_STRUCT:
		return map[string]any{
			rapid.String().Draw(t, "key"): rapid.Float64().Draw(t, "number"),
			"nested":                      []any{nil, true, rapid.String().Draw(t, "text")},
		}
	default:
		return nil
	}
}

func TestMessagePackReads(t *testing.T) {
	for _, c := range []struct {
		name, bytes string
		want        string
	}{
		{"a dataclass as flytekit writes it", "\x82\xa1a\x01\xa1b\x91\xa1q", `{"a":1,"b":["q"]}`},
		{"integers of all sizes", "\x98\x7f\xff\xcc\xff\xcd\xff\xff\xd0\x80\xd1\x80\x00\xd2\x80\x00\x00\x00\xd3\x80\x00\x00\x00\x00\x00\x00\x00", `[127,-1,255,65535,-128,-32768,-2147483648,-9223372036854775808]`},
		{"an integer beyond int64", "\xcf\xff\xff\xff\xff\xff\xff\xff\xff", `18446744073709551615`},
		{"floats", "\x92\xca\x3f\x80\x00\x00\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00", `[1,1.5]`},
		{"no number", "\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00", `"NaN"`},
		{"nil and booleans", "\x93\xc0\xc2\xc3", `[null,false,true]`},
		{"long strings", "\x92\xd9\x01x\xda\x00\x01y", `["x","y"]`},
		{"bytes", "\xc4\x02\x01\x02", `"AQI="`},
		{"keys that are numbers", "\x81\x05\xa1x", `{"5":"x"}`},
		{"long lists and maps", "\x92\xdc\x00\x01\x01\xde\x00\x01\xa1k\x02", `[[1],{"k":2}]`},
	} {
		l := msgpack(c.bytes)
		if got, err := json.Marshal(ToValue(l)); err != nil || string(got) != c.want {
			t.Errorf("%s: %s, %v, want %s", c.name, got, err, c.want)
		}
		if err := Match(simple("struct"), l); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// What is no MessagePack shows as base64; nothing allocates what a length claims.
func TestMessagePackRefuses(t *testing.T) {
	for name, bytes := range map[string]string{
		"nothing":             "",
		"cut short":           "\x82\xa1a",
		"trailing bytes":      "\x01\x01",
		"an extension":        "\xd4\x01\x00",
		"a claim of 4 GiB":    "\xdd\xff\xff\xff\xff",
		"a string of 4 GiB":   "\xdb\xff\xff\xff\xffx",
		"a recursion bomb":    strings.Repeat("\x91", 1_000_000) + "\x01",
		"a bomb of empty key": strings.Repeat("\x81", 1_000_000) + "\x01",
	} {
		if v, err := decodeMsgpack([]byte(bytes)); err == nil {
			t.Errorf("%s decodes to %v", name, v)
		}
	}
}

func FuzzMessagePack(f *testing.F) {
	f.Add([]byte("\x82\xa1a\x01\xa1b\x91\xa1q"))
	f.Add([]byte("\xdd\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := decodeMsgpack(b)
		if err != nil {
			return
		}
		if _, err := json.Marshal(v); err != nil {
			t.Errorf("%x decodes to what JSON cannot hold: %v", b, err)
		}
	})
}

func msgpack(b string) *core.Literal {
	return scalar(&core.Scalar{Value: &core.Scalar_Binary{Binary: &core.Binary{Value: []byte(b), Tag: msgpackTag}}})
}

// Whatever a client sends as a literal and a type can be compared and shown,
// and what reads back as the type is of the type.
func FuzzLiteral(f *testing.F) {
	for _, l := range []*core.Literal{Datetime(noon), deepLiteral(500), msgpack("\x91\x01")} {
		b, err := proto.Marshal(l)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, b)
	}
	f.Fuzz(func(t *testing.T, literal, typ []byte) {
		l, lt := &core.Literal{}, &core.LiteralType{}
		if proto.Unmarshal(literal, l) != nil || proto.Unmarshal(typ, lt) != nil {
			return
		}
		if _, err := json.Marshal(ToValue(l)); err != nil {
			t.Errorf("JSON cannot hold it: %v", err)
		}
		if name := TypeName(lt); len(name) > maxTypeName+len(elided) {
			t.Errorf("the type's name is %d bytes long", len(name))
		}
		if err := Match(lt, l); err != nil && CheckType(lt) == nil && err.Error() == "no type is given" {
			t.Errorf("a proper type is told to be none")
		}
		if again, err := FromValue(lt, Text(l)); err == nil && Match(lt, again) != nil {
			t.Errorf("%q read as %s is none: %v", Text(l), TypeName(lt), Match(lt, again))
		}
	})
}

func deepLiteral(depth int) *core.Literal {
	l := primitive(&core.Primitive{Value: &core.Primitive_Integer{Integer: 1}})
	for range depth {
		l = &core.Literal{Value: &core.Literal_Collection{Collection: &core.LiteralCollection{Literals: []*core.Literal{l}}}}
	}
	return l
}

func TestDeepValuesAreCutShort(t *testing.T) {
	deep := deepLiteral(100_000)
	if got := Text(deep); !strings.Contains(got, elided) || len(got) > 1000 {
		t.Errorf("Text of a deep literal is %d bytes long", len(got))
	}
	if _, err := json.Marshal(ToValue(deep)); err != nil {
		t.Error(err)
	}
	v := structpb.NewNumberValue(1)
	for range 100_000 {
		v = structpb.NewListValue(&structpb.ListValue{Values: []*structpb.Value{v}})
	}
	s := &structpb.Struct{Fields: map[string]*structpb.Value{"deep": v}}
	if got := Text(scalar(&core.Scalar{Value: &core.Scalar_Generic{Generic: s}})); !strings.Contains(got, elided) {
		t.Errorf("Text of a deep struct is %.100s", got)
	}
}
