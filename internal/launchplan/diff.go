package launchplan

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Diff says where what is registered and what was sent first differ, by field
// number and then by key or index, with both values:
//
//	template.container.args[1]: registered "a", sent "b"
//
// It returns "" for equal messages. Long values are cut short.
func Diff(registered, sent proto.Message) string {
	if proto.Equal(registered, sent) {
		return ""
	}
	a, b := registered.ProtoReflect(), sent.ProtoReflect()
	if a.Descriptor() != b.Descriptor() {
		return fmt.Sprintf("registered a %s, sent a %s", a.Descriptor().Name(), b.Descriptor().Name())
	}
	if d := diffMessages("", a, b); d != "" {
		return d
	}
	return "they differ in fields that are unknown here"
}

func diffMessages(path string, a, b protoreflect.Message) string {
	fields := a.Descriptor().Fields()
	order := make([]protoreflect.FieldDescriptor, fields.Len())
	for i := range order {
		order[i] = fields.Get(i)
	}
	slices.SortFunc(order, func(x, y protoreflect.FieldDescriptor) int { return cmp.Compare(x.Number(), y.Number()) })
	for _, f := range order {
		at := strings.TrimPrefix(path+"."+string(f.Name()), ".")
		if d := diffField(at, f, a, b); d != "" {
			return d
		}
	}
	if !bytes.Equal(a.GetUnknown(), b.GetUnknown()) {
		return cmp.Or(path, "the message") + ": differs in fields that are unknown here"
	}
	return ""
}

func diffField(path string, f protoreflect.FieldDescriptor, a, b protoreflect.Message) string {
	if a.Has(f) != b.Has(f) {
		return found(path, show(f, a), show(f, b))
	}
	if !a.Has(f) {
		return ""
	}
	x, y := a.Get(f), b.Get(f)
	switch {
	case f.IsMap():
		return diffMaps(path, f.MapValue(), x.Map(), y.Map())
	case f.IsList():
		return diffLists(path, f, x.List(), y.List())
	default:
		return diffValues(path, f, x, y)
	}
}

func diffMaps(path string, f protoreflect.FieldDescriptor, a, b protoreflect.Map) string {
	byText := map[string]protoreflect.MapKey{}
	for _, m := range []protoreflect.Map{a, b} {
		m.Range(func(k protoreflect.MapKey, _ protoreflect.Value) bool {
			byText[k.String()] = k
			return true
		})
	}
	for _, text := range sortedKeys(byText) {
		k, at := byText[text], path+"["+text+"]"
		switch {
		case !a.Has(k):
			return found(at, "nothing", showValue(f, b.Get(k)))
		case !b.Has(k):
			return found(at, showValue(f, a.Get(k)), "nothing")
		}
		if d := diffValues(at, f, a.Get(k), b.Get(k)); d != "" {
			return d
		}
	}
	return ""
}

func diffLists(path string, f protoreflect.FieldDescriptor, a, b protoreflect.List) string {
	for i := range max(a.Len(), b.Len()) {
		at := path + "[" + strconv.Itoa(i) + "]"
		switch {
		case i >= a.Len():
			return found(at, "nothing", showValue(f, b.Get(i)))
		case i >= b.Len():
			return found(at, showValue(f, a.Get(i)), "nothing")
		}
		if d := diffValues(at, f, a.Get(i), b.Get(i)); d != "" {
			return d
		}
	}
	return ""
}

func diffValues(path string, f protoreflect.FieldDescriptor, a, b protoreflect.Value) string {
	if f.Message() != nil {
		return diffMessages(path, a.Message(), b.Message())
	}
	if a.Equal(b) {
		return ""
	}
	return found(path, showValue(f, a), showValue(f, b))
}

func found(path, registered, sent string) string {
	return path + ": registered " + registered + ", sent " + sent
}

// show is field f of m, for people.
func show(f protoreflect.FieldDescriptor, m protoreflect.Message) string {
	v := m.Get(f)
	switch {
	case !m.Has(f) && (f.HasPresence() || f.IsList() || f.IsMap()):
		return "nothing"
	case f.IsMap():
		return counted(v.Map().Len(), "entry", "entries")
	case f.IsList():
		return counted(v.List().Len(), "entry", "entries")
	default:
		return showValue(f, v)
	}
}

func counted(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + many
}

// maxShown is how much of a value is shown, in bytes.
const maxShown = 80

func showValue(f protoreflect.FieldDescriptor, v protoreflect.Value) string {
	var s string
	switch {
	case f.Enum() != nil:
		if known := f.Enum().Values().ByNumber(v.Enum()); known != nil {
			return string(known.Name())
		}
		return strconv.Itoa(int(v.Enum()))
	case f.Message() != nil:
		// Prototext varies its blanks on purpose, so that nobody relies on them.
		text := strings.Join(strings.Fields(prototext.MarshalOptions{}.Format(v.Message().Interface())), " ")
		s = "{" + text + "}"
	case f.Kind() == protoreflect.BytesKind:
		return counted(len(v.Bytes()), "byte", "bytes")
	case f.Kind() == protoreflect.StringKind:
		s = strconv.Quote(v.String())
	default:
		s = v.String()
	}
	if len(s) <= maxShown {
		return s
	}
	end := maxShown
	for !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + "…"
}
