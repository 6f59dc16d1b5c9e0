package server_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/types/known/timestamppb"

	"tminus.dev/gen/flyteidl/admin"
	"tminus.dev/gen/flyteidl/service"
	tminusv1 "tminus.dev/gen/tminus/v1"
	"tminus.dev/internal/engine"
	"tminus.dev/internal/ident"
	"tminus.dev/internal/schedule"
	"tminus.dev/internal/server"
	"tminus.dev/internal/store"
	"tminus.dev/internal/store/sqlite"
)

// target stands for where executions run: it takes all launches but those that fail says no to.
type target struct {
	mu       sync.Mutex
	launched []string // slots as "2 15:04", in the order of their launches
	refuse   func(schedule.Firing) bool
}

func (l *target) Launch(_ context.Context, fs []schedule.Firing) []error {
	l.mu.Lock()
	defer l.mu.Unlock()
	errs := make([]error, len(fs))
	for i, f := range fs {
		if l.refuse != nil && l.refuse(f) {
			errs[i] = fmt.Errorf("%w: the cluster is gone", schedule.ErrRefused)
			continue
		}
		l.launched = append(l.launched, f.Slot.UTC().Format("2 15:04"))
	}
	return errs
}

func (l *target) Terminate(context.Context, ident.Key, string, string) error {
	return errors.New("nothing here ends executions")
}

// be makes it say no to what refuse says yes to.
func (l *target) be(refuse func(schedule.Firing) bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refuse = refuse
}

// take is what was launched since the last take.
func (l *target) take() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer func() { l.launched = nil }()
	return l.launched
}

// operating runs f in a bubble, whose clock starts at midnight of 1 January 2000
// UTC, with a server on the real database and a running engine.
func operating(t *testing.T, f func(t *testing.T, a *api, l *target)) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		db, err := sqlite.Open(t.Context(), sqlite.Config{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		if err := db.CreateProject(t.Context(), store.Project{ID: project, Name: project, CreatedAt: time.Now()}); err != nil {
			t.Fatal(err)
		}
		l := &target{}
		e := engine.New(db, l, engine.Config{Lease: 3 * time.Minute}) // Each sign of life is written to the disk.
		rpc, web := bufconn.Listen(1<<16), bufconn.Listen(1<<16)
		defer func() {
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		}()
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		defer running.Wait()
		defer cancel()
		for _, run := range []func() error{
			func() error { return e.Run(ctx) },
			func() error {
				return server.New(db, &runner{}, e, server.Config{Version: "v1.2.3", Data: dir}).Serve(ctx, rpc, web)
			},
		} {
			running.Go(func() {
				if err := run(); err != nil {
					t.Error(err)
				}
			})
		}
		conn, err := grpc.NewClient("passthrough:///server", grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return rpc.DialContext(ctx) }))
		if err != nil {
			t.Fatal(err)
		}
		a := &api{
			AdminServiceClient: service.NewAdminServiceClient(conn), schedules: tminusv1.NewScheduleServiceClient(conn), db: db, dir: dir,
			url: "http://localhost", web: &http.Client{Transport: &http.Transport{
				DisableKeepAlives: true,
				DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return web.DialContext(ctx) },
			}},
		}
		defer conn.Close()
		a.register(t)
		f(t, a, l)
	})
}

// sleepTo waits until an instant, such as "1 00:31", and until all that is due then is done.
func sleepTo(t *testing.T, at string) {
	t.Helper()
	time.Sleep(time.Until(clock(t, at)))
	synctest.Wait()
}

// clock is an instant in January 2000, or in December 1999 with day 0 for the 31st.
func clock(t *testing.T, at string) time.Time {
	t.Helper()
	var day, hour, minute int
	if _, err := fmt.Sscanf(at, "%d %d:%d", &day, &hour, &minute); err != nil {
		t.Fatal(err)
	}
	return time.Date(2000, 1, day, hour, minute, 0, 0, time.UTC)
}

// as says who makes a request.
func as(ctx context.Context, who string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "tminus-principal", who)
}

// ledger is the firings of a launch plan, the newest first.
func (a *api) ledger(t *testing.T, name string) []string {
	t.Helper()
	var lines []string
	r := &tminusv1.ListFiringsRequest{Project: project, Domain: domain, Name: name, Limit: 2} // Pages are part of the test.
	for {
		page, err := a.schedules.ListFirings(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range page.GetFirings() {
			line := f.GetSlot().AsTime().Format("2 15:04")
			if f.GetCount() > 1 {
				line += fmt.Sprintf(" to %s (%d)", f.GetLastSlot().AsTime().Format("15:04"), f.GetCount())
			}
			line += " " + strings.ToLower(strings.TrimPrefix(f.GetKind().String(), "FIRING_KIND_")) +
				" " + strings.ToLower(strings.TrimPrefix(f.GetOutcome().String(), "OUTCOME_"))
			if f.GetReason() != "" {
				line += ": " + f.GetReason()
			}
			lines = append(lines, line)
		}
		if r.Token = page.GetToken(); r.GetToken() == "" {
			return lines
		}
	}
}

// history is the revisions of a schedule, the newest first.
func (a *api) history(t *testing.T, name string) []string {
	t.Helper()
	list, err := a.schedules.ListRevisions(t.Context(), &tminusv1.ListRevisionsRequest{Project: project, Domain: domain, Name: name})
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, r := range list.GetRevisions() {
		state := "inactive"
		switch {
		case r.GetPaused() != "":
			state = "paused"
		case r.GetActive():
			state = "active"
		}
		lines = append(lines, fmt.Sprintf("%d %s %s, v%s %s, by %s: %s", r.GetNumber(), r.GetAt().AsTime().Format("15:04"), r.GetAction(),
			r.GetLaunchPlan().GetVersion(), state, r.GetBy(), r.GetReason()))
	}
	return lines
}

func same(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// no checks that err is a refusal with a code and a text.
func no(t *testing.T, err error, code codes.Code, text string) {
	t.Helper()
	if status.Code(err) != code || !strings.Contains(status.Convert(err).Message(), text) {
		t.Errorf("%v, want %s with %q", err, code, text)
	}
}

// utc is timed in UTC.
func utc(expression string) *admin.LaunchPlanCreateRequest {
	return with(timed(expression), func(r *admin.LaunchPlanCreateRequest) { r.Spec.Annotations = nil })
}

func TestPauseSkipAndRun(t *testing.T) {
	t.Parallel()
	operating(t, func(t *testing.T, a *api, l *target) {
		ctx := as(t.Context(), "ada@laptop")
		a.activePlan(t, "often", utc("*/5 * * * *"))
		slot := func(at string) *timestamppb.Timestamp { return timestamppb.New(clock(t, at)) }
		must := func(_ any, err error) {
			t.Helper()
			if err != nil {
				t.Error(err)
			}
		}
		skip := func(at string) error {
			r := &tminusv1.SkipSlotRequest{Project: project, Domain: domain, Name: "often", Reason: "no data"}
			if at != "" {
				r.Slot = slot(at)
			}
			_, err := a.schedules.SkipSlot(ctx, r)
			return err
		}
		unskip := func(at string) error {
			_, err := a.schedules.UnskipSlot(ctx, &tminusv1.UnskipSlotRequest{Project: project, Domain: domain, Name: "often", Slot: slot(at)})
			return err
		}
		run := func(at string) error {
			_, err := a.schedules.RunSchedule(ctx, &tminusv1.RunScheduleRequest{Project: project, Domain: domain, Name: "often", Slot: slot(at), Reason: "early"})
			return err
		}
		sleepTo(t, "1 00:11")
		paused, err := a.schedules.PauseSchedule(ctx, &tminusv1.PauseScheduleRequest{
			Project: project, Domain: domain, Name: "often", Reason: "the warehouse moves", Until: slot("1 00:31"),
		})
		if s := paused.GetSchedule(); err != nil || s.GetPaused() != "the warehouse moves" || s.GetPausedBy() != "ada@laptop" || !s.GetNext()[0].AsTime().Equal(clock(t, "1 00:35")) {
			t.Errorf("paused: %v, %v", paused, err)
		}
		must(nil, run("1 00:20")) // Ahead, in the pause.
		sleepTo(t, "1 00:36")
		must(nil, skip(""))
		must(nil, unskip("1 00:40"))
		must(nil, skip("1 00:45"))
		no(t, unskip("1 00:40"), codes.NotFound, "is not skipped")
		no(t, skip("1 00:45"), codes.AlreadyExists, "is to be skipped (skipped by ada@laptop: no data); unskip it first")
		no(t, run("1 00:45"), codes.AlreadyExists, "unskip it first")
		must(nil, run("1 00:50"))
		synctest.Wait()
		no(t, run("1 00:50"), codes.AlreadyExists, "was launched as execution f")
		no(t, skip("1 00:50"), codes.AlreadyExists, "was launched")
		sleepTo(t, "1 00:56")
		no(t, run("1 00:45"), codes.AlreadyExists, "was skipped (skipped by ada@laptop: no data); a backfill")
		must(a.schedules.PauseSchedule(ctx, &tminusv1.PauseScheduleRequest{Project: project, Domain: domain, Name: "often", Reason: "again"}))
		sleepTo(t, "1 01:06")
		_, err = a.schedules.CreateBackfill(ctx, &tminusv1.CreateBackfillRequest{
			Project: project, Domain: domain, Name: "often", First: slot("1 00:55"), Last: slot("1 01:01"),
		})
		no(t, err, codes.InvalidArgument, "last: 2000-01-01T01:01:00Z is within a pause, whose slots are skipped; end the range where it begins, at 2000-01-01T00:56:00Z")
		code, body, _ := a.request(t, http.MethodPost, "/tminus/v1/schedules/weather/development/often/resume", `{"reason": "it stands"}`, "Tminus-Principal", "eve")
		if code != http.StatusOK || !strings.Contains(body, `"paused":""`) {
			t.Errorf("resumed over REST: %d %s", code, body)
		}
		sleepTo(t, "1 01:11")

		same(t, "ledger", a.ledger(t, "often"),
			"1 01:10 scheduled launched",
			"1 01:00 to 01:05 (2) scheduled skipped: paused by ada@laptop: again",
			"1 00:55 scheduled launched",
			"1 00:50 manual launched",
			"1 00:45 manual skipped: skipped by ada@laptop: no data",
			"1 00:40 scheduled launched",
			"1 00:35 scheduled launched",
			"1 00:20 manual launched",
			"1 00:15 to 00:30 (4) scheduled skipped: paused by ada@laptop: the warehouse moves",
			"1 00:10 scheduled launched",
			"1 00:05 scheduled launched",
		)
		same(t, "launched", l.take(), "1 00:05", "1 00:10", "1 00:20", "1 00:35", "1 00:50", "1 00:40", "1 00:55", "1 01:10")
		at := "2000-01-01T"
		same(t, "history", a.history(t, "often")[:9],
			"10 01:06 resume, v1 active, by eve: it stands",
			"9 00:56 pause, v1 paused, by ada@laptop: again",
			"8 00:36 run "+at+"00:50:00Z, v1 active, by ada@laptop: early",
			"7 00:36 skip "+at+"00:45:00Z, v1 active, by ada@laptop: no data",
			"6 00:36 unskip "+at+"00:40:00Z, v1 active, by ada@laptop: ",
			"5 00:36 skip "+at+"00:40:00Z, v1 active, by ada@laptop: no data",
			"4 00:31 resume, v1 active, by tminus: the pause has ended",
			"3 00:11 run "+at+"00:20:00Z, v1 paused, by ada@laptop: early",
			"2 00:11 pause, v1 paused, by ada@laptop: the warehouse moves",
		)
	})
}

func TestRedrive(t *testing.T) {
	t.Parallel()
	operating(t, func(t *testing.T, a *api, l *target) {
		ctx := as(t.Context(), "ada@laptop")
		a.activePlan(t, "often", utc("*/5 * * * *"))
		a.activePlan(t, "other", utc("*/10 * * * *"))
		l.be(func(schedule.Firing) bool { return time.Now().Before(clock(t, "1 00:21")) })
		sleepTo(t, "1 00:21")
		same(t, "dead", a.ledger(t, "often"),
			"1 00:20 scheduled dead: launch refused: the cluster is gone",
			"1 00:15 scheduled dead: launch refused: the cluster is gone",
			"1 00:10 scheduled dead: launch refused: the cluster is gone",
			"1 00:05 scheduled dead: launch refused: the cluster is gone",
		)
		redrive := func(want uint32, r *tminusv1.RedriveFiringsRequest) {
			t.Helper()
			r.Reason = "it is back"
			got, err := a.schedules.RedriveFirings(ctx, r)
			if err != nil || got.GetRedriven() != want {
				t.Errorf("redriven %v, %v, want %d", got, err, want)
			}
			time.Sleep(time.Second)
			synctest.Wait()
		}
		redrive(1, &tminusv1.RedriveFiringsRequest{Project: project, Domain: domain, Name: "often", Slot: timestamppb.New(clock(t, "1 00:15"))})
		redrive(1, &tminusv1.RedriveFiringsRequest{Project: project, Domain: domain, Name: "often", Limit: 1})
		redrive(0, &tminusv1.RedriveFiringsRequest{Project: project, Domain: domain, Name: "often", Slot: timestamppb.New(clock(t, "1 00:15"))})
		redrive(4, &tminusv1.RedriveFiringsRequest{})
		same(t, "launched", l.take(), "1 00:15", "1 00:05", "1 00:10", "1 00:10", "1 00:20", "1 00:20")
		same(t, "history", a.history(t, "other")[:1], "2 00:21 redrive, v1 active, by ada@laptop: it is back")
	})
}

func TestBackfill(t *testing.T) {
	t.Parallel()
	operating(t, func(t *testing.T, a *api, l *target) {
		ctx := as(t.Context(), "ada@laptop")
		a.activePlan(t, "hourly", utc("0 * * * *"))
		l.be(func(f schedule.Firing) bool {
			return f.Slot.Equal(clock(t, "1 03:00")) && time.Now().Before(clock(t, "1 09:00"))
		})
		sleepTo(t, "1 03:30")
		if _, err := a.schedules.PauseSchedule(ctx, &tminusv1.PauseScheduleRequest{
			Project: project, Domain: domain, Name: "hourly", Reason: "no power", Until: timestamppb.New(clock(t, "1 06:30")),
		}); err != nil {
			t.Fatal(err)
		}
		sleepTo(t, "1 07:30")
		if _, err := a.schedules.SkipSlot(ctx, &tminusv1.SkipSlotRequest{Project: project, Domain: domain, Name: "hourly"}); err != nil {
			t.Fatal(err)
		}
		sleepTo(t, "1 09:30")
		l.take()

		request := func(change func(*tminusv1.CreateBackfillRequest)) *tminusv1.CreateBackfillRequest {
			return with(&tminusv1.CreateBackfillRequest{
				Project: project, Domain: domain, Name: "hourly", Reason: "late data", Show: 100,
				First: timestamppb.New(clock(t, "0 20:00")), Last: timestamppb.New(clock(t, "1 09:00")),
			}, change)
		}
		dead, skipped := tminusv1.Outcome_OUTCOME_DEAD, tminusv1.Outcome_OUTCOME_SKIPPED
		var planned []string
		for _, row := range []struct {
			name   string
			change func(*tminusv1.CreateBackfillRequest)
			want   []string
		}{
			{
				"what is missing", func(*tminusv1.CreateBackfillRequest) {},
				[]string{"14 slots", "keeps 4 launched", "keeps 4 skipped", "keeps 1 dead", "31 20:00", "31 21:00", "31 22:00", "31 23:00", "1 00:00"},
			},
			{
				"the dead too", func(r *tminusv1.CreateBackfillRequest) { r.Include = []tminusv1.Outcome{dead} },
				[]string{"14 slots", "keeps 4 launched", "keeps 4 skipped", "31 20:00", "31 21:00", "31 22:00", "31 23:00", "1 00:00", "1 03:00"},
			},
			{
				"inside of the pause", func(r *tminusv1.CreateBackfillRequest) {
					r.First, r.Last = timestamppb.New(clock(t, "1 05:00")), timestamppb.New(clock(t, "1 05:59"))
				},
				[]string{"1 slots", "keeps 1 skipped"},
			},
			{
				"all", func(r *tminusv1.CreateBackfillRequest) { r.Include = []tminusv1.Outcome{dead, skipped} },
				[]string{
					"14 slots", "keeps 4 launched", "31 20:00", "31 21:00", "31 22:00", "31 23:00", "1 00:00",
					"1 03:00", "1 04:00", "1 05:00", "1 06:00", "1 08:00",
				},
			},
		} {
			got, err := a.schedules.CreateBackfill(ctx, request(func(r *tminusv1.CreateBackfillRequest) {
				row.change(r)
				r.DryRun = true
			}))
			if err != nil || got.GetBackfill() != nil {
				t.Fatalf("%s: %v, %v", row.name, got, err)
			}
			p := got.GetPlan()
			lines := []string{fmt.Sprintf("%d slots", p.GetSlots())}
			for _, k := range p.GetKept() {
				lines = append(lines, fmt.Sprintf("keeps %d %s", k.GetSlots(), strings.ToLower(strings.TrimPrefix(k.GetOutcome().String(), "OUTCOME_"))))
			}
			planned = nil
			for _, s := range p.GetNext() {
				planned = append(planned, s.AsTime().Format("2 15:04"))
			}
			same(t, row.name, append(lines, planned...), row.want...)
			if int(p.GetToLaunch()) != len(planned) {
				t.Errorf("%s: %d of %d to launch are shown", row.name, len(planned), p.GetToLaunch())
			}
		}
		same(t, "dry runs launch", l.take())

		// The newest first, one a minute, and cancelled after three.
		made, err := a.schedules.CreateBackfill(ctx, request(func(r *tminusv1.CreateBackfillRequest) { r.NewestFirst, r.PerMinute = true, 1 }))
		if err != nil {
			t.Fatal(err)
		}
		id := made.GetBackfill().GetId()
		sleepTo(t, "1 09:41") // Nine slots that are kept and three that launch take a minute each.
		same(t, "the newest first", l.take(), "1 00:00", "31 23:00", "31 22:00")
		cancelled, err := a.schedules.CancelBackfill(ctx, &tminusv1.CancelBackfillRequest{Id: id, Reason: "enough"})
		b := cancelled.GetBackfill()
		if err != nil || b.GetDone() || b.GetCancelled() != "cancelled by ada@laptop: enough" ||
			b.GetSlots() != 14 || b.GetSlotsLeft() != 2 || b.GetRecorded() != 3 || b.GetLaunched() != 3 || b.GetReason() != "late data" {
			t.Errorf("cancelled: %v, %v", b, err)
		}
		sleepTo(t, "1 09:50")
		same(t, "after the end", l.take())

		// The rest, with what is dead and skipped.
		if _, err := a.schedules.CreateBackfill(ctx, request(func(r *tminusv1.CreateBackfillRequest) {
			r.Include = []tminusv1.Outcome{dead, skipped}
		})); err != nil {
			t.Fatal(err)
		}
		sleepTo(t, "1 09:51")
		got := l.take()
		slices.Sort(got)
		same(t, "the rest", got, "1 03:00", "1 04:00", "1 05:00", "1 06:00", "1 08:00", "31 20:00", "31 21:00")
		code, body, _ := a.request(t, http.MethodGet, fmt.Sprintf("/tminus/v1/backfills/%d", id+1), "")
		if code != http.StatusOK || !strings.Contains(body, `"done":true`) || !strings.Contains(body, `"recorded":"7"`) {
			t.Errorf("over REST: %d %s", code, body)
		}
		if got, err := a.schedules.CreateBackfill(ctx, request(func(r *tminusv1.CreateBackfillRequest) {
			r.Include = []tminusv1.Outcome{dead, skipped}
		})); err != nil || got.GetBackfill() != nil || got.GetPlan().GetToLaunch() != 0 {
			t.Errorf("nothing is left, and yet %v, %v", got, err)
		}
		for _, row := range []struct {
			open bool
			want int
		}{{false, 2}, {true, 0}} {
			list, err := a.schedules.ListBackfills(ctx, &tminusv1.ListBackfillsRequest{Project: project, Domain: domain, Name: "hourly", OpenOnly: row.open})
			if err != nil || len(list.GetBackfills()) != row.want {
				t.Errorf("open only %v: %v, %v", row.open, list, err)
			}
		}
	})
}

func TestRollback(t *testing.T) {
	t.Parallel()
	operating(t, func(t *testing.T, a *api, l *target) {
		ctx := as(t.Context(), "ada@laptop")
		a.activePlan(t, "report", utc("*/10 * * * *"))
		newer := with(utc("5-59/10 * * * *"), func(r *admin.LaunchPlanCreateRequest) { r.Id = planID("report", "2") })
		if _, err := a.CreateLaunchPlan(ctx, newer); err != nil {
			t.Fatal(err)
		}
		rollback := func(revision int64) (*tminusv1.Schedule, error) {
			got, err := a.schedules.RollbackSchedule(ctx, &tminusv1.RollbackScheduleRequest{
				Project: project, Domain: domain, Name: "report", Revision: revision, Reason: "it ran late",
			})
			return got.GetSchedule(), err
		}
		sleepTo(t, "1 00:11")
		a.setState(t, planID("report", "2"), admin.LaunchPlanState_ACTIVE)
		sleepTo(t, "1 00:16")
		if s, err := rollback(1); err != nil || s.GetLaunchPlan().GetVersion() != "1" || s.GetExpression() != "*/10 * * * *" {
			t.Errorf("rolled back to %v, %v", s, err)
		}
		_, err := rollback(99)
		no(t, err, codes.NotFound, "has no revision 99")
		sleepTo(t, "1 00:24")
		a.setState(t, planID("report", "1"), admin.LaunchPlanState_INACTIVE)
		if s, err := rollback(1); err != nil || !s.GetActive() {
			t.Errorf("activated %v, %v", s, err)
		}
		same(t, "history", a.history(t, "report")[:1], "5 00:24 activate, v1 active, by ada@laptop: rollback to revision 1: it ran late")
		if s, err := rollback(4); err != nil || s.GetActive() {
			t.Errorf("deactivated %v, %v", s, err)
		}
		sleepTo(t, "1 00:40")
		same(t, "launched", l.take(), "1 00:10", "1 00:15", "1 00:20")
		same(t, "ledger", a.ledger(t, "report"), "1 00:20 scheduled launched", "1 00:15 scheduled launched", "1 00:10 scheduled launched")
		for _, call := range []func() error{
			func() error {
				_, err := a.schedules.RunSchedule(ctx, &tminusv1.RunScheduleRequest{Project: project, Domain: domain, Name: "report"})
				return err
			},
			func() error {
				_, err := a.schedules.CreateBackfill(ctx, &tminusv1.CreateBackfillRequest{
					Project: project, Domain: domain, Name: "report", First: timestamppb.New(clock(t, "1 00:30")), Last: timestamppb.New(clock(t, "1 00:30")),
				})
				return err
			},
		} {
			no(t, call(), codes.FailedPrecondition, "is not active")
		}
	})
}

// Skipped slots, and those that were run early, used up max-runs.
func TestSkippedSlotsAreNoRuns(t *testing.T) {
	t.Parallel()
	operating(t, func(t *testing.T, a *api, l *target) {
		ctx := t.Context()
		a.activePlan(t, "thrice", with(annotated("tminus.dev/max-runs", "3"), func(r *admin.LaunchPlanCreateRequest) {
			r.Spec.EntityMetadata.Schedule = cronSchedule("*/5 * * * *")
			r.Spec.EntityMetadata.Schedule.KickoffTimeInputArg = "at"
		}))
		if _, err := a.schedules.SkipSlot(ctx, &tminusv1.SkipSlotRequest{Project: project, Domain: domain, Name: "thrice"}); err != nil {
			t.Fatal(err)
		}
		if _, err := a.schedules.RunSchedule(ctx, &tminusv1.RunScheduleRequest{
			Project: project, Domain: domain, Name: "thrice", Slot: timestamppb.New(clock(t, "1 00:15")),
		}); err != nil {
			t.Fatal(err)
		}
		preview, err := a.schedules.PreviewSchedules(ctx, &tminusv1.PreviewSchedulesRequest{})
		if err != nil {
			t.Fatal(err)
		}
		same(t, "preview", told(clock(t, "1 00:00"), preview.GetComing()),
			"thrice 5m0s skipped", "thrice 10m0s", "thrice 15m0s skipped", "thrice 20m0s", "thrice 25m0s")
		sleepTo(t, "1 00:50")
		same(t, "launched", l.take(), "1 00:15", "1 00:10", "1 00:20", "1 00:25")
	})
}

// What a preview says is what happens.
func TestPreviewsComeTrue(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			operating(t, func(t *testing.T, a *api, _ *target) { previewComesTrue(t, a, rand.New(rand.NewPCG(seed, 0))) })
		})
	}
}

func previewComesTrue(t *testing.T, a *api, r *rand.Rand) {
	t.Helper()
	ctx := t.Context()
	expressions := []string{"*/5 * * * *", "0 * * * *", "7,8,50 * * * *", "30 */2 * * *", "*/20 2-6 * * *"}
	annotations := []map[string]string{
		nil,
		{"tminus.dev/jitter": "4m"},
		{"tminus.dev/max-runs": "7"},
		{"tminus.dev/max-runs": "3", "tminus.dev/jitter": "90s"},
		{"tminus.dev/timezone": "Asia/Kathmandu"},
		{"tminus.dev/start-at": "2000-01-01T02:00:00Z", "tminus.dev/end-at": "2000-01-01T03:30:00Z"},
	}
	slot := func() *timestamppb.Timestamp { // A coming slot of some schedule.
		preview, err := a.schedules.PreviewSchedules(ctx, &tminusv1.PreviewSchedulesRequest{Name: fmt.Sprint("plan-", r.IntN(4)), Project: project, Domain: domain, Limit: 6})
		if err != nil || len(preview.GetComing()) == 0 {
			return nil
		}
		return preview.GetComing()[r.IntN(len(preview.GetComing()))].GetSlot()
	}
	for i := range 4 {
		a.activePlan(t, fmt.Sprint("plan-", i), with(timed(expressions[r.IntN(len(expressions))]), func(p *admin.LaunchPlanCreateRequest) {
			p.Spec.Annotations = &admin.Annotations{Values: annotations[r.IntN(len(annotations))]}
		}))
	}
	for range 5 {
		time.Sleep(time.Duration(r.IntN(40)) * time.Minute)
		name := fmt.Sprint("plan-", r.IntN(4))
		var err error
		switch r.IntN(3) {
		case 0:
			_, err = a.schedules.SkipSlot(ctx, &tminusv1.SkipSlotRequest{Project: project, Domain: domain, Name: name, Slot: slot()})
		case 1:
			_, err = a.schedules.RunSchedule(ctx, &tminusv1.RunScheduleRequest{Project: project, Domain: domain, Name: name, Slot: slot()})
		case 2:
			_, err = a.schedules.PauseSchedule(ctx, &tminusv1.PauseScheduleRequest{
				Project: project, Domain: domain, Name: name, Reason: "a while", Until: timestamppb.New(time.Now().Add(time.Duration(1+r.IntN(90)) * time.Minute)),
			})
		}
		if err != nil {
			t.Log(err) // Some are refused, such as a slot that has a firing.
		}
	}
	synctest.Wait()
	now := time.Now()
	until := now.Add(90 * time.Minute)
	preview, err := a.schedules.PreviewSchedules(ctx, &tminusv1.PreviewSchedulesRequest{Until: timestamppb.New(until), Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	var want, got []string
	for _, c := range preview.GetComing() {
		if !c.GetSkipped() {
			want = append(want, fmt.Sprintf("%s %s at %s", c.GetLaunchPlan().GetName(), c.GetSlot().AsTime().Format("2 15:04"), c.GetLaunchAt().AsTime().Format("15:04:05")))
		}
	}
	time.Sleep(95 * time.Minute)
	synctest.Wait()
	firings, err := a.db.Firings(ctx, store.Query{Project: project, Domain: domain, SortBy: "slot", Ascending: true, Limit: 10_000, Filters: []store.Filter{
		{Field: "kind", Op: store.Eq, Values: []string{"scheduled"}},
		{Field: "outcome", Op: store.Eq, Values: []string{"launched"}},
		{Field: "slot", Op: store.Gt, Values: []string{now.UTC().Format(time.RFC3339Nano)}},
		{Field: "slot", Op: store.Lte, Values: []string{until.UTC().Format(time.RFC3339Nano)}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range firings {
		got = append(got, fmt.Sprintf("%s %s at %s", f.LaunchPlan.Name, f.Slot.UTC().Format("2 15:04"), f.SettledAt.UTC().Format("15:04:05")))
	}
	slices.Sort(want)
	slices.Sort(got)
	if len(want) == 0 {
		t.Error("the preview is empty")
	}
	same(t, "what happened", got, want...)
}
