package schedule_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"tminus.dev/internal/ident"
	"tminus.dev/internal/schedule"
)

// due is a firing that came due at a clock of 2026-01-01.
func due(clock string, change ...func(*schedule.Firing)) schedule.Firing {
	slot := at("2026-01-01T" + clock + ":00Z")
	f := schedule.Firing{
		LaunchPlan: plan, Kind: schedule.KindScheduled, Slot: slot, Last: slot, Count: 1,
		Outcome: schedule.Pending, AttemptAt: slot, Deadline: slot.Add(24 * time.Hour),
	}
	for _, c := range change {
		c(&f)
	}
	return f
}

func under(o schedule.Overlap) func(*schedule.Firing) {
	return func(f *schedule.Firing) { f.Overlap = o }
}
func behind(f *schedule.Firing)  { f.Kind, f.Behind = schedule.KindCatchUp, true }
func owned(f *schedule.Firing)   { f.Owner, f.Tried = 3, true }
func stopped(f *schedule.Firing) { f.Tried, f.Stopped = true, "paused: too loud" }
func overdue(f *schedule.Firing) { f.Deadline = f.Slot }
func most(n uint32) func(*schedule.Firing) {
	return func(f *schedule.Firing) { f.MaxRunning = n }
}

func execution(name string) ident.Key {
	return ident.Key{Project: plan.Project, Domain: plan.Domain, Name: name}
}

// own is the execution of the slot at a clock.
func own(clock string) ident.Key { return execution(due(clock).Execution()) }

// judgement writes what becomes of each: "11:00 launch", "11:00 skipped", "11:00 replace a,b".
func judgement(js []schedule.Judged) string {
	var words []string
	for _, j := range js {
		word := map[schedule.Verdict]string{
			schedule.Launch: "launch", schedule.Settle: string(j.Outcome), schedule.Wait: "wait", schedule.Replace: "replace",
		}[j.Verdict]
		var ends []string
		for _, x := range j.End {
			ends = append(ends, x.Name)
		}
		words = append(words, strings.TrimSpace(j.Slot.Format("15:04")+" "+word+" "+strings.Join(ends, ",")))
	}
	return strings.Join(words, "; ")
}

func TestJudge(t *testing.T) {
	type firings = []schedule.Firing
	type keys = []ident.Key
	type slots = map[time.Time]bool
	there := func(clock string) slots { return slots{due(clock).Slot.In(time.FixedZone("", 3600)): true} }
	a := execution("a")
	none, allow, skip := under(""), under(schedule.OverlapAllow), under(schedule.OverlapSkip)
	one, all := under(schedule.OverlapBufferOne), under(schedule.OverlapBufferAll)
	cancel, terminate := under(schedule.OverlapCancelOther), under(schedule.OverlapTerminateOther)
	buffer := func(n int) func(*schedule.Firing) { return func(f *schedule.Firing) { all(f); f.Buffer = n } }

	for _, tc := range []struct {
		name    string
		due     firings
		pending firings // besides those that are due
		running keys
		there   slots
		unsure  bool // whether others run
		want    string
	}{
		{name: "no policy", due: firings{due("11:00", none), due("12:00", none)}, running: keys{a}, want: "11:00 launch; 12:00 launch"},
		{name: "allow", due: firings{due("11:00", allow), due("12:00", allow)}, running: keys{a}, want: "11:00 launch; 12:00 launch"},

		{name: "skip, nothing runs", due: firings{due("11:00", skip)}, want: "11:00 launch"},
		{name: "skip, one runs", due: firings{due("11:00", skip)}, running: keys{a}, want: "11:00 skipped"},
		{name: "skip, two come due together", due: firings{due("11:00", skip), due("12:00", skip)}, want: "11:00 launch; 12:00 skipped"},
		{name: "the slot decides, not the order of due", due: firings{due("12:00", skip), due("11:00", skip)}, want: "12:00 skipped; 11:00 launch"},
		{name: "skip, an earlier one is to be tried again", due: firings{due("12:00", skip)}, pending: firings{due("11:00", skip)}, want: "12:00 launch"},
		{name: "skip, another launches an earlier one", due: firings{due("12:00", skip)}, pending: firings{due("11:00", skip, owned)}, want: "12:00 skipped"},
		{name: "skip, another launches a later one", due: firings{due("11:00", skip)}, pending: firings{due("12:00", skip, owned)}, want: "11:00 skipped"},
		{name: "those that are judged reserve no place before", due: firings{due("11:00", skip, owned), due("12:00", skip, owned)}, want: "11:00 launch; 12:00 skipped"},
		{name: "its own execution holds nothing back", due: firings{due("11:00", skip)}, running: keys{own("11:00")}, want: "11:00 launch"},
		{name: "an execution that was launched and not recorded counts once", due: firings{due("12:00", most(2))}, pending: firings{due("11:00", owned)}, running: keys{own("11:00")}, want: "12:00 launch"},
		{name: "skip, perhaps another runs", due: firings{due("11:00", skip)}, unsure: true, want: "11:00 wait"},
		{name: "allow, perhaps another runs", due: firings{due("11:00", allow)}, unsure: true, want: "11:00 launch"},
		{name: "its own execution is there, and perhaps another", due: firings{due("11:00", skip)}, there: there("11:00"), unsure: true, want: "11:00 launch"},
		{name: "overdue, and perhaps another runs", due: firings{due("11:00", skip, overdue)}, unsure: true, want: "11:00 dead"},

		{name: "buffer-one, nothing runs", due: firings{due("11:00", one)}, want: "11:00 launch"},
		{name: "buffer-one, one runs", due: firings{due("11:00", one), due("12:00", one)}, running: keys{a}, want: "11:00 wait; 12:00 skipped"},
		{name: "buffer-one, one launches first", due: firings{due("11:00", one), due("12:00", one), due("13:00", one)}, want: "11:00 launch; 12:00 wait; 13:00 skipped"},
		{name: "buffer-one, one waits already", due: firings{due("12:00", one)}, pending: firings{due("11:00", one)}, running: keys{a}, want: "12:00 skipped"},
		{name: "buffer-one, another launches an earlier one", due: firings{due("12:00", one)}, pending: firings{due("11:00", one, owned)}, want: "12:00 wait"},
		{name: "buffer-one, an earlier one runs and is not recorded", due: firings{due("12:00", one)}, pending: firings{due("11:00", one)}, running: keys{own("11:00")}, want: "12:00 wait"},

		{name: "buffer-all", due: firings{due("11:00", all), due("12:00", all), due("13:00", all)}, want: "11:00 launch; 12:00 wait; 13:00 wait"},
		{name: "buffer-all, in the order of slots", due: firings{due("12:00", all)}, pending: firings{due("11:00", all)}, want: "12:00 wait"},
		{name: "buffer-all, a later one waits", due: firings{due("11:00", all)}, pending: firings{due("12:00", all)}, want: "11:00 launch"},
		{name: "buffer-all is bounded", due: firings{due("11:00", buffer(2)), due("12:00", buffer(2)), due("13:00", buffer(2))}, running: keys{a}, want: "11:00 wait; 12:00 wait; 13:00 skipped"},
		{name: "buffer-all, the bound counts what waits already", due: firings{due("12:00", buffer(1))}, pending: firings{due("11:00", all)}, running: keys{a}, want: "12:00 skipped"},
		{name: "buffer-all, what is caught up is not cut", due: firings{due("12:00", buffer(1), behind)}, pending: firings{due("11:00", all, behind)}, running: keys{a}, want: "12:00 wait"},

		{name: "cancel-other, nothing runs", due: firings{due("11:00", cancel)}, want: "11:00 launch"},
		{name: "cancel-other", due: firings{due("11:00", cancel)}, running: keys{a, execution("b")}, want: "11:00 replace a,b"},
		{name: "terminate-other", due: firings{due("11:00", terminate)}, running: keys{a}, want: "11:00 replace a"},
		{name: "replaced but its own", due: firings{due("11:00", cancel)}, running: keys{a, own("11:00")}, want: "11:00 replace a"},
		{name: "what is being launched cannot be ended yet", due: firings{due("12:00", cancel)}, pending: firings{due("11:00", cancel, owned)}, want: "12:00 replace"},
		{name: "replace comes before a limit", due: firings{due("11:00", cancel, most(1))}, running: keys{a}, want: "11:00 replace a"},
		{name: "what is caught up ends nothing", due: firings{due("11:00", cancel, behind)}, running: keys{a}, want: "11:00 wait"},

		{name: "below a limit", due: firings{due("11:00", most(2))}, running: keys{a}, want: "11:00 launch"},
		{name: "up to a limit", due: firings{due("11:00", most(2)), due("12:00", most(2))}, running: keys{a}, want: "11:00 launch; 12:00 skipped"},

		{name: "live ones go first", due: firings{due("11:00", skip, behind), due("12:00", skip)}, want: "11:00 skipped; 12:00 launch"},
		{name: "live ones do not wait behind", due: firings{due("12:00", all)}, pending: firings{due("11:00", all, behind)}, want: "12:00 launch"},
		{name: "those behind wait for live ones", due: firings{due("12:00", all, behind)}, pending: firings{due("11:00", all)}, want: "12:00 wait"},

		{name: "overdue", due: firings{due("11:00", overdue)}, want: "11:00 dead"},
		{name: "overdue, and there", due: firings{due("11:00", overdue)}, there: there("11:00"), want: "11:00 launch"},
		{name: "a repeat is held back by nothing", due: firings{due("11:00", skip)}, running: keys{a}, there: there("11:00"), want: "11:00 launch"},
		{name: "a repeat does not run twice", due: firings{due("11:00", skip), due("12:00", skip)}, there: there("11:00"), want: "11:00 launch; 12:00 launch"},
		{name: "stopped", due: firings{due("11:00", stopped)}, want: "11:00 skipped"},
		{name: "stopped, and there", due: firings{due("11:00", stopped)}, there: there("11:00"), want: "11:00 launched"},
		{name: "stopped before overdue", due: firings{due("11:00", stopped, overdue)}, want: "11:00 skipped"},
		{name: "what is settled leaves its place", due: firings{due("11:00", all, stopped), due("12:00", all)}, want: "11:00 skipped; 12:00 launch"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			scene := schedule.Scene{Running: tc.running, Pending: append(tc.pending, tc.due...), There: tc.there, Unsure: tc.unsure}
			if diff := cmp.Diff(tc.want, judgement(schedule.Judge(tc.due, scene, at("2026-01-01T13:00:00Z")))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestJudgedIsAsItIsToBeRecorded(t *testing.T) {
	now := at("2026-01-01T13:00:00Z")
	failing := func(f *schedule.Firing) { f.Attempts, f.Reason = 4, "no route to host" }
	for _, tc := range []struct {
		name    string
		due     schedule.Firing
		running []ident.Key
		there   bool
		outcome schedule.Outcome
		reason  string
		attempt time.Time
	}{
		{name: "launch", due: due("11:00", failing), outcome: schedule.Pending, reason: "no route to host", attempt: at("2026-01-01T11:00:00Z")},
		{name: "wait", due: due("11:00", under(schedule.OverlapBufferAll)), running: []ident.Key{execution("a")}, outcome: schedule.Pending, reason: "waits for an earlier execution to end", attempt: now.Add(time.Minute)},
		{name: "replace", due: due("11:00", under(schedule.OverlapCancelOther)), running: []ident.Key{execution("a")}, outcome: schedule.Pending, reason: "waits for an earlier execution to end", attempt: now.Add(time.Minute)},
		{name: "skip", due: due("11:00", under(schedule.OverlapSkip)), running: []ident.Key{execution("a")}, outcome: schedule.Skipped, reason: "overlap is skip, and an earlier execution runs"},
		{name: "limit", due: due("11:00", most(1)), running: []ident.Key{execution("a")}, outcome: schedule.Skipped, reason: "concurrency policy: 1 executions run, 1 is the most"},
		{name: "dead", due: due("11:00", overdue), outcome: schedule.Dead, reason: "not launched by its deadline 2026-01-01T11:00:00Z"},
		{name: "dead after attempts", due: due("11:00", overdue, failing), outcome: schedule.Dead, reason: "not launched by its deadline 2026-01-01T11:00:00Z: no route to host"},
		{name: "stopped", due: due("11:00", stopped, failing), outcome: schedule.Skipped, reason: "paused: too loud"},
		{name: "stopped, and there", due: due("11:00", stopped, failing), there: true, outcome: schedule.Launched},
	} {
		t.Run(tc.name, func(t *testing.T) {
			scene := schedule.Scene{Running: tc.running, Pending: []schedule.Firing{tc.due}, There: map[time.Time]bool{tc.due.Slot: tc.there}}
			got := schedule.Judge([]schedule.Firing{tc.due}, scene, now)[0]
			if got.Outcome != tc.outcome || got.Reason != tc.reason {
				t.Errorf("got %s %q, want %s %q", got.Outcome, got.Reason, tc.outcome, tc.reason)
			}
			if tc.outcome == schedule.Pending {
				if !got.AttemptAt.Equal(tc.attempt) || !got.SettledAt.IsZero() {
					t.Errorf("attempt at %s, settled at %s", got.AttemptAt, got.SettledAt)
				}
			} else if !got.SettledAt.Equal(now) {
				t.Errorf("settled at %s", got.SettledAt)
			}
			waits := got.Verdict == schedule.Wait || got.Verdict == schedule.Replace
			if schedule.Waits(got.Firing) != waits {
				t.Errorf("waits: got %t, want %t", !waits, waits)
			}
		})
	}
}

// The attempt that is due at the deadline itself is still made a little later.
func TestOverdueLeavesTimeForTheLastAttempt(t *testing.T) {
	f := due("11:00", overdue)
	if f.Overdue(f.Deadline.Add(time.Minute)) || !f.Overdue(f.Deadline.Add(time.Minute+1)) {
		t.Error("a firing is overdue a minute after its deadline")
	}
}

func TestUnconditional(t *testing.T) {
	for _, tc := range []struct {
		f    schedule.Firing
		want bool
	}{
		{due("11:00"), true},
		{due("11:00", under(schedule.OverlapAllow)), true},
		{due("11:00", under(schedule.OverlapSkip)), false},
		{due("11:00", most(1)), false},
		{due("11:00", stopped), false},
	} {
		if got := tc.f.Unconditional(); got != tc.want {
			t.Errorf("overlap %q, at most %d, stopped %q: got %t", tc.f.Overlap, tc.f.MaxRunning, tc.f.Stopped, got)
		}
	}
}

// ledger is what two replicas share: each claims within one transaction.
type ledger struct {
	pending []schedule.Firing
	running []ident.Key
}

// claim judges the firings at these clocks as the session owner, and keeps what came of it.
func (l *ledger) claim(owner int64, now time.Time, clocks ...string) string {
	var claimed []schedule.Firing
	for _, f := range l.pending {
		for _, clock := range clocks {
			if f.Slot.Format("15:04") == clock {
				claimed = append(claimed, f)
			}
		}
	}
	judged := schedule.Judge(claimed, schedule.Scene{Running: l.running, Pending: l.pending}, now)
	for _, j := range judged {
		for i := range l.pending {
			if l.pending[i].Slot.Equal(j.Slot) {
				l.pending[i] = j.Firing
				if j.Verdict == schedule.Launch {
					l.pending[i].Owner, l.pending[i].Tried = owner, true
				}
			}
		}
	}
	kept := l.pending[:0]
	for _, f := range l.pending {
		if f.Outcome == schedule.Pending {
			kept = append(kept, f)
		}
	}
	l.pending = kept
	return judgement(judged)
}

// launched records that the launch at clock was accepted.
func (l *ledger) launched(clock string) {
	l.running = append(l.running, own(clock))
	l.drop(clock)
}

func (l *ledger) drop(clock string) {
	kept := l.pending[:0]
	for _, f := range l.pending {
		if f.Slot.Format("15:04") != clock {
			kept = append(kept, f)
		}
	}
	l.pending = kept
}

func TestTwoReplicasShareOnePolicy(t *testing.T) {
	now := at("2026-01-01T13:00:00Z")
	for _, tc := range []struct {
		policy        func(*schedule.Firing)
		first, second string // what each replica decides, before either launch is recorded
		third         string // and what the second decides once the first has launched
	}{
		{under(schedule.OverlapAllow), "11:00 launch", "12:00 launch", "13:00 launch"},
		{under(schedule.OverlapSkip), "11:00 launch", "12:00 skipped", "13:00 skipped"},
		{under(schedule.OverlapBufferOne), "11:00 launch", "12:00 wait", "13:00 skipped"},
		{under(schedule.OverlapBufferAll), "11:00 launch", "12:00 wait", "13:00 wait"},
		{under(schedule.OverlapCancelOther), "11:00 launch", "12:00 replace", "13:00 replace " + own("11:00").Name},
		{most(1), "11:00 launch", "12:00 skipped", "13:00 skipped"},
		{most(2), "11:00 launch", "12:00 launch", "13:00 skipped"},
	} {
		l := &ledger{pending: []schedule.Firing{due("11:00", tc.policy), due("12:00", tc.policy), due("13:00", tc.policy)}}
		got := []string{l.claim(1, now, "11:00"), l.claim(2, now, "12:00")}
		l.launched("11:00")
		got = append(got, l.claim(2, now, "13:00"))
		if diff := cmp.Diff([]string{tc.first, tc.second, tc.third}, got); diff != "" {
			t.Errorf("overlap %q, at most %d (-want +got):\n%s", due("11:00", tc.policy).Overlap, due("11:00", tc.policy).MaxRunning, diff)
		}
	}
}

// However firings are dealt to replicas, never more run than may, and what
// waits launches in the end.
func TestReplicasNeverOverlap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		policy := rapid.SampledFrom([]func(*schedule.Firing){
			under(schedule.OverlapSkip), under(schedule.OverlapBufferOne), under(schedule.OverlapBufferAll), under(schedule.OverlapCancelOther), most(1),
		}).Draw(t, "policy")
		l := &ledger{}
		for i := range rapid.IntRange(1, 12).Draw(t, "firings") {
			f := due(fmt.Sprintf("%02d:00", i), policy)
			f.Behind = rapid.Bool().Draw(t, "behind")
			l.pending = append(l.pending, f)
		}
		now := at("2026-01-01T13:00:00Z")
		for range 200 {
			var free, owned []string
			for _, f := range l.pending {
				if f.Owner == 0 {
					free = append(free, f.Slot.Format("15:04"))
				} else {
					owned = append(owned, f.Slot.Format("15:04"))
				}
			}
			if len(free)+len(owned) == 0 {
				return
			}
			switch step := rapid.IntRange(0, 2).Draw(t, "step"); {
			case step == 0 && len(free) > 0:
				n := rapid.IntRange(1, len(free)).Draw(t, "n")
				l.claim(1+int64(rapid.IntRange(0, 2).Draw(t, "replica")), now, rapid.Permutation(free).Draw(t, "dealt")[:n]...)
			case step == 1 && len(owned) > 0:
				l.launched(rapid.SampledFrom(owned).Draw(t, "launched"))
			case step == 2:
				l.running = nil
			}
			running := len(l.running)
			for _, f := range l.pending {
				if f.Owner != 0 {
					running++
				}
			}
			if running > 1 {
				t.Fatalf("%d run: %v and of %v", running, l.running, l.pending)
			}
		}
		// Nobody is in the way any more: each round lets one in.
		for range len(l.pending) {
			l.running = nil
			var all, owned []string
			for _, f := range l.pending {
				if all = append(all, f.Slot.Format("15:04")); f.Owner != 0 {
					owned = append(owned, f.Slot.Format("15:04"))
				}
			}
			for _, clock := range owned {
				l.drop(clock)
			}
			l.claim(1, now, all...)
		}
		for _, f := range l.pending {
			if f.Owner == 0 {
				t.Fatalf("%s is never launched", f.Slot)
			}
		}
	})
}
