package runner

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"tminus.dev/gen/flyteidl/core"
	"tminus.dev/internal/ident"
	"tminus.dev/internal/store"
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
		previous = layout(filepath.Join(t.cfg.Dir, attemptDir(t.Key, t.record.Node, number-1))).path(checkpointDir)
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
	var env environment
	if t.cfg.Mode == Process {
		env.inherit()
	}
	for _, v := range container.GetEnv() {
		value, err := render(v.GetValue())
		if err != nil {
			return nil, userError(codeTemplate, "env %s: %v", v.GetKey(), err)
		}
		env.set(v.GetKey(), value)
	}
	var id ident.ID
	if t.Kind != store.Task {
		id = t.Execution.Workflow
	}
	env.identify(t.Key, id, workflow.ID(t.task.GetId()), number)
	env.setAll(t.envs)
	env.set(attemptVariable, string(a.layout))
	env.set(inputDirVariable, a.layout.inputs())
	env.set(outputDirVariable, a.layout.outputs())

	a.command = command{dir: a.layout.path(workDir), env: env}
	if t.cfg.Mode == Process {
		a.command.argv = slices.Concat(program, args)
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
		dir: string(a.layout), uid: os.Getuid(), gid: os.Getgid(),
	}
	if t.raw() {
		run.inputs, run.outputs = t.dataPaths()
	}
	a.command.argv = run.argv()
	a.command.env = os.Environ() // The engine's client runs as tminus does.
	return a, nil
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
	values := templates{inputs: t.inputs.GetLiterals(), values: map[string]string{
		"input":                  l.path(inputsDir, inputsFile),
		"inputprefix":            l.inputs(),
		"outputprefix":           l.outputs(),
		"rawoutputdataprefix":    l.path(rawDir),
		"checkpointoutputprefix": l.path(checkpointDir),
		"prevcheckpointprefix":   previous,
		"perretryuniquekey":      identifier(fmt.Sprintf("%s-%s-%d", t.Key.Name, t.record.Node, number)),
		"tasktemplatepath":       l.path(taskFile),
		"namespace":              t.Key.Project + "-" + t.Key.Domain,
	}}
	if t.cfg.Mode != Process || !t.raw() {
		return values.fill
	}
	inputs, outputs := t.dataPaths()
	return func(s string) (string, error) {
		return values.fill(movePath(movePath(s, inputs, l.inputs()), outputs, l.outputs()))
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

// run runs the command and judges the result. The error is a *nodeError, or
// errAborted when the attempt was ended from outside.
func (a *attempt) run(ctx context.Context) (_ *core.LiteralMap, err error) {
	if a.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, a.timeout, errTimeout)
		defer cancel()
	}
	ended, err := a.execute(ctx)
	if err != nil {
		return nil, userError(codeStart, "the command cannot be started: %v", err)
	}
	if ended.ended {
		switch cause := context.Cause(ctx); {
		case errors.Is(cause, errTimeout):
			failure := userError(codeTimeout, "the attempt ran longer than its timeout of %s", a.timeout).mayRetry()
			failure.timedOut = true
			return nil, failure
		case errors.Is(cause, errInterrupted):
			return nil, interruption()
		default:
			return nil, errAborted
		}
	}
	if failure := a.reported(); failure != nil {
		return nil, failure
	}
	if !ended.state.Success() {
		return nil, a.exitError(ended.state)
	}
	return a.outputs()
}

// execute runs the command with its output in files. There is no limit to their
// size but the disk's.
func (a *attempt) execute(ctx context.Context) (_ exit, err error) {
	files := []**os.File{&a.command.stdout, &a.command.stderr}
	for i, name := range []string{stdoutFile, stderrFile} {
		f, err := os.OpenFile(a.layout.path(name), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
		if err != nil {
			return exit{}, err
		}
		defer func() { err = errors.Join(err, f.Close()) }()
		*files[i] = f
	}
	log := a.cfg.Log.With(slog.String("dir", string(a.layout)))
	ended, err := a.command.run(ctx, a.cfg.Grace, func(p processRecord) {
		if err := p.write(string(a.layout)); err != nil {
			log.ErrorContext(ctx, "cannot write down a process; it may outlive a crash", slog.Any("error", err))
		}
	})
	if a.cfg.Mode != Process && ended.ended {
		a.removeContainer(ctx, string(a.layout))
	}
	if err := os.Remove(a.layout.path(processFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		log.WarnContext(ctx, "cannot remove the record of a process", slog.Any("error", err))
	}
	return ended, err
}

// removeContainer ends the container of the attempt in dir, if there is one.
func (r *Runner) removeContainer(ctx context.Context, dir string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	argv := removal(r.cfg.Mode, dir)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...) //nolint:gosec // An engine's client with a name made here.
	if output, err := cmd.CombinedOutput(); err != nil {
		r.cfg.Log.WarnContext(ctx, "cannot remove a container; it may be gone",
			slog.String("dir", dir), slog.Any("error", err), slog.String("output", string(output)))
	}
}

// reported is the error that the task wrote down, whatever its exit status; nil if it did not.
func (a *attempt) reported() *nodeError {
	if a.raw() {
		b, err := a.layout.readOutput(rawErrorFile)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return userError(codeRaw, "the task reports an error that cannot be read: %v", err).mayRetry()
		default:
			return userError(codeRaw, "%s", strings.TrimSpace(string(b))).mayRetry()
		}
	}
	b, err := a.layout.readOutput(errorFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var document core.ErrorDocument
	if err == nil {
		err = proto.Unmarshal(b, &document)
	}
	if err == nil && document.GetError() == nil {
		err = errors.New("it holds no error")
	}
	if err != nil {
		return systemError(codeBadErrorFile, "the task reports an error that cannot be read: %v", err).mayRetry()
	}
	e := document.GetError()
	failure := newError(e.GetOrigin(), e.GetCode(), e.GetMessage())
	if e.GetOrigin() == core.ExecutionError_UNKNOWN {
		failure.cause.Kind = core.ExecutionError_USER
	}
	if e.GetTimestamp() != nil {
		failure.cause.Timestamp = e.GetTimestamp()
	}
	failure.cause.Worker = e.GetWorker()
	failure.retryable = e.GetKind() == core.ContainerError_RECOVERABLE
	return failure
}

// exitError is the failure of a process that ended badly and said no more.
func (a *attempt) exitError(state *os.ProcessState) *nodeError {
	code := codeExit
	if state.ExitCode() < 0 {
		code = codeSignal
	}
	message := state.String() // "exit status 3" or "signal: killed"
	for _, name := range []string{stderrFile, stdoutFile} {
		if end := tail(a.layout.path(name)); end != "" {
			message += ": " + end
			break
		}
	}
	return userError(code, "%s", message).mayRetry()
}

// tailSize is how much of a process's last words an error quotes, in bytes.
const tailSize = 2 << 10

// tail is the end of a file of text, in whole lines; empty if it cannot be had.
func tail(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return ""
	}
	from := max(0, size-tailSize)
	b := make([]byte, size-from)
	n, err := f.ReadAt(b, from)
	if err != nil && !errors.Is(err, io.EOF) {
		return ""
	}
	text := string(b[:n])
	if from > 0 {
		if _, rest, cut := strings.Cut(text, "\n"); cut && strings.TrimSpace(rest) != "" {
			text = rest
		}
	}
	return strings.TrimSpace(validText(text))
}

// outputs are what a task that succeeded wrote.
func (a *attempt) outputs() (*core.LiteralMap, error) {
	declared := a.task.GetInterface().GetOutputs().GetVariables()
	if len(declared) == 0 {
		return &core.LiteralMap{}, nil
	}
	outputs, err := a.readOutputs(declared)
	var missing *missingOutputsError
	switch {
	case err == nil:
		return outputs, nil
	case errors.As(err, &missing):
		where := "in " + outputsFile + " in {{.outputPrefix}}"
		if a.raw() {
			_, path := a.dataPaths()
			where = "as files in " + path + " ($" + outputDirVariable + ")"
		}
		return nil, userError(codeNoOutputs, "%v; they are expected %s", missing, where).mayRetry()
	case errors.Is(err, errTooBig):
		return nil, userError(codeBigOutputs, "%v", err)
	default:
		return nil, userError(codeBadOutputs, "the outputs cannot be read: %v", err)
	}
}

func (a *attempt) readOutputs(declared map[string]*core.Variable) (*core.LiteralMap, error) {
	if a.raw() {
		return a.layout.collect(declared)
	}
	b, err := a.layout.readOutput(outputsFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &missingOutputsError{slices.Sorted(maps.Keys(declared))}
	}
	if err != nil {
		return nil, err
	}
	outputs, err := literalMap(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", outputsFile, err)
	}
	var missing []string
	for _, name := range slices.Sorted(maps.Keys(declared)) {
		if _, ok := outputs.GetLiterals()[name]; !ok {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		return nil, &missingOutputsError{missing}
	}
	return outputs, nil
}
