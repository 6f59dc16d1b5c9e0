package runner

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"tminus.dev/internal/workflow"
)

// attempt is one try at a task: a directory and the command that is to run in it.
type attempt struct {
	*taskNode
	layout  layout
	command command
}

// raw says that the task is a raw container, which knows files in place of
// Flyte's messages.
func (t *taskNode) raw() bool { return t.task.GetContainer().GetDataConfig().GetEnabled() }

// prepare makes the directory and the command of an attempt. Its errors are *nodeErrors.
func (t *taskNode) prepare(number int, dir string) (*attempt, error) {
	container := t.task.GetContainer()
	if container == nil {
		return nil, userError(codeStart, "a task of type %s without a container cannot run here", t.task.GetType())
	}
	a := &attempt{taskNode: t, layout: layout(filepath.Join(t.cfg.Dir, dir))}
	if err := a.files(); err != nil {
		return nil, err
	}
	previous := `""` // As Flyte says that there is none; its SDKs know it.
	if number > 0 {
		previous = layout(filepath.Join(t.cfg.Dir, attemptDir(t.stored.Key, t.record.Node, number-1))).path(checkpointDir)
	}
	render := t.renderer(a.layout, number, previous)
	program, err := fillAll(render, container.GetCommand())
	if err != nil {
		return nil, userError(codeTemplate, "command: %v", err)
	}
	args, err := fillAll(render, container.GetArgs())
	if err != nil {
		return nil, userError(codeTemplate, "args: %v", err)
	}
	env, err := a.environment(render, number)
	if err != nil {
		return nil, err
	}
	a.command = command{dir: a.layout.path(workDir), env: env}
	if t.cfg.Mode == Process {
		a.command.argv = slices.Concat(program, args)
		a.command.unpack()
		if len(a.command.argv) == 0 {
			return nil, userError(codeStart, "the task has no command; that of its image %q can only run in docker or podman", t.image)
		}
		return a, nil
	}
	if t.image == "" || strings.HasPrefix(t.image, "-") {
		return nil, userError(codeStart, "%q is no image", t.image)
	}
	run := containerRun{
		engine: t.cfg.Mode, image: t.image, command: program, args: args, env: env,
		dir: string(a.layout), root: t.cfg.Dir, uid: os.Getuid(), gid: os.Getgid(),
	}
	if t.raw() {
		run.inputs, run.outputs = t.dataPaths()
	}
	if number > 0 {
		run.previous = previous
	}
	a.command.argv = run.argv()
	a.command.env = os.Environ() // The engine's client runs as tminus does.
	return a, nil
}

// environment is that of the task: its container's variables, then Flyte's own,
// then the execution's, as on a cluster.
func (a *attempt) environment(render func(string) (string, error), number int) (environment, error) {
	var env environment
	if a.cfg.Mode == Process {
		env.inherit()
	}
	for _, v := range a.task.GetContainer().GetEnv() {
		value, err := render(v.GetValue())
		if err != nil {
			return nil, userError(codeTemplate, "env %s: %v", v.GetKey(), err)
		}
		env.set(v.GetKey(), value)
	}
	env.identify(a.stored.Key, a.stored.Workflow, workflow.ID(a.task.GetId()), number)
	env.setAll(a.envs)
	env.set(attemptVariable, string(a.layout))
	env.set(inputDirVariable, a.layout.inputs())
	env.set(outputDirVariable, a.layout.outputs())
	return env, nil
}

// files makes the directory and what the task is to find in it.
func (a *attempt) files() error {
	if err := a.layout.create(); err != nil {
		return systemError(codeStorage, "the attempt's directory cannot be made: %v", err).mayRetry()
	}
	inputs := a.inputs
	if a.raw() {
		staged, err := a.layout.stage(inputs, a.task.GetContainer().GetDataConfig().GetFormat())
		if err != nil {
			return systemError(codeInputs, "the inputs cannot be written as files: %v", err).mayRetry()
		}
		inputs = staged
	}
	if err := a.layout.writeInputs(inputs); err != nil {
		return systemError(codeInputs, "inputs.pb cannot be written: %v", err).mayRetry()
	}
	template, err := proto.Marshal(a.task)
	if err == nil {
		err = os.WriteFile(a.layout.path(taskFile), template, 0o600)
	}
	if err != nil {
		return systemError(codeStorage, "the task's template cannot be written: %v", err).mayRetry()
	}
	return nil
}

// Where copilot puts the data of a raw container that does not say where it wants them.
const (
	defaultInputPath  = "/var/flyte/inputs"
	defaultOutputPath = "/var/flyte/outputs"
)

// dataPaths are where a raw container expects its inputs and outputs.
func (t *taskNode) dataPaths() (inputs, outputs string) {
	inputs, outputs = defaultInputPath, defaultOutputPath
	c := t.task.GetContainer().GetDataConfig()
	if c.GetInputPath() != "" {
		inputs = c.GetInputPath()
	}
	if c.GetOutputPath() != "" {
		outputs = c.GetOutputPath()
	}
	return inputs, outputs
}

// renderer fills the templates of an attempt. In process mode the paths at which
// a raw container expects its data cannot be had, so they are replaced by those
// of the attempt's directories wherever they stand in its command, arguments and
// environment; a program that has them built in finds the directories in
// TMINUS_INPUT_DIR and TMINUS_OUTPUT_DIR.
func (t *taskNode) renderer(l layout, number int, previous string) func(string) (string, error) {
	values := templates{inputs: t.inputs.GetLiterals(), declared: t.task.GetInterface().GetInputs().GetVariables(), values: map[string]string{
		"input":                  l.path(inputsDir, inputsFile),
		"inputprefix":            l.inputs(),
		"outputprefix":           l.outputs(),
		"rawoutputdataprefix":    l.path(rawDir),
		"checkpointoutputprefix": l.path(checkpointDir),
		"prevcheckpointprefix":   previous,
		"perretryuniquekey":      identifier(fmt.Sprintf("%s-%s-%d", t.stored.Name, t.record.Node, number)),
		"tasktemplatepath":       l.path(taskFile),
		"namespace":              t.stored.Project + "-" + t.stored.Domain,
	}}
	if t.cfg.Mode != Process || !t.raw() {
		return values.fill
	}
	inputs, outputs := t.dataPaths()
	return func(s string) (string, error) {
		return values.fill(movePaths(s, move{inputs, l.inputs()}, move{outputs, l.outputs()}))
	}
}

func fillAll(fill func(string) (string, error), all []string) ([]string, error) {
	filled := make([]string, len(all))
	for i, s := range all {
		var err error
		if filled[i], err = fill(s); err != nil {
			return nil, err
		}
	}
	return filled, nil
}
