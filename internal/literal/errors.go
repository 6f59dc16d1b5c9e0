package literal

import (
	"errors"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

	"tminus.dev/gen/flyteidl/core"
)

var (
	errDeep    = fmt.Errorf("nested more than %d levels deep", maxDepth)
	errComplex = errors.New("too complex to be compared; use a type with fewer variants")
)

// mismatchError says that something else was there than the type wanted. It is
// put into words only when it is told: the variants of a union make many that
// are not.
type mismatchError struct {
	want *core.LiteralType
	got  string
}

func (e *mismatchError) Error() string { return "want " + TypeName(e.want) + ", got " + e.got }

// wrong says that v is no value of t.
func wrong(t *core.LiteralType, v any) error { return &mismatchError{t, describe(v)} }

// elementError says in which element of a list or map something is wrong.
type elementError struct {
	at  any
	err error
}

func (e *elementError) Error() string { return fmt.Sprintf("[%v]: %v", e.at, e.err) }
func (e *elementError) Unwrap() error { return e.err }

func inElement[T int | string](at T, err error) error { return &elementError{at, err} }

// describe shows v in an error.
func describe(v any) string {
	const most = 64
	switch v := v.(type) {
	case nil:
		return "nothing"
	case string:
		return strconv.Quote(cut(v, most))
	case []any:
		return "a list"
	case map[string]any:
		return "a map"
	case []byte:
		return "bytes"
	case time.Time:
		return v.Format(time.RFC3339Nano)
	default:
		return cut(fmt.Sprint(v), most)
	}
}

// cut is s, or its beginning of about most bytes.
func cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	for most > 0 && !utf8.RuneStart(s[most]) {
		most--
	}
	return s[:most] + "…"
}
