package cli_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"tminus.dev/internal/aws"
	"tminus.dev/internal/ident"
	"tminus.dev/internal/schedule"
	"tminus.dev/internal/server"
	"tminus.dev/internal/store"
)

// held is what AWS holds, for all that the server knows.
type held struct{ err error }

func (h held) Diff(context.Context) ([]server.RuleDifference, int, []string, error) {
	return []server.RuleDifference{
		{Name: "flyte_1", LaunchPlan: ident.Key{Project: "default", Domain: "development", Name: "report"}, What: "missing", Detail: "it is to be put"},
	}, 3, []string{"whether there are others: denied"}, h.err
}

func (h held) Sync(_ context.Context, plan *ident.Key) (int, error) {
	if plan != nil && plan.Name != "report" {
		return 0, store.ErrNotFound
	}
	return 1, h.err
}

func TestDeadLettersAndRules(t *testing.T) {
	w := newWorld(t, func(c *server.Config) { c.Decode, c.Rules = aws.Decode, held{} })
	if _, err := w.db.KeepTime(t.Context(), store.KeeperAWS, time.Now()); err != nil {
		t.Fatal(err)
	}
	w.must(t, "apply", "-f", manifestFile(t, hourly("report", "v1", "{cron: 0 12 * * ? *}")))
	report := ident.Key{Project: "default", Domain: "development", Name: "report"}
	now := time.Now().UTC().Truncate(time.Second)
	message := func(id string, plan ident.Key, at time.Time) store.Message {
		template, err := aws.Template(plan, "")
		if err != nil {
			t.Fatal(err)
		}
		body := strings.Replace(template, "<time>", `"`+at.Format(time.RFC3339)+`"`, 1)
		return store.Message{ID: id, Body: []byte(body), SentAt: now, Receives: 1, LaunchPlan: plan, Time: at}
	}
	past := now.AddDate(0, 0, -2).Truncate(24 * time.Hour).Add(12 * time.Hour)
	other := ident.Key{Project: "default", Domain: "development", Name: "other"}
	for _, m := range []store.Message{
		message("m1", report, past), message("m2", other, past),
		{ID: "m3", Body: []byte("}{\xff"), SentAt: now, Receives: 4, Problem: "the body is no JSON object"},
	} {
		if _, err := w.db.Deliver(t.Context(), now, []store.Message{m}); err != nil {
			t.Fatal(err)
		}
	}
	for _, step := range []struct{ args, want string }{
		{"list", "ID RECEIVED LAUNCH PLAN TIME REASON\n" +
			"3 TIME (WHEN) - - the body is no JSON object\n" +
			"2 TIME (WHEN) other TIME (WHEN) launch plan default/development/other has no active version with a schedule\n" +
			"1 TIME (WHEN) report TIME (WHEN) the slot TIME came due before the schedule was activated, and what is past does not launch by surprise\n"},
		{"list other", "ID RECEIVED LAUNCH PLAN TIME REASON\n2 TIME (WHEN) other TIME (WHEN) launch plan default/development/other has no active version with a schedule\n"},
		{"show 3", "Reason: the body is no JSON object\nMessage: m3\nSent: TIME (WHEN)\nSet aside: TIME (WHEN)\nTaken: 4 times\nBody: \"}{\\xff\"\n"},
		{"show 99", "tminus: NotFound: id: there is no dead letter 99\n"},
		{"show x", "tminus: \"x\" is no ID: use the numbers that tminus dead-letters list shows\n"},
		{"redrive", "tminus: ID is missing: tminus dead-letters list shows them\n"},
		{"redrive 1 --all", "tminus: --all means all of them; leave the IDs out, or the flag\n"},
		{"redrive 1 2 3 99", "ID EXECUTION PROBLEM\n1 EXECUTION -\n" +
			"2 - launch plan default/development/other has no active version with a schedule; activate one and redrive the letter again\n" +
			"3 - it still cannot be read: the body is no JSON object: invalid character '}' looking for beginning of value\n" +
			"99 - there is no such dead letter\ntminus: not all of them launch\n"},
		{"drop 3", "dropped 1\n"},
		{"drop --all", "dropped 1\n"},
		{"list", "ID RECEIVED LAUNCH PLAN TIME REASON\n"},
	} {
		if got := w.told(t, append([]string{"dead-letters"}, strings.Fields(step.args)...)...); got != step.want {
			t.Errorf("dead-letters %s: got\n%s\nwant\n%s", step.args, got, step.want)
		}
	}
	for _, step := range []struct{ args, want string }{
		{"aws diff", "RULE LAUNCH PLAN WHAT DETAIL\nflyte_1 default/development/report missing it is to be put\nwarning: cannot tell whether there are others: denied\n" +
			"tminus: AWS does not hold what it is to hold; tminus aws sync mends that\n"},
		{"aws sync", "1 are put again; tminus aws diff tells when they are\n"},
		{"aws sync report", "1 are put again; tminus aws diff tells when they are\n"},
		{"aws sync other", "tminus: NotFound: name: launch plan default/development/other never had an active schedule here\n"},
	} {
		if got := w.told(t, strings.Fields(step.args)...); got != step.want {
			t.Errorf("%s: got\n%s\nwant\n%s", step.args, got, step.want)
		}
	}
}

func TestARuleThatIsNotAppliedIsSaid(t *testing.T) {
	w := newWorld(t, func(c *server.Config) {
		c.Rules = held{}
		c.Express = func(plan ident.Key, spec schedule.Spec) error {
			_, err := aws.Express(plan, spec, aws.Rules)
			return err
		}
	})
	if _, err := w.db.KeepTime(t.Context(), store.KeeperAWS, time.Now()); err != nil {
		t.Fatal(err)
	}
	got := w.told(t, "apply", "-f", manifestFile(t, hourly("zoned", "v1", "{cron: 0 12 * * ? *, timezone: Europe/Berlin}")))
	if !strings.Contains(got, "CloudWatch Events rules know UTC alone") || !strings.Contains(got, "api to scheduler") {
		t.Errorf("a zone: %s", got)
	}
	if got := w.told(t, "apply", "-f", manifestFile(t, hourly("report", "v1", "{cron: 0 12 * * ? *}"))); !strings.Contains(got, "is being applied") {
		t.Errorf("what AWS was not told of: %s", got)
	}
	now := time.Now().Add(time.Second)
	rules, err := w.db.ClaimRules(t.Context(), now, time.Minute, 10)
	if err != nil || len(rules) != 1 {
		t.Fatalf("%d rules (%v)", len(rules), err)
	}
	rules[0].Error, rules[0].Attempts, rules[0].DueAt = "LimitExceededException: have the quota raised", 2, now.Add(time.Hour)
	if err := w.db.SettleRules(t.Context(), now, rules); err != nil {
		t.Fatal(err)
	}
	if got := w.told(t, "schedules", "list"); !strings.Contains(got, "rule not applied") ||
		!strings.Contains(got, "its rule in AWS is not applied; until it is, slots of which no message comes launch some minutes late, as the catch-up policy says: LimitExceededException") {
		t.Errorf("list: %s", got)
	}
	if got := w.told(t, "schedules", "get", "report"); !strings.Contains(got, "Rule in AWS: not applied (2 times): LimitExceededException: have the quota raised; again at TIME") {
		t.Errorf("get: %s", got)
	}
}

func TestWithoutAWSThereIsNothingToCompare(t *testing.T) {
	w := newWorld(t)
	for _, args := range []string{"aws diff", "aws sync"} {
		if got := w.told(t, strings.Fields(args)...); !strings.Contains(got, "scheduler.eventScheduler.scheme is not aws here") {
			t.Errorf("%s: %s", args, got)
		}
	}
	if got := w.told(t, "dead-letters", "redrive", "1"); !strings.Contains(got, "scheduler.workflowExecutor.scheme is not aws") {
		t.Errorf("redrive: %s", got)
	}
}
