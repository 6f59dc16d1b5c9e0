// Package storetest is the contract of a database: a suite of tests that every
// implementation runs, on the real thing.
package storetest

import (
	"context"
	"time"

	"tminus.dev/internal/ident"
	"tminus.dev/internal/schedule"
	"tminus.dev/internal/store"
)

// Store is all that the rest of tminus asks of a database, by subject.
//
// Whatever is stored is on disk when the method returns. Times come back in
// UTC, to the microsecond; empty bytes come back nil. An error wraps
// store.ErrNotFound when what is read or changed is not there, and the
// context's error when that ended first.
//
// Lists answer store.ErrBadQuery for a Query they cannot answer. Records that
// lack the field they are sorted by (a time that has not come) are last, in
// either direction; they differ from every value and compare with none.
type Store interface {
	Registry
	Firing
	Runs
	// Now is the one clock by which slots are due: the database's, where it has one.
	Now(ctx context.Context) (time.Time, error)
	Close() error
}

// Registry keeps what is registered.
type Registry interface {
	Projects
	Definitions
	Plans
}

// Firing keeps what schedules there are and what became of their slots.
type Firing interface {
	Schedules
	Calendars
	Operations
	Backlogs
	Ledger
	Sessions
	Keepers
	Housekeeping
}

// Runs keeps what was launched.
type Runs interface {
	Executions
	Runners
	Elsewhere
	Parts
	Alerts
	Lateness
}

// Projects keeps projects and what is said of entities apart from their versions.
type Projects interface {
	// CreateProject answers store.ErrExists for an identifier that is taken.
	CreateProject(ctx context.Context, p store.Project) error
	// UpdateProject replaces name, description, spec and state; store.ErrNotFound.
	UpdateProject(ctx context.Context, p store.Project) error
	Project(ctx context.Context, id string) (store.Project, error)
	Projects(ctx context.Context, q store.Query) ([]store.Project, error)

	// NamedEntity answers store.ErrNotFound unless a version of the entity is registered.
	NamedEntity(ctx context.Context, kind store.Kind, key ident.Key) (store.NamedEntity, error)
	// NamedEntities lists the names that have a version, by default by project, domain and name.
	NamedEntities(ctx context.Context, kind store.Kind, q store.Query) ([]store.NamedEntity, error)
	// UpdateNamedEntity sets description and state; store.ErrNotFound as above.
	UpdateNamedEntity(ctx context.Context, e store.NamedEntity) error
}

// Definitions keeps tasks and workflows.
type Definitions interface {
	// CreateDefinition answers store.ErrExists when the version is there; it never changes one.
	CreateDefinition(ctx context.Context, d store.Definition) error
	Definition(ctx context.Context, kind store.Kind, id ident.ID) (store.Definition, error)
	// Definitions lists versions, without their Spec.
	Definitions(ctx context.Context, kind store.Kind, q store.Query) ([]store.Definition, error)
}

// Plans keeps launch plans, and their schedules in step with them.
type Plans interface {
	// CreatePlan stores an inactive version, whatever p.Active says; store.ErrExists as above.
	CreatePlan(ctx context.Context, p store.Plan) error
	Plan(ctx context.Context, id ident.ID) (store.Plan, error)
	// PlansOf are those of some versions that are there.
	PlansOf(ctx context.Context, ids []ident.ID) (map[ident.ID]store.Plan, error)
	// ActivePlan is the active version; store.ErrNotFound when there is none.
	ActivePlan(ctx context.Context, key ident.Key) (store.Plan, error)
	Plans(ctx context.Context, q store.Query) ([]store.Plan, error)

	// Activate makes id the one active version of its launch plan and, in the
	// same transaction, spec (nil when it has no schedule) the one that fires.
	// Slots of the old schedule up to c.At are decided first, with the old spec,
	// so that none is lost. Firings that are pending then launch all the same, as
	// the version they were planned under, and so does what is left of backlogs;
	// but when spec is nil the schedule stops as in Deactivate. The new schedule
	// counts from c.At, or from the old cursor where that is later, so that no
	// slot is decided twice; a rate that did not change keeps its anchor, unless
	// the launch plan was inactive in between. The calendars that spec names have
	// the days that are stored for them, whatever spec says; one that is not there
	// is schedule.NoCalendar. Activating the version that is
	// active resumes a schedule that is paused or has a problem, as Resume does,
	// and changes nothing else. A spec that cannot be planned is an error, and
	// then nothing changes.
	Activate(ctx context.Context, id ident.ID, spec *schedule.Spec, c store.Change) error
	// ActivateAll does CreatePlan where a version is not there, and Activate, for each of
	// plans, all or none. But a pause, which is a person's or a policy's and not part of
	// a version, goes on as it was, and a rate counts from the Anchor that is given, unless
	// it keeps the one that it has.
	ActivateAll(ctx context.Context, plans []store.Activation, c store.Change) error
	// Deactivate makes id inactive; if it was the active version its schedule
	// stops, after the slots up to c.At are decided. A version that is not active
	// stays as it is, and so does the one that is.
	//
	// When a schedule stops, nothing of it launches any more, whatever the
	// version and the kind: in the same transaction pending firings become
	// skipped, and backlogs end, as by CancelBacklog. A firing whose launch was
	// begun may have been launched: it gets Stopped, and either its owner settles
	// it, or the next Claim does, as launched if its execution is there and as
	// skipped if not.
	Deactivate(ctx context.Context, id ident.ID, c store.Change) error
}

// Schedules reads the schedules of launch plans, one for each that has or had
// an active version with one.
type Schedules interface {
	// Schedule is the schedule of a launch plan; store.ErrNotFound when it never
	// had one. UpdatedAt is when it was last activated, resumed, paused or stopped.
	Schedule(ctx context.Context, key ident.Key) (schedule.Schedule, error)
	// Schedules lists schedules, by default the next to fire first, and the higher
	// priority first of those that fire together.
	Schedules(ctx context.Context, q store.Query) ([]schedule.Schedule, error)
	// EachSchedule visits the schedules that Schedules lists, however many there
	// are, one after the other; Limit and Offset do not count. An error of visit
	// ends it, and is returned as it is. visit must not use the store.
	EachSchedule(ctx context.Context, q store.Query, visit func(schedule.Schedule) error) error
	// Revisions lists what the schedule of a launch plan was, by default the
	// newest first. Each Activate, Deactivate, Pause, Resume, Skip, Unskip, RunNow
	// and Redrive that changed something is one, and so is PutCalendar for whom it
	// changed something, and the end of a pause; numbers have no gaps.
	Revisions(ctx context.Context, key ident.Key, q store.Query) ([]store.Revision, error)
}

// Calendars keeps the calendars that schedules exclude.
type Calendars interface {
	// PutCalendar stores a calendar. Then each active schedule that names it and has
	// other days gets them, each at once but not all at once, as a revision of its
	// own: slots up to c.At are decided first, with the days of before, and later ones
	// are those of the new days. What has a problem that they end fires again. changed
	// is how many schedules those are, also when it fails. A calendar that has these
	// days already stays as it is.
	PutCalendar(ctx context.Context, cal schedule.Calendar, c store.Change) (changed int, err error)
	Calendar(ctx context.Context, name string) (store.Calendar, error)
	// Calendars lists them, by default by name.
	Calendars(ctx context.Context, q store.Query) ([]store.Calendar, error)
	// DeleteCalendar answers a *store.CalendarInUseError while an active schedule names it.
	DeleteCalendar(ctx context.Context, name string) error
}

// Operations changes active schedules; of any other they answer
// store.ErrNotFound. One that is paused or has a problem is active.
type Operations interface {
	// Pause makes a schedule stop, as Deactivate does, after the slots up to c.At
	// are decided. It goes on by itself at until, and not before Resume where that
	// is zero. The slots of a pause, the one at its end included, are recorded
	// when it ends, as one skipped range whose reason holds the note and who
	// paused; an empty note is an error. Pausing what is paused ends that pause
	// and begins another.
	Pause(ctx context.Context, key ident.Key, note string, until time.Time, c store.Change) error
	// Resume makes a schedule that is paused or has a problem fire again after
	// c.At. Slots up to then that fell to a problem are recorded as one missed
	// range. It changes nothing where there is neither.
	Resume(ctx context.Context, key ident.Key, c store.Change) error
	// Skip records a slot that has not been decided, a whole second, as skipped:
	// when it comes, that stands. store.ErrExists when the slot has a firing or
	// the cursor has passed it.
	Skip(ctx context.Context, key ident.Key, slot time.Time, c store.Change) error
	// Unskip takes back the Skip of a slot after c.At and the cursor; store.ErrNotFound when there is none.
	Unskip(ctx context.Context, key ident.Key, slot time.Time, c store.Change) error
	// RunNow records a pending firing of kind manual for slot, a whole second, due
	// at c.At; a pause does not keep it back. store.ErrExists when the slot has a firing.
	RunNow(ctx context.Context, key ident.Key, slot time.Time, c store.Change) (schedule.Firing, error)
}

// Backlogs keeps ranges of slots that are recorded bit by bit: catch-ups that
// Advance opens, and backfills.
type Backlogs interface {
	// CreateBackfill opens a backfill of the active schedule of a launch plan, as
	// it is now: from b it takes First, Last, NewestFirst, PerMinute and Include.
	// store.ErrNotFound as in Operations.
	CreateBackfill(ctx context.Context, key ident.Key, b store.Backlog, c store.Change) (store.Backlog, error)
	// Backlogs lists catch-ups and backfills, by default the newest first.
	Backlogs(ctx context.Context, q store.Query) ([]store.Backlog, error)
	// CancelBacklog ends a backlog: those of its firings whose launch was not
	// begun become skipped, and what a catch-up had left is recorded as one
	// skipped range. A backlog that has ended stays as it is. store.ErrNotFound.
	CancelBacklog(ctx context.Context, id int64, c store.Change) (store.Backlog, error)
	// Fill records the next slots of backlogs that are due, in one transaction: in
	// all about limit, of so many backlogs that each has some twenty, those first
	// that have waited the longest. A slot that has a firing keeps it, unless a backfill's Include names its outcome; then the
	// firing is pending again, with the version that it had. A backfill passes over
	// the slots of skipped ranges unless it includes Skipped.
	//
	// Up to claim of the firings that it recorded and that launch whatever runs are
	// claimed for the session and returned, as Advance does.
	Fill(ctx context.Context, session int64, now time.Time, limit, claim int) (store.Filled, error)
}

// Ledger keeps what became of slots.
type Ledger interface {
	// Firings lists firings, by default the newest slot first. A range, which is
	// one that is missed or whose Count is above 1, stands for those of its slots
	// that have no firing of their own.
	Firings(ctx context.Context, q store.Query) ([]schedule.Firing, error)

	// Advance takes up to limit schedules that are due at now, the soonest first,
	// plans them with schedule.Plan and records firings, backlogs and cursors in
	// one transaction. Slots before the Since of a Beat, or before now when the
	// last Beat is more than a minute ago, are missed. A slot that has a firing
	// keeps it. A schedule that cannot be planned gets its Problem and is due no
	// more; one whose pause has ended goes on. It takes fewer than limit, though
	// more are due, when those have very many slots.
	//
	// Up to claim of the firings that it recorded, are due and launch whatever
	// runs are claimed for the session and returned, the highest priority first;
	// with a claim above 0 the answer is store.ErrGone when the session is over.
	// It is store.ErrKept where the time is not kept by store.KeeperLocal.
	Advance(ctx context.Context, session int64, now time.Time, limit, claim int) (store.Advanced, error)
	// Claim takes firings that nobody has claimed and whose AttemptAt is not after
	// now, in one of two lanes. c.Share is told the projects that have some, and
	// answers in the same places how many of each to take at most: the highest
	// priority first, then the earliest AttemptAt. Their overlap policies and
	// limits decide with schedule.Judge in the same transaction, whatever others
	// claim at the same time: those that launch become the session's, Tried, and
	// all else that was decided is recorded. With Verify, firings that would be judged
	// and were Tried, and that have no execution here, become the session's as they
	// are, to be settled when it is known whether they have one elsewhere; with
	// Before as well, all that were Tried and have no execution here. While there are
	// such firings, others of their schedules that would be judged wait.
	// store.ErrGone when the session is over.
	Claim(ctx context.Context, c store.Claim) (store.Claimed, error)
	// Settle records what became of pending firings, in one transaction: Outcome,
	// Reason, Tried, Attempts, AttemptAt, SettledAt; nobody owns them after that. A firing
	// that is not pending any more, or whose Owner in the ledger is another, stays
	// as it is, but where it is skipped or dead and was launched after all. One that
	// was Stopped since it was read and is still pending keeps its AttemptAt. It returns how
	// many it wrote.
	Settle(ctx context.Context, firings []schedule.Firing) (int, error)
	// NextSlot is when Advance next has something to do, NextAttempt when Claim has
	// in that lane, and NextStep when Fill has; zero for never.
	NextSlot(ctx context.Context) (time.Time, error)
	NextAttempt(ctx context.Context, behind bool) (time.Time, error)
	NextStep(ctx context.Context) (time.Time, error)
	// Redrive makes up to limit dead firings pending again, due at c.At behind
	// live ones, the earliest slot first, with the deadline of their schedule. It
	// returns how many.
	Redrive(ctx context.Context, q store.RedriveQuery, limit int, c store.Change) (int, error)
}

// Sessions tells the engines on one database apart.
type Sessions interface {
	// Beat renews a session until now and lease, or begins one: when session is
	// 0, or is over. A session is over at the end of its lease, and when its end
	// lies so far ahead that the clock must have been set back; Beat ends those
	// and releases what they had claimed. Session numbers are never used twice.
	Beat(ctx context.Context, session int64, now time.Time, lease time.Duration) (store.Beat, error)
	// Leave ends a session and releases what it had claimed. One that is over stays so.
	Leave(ctx context.Context, session int64) error
}

// Keepers is for those outside of tminus who keep the time of schedules: AWS.
type Keepers interface {
	// KeepTime says who keeps the time of all schedules from now on, and how many
	// schedules are still held outside. Where that is somebody outside each active
	// schedule has a rule then, due at now if it was another before, or if the schedule
	// changed without its knowledge; and where it is
	// tminus again, rules are due for what is held, and no schedule is Active for them. It is
	// store.ErrKept while others on this database fire schedules whose time
	// somebody else keeps.
	KeepTime(ctx context.Context, k store.Keeper, now time.Time) (held int, err error)
	// Awake is when a session was last renewed; zero means never.
	Awake(ctx context.Context) (time.Time, error)
	Rules
	Intake
	DeadLetters
}

// Rules keeps what somebody outside is to hold. While time is kept outside,
// Activate, Deactivate, Pause and Resume make the rule of their schedule due, in
// the same transaction, if they change anything; so does the last slot of a schedule.
type Rules interface {
	// ClaimRules takes up to limit rules that are due, those first that have been
	// for the longest: nobody else has them for the lease. They are Tried from then
	// on, though they come as they were before.
	ClaimRules(ctx context.Context, now time.Time, lease time.Duration, limit int) ([]store.Rule, error)
	// SettleRules records Held, Tried, Attempts, Error and DueAt of claimed rules
	// and, where there is no Error, that Generation is Applied. A rate counts from now
	// where nothing was held for it, or something else: another rate, or what was paused. One whose
	// schedule changed meanwhile, or came to its end, is due now. One that is not its claimer's any more
	// stays as it is.
	SettleRules(ctx context.Context, now time.Time, rules []store.Rule) error
	// NextRule is when a rule is due next; zero means that none is.
	NextRule(ctx context.Context) (time.Time, error)
	// Rule is that of the schedule of a launch plan; store.ErrNotFound.
	Rule(ctx context.Context, key ident.Key) (store.Rule, error)
	// RulesOf are those of schedules, by number, as far as there are any.
	RulesOf(ctx context.Context, ids []int64) (map[int64]store.Rule, error)
	// EachRule visits all rules, in the order of their schedules' numbers. An error
	// of visit ends it, and is returned as it is. visit must not use the store.
	EachRule(ctx context.Context, visit func(store.Rule) error) error
	// RenewRules makes rules of schedules due at now, all of them where ids is nil,
	// but those that are claimed. It says how many.
	RenewRules(ctx context.Context, now time.Time, ids []int64) (int, error)
}

// Intake takes word that schedules came due. It is store.ErrKept where the time is
// not kept by store.KeeperAWS.
type Intake interface {
	// Attend records that messages can be taken, and what comes of them recorded. What
	// came due while that was not so for more than a minute was missed, as what came due
	// before the Since of a Beat.
	Attend(ctx context.Context, now time.Time) error
	// Deliver decides in one transaction what messages come to, with
	// schedule.Intake: a firing of a slot that has none; nothing, where the slot was
	// decided before or is none by the schedule's policy; or a dead letter. A message
	// about a slot that has not come is Early, and comes to nothing yet. What it
	// returns an error for is to be delivered again. Delivering a message again
	// changes nothing.
	Deliver(ctx context.Context, now time.Time, messages []store.Message) (store.Delivered, error)
	// Audit takes up to limit schedules that have slots of which there was no word,
	// up to heard or, where that is later, before the Since of a Beat or the first
	// Attend after a break, and decides them with schedule.Audit. Rates that AWS does not hold yet have no slots. Schedules whose pause ended by now go on.
	Audit(ctx context.Context, now, heard time.Time, limit int) (store.Advanced, error)
}

// DeadLetters keeps messages that launched nothing and that somebody should look at.
type DeadLetters interface {
	// Prune deletes those that were set aside before Retention.Firings.

	// DeadLetters lists them, without their bodies, by default the newest first.
	DeadLetters(ctx context.Context, q store.Query) ([]store.DeadLetter, error)
	DeadLetter(ctx context.Context, id int64) (store.DeadLetter, error)
	// DropDeadLetters deletes some, and says how many there were.
	DropDeadLetters(ctx context.Context, ids []int64) (int, error)
	// RedriveDeadLetter records a firing as RunNow does, and drops the letter, which
	// is word that a launch plan came due at an instant: of the slot which the
	// schedule had then, or would have had; otherwise of the instant, to the second. It is
	// store.ErrNotFound where there is no letter or no active schedule, and nothing
	// changes then; and store.ErrExists where the slot has an outcome, or will get
	// one: the firing is its Slot alone then, and the letter is dropped all the same.
	RedriveDeadLetter(ctx context.Context, id int64, plan ident.Key, at time.Time, c store.Change) (schedule.Firing, error)
}

// Housekeeping checks the ledger and keeps it small.
type Housekeeping interface {
	// Sweep checks up to limit of the schedules whose number is above after, by
	// number: whether what is kept as their next slot is the one after their
	// cursor, or the end of their pause, and whether each slot after since, up to a
	// minute ago, that their revisions have has an outcome or is in a backlog. One
	// that has none launches late where catch-up allows a slot of its age, and was
	// missed otherwise. No revision says when a schedule with MaxRuns has ended: of
	// its slots before its last change those are checked that were followed by one
	// that came due. What is due no more, and cannot be planned, gets its Problem.
	// At the end it also releases firings that are claimed by a session that is not
	// there, and those are launched that were skipped or given up as dead while
	// somebody launched them. What was wrong is repaired, and told.
	Sweep(ctx context.Context, after int64, since, now time.Time, limit int) (store.Swept, error)
	// Prune looks at up to limit firings and as many executions that ended, the
	// oldest first, and deletes those that need not be kept, and up to limit messages
	// about alerts. Pending firings and open executions stay. Nodes and tasks go with
	// their executions, of which it returns the keys alone.
	Prune(ctx context.Context, r store.Retention, limit int) (store.Pruned, error)
}

// Lateness finds what alerts are raised and ended by though nothing happens.
type Lateness interface {
	// Waiting visits firings that are pending though a launch of them was planned
	// for before, and by nobody under way unless one failed already: live ones
	// alone, none whose schedule stopped, up to a hundred thousand, and some of
	// them twice. Those that wait for another attempt or for an earlier execution
	// are visited when their slot is not after before.
	Waiting(ctx context.Context, before time.Time, visit func(schedule.Firing) error) error
	// Timings reads, by number, those of the schedules that have a policy other than the default.
	Timings(ctx context.Context, ids []int64) (map[int64]schedule.Schedule, error)
	// StoppedAlerts names the schedules of alerts that last which are not to fire
	// any more: inactive, or paused by somebody other than tminus itself.
	StoppedAlerts(ctx context.Context) ([]ident.Key, error)
	// Alerts lists the alerts that there are, ended ones too, newest first.
	Alerts(ctx context.Context, q store.Query) ([]store.Alert, error)
}

// Executions keeps executions.
type Executions interface {
	// CreateExecutions inserts executions in one transaction; those whose name
	// is taken stay as they are and are reported by a false in the same place.
	CreateExecutions(ctx context.Context, es []store.Execution) ([]bool, error)
	Execution(ctx context.Context, key ident.Key) (store.Execution, error)
	Executions(ctx context.Context, q store.Query) ([]store.Execution, error)
	// UpdateExecution applies change to the stored execution in one transaction.
	// When change returns an error nothing is stored and the error is returned as
	// it is. The Key cannot change. change must not use the store. When the
	// execution has ended after it, the firings of its launch plan that wait for
	// that are due at its UpdatedAt.
	UpdateExecution(ctx context.Context, key ident.Key, change func(*store.Execution) error) (store.Execution, error)
	// RunningOf lists the executions of a launch plan, of any version, that have not ended, oldest first.
	RunningOf(ctx context.Context, plan ident.Key) ([]store.Execution, error)
}

// Runners keeps who runs executions.
type Runners interface {
	// RenewRunner says that a runner is there until lease after now. One that does
	// not say so again by then is over.
	RenewRunner(ctx context.Context, runner string, now time.Time, lease time.Duration) error
	// RetireRunner says that a runner is over; one that is not there is so already.
	RetireRunner(ctx context.Context, runner string) error
	// TakeExecutions makes up to limit executions the runner's, and returns them:
	// those in progress of runners that are over at now, or were never there, and
	// then queued ones, which become RUNNING; of both the oldest first. What others
	// are taking at the same time is left to them.
	TakeExecutions(ctx context.Context, runner string, now time.Time, limit int) ([]store.Execution, error)
	// HeldExecutions lists the executions in progress that are a runner's, oldest first.
	HeldExecutions(ctx context.Context, runner string) ([]store.Held, error)
}

// Elsewhere keeps executions that run on a Flyte, with the Runner of that name:
// no runner takes them up.
type Elsewhere interface {
	// ClaimElsewhere takes up to limit executions whose LookAt has come, those first
	// whose came first: nobody else has them for the lease.
	ClaimElsewhere(ctx context.Context, now time.Time, lease time.Duration, limit int) ([]store.Execution, error)
	// SettleElsewhere records, of those that have not ended, the phase, LookAt, when
	// they started and ended, the error and, unless there is one, the cause of an
	// abort. One that is to be ended stays ABORTING until it has, and is looked at no
	// later than was asked for. It returns those that have ended by that; the firings that wait for
	// it are due.
	SettleElsewhere(ctx context.Context, now time.Time, es []store.Execution) ([]store.Execution, error)
	// Relaunch makes the firing that launched x, which could not be started, pending
	// again with schedule.Firing.Relaunch, and x ABORTED for that reason; likewise one
	// whose launch of x is not recorded yet. It returns the firing; store.ErrNotFound,
	// and nothing changes, where x is not what a firing launched last, or has ended.
	Relaunch(ctx context.Context, now time.Time, x store.Execution, reason string) (schedule.Firing, error)
	// NextElsewhere is when the next LookAt comes; zero means never.
	NextElsewhere(ctx context.Context) (time.Time, error)
}

// Parts keeps what executions are made of.
type Parts interface {
	// PutNode and PutTask insert or replace; store.ErrNotFound without the
	// execution, and store.ErrTaken unless it is the runner's ("" while it is nobody's).
	PutNode(ctx context.Context, runner string, n store.NodeExecution) error
	PutTask(ctx context.Context, runner string, t store.TaskExecution) error
	Node(ctx context.Context, execution ident.Key, node string) (store.NodeExecution, error)
	Nodes(ctx context.Context, execution ident.Key, q store.Query) ([]store.NodeExecution, error)
	Task(ctx context.Context, execution ident.Key, node string, attempt int) (store.TaskExecution, error)
	Tasks(ctx context.Context, execution ident.Key, node string, q store.Query) ([]store.TaskExecution, error)
}
