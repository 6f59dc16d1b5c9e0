package store

import (
	"errors"

	"tminus.dev/internal/ident"
)

// ErrTaken says that an execution is not the runner's that would record its progress.
var ErrTaken = errors.New("another runner has taken it over")

// Held is an execution in progress that a runner has.
type Held struct {
	ident.Key
	Phase Phase
}
