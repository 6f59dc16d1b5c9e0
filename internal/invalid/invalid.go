// Package invalid is how the pure packages say that a client sent something
// that cannot be: always the field, as the client knows it, and the problem.
// The server answers it as InvalidArgument.
package invalid

import "fmt"

// Error says which field is wrong, and how.
type Error struct {
	// Field is a path as in the wire format, such as "spec.default_inputs.parameters[city]".
	Field string
	// Problem says what is wrong with it and, where that is not plain, what would be right.
	Problem string
}

func (e *Error) Error() string { return e.Field + ": " + e.Problem }

// Field makes an *Error whose problem is formatted as by fmt.Sprintf.
func Field(field, format string, args ...any) error {
	return &Error{Field: field, Problem: fmt.Sprintf(format, args...)}
}
