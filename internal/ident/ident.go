// Package ident names things the way Flyte does: by project, domain and name,
// and by version where a thing is registered in versions.
package ident

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"tminus.dev/internal/invalid"
)

// Key names an entity apart from its versions, and an execution.
type Key struct {
	Project, Domain, Name string
}

// ID names one registered version of a task, workflow or launch plan.
type ID struct {
	Key
	Version string
}

// String is project/domain/name; no part can hold a slash, so it reads back.
func (k Key) String() string { return k.Project + "/" + k.Domain + "/" + k.Name }

// String is project/domain/name@version.
func (id ID) String() string { return id.Key.String() + "@" + id.Version }

// maxName bounds projects, domains, names and versions, in bytes. It is the
// length of the columns in which flyteadmin keeps them.
const maxName = 255

// maxExecutionName is the longest name Kubernetes takes for an object, which
// is what an execution becomes on a real Flyte.
const maxExecutionName = 63

// Validate reports the first part of k that cannot be a name, as an *invalid.Error
// whose Field is prefix joined with the part's name.
func (k Key) Validate(prefix string) error {
	for _, part := range []struct{ field, value string }{
		{"project", k.Project}, {"domain", k.Domain}, {"name", k.Name},
	} {
		if err := check(prefix+part.field, part.value, ":"); err != nil {
			return err
		}
	}
	return nil
}

// Validate is Key.Validate and the same for the version.
func (id ID) Validate(prefix string) error {
	if err := id.Key.Validate(prefix); err != nil {
		return err
	}
	return check(prefix+"version", id.Version, "")
}

// ValidateProject reports why s cannot be a project's identifier.
func ValidateProject(field, s string) error { return check(field, s, ":") }

// ValidateExecutionName reports why s cannot name an execution: a lower-case
// letter, then lower-case letters, digits and hyphens, 63 at most, as Flyte
// requires because the name becomes a Kubernetes object's.
func ValidateExecutionName(field, s string) error {
	if s == "" {
		return invalid.Field(field, "is empty")
	}
	if len(s) > maxExecutionName {
		return invalid.Field(field, "is %d bytes long; %d is the most", len(s), maxExecutionName)
	}
	for i, c := range []byte(s) {
		letter := 'a' <= c && c <= 'z'
		if !letter && (i == 0 || c != '-' && (c < '0' || c > '9')) {
			return invalid.Field(field, "%q: use a lower-case letter, then lower-case letters, digits and hyphens", s)
		}
	}
	return nil
}

// check refuses what cannot stand in a REST path or a line of output. Names
// refuse the colon as well: execution names are hashed from parts joined by
// colons, and two launch plans must never share one.
func check(field, s, alsoRefused string) error {
	switch {
	case s == "":
		return invalid.Field(field, "is empty")
	case len(s) > maxName:
		return invalid.Field(field, "is %d bytes long; %d is the most", len(s), maxName)
	case !utf8.ValidString(s):
		return invalid.Field(field, "%q is not valid UTF-8", s)
	case s == "." || s == "..":
		return invalid.Field(field, "%q cannot be a name", s)
	}
	for _, r := range s {
		if r == '/' || unicode.IsSpace(r) || !unicode.IsPrint(r) || strings.ContainsRune(alsoRefused, r) {
			return invalid.Field(field, "%q: character %q is not allowed", s, r)
		}
	}
	return nil
}
