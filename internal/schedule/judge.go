package schedule

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"tminus.dev/internal/ident"
)

// Scene is what the policies of one launch plan look at. It is to be read in
// the transaction that claims what is launched, so that two replicas cannot
// both let one in.
type Scene struct {
	// Running are the executions of the launch plan that have not ended.
	Running []ident.Key
	// Pending are its pending firings, due or not, with those that are judged.
	Pending []Firing
	// There holds the slots whose own execution is there already. Only firings
	// that were Tried need to be looked up.
	There map[time.Time]bool
	// Unsure says that other pending firings were Tried and not looked up yet: nobody
	// knows whether they run.
	Unsure bool
}

// Verdict says what becomes of a due firing.
type Verdict int

// The verdicts.
const (
	// Launch it.
	Launch Verdict = iota
	// Settle it without a launch: its outcome is final.
	Settle
	// Wait until what runs has ended, or until it is known whether something runs.
	Wait
	// Replace what runs: end it, and wait until it has ended.
	Replace
)

// Judged is a firing as it is to be recorded, and what is to be done with it.
type Judged struct {
	Firing
	Verdict Verdict
	// End are the executions to end first, for Replace.
	End []ident.Key
}

// waits is the reason of a firing that its overlap policy holds back.
const waits = "waits for an earlier execution to end"

// Waits says that a pending firing is held back by its overlap policy.
func Waits(f Firing) bool { return f.Outcome == Pending && f.Reason == waits }

// waitPoll is how soon a firing that waits is judged again if nobody says
// sooner that an execution has ended.
const waitPoll = time.Minute

// unsure is the reason of a firing whose policy cannot decide yet.
const unsure = "waits until it is known whether an earlier launch came through"

// unsurePoll is how soon that is looked at again.
const unsurePoll = time.Second

// tardy is how long after its deadline a firing still gets the attempt that was due at it.
const tardy = time.Minute

// Overdue says that f has passed its deadline without the attempt that was due at it.
func (f Firing) Overdue(now time.Time) bool { return now.Sub(f.Deadline) > tardy }

// Unconditional says that f launches whatever runs, unless it is overdue.
func (f Firing) Unconditional() bool {
	return f.Stopped == "" && f.MaxRunning == 0 && (f.Overlap == "" || f.Overlap == OverlapAllow)
}

// Judge decides due firings of one launch plan, live ones before those behind
// and else by slot. What it returns is in the order of due.
func Judge(due []Firing, s Scene, now time.Time) []Judged {
	j := newJudge(due, s, now)
	order := make([]int, len(due))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return cmp.Or(lane(due[a])-lane(due[b]), due[a].Slot.Compare(due[b].Slot))
	})
	judged := make([]Judged, len(due))
	for _, i := range order {
		judged[i] = j.judge(due[i])
	}
	return judged
}

func lane(f Firing) int {
	if f.Behind {
		return 1
	}
	return 0
}

// judge is a scene while it is changed by the verdicts.
type judge struct {
	now     time.Time
	unsure  bool
	there   map[int64]bool
	running map[ident.Key]bool // executions, also those of launches under way
	ends    []ident.Key        // those that are known to be there, and so can be ended
	waiting []waiter           // the pending firings that are neither launched nor yet to be judged
}

type waiter struct {
	slot   time.Time
	behind bool
}

func newJudge(due []Firing, s Scene, now time.Time) *judge {
	j := &judge{now: now, unsure: s.Unsure, there: make(map[int64]bool), running: make(map[ident.Key]bool), ends: s.Running}
	for t, is := range s.There {
		j.there[t.UnixNano()] = is
	}
	for _, x := range s.Running {
		j.running[x] = true
	}
	judged := make(map[int64]bool)
	for _, f := range due {
		judged[f.Slot.UnixNano()] = true
	}
	for _, f := range s.Pending {
		switch {
		case judged[f.Slot.UnixNano()], j.running[f.key()]:
		case f.Owner != 0:
			// Its launch is under way, whoever does it: it has its place already.
			j.running[f.key()] = true
		default:
			j.waiting = append(j.waiting, waiter{f.Slot, f.Behind})
		}
	}
	return j
}

func (j *judge) judge(f Firing) Judged {
	there := j.there[f.Slot.UnixNano()]
	switch {
	case there && f.Stopped != "":
		// It was launched before its schedule stopped, and not recorded.
		return j.settle(f, Launched, "")
	case there:
		// A launch that was accepted but not recorded is repeated, whatever the
		// policies say: they would hold it back because of its own execution.
		return Judged{Firing: f, Verdict: Launch}
	case f.Stopped != "":
		return j.settle(f, Skipped, f.Stopped)
	case f.Overdue(j.now):
		return j.settle(f, Dead, strings.TrimSuffix("not launched by its deadline "+f.Deadline.Format(time.RFC3339)+": "+f.Reason, ": "))
	}
	if j.unsure && !f.Unconditional() {
		j.waiting = append(j.waiting, waiter{f.Slot, f.Behind})
		f.Reason, f.AttemptAt = unsure, j.now.Add(unsurePoll)
		return Judged{Firing: f, Verdict: Wait}
	}
	verdict, reason := decide(f, j.others(f), j.before(f))
	result := Judged{Firing: f, Verdict: verdict}
	switch verdict {
	case Launch:
		j.running[f.key()] = true
	case Settle:
		return j.settle(f, Skipped, reason)
	case Wait, Replace:
		j.waiting = append(j.waiting, waiter{f.Slot, f.Behind})
		result.Reason, result.AttemptAt = waits, j.now.Add(waitPoll)
		if verdict == Replace {
			result.End = slices.DeleteFunc(slices.Clone(j.ends), func(x ident.Key) bool { return x == f.key() })
		}
	}
	return result
}

func (j *judge) settle(f Firing, outcome Outcome, reason string) Judged {
	f.Outcome, f.Reason, f.SettledAt = outcome, reason, j.now
	return Judged{Firing: f, Verdict: Settle}
}

// others counts what runs, apart from the execution of f itself.
func (j *judge) others(f Firing) int {
	n := len(j.running)
	if j.running[f.key()] {
		n--
	}
	return n
}

// before counts the firings that wait with an earlier slot. Those behind are
// before none that is live.
func (j *judge) before(f Firing) int {
	n := 0
	for _, w := range j.waiting {
		if w.slot.Before(f.Slot) && (f.Behind || !w.behind) {
			n++
		}
	}
	return n
}

// key names the execution that f launches.
func (f Firing) key() ident.Key {
	return ident.Key{Project: f.LaunchPlan.Project, Domain: f.LaunchPlan.Domain, Name: f.Execution()}
}

// decide applies a firing's overlap policy and concurrency limit. running
// counts the other executions of its launch plan that have not ended, waiting
// the earlier firings that wait for them. The reason is that of a Settle.
func decide(f Firing, running, waiting int) (verdict Verdict, reason string) {
	buffer := cmp.Or(f.Buffer, DefaultBuffer)
	replaces := f.Overlap == OverlapCancelOther || f.Overlap == OverlapTerminateOther
	switch {
	case replaces && running > 0 && f.Behind:
		return Wait, "" // What runs may well be of a later slot.
	case replaces && running > 0:
		return Replace, ""
	case f.MaxRunning > 0 && running >= int(f.MaxRunning):
		return Settle, fmt.Sprintf("concurrency policy: %d executions run, %d is the most", running, f.MaxRunning)
	case f.Overlap == OverlapSkip && running > 0:
		return Settle, "overlap is skip, and an earlier execution runs"
	case f.Overlap == OverlapBufferOne && waiting > 0:
		return Settle, "overlap is buffer-one, and an earlier slot waits already"
	case f.Overlap == OverlapBufferAll && waiting >= buffer && !f.Behind:
		return Settle, fmt.Sprintf("overlap is buffer-all, and %d earlier slots wait already, %d is the most", waiting, buffer)
	case f.Overlap == OverlapBufferOne && running > 0, f.Overlap == OverlapBufferAll && running+waiting > 0:
		return Wait, ""
	default:
		return Launch, ""
	}
}
