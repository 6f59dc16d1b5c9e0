package runner

import (
	"os"
	"slices"
	"strconv"
	"strings"

	"tminus.dev/gen/flyteidl/core"
	"tminus.dev/internal/ident"
)

// inherited are the variables of tminus's own environment that a process gets.
// Everything else, credentials above all, stays with tminus.
var inherited = []string{"PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ", "TMPDIR"}

// The variables by which a task finds its files. A raw container in process
// mode, whose input_path and output_path cannot be had on this machine, finds
// what would be there in the first two.
const (
	inputDirVariable  = "TMINUS_INPUT_DIR"
	outputDirVariable = "TMINUS_OUTPUT_DIR"
	// attemptVariable also tells tminus, after a crash, whose a process is.
	attemptVariable = "TMINUS_ATTEMPT_DIR"
)

// environment collects variables; of two with one name the later holds.
type environment []string

func (e *environment) set(name, value string) {
	prefix := name + "="
	*e = slices.DeleteFunc(*e, func(s string) bool { return strings.HasPrefix(s, prefix) })
	*e = append(*e, prefix+value)
}

func (e *environment) setAll(pairs []*core.KeyValuePair) {
	for _, p := range pairs {
		e.set(p.GetKey(), p.GetValue())
	}
}

// get is the value of name, "" if it is not set.
func (e environment) get(name string) string {
	for _, s := range e {
		if value, ok := strings.CutPrefix(s, name+"="); ok {
			return value
		}
	}
	return ""
}

// inherit sets what a process gets of tminus's own environment.
func (e *environment) inherit() {
	for _, name := range inherited {
		if value, ok := os.LookupEnv(name); ok {
			e.set(name, value)
		}
	}
}

// identify sets the variables by which Flyte's SDKs know where they run, as
// flyteplugins does in flytek8s/k8s_resource_adds.go.
func (e *environment) identify(execution ident.Key, workflow, task ident.ID, attempt int) {
	e.set("FLYTE_INTERNAL_EXECUTION_ID", execution.Name)
	e.set("FLYTE_INTERNAL_EXECUTION_PROJECT", execution.Project)
	e.set("FLYTE_INTERNAL_EXECUTION_DOMAIN", execution.Domain)
	if workflow != (ident.ID{}) {
		e.set("FLYTE_INTERNAL_EXECUTION_WORKFLOW", workflow.Project+":"+workflow.Domain+":"+workflow.Name)
	}
	e.set("FLYTE_ATTEMPT_NUMBER", strconv.Itoa(attempt))
	for _, prefix := range []string{"FLYTE_INTERNAL_TASK_", "FLYTE_INTERNAL_"} { // The second is for older SDKs.
		e.set(prefix+"PROJECT", task.Project)
		e.set(prefix+"DOMAIN", task.Domain)
		e.set(prefix+"NAME", task.Name)
		e.set(prefix+"VERSION", task.Version)
	}
}
