package runner

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"tminus.dev/gen/flyteidl/core"
)

// The codes of core.ExecutionError that tminus gives; those that Flyte gives in
// the same case are spelled as there.
const (
	codeExit         = "NonZeroExit"
	codeSignal       = "Signaled"
	codeStart        = "StartError"
	codeTimeout      = "TimeoutExpired"
	codeInterrupted  = "Interrupted"
	codeNoOutputs    = "OutputsNotFound"
	codeBadOutputs   = "OutputsNotReadable"
	codeBigOutputs   = "OutputSizeExceeded"
	codeRaw          = "OutputUploadFailed" // what Flyte's copilot makes of _ERROR
	codeBadErrorFile = "ErrorFileBadFormat"
	codeInputs       = "InputsNotUsable"
	codeTemplate     = "BadTemplate"
	codeBinding      = "BindingResolutionError"
	codeWorkflow     = "BadSpecificationError"
	codeStorage      = "StorageError"
	codeInternal     = "RuntimeExecutionError"
	retriesExhausted = "RetriesExhausted|" // before the code of the last attempt
)

// nodeError is why a node, and with it its execution, failed.
type nodeError struct {
	cause *core.ExecutionError
	// node is the NodeExecution.Node that failed first; empty for the workflow as a whole.
	node string
	// retryable says that another attempt may succeed.
	retryable bool
	// timedOut says that a timeout ended it.
	timedOut bool
}

func (e *nodeError) Error() string { return e.cause.GetCode() + ": " + e.cause.GetMessage() }

// userError is a failure that lies in what the user gave; no retry helps.
func userError(code, format string, args ...any) *nodeError {
	return newError(core.ExecutionError_USER, code, fmt.Sprintf(format, args...))
}

// systemError is a failure of this machine or of tminus.
func systemError(code, format string, args ...any) *nodeError {
	return newError(core.ExecutionError_SYSTEM, code, fmt.Sprintf(format, args...))
}

func newError(kind core.ExecutionError_ErrorKind, code, message string) *nodeError {
	return &nodeError{cause: &core.ExecutionError{
		Code: code, Message: validText(message), Kind: kind, Timestamp: timestamppb.New(time.Now()),
	}}
}

// mayRetry marks a failure that another attempt may not meet again.
func (e *nodeError) mayRetry() *nodeError {
	e.retryable = true
	return e
}

// encode is the error as it is stored.
func (e *nodeError) encode() []byte {
	b, err := proto.Marshal(e.cause)
	if err != nil { // Its text is made valid above, so this is a bug, and the text still worth having.
		return nil
	}
	return b
}

// storedError reads back what encode wrote.
func storedError(b []byte) *core.ExecutionError {
	var e core.ExecutionError
	if err := proto.Unmarshal(b, &e); err != nil {
		return &core.ExecutionError{Code: codeInternal, Message: "the recorded error is unreadable: " + err.Error()}
	}
	return &e
}

// validText is s as protobuf can carry it.
func validText(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

// Gist is the line of a failure's message that says the most. It is the first,
// unless that only announces what follows, as the first line of a traceback does.
// Then it is the one below "Message:", where flytekit puts it, or else the last.
func Gist(message string) string {
	lines := strings.Split(strings.TrimSpace(message), "\n")
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	if !strings.HasSuffix(lines[0], ":") {
		return lines[0]
	}
	if at := slices.Index(lines, "Message:"); at >= 0 {
		for _, line := range lines[at+1:] {
			if line != "" {
				return line
			}
		}
	}
	return lines[len(lines)-1]
}

// asNodeError is err as a *nodeError; nil when it is none.
func asNodeError(err error) *nodeError {
	if e, ok := errors.AsType[*nodeError](err); ok {
		return e
	}
	return nil
}
