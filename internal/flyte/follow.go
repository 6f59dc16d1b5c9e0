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
	PlansOf(ctx context.Context, ids []ident.ID) (map[ident.ID]store.Plan, error)
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

	// Only Run uses what follows.
	lists  int                    // that went to their end
	looked map[ident.ID]time.Time // when launch plans that lists leave out were looked at
}

// Following is how it goes.
type Following struct {
	// Schedules is how many are followed. Listed is when all were listed last, Asked when what changed was; zero means never.
	Schedules     int
	Listed, Asked time.Time
	// Problem is why that does not work at present; empty means that it does.
	Problem string
	// Held are launch plans that are active here and that flyteadmin does not know
	// any more, or whose project is not followed any more; they stay active until a
	// person confirms that they may go.
	Held []ident.ID
	// Refused says of launch plans why they cannot fire.
	Refused map[ident.ID]string
	// Omitted is how many active launch plans the last list left out.
	Omitted int
	// Projects are those that are followed; none means all.
	Projects []string
}

// NewFollower makes a follower; Run starts it.
func NewFollower(conn grpc.ClientConnInterface, db Catalog, cfg FollowerConfig) *Follower {
	return &Follower{
		admin: service.NewAdminServiceClient(conn), db: db, cfg: cfg.withDefaults(), offset: -skew,
		following: Following{Refused: make(map[ident.ID]string), Projects: slices.Clone(cfg.Projects)}, confirmed: make(map[ident.ID]bool),
		looked: make(map[ident.ID]time.Time),
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

// Follows says that the launch plans of a project are followed.
func (f *Follower) Follows(project string) bool {
	return len(f.cfg.Projects) == 0 || slices.Contains(f.cfg.Projects, project)
}

// Run follows until ctx ends. A flyteadmin that fails is asked again; until it
// answers everything stays as it is.
func (f *Follower) Run(ctx context.Context) error {
	var listed time.Time
	var partial error // what the last list did not tell
	since := make(map[place]time.Time)
	pause := time.Second
	for {
		var err, trouble error
		if time.Since(listed) >= f.cfg.All {
			if partial, err = f.list(ctx, since); err == nil {
				if listed = time.Now(); !f.Ready() {
					listed, err = time.Time{}, partial // At once again, as all wait for it.
				}
			}
		} else {
			trouble, err = f.ask(ctx, since)
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
		f.note(ctx, cmp.Or(err, partial, trouble))
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
		f.cfg.Log.ErrorContext(ctx, "cannot follow all launch plans on Flyte; what it does not tell stays as it is, and is asked for again", slog.Any("error", err))
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
	// patience is how many lists may leave out places before all others launch without them.
	patience = 3
)

// troubles are why some launch plans cannot be followed while others are.
type troubles struct {
	mu  sync.Mutex
	all []error
}

func (t *troubles) add(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.all = append(t.all, err)
}

// err names some of them, and is nil where there are none.
func (t *troubles) err() error {
	const most = 3
	t.mu.Lock()
	defer t.mu.Unlock()
	slices.SortFunc(t.all, func(a, b error) int { return cmp.Compare(a.Error(), b.Error()) })
	if n := len(t.all); n > most {
		return fmt.Errorf("%w; and %d more", errors.Join(t.all[:most]...), n-most)
	}
	return errors.Join(t.all...)
}

// places are those to list. A project that is to be followed and not there is trouble.
func (f *Follower) places(ctx context.Context, t *troubles) (places []place, err error) {
	answer, err := f.admin.GetDomains(ctx, &admin.GetDomainRequest{})
	if err != nil {
		return nil, fmt.Errorf("list the domains of Flyte: %w", err)
	}
	lacks := slices.Clone(f.cfg.Projects)
	request := &admin.ProjectListRequest{Limit: pageSize, SortBy: &admin.Sort{Key: "identifier", Direction: admin.Sort_ASCENDING}}
	for {
		page, err := f.admin.ListProjects(ctx, request)
		if err != nil {
			return nil, fmt.Errorf("list the projects of Flyte: %w", err)
		}
		for _, p := range page.GetProjects() {
			if !f.Follows(p.GetId()) {
				continue
			}
			lacks = slices.DeleteFunc(lacks, func(id string) bool { return id == p.GetId() })
			if err := f.register(ctx, p); err != nil {
				return nil, err
			}
			for _, d := range answer.GetDomains() {
				places = append(places, place{p.GetId(), d.GetId()})
			}
		}
		if page.GetToken() == "" || page.GetToken() == request.GetToken() || len(page.GetProjects()) == 0 {
			break
		}
		request.Token = page.GetToken()
	}
	for _, id := range lacks {
		t.add(fmt.Errorf("flyte.projects: Flyte lists no project %q: it is not there, or archived", id))
	}
	return places, nil
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

// list compares all active launch plans of Flyte with what is here, as far as Flyte
// tells; partial is what it does not. since is from when on ask has to ask about each
// place, by flyteadmin's clock.
func (f *Follower) list(ctx context.Context, since map[place]time.Time) (partial, err error) {
	began := time.Now()
	f.forgetAhead()
	var trouble troubles
	places, err := f.places(ctx, &trouble)
	if err != nil {
		return nil, err
	}
	here, err := f.scheduled(ctx)
	if err != nil {
		return nil, err
	}
	active, failed, err := f.actives(ctx, places, &trouble)
	if err != nil {
		return nil, err
	}
	changes := newChanges()
	if err := f.contrast(ctx, active, here, changes, &trouble); err != nil {
		return nil, err
	}
	var missing []ident.ID
	for key, id := range here {
		if len(active[key]) == 0 && !failed[place{key.Project, key.Domain}] {
			missing = append(missing, id)
		}
	}
	came := func(id ident.ID) bool { return here[id.Key] != id || len(active[id.Key]) > 0 } // Or went.
	maps.DeleteFunc(f.looked, func(id ident.ID, _ time.Time) bool { return came(id) })
	held, omitted := f.doubt(ctx, missing, changes, &trouble)
	f.phases(ctx, changes, &trouble)
	if err := f.apply(ctx, changes); err != nil {
		return nil, err
	}
	maps.DeleteFunc(since, func(at place, _ time.Time) bool { return !slices.Contains(places, at) })
	for _, at := range places {
		if since[at].IsZero() && !failed[at] {
			since[at] = began.Add(f.ahead())
		}
	}
	now, err := f.scheduled(ctx)
	if err != nil {
		return nil, err
	}
	partial = trouble.err()
	f.lists++
	f.mu.Lock()
	defer f.mu.Unlock()
	// Who comes back is asked about again when it is gone once more.
	maps.DeleteFunc(f.confirmed, func(id ident.ID, _ bool) bool { return changes.deactivate[id] != "" || came(id) })
	s := &f.following
	if n := len(held); n > 0 && n != len(s.Held) {
		f.cfg.Log.WarnContext(ctx, "launch plans are active here and not followed any more; they stay until somebody confirms with tminus flyte confirm that they may go", slog.Int("launch_plans", n), slog.String("one", held[0].String()))
	}
	s.Held, s.Omitted, s.Refused, s.Schedules, s.Listed, s.Asked = held, omitted, changes.refused, len(now), time.Now(), time.Now()
	if !f.ready && (partial == nil || f.lists >= patience) {
		f.ready = true
		f.cfg.Changed()
	}
	return partial, nil
}

// actives are the versions that are active in places on Flyte, and the places that
// cannot be listed. It is an error when none can.
func (f *Follower) actives(ctx context.Context, places []place, t *troubles) (active map[ident.Key][]*admin.LaunchPlan, failed map[place]bool, err error) {
	var mu sync.Mutex
	active, failed = make(map[ident.Key][]*admin.LaunchPlan), make(map[place]bool)
	sideBySide(len(places), func(i int) {
		var found []*admin.LaunchPlan
		err := f.each(ctx, places[i], activeNow, func(p *admin.LaunchPlan) { found = append(found, p) })
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			failed[places[i]] = true
			t.add(err)
			return
		}
		for _, p := range found {
			key := workflow.ID(p.GetId()).Key
			active[key] = append(active[key], p)
		}
	})
	if len(places) > 0 && len(failed) == len(places) {
		return nil, nil, t.err()
	}
	return active, failed, nil
}

// contrast adds what differs between what is active on Flyte and here.
func (f *Follower) contrast(ctx context.Context, active map[ident.Key][]*admin.LaunchPlan, here map[ident.Key]ident.ID, to *changes, t *troubles) error {
	same := make(map[ident.ID]*admin.LaunchPlan)
	for key, versions := range active {
		// Flyte may have several active by mistake, for good. Then the one that is
		// active here stays, and else the newest one is.
		if i := slices.IndexFunc(versions, func(p *admin.LaunchPlan) bool { return workflow.ID(p.GetId()) == here[key] }); i >= 0 {
			same[here[key]] = versions[i]
			continue
		}
		f.compare(ctx, slices.MaxFunc(versions, older), here, to, t)
	}
	if f.Ready() {
		return nil
	}
	// Before it followed, tminus may have had another launch plan under the same name and version.
	for ids := range slices.Chunk(slices.Collect(maps.Keys(same)), pageSize) {
		plans, err := f.db.PlansOf(ctx, ids)
		if err != nil {
			return err
		}
		for _, id := range ids {
			spec := &admin.LaunchPlanSpec{}
			if err := proto.Unmarshal(plans[id].Spec, spec); err == nil && proto.Equal(spec, same[id].GetSpec()) {
				continue
			}
			f.compare(ctx, same[id], here, to, t)
		}
	}
	return nil
}

// sideBySide calls do for each of n requests, some at once.
func sideBySide(n int, do func(i int)) {
	var under sync.WaitGroup
	room := make(chan struct{}, askers)
	for i := range n {
		room <- struct{}{}
		under.Go(func() {
			defer func() { <-room }()
			do(i)
		})
	}
	under.Wait()
}

// activeNow is the filter of launch plans that fire.
const activeNow = "eq(state,1)+ne(schedule_type,NONE)"

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
	seen := make(map[ident.ID]bool)
	for {
		page, err := f.admin.ListLaunchPlans(ctx, request)
		if err != nil {
			return fmt.Errorf("list launch plans of %s:%s: %w", at.project, at.domain, err)
		}
		f.hear(page)
		before := len(seen)
		for _, p := range page.GetLaunchPlans() {
			if id := workflow.ID(p.GetId()); !seen[id] {
				seen[id] = true
				visit(p)
			}
		}
		// Pages that bring nothing new could go on for ever.
		if page.GetToken() == "" || page.GetToken() == request.GetToken() || len(seen) == before {
			return nil
		}
		request.Token = page.GetToken()
	}
}

// hear learns flyteadmin's time: it cannot be earlier than that of a change, unless it was set back since.
func (f *Follower) hear(page *admin.LaunchPlanList) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	for _, p := range page.GetLaunchPlans() {
		if by := p.GetClosure().GetUpdatedAt().AsTime().Sub(now); by <= skew {
			f.offset = max(f.offset, by)
		}
	}
}

// forgetAhead has flyteadmin's time learned anew.
func (f *Follower) forgetAhead() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.offset = -skew
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
	replaced   map[ident.Key]ident.ID // by what is to be activated
}

func newChanges() *changes {
	return &changes{deactivate: make(map[ident.ID]string), refused: make(map[ident.ID]string), replaced: make(map[ident.Key]ident.ID)}
}

// refuse adds that a version which is active on Flyte cannot be here, and neither can the one before in its place.
func (c *changes) refuse(id ident.ID, why string, before ident.ID) {
	c.refused[id] = why
	switch before {
	case ident.ID{}:
	case id:
		c.deactivate[before] = "it is another on Flyte, which cannot fire here: " + why
	default:
		c.deactivate[before] = "another version is active on Flyte, " + id.Version + ", which cannot fire here: " + why
	}
}

// compare adds what a launch plan that is active on Flyte, and not here, changes.
func (f *Follower) compare(ctx context.Context, p *admin.LaunchPlan, here map[ident.Key]ident.ID, to *changes, t *troubles) {
	id := workflow.ID(p.GetId())
	before, active := here[id.Key]
	var broken error // of the database, which is no fault of the launch plan's
	timing, err := launchplan.ScheduleSpec(p.GetSpec(), f.calendars(ctx, &broken))
	if broken != nil {
		t.add(broken)
		return
	}
	if err == nil && timing != nil {
		if _, is := p.GetClosure().GetExpectedInputs().GetParameters()[timing.KickoffInput]; timing.KickoffInput != "" && !is {
			err = fmt.Errorf("the kickoff input %q is none that a launch may give", timing.KickoffInput)
		} else {
			err = f.cfg.Express(id.Key, *timing)
		}
	}
	switch {
	case err != nil:
		to.refuse(id, err.Error(), before)
		return
	case timing == nil:
		if active {
			to.deactivate[before] = "another version is active on Flyte, " + id.Version + ", which has no schedule"
		}
		return
	}
	plan, err := planOf(id, p)
	if err != nil {
		to.refuse(id, err.Error(), before)
		return
	}
	to.activate = append(to.activate, store.Activation{Plan: plan, Schedule: timing, Replace: true})
	if active {
		to.replaced[id.Key] = before
	}
}

// phases has rates that are to be activated keep the phase that they have on Flyte.
// One whose phase cannot be told is not activated, which is trouble.
func (f *Follower) phases(ctx context.Context, of *changes, t *troubles) {
	failed := make([]bool, len(of.activate))
	sideBySide(len(of.activate), func(i int) {
		a := &of.activate[i]
		if !a.Schedule.IsRate() {
			return
		}
		var err error
		if a.Anchor, err = f.phase(ctx, a.Plan); err != nil {
			failed[i] = true
			t.add(err)
		}
	})
	all := of.activate
	of.activate = nil
	for i, a := range all {
		if !failed[i] {
			of.activate = append(of.activate, a)
		}
	}
}

// phase is an instant that Flyte's own scheduler counts a rate from: the slot that it
// launched last, or else when the launch plan changed last, as Flyte keeps no time of activations.
func (f *Follower) phase(ctx context.Context, p store.Plan) (time.Time, error) {
	page, err := f.admin.ListExecutions(ctx, &admin.ResourceListRequest{
		Id: &admin.NamedEntityIdentifier{Project: p.Project, Domain: p.Domain}, Limit: 1,
		Filters: fmt.Sprintf("eq(launch_plan.name,%s)+eq(launch_plan.version,%s)+eq(mode,%d)", p.Name, p.Version, admin.ExecutionMetadata_SCHEDULED),
		SortBy:  &admin.Sort{Key: "execution_created_at", Direction: admin.Sort_DESCENDING},
	})
	switch status.Code(err) {
	case codes.OK:
	case codes.PermissionDenied, codes.Unimplemented, codes.InvalidArgument: // As it will be the next time: no filter can have some names.
	default:
		return time.Time{}, fmt.Errorf("list the last execution of launch plan %s: %w", p.ID, err)
	}
	for _, x := range page.GetExecutions() {
		if at := x.GetSpec().GetMetadata().GetScheduledAt(); at.IsValid() {
			return at.AsTime(), nil
		}
	}
	return p.UpdatedAt.Truncate(time.Second), nil // As Flyte's scheduler counts.
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

// calendars are those of the database; broken becomes why it cannot be read.
func (f *Follower) calendars(ctx context.Context, broken *error) launchplan.Calendars {
	return func(name string) (schedule.Calendar, error) {
		c, err := f.db.Calendar(ctx, name)
		if errors.Is(err, store.ErrNotFound) {
			err = schedule.NoCalendar(name)
		} else if err != nil {
			*broken = err
		}
		return c.Calendar, err
	}
}

// doubt asks about launch plans that are active here and were not in the list,
// one by one: a list may lie, a single answer about one is believed. It adds to
// changes those that are inactive, and returns those that are held and how many
// Flyte did not list though they are active. Of many it looks at some first, and at
// the others with later lists as long as most turn out to stay; before the follower
// is Ready it looks at all.
func (f *Follower) doubt(ctx context.Context, missing []ident.ID, to *changes, t *troubles) (held []ident.ID, omitted int) {
	archived := f.archived(ctx, missing, t)
	f.mu.Lock()
	before := make(map[ident.ID]bool, len(f.following.Held))
	for _, id := range f.following.Held {
		before[id] = true
	}
	confirmed, ready := maps.Clone(f.confirmed), f.ready
	f.mu.Unlock()
	slices.SortFunc(missing, func(a, b ident.ID) int {
		if confirmed[a] != confirmed[b] {
			return map[bool]int{true: -1, false: 1}[confirmed[a]]
		}
		return cmp.Or(f.looked[a].Compare(f.looked[b]), cmp.Compare(a.String(), b.String()))
	})
	var mu sync.Mutex
	stay := 0
	look := func(id ident.ID) {
		p, err := f.admin.GetLaunchPlan(ctx, &admin.ObjectGetRequest{Id: workflow.Identifier(core.ResourceType_LAUNCH_PLAN, id)})
		mu.Lock()
		defer mu.Unlock()
		f.looked[id] = time.Now()
		gone := status.Code(err) == codes.NotFound
		switch {
		case err != nil && !gone:
			t.add(fmt.Errorf("get launch plan %s: %w", id, err))
			stay++
		case gone && confirmed[id]:
			to.deactivate[id] = "it is gone from Flyte, as somebody confirmed"
		case !gone && p.GetClosure().GetState() == admin.LaunchPlanState_INACTIVE:
			to.deactivate[id] = "it is inactive on Flyte"
		case !gone && archived[id.Project]:
			to.deactivate[id] = "the project is archived on Flyte"
		case !f.Follows(id.Project) && confirmed[id]:
			to.deactivate[id] = "its project is not followed any more, as somebody confirmed"
		case gone || !f.Follows(id.Project):
			held = append(held, id)
			stay++
		default:
			omitted++
			stay++
		}
	}
	for len(missing) > 0 {
		n := min(len(missing), sample)
		stay = 0
		sideBySide(n, func(i int) { look(missing[i]) })
		if missing = missing[n:]; ready && stay > n/2 {
			break
		}
	}
	for _, id := range missing { // Not looked at this time.
		if before[id] {
			held = append(held, id)
		} else {
			omitted++
		}
	}
	slices.SortFunc(held, func(a, b ident.ID) int { return cmp.Compare(a.String(), b.String()) })
	return held, omitted
}

// archived are the projects of launch plans that flyteadmin says are archived.
func (f *Follower) archived(ctx context.Context, of []ident.ID, t *troubles) map[string]bool {
	archived := make(map[string]bool)
	for _, id := range of {
		if _, known := archived[id.Project]; known {
			continue
		}
		p, err := f.admin.GetProject(ctx, &admin.ProjectGetRequest{Id: id.Project})
		if err != nil && status.Code(err) != codes.NotFound {
			t.add(fmt.Errorf("get project %s: %w", id.Project, err))
		}
		archived[id.Project] = p.GetState() == admin.Project_ARCHIVED
	}
	return archived
}

// ask compares the launch plans that were registered or deactivated since they were
// asked for last, as far as Flyte tells; partial is what it does not.
func (f *Follower) ask(ctx context.Context, since map[place]time.Time) (partial, err error) {
	var trouble troubles
	asked := make(map[place]time.Time, len(since))
	var changed []*admin.LaunchPlan
	for at, last := range since {
		began := time.Now().Add(f.ahead())
		filters := "gte(updated_at," + last.Add(-overlap).UTC().Format("2006-01-02T15:04:05Z") + ")+ne(schedule_type,NONE)"
		if err := f.each(ctx, at, filters, func(p *admin.LaunchPlan) { changed = append(changed, p) }); err != nil {
			trouble.add(err)
			continue
		}
		asked[at] = began
	}
	if len(since) > 0 && len(asked) == 0 {
		return nil, trouble.err()
	}
	to := newChanges()
	if len(changed) > 0 {
		if err := f.weigh(ctx, changed, to, &trouble); err != nil {
			return nil, err
		}
		f.phases(ctx, to, &trouble)
	}
	if err := f.apply(ctx, to); err != nil {
		return nil, err
	}
	maps.Copy(since, asked)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.following.Asked = time.Now()
	maps.Copy(f.following.Refused, to.refused)
	return trouble.err(), nil
}

// weigh adds what launch plans change that were registered or deactivated on Flyte.
// What cannot be told now is compared with the next list.
func (f *Follower) weigh(ctx context.Context, changed []*admin.LaunchPlan, to *changes, t *troubles) error {
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
	f.others(ctx, active, to, t, func(p *admin.LaunchPlan) { active = append(active, p) })
	for _, p := range active {
		replaces, err := f.replaces(ctx, p, here, to)
		if err != nil {
			t.add(err)
		} else if replaces {
			f.compare(ctx, p, here, to, t)
		}
	}
	return nil
}

// others visits the versions that are active on Flyte beside those that are to be
// deactivated and not known, as Flyte can have several. Of many the next list tells.
func (f *Follower) others(ctx context.Context, known []*admin.LaunchPlan, to *changes, t *troubles, visit func(*admin.LaunchPlan)) {
	if len(to.deactivate) > sample {
		return
	}
	for id := range to.deactivate {
		if slices.ContainsFunc(known, func(p *admin.LaunchPlan) bool { return workflow.ID(p.GetId()).Key == id.Key }) {
			continue
		}
		filters := activeNow + "+eq(name," + id.Name + ")"
		var newest *admin.LaunchPlan
		if err := f.each(ctx, place{id.Project, id.Domain}, filters, func(p *admin.LaunchPlan) {
			if newest == nil || older(p, newest) > 0 {
				newest = p
			}
		}); err != nil {
			t.add(err)
		}
		if newest != nil {
			visit(newest)
		}
	}
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
	for some := range slices.Chunk(c.activate, activateMost) {
		change, err := f.change(ctx, "it is active on Flyte")
		if err != nil {
			return err
		}
		together := f.db.ActivateAll(ctx, some, change) == nil
		for i, a := range some {
			if !together {
				if err := f.db.ActivateAll(ctx, some[i:i+1], change); ctx.Err() != nil {
					return err
				} else if err != nil {
					c.refuse(a.ID, err.Error(), c.replaced[a.Key])
					continue
				}
			}
			activated[a.Key] = true
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
	f.cfg.Log.InfoContext(ctx, "followed Flyte", slog.Int("activated", len(activated)), slog.Int("deactivated", len(c.deactivate)), slog.Int("refused", len(c.refused)))
	return nil
}

// change is one that is made now.
func (f *Follower) change(ctx context.Context, why string) (store.Change, error) {
	now, err := f.db.Now(ctx)
	return store.Change{By: "flyte", Why: why, At: now}, err
}
