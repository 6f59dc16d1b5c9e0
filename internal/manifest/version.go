package manifest

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"tminus.dev/gen/flyteidl/core"
	"tminus.dev/internal/ident"
	"tminus.dev/internal/launchplan"
	"tminus.dev/internal/workflow"
)

// versionLength is how many hexadecimal digits a version of its own making has:
// with so many, even a million versions of one launch plan hardly ever meet.
const versionLength = 12

// hash is a version made of everything that u registers, while the identifiers
// in it have none. Files count by their content, through their addresses; a server
// that keeps them elsewhere than before gets a new version.
func (u *unit) hash() string {
	h := sha256.New()
	for _, m := range u.messages() {
		b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
		if err != nil {
			continue // Text that is no UTF-8; validation says so.
		}
		h.Write([]byte(m.ProtoReflect().Descriptor().FullName()))
		h.Write(b)
	}
	return hex.EncodeToString(h.Sum(nil))[:versionLength]
}

// validate holds the unit against the rules that the server will apply, so that
// a manifest that cannot be registered is told before anything is, and all its
// problems at once. Only whether a schedule has ended is left to the server,
// whose clock decides; a launch plan that it knows may have.
func (c *compiler) validate(face *core.TypedInterface) {
	u := c.unit
	tasks := localTasks{}
	for _, t := range u.tasks {
		compiled, err := workflow.CompileTask(workflow.ID(t.GetId()), t.GetSpec().GetTemplate())
		c.refuse(u.refused(t.GetId(), err))
		tasks[workflow.ID(t.GetId())] = compiled
	}
	if len(c.problems) > 0 {
		return
	}
	for _, w := range u.workflows {
		_, err := workflow.Compile(workflow.ID(w.GetId()), w.GetSpec(), tasks)
		c.refuse(u.refused(w.GetId(), err))
	}
	for _, p := range u.plans {
		_, err := launchplan.Validate(workflow.ID(p.GetId()), p.GetSpec(), face, time.Unix(0, 0), launchplan.AnyCalendar)
		c.refuse(u.refused(p.GetId(), err))
	}
}

// refuse adds what err says to the problems.
func (c *compiler) refuse(err error) {
	if err == nil {
		return
	}
	if found, ok := errors.AsType[ProblemsError](err); ok {
		c.problems = append(c.problems, found...)
		return
	}
	c.problem("", "%v", err)
}

// localTasks are the tasks of a document, for the compiler of its workflow.
type localTasks map[ident.ID]*core.CompiledTask

// Task finds a task of the document.
func (t localTasks) Task(id ident.ID) (*core.CompiledTask, error) {
	if task, ok := t[id]; ok {
		return task, nil
	}
	return nil, fmt.Errorf("%s is not one of the document's", id)
}

// Workflow finds none: a document's nodes run tasks.
func (t localTasks) Workflow(id ident.ID) (*core.CompiledWorkflowClosure, error) {
	return nil, fmt.Errorf("%s is not one of the document's", id)
}
