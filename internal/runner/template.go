package runner

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"tminus.dev/gen/flyteidl/core"
	"tminus.dev/internal/literal"
)

// placeholder is a template variable as Flyte's plugins read it: {{.name}} or
// {{$name}}, with or without white space inside the braces, in any case.
var placeholder = regexp.MustCompile(`\{\{\s*[.$]([^}\s]+)\s*\}\}`)

// templates are the values of the template variables of one attempt.
type templates struct {
	// values are by lower-case name.
	values map[string]string
	inputs map[string]*core.Literal
	// declared are all inputs of the task; optional ones may have no value.
	declared map[string]*core.Variable
}

// fill replaces the template variables in s:
//
//	{{.input}}                   the path of inputs.pb
//	{{.inputPrefix}}             the directory of inputs.pb
//	{{.outputPrefix}}            the directory that outputs.pb or error.pb is to be written to
//	{{.rawOutputDataPrefix}}     a directory for files that outputs refer to
//	{{.checkpointOutputPrefix}}  a directory for this attempt's checkpoint
//	{{.prevCheckpointPrefix}}    that of the attempt before, or two quotation marks, as in Flyte
//	{{.perRetryUniqueKey}}       a name of letters, digits and underscores, of this attempt alone
//	{{.taskTemplatePath}}        the path of the serialized flyteidl.core.TaskTemplate
//	{{.namespace}}               PROJECT-DOMAIN
//	{{.inputs.NAME}}             the value of an input, as literal.Text writes it
//
// Values are put in as they are and never split: an argument that is a list's
// template stays one argument, [a,b]. Templates inside of values are not filled.
// Like Flyte, fill leaves a variable that it does not know as it stands; an
// unknown input is an error. An optional input without a value is empty.
func (t templates) fill(s string) (string, error) {
	var unknown string
	filled := placeholder.ReplaceAllStringFunc(s, func(match string) string {
		name := placeholder.FindStringSubmatch(match)[1]
		if value, ok := t.values[strings.ToLower(name)]; ok {
			return value
		}
		const inputs = "inputs."
		if len(name) <= len(inputs) || !strings.EqualFold(name[:len(inputs)], inputs) {
			return match
		}
		name = name[len(inputs):]
		input, given := t.inputs[name]
		if _, declared := t.declared[name]; !given && !declared {
			unknown = match
		}
		return literal.Text(input)
	})
	if unknown != "" {
		return "", fmt.Errorf("%s: the task has no such input; it has %s", unknown, list(slices.Sorted(maps.Keys(t.declared))))
	}
	return filled, nil
}

// list is names as a sentence has them.
func list(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

var notIdentifier = regexp.MustCompile(`[^a-zA-Z0-9_]+`)

// identifier is s as {{.perRetryUniqueKey}} has it: fit to name a table.
func identifier(s string) string {
	s = notIdentifier.ReplaceAllString(s, "_")
	if c := s[0]; '0' <= c && c <= '9' {
		s = "a" + s
	}
	return s
}

// move is a directory that is found elsewhere.
type move struct{ from, to string }

// movePaths replaces the directories wherever they stand in s as a whole path or
// the beginning of one. Of two that fit, the longer holds.
func movePaths(s string, moves ...move) string {
	slices.SortStableFunc(moves, func(a, b move) int { return len(b.from) - len(a.from) })
	var b strings.Builder
	for at := 0; at < len(s); {
		to, length := moved(s, at, moves)
		if length == 0 {
			to, length = s[at:at+1], 1
		}
		b.WriteString(to)
		at += length
	}
	return b.String()
}

// moved is what takes the place of the path of that length at an index of s; 0 if none does.
func moved(s string, at int, moves []move) (to string, length int) {
	if at > 0 && inPath(s[at-1]) {
		return "", 0
	}
	for _, m := range moves {
		from := strings.TrimRight(m.from, "/")
		if from == "" || !strings.HasPrefix(s[at:], from) {
			continue
		}
		if rest := s[at+len(from):]; rest == "" || rest[0] == '/' || !inPath(rest[0]) {
			return m.to, len(from)
		}
	}
	return "", 0
}

// inPath says that c next to a path belongs to it.
func inPath(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("_-./~%", c) >= 0 || c >= 0x80
}
