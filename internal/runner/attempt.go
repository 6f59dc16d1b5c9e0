package runner

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"tminus.dev/gen/flyteidl/core"
)

// run runs the command and judges the result. The error is a *nodeError,
// errAborted when the attempt was ended from outside, or errLeft.
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
		case errors.Is(cause, errLost):
			return nil, errLeft
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
	ended, err := a.command.run(ctx, a.cfg.Grace, func(pid int) {
		if err := remember(string(a.layout), pid); err != nil {
			log.ErrorContext(ctx, "cannot write down a process; it may outlive a crash", slog.Any("error", err))
		}
	})
	if err := forget(string(a.layout)); err != nil {
		log.WarnContext(ctx, "cannot remove the record of a process", slog.Any("error", err))
	}
	if a.cfg.Mode != Process && ended.ended {
		// The container outlives its client when that is killed.
		if err := a.engine(ctx, removal(containerName(string(a.layout)))...); err != nil {
			log.WarnContext(ctx, "cannot remove a container; it may be gone", slog.Any("error", err))
		}
	}
	return ended, err
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
	if words := cmp.Or(a.layout.tail(stderrFile), a.layout.tail(stdoutFile)); words != "" {
		message += ": " + words
	}
	return userError(code, "%s", message).mayRetry()
}

// tailSize is how much of a process's last words an error quotes, in bytes.
const tailSize = 2 << 10

// tail is the end of a file of text of the attempt, in whole lines; empty if it cannot be had.
func (l layout) tail(name string) string {
	f, info, err := open(string(l), name)
	if err != nil {
		return ""
	}
	defer f.Close()
	from := max(0, info.Size()-tailSize)
	b, err := io.ReadAll(io.NewSectionReader(f, from, tailSize))
	if err != nil {
		return ""
	}
	text := string(b)
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
	case errors.Is(err, errDynamic):
		return nil, userError(codeWorkflow, "%v", err)
	case errors.Is(err, errTooBig):
		return nil, userError(codeBigOutputs, "%v", err)
	default:
		return nil, userError(codeBadOutputs, "the outputs cannot be read: %v", err)
	}
}

// errDynamic says that a task wrote another workflow in place of outputs.
var errDynamic = errors.New("the task is a dynamic workflow; those need a Flyte cluster")

func (a *attempt) readOutputs(declared map[string]*core.Variable) (*core.LiteralMap, error) {
	if a.raw() {
		return a.layout.collect(declared)
	}
	b, err := a.layout.readOutput(outputsFile)
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Lstat(a.layout.path(outputsDir, futuresFile)); err == nil {
			return nil, errDynamic
		}
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
