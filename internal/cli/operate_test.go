package cli_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// hourly is a launch plan of that name, version and schedule.
func hourly(name, version, schedule string) string {
	return fmt.Sprintf("launchPlan: %s\nversion: %s\nschedule: %s\nworkflow: {nodes: [{id: a, command: [x]}]}\n---\n", name, version, schedule)
}

func TestPreviewAndHerd(t *testing.T) {
	w := newWorld(t)
	w.must(t, "apply", "-f", manifestFile(t,
		hourly("noon", "v1", "{cron: 0 12 * * ? *}")+hourly("also-noon", "v1", "{cron: 0 12 * * ? *}")+hourly("spread", "v1", "{cron: 30 12 * * ? *, jitter: 1m}")))
	midnight := time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, 2)
	from, until := midnight.Format(time.RFC3339), midnight.Add(24*time.Hour).Format(time.RFC3339)
	for _, step := range []struct {
		args []string
		want string
	}{
		{[]string{"preview", "-n", "2", "--from", from}, "SLOT LAUNCH PLAN NOTE\nTIME (WHEN) also-noon -\nTIME (WHEN) noon -\n"},
		{[]string{"preview", "noon", "--from", from, "--until", until}, "SLOT LAUNCH PLAN NOTE\nTIME (WHEN) noon -\n"},
		{[]string{"preview", "spread", "-n", "1", "-A"}, "SLOT LAUNCH PLAN NOTE\nTIME (WHEN) spread launches LONG later\n"},
		{[]string{"preview", "noon", "--from", until, "--until", until}, "SLOT LAUNCH PLAN NOTE\n"},
		{[]string{"herd", "--from", from, "--top", "1"}, "3 launches of 3 schedules, of slots after TIME (WHEN), until TIME (WHEN)\n\nMINUTE LAUNCHES\nTIME (WHEN) 2\n"},
		{[]string{"herd", "-d", "staging", "--from", from}, "0 launches of 0 schedules, of slots after TIME (WHEN), until TIME (WHEN)\n"},
	} {
		if diff := cmp.Diff(step.want, stable(w.must(t, append([]string{"schedules"}, step.args...)...))); diff != "" {
			t.Errorf("%q (-want +got)\n%s", step.args, diff)
		}
	}
	if got := w.run(t, "schedules", "preview", "nope"); !strings.Contains(got.err, "nope has no schedule") {
		t.Errorf("got %+v", got)
	}
}

func TestDiff(t *testing.T) {
	w := newWorld(t)
	w.must(t, "apply", "-f", manifestFile(t, hourly("report", "v1", "{cron: 0 6 * * ? *, overlap: skip}")+hourly("gone", "v1", "{rate: 1 hour}")))
	second := manifestFile(t, hourly("report", "v2", "{cron: '0 6,18 * * ? *', timezone: UTC, overlap: allow}")+
		hourly("gone", "v1", "{rate: 1 hour}\nactive: false")+hourly("new", "v1", "{cron: 0 12 * * ? *}")+hourly("off", "v1", "{cron: 0 12 * * ? *}\nactive: false"))

	got := stable(w.must(t, "apply", "-f", second, "--diff"))
	want := "NAME VERSION CHANGE NEXT\n" +
		"report v2 would be created, activated (was v1) TIME (WHEN)\n" +
		"gone v1 would be deactivated -\n" +
		"new v1 would be created, activated TIME (WHEN)\n" +
		"off v1 would be created, not activated -\n" +
		"\nreport:\nBefore: v1, cron(0 6 * * ? *)\nAfter: cron(0 6,18 * * ? *)\nPolicy: overlap: skip → allow\nPolicy: timezone: none → UTC\nSLOTS" +
		"\ngone:\nBefore: v1, rate(1 hour)\nAfter: no schedule\n" + strings.Repeat("- TIME (WHEN)\n", 10) +
		"\nnew:\nBefore: no schedule\nAfter: cron(0 12 * * ? *)\n" + strings.Repeat("+ TIME (WHEN)\n", 10)
	head, rest, _ := strings.Cut(want, "SLOTS")
	body, ok := strings.CutPrefix(got, head)
	slots, ok2 := strings.CutSuffix(body, rest)
	if !ok || !ok2 || !isAny(strings.SplitAfter(slots, "\n"), "+ TIME (WHEN)\n", " TIME (WHEN)\n", " … from here on, those that only After has are left out\n", "") {
		t.Errorf("apply --diff printed\n%s", got)
	}

	var report struct {
		Results []struct {
			Diff struct{ After struct{ Expression string } }
		}
	}
	if err := json.Unmarshal([]byte(w.must(t, "apply", "-f", second, "--diff", "-o", "json")), &report); err != nil {
		t.Fatal(err)
	}
	if got := report.Results[0].Diff.After.Expression; got != "cron(0 6,18 * * ? *)" {
		t.Errorf("in JSON it changes to %q", got)
	}

	w.must(t, "apply", "-f", manifestFile(t, hourly("report", "v2", "{cron: '0 7 * * ? *'}\nactive: false")))
	got = stable(w.must(t, "schedules", "diff", "report", "-n", "2"))
	if want := "Before: v1, cron(0 6 * * ? *)\nAfter: v2, cron(0 7 * * ? *)\nPolicy: overlap: skip → none\n"; !strings.HasPrefix(got, want) ||
		strings.Count(got, "- TIME") != 2 || strings.Count(got, "+ TIME") != 2 {
		t.Errorf("diff printed\n%s", got)
	}
	var diff struct {
		Before, After struct{ Version string }
		Slots         []struct{ Before, After bool }
	}
	if err := json.Unmarshal([]byte(w.must(t, "schedules", "diff", "report", "--version", "v1", "-n", "3", "-o", "json")), &diff); err != nil {
		t.Fatal(err)
	}
	if diff.Before != diff.After || len(diff.Slots) != 3 || !diff.Slots[0].Before || !diff.Slots[0].After {
		t.Errorf("against itself: %+v", diff)
	}
}

// isAny says that each of the lines is one of those allowed.
func isAny(lines []string, allowed ...string) bool {
	for _, l := range lines {
		ok := false
		for _, a := range allowed {
			ok = ok || l == a
		}
		if !ok {
			return false
		}
	}
	return true
}

func TestBackfillDryRun(t *testing.T) {
	w := newWorld(t)
	w.must(t, "apply", "-f", manifestFile(t, hourly("hourly", "v1", "{cron: 0 * * * ? *}")))
	args := []string{"backfill", "create", "hourly", "--first", "2026-01-01T00:00:00Z", "--last", "2026-01-01T05:00:00Z", "--show", "2"}
	want := `hourly v1 has 6 slots from 2026-01-01T00:00:00Z to 2026-01-01T05:00:00Z, both inclusive
would launch 6 slots:
  2026-01-01T00:00:00Z
  2026-01-01T01:00:00Z
  … and 4 more
`
	if diff := cmp.Diff(want, w.must(t, append(args, "--dry-run")...)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	args[4] = "2026-01-01T00:30:00Z"
	args[6] = "2026-01-01T00:40:00Z"
	want = "hourly v1 has 0 slots from 2026-01-01T00:30:00Z to 2026-01-01T00:40:00Z, both inclusive\nnothing to launch\n"
	if diff := cmp.Diff(want, w.must(t, args...)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}
