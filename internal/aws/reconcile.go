package aws

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"time"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"golang.org/x/sync/errgroup"

	"tminus.dev/internal/ident"
	"tminus.dev/internal/invalid"
	"tminus.dev/internal/store"
)

// Held is where a reconciler finds what AWS is to hold; package storetest says
// what each method promises.
type Held interface {
	Now(ctx context.Context) (time.Time, error)
	ClaimRules(ctx context.Context, now time.Time, lease time.Duration, limit int) ([]store.Rule, error)
	SettleRules(ctx context.Context, now time.Time, rules []store.Rule) error
	NextRule(ctx context.Context) (time.Time, error)
	Rule(ctx context.Context, key ident.Key) (store.Rule, error)
	EachRule(ctx context.Context, visit func(store.Rule) error) error
	RenewRules(ctx context.Context, now time.Time, ids []int64) (int, error)
}

// Reconciler has AWS hold what it is to hold. Any number of them may share a
// database: each rule is at most one's at a time, and all that is done can be
// done again, so that it may end at any point.
type Reconciler struct {
	held   Held
	cfg    SchedulerConfig
	log    *slog.Logger
	client *awshttp.BuildableClient
	wake   chan struct{}

	mu       sync.Mutex
	services map[string]service // by region, API and group
	problem  trouble
	blind    sync.Once // says that nobody may look at rules
}

// NewReconciler makes a reconciler; Run starts it. Its error is that of cfg.Validate.
func NewReconciler(held Held, cfg SchedulerConfig, log *slog.Logger) (*Reconciler, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg.API = cfg.api()
	if cfg.API == Scheduler {
		cfg.Group = cmp.Or(cfg.Group, defaultGroup)
	}
	return &Reconciler{
		held: held, cfg: cfg, log: log, client: httpClient(parallel, callTime), wake: make(chan struct{}, 1), services: make(map[string]service),
	}, nil
}

// place is where something is held.
type place struct {
	Region string `json:"region"`
	API    string `json:"api"`
	Group  string `json:"group,omitempty"`
	Name   string `json:"name"`
}

func (p place) String() string {
	if p.API == Scheduler {
		return fmt.Sprintf("%s (EventBridge Scheduler, %s, group %s)", p.Name, p.Region, p.Group)
	}
	return fmt.Sprintf("%s (CloudWatch Events, %s)", p.Name, p.Region)
}

// holding is what store.Rule.Held says: where a rule is, and under which
// configuration. The zero holding is nowhere.
type holding struct {
	place
	Settings string `json:"settings"`
	// Left are other places where it is, put under configurations of before.
	Left []place `json:"left,omitempty"`
}

// places are all places where a rule is.
func (h holding) places() []place {
	if h.place == (place{}) {
		return h.Left
	}
	return slices.Concat([]place{h.place}, h.Left)
}

// text is h as store.Rule.Held has it.
func (h holding) text() (string, error) {
	if len(h.places()) == 0 {
		return "", nil
	}
	b, err := json.Marshal(h)
	return string(b), err
}

// settings tells configurations apart under which the same rule is another one in AWS.
func (c SchedulerConfig) settings() string {
	h := fnv.New64a()
	fmt.Fprintf(h, "%q", []string{c.ScheduleRole, c.TargetName, c.DeadLetterQueue})
	return strconv.FormatUint(h.Sum64(), 36)
}

const (
	// claims is how many rules are claimed at once, and parallel how many of them applied.
	claims   = 50
	parallel = 8
	// lease is how long claimed rules are nobody else's, and workTime how long they
	// are worked on, so that nothing is done about one that may be another's.
	lease    = time.Minute
	workTime = 40 * time.Second
	// callTime bounds one call of AWS.
	callTime = 10 * time.Second
	// rulePoll bounds the sleep while nothing is due: other processes change schedules too.
	rulePoll = 5 * time.Second
)

// Wake tells it that schedules changed. It never blocks.
func (r *Reconciler) Wake() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Problem says why AWS cannot be told anything at present; empty means that it can.
func (r *Reconciler) Problem() string { return r.problem.text() }

// Run applies what changes until ctx ends, and then returns nil.
func (r *Reconciler) Run(ctx context.Context) error {
	reviewed := false
	for {
		var wait time.Duration
		var err error
		if !reviewed {
			err = r.review(ctx)
			reviewed = err == nil
		}
		if err == nil {
			wait, err = r.pass(ctx)
		}
		if err != nil && ctx.Err() == nil {
			r.log.ErrorContext(ctx, "cannot apply rules; trying again", slog.Any("error", err))
			wait = time.Second
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-r.wake:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// pass applies rules that are due, and says when more are.
func (r *Reconciler) pass(ctx context.Context) (time.Duration, error) {
	now, err := r.held.Now(ctx)
	if err != nil {
		return 0, err
	}
	rules, err := r.held.ClaimRules(ctx, now, lease, claims)
	if err != nil {
		return 0, err
	}
	if len(rules) > 0 {
		r.applyAll(ctx, rules, now)
		// What was done is recorded even when there is no time for more.
		settle, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTime)
		defer cancel()
		if now, err = r.held.Now(settle); err != nil {
			return 0, err
		}
		return 0, r.held.SettleRules(settle, now, rules)
	}
	next, err := r.held.NextRule(ctx)
	if err != nil || next.IsZero() {
		return rulePoll, err
	}
	return min(max(next.Sub(now), 0), rulePoll), nil
}

func (r *Reconciler) applyAll(ctx context.Context, rules []store.Rule, now time.Time) {
	ctx, cancel := context.WithTimeout(ctx, workTime)
	defer cancel()
	var g errgroup.Group
	g.SetLimit(parallel)
	for i := range rules {
		g.Go(func() error {
			rules[i] = r.settled(ctx, rules[i], now)
			return nil
		})
	}
	_ = g.Wait() //nolint:errcheck // Each error is its rule's.
}

// settled is a rule after it was applied, or after that failed.
func (r *Reconciler) settled(ctx context.Context, rule store.Rule, now time.Time) store.Rule {
	if ctx.Err() != nil { // There was no time for it.
		rule.DueAt = now
		return rule
	}
	before := rule.Tried
	rule.Tried = true
	err := r.apply(ctx, &rule, before)
	if err == nil {
		if rule.Error != "" {
			r.log.InfoContext(ctx, "a rule is applied again", slog.String("launch_plan", rule.LaunchPlan.String()))
		}
		rule.Error, rule.DueAt = "", time.Time{}
		r.problem.Store(nil)
		return r.tidied(ctx, rule, now)
	}
	if errors.Is(err, context.Canceled) {
		rule.DueAt = now
		return rule
	}
	rule.Attempts++
	rule.DueAt = now.Add(pause(err, rule.Attempts))
	if rule.Error != err.Error() {
		r.log.WarnContext(ctx, "cannot apply a rule; trying again", slog.String("launch_plan", rule.LaunchPlan.String()), slog.Any("error", err))
	}
	rule.Error = err.Error()
	if k := kindOf(err); k == denied || (k == again && rule.Attempts >= troubled) {
		text := "AWS cannot be told about schedules: " + rule.Error
		r.problem.Store(&text)
	}
	return rule
}

// troubled is how many failures in a row of one rule are a problem of all of them.
const troubled = 3

// The pauses before a rule is applied again double from the first to the last, and
// vary by a quarter. Where a person has to do something first, they are longer.
const (
	firstPause = time.Second
	lastPause  = 5 * time.Minute
	firstHelp  = 15 * time.Second
	lastHelp   = 15 * time.Minute
)

func pause(err error, attempts int) time.Duration {
	first, last := firstPause, lastPause
	if kindOf(err) != again {
		first, last = firstHelp, lastHelp
	}
	p := min(first<<min(attempts-1, 20), last)
	return p + rand.N(p/2) - p/4 //nolint:gosec // Spreads load.
}

// tidied is a rule that is where it is to be after what configurations of before
// put elsewhere was removed, or after that failed: then it is tried again, and the
// rule is none the worse for it.
func (r *Reconciler) tidied(ctx context.Context, rule store.Rule, now time.Time) store.Rule {
	h, err := holdingOf(rule)
	if err == nil {
		h.Left, err = r.clear(ctx, h.Left, rule.LaunchPlan.Key)
	}
	if err == nil {
		rule.Attempts = 0
	} else if rule.DueAt = now; !errors.Is(err, context.Canceled) {
		if rule.Attempts == 0 {
			r.log.WarnContext(ctx, "a rule is put, and what it was before is not removed; trying again", slog.String("launch_plan", rule.LaunchPlan.String()), slog.Any("error", err))
		}
		rule.Attempts++
		rule.DueAt = now.Add(pause(err, rule.Attempts))
	}
	if text, err := h.text(); err == nil {
		rule.Held = text
	}
	return rule
}

// apply has AWS hold what a rule wants, where it is to be. What is left elsewhere
// is for tidied, so that a rule which moves is always somewhere. tried says that an
// attempt was begun before, so that what is there may be ours though nobody recorded it.
func (r *Reconciler) apply(ctx context.Context, rule *store.Rule, tried bool) error {
	before, err := holdingOf(*rule)
	if err != nil {
		return err
	}
	plan, places := rule.LaunchPlan.Key, before.places()
	want := r.place(plan)
	if !rule.Active {
		left, err := r.clear(ctx, places, plan)
		if err == nil && tried && !slices.Contains(places, want) { // It may have been put without a record of it.
			err = r.disown(ctx, want, plan)
		}
		text, unsaid := holding{Left: left}.text()
		rule.Held, rule.Tried = text, err != nil
		return cmp.Or(err, unsaid)
	}
	after := holding{want, r.cfg.settings(), slices.DeleteFunc(places, func(p place) bool { return p == want })}
	if rule.InStep() && rule.Attempts > 0 && before.place == want && before.Settings == after.Settings {
		return nil // It is put, and what failed was to remove what is left.
	}
	if err := r.put(ctx, *rule, want); err != nil {
		return err
	}
	rule.Attempts = 0
	rule.Held, err = after.text()
	return err
}

// put has a place hold what a rule wants.
func (r *Reconciler) put(ctx context.Context, rule store.Rule, at place) error {
	e, err := r.entry(rule)
	if err != nil {
		return err
	}
	s, err := r.service(ctx, at)
	if err != nil {
		return err
	}
	if err := r.own(ctx, s, e); err != nil {
		return err
	}
	err = s.put(ctx, e)
	if err != nil && kindOf(err) == gone {
		err = fmt.Errorf("the schedule group or event bus may not be there: %w", err)
	}
	return explain("put "+e.name, err)
}

// clear removes a rule from places, and returns those where it may be still.
func (r *Reconciler) clear(ctx context.Context, places []place, plan ident.Key) (left []place, err error) {
	for _, at := range places {
		if failed := r.disown(ctx, at, plan); failed != nil {
			left, err = append(left, at), cmp.Or(err, failed)
		}
	}
	return left, err
}

// holdingOf reads what is known to be held for a rule.
func holdingOf(rule store.Rule) (h holding, err error) {
	if rule.Held == "" {
		return h, nil
	}
	if err := json.Unmarshal([]byte(rule.Held), &h); err != nil {
		return h, fmt.Errorf("read what AWS holds for %s: %w", rule.LaunchPlan.Key, err)
	}
	return h, nil
}

func (r *Reconciler) place(plan ident.Key) place {
	return place{r.cfg.Region, r.cfg.API, r.cfg.Group, RuleName(r.cfg.ScheduleNamePrefix, plan)}
}

// review makes due what was put under another configuration, or could not be
// under the one of before, and what is there though nothing is to be.
func (r *Reconciler) review(ctx context.Context) error {
	var stale []int64
	if err := r.held.EachRule(ctx, func(rule store.Rule) error {
		h, err := holdingOf(rule)
		moved := rule.Active && rule.Held != "" && (h.place != r.place(rule.LaunchPlan.Key) || h.Settings != r.cfg.settings() || len(h.Left) > 0)
		unwanted := !rule.Active && rule.Held != ""
		if err != nil || moved || unwanted || rule.Error != "" {
			stale = append(stale, rule.ScheduleID)
		}
		return nil
	}); err != nil {
		return err
	}
	now, err := r.held.Now(ctx)
	if err != nil {
		return err
	}
	if len(stale) == 0 {
		return nil // Without numbers it would be all.
	}
	_, err = r.held.RenewRules(ctx, now, stale)
	return err
}

// entry is what AWS is to hold for a rule.
func (r *Reconciler) entry(rule store.Rule) (e entry, err error) {
	plan := rule.LaunchPlan.Key
	e = entry{
		name: RuleName(r.cfg.ScheduleNamePrefix, plan), description: Description(plan), disabled: rule.Paused,
		target: r.cfg.TargetName, role: r.cfg.ScheduleRole,
	}
	if e.expression, err = Express(plan, rule.Spec, r.cfg.API); err != nil {
		return e, err
	}
	e.body, err = compose(r.cfg.API, plan, rule.Spec.KickoffInput)
	return e, err
}

// own makes sure that nothing of somebody else is overwritten, what was tminus's before
// included. Those who may not look go on: the name is a hash of the launch plan's.
func (r *Reconciler) own(ctx context.Context, s service, e entry) error {
	description, ok, err := s.describe(ctx, e.name)
	switch {
	case err != nil && kindOf(err) == denied && codeOf(err) != "":
		r.blind.Do(func() {
			r.log.InfoContext(ctx, "AWS does not let tminus look at rules, so it puts its own without looking whether one of that name is somebody else's", slog.Any("error", err))
		})
		return nil
	case err != nil:
		return explain("look at "+e.name, err)
	case ok && description != e.description:
		return invalid.Field("scheduler.eventScheduler.scheduleNamePrefix", "AWS has %s already, and it is not tminus's (%q); use another prefix, or remove it", e.name, short(description))
	}
	return nil
}

// disown removes what is at a place if it is, or may be, ours.
func (r *Reconciler) disown(ctx context.Context, at place, plan ident.Key) error {
	s, err := r.service(ctx, at)
	if err != nil {
		return err
	}
	name := at.Name
	if at != r.place(plan) {
		name = at.String() + ", which another configuration put and whose permissions it takes"
	}
	description, ok, err := s.describe(ctx, at.Name)
	if err != nil && kindOf(err) != denied {
		return explain("look at "+name, err)
	}
	if err == nil && (!ok || description != Description(plan)) {
		return nil
	}
	return explain("remove "+name, s.remove(ctx, at.Name))
}

// service is the API for a place.
//
//nolint:ireturn // Which of the two it is matters to nobody.
func (r *Reconciler) service(ctx context.Context, at place) (service, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := at.Region + " " + at.API + " " + at.Group
	if s, ok := r.services[key]; ok {
		return s, nil
	}
	cfg, err := session(ctx, at.Region, r.client, r.log)
	if err != nil {
		return nil, err
	}
	if at.API == Scheduler {
		r.services[key] = newSchedules(cfg, r.cfg.Endpoint, at.Group, r.cfg.DeadLetterQueue)
	} else {
		r.services[key] = newRules(cfg, r.cfg.Endpoint)
	}
	return r.services[key], nil
}

// Sync has what AWS holds for a launch plan put there again, or all of it where
// plan is nil, and says for how many. What somebody changed in AWS is ours again then.
func (r *Reconciler) Sync(ctx context.Context, plan *ident.Key) (int, error) {
	now, err := r.held.Now(ctx)
	if err != nil {
		return 0, err
	}
	var ids []int64
	if plan != nil {
		rule, err := r.held.Rule(ctx, *plan)
		if err != nil {
			return 0, err
		}
		ids = []int64{rule.ScheduleID}
	}
	n, err := r.held.RenewRules(ctx, now, ids)
	r.Wake()
	return n, err
}
