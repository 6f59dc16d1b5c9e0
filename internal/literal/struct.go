package literal

import (
	"fmt"
	"math"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/structpb"

	"tminus.dev/gen/flyteidl/core"
)

func fromStruct(t *core.LiteralType, v any) (*structpb.Struct, error) {
	m, ok := fromJSON(v).(map[string]any)
	if !ok {
		return nil, wrong(t, v)
	}
	s, err := structValue(m, 0)
	return s.GetStructValue(), err
}

// structValue takes integers only as far as a struct's numbers, which are
// floats, hold them exactly.
func structValue(v any, depth int) (*structpb.Value, error) {
	if depth > maxDepth {
		return nil, errDeep
	}
	switch v := v.(type) {
	case nil:
		return structpb.NewNullValue(), nil
	case bool:
		return structpb.NewBoolValue(v), nil
	case string:
		if !utf8.ValidString(v) {
			return nil, fmt.Errorf("%s is not valid UTF-8", describe(v))
		}
		return structpb.NewStringValue(v), nil
	case time.Time:
		return structpb.NewStringValue(v.Format(time.RFC3339Nano)), nil
	case []any:
		list := &structpb.ListValue{Values: make([]*structpb.Value, len(v))}
		for i, e := range v {
			value, err := structValue(e, depth+1)
			if err != nil {
				return nil, inElement(i, err)
			}
			list.Values[i] = value
		}
		return structpb.NewListValue(list), nil
	case map[string]any:
		fields := make(map[string]*structpb.Value, len(v))
		for _, key := range sortedKeys(v) {
			if !utf8.ValidString(key) {
				return nil, fmt.Errorf("key %q is not valid UTF-8", key)
			}
			value, err := structValue(v[key], depth+1)
			if err != nil {
				return nil, inElement(key, err)
			}
			fields[key] = value
		}
		return structpb.NewStructValue(&structpb.Struct{Fields: fields}), nil
	}
	f, err := float(simpleType(core.SimpleType_STRUCT), v)
	switch {
	case err != nil:
		return nil, err
	case math.IsNaN(f) || math.IsInf(f, 0):
		return nil, fmt.Errorf("a struct cannot hold %v", f)
	}
	if i, err := integer(nil, v); err == nil {
		if j, err := integral(f); err != nil || i != j {
			return nil, fmt.Errorf("%d is too large for a struct's numbers; put it in quotes", i)
		}
	}
	return structpb.NewNumberValue(f), nil
}
