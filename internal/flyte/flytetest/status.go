package flytetest

import (
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"

	"tminus.dev/gen/flyteidl/admin"
)

// invalidf is the answer to what can never be right.
func invalidf(format string, args ...any) error {
	return status.Errorf(codes.InvalidArgument, format, args...)
}

// missing is the answer to a request without a required field (pkg/manager/impl/shared/errors.go).
func missing(field string) error { return invalidf("missing %s", field) }

// detailed adds what programs read to an error that people read.
func detailed(code codes.Code, message string, detail protoadapt.MessageV1) error {
	st, err := status.New(code, message).WithDetails(detail)
	if err != nil {
		return status.Error(codes.Internal, err.Error())
	}
	return st.Err()
}

// inactiveProject is the answer to whatever is to be registered or launched in an archived project. Flyte's own scheduler tells it
// by the detail, and drops the slot (pkg/errors/errors.go, scheduler/executor/executor_impl.go).
func inactiveProject(id string) error {
	return detailed(codes.InvalidArgument, "project ["+id+"] is not active", protoadapt.MessageV1Of(&admin.InactiveProject{Id: id}))
}

// noEntity is the answer to what is not there (pkg/repositories/errors/errors.go).
func noEntity(kind string, id any) error {
	return status.Errorf(codes.NotFound, "missing entity of type %s with identifier %v", kind, id)
}
