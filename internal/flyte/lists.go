package flyte

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"

	"tminus.dev/gen/flyteidl/admin"
	"tminus.dev/gen/flyteidl/service"
)

// errOut says that Flyte does not answer.
var errOut = errors.New("no answer from Flyte")

// byRow sorts a list of flyteadmin's by its rows, which no change moves. Without, pages overlap.
var byRow = &admin.Sort{Key: "id", Direction: admin.Sort_ASCENDING}

// listed calls get for one page after the other, with the token of the page.
func listed(get func(token string) (next string, err error)) error {
	token := ""
	for {
		next, err := get(token)
		if err != nil || next == "" || next == token {
			return err
		}
		token = next
	}
}

// scheduled visits the launch plans with a schedule that are active in a place of Flyte: of one name
// there may be several versions, as flyteadmin does not see to it that there are not.
func scheduled(ctx context.Context, flyte service.AdminServiceClient, at place, visit func(*admin.LaunchPlan)) error {
	err := listed(func(token string) (string, error) {
		page, err := flyte.ListLaunchPlans(ctx, &admin.ResourceListRequest{
			Id: &admin.NamedEntityIdentifier{Project: at.project, Domain: at.domain}, Limit: pageSize, Token: token,
			Filters: "eq(state,1)+ne(schedule_type,NONE)", SortBy: byRow,
		})
		for _, plan := range page.GetLaunchPlans() {
			visit(plan)
		}
		return page.GetToken(), err
	})
	if err != nil {
		return fmt.Errorf("%w: list the active launch plans of %s:%s: %s", errOut, at.project, at.domain, explain(err))
	}
	return nil
}

// each calls do for every one of all, askers at a time, until one fails.
func each[E any](ctx context.Context, all []E, do func(context.Context, E) error) error {
	g, calling := errgroup.WithContext(ctx)
	g.SetLimit(askers)
	for _, e := range all {
		if calling.Err() != nil {
			break
		}
		g.Go(func() error { return do(calling, e) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return ctx.Err()
}
