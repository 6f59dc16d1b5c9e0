// Package wiretest holds tminus's wire against the reference, Flyte's own published .proto files.
//
// tminus writes its .proto files itself. This package keeps them honest: a field with a wrong
// number or type would not fail to compile, it would lose a user's data.
package wiretest

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
)

// Difference is one way in which a declaration departs from the reference.
type Difference struct {
	// Name of the declaration, for example flyteidl.admin.FixedRate.value.
	Name protoreflect.FullName
	// Aspect that differs, for example "number".
	Aspect string
	// Ours and Reference are the two values. Empty means that the declaration lacks the aspect, or
	// that the side lacks the declaration.
	Ours, Reference string
}

// String returns the difference as one readable line.
func (d Difference) String() string {
	return fmt.Sprintf("%s: %s is %s, in the reference %s", d.Name, d.Aspect, orNone(d.Ours), orNone(d.Reference))
}

func orNone(s string) string {
	if s == "" {
		return "absent"
	}
	return s
}

// Compare returns the differences between files and the reference, in the order of files' own
// declarations; none means that the two are the same on the wire, in JSON and over HTTP.
//
// Messages and enums are compared whole, so a field that only the reference has is a difference.
// Which messages, enums, services and methods are declared at all is files' own choice. The error
// is for options that cannot be decoded.
func Compare(files []protoreflect.FileDescriptor, reference protodesc.Resolver) ([]Difference, error) {
	c := comparison{reference: reference}
	for _, file := range files {
		c.messages(file.Messages())
		c.enums(file.Enums())
		for i := range file.Services().Len() {
			match(&c, file.Services().Get(i), c.service)
		}
	}
	return c.differences, errors.Join(c.errs...)
}

type comparison struct {
	reference   protodesc.Resolver
	differences []Difference
	errs        []error
}

// match calls compare with the reference's declaration of the same name and kind, if it has one.
func match[D protoreflect.Descriptor](c *comparison, ours D, compare func(ours, theirs D)) {
	found, err := c.reference.FindDescriptorByName(ours.FullName())
	if err != nil && !errors.Is(err, protoregistry.NotFound) {
		c.errs = append(c.errs, fmt.Errorf("find %s in the reference: %w", ours.FullName(), err))
	}
	theirs, ok := found.(D)
	if !ok {
		c.differ(ours, "declaration", "present", "")
		return
	}
	c.differ(ours, "file", ours.ParentFile().Path(), theirs.ParentFile().Path())
	compare(ours, theirs)
}

// differ records a difference if ours is not theirs.
func (c *comparison) differ(d protoreflect.Descriptor, aspect, ours, theirs string) {
	if ours != theirs {
		c.differences = append(c.differences, Difference{Name: d.FullName(), Aspect: aspect, Ours: ours, Reference: theirs})
	}
}

// missing records a declaration that only the reference has.
func (c *comparison) missing(d protoreflect.Descriptor) {
	c.differ(d, "declaration", "", "present")
}

func (c *comparison) messages(messages protoreflect.MessageDescriptors) {
	for i := range messages.Len() {
		match(c, messages.Get(i), c.message)
	}
}

func (c *comparison) enums(enums protoreflect.EnumDescriptors) {
	for i := range enums.Len() {
		match(c, enums.Get(i), c.enum)
	}
}

func (c *comparison) message(ours, theirs protoreflect.MessageDescriptor) {
	c.differ(ours, "deprecated", deprecated(ours), deprecated(theirs))
	c.differ(ours, "reserved numbers", reserved(ours), reserved(theirs))
	for i := range ours.Fields().Len() {
		field := ours.Fields().Get(i)
		if same := theirs.Fields().ByName(field.Name()); same != nil {
			c.field(field, same)
		} else if other := theirs.Fields().ByNumber(field.Number()); other != nil {
			c.differ(field, "name of number "+decimal(field.Number()), string(field.Name()), string(other.Name()))
		} else {
			c.differ(field, "declaration", "present", "")
		}
	}
	for i := range theirs.Fields().Len() {
		field := theirs.Fields().Get(i)
		if ours.Fields().ByName(field.Name()) == nil && ours.Fields().ByNumber(field.Number()) == nil {
			c.missing(field)
		}
	}
	c.messages(ours.Messages())
	c.enums(ours.Enums())
}

func (c *comparison) field(ours, theirs protoreflect.FieldDescriptor) {
	c.differ(ours, "number", decimal(ours.Number()), decimal(theirs.Number()))
	c.differ(ours, "type", fieldType(ours), fieldType(theirs))
	c.differ(ours, "oneof", oneof(ours), oneof(theirs))
	c.differ(ours, "presence", strconv.FormatBool(ours.HasPresence()), strconv.FormatBool(theirs.HasPresence()))
	c.differ(ours, "packed", strconv.FormatBool(ours.IsPacked()), strconv.FormatBool(theirs.IsPacked()))
	c.differ(ours, "JSON name", ours.JSONName(), theirs.JSONName())
	c.differ(ours, "deprecated", deprecated(ours), deprecated(theirs))
}

func (c *comparison) enum(ours, theirs protoreflect.EnumDescriptor) {
	c.differ(ours, "reserved numbers", reservedValues(ours), reservedValues(theirs))
	for i := range ours.Values().Len() {
		value := ours.Values().Get(i)
		if same := theirs.Values().ByName(value.Name()); same != nil {
			c.differ(value, "number", decimal(value.Number()), decimal(same.Number()))
		} else if other := theirs.Values().ByNumber(value.Number()); other != nil {
			c.differ(value, "name of number "+decimal(value.Number()), string(value.Name()), string(other.Name()))
		} else {
			c.differ(value, "declaration", "present", "")
		}
	}
	for i := range theirs.Values().Len() {
		value := theirs.Values().Get(i)
		if ours.Values().ByName(value.Name()) == nil && ours.Values().ByNumber(value.Number()) == nil {
			c.missing(value)
		}
	}
}

func (c *comparison) service(ours, theirs protoreflect.ServiceDescriptor) {
	for i := range ours.Methods().Len() {
		method := ours.Methods().Get(i)
		same := theirs.Methods().ByName(method.Name())
		if same == nil {
			c.differ(method, "declaration", "present", "")
			continue
		}
		c.differ(method, "request", message(method.Input(), method.IsStreamingClient()), message(same.Input(), same.IsStreamingClient()))
		c.differ(method, "response", message(method.Output(), method.IsStreamingServer()), message(same.Output(), same.IsStreamingServer()))
		c.differ(method, "deprecated", deprecated(method), deprecated(same))
		c.differ(method, "HTTP rule", c.httpRule(method), c.httpRule(same))
	}
}

// httpRule returns the method's google.api.http annotation as JSON.
func (c *comparison) httpRule(method protoreflect.MethodDescriptor) string {
	// Decoded anew, because a compiler leaves the annotation in a dynamic message or as unknown bytes.
	var options descriptorpb.MethodOptions
	b, err := proto.Marshal(method.Options())
	if err == nil {
		err = proto.Unmarshal(b, &options)
	}
	if err != nil {
		c.errs = append(c.errs, fmt.Errorf("decode the options of %s: %w", method.FullName(), err))
		return ""
	}
	rule, ok := proto.GetExtension(&options, annotations.E_Http).(*annotations.HttpRule)
	if !ok || rule == nil {
		return ""
	}
	// protojson varies its spacing from build to build, but not within one.
	return protojson.Format(rule)
}

// fieldType returns the type as a .proto file spells it, with full names.
func fieldType(field protoreflect.FieldDescriptor) string {
	if field.IsMap() {
		return fmt.Sprintf("map<%s, %s>", fieldType(field.MapKey()), fieldType(field.MapValue()))
	}
	name := field.Kind().String()
	if d := field.Message(); d != nil {
		name = string(d.FullName())
	} else if d := field.Enum(); d != nil {
		name = string(d.FullName())
	}
	if field.IsList() {
		return "repeated " + name
	}
	return name
}

func message(d protoreflect.MessageDescriptor, stream bool) string {
	if stream {
		return "stream " + string(d.FullName())
	}
	return string(d.FullName())
}

func oneof(field protoreflect.FieldDescriptor) string {
	if o := field.ContainingOneof(); o != nil {
		return string(o.Name())
	}
	return ""
}

func deprecated(d protoreflect.Descriptor) string {
	options, ok := d.Options().(interface{ GetDeprecated() bool })
	return strconv.FormatBool(ok && options.GetDeprecated())
}

// reserved returns the reserved field numbers in order, for example "1, 2".
func reserved(d protoreflect.MessageDescriptor) string {
	var numbers []protoreflect.FieldNumber
	for i := range d.ReservedRanges().Len() {
		r := d.ReservedRanges().Get(i)
		for n := r[0]; n < r[1]; n++ { // The end is exclusive.
			numbers = append(numbers, n)
		}
	}
	return list(numbers)
}

// reservedValues returns the reserved enum numbers in order, for example "3, 4".
func reservedValues(d protoreflect.EnumDescriptor) string {
	var numbers []protoreflect.EnumNumber
	for i := range d.ReservedRanges().Len() {
		r := d.ReservedRanges().Get(i)
		for n := r[0]; n <= r[1]; n++ { // The end is inclusive, unlike a message's.
			numbers = append(numbers, n)
		}
	}
	return list(numbers)
}

func list[N ~int32](numbers []N) string {
	slices.SortFunc(numbers, cmp.Compare[N])
	var s []string
	for _, n := range numbers {
		s = append(s, decimal(n))
	}
	return strings.Join(s, ", ")
}

func decimal[N ~int32](n N) string {
	return strconv.FormatInt(int64(n), 10)
}
