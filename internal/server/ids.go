package server

import (
	"context"
	"errors"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"tminus.dev/gen/flyteidl/admin"
	"tminus.dev/gen/flyteidl/core"
	"tminus.dev/internal/ident"
	"tminus.dev/internal/invalid"
	"tminus.dev/internal/store"
	"tminus.dev/internal/workflow"
)

// identifier reads the identifier of a version of kind; its problems are
// reported under the field's name. Clients may leave the resource type out,
// because the call implies it.
func identifier(field string, id *core.Identifier, kind core.ResourceType) (ident.ID, error) {
	read := workflow.ID(id)
	if id == nil {
		return read, invalid.Field(field, "is missing")
	}
	if t := id.GetResourceType(); t != kind && t != core.ResourceType_UNSPECIFIED {
		return read, invalid.Field(field+".resource_type", "is %s; use %s, or leave it out", t, kind)
	}
	if err := checkOrg(field+".", id); err != nil {
		return read, err
	}
	return read, read.Validate(field + ".")
}

// unversioned is the identifier of an execution, or of an entity apart from its versions.
type unversioned interface {
	proto.Message
	GetProject() string
	GetDomain() string
	GetName() string
	GetOrg() string
}

// key reads the identifier in field.
func key(field string, id unversioned) (ident.Key, error) {
	if !id.ProtoReflect().IsValid() {
		return ident.Key{}, invalid.Field(field, "is missing")
	}
	read := ident.Key{Project: id.GetProject(), Domain: id.GetDomain(), Name: id.GetName()}
	if err := checkOrg(field+".", id); err != nil {
		return read, err
	}
	return read, read.Validate(field + ".")
}

func wireExecutionID(key ident.Key) *core.WorkflowExecutionIdentifier {
	return &core.WorkflowExecutionIdentifier{Project: key.Project, Domain: key.Domain, Name: key.Name}
}

// nodeKey reads the identifier of a node of an execution.
func nodeKey(field string, id *core.NodeExecutionIdentifier) (ident.Key, string, error) {
	if id == nil {
		return ident.Key{}, "", invalid.Field(field, "is missing")
	}
	key, err := key(field+".execution_id", id.GetExecutionId())
	if err != nil {
		return key, "", err
	}
	return key, id.GetNodeId(), checkNode(field+".node_id", id.GetNodeId())
}

func wireNodeID(execution ident.Key, node string) *core.NodeExecutionIdentifier {
	return &core.NodeExecutionIdentifier{NodeId: node, ExecutionId: wireExecutionID(execution)}
}

// maxNode bounds the identifier of a node, in bytes; those of deeply nested workflows grow long.
const maxNode = 1024

func checkNode(field, node string) error {
	switch {
	case node == "":
		return invalid.Field(field, "is empty")
	case len(node) > maxNode:
		return invalid.Field(field, "is %d bytes long; %d is the most", len(node), maxNode)
	case strings.ContainsRune(node, '/'):
		return invalid.Field(field, "%q: character '/' is not allowed", node)
	}
	return nil
}

// checkOrg refuses organizations: only hosted Flytes have them, and what two of
// them call the same must not become one thing here.
func checkOrg(prefix string, m interface{ GetOrg() string }) error {
	if org := m.GetOrg(); org != "" {
		return invalid.Field(prefix+"org", "%q: there are no organizations here; leave it empty", short(org, 60))
	}
	return nil
}

// checkEnum refuses a number that the enumeration does not have.
func checkEnum[E interface {
	~int32
	protoreflect.Enum
}](field string, value E) error {
	known := value.Descriptor().Values()
	if known.ByNumber(protoreflect.EnumNumber(value)) != nil {
		return nil
	}
	names := make([]string, known.Len())
	for i := range names {
		names[i] = string(known.Get(i).Name())
	}
	return invalid.Field(field, "is %d; use one of %s", int32(value), strings.Join(names, ", "))
}

// place checks that a project is registered and that the domain is one of this server's.
func (s *Server) place(ctx context.Context, prefix, project, domain string) (store.Project, error) {
	if err := (ident.Key{Project: project, Domain: domain, Name: "n"}).Validate(prefix); err != nil {
		return store.Project{}, err
	}
	if !slices.Contains(domains, domain) {
		return store.Project{}, notFound("%sdomain: there is no domain %q; the domains are %s", prefix, domain, strings.Join(domains, ", "))
	}
	return s.project(ctx, prefix+"project", project)
}

// project reads a project.
func (s *Server) project(ctx context.Context, field, id string) (store.Project, error) {
	p, err := s.store.Project(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return p, notFound("%s: project %q is not registered", field, id)
	}
	return p, err
}

// openPlace is place for what registers or launches something, which an archived project refuses.
func (s *Server) openPlace(ctx context.Context, prefix, project, domain string) error {
	p, err := s.place(ctx, prefix, project, domain)
	if err != nil {
		return err
	}
	if p.Archived() {
		st := status.Newf(codes.InvalidArgument, "%sproject: project %q is archived; make it active first", prefix, project)
		if detailed, err := st.WithDetails(&admin.InactiveProject{Id: project}); err == nil {
			st = detailed // As Flyte's clients expect it.
		}
		return st.Err()
	}
	return nil
}
