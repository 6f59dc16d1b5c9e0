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
// unknown input is an error.
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
		input, ok := t.inputs[name[len(inputs):]]
		if !ok {
			unknown = match
		}
		return literal.Text(input)
	})
	if unknown != "" {
		return "", fmt.Errorf("%s: the task has no such input; it has %s", unknown, list(slices.Sorted(maps.Keys(t.inputs))))
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

// movePath replaces the directory from by to wherever it stands in s as a whole
// path or the beginning of one.
func movePath(s, from, to string) string {
	from = strings.TrimRight(from, "/")
	if from == "" {
		return s
	}
	var b strings.Builder
	done := 0 // how much of s is in b
	for at := 0; ; {
		i := strings.Index(s[at:], from)
		if i < 0 {
			b.WriteString(s[done:])
			return b.String()
		}
		begin, end := at+i, at+i+len(from)
		if (begin == 0 || !inPath(s[begin-1])) && (end == len(s) || s[end] == '/' || !inPath(s[end])) {
			b.WriteString(s[done:begin])
			b.WriteString(to)
			done = end
		}
		at = end
	}
}

// inPath says that c next to a path belongs to it.
func inPath(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("_-./~%", c) >= 0 || c >= 0x80
}
