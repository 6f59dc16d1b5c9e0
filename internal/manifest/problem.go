package manifest

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"tminus.dev/internal/invalid"
)

// A Position is a place in a manifest. Line and Column count from 1; zero
// means that only the file is known.
type Position struct {
	File   string `json:"file"`
	Line   int    `json:"line,omitempty"`
	Column int    `json:"column,omitempty"`
}

// String is file:line:column, as compilers and editors write it.
func (p Position) String() string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
}

// A Problem is one thing that is wrong with a manifest.
type Problem struct {
	Position
	// Key is the path of the key, such as workflow.nodes[1].command; empty for
	// a document or file as a whole.
	Key string `json:"key,omitempty"`
	// Message says what is wrong and, where that is not plain, what would be right.
	Message string `json:"message"`
}

// String is the problem on one line.
func (p Problem) String() string {
	at := p.Position.String()
	if p.Key != "" {
		at += ": " + p.Key
	}
	return at + ": " + p.Message
}

// A ProblemsError is everything that is wrong with a manifest, in the order of its lines.
type ProblemsError []Problem

// Error is the problems, one a line.
func (e ProblemsError) Error() string {
	lines := make([]string, len(e))
	for i, p := range e {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// problemsError is nil if there are no problems.
func problemsError(p []Problem) error {
	if len(p) == 0 {
		return nil
	}
	slices.SortStableFunc(p, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return ProblemsError(p)
}

// source knows where the keys of one document stand, and collects its problems.
type source struct {
	Position
	// at has the place of each key's value by the key's path.
	at map[string]Position
	// inset is how far behind that place the value's text begins, for the
	// values that stand there as they are.
	inset map[string]int
	// nodes has the key of each node by its id.
	nodes    map[string]string
	problems []Problem
}

// find is where the value of key stands or, if it is not in the document, what
// would hold it.
func (s *source) find(key string) Position {
	for {
		if at, ok := s.at[key]; ok {
			return at
		}
		i := strings.LastIndexAny(key, ".[")
		if i < 0 {
			return s.Position
		}
		key = key[:i]
	}
}

func (s *source) problem(key, format string, args ...any) {
	s.problems = append(s.problems, Problem{Position: s.find(key), Key: key, Message: fmt.Sprintf(format, args...)})
}

// invalid reports an error of the pure packages, whose field is left out: key is what it is called here.
func (s *source) invalid(key string, err error) {
	if err == nil {
		return
	}
	if field, ok := errors.AsType[*invalid.Error](err); ok {
		s.problem(key, "%s", field.Problem)
		return
	}
	s.problem(key, "%v", err)
}
