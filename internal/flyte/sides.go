package flyte

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/timestamppb"

	"tminus.dev/gen/flyteidl/admin"
	"tminus.dev/gen/flyteidl/service"
	tminusv1 "tminus.dev/gen/tminus/v1"
	"tminus.dev/internal/ident"
	"tminus.dev/internal/schedule"
	"tminus.dev/internal/workflow"
)

// CompareConfig says what to compare.
type CompareConfig struct {
	// From and Until bound the slots: those after From, up to Until.
	From, Until time.Time
	// Project and Domain restrict it; empty means all.
	Project, Domain string
	// Zone is that of Flyte's scheduler, for expressions that name none; nil means UTC.
	Zone *time.Location
	// Few is how many slots to keep of each launch plan on which the two differ.
	Few int
}

// sides reads what tminus and Flyte make of launch plans.
type sides struct {
	schedules tminusv1.ScheduleServiceClient
	there     service.AdminServiceClient
	cfg       CompareConfig

	warnings []string // of the tminus here

	mu    sync.Mutex
	pairs map[ident.Key]Pair
	known map[ident.Key]*tminusv1.Schedule  // here
	plans map[ident.Key][]*admin.LaunchPlan // active there, and with a schedule
}

func newSides(here, there grpc.ClientConnInterface, cfg CompareConfig) *sides {
	if cfg.Zone == nil {
		cfg.Zone = time.UTC
	}
	return &sides{
		schedules: tminusv1.NewScheduleServiceClient(here), there: service.NewAdminServiceClient(there), cfg: cfg,
		pairs: make(map[ident.Key]Pair), known: make(map[ident.Key]*tminusv1.Schedule), plans: make(map[ident.Key][]*admin.LaunchPlan),
	}
}

// CompareComing compares what tminus is to fire in a window to come with what
// Flyte's own scheduler is to, by the launch plans that are active there.
func CompareComing(ctx context.Context, here, there grpc.ClientConnInterface, cfg CompareConfig) (Comparison, error) {
	s := newSides(here, there, cfg)
	if err := s.read(ctx); err != nil {
		return Comparison{}, err
	}
	if err := s.comingHere(ctx); err != nil {
		return Comparison{}, err
	}
	if err := s.comingThere(ctx); err != nil {
		return Comparison{}, err
	}
	return s.compare(), nil
}

// ComparePast compares what tminus launched of the slots of a window of the past
// with the scheduled executions on Flyte, whoever launched them.
func ComparePast(ctx context.Context, here, there grpc.ClientConnInterface, cfg CompareConfig) (Comparison, error) {
	s := newSides(here, there, cfg)
	if err := s.read(ctx); err != nil {
		return Comparison{}, err
	}
	ranges, err := s.fired(ctx)
	if err != nil {
		return Comparison{}, err
	}
	if err := s.ran(ctx); err != nil {
		return Comparison{}, err
	}
	s.told(ranges)
	return s.compare(), nil
}

// change changes a pair.
func (s *sides) change(key ident.Key, do func(*Pair)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.pairs[key]
	do(&p)
	s.pairs[key] = p
}

func (s *sides) compare() Comparison {
	for key, pair := range s.pairs {
		pair.Why = append(pair.Why, s.why(key)...)
		s.pairs[key] = pair
	}
	c := compare(s.pairs, s.cfg.From, s.cfg.Until, s.cfg.Few)
	c.Warnings = s.warnings
	return c
}

// read finds the schedules here, and the launch plans that are active there.
func (s *sides) read(ctx context.Context) error {
	err := listed(func(token string) (string, error) {
		var header metadata.MD
		page, err := s.schedules.ListSchedules(ctx, &tminusv1.ListSchedulesRequest{Project: s.cfg.Project, Domain: s.cfg.Domain, Limit: pageSize, Token: token}, grpc.Header(&header))
		s.warnings = header.Get("tminus-warning")
		for _, t := range page.GetSchedules() {
			s.known[workflow.ID(t.GetLaunchPlan()).Key] = t
		}
		return page.GetToken(), err
	})
	if err != nil {
		return fmt.Errorf("list the schedules here: %w", err)
	}
	return s.everywhere(ctx, func(ctx context.Context, at place) error {
		return scheduled(ctx, s.there, at, func(plan *admin.LaunchPlan) {
			s.mu.Lock()
			defer s.mu.Unlock()
			key := workflow.ID(plan.GetId()).Key
			s.plans[key] = append(s.plans[key], plan)
		})
	})
}

// everywhere visits the places of Flyte that are compared.
func (s *sides) everywhere(ctx context.Context, visit func(context.Context, place) error) error {
	domains, err := s.there.GetDomains(ctx, &admin.GetDomainRequest{})
	if err != nil {
		return fmt.Errorf("%w: list its domains: %s", errOut, explain(err))
	}
	var places []place
	err = listed(func(token string) (string, error) {
		page, err := s.there.ListProjects(ctx, &admin.ProjectListRequest{Limit: pageSize, Token: token, SortBy: &admin.Sort{Key: "identifier", Direction: admin.Sort_ASCENDING}})
		for _, project := range page.GetProjects() {
			for _, domain := range domains.GetDomains() {
				if (s.cfg.Project == "" || s.cfg.Project == project.GetId()) && (s.cfg.Domain == "" || s.cfg.Domain == domain.GetId()) {
					places = append(places, place{project.GetId(), domain.GetId()})
				}
			}
		}
		return page.GetToken(), err
	})
	if err != nil {
		return fmt.Errorf("%w: list its projects: %s", errOut, explain(err))
	}
	return each(ctx, places, visit)
}

// comingHere reads what tminus is to fire.
func (s *sides) comingHere(ctx context.Context) error {
	keys := slices.Collect(maps.Keys(s.known))
	return each(ctx, keys, func(ctx context.Context, key ident.Key) error {
		if !s.known[key].GetActive() {
			return nil
		}
		from := s.cfg.From
		for {
			answer, err := s.schedules.PreviewSchedules(ctx, &tminusv1.PreviewSchedulesRequest{
				Project: key.Project, Domain: key.Domain, Name: key.Name, From: timestamppb.New(from), Until: timestamppb.New(s.cfg.Until), Limit: pageSize,
				AlthoughSilent: true, // Before a switch, it is what would fire that is compared.
			})
			if err != nil {
				return fmt.Errorf("preview %s: %w", key, err)
			}
			s.change(key, func(p *Pair) {
				for _, c := range answer.GetComing() {
					id := workflow.ID(c.GetLaunchPlan())
					f := Fire{Slot: c.GetSlot().AsTime(), Version: id.Version, Execution: schedule.ExecutionName(id, c.GetSlot().AsTime())}
					if c.GetSkipped() {
						f.Execution, f.Note = "", "skipped, or run already"
					}
					p.Here.Fires = append(p.Here.Fires, f)
					from = f.Slot
				}
			})
			if len(answer.GetComing()) < pageSize {
				return nil
			}
		}
	})
}

// comingThere finds what Flyte's scheduler is to fire.
func (s *sides) comingThere(ctx context.Context) error {
	var plans []*admin.LaunchPlan
	for _, some := range s.plans {
		plans = append(plans, some...)
	}
	return each(ctx, plans, func(ctx context.Context, plan *admin.LaunchPlan) error {
		id, timing := workflow.ID(plan.GetId()), plan.GetSpec().GetEntityMetadata().GetSchedule()
		read, err := native(timing)
		if err != nil {
			s.change(id.Key, func(p *Pair) {
				p.There.Unknown = "the schedule of " + id.Version + " on Flyte is none that tminus reads: " + err.Error()
			})
			return nil //nolint:nilerr // It is what there is to say of the launch plan.
		}
		counts := read.Period() > 0
		if counts {
			anchor, err := s.anchor(ctx, id)
			if err != nil {
				return err
			}
			if anchor.IsZero() {
				s.change(id.Key, func(p *Pair) {
					p.There.Unknown = "Flyte does not tell from when its rate counts, and its scheduler has launched nothing yet to tell it by"
				})
				return nil
			}
			read = read.WithAnchor(anchor)
		} else if !named(timing) {
			read = read.In(s.cfg.Zone)
		}
		refused := ""
		if arg := timing.GetKickoffTimeInputArg(); counts && plan.GetClosure().GetExpectedInputs().GetParameters()[arg].GetRequired() {
			refused = "refused: Flyte's scheduler gives a rate no kickoff time, and " + arg + " is required"
		}
		s.change(id.Key, func(p *Pair) {
			for slot := range read.Between(s.cfg.From, s.cfg.Until) {
				f := Fire{Slot: slot, Version: id.Version, Execution: schedule.ExecutionName(id, slot)}
				if refused != "" {
					f.Execution, f.Note = "", refused
				}
				p.There.Fires = append(p.There.Fires, f)
			}
		})
		return nil
	})
}

// named says that a cron expression names its own zone.
func named(s *admin.Schedule) bool {
	expression := strings.TrimSpace(cmp.Or(s.GetCronExpression(), s.GetCronSchedule().GetSchedule()))
	return strings.HasPrefix(expression, "TZ=") || strings.HasPrefix(expression, "CRON_TZ=")
}

// latest is how many of the latest executions of a launch plan are looked at for one of Flyte's scheduler.
const latest = 50

// anchor is a slot at which Flyte's scheduler launched a version; zero means that there is none.
func (s *sides) anchor(ctx context.Context, id ident.ID) (time.Time, error) {
	page, err := s.there.ListExecutions(ctx, &admin.ResourceListRequest{
		Id: &admin.NamedEntityIdentifier{Project: id.Project, Domain: id.Domain}, Limit: latest,
		Filters: "eq(launch_plan.name," + id.Name + ")+eq(launch_plan.version," + id.Version + ")+eq(mode,1)+value_in(state,0;1)",
		SortBy:  &admin.Sort{Key: "id", Direction: admin.Sort_DESCENDING},
	})
	if err != nil {
		return time.Time{}, fmt.Errorf("%w: list the executions of %s: %s", errOut, id, explain(err))
	}
	for _, x := range page.GetExecutions() {
		if at := x.GetSpec().GetMetadata().GetScheduledAt(); at != nil && !ours(x) {
			return at.AsTime(), nil
		}
	}
	return time.Time{}, nil
}

// ours says that tminus launched an execution; Flyte's scheduler gives it no annotations.
func ours(x *admin.Execution) bool {
	_, is := x.GetSpec().GetAnnotations().GetValues()[schedule.AnnotationPrefix+"kind"]
	return is
}

// dropped is a run of slots here that did not launch.
type dropped struct {
	key         ident.Key
	first, last time.Time
	note        string
}

// fired reads the ledger.
func (s *sides) fired(ctx context.Context) (ranges []dropped, err error) {
	from, until := s.cfg.From.UTC().Format(time.RFC3339Nano), s.cfg.Until.UTC().Format(time.RFC3339Nano)
	for _, filters := range []string{"gt(slot," + from + ")+lte(slot," + until + ")", "gt(last," + from + ")+lte(slot," + from + ")"} {
		err := listed(func(token string) (string, error) {
			page, err := s.schedules.ListFirings(ctx, &tminusv1.ListFiringsRequest{Project: s.cfg.Project, Domain: s.cfg.Domain, Filters: filters, Limit: pageSize, Token: token})
			for _, f := range page.GetFirings() {
				id := workflow.ID(f.GetLaunchPlan())
				fire := Fire{Slot: f.GetSlot().AsTime(), Version: id.Version, Execution: f.GetExecution()}
				switch f.GetOutcome() {
				case tminusv1.Outcome_OUTCOME_LAUNCHED:
				case tminusv1.Outcome_OUTCOME_PENDING:
					fire.Open, fire.Note = true, strings.TrimSuffix("pending: "+f.GetReason(), ": ")
				default:
					fire.Execution = ""
					fire.Note = strings.TrimSuffix(strings.ToLower(strings.TrimPrefix(f.GetOutcome().String(), "OUTCOME_"))+": "+f.GetReason(), ": ")
				}
				if f.GetCount() > 1 {
					ranges = append(ranges, dropped{id.Key, fire.Slot, f.GetLastSlot().AsTime(), fire.Note})
					continue
				}
				s.change(id.Key, func(p *Pair) { p.Here.Fires = append(p.Here.Fires, fire) })
			}
			return page.GetToken(), err
		})
		if err != nil {
			return nil, fmt.Errorf("list the firings here: %w", err)
		}
	}
	return ranges, nil
}

// ran reads the scheduled executions on Flyte: those that were created since the
// window begins, and those that tminus knows of by name.
func (s *sides) ran(ctx context.Context) error {
	names := make(map[place][]string)
	for key, pair := range s.pairs {
		for _, f := range launches(pair.Here.Fires) {
			at := place{key.Project, key.Domain}
			names[at] = append(names[at], f.Execution)
		}
	}
	since := s.cfg.From.Add(-skew).UTC().Format("2006-01-02T15:04:05Z")
	return s.everywhere(ctx, func(ctx context.Context, at place) error {
		seen := make(map[string]bool)
		filters := []string{"gte(created_at," + since + ")"}
		for some := range slices.Chunk(names[at], listMost) {
			filters = append(filters, "value_in(execution_name,"+strings.Join(some, ";")+")")
		}
		for _, filter := range filters {
			err := listed(func(token string) (string, error) {
				page, err := s.there.ListExecutions(ctx, &admin.ResourceListRequest{
					Id: &admin.NamedEntityIdentifier{Project: at.project, Domain: at.domain}, Limit: pageSize, Token: token,
					Filters: filter + "+eq(mode,1)+value_in(state,0;1)", SortBy: byRow,
				})
				for _, x := range page.GetExecutions() {
					if name := x.GetId().GetName(); !seen[name] {
						seen[name] = true
						s.saw(x)
					}
				}
				return page.GetToken(), err
			})
			if err != nil {
				return fmt.Errorf("%w: list the executions of %s:%s: %s", errOut, at.project, at.domain, explain(err))
			}
		}
		return nil
	})
}

// saw adds an execution on Flyte, if its slot is in the window.
func (s *sides) saw(x *admin.Execution) {
	at := x.GetSpec().GetMetadata().GetScheduledAt()
	if slot := at.AsTime(); at == nil || !slot.After(s.cfg.From) || slot.After(s.cfg.Until) {
		return
	}
	id := workflow.ID(x.GetSpec().GetLaunchPlan())
	f := Fire{Slot: at.AsTime(), Version: id.Version, Execution: x.GetId().GetName()}
	if stillborn(x) {
		f.Execution, f.Note = "", f.Execution+", which was accepted and never started"
	}
	s.change(id.Key, func(p *Pair) { p.There.Fires = append(p.There.Fires, f) })
}

// told says of slots that launched on Flyte alone what became of them here, if that was recorded as a run of slots.
func (s *sides) told(ranges []dropped) {
	for _, r := range ranges {
		s.change(r.key, func(p *Pair) {
			for _, f := range p.There.Fires {
				has := slices.ContainsFunc(p.Here.Fires, func(h Fire) bool { return h.Slot.Equal(f.Slot) })
				if !has && !f.Slot.Before(r.first) && !f.Slot.After(r.last) {
					p.Here.Fires = append(p.Here.Fires, Fire{Slot: f.Slot, Note: r.note})
				}
			}
		})
	}
}

// narrowing are the policies that take slots away, or move them.
var narrowing = []string{"dst-gap", "dst-repeat", "end-at", "exclude", "max-runs", "start-at"}

// why says in what the schedules of a launch plan differ.
func (s *sides) why(key ident.Key) (why []string) {
	here, there := s.known[key], s.plans[key]
	version := here.GetLaunchPlan().GetVersion()
	switch {
	case here == nil:
		why = append(why, "it has no schedule here")
	case !here.GetActive():
		why = append(why, "it is inactive here")
	case here.GetPaused() != "":
		why = append(why, "it is paused here: "+here.GetPaused())
	case here.GetProblem() != "" && !slices.Contains(s.warnings, here.GetProblem()):
		why = append(why, "it does not fire here: "+here.GetProblem())
	}
	switch {
	case len(there) == 0:
		why = append(why, "no version with a schedule is active on Flyte")
	case len(there) > 1:
		why = append(why, fmt.Sprintf("%d versions are active on Flyte", len(there)))
	case here != nil && there[0].GetId().GetVersion() != version:
		why = append(why, "version "+version+" here, "+there[0].GetId().GetVersion()+" on Flyte")
	}
	if here == nil || len(there) == 0 {
		return why
	}
	if zone := here.GetTimezone(); zone != "" && zone != s.cfg.Zone.String() && !named(there[0].GetSpec().GetEntityMetadata().GetSchedule()) {
		why = append(why, "zone "+zone+" here, "+s.cfg.Zone.String()+" on Flyte")
	}
	if expression := here.GetExpression(); strings.HasPrefix(expression, "rate(") || strings.HasPrefix(expression, "@every") {
		why = append(why, "a rate counts from when each activated it")
	}
	for _, policy := range slices.Sorted(maps.Keys(here.GetPolicy())) {
		if slices.ContainsFunc(narrowing, func(p string) bool { return policy == p || strings.HasPrefix(policy, p+"-") }) {
			why = append(why, policy+" "+here.GetPolicy()[policy]+" here")
		}
	}
	return why
}
