package relational

import (
	"fmt"
	"time"
)

// micros is an instant as the database keeps it.
func micros(t time.Time) int64 { return t.UnixMicro() }

// optional is micros for a column that is NULL while there is no such time.
func optional(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UnixMicro()
}

// instant reads an instant into a time; NULL is the zero time.
type instant struct{ *time.Time }

// Scan implements sql.Scanner.
func (i instant) Scan(value any) error {
	switch v := value.(type) {
	case nil:
		*i.Time = time.Time{}
	case int64:
		*i.Time = time.UnixMicro(v).UTC()
	default:
		return fmt.Errorf("%T is no time", value)
	}
	return nil
}

// flag is a truth as the database keeps it.
func flag(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// blob makes no bytes and empty bytes the same, NULL.
func blob(b []byte) any {
	if len(b) == 0 {
		return nil
	}
	return b
}
