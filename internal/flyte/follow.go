package flyte

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"tminus.dev/gen/flyteidl/admin"
	"tminus.dev/gen/flyteidl/core"
	"tminus.dev/gen/flyteidl/service"
	"tminus.dev/internal/ident"
	"tminus.dev/internal/launchplan"
	"tminus.dev/internal/schedule"
	"tminus.dev/internal/store"
	"tminus.dev/internal/workflow"
)

// Catalog is the database as a Follower sees it; package storetest says what each
// method promises.
type Catalog interface {
	Now(ctx context.Context) (time.Time, error)
	Project(ctx context.Context, id string) (store.Project, error)
	CreateProject(ctx context.Context, p store.Project) error
	Calendar(ctx context.Context, name string) (store.Calendar, error)
	EachSchedule(ctx context.Context, q store.Query, visit func(schedule.Schedule) error) error
	ActivateAll(ctx context.Context, plans []store.Activation, c store.Change) error
	Deactivate(ctx context.Context, id ident.ID, c store.Change) error
}

// FollowerConfig tunes a Follower; its zero value is what most want.
type FollowerConfig struct {
	// Every is how often what changed on Flyte is asked for; 0 means 10 s.
	Every time.Duration
	// All is how often all active launch plans are: flyteadmin does not say what was
	// activated, only what was registered or deactivated. 0 means a minute.
	All time.Duration
	// Projects are those that are followed; none means all.
	Projects []string
	// Express says what those who keep time cannot do of a launch plan's schedule; nil means that they can do everything.
	Express func(ident.Key, schedule.Spec) error
	// Changed is called when schedules changed. It must not block; nil means nobody is told.
	Changed func()
	// Log takes what operators should know; nil means none of it.
	Log *slog.Logger
}

func (c FollowerConfig) withDefaults() FollowerConfig {
	c.Every = cmp.Or(c.Every, 10*time.Second)
	c.All = cmp.Or(c.All, time.Minute)
	if c.Express == nil {
		c.Express = func(ident.Key, schedule.Spec) error { return nil }
	}
	if c.Changed == nil {
		c.Changed = func() {}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

// Follower makes the active launch plans of a flyteadmin that have schedules active
// here, and those inactive that are not any more. It believes that one is not only
// where flyteadmin says so of that one.
type Follower struct {
	admin service.AdminServiceClient
	db    Catalog
	cfg   FollowerConfig

	mu        sync.Mutex
	offset    time.Duration // see ahead
	following Following
	confirmed map[ident.ID]bool // what a person said may go
	ready     bool              // see Ready
}

// Following is how it goes.
type Following struct {
	// Schedules is how many are followed. Listed is when all were listed last, Asked when what changed was; zero means never.
	Schedules     int
	Listed, Asked time.Time
	// Problem is why that does not work at present; empty means that it does.
	Problem string
	// Held are launch plans that are active here and that flyteadmin does not know
	// any more; they stay active until a person confirms that they may go.
	Held []ident.ID
	// Refused says of launch plans why they cannot fire.
	Refused map[ident.ID]string
	// Omitted is how many active launch plans the last list left out.
	Omitted int
}

// NewFollower makes a follower; Run starts it.
func NewFollower(conn grpc.ClientConnInterface, db Catalog, cfg FollowerConfig) *Follower {
	return &Follower{
		admin: service.NewAdminServiceClient(conn), db: db, cfg: cfg.withDefaults(), offset: -skew,
		following: Following{Refused: make(map[ident.ID]string)}, confirmed: make(map[ident.ID]bool),
	}
}

// Following says how it goes.
func (f *Follower) Following() Following {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.following
	s.Held, s.Refused = slices.Clone(s.Held), maps.Clone(s.Refused)
	return s
}

// Ready says that what is active here was compared with Flyte since this process
// began: until then nothing is to launch, as it may not be active any more.
func (f *Follower) Ready() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.ready
}

// Room is of, see engine.Config, and none until the follower is Ready. What comes due
// before is planned and waits, and a deactivation skips it.
func (f *Follower) Room(of func() (launches int, wait time.Duration)) func() (launches int, wait time.Duration) {
	return func() (launches int, wait time.Duration) {
		if !f.Ready() {
			return 0, time.Second
		}
		return of()
	}
}

// Confirm says that launch plans which are Held may go, which they do with the next list. It says how many there were.
func (f *Follower) Confirm() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, id := range f.following.Held {
		f.confirmed[id] = true
	}
	return len(f.following.Held)
}

// Run follows until ctx ends. A flyteadmin that fails is asked again; until it
// answers everything stays as it is.
func (f *Follower) Run(ctx context.Context) error {
	var listed time.Time
	since := make(map[place]time.Time)
	pause := time.Second
	for {
		var err error
		if time.Since(listed) >= f.cfg.All {
			if err = f.list(ctx, since); err == nil {
				listed = time.Now()
			}
		} else {
			err = f.ask(ctx, since)
		}
		wait := f.cfg.Every
		switch {
		case ctx.Err() != nil:
			return nil //nolint:nilerr // Told to stop.
		case err == nil:
			pause = time.Second
		default:
			wait, pause = pause, min(2*pause, max(f.cfg.Every, f.cfg.All/2))
		}
		f.note(ctx, err)
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
	}
}

// note says when following does not work, and when it does again.
func (f *Follower) note(ctx context.Context, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	before := f.following.Problem
	f.following.Problem = ""
	if err != nil {
		f.following.Problem = err.Error()
	}
	switch {
	case err != nil && before != f.following.Problem:
		f.cfg.Log.ErrorContext(ctx, "cannot follow the launch plans on Flyte; all stays as it is, and it is tried again", slog.Any("error", err))
	case err == nil && before != "":
		f.cfg.Log.InfoContext(ctx, "the launch plans on Flyte are followed again")
	}
}

// place is where launch plans are listed.
type place struct{ project, domain string }

const (
	// pageSize is how many launch plans one request asks for.
	pageSize = 1000
	// askers is how many requests about launch plans are open at once.
	askers = 4
	// activateMost is how many launch plans are activated in one transaction.
	activateMost = 200
	// overlap is how much of the time that was asked about is asked about again: what
	// was written by a transaction that ended late, or by a clock that is behind.
	overlap = 15 * time.Second
	// skew is how much flyteadmin's clock may be behind ours as long as nothing tells its time.
	skew = 10 * time.Minute
	// sample is how many launch plans that a list left out are looked at one by one
	// before the others are.
	sample = 20
)

// places are those to list, and whether each project that flyteadmin names is archived.
func (f *Follower) places(ctx context.Context) (places []place, err error) {
	answer, err := f.admin.GetDomains(ctx, &admin.GetDomainRequest{})
	if err != nil {
		return nil, fmt.Errorf("list the domains of Flyte: %w", err)
	}
	request := &admin.ProjectListRequest{Limit: pageSize, SortBy: &admin.Sort{Key: "identifier", Direction: admin.Sort_ASCENDING}}
	for {
		page, err := f.admin.ListProjects(ctx, request)
		if err != nil {
			return nil, fmt.Errorf("list the projects of Flyte: %w", err)
		}
		for _, p := range page.GetProjects() {
			if len(f.cfg.Projects) > 0 && !slices.Contains(f.cfg.Projects, p.GetId()) {
				continue
			}
			if err := f.register(ctx, p); err != nil {
				return nil, err
			}
			for _, d := range answer.GetDomains() {
				places = append(places, place{p.GetId(), d.GetId()})
			}
		}
		if page.GetToken() == "" || page.GetToken() == request.GetToken() {
			return places, nil
		}
		request.Token = page.GetToken()
	}
}

// register has a project here as well.
func (f *Follower) register(ctx context.Context, p *admin.Project) error {
	_, err := f.db.Project(ctx, p.GetId())
	if !errors.Is(err, store.ErrNotFound) {
		return err
	}
	spec, err := proto.Marshal(p)
	if err != nil {
		return fmt.Errorf("encode project %s: %w", p.GetId(), err)
	}
	now, err := f.db.Now(ctx)
	if err != nil {
		return err
	}
	if err := f.db.CreateProject(ctx, store.Project{ID: p.GetId(), Name: p.GetName(), Spec: spec, CreatedAt: now}); !errors.Is(err, store.ErrExists) {
		return err
	}
	return nil
}

// scheduled are the launch plans whose schedules are active here.
func (f *Follower) scheduled(ctx context.Context) (map[ident.Key]ident.ID, error) {
	here := make(map[ident.Key]ident.ID)
	err := f.db.EachSchedule(ctx, store.Query{Filters: []store.Filter{{Field: "active", Op: store.Eq, Values: []string{"true"}}}}, func(s schedule.Schedule) error {
		here[s.LaunchPlan.Key] = s.LaunchPlan
		return nil
	})
	return here, err
}

// list compares all active launch plans of Flyte with what is here. since is from
// when on ask has to ask about each place, by flyteadmin's clock.
func (f *Follower) list(ctx context.Context, since map[place]time.Time) error {
	began := time.Now()
	places, err := f.places(ctx)
	if err != nil {
		return err
	}
	here, err := f.scheduled(ctx)
	if err != nil {
		return err
	}
	var mu sync.Mutex
	active := make(map[ident.Key][]*admin.LaunchPlan)
	g, asking := errgroup.WithContext(ctx)
	g.SetLimit(askers)
	for _, at := range places {
		g.Go(func() error {
			return f.each(asking, at, "eq(state,1)+ne(schedule_type,NONE)", func(p *admin.LaunchPlan) {
				mu.Lock()
				defer mu.Unlock()
				key := workflow.ID(p.GetId()).Key
				active[key] = append(active[key], p)
			})
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	changes := newChanges()
	for key, versions := range active {
		// Flyte may have several active by mistake, for good. Then the one that is
		// active here stays, and else the newest one is.
		if !slices.ContainsFunc(versions, func(p *admin.LaunchPlan) bool { return workflow.ID(p.GetId()) == here[key] }) {
			f.compare(ctx, slices.MaxFunc(versions, older), here, changes)
		}
	}
	var missing []ident.ID
	for key, id := range here {
		if len(active[key]) == 0 && (len(f.cfg.Projects) == 0 || slices.Contains(f.cfg.Projects, key.Project)) {
			missing = append(missing, id)
		}
	}
	held, omitted, err := f.doubt(ctx, missing, changes)
	if err != nil {
		return err
	}
	if err := f.apply(ctx, changes); err != nil {
		return err
	}
	maps.DeleteFunc(since, func(at place, _ time.Time) bool { return !slices.Contains(places, at) })
	for _, at := range places {
		if since[at].IsZero() {
			since[at] = began.Add(f.ahead())
		}
	}
	here, err = f.scheduled(ctx)
	f.mu.Lock()
	defer f.mu.Unlock()
	s := &f.following
	if n := len(held); n > 0 && n != len(s.Held) {
		f.cfg.Log.WarnContext(ctx, "launch plans are gone from Flyte, and stay active here until somebody confirms it with tminus flyte confirm", slog.Int("launch_plans", n), slog.String("one", held[0].String()))
	}
	s.Held, s.Omitted, s.Refused, s.Schedules, s.Listed, s.Asked = held, omitted, changes.refused, len(here), time.Now(), time.Now()
	if !f.ready {
		f.ready = true
		f.cfg.Changed()
	}
	return err
}

// older compares when launch plans were registered.
func older(a, b *admin.LaunchPlan) int {
	return a.GetClosure().GetCreatedAt().AsTime().Compare(b.GetClosure().GetCreatedAt().AsTime())
}

// each visits the versions of launch plans in a place that a filter keeps.
func (f *Follower) each(ctx context.Context, at place, filters string, visit func(*admin.LaunchPlan)) error {
	request := &admin.ResourceListRequest{
		Id: &admin.NamedEntityIdentifier{Project: at.project, Domain: at.domain}, Limit: pageSize, Filters: filters,
		SortBy: &admin.Sort{Key: "id", Direction: admin.Sort_ASCENDING}, // Without, pages overlap.
	}
	for {
		page, err := f.admin.ListLaunchPlans(ctx, request)
		if err != nil {
			return fmt.Errorf("list launch plans of %s:%s: %w", at.project, at.domain, err)
		}
		f.hear(page)
		for _, p := range page.GetLaunchPlans() {
			visit(p)
		}
		if page.GetToken() == "" || page.GetToken() == request.GetToken() {
			return nil
		}
		request.Token = page.GetToken()
	}
}

// hear learns flyteadmin's time: it cannot be earlier than that of a change.
func (f *Follower) hear(page *admin.LaunchPlanList) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	for _, p := range page.GetLaunchPlans() {
		f.offset = max(f.offset, p.GetClosure().GetUpdatedAt().AsTime().Sub(now))
	}
}

// ahead is by how much flyteadmin's clock is ahead of ours, at least.
func (f *Follower) ahead() time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.offset
}

// changes are what is to be made as it is on Flyte.
type changes struct {
	activate   []store.Activation
	deactivate map[ident.ID]string // and why
	refused    map[ident.ID]string
}

func newChanges() *changes {
	return &changes{deactivate: make(map[ident.ID]string), refused: make(map[ident.ID]string)}
}

// compare adds what a launch plan that is active on Flyte, and not here, changes.
func (f *Follower) compare(ctx context.Context, p *admin.LaunchPlan, here map[ident.Key]ident.ID, to *changes) {
	id := workflow.ID(p.GetId())
	before, active := here[id.Key]
	timing, err := launchplan.ScheduleSpec(p.GetSpec(), f.calendars(ctx))
	if err == nil && timing != nil {
		if _, is := p.GetClosure().GetExpectedInputs().GetParameters()[timing.KickoffInput]; timing.KickoffInput != "" && !is {
			err = fmt.Errorf("the kickoff input %q is none that a launch may give", timing.KickoffInput)
		} else {
			err = f.cfg.Express(id.Key, *timing)
		}
	}
	switch {
	case err != nil:
		to.refused[id] = err.Error()
		if active { // The version before is not to launch in its place.
			to.deactivate[before] = "another version is active on Flyte, " + id.Version + ", which cannot fire here: " + err.Error()
		}
		return
	case timing == nil:
		if active {
			to.deactivate[before] = "another version is active on Flyte, " + id.Version + ", which has no schedule"
		}
		return
	}
	plan, err := planOf(id, p)
	if err != nil {
		to.refused[id] = err.Error()
		return
	}
	to.activate = append(to.activate, store.Activation{Plan: plan, Schedule: timing})
}

// planOf is a launch plan of Flyte as it is kept here.
func planOf(id ident.ID, p *admin.LaunchPlan) (store.Plan, error) {
	c := p.GetClosure()
	plan := store.Plan{
		ID: id, Workflow: workflow.ID(p.GetSpec().GetWorkflowId()), ScheduleType: launchplan.ScheduleType(p.GetSpec()),
		CreatedAt: c.GetCreatedAt().AsTime(), UpdatedAt: c.GetUpdatedAt().AsTime(),
	}
	deterministic := proto.MarshalOptions{Deterministic: true}
	var err error
	if plan.Spec, err = deterministic.Marshal(p.GetSpec()); err == nil {
		plan.Closure, err = deterministic.Marshal(&admin.LaunchPlanClosure{ExpectedInputs: c.GetExpectedInputs(), ExpectedOutputs: c.GetExpectedOutputs()})
	}
	if err != nil {
		return plan, fmt.Errorf("encode launch plan %s: %w", id, err)
	}
	return plan, nil
}

func (f *Follower) calendars(ctx context.Context) launchplan.Calendars {
	return func(name string) (schedule.Calendar, error) {
		c, err := f.db.Calendar(ctx, name)
		if errors.Is(err, store.ErrNotFound) {
			err = schedule.NoCalendar(name)
		}
		return c.Calendar, err
	}
}

// doubt asks about launch plans that are active here and were not in the list,
// one by one: a list may lie, a single answer about one is believed. It adds to
// changes those that are inactive, and returns those that flyteadmin does not know and
// how many it did not list though they are active. Of many it looks at some first.
func (f *Follower) doubt(ctx context.Context, missing []ident.ID, to *changes) (held []ident.ID, omitted int, err error) {
	slices.SortFunc(missing, func(a, b ident.ID) int { return cmp.Compare(a.String(), b.String()) })
	archived := make(map[string]bool)
	look := func(ids []ident.ID) error {
		var mu sync.Mutex
		g, asking := errgroup.WithContext(ctx)
		g.SetLimit(askers)
		for _, id := range ids {
			g.Go(func() error {
				p, err := f.admin.GetLaunchPlan(asking, &admin.ObjectGetRequest{Id: workflow.Identifier(core.ResourceType_LAUNCH_PLAN, id)})
				mu.Lock()
				defer mu.Unlock()
				switch {
				case status.Code(err) == codes.NotFound:
					if f.may(id) {
						to.deactivate[id] = "it is gone from Flyte, as somebody confirmed"
						return nil
					}
					held = append(held, id)
				case err != nil:
					return fmt.Errorf("get launch plan %s: %w", id, err)
				case p.GetClosure().GetState() == admin.LaunchPlanState_INACTIVE:
					to.deactivate[id] = "it is inactive on Flyte"
				case archived[id.Project]:
					to.deactivate[id] = "the project is archived on Flyte"
				default:
					omitted++
				}
				return nil
			})
		}
		return g.Wait()
	}
	if archived, err = f.archived(ctx, missing); err != nil {
		return nil, 0, err
	}
	first := min(len(missing), sample)
	if err := look(missing[:first]); err != nil {
		return nil, 0, err
	}
	if omitted > 0 && len(missing) > first {
		return held, omitted + len(missing) - first, nil // The list is not to be believed.
	}
	if err := look(missing[first:]); err != nil {
		return nil, 0, err
	}
	slices.SortFunc(held, func(a, b ident.ID) int { return cmp.Compare(a.String(), b.String()) })
	return held, omitted, nil
}

// archived are the projects of launch plans that flyteadmin says are archived.
func (f *Follower) archived(ctx context.Context, of []ident.ID) (map[string]bool, error) {
	archived := make(map[string]bool)
	for _, id := range of {
		if _, known := archived[id.Project]; known {
			continue
		}
		p, err := f.admin.GetProject(ctx, &admin.ProjectGetRequest{Id: id.Project})
		if err != nil && status.Code(err) != codes.NotFound {
			return nil, fmt.Errorf("get project %s: %w", id.Project, err)
		}
		archived[id.Project] = p.GetState() == admin.Project_ARCHIVED
	}
	return archived, nil
}

// may says that a person confirmed that id may go.
func (f *Follower) may(id ident.ID) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.confirmed[id]
}

// ask compares the launch plans that were registered or deactivated since they were asked for last.
func (f *Follower) ask(ctx context.Context, since map[place]time.Time) error {
	asked := make(map[place]time.Time, len(since))
	var changed []*admin.LaunchPlan
	for at, last := range since {
		asked[at] = time.Now().Add(f.ahead())
		filters := "gte(updated_at," + last.Add(-overlap).UTC().Format("2006-01-02T15:04:05Z") + ")+ne(schedule_type,NONE)"
		if err := f.each(ctx, at, filters, func(p *admin.LaunchPlan) { changed = append(changed, p) }); err != nil {
			return err
		}
	}
	to := newChanges()
	if len(changed) > 0 {
		if err := f.weigh(ctx, changed, to); err != nil {
			return err
		}
	}
	if err := f.apply(ctx, to); err != nil {
		return err
	}
	maps.Copy(since, asked)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.following.Asked = time.Now()
	maps.Copy(f.following.Refused, to.refused)
	return nil
}

// weigh adds what launch plans change that were registered or deactivated on Flyte.
func (f *Follower) weigh(ctx context.Context, changed []*admin.LaunchPlan, to *changes) error {
	here, err := f.scheduled(ctx)
	if err != nil {
		return err
	}
	var active []*admin.LaunchPlan
	for _, p := range changed {
		id := workflow.ID(p.GetId())
		if p.GetClosure().GetState() == admin.LaunchPlanState_ACTIVE {
			active = append(active, p)
		} else if here[id.Key] == id {
			to.deactivate[id] = "it is inactive on Flyte"
		}
	}
	for _, p := range active {
		replaces, err := f.replaces(ctx, p, here, to)
		if err != nil {
			return err
		}
		if replaces {
			f.compare(ctx, p, here, to)
		}
	}
	return nil
}

// replaces says that no other version of a launch plan that is active on Flyte is
// active here, or that it is not any more on Flyte.
func (f *Follower) replaces(ctx context.Context, p *admin.LaunchPlan, here map[ident.Key]ident.ID, to *changes) (bool, error) {
	before, active := here[workflow.ID(p.GetId()).Key]
	if !active || to.deactivate[before] != "" {
		return true, nil
	}
	if before == workflow.ID(p.GetId()) {
		return false, nil
	}
	there, err := f.admin.GetLaunchPlan(ctx, &admin.ObjectGetRequest{Id: workflow.Identifier(core.ResourceType_LAUNCH_PLAN, before)})
	if err != nil && status.Code(err) != codes.NotFound {
		return false, fmt.Errorf("get launch plan %s: %w", before, err)
	}
	return there.GetClosure().GetState() == admin.LaunchPlanState_INACTIVE, nil
}

// apply makes changes. What one launch plan is refused for keeps no other from it.
func (f *Follower) apply(ctx context.Context, c *changes) error {
	if len(c.activate)+len(c.deactivate) == 0 {
		return nil
	}
	defer f.cfg.Changed()
	activated := make(map[ident.Key]bool, len(c.activate))
	for _, a := range c.activate {
		activated[a.Key] = true
	}
	for some := range slices.Chunk(c.activate, activateMost) {
		change, err := f.change(ctx, "it is active on Flyte")
		if err != nil {
			return err
		}
		if err = f.db.ActivateAll(ctx, some, change); err == nil {
			continue
		}
		for i := range some {
			if err := f.db.ActivateAll(ctx, some[i:i+1], change); err != nil {
				c.refused[some[i].ID] = err.Error()
			}
		}
	}
	for id, why := range c.deactivate {
		if activated[id.Key] {
			continue // By another version, which is what ended it.
		}
		change, err := f.change(ctx, why)
		if err != nil {
			return err
		}
		if err := f.db.Deactivate(ctx, id, change); err != nil {
			return err
		}
	}
	f.cfg.Log.InfoContext(ctx, "followed Flyte", slog.Int("activated", len(c.activate)), slog.Int("deactivated", len(c.deactivate)), slog.Int("refused", len(c.refused)))
	return nil
}

// change is one that is made now.
func (f *Follower) change(ctx context.Context, why string) (store.Change, error) {
	now, err := f.db.Now(ctx)
	return store.Change{By: "flyte", Why: why, At: now}, err
}
