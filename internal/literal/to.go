package literal

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/structpb"

	"tminus.dev/gen/flyteidl/core"
)

// elided stands for what lies deeper than maxDepth.
const elided = "…"

// ToValue is l as a value that encoding/json can write: times are RFC 3339 in
// UTC and durations as [time.Duration] writes them; files, schemas and datasets
// are their URIs; bytes are base64 unless they are MessagePack, as flytekit
// writes dataclasses; none is nil. What FromValue made of the same type it reads
// back to an equal literal.
func ToValue(l *core.Literal) any { return toValue(l, 0) }

func toValue(l *core.Literal, depth int) any {
	if depth > maxDepth {
		return elided
	}
	switch v := l.GetValue().(type) {
	case *core.Literal_Scalar:
		return scalarValue(v.Scalar, depth)
	case *core.Literal_Collection:
		list := make([]any, len(v.Collection.GetLiterals()))
		for i, e := range v.Collection.GetLiterals() {
			list[i] = toValue(e, depth+1)
		}
		return list
	case *core.Literal_Map:
		m := make(map[string]any, len(v.Map.GetLiterals()))
		for key, e := range v.Map.GetLiterals() {
			m[key] = toValue(e, depth+1)
		}
		return m
	case *core.Literal_OffloadedMetadata:
		return v.OffloadedMetadata.GetUri()
	default:
		return nil
	}
}

func scalarValue(s *core.Scalar, depth int) any {
	switch v := s.GetValue().(type) {
	case *core.Scalar_Primitive:
		return primitiveValue(v.Primitive)
	case *core.Scalar_Blob:
		return v.Blob.GetUri()
	case *core.Scalar_Schema:
		return v.Schema.GetUri()
	case *core.Scalar_StructuredDataset:
		return v.StructuredDataset.GetUri()
	case *core.Scalar_Binary:
		return binaryValue(v.Binary)
	case *core.Scalar_Error:
		return v.Error.GetMessage()
	case *core.Scalar_Generic:
		return structToValue(structpb.NewStructValue(v.Generic), depth)
	case *core.Scalar_Union:
		return toValue(v.Union.GetValue(), depth+1)
	default:
		return nil
	}
}

func primitiveValue(p *core.Primitive) any {
	switch v := p.GetValue().(type) {
	case *core.Primitive_Integer:
		return v.Integer
	case *core.Primitive_FloatValue:
		if math.IsNaN(v.FloatValue) || math.IsInf(v.FloatValue, 0) { // JSON has no such numbers.
			return fmt.Sprint(v.FloatValue)
		}
		return v.FloatValue
	case *core.Primitive_StringValue:
		return v.StringValue
	case *core.Primitive_Boolean:
		return v.Boolean
	case *core.Primitive_Datetime:
		return v.Datetime.AsTime().Format(time.RFC3339Nano)
	case *core.Primitive_Duration:
		return v.Duration.AsDuration().String()
	default:
		return nil
	}
}

func binaryValue(b *core.Binary) any {
	if b.GetTag() == msgpackTag {
		if v, err := decodeMsgpack(b.GetValue()); err == nil {
			return v
		}
	}
	return base64.StdEncoding.EncodeToString(b.GetValue())
}

// structToValue is structpb's AsInterface with a bound on the depth.
func structToValue(v *structpb.Value, depth int) any {
	if depth > maxDepth {
		return elided
	}
	switch k := v.GetKind().(type) {
	case *structpb.Value_StructValue:
		m := make(map[string]any, len(k.StructValue.GetFields()))
		for key, e := range k.StructValue.GetFields() {
			m[key] = structToValue(e, depth+1)
		}
		return m
	case *structpb.Value_ListValue:
		list := make([]any, len(k.ListValue.GetValues()))
		for i, e := range k.ListValue.GetValues() {
			list[i] = structToValue(e, depth+1)
		}
		return list
	default:
		return v.AsInterface()
	}
}

// Text is l as it stands in a command line in place of {{.inputs.NAME}}, as
// Flyte writes it: plain text for primitives, with times in RFC 3339 in UTC and
// fractions of a second only where there are some; [a,b] for lists; the URI of
// files, schemas and datasets; JSON for maps and structs; nothing for none.
func Text(l *core.Literal) string { return textOf(l, 0) }

func textOf(l *core.Literal, depth int) string {
	if depth > maxDepth {
		return elided
	}
	if u := l.GetScalar().GetUnion(); u != nil {
		return textOf(u.GetValue(), depth+1)
	}
	if c := l.GetCollection(); c != nil {
		parts := make([]string, len(c.GetLiterals()))
		for i, e := range c.GetLiterals() {
			parts[i] = textOf(e, depth+1)
		}
		return "[" + strings.Join(parts, ",") + "]"
	}
	switch v := toValue(l, depth).(type) {
	case nil:
		return ""
	case string:
		return v
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64)
	case int64, bool:
		return fmt.Sprint(v)
	default:
		return jsonText(v)
	}
}

func jsonText(v any) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // A command line is no page: < stays <.
	if err := e.Encode(v); err != nil {
		return fmt.Sprint(v)
	}
	return strings.TrimSuffix(b.String(), "\n")
}
