package literal

import (
	"errors"
	"fmt"
	"slices"

	"tminus.dev/gen/flyteidl/core"
)

// Match reports why l is not a value of t. A bare value is one of a union when
// it is one of a variant; MessagePack is a struct; a schema and a structured
// dataset stand for each other, and none for either; an empty blob format is any
// format.
func Match(t *core.LiteralType, l *core.Literal) error {
	var m matcher
	return m.match(t, l, 0)
}

type matcher struct{ steps int }

func (m *matcher) match(t *core.LiteralType, l *core.Literal, depth int) error {
	if m.steps++; m.steps > maxSteps {
		return errComplex
	}
	if depth > maxDepth {
		return errDeep
	}
	if l.GetValue() == nil {
		return &mismatchError{t, "no value"}
	}
	if _, ok := l.GetValue().(*core.Literal_OffloadedMetadata); ok {
		return errors.New("an offloaded value cannot be read here; send the value itself")
	}
	ok := false
	switch k := t.GetType().(type) {
	case *core.LiteralType_CollectionType:
		if c := l.GetCollection(); c != nil {
			return m.matchList(k.CollectionType, c.GetLiterals(), depth)
		}
	case *core.LiteralType_MapValueType:
		if c := l.GetMap(); c != nil {
			return m.matchMap(k.MapValueType, c.GetLiterals(), depth)
		}
	case *core.LiteralType_UnionType:
		return m.matchUnion(t, l, depth)
	case *core.LiteralType_Simple:
		return matchSimple(t, l)
	case *core.LiteralType_EnumType:
		if v, isString := l.GetScalar().GetPrimitive().GetValue().(*core.Primitive_StringValue); isString {
			if !slices.Contains(k.EnumType.GetValues(), v.StringValue) {
				return wrong(t, v.StringValue)
			}
			ok = true
		}
	case *core.LiteralType_Blob:
		if b := l.GetScalar().GetBlob(); b != nil {
			ok = sameBlob(b.GetMetadata().GetType(), k.Blob)
		}
	case *core.LiteralType_Schema, *core.LiteralType_StructuredDatasetType:
		s := l.GetScalar()
		ok = s.GetSchema() != nil || s.GetStructuredDataset() != nil || s.GetNoneType() != nil
	default:
		return errors.New("no type is given")
	}
	if !ok {
		return &mismatchError{t, kind(l)}
	}
	return nil
}

func (m *matcher) matchList(t *core.LiteralType, list []*core.Literal, depth int) error {
	for i, e := range list {
		if err := m.match(t, e, depth+1); err != nil {
			return inElement(i, err)
		}
	}
	return nil
}

func (m *matcher) matchMap(t *core.LiteralType, literals map[string]*core.Literal, depth int) error {
	for _, key := range sortedKeys(literals) {
		if err := m.match(t, literals[key], depth+1); err != nil {
			return inElement(key, err)
		}
	}
	return nil
}

// matchUnion takes a Union whose type names a variant, and a bare value.
func (m *matcher) matchUnion(t *core.LiteralType, l *core.Literal, depth int) error {
	value, tag := l, ""
	if u := l.GetScalar().GetUnion(); u != nil {
		value, tag = u.GetValue(), u.GetType().GetStructure().GetTag()
	}
	for _, variant := range t.GetUnionType().GetVariants() {
		if tag != "" && tag != variant.GetStructure().GetTag() {
			continue
		}
		err := m.match(variant, value, depth+1)
		if err == nil || errors.Is(err, errDeep) || errors.Is(err, errComplex) {
			return err
		}
	}
	if tag != "" {
		return &mismatchError{t, fmt.Sprintf("%s tagged %q", kind(value), tag)}
	}
	return &mismatchError{t, kind(value)}
}

func matchSimple(t *core.LiteralType, l *core.Literal) error {
	s := l.GetScalar()
	if got, ok := simpleOf(s); !ok || got != t.GetSimple() {
		return &mismatchError{t, kind(l)}
	}
	if p := s.GetPrimitive(); p != nil {
		return checkPrimitive(p)
	}
	return nil
}

// checkPrimitive refuses instants and durations that protobuf can carry but
// that are none.
func checkPrimitive(p *core.Primitive) error {
	switch v := p.GetValue().(type) {
	case *core.Primitive_Datetime:
		if v.Datetime.CheckValid() != nil {
			return errors.New("the datetime lies outside the years 1 to 9999")
		}
	case *core.Primitive_Duration:
		if v.Duration.CheckValid() != nil {
			return errors.New("the duration is longer than 10,000 years or malformed")
		}
	}
	return nil
}

// simpleOf is the simple type of s, if it has one.
func simpleOf(s *core.Scalar) (core.SimpleType, bool) {
	switch v := s.GetValue().(type) {
	case *core.Scalar_Primitive:
		switch v.Primitive.GetValue().(type) {
		case *core.Primitive_Integer:
			return core.SimpleType_INTEGER, true
		case *core.Primitive_FloatValue:
			return core.SimpleType_FLOAT, true
		case *core.Primitive_StringValue:
			return core.SimpleType_STRING, true
		case *core.Primitive_Boolean:
			return core.SimpleType_BOOLEAN, true
		case *core.Primitive_Datetime:
			return core.SimpleType_DATETIME, true
		case *core.Primitive_Duration:
			return core.SimpleType_DURATION, true
		}
	case *core.Scalar_NoneType:
		return core.SimpleType_NONE, true
	case *core.Scalar_Error:
		return core.SimpleType_ERROR, true
	case *core.Scalar_Generic:
		return core.SimpleType_STRUCT, true
	case *core.Scalar_Binary:
		if v.Binary.GetTag() == msgpackTag {
			return core.SimpleType_STRUCT, true
		}
		return core.SimpleType_BINARY, true
	}
	return 0, false
}

func sameBlob(a, b *core.BlobType) bool {
	return a.GetDimensionality() == b.GetDimensionality() && sameFormat(a.GetFormat(), b.GetFormat())
}

// kind names what l is, for an error.
func kind(l *core.Literal) string {
	switch l.GetValue().(type) {
	case *core.Literal_Collection:
		return "a list"
	case *core.Literal_Map:
		return "a map"
	}
	s := l.GetScalar()
	if simple, ok := simpleOf(s); ok {
		return simpleNames[simple]
	}
	switch v := s.GetValue().(type) {
	case *core.Scalar_Blob:
		return TypeName(&core.LiteralType{Type: &core.LiteralType_Blob{Blob: v.Blob.GetMetadata().GetType()}})
	case *core.Scalar_Schema:
		return "schema"
	case *core.Scalar_StructuredDataset:
		return "structured_dataset"
	case *core.Scalar_Union:
		return "a union"
	default:
		return "no value"
	}
}
