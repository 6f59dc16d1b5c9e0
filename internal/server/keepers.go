package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	tminusv1 "tminus.dev/gen/tminus/v1"
	"tminus.dev/internal/ident"
	"tminus.dev/internal/invalid"
	"tminus.dev/internal/schedule"
	"tminus.dev/internal/store"
)

// Rules is what those who keep time elsewhere hold.
type Rules interface {
	// Diff compares what they are to hold with what they do, how many launch plans
	// that were, and what could not be told.
	Diff(ctx context.Context) (differences []RuleDifference, compared int, unknown []string, err error)
	// Sync has what they are to hold for a launch plan put there again, or all of it
	// where plan is nil, and says how much that is; store.ErrNotFound.
	Sync(ctx context.Context, plan *ident.Key) (int, error)
}

// RuleDifference is one between what is to be held and what is.
type RuleDifference struct {
	// Name is what it is called there, LaunchPlan whose it is to be; zero where that is nobody's.
	Name       string
	LaunchPlan ident.Key
	// What is one word, Detail a sentence.
	What, Detail string
}

// keepers shows what goes between tminus and those who keep time for it.
type keepers struct {
	tminusv1.UnimplementedKeeperServiceServer
	*Server
}

// ListDeadLetters lists messages that launched nothing.
func (s *keepers) ListDeadLetters(ctx context.Context, r *tminusv1.ListDeadLettersRequest) (*tminusv1.ListDeadLettersResponse, error) {
	q, err := query(r)
	if err != nil {
		return nil, err
	}
	// They may be about launch plans that nobody has: the names are not checked.
	q.Project, q.Domain, q.Name = r.GetProject(), r.GetDomain(), r.GetName()
	list, token, err := page(ctx, q, s.store.DeadLetters, func(l store.DeadLetter) (*tminusv1.DeadLetter, error) { return wireLetter(l), nil })
	return &tminusv1.ListDeadLettersResponse{DeadLetters: list, Token: token}, err
}

// GetDeadLetter shows one.
func (s *keepers) GetDeadLetter(ctx context.Context, r *tminusv1.GetDeadLetterRequest) (*tminusv1.GetDeadLetterResponse, error) {
	l, err := s.store.DeadLetter(ctx, r.GetId())
	if errors.Is(err, store.ErrNotFound) {
		return nil, notFound("id: there is no dead letter %d", r.GetId())
	}
	if err != nil {
		return nil, err
	}
	return &tminusv1.GetDeadLetterResponse{DeadLetter: wireLetter(l)}, nil
}

func wireLetter(l store.DeadLetter) *tminusv1.DeadLetter {
	return &tminusv1.DeadLetter{
		Id: l.ID, MessageId: l.Message.ID, Reason: l.Reason, Project: l.LaunchPlan.Project, Domain: l.LaunchPlan.Domain, Name: l.LaunchPlan.Name,
		Time: instant(l.Time), SentAt: instant(l.SentAt), ReceivedAt: instant(l.ReceivedAt), Receives: uint32(min(l.Receives, 1<<30)), //nolint:gosec // Bounded in the line.
		Body: l.Body,
	}
}

// maxLetters is how many dead letters one request changes.
const maxLetters = 1000

func checkLetters(ids []int64) error {
	if len(ids) == 0 {
		return invalid.Field("ids", "is empty; name the dead letters")
	}
	if len(ids) > maxLetters {
		return invalid.Field("ids", "has %d; %d is the most, so ask again for what is left", len(ids), maxLetters)
	}
	return nil
}

// RedriveDeadLetters launches what dead letters are about.
func (s *keepers) RedriveDeadLetters(ctx context.Context, r *tminusv1.RedriveDeadLettersRequest) (*tminusv1.RedriveDeadLettersResponse, error) {
	if err := checkLetters(r.GetIds()); err != nil {
		return nil, err
	}
	if s.cfg.Decode == nil {
		return nil, status.Error(codes.FailedPrecondition, "messages cannot be read here: scheduler.workflowExecutor.scheme is not aws; ask a tminus where it is")
	}
	c, err := s.change(ctx, r.GetReason())
	if err != nil {
		return nil, err
	}
	answer := &tminusv1.RedriveDeadLettersResponse{}
	for _, id := range r.GetIds() {
		x, err := s.redrive(ctx, id, c)
		if err != nil {
			// Those before it are done, and who asked has to know.
			s.cfg.Log.ErrorContext(ctx, "cannot redrive a dead letter", slog.Int64("id", id), slog.Any("error", err))
			x = &tminusv1.RedrivenDeadLetter{Id: id, Problem: "the database failed; see the log, and redrive it again"}
		}
		answer.DeadLetters = append(answer.DeadLetters, x)
	}
	s.engine.Wake()
	s.warnClient(ctx)
	return answer, nil
}

func (s *keepers) redrive(ctx context.Context, id int64, c store.Change) (*tminusv1.RedrivenDeadLetter, error) {
	answer := &tminusv1.RedrivenDeadLetter{Id: id}
	l, err := s.store.DeadLetter(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		answer.Problem = "there is no such dead letter"
		return answer, nil
	}
	if err != nil {
		return nil, err
	}
	plan, at, err := s.cfg.Decode(l.Body)
	if err != nil {
		answer.Problem = "it still cannot be read: " + err.Error()
		return answer, nil //nolint:nilerr // The answer says so.
	}
	f, err := s.store.RedriveDeadLetter(ctx, id, plan, at, c)
	switch {
	case errors.Is(err, store.ErrExists):
		answer.Problem, answer.Dropped = fmt.Sprintf("the slot %s of %s has an outcome already; the letter is dropped", f.Slot.UTC().Format(time.RFC3339), plan), true
	case errors.Is(err, store.ErrNotFound):
		answer.Problem = fmt.Sprintf("launch plan %s has no active version with a schedule; activate one and redrive the letter again", plan)
	case err != nil:
		return nil, err
	default:
		answer.Execution, answer.Dropped = f.Execution(), true
	}
	return answer, nil
}

// DropDeadLetters deletes dead letters.
func (s *keepers) DropDeadLetters(ctx context.Context, r *tminusv1.DropDeadLettersRequest) (*tminusv1.DropDeadLettersResponse, error) {
	if err := checkLetters(r.GetIds()); err != nil {
		return nil, err
	}
	n, err := s.store.DropDeadLetters(ctx, r.GetIds())
	return &tminusv1.DropDeadLettersResponse{Dropped: uint32(min(n, maxLetters))}, err //nolint:gosec // Bounded in the line.
}

var errNoRules = status.Error(codes.FailedPrecondition, "scheduler.eventScheduler.scheme is not aws here, so nobody knows what AWS holds; ask a tminus where it is")

// DiffRules compares what AWS is to hold with what it does.
func (s *keepers) DiffRules(ctx context.Context, _ *tminusv1.DiffRulesRequest) (*tminusv1.DiffRulesResponse, error) {
	if s.cfg.Rules == nil {
		return nil, errNoRules
	}
	differences, compared, unknown, err := s.cfg.Rules.Diff(ctx)
	if err != nil {
		return nil, status.Errorf(codes.Unavailable, "AWS: %v", err)
	}
	answer := &tminusv1.DiffRulesResponse{Compared: uint32(min(compared, 1<<30)), Unknown: unknown} //nolint:gosec // Bounded in the line.
	for _, d := range differences {
		p := d.LaunchPlan
		answer.Differences = append(answer.Differences, &tminusv1.RuleDifference{Rule: d.Name, Project: p.Project, Domain: p.Domain, Name: p.Name, What: d.What, Detail: d.Detail})
	}
	return answer, nil
}

// SyncRules has AWS hold what it is to hold.
func (s *keepers) SyncRules(ctx context.Context, r *tminusv1.SyncRulesRequest) (*tminusv1.SyncRulesResponse, error) {
	if s.cfg.Rules == nil {
		return nil, errNoRules
	}
	var plan *ident.Key
	if r.GetName() != "" {
		plan = &ident.Key{Project: r.GetProject(), Domain: r.GetDomain(), Name: r.GetName()}
		if err := plan.Validate(""); err != nil {
			return nil, err
		}
	}
	n, err := s.cfg.Rules.Sync(ctx, plan)
	if errors.Is(err, store.ErrNotFound) {
		return nil, notFound("name: launch plan %s never had an active schedule here", plan)
	}
	return &tminusv1.SyncRulesResponse{Rules: uint32(min(n, 1<<30))}, err //nolint:gosec // Bounded in the line.
}

// unapplied is what comes of it that the rule of a schedule is not applied.
func unapplied(spec schedule.Spec) string {
	if spec.IsRate() {
		return "the rate does not count until it is"
	}
	return "until it is, slots of which no message comes launch some minutes late, as the catch-up policy says"
}

// wireRule is nil for the zero rule: tminus keeps time itself.
func wireRule(r store.Rule) *tminusv1.Rule {
	if r.Generation == 0 {
		return nil
	}
	return &tminusv1.Rule{
		InStep: r.InStep(), Error: r.Error, Attempts: uint32(min(r.Attempts, 1<<30)), DueAt: instant(r.DueAt), ChangedAt: instant(r.ChangedAt), //nolint:gosec // Bounded in the line.
	}
}

const (
	// ruleWait is how long an activation waits for AWS, so that who activates
	// something hears of what is in the way, and rulePoll how often it looks.
	ruleWait = time.Second
	rulePoll = 50 * time.Millisecond
)

// awaitRule waits a moment for AWS to hold what was activated, and tells the client if it does not.
func (s *Server) awaitRule(ctx context.Context, plan ident.Key) {
	if s.cfg.Rules == nil {
		return
	}
	timer := time.NewTimer(ruleWait)
	defer timer.Stop()
	ticker := time.NewTicker(rulePoll)
	defer ticker.Stop()
	for {
		r, err := s.store.Rule(ctx, plan)
		switch {
		case errors.Is(err, store.ErrNotFound), err == nil && r.InStep():
			return // It has no schedule, or all is well.
		case err != nil:
			s.cfg.Log.WarnContext(ctx, "cannot see whether a rule is applied", slog.String("launch_plan", plan.String()), slog.Any("error", err))
			return
		case r.Error != "" && r.Attempts > 0:
			s.warn(ctx, fmt.Sprintf("the rule of %s in AWS is not applied; %s: %s", plan, unapplied(r.Spec), r.Error))
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			s.warn(ctx, fmt.Sprintf("the rule of %s in AWS is being applied; tminus schedules get %s tells when it is", plan, plan.Name))
			return
		case <-ticker.C:
		}
	}
}
