package workflow

import (
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"tminus.dev/gen/flyteidl/core"
	"tminus.dev/internal/ident"
	"tminus.dev/internal/invalid"
)

// Bounds on how often and how long a task may be tried. Flyte's own comment
// gives 10 retries, but its server takes more, and so do we.
const (
	maxRetries = 100
	maxTimeout = 366 * 24 * time.Hour
)

// maxTaskType is how long a task's type may be, in bytes: flyteadmin's column.
const maxTaskType = 255

// CompileTask holds the task that t describes against Flyte's rules and gives
// it its id. Every kind of task that Flyte knows is taken, also pods, SQL and
// those of plugins: what cannot run here fails when it runs, and says so.
func CompileTask(id ident.ID, t *core.TaskTemplate) (*core.CompiledTask, error) {
	const field = "spec.template"
	if err := id.Validate("id."); err != nil {
		return nil, err
	}
	if t == nil {
		return nil, invalid.Field(field, "is missing")
	}
	if err := checkOwnID(field+".id", core.ResourceType_TASK, id, t.GetId()); err != nil {
		return nil, err
	}
	if err := checkTaskType(field+".type", t.GetType()); err != nil {
		return nil, err
	}
	if err := checkTries(field+".metadata", t.GetMetadata()); err != nil {
		return nil, err
	}
	if err := checkInterface(field+".interface", t.GetInterface()); err != nil {
		return nil, err
	}
	if c, ok := t.GetTarget().(*core.TaskTemplate_Container); ok {
		if err := checkContainer(field+".container", c.Container); err != nil {
			return nil, err
		}
	}
	compiled := &core.TaskTemplate{}
	proto.Merge(compiled, t)
	compiled.Id = Identifier(core.ResourceType_TASK, id)
	if compiled.GetInterface() == nil {
		compiled.Interface = &core.TypedInterface{}
	}
	return &core.CompiledTask{Template: compiled}, nil
}

func checkTaskType(field, s string) error {
	switch {
	case s == "":
		return invalid.Field(field, "is empty; a command's is raw-container")
	case len(s) > maxTaskType:
		return invalid.Field(field, "is %d bytes long; %d is the most", len(s), maxTaskType)
	}
	return nil
}

// tries is what says how long and how often a task or node is tried.
type tries interface {
	GetTimeout() *durationpb.Duration
	GetRetries() *core.RetryStrategy
}

func checkTries(field string, m tries) error {
	if t := m.GetTimeout(); t != nil {
		switch d := t.AsDuration(); {
		case t.CheckValid() != nil || d > maxTimeout:
			return invalid.Field(field+".timeout", "is longer than a year or malformed")
		case d < 0:
			return invalid.Field(field+".timeout", "%s is negative", d)
		}
	}
	if n := m.GetRetries().GetRetries(); n > maxRetries {
		return invalid.Field(field+".retries", "%d retries; %d is the most", n, maxRetries)
	}
	return nil
}

// checkContainer refuses what no process can be started from. The image may be
// empty: processes on this machine need none.
func checkContainer(field string, c *core.Container) error {
	if len(c.GetCommand()) == 0 && len(c.GetArgs()) == 0 {
		return invalid.Field(field+".command", "is empty, and so are the args; say what to run")
	}
	for _, words := range []struct {
		name string
		list []string
	}{{"command", c.GetCommand()}, {"args", c.GetArgs()}} {
		for i, word := range words.list {
			if strings.ContainsRune(word, 0) {
				return invalid.Field(fmt.Sprintf("%s.%s[%d]", field, words.name, i), "holds a NUL byte, which no command line can")
			}
		}
	}
	for i, e := range c.GetEnv() {
		if e.GetKey() == "" || strings.ContainsAny(e.GetKey(), "=\x00") || strings.ContainsRune(e.GetValue(), 0) {
			return invalid.Field(fmt.Sprintf("%s.env[%d]", field, i), "%q is no environment variable", e.GetKey())
		}
	}
	return nil
}
