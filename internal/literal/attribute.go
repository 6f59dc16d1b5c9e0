package literal

import (
	"errors"
	"fmt"
	"slices"
	"strconv"

	"tminus.dev/gen/flyteidl/core"
	"tminus.dev/internal/invalid"
)

// Attribute steps into l along path, as a promise with an attribute path does:
// by index into lists and by name into maps, structs and MessagePack. What it
// finds inside a struct or MessagePack becomes a value of type want; elsewhere
// the literal found is returned as it is.
func Attribute(l *core.Literal, path []*core.PromiseAttribute, want *core.LiteralType) (*core.Literal, error) {
	for i, step := range path {
		for l.GetScalar().GetUnion() != nil {
			l = l.GetScalar().GetUnion().GetValue()
		}
		var err error
		switch {
		case l.GetCollection() != nil:
			var n int
			if n, err = index(step, len(l.GetCollection().GetLiterals())); err == nil {
				l = l.GetCollection().GetLiterals()[n]
			}
		case l.GetMap() != nil:
			var key string
			if key, err = field(step, sortedKeys(l.GetMap().GetLiterals())); err == nil {
				l = l.GetMap().GetLiterals()[key]
			}
		case l.GetScalar().GetGeneric() != nil || l.GetScalar().GetBinary().GetTag() == msgpackTag:
			return inValue(ToValue(l), path[i:], want)
		default:
			err = fmt.Errorf("%s has no attributes", kind(l))
		}
		if err != nil {
			return nil, fmt.Errorf("attribute %s: %w", stepName(step), err)
		}
	}
	return l, nil
}

func inValue(v any, path []*core.PromiseAttribute, want *core.LiteralType) (*core.Literal, error) {
	for _, step := range path {
		var err error
		switch held := v.(type) {
		case []any:
			var n int
			if n, err = index(step, len(held)); err == nil {
				v = held[n]
			}
		case map[string]any:
			var key string
			if key, err = field(step, sortedKeys(held)); err == nil {
				v = held[key]
			}
		default:
			err = fmt.Errorf("%s has no attributes", describe(v))
		}
		if err != nil {
			return nil, fmt.Errorf("attribute %s: %w", stepName(step), err)
		}
	}
	return FromValue(want, v)
}

// index is the place in a list of length n that step asks for.
func index(step *core.PromiseAttribute, n int) (int, error) {
	i, ok := step.GetValue().(*core.PromiseAttribute_IntValue)
	switch {
	case !ok:
		return 0, errors.New("a list is indexed by a number")
	case i.IntValue < 0 || int(i.IntValue) >= n:
		return 0, fmt.Errorf("the list has %d elements", n)
	}
	return int(i.IntValue), nil
}

// field is the one of keys that step asks for.
func field(step *core.PromiseAttribute, keys []string) (string, error) {
	name := fieldName(step)
	switch {
	case slices.Contains(keys, name):
		return name, nil
	case len(keys) == 0:
		return "", errors.New("there are none")
	}
	return "", fmt.Errorf("not found; did you mean %q?", invalid.Nearest(name, keys))
}

// fieldName is the key that step asks for; dicts with numbers for keys have them as text.
func fieldName(step *core.PromiseAttribute) string {
	if i, ok := step.GetValue().(*core.PromiseAttribute_IntValue); ok {
		return strconv.Itoa(int(i.IntValue))
	}
	return step.GetStringValue()
}

func stepName(step *core.PromiseAttribute) string {
	if _, ok := step.GetValue().(*core.PromiseAttribute_IntValue); ok {
		return "[" + fieldName(step) + "]"
	}
	return strconv.Quote(cut(step.GetStringValue(), 64))
}
