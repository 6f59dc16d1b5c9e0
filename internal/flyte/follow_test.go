package flyte_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"tminus.dev/gen/flyteidl/admin"
	"tminus.dev/gen/flyteidl/core"
	"tminus.dev/gen/flyteidl/service"
	"tminus.dev/internal/engine"
	"tminus.dev/internal/flyte"
	"tminus.dev/internal/flyte/flytetest"
	"tminus.dev/internal/ident"
	"tminus.dev/internal/schedule"
	"tminus.dev/internal/store"
	"tminus.dev/internal/store/sqlite"
	"tminus.dev/internal/workflow"
)

// shadow is a tminus that follows a Flyte.
type shadow struct {
	*testing.T
	db       *sqlite.DB
	admin    *flytetest.Server
	follower *flyte.Follower
	stop     func() // the follower
}

func follow(t *testing.T, cfg flyte.FollowerConfig) *shadow {
	t.Helper()
	s := newShadow(t)
	s.begin(s.admin.Pipe(t), s.db, cfg)
	return s
}

func newShadow(t *testing.T) *shadow {
	t.Helper()
	db, err := sqlite.Open(t.Context(), sqlite.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	s := &shadow{T: t, db: db, admin: flytetest.New()}
	s.admin.AddProject("shop")
	return s
}

// begin starts a follower, which the end of the test stops if nobody did before.
func (s *shadow) begin(conn grpc.ClientConnInterface, db flyte.Catalog, cfg flyte.FollowerConfig) {
	s.Helper()
	s.follower = flyte.NewFollower(conn, db, cfg)
	ctx, cancel := context.WithCancel(s.Context())
	done := make(chan error)
	go func() { done <- s.follower.Run(ctx) }()
	s.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			s.Error(err)
		}
	})
	s.Cleanup(s.stop)
}

// between stands between tminus and Flyte, and may answer in its place or change what it answered.
type between struct {
	grpc.ClientConnInterface
	before func(request any) error
	after  func(reply any)
}

func (b between) Invoke(ctx context.Context, method string, request, reply any, options ...grpc.CallOption) error {
	if b.before != nil {
		if err := b.before(request); err != nil {
			return err
		}
	}
	err := b.ClientConnInterface.Invoke(ctx, method, request, reply, options...)
	if err == nil && b.after != nil {
		b.after(reply)
	}
	return err
}

// strict is a database that refuses version v2 of everything.
type strict struct{ *sqlite.DB }

func (d strict) ActivateAll(ctx context.Context, all []store.Activation, c store.Change) error {
	if slices.ContainsFunc(all, func(a store.Activation) bool { return a.Version == "v2" }) {
		return errors.New("it is too large to be kept")
	}
	return d.DB.ActivateAll(ctx, all, c)
}

func version(name, version string) *core.Identifier {
	return workflow.Identifier(core.ResourceType_LAUNCH_PLAN, ident.ID{Key: planID(name).Key, Version: version})
}

func cronSpec(expression string) *admin.LaunchPlanSpec {
	spec := &admin.LaunchPlanSpec{
		WorkflowId:     &core.Identifier{ResourceType: core.ResourceType_WORKFLOW, Project: "shop", Domain: "production", Name: "report", Version: "v1"},
		EntityMetadata: &admin.LaunchPlanMetadata{},
	}
	if expression != "" {
		spec.EntityMetadata.Schedule = &admin.Schedule{ScheduleExpression: &admin.Schedule_CronSchedule{CronSchedule: &admin.CronSchedule{Schedule: expression}}}
	}
	return spec
}

// put registers a version on Flyte and activates it.
func (s *shadow) put(id *core.Identifier, spec *admin.LaunchPlanSpec) {
	s.Helper()
	s.admin.PutLaunchPlan(id, spec, nil)
	if !s.admin.Activate(id) {
		s.Errorf("%v is not there", id)
	}
}

// active are the schedules that are active here, "name version expression".
func (s *shadow) active() []string {
	s.Helper()
	var all []string
	err := s.db.EachSchedule(s.Context(), store.Query{Filters: []store.Filter{{Field: "active", Op: store.Eq, Values: []string{"true"}}}}, func(x schedule.Schedule) error {
		all = append(all, x.LaunchPlan.Name+" "+x.LaunchPlan.Version+" "+x.Spec.Expression)
		return nil
	})
	if err != nil {
		s.Fatal(err)
	}
	slices.Sort(all)
	return all
}

func (s *shadow) want(when string, active ...string) {
	s.Helper()
	synctest.Wait()
	got := s.active()
	if slices.Equal(got, active) {
		return
	}
	lacks := slices.DeleteFunc(slices.Clone(active), func(x string) bool { return slices.Contains(got, x) })
	s.Errorf("%s there are %d, want %d; it lacks %.200q; %.500s", when, len(got), len(active), lacks, fmt.Sprintf("%+v", s.follower.Following()))
}

// TestLaunchPlansAreFollowed changes things on Flyte, one after the other.
func TestLaunchPlansAreFollowed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := follow(t, flyte.FollowerConfig{})
		s.want("at first")
		s.put(version("a", "v1"), cronSpec("0 10 * * ? *"))
		s.put(version("b", "v1"), cronSpec("@hourly"))
		s.put(version("none", "v1"), cronSpec(""))
		time.Sleep(15 * time.Second)
		s.want("after a registration", "a v1 0 10 * * ? *", "b v1 @hourly")

		s.put(version("a", "v2"), cronSpec("0 11 * * ? *"))
		time.Sleep(15 * time.Second)
		s.want("after another version", "a v2 0 11 * * ? *", "b v1 @hourly")

		s.admin.Deactivate(version("b", "v1"))
		time.Sleep(15 * time.Second)
		s.want("after a deactivation", "a v2 0 11 * * ? *")

		s.admin.Activate(version("a", "v1")) // Nothing says when.
		time.Sleep(75 * time.Second)
		s.want("after the version before is back", "a v1 0 10 * * ? *")

		s.put(version("a", "v3"), cronSpec("every now and then"))
		time.Sleep(75 * time.Second)
		s.want("after a version that cannot fire")
		if got := s.follower.Following().Refused[ident.ID{Key: planID("a").Key, Version: "v3"}]; !strings.Contains(got, "every now and then") {
			t.Errorf("it is refused as %q", got)
		}
		revisions, err := s.db.Revisions(t.Context(), planID("a").Key, store.Query{Limit: 1})
		if err != nil || len(revisions) != 1 || revisions[0].By != "flyte" || !strings.Contains(revisions[0].Why, "v3, which cannot fire here") {
			t.Errorf("the last change is %+v, %v", revisions, err)
		}

		s.put(version("a", "v4"), cronSpec("0 12 * * ? *"))
		time.Sleep(15 * time.Second)
		s.want("after a version that can", "a v4 0 12 * * ? *")
		s.put(version("a", "v5"), cronSpec(""))
		time.Sleep(75 * time.Second)
		s.want("after one without a schedule")

		s.put(version("c", "v1"), cronSpec("@daily"))
		time.Sleep(15 * time.Second)
		s.admin.ArchiveProject("shop")
		time.Sleep(75 * time.Second)
		s.want("after the project is archived")
	})
}

// TestOneOfTwoActiveVersionsStays has Flyte take two versions for active, as it can.
func TestOneOfTwoActiveVersionsStays(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := follow(t, flyte.FollowerConfig{})
		s.put(version("a", "v1"), cronSpec("@hourly"))
		time.Sleep(time.Second)
		s.admin.PutLaunchPlan(version("a", "v2"), cronSpec("@daily"), nil)
		s.admin.ActivateBeside(version("a", "v2"))
		time.Sleep(15 * time.Second)
		before := s.active()
		if len(before) != 1 {
			t.Fatalf("active are %q", before)
		}
		time.Sleep(time.Hour)
		s.want("an hour later", before...)
		revisions, err := s.db.Revisions(t.Context(), planID("a").Key, store.Query{Limit: 10})
		if err != nil || len(revisions) > 2 {
			t.Errorf("the revisions are %+v, %v", revisions, err)
		}
		time.Sleep(5 * time.Second) // The last list was just now.
		s.admin.Deactivate(version("a", strings.Fields(before[0])[1]))
		time.Sleep(15 * time.Second)
		if after := s.active(); len(after) != 1 || after[0] == before[0] {
			t.Errorf("of the two %q are active after one was deactivated", after)
		}
		s.admin.Deactivate(version("a", "v1"))
		s.admin.Deactivate(version("a", "v2"))
		time.Sleep(75 * time.Second)
		s.want("after both are deactivated")
	})
}

// TestAPauseHereStays has a schedule paused by a person while its launch plan stays active on Flyte.
func TestAPauseHereStays(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := follow(t, flyte.FollowerConfig{})
		s.put(version("a", "v1"), cronSpec("@hourly"))
		time.Sleep(75 * time.Second)
		if err := s.db.Pause(t.Context(), planID("a").Key, "looking into it", time.Time{}, store.Change{By: "ada", At: time.Now()}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if got, err := s.db.Schedule(t.Context(), planID("a").Key); err != nil || got.Paused != "looking into it" {
			t.Errorf("it is paused as %q, %v", got.Paused, err)
		}
		s.put(version("a", "v2"), cronSpec("@daily"))
		time.Sleep(75 * time.Second)
		s.want("after another version", "a v2 @daily")
		if got, err := s.db.Schedule(t.Context(), planID("a").Key); err != nil || got.Paused != "looking into it" || got.PausedBy != "ada" {
			t.Errorf("with another version it is paused as %q by %q, %v", got.Paused, got.PausedBy, err)
		}
	})
}

// TestNothingIsDeactivatedByAccident has a flyteadmin that is down, slow, or
// lies, for an hour; everything stays as it is, and goes on afterwards.
func TestNothingIsDeactivatedByAccident(t *testing.T) {
	t.Parallel()
	page := func(mode flytetest.Page, methods ...string) func(*flytetest.Server) {
		return func(a *flytetest.Server) { a.PageBadly(mode, methods...) }
	}
	for _, tc := range []struct {
		name  string
		begin func(a *flytetest.Server)
		end   func(a *flytetest.Server)
		calls int // of GetLaunchPlan, at most
	}{
		{"down", func(a *flytetest.Server) { down(t, a, true) }, func(a *flytetest.Server) { down(t, a, false) }, 0},
		{"without a database", func(a *flytetest.Server) { a.DatabaseDown(true) }, func(a *flytetest.Server) { a.DatabaseDown(false) }, 0},
		{"slow", func(a *flytetest.Server) { a.Latency(func(string) time.Duration { return 5 * time.Minute }) }, func(a *flytetest.Server) { a.Latency(nil) }, 0},
		{"empty lists", page(flytetest.PageEmpty, "ListLaunchPlans"), page(flytetest.PageWell), 2000},
		{"no projects", page(flytetest.PageEmpty, "ListProjects"), page(flytetest.PageWell), 2000},
		{"half of all", page(flytetest.PageHalf), page(flytetest.PageWell), 2000},
		{"short pages", page(flytetest.PageShort), page(flytetest.PageWell), 0},
		{"rows twice", page(flytetest.PageRepeat), page(flytetest.PageWell), 0},
		{"bad tokens", page(flytetest.PageBadToken), page(flytetest.PageWell), 0},
		{"an empty last page", page(flytetest.PageEmptyLast), page(flytetest.PageWell), 0},
		{"some calls fail", func(a *flytetest.Server) { a.FailBefore(0.3) }, func(a *flytetest.Server) { a.FailBefore(0) }, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := follow(t, flyte.FollowerConfig{})
				var want []string
				for i := range 200 {
					name := fmt.Sprintf("plan-%03d", i)
					s.put(version(name, "v1"), cronSpec("@hourly"))
					want = append(want, name+" v1 @hourly")
				}
				time.Sleep(15 * time.Second)
				s.want("at first", want...)
				tc.begin(s.admin)
				time.Sleep(time.Hour)
				s.want("meanwhile", want...)
				if n := s.admin.Calls()["GetLaunchPlan"]; n > tc.calls {
					t.Errorf("it was asked for %d launch plans", n)
				}
				tc.end(s.admin)
				s.admin.Deactivate(version("plan-000", "v1"))
				time.Sleep(6 * time.Minute)
				s.want("in the end", want[1:]...)
				if f := s.follower.Following(); f.Problem != "" || f.Omitted != 0 {
					t.Errorf("in the end it follows as %+v", f)
				}
			})
		})
	}
}

// restart is a tminus that was stopped for a while, on the database that it had.
func (s *shadow) restart(a *flytetest.Server) (launched func() []string, follower *flyte.Follower) {
	s.Helper()
	conn := a.Pipe(s.T)
	launcher := flyte.NewLauncher(conn, s.db, flyte.LauncherConfig{})
	var e *engine.Engine
	f := flyte.NewFollower(conn, s.db, flyte.FollowerConfig{Changed: func() { e.Wake() }})
	e = engine.New(s.db, launcher, engine.Config{Room: f.Room(launcher.Room), Find: launcher.Find, Lease: time.Minute})
	ctx, cancel := context.WithCancel(s.Context())
	var running sync.WaitGroup
	for _, run := range []func(context.Context) error{e.Run, launcher.Run, f.Run} {
		running.Go(func() {
			if err := run(ctx); err != nil {
				s.Error(err)
			}
		})
	}
	s.Cleanup(func() { cancel(); running.Wait() })
	return func() (all []string) {
		synctest.Wait()
		for _, x := range a.Executions() {
			all = append(all, x.GetSpec().GetLaunchPlan().GetName()+" "+x.GetSpec().GetMetadata().GetScheduledAt().AsTime().Format("15:04"))
		}
		slices.Sort(all)
		return all
	}, f
}

// TestFollowWaitsForTheFirstList stops tminus while launch plans are deactivated on Flyte.
func TestFollowWaitsForTheFirstList(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := follow(t, flyte.FollowerConfig{})
		all := cronSpec("@hourly")
		all.Annotations = &admin.Annotations{Values: map[string]string{"tminus.dev/catch-up": "all"}}
		s.put(version("gone", "v1"), all)
		s.put(version("there", "v1"), all)
		time.Sleep(15 * time.Second)
		s.want("at first", "gone v1 @hourly", "there v1 @hourly")
		s.stop()
		s.admin.Deactivate(version("gone", "v1"))
		time.Sleep(3 * time.Hour)
		s.admin.Refuse(status.Error(codes.Unavailable, "not now"), "ListLaunchPlans")
		launched, follower := s.restart(s.admin)
		time.Sleep(10 * time.Minute)
		if got := launched(); len(got) > 0 || follower.Ready() {
			t.Errorf("before the first list %q launched, ready: %v", got, follower.Ready())
		}
		s.admin.Refuse(nil, "ListLaunchPlans")
		time.Sleep(5 * time.Minute)
		if got := launched(); !slices.Equal(got, []string{"there 01:00", "there 02:00", "there 03:00"}) {
			t.Errorf("after it %q launched; %+v", got, follower.Following())
		}
		s.want("in the end", "there v1 @hourly")
	})
}

// TestADisappearanceIsHeld replaces Flyte by another, which knows nothing.
func TestADisappearanceIsHeld(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := follow(t, flyte.FollowerConfig{})
		for i := range 50 {
			s.put(version(fmt.Sprintf("plan-%03d", i), "v1"), cronSpec("@hourly"))
		}
		time.Sleep(15 * time.Second)
		s.admin.Refuse(status.Error(codes.NotFound, "missing entity"), "GetLaunchPlan")
		s.admin.PageBadly(flytetest.PageEmpty, "ListLaunchPlans")
		time.Sleep(time.Hour)
		if n := len(s.active()); n != 50 {
			t.Errorf("%d are active before it is confirmed", n)
		}
		if f := s.follower.Following(); len(f.Held) != 50 {
			t.Errorf("held are %v", f.Held)
		}
		if n := s.follower.Confirm(); n != 50 {
			t.Errorf("%d were confirmed", n)
		}
		time.Sleep(2 * time.Minute)
		s.want("after it was confirmed")
		if f := s.follower.Following(); len(f.Held) != 0 || f.Schedules != 0 {
			t.Errorf("in the end it follows as %+v", f)
		}
	})
}

// TestManyAreFollowedWithFewRequests follows 10,000 launch plans.
func TestManyAreFollowedWithFewRequests(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := follow(t, flyte.FollowerConfig{})
		for i := range 10000 {
			s.put(version(fmt.Sprint("plan-", i), "v1"), cronSpec("@hourly"))
		}
		time.Sleep(75 * time.Second)
		synctest.Wait()
		if n := len(s.active()); n != 10000 {
			t.Errorf("%d are followed", n)
		}
		calls := 0
		for _, n := range s.admin.Calls() {
			calls += n
		}
		if calls > 80 {
			t.Errorf("it took %d requests: %v", calls, s.admin.Calls())
		}
	})
}

// TestFollowWithoutOnePlace has Flyte refuse to list one project; the others are followed all the same.
func TestFollowWithoutOnePlace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newShadow(t)
		s.admin.AddProject("secret")
		hidden := version("hidden", "v1")
		hidden.Project = "secret"
		var refuses atomic.Bool
		s.begin(between{ClientConnInterface: s.admin.Pipe(t), before: func(request any) error {
			if r, is := request.(*admin.ResourceListRequest); is && refuses.Load() && r.GetId().GetProject() == "secret" {
				return status.Error(codes.PermissionDenied, "not yours")
			}
			return nil
		}}, s.db, flyte.FollowerConfig{})
		s.put(hidden, cronSpec("@hourly"))
		time.Sleep(75 * time.Second)
		s.want("at first", "hidden v1 @hourly")
		refuses.Store(true)
		s.put(version("a", "v1"), cronSpec("@daily"))
		time.Sleep(15 * time.Second)
		s.want("after a registration elsewhere", "a v1 @daily", "hidden v1 @hourly")
		s.admin.Deactivate(version("a", "v1"))
		time.Sleep(time.Hour)
		s.want("an hour later", "hidden v1 @hourly")
		if got := s.follower.Following().Problem; !strings.Contains(got, "secret:production") || !strings.Contains(got, "not yours") {
			t.Errorf("the problem is %q", got)
		}
		s.stop()
		s.begin(between{ClientConnInterface: s.admin.Pipe(t), before: func(request any) error {
			if r, is := request.(*admin.ResourceListRequest); is && r.GetId().GetProject() == "secret" {
				return status.Error(codes.PermissionDenied, "not yours")
			}
			return nil
		}}, s.db, flyte.FollowerConfig{})
		time.Sleep(time.Minute)
		if !s.follower.Ready() {
			t.Error("started again, all others wait for it for ever")
		}
	})
}

// TestFollowDoubtsManyLists starts beside a Flyte that lost a domain, after others were deactivated.
func TestFollowDoubtsManyLists(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := follow(t, flyte.FollowerConfig{})
		var stay []string
		for i := range 45 {
			old := version(fmt.Sprintf("old-%02d", i), "v1")
			old.Domain = "development"
			s.put(old, cronSpec("@daily"))
			s.put(version(fmt.Sprintf("plan-%02d", i), "v1"), cronSpec("@hourly"))
			stay = append(stay, old.GetName()+" v1 @daily")
		}
		time.Sleep(2 * time.Minute)
		s.stop()
		s.admin.Domains("production")
		for i := range 30 {
			s.admin.Deactivate(version(fmt.Sprintf("plan-%02d", i), "v1"))
		}
		s.begin(s.admin.Pipe(t), s.db, flyte.FollowerConfig{})
		time.Sleep(time.Second)
		for i := 30; i < 45; i++ {
			stay = append(stay, fmt.Sprintf("plan-%02d v1 @hourly", i))
		}
		s.want("after the first list", stay...)
		if f := s.follower.Following(); f.Omitted != 45 {
			t.Errorf("%d are left out", f.Omitted)
		}
	})
}

// TestFollowWhatTheDatabaseRefuses has a version that cannot be kept here.
func TestFollowWhatTheDatabaseRefuses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newShadow(t)
		s.begin(s.admin.Pipe(t), strict{s.db}, flyte.FollowerConfig{})
		s.put(version("a", "v1"), cronSpec("@hourly"))
		s.put(version("b", "v1"), cronSpec("@hourly"))
		time.Sleep(15 * time.Second)
		s.put(version("a", "v2"), cronSpec("@daily"))
		s.put(version("b", "v3"), cronSpec("@daily"))
		time.Sleep(75 * time.Second)
		s.want("neither version fires", "b v3 @daily")
		if got := s.follower.Following().Refused[ident.ID{Key: planID("a").Key, Version: "v2"}]; !strings.Contains(got, "too large") {
			t.Errorf("it is refused as %q", got)
		}
	})
}

// TestFollowWhatWasRegisteredHere has another schedule under the same version, of before it followed.
func TestFollowWhatWasRegisteredHere(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newShadow(t)
		now, id, spec := time.Now(), planID("a"), cronSpec("* * * * *")
		if err := s.db.CreateProject(t.Context(), store.Project{ID: "shop", Name: "shop", CreatedAt: now}); err != nil {
			t.Fatal(err)
		}
		if err := s.db.ActivateAll(t.Context(), []store.Activation{{
			Plan:     store.Plan{ID: id, Workflow: id, ScheduleType: store.Cron, Spec: encode(t, spec), Closure: encode(t, &admin.LaunchPlanClosure{}), CreatedAt: now, UpdatedAt: now},
			Schedule: &schedule.Spec{Expression: "* * * * *"},
		}}, store.Change{At: now}); err != nil {
			t.Fatal(err)
		}
		s.put(version("a", "v1"), cronSpec("@daily"))
		s.begin(s.admin.Pipe(t), s.db, flyte.FollowerConfig{})
		time.Sleep(time.Second)
		s.want("it is Flyte's", "a v1 @daily")
		time.Sleep(time.Hour)
		revisions, err := s.db.Revisions(t.Context(), id.Key, store.Query{Limit: 10})
		if err != nil || len(revisions) != 2 {
			t.Errorf("the revisions are %+v, %v", revisions, err)
		}
	})
}

// TestFollowFewerProjects has a project taken out of the configuration, and one that is not on Flyte.
func TestFollowFewerProjects(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := follow(t, flyte.FollowerConfig{})
		s.put(version("a", "v1"), cronSpec("@hourly"))
		s.put(version("b", "v1"), cronSpec("@hourly"))
		time.Sleep(75 * time.Second)
		s.stop()
		s.admin.AddProject("other")
		s.begin(s.admin.Pipe(t), s.db, flyte.FollowerConfig{Projects: []string{"other", "nope"}})
		time.Sleep(5 * time.Minute)
		s.want("what is not followed any more", "a v1 @hourly", "b v1 @hourly")
		f := s.follower.Following()
		if len(f.Held) != 2 || !strings.Contains(f.Problem, `"nope"`) || strings.Contains(f.Problem, `"other"`) || !s.follower.Ready() {
			t.Errorf("it follows as %+v", f)
		}
		s.admin.Deactivate(version("b", "v1"))
		time.Sleep(75 * time.Second)
		s.want("after one is deactivated on Flyte", "a v1 @hourly")
		s.follower.Confirm()
		time.Sleep(75 * time.Second)
		s.want("after it was confirmed")
	})
}

// TestFollowAsksAgainWhatWasConfirmed has a launch plan disappear, come back, and disappear again.
func TestFollowAsksAgainWhatWasConfirmed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := follow(t, flyte.FollowerConfig{})
		gone := func(is bool) {
			s.admin.Refuse(nil, "GetLaunchPlan")
			s.admin.PageBadly(flytetest.PageWell)
			if is {
				s.admin.Refuse(status.Error(codes.NotFound, "missing entity"), "GetLaunchPlan")
				s.admin.PageBadly(flytetest.PageEmpty, "ListLaunchPlans")
			}
			time.Sleep(2 * time.Minute)
		}
		s.put(version("a", "v1"), cronSpec("@hourly"))
		gone(false)
		gone(true)
		s.follower.Confirm()
		time.Sleep(2 * time.Minute)
		s.want("after it was confirmed")
		gone(false)
		s.want("when it is back", "a v1 @hourly")
		gone(true)
		s.want("gone for the second time", "a v1 @hourly")
	})
}

// TestFollowEndlessPages has a proxy that drops the token, so that each page is the first and names another.
func TestFollowEndlessPages(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newShadow(t)
		s.put(version("a", "v1"), cronSpec("@hourly"))
		var pages atomic.Int64
		s.begin(between{ClientConnInterface: s.admin.Pipe(t), before: func(request any) error {
			if r, is := request.(*admin.ResourceListRequest); is {
				r.Token = ""
				if pages.Add(1) > 1000 {
					return status.Error(codes.Aborted, "enough")
				}
			}
			return nil
		}, after: func(reply any) {
			if l, is := reply.(*admin.LaunchPlanList); is {
				l.Token = strconv.FormatInt(pages.Load(), 10)
			}
		}}, s.db, flyte.FollowerConfig{})
		time.Sleep(15 * time.Second)
		s.want("all the same", "a v1 @hourly")
		if n := pages.Load(); n > 20 {
			t.Errorf("it asked for %d pages", n)
		}
	})
}

// TestFollowAClockThatWasAhead has a launch plan that was changed while Flyte's clock was wrong.
func TestFollowAClockThatWasAhead(t *testing.T) {
	t.Parallel()
	for _, by := range []time.Duration{5 * time.Minute, 24 * time.Hour} {
		t.Run(by.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newShadow(t)
				ahead := timestamppb.New(time.Now().Add(by))
				s.begin(between{ClientConnInterface: s.admin.Pipe(t), after: func(reply any) {
					if l, is := reply.(*admin.LaunchPlanList); is {
						for _, p := range l.GetLaunchPlans() {
							if p.GetId().GetName() == "ahead" {
								p.Closure.UpdatedAt = ahead
							}
						}
					}
				}}, s.db, flyte.FollowerConfig{All: 10 * time.Minute})
				s.put(version("ahead", "v1"), cronSpec("@hourly"))
				time.Sleep(21 * time.Minute)
				s.put(version("b", "v1"), cronSpec("@daily"))
				time.Sleep(30 * time.Second)
				s.want("half a minute after a registration", "ahead v1 @hourly", "b v1 @daily")
			})
		})
	}
}

// TestFollowRates has rates that Flyte's own scheduler fires.
func TestFollowRates(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newShadow(t)
		flyteadmin := service.NewAdminServiceClient(s.admin.Pipe(t))
		rate := cronSpec("")
		rate.EntityMetadata.Schedule = &admin.Schedule{ScheduleExpression: &admin.Schedule_Rate{Rate: &admin.FixedRate{Value: 1, Unit: admin.FixedRateUnit_HOUR}}}
		s.put(version("fired", "v1"), rate)
		s.put(version("new", "v1"), rate)
		time.Sleep(7 * time.Minute)
		slot := time.Now()
		for _, mode := range []admin.ExecutionMetadata_ExecutionMode{admin.ExecutionMetadata_SCHEDULED, admin.ExecutionMetadata_MANUAL} {
			if _, err := flyteadmin.CreateExecution(t.Context(), &admin.ExecutionCreateRequest{
				Project: "shop", Domain: "production", Name: "x" + strings.ToLower(mode.String()), Spec: &admin.ExecutionSpec{
					LaunchPlan: version("fired", "v1"), Metadata: &admin.ExecutionMetadata{Mode: mode, ScheduledAt: timestamppb.New(slot)},
				},
			}); err != nil {
				t.Fatal(err)
			}
			slot = slot.Add(time.Minute)
		}
		time.Sleep(3 * time.Hour)
		s.admin.Refuse(status.Error(codes.Unavailable, "not now"), "ListExecutions")
		s.put(version("cron", "v1"), cronSpec("@daily"))
		s.begin(s.admin.Pipe(t), s.db, flyte.FollowerConfig{})
		time.Sleep(10 * time.Second)
		s.want("while their phase is not known", "cron v1 @daily")
		s.admin.Refuse(nil, "ListExecutions")
		time.Sleep(2 * time.Minute)
		for name, want := range map[string]string{"fired": "04:07", "new": "04:00"} {
			if got, err := s.db.Schedule(t.Context(), planID(name).Key); err != nil || got.Next.Format("15:04") != want {
				t.Errorf("%s is next at %s, %v, want %s", name, got.Next, err, want)
			}
		}
	})
}
