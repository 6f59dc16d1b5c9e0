package cli_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tminus.dev/internal/cli"
	"tminus.dev/internal/schedule"
	"tminus.dev/internal/store"
)

var users = regexp.MustCompile(`\b[\w.-]+@[\w.-]+\b`)

// told is what a command prints, with the user of the machine as USER.
func (w *world) told(t *testing.T, args ...string) string {
	t.Helper()
	r := w.run(t, args...)
	lines := strings.SplitAfter(r.err, "\n")
	if r.code == cli.ExitMisused {
		lines = lines[:1] // The other line names the help.
	}
	return stable(users.ReplaceAllString(r.out+strings.Join(lines, ""), "USER"))
}

func TestPauseSkipRunAndHistory(t *testing.T) {
	w := newLivingWorld(t)
	w.must(t, "apply", "-f", manifestFile(t, hourly("report", "v1", "{cron: 0 12 * * ? *}")+hourly("off", "v1", "{cron: 0 12 * * ? *}\nactive: false")))
	noon := time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, 2).Add(12 * time.Hour)
	slot := noon.Format(time.RFC3339)
	past := noon.AddDate(0, 0, -10).Format(time.RFC3339)
	for _, step := range []struct {
		args string
		want string
	}{
		{"pause report", "tminus: --reason is missing: say why, for whoever finds the schedule paused\n"},
		{"pause off --reason x", "tminus: NotFound: launch plan default/development/off has no schedule: none of its versions was activated with one\n"},
		{"pause report --reason holidays --for 1h", "report is paused until TIME (WHEN); next TIME (WHEN)\n"},
		{"pause report --reason holidays", "report is paused; resume it with: tminus schedules resume -p default -d development report\n"},
		{"preview report", "SLOT LAUNCH PLAN NOTE\nwarning: report is paused: holidays\n"},
		{"resume report", "report is active; next TIME (WHEN)\n"},
		{"skip report --slot " + slot + " --reason empty", "report skips TIME (WHEN); next TIME (WHEN)\n"},
		{"skip report --slot " + slot, "tminus: AlreadyExists: slot: TIME of default/development/report is to be skipped (skipped by USER: empty); unskip it first\n"},
		{"unskip report --slot " + slot, "report does not skip TIME (WHEN) any more; next TIME (WHEN)\n"},
		{"run report --slot " + slot + " --reason early", "report launches slot TIME as execution EXECUTION\n"},
		{"run report --slot " + past, "report launches slot TIME as execution EXECUTION\n"},
		{"rollback report 1", "report is as in revision 1: v1 active; next TIME (WHEN)\n"},
		{"rollback report 77", "tminus: NotFound: revision: the schedule of default/development/report has no revision 77\n"},
		{"history report", `REVISION WHEN ACTION VERSION EXPRESSION STATE BY REASON
8 TIME (WHEN) run TIME v1 cron(0 12 * * ? *) active USER -
7 TIME (WHEN) run TIME v1 cron(0 12 * * ? *) active USER early
6 TIME (WHEN) unskip TIME v1 cron(0 12 * * ? *) active USER -
5 TIME (WHEN) skip TIME v1 cron(0 12 * * ? *) active USER empty
4 TIME (WHEN) resume v1 cron(0 12 * * ? *) active USER -
3 TIME (WHEN) pause v1 cron(0 12 * * ? *) paused USER holidays
2 TIME (WHEN) pause v1 cron(0 12 * * ? *) paused USER holidays
1 TIME (WHEN) activate v1 cron(0 12 * * ? *) active USER -
`},
	} {
		if diff := cmp.Diff(step.want, w.told(t, append([]string{"schedules"}, strings.Fields(step.args)...)...)); diff != "" {
			t.Errorf("%s (-want +got)\n%s", step.args, diff)
		}
	}
	w.eventually(t, none, "firings", "list", "--outcome", "pending")
	if got := w.told(t, "firings", "list", "--kind", "manual", "--outcome", "launched"); strings.Count(got, "TIME report manual launched") != 2 {
		t.Errorf("the runs by hand:\n%s", got)
	}
}

// none is a list of firings without any.
const none = "SLOT LAUNCH PLAN KIND OUTCOME LATENESS EXECUTION REASON\n"

// eventually waits until a command prints something.
func (w *world) eventually(t *testing.T, want string, args ...string) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; {
		got := w.told(t, args...)
		if got == want {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%q (-want +got)\n%s", args, cmp.Diff(want, got))
		}
	}
}

func TestBackfillToTheEnd(t *testing.T) {
	w := newLivingWorld(t)
	w.must(t, "apply", "-f", manifestFile(t, hourly("report", "v1", "{cron: 0 * * * ? *}")))
	create := []string{"backfill", "create", "report", "--first", "2026-01-01T00:00:00Z", "--last", "2026-01-01T03:30:00Z"}
	for _, step := range []struct {
		args []string
		want string
	}{
		{
			append(create, "--wait", "--newest-first", "--reason", "late data"),
			`report v1 has 4 slots from TIME to TIME, both inclusive
backfill 1 launches 4 slots:
 TIME
 TIME
 TIME
 TIME
4 of 4 slots looked at, 4 recorded, 4 launched
`,
		},
		{append(create, "--dry-run"), "report v1 has 4 slots from TIME to TIME, both inclusive\n4 are left as they are: launched\nnothing to launch\n"},
		{[]string{"backfill", "list"}, "ID LAUNCH PLAN KIND FIRST LAST STATE PROGRESS BY REASON\n" +
			"1 report backfill TIME TIME done 4 of 4 slots looked at, 4 recorded, 4 launched USER late data\n"},
		{[]string{"backfill", "list", "--open"}, "ID LAUNCH PLAN KIND FIRST LAST STATE PROGRESS BY REASON\n"},
		{[]string{"backfill", "get", "1"}, `ID: 1
Launch plan: report
Version: v1
Kind: backfill
First: TIME (inclusive)
Last: TIME (inclusive)
Order: newest first
State: done
Progress: 4 of 4 slots looked at, 4 recorded, 4 launched
By: USER
Reason: late data
Created: TIME (WHEN)
Ended: TIME (WHEN)
`},
		{[]string{"backfill", "cancel", "1"}, "backfill 1 is done: 4 of 4 slots looked at, 4 recorded, 4 launched\n"},
	} {
		got := stable(users.ReplaceAllString(w.must(t, step.args...), "USER"))
		if diff := cmp.Diff(step.want, got); diff != "" {
			t.Errorf("%q (-want +got)\n%s", step.args, diff)
		}
	}
	for _, step := range []struct {
		args []string
		want string
	}{
		{[]string{"backfill", "cancel", "2"}, "tminus: NotFound: id: there is no backfill 2\n"},
		{[]string{"backfill", "get", "one"}, "tminus: ID \"one\": use a number that `tminus backfill list` shows\n"},
		{[]string{"firings", "list", "--kind", "backfil"}, "tminus: InvalidArgument: filters: filter on kind: \"backfil\": use one of backfill, catch-up, manual, scheduled\n"},
	} {
		if diff := cmp.Diff(step.want, w.told(t, step.args...)); diff != "" {
			t.Errorf("%q (-want +got)\n%s", step.args, diff)
		}
	}

	// One that is slow is cancelled on the way.
	w.must(t, "backfill", "create", "report", "--first", "2026-01-02T00:00:00Z", "--last", "2026-01-05T00:00:00Z", "--per-minute", "1")
	if got := w.must(t, "backfill", "cancel", "2", "--reason", "enough"); !strings.HasPrefix(got, "backfill 2 is cancelled: ") {
		t.Errorf("cancelled: %s", got)
	}
	if got := w.told(t, "backfill", "get", "2"); !strings.Contains(got, "Cancelled: cancelled by USER: enough\n") {
		t.Errorf("got %s", got)
	}
}

// TestAwaitedBackfill has a backfill of three slots launched one after the other, the last in vain.
func TestAwaitedBackfill(t *testing.T) {
	w := newWorld(t)
	w.must(t, "apply", "-f", manifestFile(t, hourly("report", "v1", "{cron: 0 * * * ? *}")))
	w.must(t, "backfill", "create", "report", "--first", "2026-01-01T00:00:00Z", "--last", "2026-01-01T02:00:00Z")
	now := time.Now().Add(time.Minute)
	beat, err := w.db.Beat(t.Context(), 0, now, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.db.Fill(t.Context(), 0, now, 10, 0); err != nil {
		t.Fatal(err)
	}
	claimed, err := w.db.Claim(t.Context(), store.Claim{Session: beat.Session, Now: now.Add(time.Minute), Behind: true, Share: func([]string) []int { return []int{10} }})
	if err != nil || len(claimed.Launch) != 3 {
		t.Fatalf("claimed %v, %v", claimed.Launch, err)
	}
	for i := range claimed.Launch {
		f := &claimed.Launch[i]
		f.Outcome, f.SettledAt = schedule.Launched, now
		if i == 2 {
			f.Outcome, f.Reason = schedule.Dead, "no such cluster"
		}
	}
	settle := func(fs []schedule.Firing) {
		if _, err := w.db.Settle(t.Context(), fs); err != nil {
			t.Fatal(err)
		}
	}
	settle(claimed.Launch[:2])
	reader, writer := io.Pipe()
	root, out := cli.New("v1.2.3"), new(bytes.Buffer)
	root.SetArgs([]string{"--endpoint", w.endpoint, "backfill", "get", "1", "--wait"})
	root.SetOut(out)
	root.SetErr(writer)
	code := make(chan int, 1)
	go func() {
		defer writer.Close()
		code <- cli.Run(t.Context(), root)
	}()
	var told []string
	for lines := bufio.NewScanner(reader); lines.Scan(); {
		if told = append(told, lines.Text()); len(told) == 1 {
			settle(claimed.Launch[2:]) // It waits for this one alone.
		}
	}
	if got := <-code; got != cli.ExitFailed || !strings.Contains(out.String(), "3 recorded, 2 launched, 1 dead") {
		t.Errorf("exit code %d and %q", got, out)
	}
	if diff := cmp.Diff([]string{
		"3 of 3 slots looked at, 3 recorded, 2 launched", "3 of 3 slots looked at, 3 recorded, 2 launched, 1 dead",
		"tminus: backfill 1: 1 slot dead; see why with tminus firings list report --outcome dead, and launch them again with tminus firings redrive report",
	}, told); diff != "" {
		t.Errorf("standard error (-want +got):\n%s", diff)
	}
	// One that is cancelled is not what was asked for either.
	w.must(t, "backfill", "create", "report", "--first", "2026-01-02T00:00:00Z", "--last", "2026-01-02T02:00:00Z")
	w.must(t, "backfill", "cancel", "2", "--reason", "enough")
	if got := w.told(t, "backfill", "get", "2", "--wait"); !strings.HasSuffix(got, "tminus: backfill 2 was cancelled: cancelled by USER: enough\n") {
		t.Errorf("cancelled: %s", got)
	}
}

func TestRedrive(t *testing.T) {
	w := newWorld(t)
	w.must(t, "apply", "-f", manifestFile(t, hourly("report", "v1", "{cron: 0 12 * * ? *}")))
	if got := w.must(t, "firings", "redrive"); got != "there are no dead firings\n" {
		t.Errorf("with none: %s", got)
	}
	until := time.Now().Add(48 * time.Hour)
	due := w.claim(t, until)
	for i := range due {
		due[i].Outcome, due[i].Reason, due[i].SettledAt = schedule.Dead, "no such cluster", until
	}
	if _, err := w.db.Settle(t.Context(), due); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		args []string
		want string
	}{
		{[]string{"list", "--outcome", "dead", "--limit", "1"}, none + "TIME report scheduled dead - - no such cluster\n"},
		{[]string{"redrive", "--limit", "0"}, "tminus: --limit 0: use a number from 1 to 10000\n"},
		{[]string{"redrive", "report", "--limit", "1"}, "firings pending again: 1, as many as were asked for; there may be more\n"},
		{[]string{"redrive", "-A", "--reason", "it is back"}, fmt.Sprintf("firings pending again: %d\n", len(due)-1)},
		{[]string{"redrive"}, "there are no dead firings\n"},
		{[]string{"list", "--outcome", "dead"}, none},
	} {
		if diff := cmp.Diff(step.want, w.told(t, append([]string{"firings"}, step.args...)...)); diff != "" {
			t.Errorf("%q (-want +got)\n%s", step.args, diff)
		}
	}
}
