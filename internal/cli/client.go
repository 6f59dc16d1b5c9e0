package cli

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/user"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"tminus.dev/gen/flyteidl/admin"
	"tminus.dev/gen/flyteidl/core"
	"tminus.dev/gen/flyteidl/service"
	tminusv1 "tminus.dev/gen/tminus/v1"
)

const defaultEndpoint = "127.0.0.1:8089"

// maxAnswer bounds one answer of the server, in bytes.
const maxAnswer = 64 << 20

// A client is the flags that all commands share.
type client struct {
	endpoint, project, domain string
	format                    format
}

// A connection is one to the server, with its clients.
type connection struct {
	*grpc.ClientConn
	admin     service.AdminServiceClient
	schedules tminusv1.ScheduleServiceClient
	logs      tminusv1.LogServiceClient
	alerts    tminusv1.AlertServiceClient
	keepers   tminusv1.KeeperServiceClient
	flyte     tminusv1.FlyteServiceClient
}

// errNoServer says that nobody answers.
var errNoServer = errors.New("no server")

// with runs do with a connection, which it closes afterwards.
func (c *client) with(do func(*connection) error) error {
	target, secured := strings.CutPrefix(c.endpoint, "https://")
	target = strings.TrimPrefix(target, "http://")
	transport := insecure.NewCredentials()
	if secured {
		transport = credentials.NewTLS(&tls.Config{MinVersion: tls.VersionTLS12})
	}
	conn, err := grpc.NewClient("passthrough:///"+target,
		grpc.WithTransportCredentials(transport),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxAnswer)),
		grpc.WithUnaryInterceptor(signed),
	)
	if err != nil {
		return fmt.Errorf("endpoint %q: %w", c.endpoint, err)
	}
	defer conn.Close()
	return c.unreachable(do(&connection{
		ClientConn: conn,
		admin:      service.NewAdminServiceClient(conn),
		schedules:  tminusv1.NewScheduleServiceClient(conn),
		logs:       tminusv1.NewLogServiceClient(conn),
		alerts:     tminusv1.NewAlertServiceClient(conn),
		keepers:    tminusv1.NewKeeperServiceClient(conn),
		flyte:      tminusv1.NewFlyteServiceClient(conn),
	}))
}

// Connect runs do with a connection to the server that --endpoint names, for
// commands beside those of this package.
func Connect(cmd *cobra.Command, do func(grpc.ClientConnInterface) error) error {
	c := &client{endpoint: cmd.Flag("endpoint").Value.String()}
	return c.with(func(s *connection) error { return do(s.ClientConn) })
}

// signed makes a call that says who makes it. It is a claim: the server has no way to prove it.
func signed(ctx context.Context, method string, request, answer any, conn *grpc.ClientConn, call grpc.UnaryInvoker, options ...grpc.CallOption) error {
	return call(metadata.AppendToOutgoingContext(ctx, "tminus-principal", url.PathEscape(principal())), method, request, answer, conn, options...)
}

// principal is the user of this machine, such as ada@laptop.
func principal() string {
	name := os.Getenv("USER")
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return cmp.Or(name, "unknown") + "@" + host
}

// withReason makes calls that say why, for Flyte's requests, which have no field for it.
func withReason(ctx context.Context, reason string) context.Context {
	if reason == "" {
		return ctx
	}
	return metadata.AppendToOutgoingContext(ctx, "tminus-reason", url.PathEscape(reason))
}

// unreachable tells an error of the connection, which has a cure, from a server's answer.
func (c *client) unreachable(err error) error {
	st, ok := status.FromError(err)
	if !ok || st.Code() != codes.Unavailable || !strings.Contains(st.Message(), "connection error") {
		return err
	}
	_, reason, _ := strings.Cut(st.Message(), "desc = ")
	if strings.Contains(reason, "connection refused") {
		return fmt.Errorf("%w at %s; start one with `tminus serve`", errNoServer, c.endpoint)
	}
	return fmt.Errorf("%w answers at %s: %s", errNoServer, c.endpoint, strings.Trim(reason, `"`))
}

// active is the active version of a launch plan or, if none is, the newest.
func (s *connection) active(ctx context.Context, c *client, name string) (*admin.LaunchPlan, error) {
	id := &admin.NamedEntityIdentifier{Project: c.project, Domain: c.domain, Name: name}
	plan, err := s.admin.GetActiveLaunchPlan(ctx, &admin.ActiveLaunchPlanRequest{Id: id})
	if status.Code(err) != codes.NotFound {
		return plan, err
	}
	return s.newest(ctx, c, name)
}

// newest is the version of a launch plan that was registered last.
func (s *connection) newest(ctx context.Context, c *client, name string) (*admin.LaunchPlan, error) {
	list, err := s.admin.ListLaunchPlans(ctx, &admin.ResourceListRequest{
		Id:    &admin.NamedEntityIdentifier{Project: c.project, Domain: c.domain, Name: name},
		Limit: 1, SortBy: newestFirst(),
	})
	if err != nil {
		return nil, err
	}
	if len(list.GetLaunchPlans()) == 0 {
		return nil, status.Errorf(codes.NotFound, "there is no launch plan %s in %s/%s", name, c.project, c.domain)
	}
	return list.GetLaunchPlans()[0], nil
}

// version is one version of a launch plan; without one, what otherwise says.
func (s *connection) version(
	ctx context.Context, c *client, name, version string,
	otherwise func(*connection, context.Context, *client, string) (*admin.LaunchPlan, error),
) (*admin.LaunchPlan, error) {
	if version == "" {
		return otherwise(s, ctx, c, name)
	}
	return s.admin.GetLaunchPlan(ctx, &admin.ObjectGetRequest{Id: &core.Identifier{
		ResourceType: core.ResourceType_LAUNCH_PLAN, Project: c.project, Domain: c.domain, Name: name, Version: version,
	}})
}

func newestFirst() *admin.Sort {
	return &admin.Sort{Key: "created_at", Direction: admin.Sort_DESCENDING}
}

// pageSize is how many records are asked for at once.
const pageSize = 100

// pages calls get for one page after the other until there are limit records,
// or no more. get returns how many it got. A limit of 0 means all.
func pages(limit int, get func(size uint32, token string) (got int, next string, err error)) error {
	token := ""
	for total := 0; limit == 0 || total < limit; {
		size := pageSize
		if limit > 0 {
			size = min(size, limit-total)
		}
		got, next, err := get(uint32(size), token)
		if err != nil {
			return err
		}
		if total += got; next == "" || got == 0 {
			return nil
		}
		token = next
	}
	return nil
}

// completionTime bounds the wait for a server while somebody types.
const completionTime = time.Second

// completer offers names for the first argument.
func (c *client) completer(list func(context.Context, *connection) ([]string, error)) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), completionTime)
		defer cancel()
		var names []string
		err := c.with(func(s *connection) (err error) {
			names, err = list(ctx, s)
			return err
		})
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}

func (c *client) launchPlanNames(ctx context.Context, s *connection) ([]string, error) {
	var names []string
	err := pages(1000, func(size uint32, token string) (int, string, error) {
		list, err := s.admin.ListLaunchPlanIds(ctx, &admin.NamedEntityIdentifierListRequest{
			Project: c.project, Domain: c.domain, Limit: size, Token: token,
		})
		for _, id := range list.GetEntities() {
			names = append(names, id.GetName())
		}
		return len(list.GetEntities()), list.GetToken(), err
	})
	return names, err
}

func (c *client) executionNames(ctx context.Context, s *connection) ([]string, error) {
	list, err := s.admin.ListExecutions(ctx, &admin.ResourceListRequest{
		Id: &admin.NamedEntityIdentifier{Project: c.project, Domain: c.domain}, Limit: pageSize, SortBy: newestFirst(),
	})
	var names []string
	for _, e := range list.GetExecutions() {
		names = append(names, e.GetId().GetName())
	}
	return names, err
}
