package literal

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/durationpb"

	"tminus.dev/gen/flyteidl/core"
)

// FromValue makes a literal of type t from a value as decoders of YAML and JSON
// give them (with or without json.Number), from a [time.Time] or [time.Duration],
// or from text:
//
//   - datetime: RFC 3339, or a date, which is its midnight in UTC;
//   - duration: as [time.ParseDuration] reads it, or ISO 8601 without years and months;
//   - file, directory, schema and structured_dataset: the URI;
//   - list, map and struct: JSON;
//   - binary: base64.
//
// Numbers must fit: no fraction for an integer and no overflow. A number is no
// string. A union takes the variant that v is written as and otherwise the first
// that v can be read as.
func FromValue(t *core.LiteralType, v any) (*core.Literal, error) {
	l, err := fromValue(t, v, 0)
	if err != nil {
		return nil, err
	}
	return l, nil
}

func fromValue(t *core.LiteralType, v any, depth int) (*core.Literal, error) {
	if depth > maxDepth {
		return nil, errDeep
	}
	switch k := t.GetType().(type) {
	case *core.LiteralType_Simple:
		return fromSimple(t, k.Simple, v)
	case *core.LiteralType_CollectionType:
		return fromList(t, v, depth)
	case *core.LiteralType_MapValueType:
		return fromMap(t, v, depth)
	case *core.LiteralType_UnionType:
		return fromUnion(t, v, depth)
	case *core.LiteralType_EnumType:
		s, ok := v.(string)
		if !ok || !slices.Contains(k.EnumType.GetValues(), s) {
			return nil, wrong(t, v)
		}
		return primitive(&core.Primitive{Value: &core.Primitive_StringValue{StringValue: s}}), nil
	case *core.LiteralType_Blob:
		uri, err := uri(t, v)
		return scalar(&core.Scalar{Value: &core.Scalar_Blob{Blob: &core.Blob{
			Metadata: &core.BlobMetadata{Type: k.Blob}, Uri: uri,
		}}}), err
	case *core.LiteralType_Schema:
		uri, err := uri(t, v)
		return scalar(&core.Scalar{Value: &core.Scalar_Schema{Schema: &core.Schema{Uri: uri, Type: k.Schema}}}), err
	case *core.LiteralType_StructuredDatasetType:
		uri, err := uri(t, v)
		return scalar(&core.Scalar{Value: &core.Scalar_StructuredDataset{StructuredDataset: &core.StructuredDataset{
			Uri:      uri,
			Metadata: &core.StructuredDatasetMetadata{StructuredDatasetType: k.StructuredDatasetType},
		}}}), err
	default:
		return nil, errors.New("no type is given")
	}
}

func fromSimple(t *core.LiteralType, simple core.SimpleType, v any) (*core.Literal, error) {
	switch simple {
	case core.SimpleType_NONE:
		if v != nil {
			return nil, wrong(t, v)
		}
		return scalar(&core.Scalar{Value: &core.Scalar_NoneType{NoneType: &core.Void{}}}), nil
	case core.SimpleType_INTEGER:
		n, err := integer(t, v)
		return primitive(&core.Primitive{Value: &core.Primitive_Integer{Integer: n}}), err
	case core.SimpleType_FLOAT:
		f, err := float(t, v)
		return primitive(&core.Primitive{Value: &core.Primitive_FloatValue{FloatValue: f}}), err
	case core.SimpleType_STRING:
		s, err := text(t, v)
		return primitive(&core.Primitive{Value: &core.Primitive_StringValue{StringValue: s}}), err
	case core.SimpleType_BOOLEAN:
		b, err := boolean(t, v)
		return primitive(&core.Primitive{Value: &core.Primitive_Boolean{Boolean: b}}), err
	case core.SimpleType_DATETIME:
		at, err := datetime(t, v)
		return Datetime(at), err
	case core.SimpleType_DURATION:
		d, err := duration(t, v)
		return primitive(&core.Primitive{Value: &core.Primitive_Duration{Duration: durationpb.New(d)}}), err
	case core.SimpleType_STRUCT:
		s, err := fromStruct(t, v)
		return scalar(&core.Scalar{Value: &core.Scalar_Generic{Generic: s}}), err
	case core.SimpleType_BINARY:
		b, err := octets(t, v)
		return scalar(&core.Scalar{Value: &core.Scalar_Binary{Binary: &core.Binary{Value: b}}}), err
	default:
		return nil, fmt.Errorf("a value of type %s cannot be written down", TypeName(t))
	}
}

func uri(t *core.LiteralType, v any) (string, error) {
	s, ok := v.(string)
	switch {
	case !ok || s == "":
		return "", fmt.Errorf("%w; give its path or URI", wrong(t, v))
	case !utf8.ValidString(s):
		return "", fmt.Errorf("%s is not valid UTF-8", describe(s))
	}
	return s, nil
}

func fromList(t *core.LiteralType, v any, depth int) (*core.Literal, error) {
	list, ok := fromJSON(v).([]any)
	if !ok {
		return nil, wrong(t, v)
	}
	collection := &core.LiteralCollection{Literals: make([]*core.Literal, len(list))}
	for i, e := range list {
		l, err := fromValue(t.GetCollectionType(), e, depth+1)
		if err != nil {
			return nil, inElement(i, err)
		}
		collection.Literals[i] = l
	}
	return &core.Literal{Value: &core.Literal_Collection{Collection: collection}}, nil
}

func fromMap(t *core.LiteralType, v any, depth int) (*core.Literal, error) {
	m, ok := fromJSON(v).(map[string]any)
	if !ok {
		return nil, wrong(t, v)
	}
	literals := make(map[string]*core.Literal, len(m))
	for _, key := range sortedKeys(m) {
		if !utf8.ValidString(key) {
			return nil, fmt.Errorf("key %q is not valid UTF-8", key)
		}
		l, err := fromValue(t.GetMapValueType(), m[key], depth+1)
		if err != nil {
			return nil, inElement(key, err)
		}
		literals[key] = l
	}
	return &core.Literal{Value: &core.Literal_Map{Map: &core.LiteralMap{Literals: literals}}}, nil
}

// fromJSON decodes v if it is JSON text, and otherwise is v.
func fromJSON(v any) any {
	s, ok := v.(string)
	if !ok {
		return v
	}
	d := json.NewDecoder(strings.NewReader(s))
	d.UseNumber()
	var decoded any
	if err := d.Decode(&decoded); err != nil {
		return v
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return v
	}
	return decoded
}

func fromUnion(t *core.LiteralType, v any, depth int) (*core.Literal, error) {
	for _, written := range []bool{true, false} {
		for _, variant := range t.GetUnionType().GetVariants() {
			if writtenAs(variant, v) != written {
				continue
			}
			if l, err := fromValue(variant, v, depth+1); err == nil {
				return scalar(&core.Scalar{Value: &core.Scalar_Union{Union: &core.Union{Value: l, Type: variant}}}), nil
			}
		}
	}
	return nil, wrong(t, v)
}

// writtenAs says that v has the form in which values of t are usually written.
func writtenAs(t *core.LiteralType, v any) bool {
	_, isInt := signed(v)
	_, isUint := unsigned(v)
	var form any
	switch v := v.(type) {
	case nil:
		form = core.SimpleType_NONE
	case bool:
		form = core.SimpleType_BOOLEAN
	case string:
		form = core.SimpleType_STRING
	case time.Time:
		form = core.SimpleType_DATETIME
	case time.Duration:
		form = core.SimpleType_DURATION
	case float32, float64:
		form = core.SimpleType_FLOAT
	case json.Number:
		isInt = !strings.ContainsAny(v.String(), ".eE")
		form = core.SimpleType_FLOAT
	case []any:
		return t.GetCollectionType() != nil
	case map[string]any:
		return t.GetMapValueType() != nil || t.GetSimple() == core.SimpleType_STRUCT
	}
	if isInt || isUint {
		form = core.SimpleType_INTEGER
	}
	simple, ok := t.GetType().(*core.LiteralType_Simple)
	return ok && form == simple.Simple
}
