package manifest

import (
	"errors"
	"regexp"
	"strconv"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"tminus.dev/cron"
	"tminus.dev/gen/flyteidl/core"
	"tminus.dev/internal/invalid"
	"tminus.dev/internal/schedule"
)

// A rename is a field of a request and the key of the manifest that it was made from.
type rename struct {
	field *regexp.Regexp
	key   string
}

// renames are by what is registered. The first that matches counts; "@" stands
// for the node that a task was made from or that the field names.
var renames = map[core.ResourceType][]rename{
	core.ResourceType_TASK: {
		{regexp.MustCompile(`\.interface\.(inputs|outputs)\.variables\[([^\]]*)\]`), "@.$1.$2"},
		{regexp.MustCompile(`\.container\.(command|image|env)\b`), "@.$1"},
		{regexp.MustCompile(`\.container\.args\b`), "@.command"},
		{regexp.MustCompile(`\.metadata\.(timeout|retries)\b`), "@.$1"},
		{regexp.MustCompile(`id\.(project|domain|version)$`), "$1"},
		{regexp.MustCompile(`id\.name$`), "@.id"},
		{regexp.MustCompile(``), "@"},
	},
	core.ResourceType_WORKFLOW: {
		{regexp.MustCompile(`^spec\.template\.nodes\[[^\]]*\]\.inputs\[([^\]]*)\]`), "@.inputs.$1"},
		{regexp.MustCompile(`^spec\.template\.nodes\[[^\]]*\]\.upstream_node_ids`), "@.after"},
		{regexp.MustCompile(`^spec\.template\.nodes\[[^\]]*\]\.id`), "@.id"},
		{regexp.MustCompile(`^spec\.template\.nodes\[[^\]]*\]`), "@"},
		{regexp.MustCompile(`^spec\.template\.nodes`), "workflow.nodes"},
		{regexp.MustCompile(`^spec\.template\.interface\.(inputs|outputs)\.variables\[([^\]]*)\]`), "workflow.$1.$2"},
		{regexp.MustCompile(`^spec\.template\.outputs\[([^\]]*)\]`), "workflow.outputs.$1"},
		{regexp.MustCompile(`id\.(project|domain|version)$`), "$1"},
		{regexp.MustCompile(`id\.name$`), "workflow.name"},
		{regexp.MustCompile(``), "workflow"},
	},
	core.ResourceType_LAUNCH_PLAN: {
		{regexp.MustCompile(`schedule\.kickoff_time_input_arg`), "schedule.kickoffTimeInput"},
		{regexp.MustCompile(`schedule\.rate`), "schedule.rate"},
		{regexp.MustCompile(`schedule\.cron`), "schedule.cron"},
		{regexp.MustCompile(`schedule$`), "schedule"},
		{regexp.MustCompile(`fixed_inputs\.literals\[([^\]]*)\]`), "fixedInputs.$1"},
		{regexp.MustCompile(`default_inputs\.parameters\[([^\]]*)\]`), "defaultInputs.$1"},
		{regexp.MustCompile(`annotations\.values\[([^\]]*)\]`), "annotations.$1"},
		{regexp.MustCompile(`labels\.values\[([^\]]*)\]`), "labels.$1"},
		{regexp.MustCompile(`concurrency_policy`), "concurrencyPolicy"},
		{regexp.MustCompile(`max_parallelism`), "maxParallelism"},
		{regexp.MustCompile(`envs`), "envs"},
		{regexp.MustCompile(`workflow_id`), "workflow"},
		{regexp.MustCompile(`id\.(project|domain|version)$`), "$1"},
		{regexp.MustCompile(`id\.name$`), "launchPlan"},
		{regexp.MustCompile(``), ""},
	},
}

var nodeField = regexp.MustCompile(`\.nodes\[([^\]]*)\]`)

// refused makes the answer to a request to register id a problem of the
// document that the request was made from. Errors of the validating packages
// and of servers name the field of the request; a manifest has keys.
func (u *unit) refused(id *core.Identifier, err error) error {
	if err == nil || u.source == nil {
		return clientError(err)
	}
	field, problem := violated(err)
	if problem == "" {
		return clientError(err)
	}
	p := Problem{Key: u.key(id, field), Message: problem}
	p.Position = u.source.find(p.Key)
	return ProblemsError{p}
}

// leadingField is a field at the beginning of a message, before what is wrong with it.
var leadingField = regexp.MustCompile(`^((?:id|spec)\.[^\s:]+): (.*)`)

// violated is what an error says of a field; both are empty when it is not
// about what was sent.
func violated(err error) (field, problem string) {
	if wrong, ok := errors.AsType[*invalid.Error](err); ok {
		return wrong.Field, wrong.Problem
	}
	if wrong, ok := errors.AsType[*cron.SyntaxError](err); ok {
		return "schedule", wrong.Error()
	}
	var sent answer
	if !errors.As(err, &sent) {
		return "", ""
	}
	st := sent.GRPCStatus()
	for _, detail := range st.Details() {
		if bad, ok := detail.(*errdetails.BadRequest); ok && len(bad.GetFieldViolations()) > 0 {
			v := bad.GetFieldViolations()[0]
			return v.GetField(), v.GetDescription()
		}
	}
	if match := leadingField.FindStringSubmatch(st.Message()); match != nil {
		return match[1], match[2]
	}
	if st.Code() == codes.InvalidArgument {
		return "", st.Message()
	}
	return "", ""
}

// key is the manifest's key for a field of the request that registers id.
func (u *unit) key(id *core.Identifier, field string) string {
	if _, annotation, ok := strings.Cut(field, schedule.AnnotationPrefix); ok {
		return policyKey(invalid.Field(schedule.AnnotationPrefix+strings.TrimRight(annotation, "]"), ""))
	}
	node := ""
	if id.GetResourceType() == core.ResourceType_TASK {
		node = strings.TrimPrefix(id.GetName(), u.workflows[0].GetId().GetName()+".")
	} else if match := nodeField.FindStringSubmatch(field); match != nil {
		node = match[1]
	}
	for _, r := range renames[id.GetResourceType()] {
		match := r.field.FindStringSubmatchIndex(field)
		if match == nil {
			continue
		}
		key := string(r.field.ExpandString(nil, r.key, field, match))
		return strings.Replace(key, "@", u.source.node(node), 1)
	}
	return ""
}

// node is the key of the node with that id.
func (s *source) node(id string) string {
	if key, ok := s.nodes[id]; ok {
		return key
	}
	if i, err := strconv.Atoi(id); err == nil { // A node whose id is no good is told by its place.
		return index("workflow.nodes", i)
	}
	return "workflow.nodes"
}

// clientError is err with a status as people read it: the code's name and the message.
func clientError(err error) error {
	if err == nil {
		return nil
	}
	var sent answer
	if !errors.As(err, &sent) {
		return err
	}
	operation, _, _ := strings.Cut(err.Error(), sent.Error())
	return &StatusError{Operation: operation, Status: sent.GRPCStatus()}
}

// An answer is an error that a server sent, without what was wrapped around it.
type answer interface {
	error
	GRPCStatus() *status.Status
}

// A StatusError is a server's answer to a request that failed.
type StatusError struct {
	// Operation is what was tried, such as "upload data.csv: "; often empty.
	Operation string
	*status.Status
}

// Error is the operation, the code and the message, such as "NotFound: no project nope".
func (e *StatusError) Error() string { return e.Operation + e.Code().String() + ": " + e.Message() }

// GRPCStatus makes status.Code and errors.Is work through e.
func (e *StatusError) GRPCStatus() *status.Status { return e.Status }
