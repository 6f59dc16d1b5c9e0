// Package literal is Flyte's values and types: it reads them from what people
// write, writes them for people and programs to read, and says whether a value
// is of a type. It has no clock and does no I/O.
//
// Its errors say what is wrong with a value but not where the value stands in
// a request; callers that know the field put it before them.
package literal

import (
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"tminus.dev/gen/flyteidl/core"
)

// maxDepth bounds how deep values nest, and maxTypeDepth types. Deeper ones
// come from a mistake or an attack; none is walked to its end.
const (
	maxDepth     = 64
	maxTypeDepth = 32
)

// maxSteps bounds the work of one comparison. A union of unions is compared
// variant by variant, which would otherwise take minutes in the worst case.
const maxSteps = 1 << 21

// Datetime is the literal of an instant.
func Datetime(t time.Time) *core.Literal {
	return primitive(&core.Primitive{Value: &core.Primitive_Datetime{Datetime: timestamppb.New(t)}})
}

func primitive(p *core.Primitive) *core.Literal {
	return scalar(&core.Scalar{Value: &core.Scalar_Primitive{Primitive: p}})
}

func scalar(s *core.Scalar) *core.Literal {
	return &core.Literal{Value: &core.Literal_Scalar{Scalar: s}}
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
