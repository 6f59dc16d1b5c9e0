package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"tminus.dev/gen/flyteidl/service"
	tminusv1 "tminus.dev/gen/tminus/v1"
)

// newGateway translates REST to gRPC calls on conn. The JSON is flyteadmin's:
// fields by their names in the proto files, empty ones included.
func (s *Server) newGateway(ctx context.Context, conn *grpc.ClientConn) (*runtime.ServeMux, error) {
	codec := &jsonCodec{runtime.JSONPb{
		MarshalOptions: protojson.MarshalOptions{UseProtoNames: true, EmitUnpopulated: true},
	}}
	mux := runtime.NewServeMux(
		runtime.WithMarshalerOption(runtime.MIMEWildcard, codec),
		runtime.WithMarshalerOption("application/octet-stream", &runtime.ProtoMarshaller{}), // Flyte's console asks for it.
		runtime.WithMiddlewares(s.checkParameters()),
		runtime.WithRoutingErrorHandler(routingError),
		runtime.WithIncomingHeaderMatcher(incomingHeader),
		runtime.WithOutgoingHeaderMatcher(func(key string) (string, bool) { return key, key == "tminus-warning" }),
		runtime.WithOutgoingTrailerMatcher(func(string) (string, bool) { return "", false }),
		// A request does what its method says, not what a form field does.
		runtime.WithDisablePathLengthFallback(),
		runtime.WithDisableHTTPMethodOverride(),
	)
	for _, register := range []func(context.Context, *runtime.ServeMux, *grpc.ClientConn) error{
		service.RegisterAdminServiceHandler,
		service.RegisterAuthMetadataServiceHandler,
		service.RegisterIdentityServiceHandler,
		service.RegisterDataProxyServiceHandler,
		tminusv1.RegisterScheduleServiceHandler,
		tminusv1.RegisterLogServiceHandler,
		tminusv1.RegisterAlertServiceHandler,
		tminusv1.RegisterKeeperServiceHandler,
		tminusv1.RegisterFlyteServiceHandler,
	} {
		if err := register(ctx, mux, conn); err != nil {
			return nil, fmt.Errorf("register the gateway: %w", err)
		}
	}
	return mux, nil
}

// incomingHeader is the metadata that a header becomes, if any.
func incomingHeader(key string) (string, bool) {
	switch key = strings.ToLower(key); key {
	case principalKey, reasonKey:
		return key, true
	}
	return runtime.DefaultHeaderMatcher(key)
}

// routingError answers requests that no method's path fits.
func routingError(ctx context.Context, mux *runtime.ServeMux, m runtime.Marshaler, w http.ResponseWriter, r *http.Request, httpStatus int) {
	err := status.Errorf(codes.NotFound, "there is nothing at %s", short(r.URL.Path, 200))
	switch httpStatus {
	case http.StatusMethodNotAllowed:
		err = status.Errorf(codes.Unimplemented, "%s is not what %s takes", short(r.Method, 20), short(r.URL.Path, 200))
	case http.StatusBadRequest:
		err = status.Errorf(codes.InvalidArgument, "the path %s cannot be read", short(r.URL.Path, 200))
	}
	runtime.DefaultHTTPErrorHandler(ctx, mux, m, w, r, &runtime.HTTPStatusError{HTTPStatus: httpStatus, Err: err})
}

// jsonCodec is JSON whose decoding is strict and says what is wrong.
type jsonCodec struct{ runtime.JSONPb }

// NewDecoder reads one message, which has to be all there is.
func (c *jsonCodec) NewDecoder(r io.Reader) runtime.Decoder { //nolint:ireturn // So the gateway has it.
	return runtime.DecoderFunc(func(v any) error {
		body, err := io.ReadAll(r)
		if large, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return fmt.Errorf("body: is longer than %d bytes", large.Limit)
		}
		if err != nil {
			return fmt.Errorf("body: %w", err)
		}
		if len(bytes.TrimSpace(body)) == 0 {
			return io.EOF // The gateway takes it for an empty message.
		}
		m, ok := v.(proto.Message)
		if !ok {
			return fmt.Errorf("body: cannot be read into %T", v)
		}
		if err := protojson.Unmarshal(body, m); err != nil {
			// The library's name is no news; the blank after it is at times one that does not break.
			return errors.New("body: " + strings.TrimLeft(strings.TrimPrefix(err.Error(), "proto:"), " \u00a0"))
		}
		return nil
	})
}

// checkParameters refuses query parameters that a method does not have, which
// the gateway would ignore: a misspelt filter must not list everything.
func (s *Server) checkParameters() runtime.Middleware {
	known := parameters(
		service.File_flyteidl_service_admin_proto, service.File_flyteidl_service_auth_proto,
		service.File_flyteidl_service_identity_proto, service.File_flyteidl_service_dataproxy_proto,
		tminusv1.File_tminus_v1_schedule_proto, tminusv1.File_tminus_v1_alert_proto,
	)
	return func(next runtime.HandlerFunc) runtime.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request, pathParams map[string]string) {
			if strings.Contains(r.URL.RawQuery, ";") {
				// It separates the values of value_in; Go takes it for a mistake unless it is escaped.
				u := *r.URL
				u.RawQuery = strings.ReplaceAll(u.RawQuery, ";", "%3B")
				r = r.WithContext(r.Context())
				r.URL = &u
			}
			pattern, _ := runtime.HTTPPattern(r.Context())
			template := strings.ReplaceAll(pattern.String(), "=*}", "}")
			for key := range r.URL.Query() {
				if request := known[r.Method+" "+template]; request == nil || !hasField(request, key) {
					s.writeError(w, r, refuse(http.StatusBadRequest, codes.InvalidArgument, "query parameter %q: unknown to %s %s", short(key, 60), r.Method, template))
					return
				}
			}
			next(w, r, pathParams)
		}
	}
}

// parameters is the requests whose fields can be query parameters, by method
// and path as the annotations in files have it. Requests with a body have none.
func parameters(files ...protoreflect.FileDescriptor) map[string]protoreflect.MessageDescriptor {
	known := map[string]protoreflect.MessageDescriptor{}
	for _, f := range files {
		for i := range f.Services().Len() {
			methods := f.Services().Get(i).Methods()
			for j := range methods.Len() {
				m := methods.Get(j)
				rule, ok := proto.GetExtension(m.Options(), annotations.E_Http).(*annotations.HttpRule)
				if !ok {
					continue
				}
				for _, r := range append(rule.GetAdditionalBindings(), rule) {
					if path := r.GetGet(); path != "" {
						known[http.MethodGet+" "+path] = m.Input()
					}
				}
			}
		}
	}
	return known
}

// hasField says whether path, such as sort_by.key, leads to a field of d.
func hasField(d protoreflect.MessageDescriptor, path string) bool {
	for name := range strings.SplitSeq(path, ".") {
		if d == nil {
			return false
		}
		name, _, _ = strings.Cut(name, "[") // A map's key follows.
		f := d.Fields().ByTextName(name)
		if f == nil {
			f = d.Fields().ByJSONName(name)
		}
		if f == nil {
			return false
		}
		d = f.Message()
	}
	return true
}
