package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"tminus.dev/gen/flyteidl/admin"
	"tminus.dev/gen/flyteidl/core"
	"tminus.dev/internal/invalid"
	"tminus.dev/internal/literal"
)

func (c *client) executionsCommand() *cobra.Command {
	cmd := Group("executions", "Create executions, read and terminate them", "",
		c.executionsListCommand(), c.executionsGetCommand(), c.executionsLogsCommand(),
		c.executionsTerminateCommand(), c.executionsCreateCommand())
	cmd.Aliases = []string{"execution", "exec"}
	return cmd
}

func (c *client) executionID(name string) *core.WorkflowExecutionIdentifier {
	return &core.WorkflowExecutionIdentifier{Project: c.project, Domain: c.domain, Name: name}
}

func (c *client) executionsListCommand() *cobra.Command {
	var (
		plan, phase string
		limit       int
	)
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List executions, the newest first",
		Args:  Exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			request := &admin.ResourceListRequest{
				Id: &admin.NamedEntityIdentifier{Project: c.project, Domain: c.domain}, SortBy: newestFirst(),
			}
			var filters []string
			if plan != "" {
				filters = append(filters, "eq(launch_plan.name,"+plan+")")
			}
			if phase != "" {
				filters = append(filters, "eq(phase,"+strings.ToUpper(phase)+")")
			}
			request.Filters = strings.Join(filters, "+")
			return c.with(func(s *connection) error {
				list := &admin.ExecutionList{}
				err := pages(limit, func(size uint32, token string) (int, string, error) {
					request.Limit, request.Token = size, token
					page, err := s.admin.ListExecutions(cmd.Context(), request)
					list.Executions = append(list.Executions, page.GetExecutions()...)
					return len(page.GetExecutions()), page.GetToken(), err
				})
				if err != nil {
					return err
				}
				return c.format.print(cmd, list, func(w io.Writer) {
					row(w, "NAME", "LAUNCH PLAN", "PHASE", "SLOT", "CREATED", "DURATION")
					for _, e := range list.GetExecutions() {
						slot := ""
						if at := e.GetSpec().GetMetadata().GetScheduledAt(); at != nil {
							slot = at.AsTime().Format(time.RFC3339)
						}
						row(w, e.GetId().GetName(), e.GetSpec().GetLaunchPlan().GetName(), phaseName(e.GetClosure().GetPhase()), slot,
							stamp(e.GetClosure().GetCreatedAt()), took(e.GetClosure(), ended(e.GetClosure().GetPhase())))
					}
				})
			})
		},
	}
	cmd.Flags().StringVar(&plan, "launchplan", "", "only executions of this launch plan")
	cmd.Flags().StringVar(&phase, "phase", "", "only executions in this phase, such as running or failed")
	limitFlag(cmd, &limit, 50)
	complete(cmd, "phase", "queued", "running", "succeeded", "failed", "aborted")
	return cmd
}

// phaseName is a phase in lower case, of executions, nodes and tasks.
func phaseName(p fmt.Stringer) string { return strings.ToLower(p.String()) }

// took is how long an execution or a node ran, or has been running.
func took(closure interface {
	GetStartedAt() *timestamppb.Timestamp
	GetDuration() *durationpb.Duration
}, ended bool,
) string {
	switch started := closure.GetStartedAt(); {
	case started.GetSeconds() == 0:
		return ""
	case !ended:
		return lasted(time.Since(started.AsTime()))
	default:
		return lasted(closure.GetDuration().AsDuration())
	}
}

// ended says that an execution in that phase will not leave it.
func ended(p core.WorkflowExecution_Phase) bool {
	switch p {
	case core.WorkflowExecution_SUCCEEDED, core.WorkflowExecution_FAILED, core.WorkflowExecution_ABORTED, core.WorkflowExecution_TIMED_OUT:
		return true
	default:
		return false
	}
}

// nodeEnded says that a node in that phase will not leave it.
func nodeEnded(p core.NodeExecution_Phase) bool {
	switch p {
	case core.NodeExecution_SUCCEEDED, core.NodeExecution_FAILED, core.NodeExecution_ABORTED, core.NodeExecution_SKIPPED,
		core.NodeExecution_TIMED_OUT, core.NodeExecution_RECOVERED:
		return true
	default:
		return false
	}
}

// A run is an execution with everything there is to know of it.
type run struct {
	execution *admin.Execution
	data      *admin.WorkflowExecutionGetDataResponse
	nodes     []nodeRun
}

type nodeRun struct {
	node     *admin.NodeExecution
	data     *admin.NodeExecutionGetDataResponse
	attempts []*admin.TaskExecution
}

// MarshalJSON writes the messages of Flyte's API, one under the other.
func (r run) MarshalJSON() ([]byte, error) {
	type node struct {
		Node           message   `json:"node"`
		Data           message   `json:"data"`
		TaskExecutions []message `json:"taskExecutions"`
	}
	all := struct {
		Execution message `json:"execution"`
		Data      message `json:"data"`
		Nodes     []node  `json:"nodes"`
	}{Execution: message{r.execution}, Data: message{r.data}, Nodes: []node{}}
	for _, n := range r.nodes {
		attempts := []message{}
		for _, a := range n.attempts {
			attempts = append(attempts, message{a})
		}
		all.Nodes = append(all.Nodes, node{Node: message{n.node}, Data: message{n.data}, TaskExecutions: attempts})
	}
	return json.Marshal(all)
}

func (c *client) executionsGetCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "get NAME",
		Short:             "Show an execution: its inputs and outputs, nodes and attempts, and why it failed",
		Args:              Exactly("NAME"),
		ValidArgsFunction: c.completer(c.executionNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.with(func(s *connection) error {
				r, err := s.run(cmd.Context(), c.executionID(args[0]))
				if err != nil {
					return err
				}
				return c.format.print(cmd, r, r.describe)
			})
		},
	}
}

// run reads an execution.
func (s *connection) run(ctx context.Context, id *core.WorkflowExecutionIdentifier) (r run, err error) {
	if r.execution, err = s.admin.GetExecution(ctx, &admin.WorkflowExecutionGetRequest{Id: id}); err != nil {
		return r, err
	}
	if r.data, err = s.admin.GetExecutionData(ctx, &admin.WorkflowExecutionGetDataRequest{Id: id}); err != nil {
		return r, err
	}
	r.nodes, err = s.nodes(ctx, id, "")
	return r, err
}

// nodes reads the nodes beneath a parent, and theirs below each.
func (s *connection) nodes(ctx context.Context, id *core.WorkflowExecutionIdentifier, parent string) ([]nodeRun, error) {
	var found []*admin.NodeExecution
	err := pages(0, func(size uint32, token string) (int, string, error) {
		page, err := s.admin.ListNodeExecutions(ctx, &admin.NodeExecutionListRequest{
			WorkflowExecutionId: id, UniqueParentId: parent, Limit: size, Token: token,
			SortBy: &admin.Sort{Key: "created_at", Direction: admin.Sort_ASCENDING},
		})
		found = append(found, page.GetNodeExecutions()...)
		return len(page.GetNodeExecutions()), page.GetToken(), err
	})
	if err != nil {
		return nil, err
	}
	var all []nodeRun
	for _, n := range found {
		r := nodeRun{node: n}
		if r.data, err = s.admin.GetNodeExecutionData(ctx, &admin.NodeExecutionGetDataRequest{Id: n.GetId()}); err != nil {
			return nil, err
		}
		if n.GetMetadata().GetIsParentNode() {
			below, err := s.nodes(ctx, id, n.GetId().GetNodeId())
			if err != nil {
				return nil, err
			}
			all = append(append(all, r), below...)
			continue
		}
		tasks, err := s.admin.ListTaskExecutions(ctx, &admin.TaskExecutionListRequest{
			NodeExecutionId: n.GetId(), Limit: pageSize,
			SortBy: &admin.Sort{Key: "created_at", Direction: admin.Sort_ASCENDING},
		})
		if err != nil {
			return nil, err
		}
		r.attempts = tasks.GetTaskExecutions()
		all = append(all, r)
	}
	return all, nil
}

// describe writes an execution for people.
func (r run) describe(w io.Writer) {
	e, closure := r.execution, r.execution.GetClosure()
	field(w, "Name", e.GetId().GetName())
	field(w, "Launch plan", e.GetSpec().GetLaunchPlan().GetName()+"@"+e.GetSpec().GetLaunchPlan().GetVersion())
	field(w, "Mode", strings.ToLower(e.GetSpec().GetMetadata().GetMode().String()))
	if at := e.GetSpec().GetMetadata().GetScheduledAt(); at != nil {
		field(w, "Slot", at.AsTime().Format(time.RFC3339))
	}
	field(w, "Phase", phaseName(closure.GetPhase()))
	field(w, "Created", stamp(closure.GetCreatedAt()))
	field(w, "Started", stamp(closure.GetStartedAt()))
	field(w, "Duration", took(closure, ended(closure.GetPhase())))
	if abort := closure.GetAbortMetadata(); abort != nil {
		field(w, "Aborted", strings.TrimSpace(abort.GetCause()+" "+abort.GetPrincipal()))
	}
	values(w, "Inputs", r.data.GetFullInputs())
	if len(r.nodes) > 0 {
		line(w, "\nNodes:")
		row(w, "  NODE", "PHASE", "ATTEMPTS", "DURATION", "TASK")
		for _, n := range r.nodes {
			task, attempts := "", ""
			if len(n.attempts) > 0 {
				task, attempts = n.attempts[0].GetId().GetTaskId().GetName(), strconv.Itoa(len(n.attempts))
			}
			closure := n.node.GetClosure()
			row(w, "  "+n.node.GetId().GetNodeId(), phaseName(closure.GetPhase()), attempts, took(closure, nodeEnded(closure.GetPhase())), task)
		}
	}
	values(w, "Outputs", r.data.GetFullOutputs())
	r.errors(w)
}

// errors writes why an execution failed, and which attempts.
func (r run) errors(w io.Writer) {
	told := r.execution.GetClosure().GetError()
	if told != nil {
		line(w, "\nError: %s", told.GetCode())
		block(w, told.GetMessage())
	}
	for _, n := range r.nodes {
		for _, a := range n.attempts {
			e := a.GetClosure().GetError()
			if e == nil || strings.Contains(told.GetMessage(), e.GetMessage()) {
				continue // The last attempt's error is the execution's.
			}
			line(w, "\nAttempt %d of node %s: %s", a.GetId().GetRetryAttempt()+1, n.node.GetId().GetNodeId(), e.GetCode())
			block(w, e.GetMessage())
		}
	}
}

// values writes literals by name, those of several lines as blocks.
func values(w io.Writer, title string, m *core.LiteralMap) {
	if len(m.GetLiterals()) == 0 {
		return
	}
	line(w, "\n%s:", title)
	for _, name := range slices.Sorted(maps.Keys(m.GetLiterals())) {
		text := strings.TrimRight(literal.Text(m.GetLiterals()[name]), "\n")
		if strings.Contains(text, "\n") {
			line(w, "  %s:", name)
			block(w, text)
			continue
		}
		line(w, "  %s = %s", name, text)
	}
}

// block writes indented text.
func block(w io.Writer, text string) {
	for l := range strings.Lines(strings.TrimRight(text, "\n")) {
		line(w, "    %s", strings.TrimRight(strings.ReplaceAll(l, "\t", "    "), "\r\n"))
	}
}

func (c *client) executionsTerminateCommand() *cobra.Command {
	var cause string
	cmd := &cobra.Command{
		Use:               "terminate NAME",
		Short:             "Terminate a running execution",
		Args:              Exactly("NAME"),
		ValidArgsFunction: c.completer(c.executionNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.with(func(s *connection) error {
				id := c.executionID(args[0])
				if _, err := s.admin.TerminateExecution(cmd.Context(), &admin.ExecutionTerminateRequest{Id: id, Cause: cause}); err != nil {
					return err
				}
				e, err := s.admin.GetExecution(cmd.Context(), &admin.WorkflowExecutionGetRequest{Id: id})
				if err != nil {
					return err
				}
				return c.format.print(cmd, e, func(w io.Writer) {
					line(w, "%s is %s", id.GetName(), phaseName(e.GetClosure().GetPhase()))
				})
			})
		},
	}
	cmd.Flags().StringVar(&cause, "cause", "terminated with tminus", "why, for whoever reads it later")
	return cmd
}

func (c *client) executionsCreateCommand() *cobra.Command {
	var (
		version, name string
		inputs        []string
	)
	cmd := &cobra.Command{
		Use:   "create LAUNCHPLAN",
		Short: "Launch a launch plan now",
		Long: `Launch a launch plan now, whether it is active or not. Inputs are typed by the launch plan: datetimes are
RFC 3339, durations are such as 90s, lists, maps and structs are JSON, files are addresses or absolute paths.`,
		Example:           `  tminus executions create nightly-report --input kickoff_time=2026-01-31T09:00:00Z --input city=Berlin`,
		Args:              Exactly("LAUNCHPLAN"),
		ValidArgsFunction: c.completer(c.launchPlanNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.with(func(s *connection) error {
				p, err := s.version(cmd.Context(), c, args[0], version, (*connection).active)
				if err != nil {
					return err
				}
				given, err := typed(cmd, inputs, p)
				if err != nil {
					return err
				}
				created, err := s.admin.CreateExecution(cmd.Context(), &admin.ExecutionCreateRequest{
					Project: c.project, Domain: c.domain, Name: name,
					Spec: &admin.ExecutionSpec{
						LaunchPlan: p.GetId(),
						Metadata:   &admin.ExecutionMetadata{Mode: admin.ExecutionMetadata_MANUAL},
					},
					Inputs: given,
				})
				if err != nil {
					return err
				}
				return c.format.print(cmd, created, func(w io.Writer) { line(w, "%s", created.GetId().GetName()) })
			})
		},
	}
	cmd.Flags().StringVar(&version, "version", "", "version (default: the active one or, if none is, the newest)")
	cmd.Flags().StringVar(&name, "name", "", "name of the execution (default: the server chooses)")
	cmd.Flags().StringArrayVar(&inputs, "input", nil, "an input, NAME=VALUE; repeatable")
	return cmd
}

// typed turns NAME=VALUE into literals of the types that the launch plan expects.
func typed(cmd *cobra.Command, inputs []string, p *admin.LaunchPlan) (*core.LiteralMap, error) {
	expected := p.GetClosure().GetExpectedInputs().GetParameters()
	given := &core.LiteralMap{Literals: map[string]*core.Literal{}}
	for _, input := range inputs {
		name, value, ok := strings.Cut(input, "=")
		if !ok {
			return nil, misused(cmd, "--input %q: use NAME=VALUE", input)
		}
		if _, fixed := p.GetSpec().GetFixedInputs().GetLiterals()[name]; fixed {
			return nil, misused(cmd, "--input %s: the launch plan fixes it", name)
		}
		parameter, ok := expected[name]
		if !ok {
			hint := ""
			if near := invalid.Nearest(name, slices.Sorted(maps.Keys(expected))); near != "" {
				hint = "; did you mean " + near + "?"
			}
			return nil, misused(cmd, "--input %s: the launch plan has no such input%s", name, hint)
		}
		l, err := literal.FromValue(parameter.GetVar().GetType(), value)
		if err != nil {
			return nil, misused(cmd, "--input %s: %w", name, err)
		}
		given.Literals[name] = l
	}
	var missing []string
	for _, name := range slices.Sorted(maps.Keys(expected)) {
		if expected[name].GetRequired() && given.GetLiterals()[name] == nil {
			missing = append(missing, fmt.Sprintf("--input %s=… (%s)", name, literal.TypeName(expected[name].GetVar().GetType())))
		}
	}
	switch len(missing) {
	case 0:
		return given, nil
	case 1:
		return nil, misused(cmd, "%s is missing", missing[0])
	default:
		last := len(missing) - 1
		return nil, misused(cmd, "%s and %s are missing", strings.Join(missing[:last], ", "), missing[last])
	}
}
