package literal

import (
	"errors"
	"fmt"
	"strings"

	"google.golang.org/protobuf/proto"

	"tminus.dev/gen/flyteidl/core"
)

// Castable reports why a value of type from cannot be bound to a variable of
// type to. The rules are those of Flyte's compiler: a type fits itself; an enum
// fits a string and a string an enum; lists and maps fit by their elements, and
// those of none fit all; a schema fits a structured dataset and the reverse, if
// no two formats contradict; a value fits a union of which it fits exactly one
// variant, and a union fits another if each of its variants fits one. An integer
// does not fit a float. Unlike in Flyte, an empty blob format fits every other,
// and the columns of datasets are left to the task.
func Castable(from, to *core.LiteralType) error {
	var c caster
	switch ok := c.cast(from, to, 0); {
	case c.err != nil:
		return c.err
	case ok:
		return nil
	case c.ambiguous != "":
		return errors.New(c.ambiguous)
	}
	if a, b := TypeName(from), TypeName(to); a != b {
		return fmt.Errorf("%s cannot be bound to %s", a, b)
	}
	return fmt.Errorf("%s tagged %q cannot be bound to the same tagged %q",
		TypeName(from), from.GetStructure().GetTag(), to.GetStructure().GetTag())
}

type caster struct {
	steps int
	// err ends the comparison.
	err error
	// ambiguous tells of the last value that fits more than one variant of a union.
	ambiguous string
}

func (c *caster) cast(from, to *core.LiteralType, depth int) bool {
	if c.steps++; c.steps > maxSteps {
		c.err = errComplex
	}
	if depth > maxDepth {
		c.err = errDeep
	}
	if c.err != nil {
		return false
	}
	if to.GetUnionType() != nil {
		return c.castToUnion(from, to, depth)
	}
	if variants := from.GetUnionType().GetVariants(); len(variants) == 1 {
		return c.cast(variants[0], to, depth+1)
	}
	switch k := to.GetType().(type) {
	case *core.LiteralType_CollectionType:
		element := from.GetCollectionType()
		return element != nil && (isNone(element) || c.cast(element, k.CollectionType, depth+1))
	case *core.LiteralType_MapValueType:
		value := from.GetMapValueType()
		return value != nil && (isNone(value) || c.cast(value, k.MapValueType, depth+1))
	case *core.LiteralType_Schema:
		return isTable(from) && sameFormat(tableFormat(from), "parquet")
	case *core.LiteralType_StructuredDatasetType:
		return isNone(from) || isTable(from) && sameFormat(tableFormat(from), k.StructuredDatasetType.GetFormat())
	default:
		return castPlain(from, to)
	}
}

func (c *caster) castToUnion(from, to *core.LiteralType, depth int) bool {
	if variants := from.GetUnionType().GetVariants(); len(variants) > 0 {
		for _, variant := range variants {
			if c.fitting(variant, to, depth) == 0 {
				return false
			}
		}
		return true
	}
	switch c.fitting(from, to, depth) {
	case 0:
		return false
	case 1:
		return true
	default:
		c.ambiguous = TypeName(from) + " fits more than one variant of " + TypeName(to)
		return false
	}
}

// fitting counts the variants of to that from fits.
func (c *caster) fitting(from, to *core.LiteralType, depth int) int {
	n := 0
	for _, variant := range to.GetUnionType().GetVariants() {
		if c.cast(from, variant, depth+1) {
			n++
		}
	}
	return n
}

// castPlain compares types without parts.
func castPlain(from, to *core.LiteralType) bool {
	if from.GetEnumType() != nil && isString(to) || isString(from) && to.GetEnumType() != nil {
		return true
	}
	if tag := from.GetStructure().GetTag(); tag != "" && tag != to.GetStructure().GetTag() {
		return false
	}
	switch k := to.GetType().(type) {
	case *core.LiteralType_Simple:
		simple, ok := from.GetType().(*core.LiteralType_Simple)
		return ok && simple.Simple == k.Simple
	case *core.LiteralType_Blob:
		return from.GetBlob() != nil && sameBlob(from.GetBlob(), k.Blob)
	case *core.LiteralType_EnumType:
		return proto.Equal(from.GetEnumType(), k.EnumType)
	default:
		return false
	}
}

func isString(t *core.LiteralType) bool {
	s, ok := t.GetType().(*core.LiteralType_Simple)
	return ok && s.Simple == core.SimpleType_STRING
}

func isTable(t *core.LiteralType) bool {
	switch t.GetType().(type) {
	case *core.LiteralType_Schema, *core.LiteralType_StructuredDatasetType:
		return true
	default:
		return false
	}
}

// tableFormat is the format in which a table is kept; a schema's is always Parquet.
func tableFormat(t *core.LiteralType) string {
	if _, ok := t.GetType().(*core.LiteralType_Schema); ok {
		return "parquet"
	}
	return t.GetStructuredDatasetType().GetFormat()
}

func sameFormat(a, b string) bool {
	return a == "" || b == "" || strings.EqualFold(a, b)
}
