package cli_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tminus.dev/internal/cli"
	"tminus.dev/internal/ident"
	"tminus.dev/internal/server"
	"tminus.dev/internal/store"
)

// relative and absolute times, durations, and the hash of a manifest change from run to run.
var varying = []struct {
	pattern *regexp.Regexp
	with    string
}{
	{regexp.MustCompile(`20\d\d-\d\d-\d\dT[\d:.]+Z`), "TIME"},
	{regexp.MustCompile(`\((now|in [\ddhms ]+|[\ddhms ]+ ago)\)`), "(WHEN)"},
	{regexp.MustCompile(`\b\d+(\.\d+)?(ms|s|µs)\b`), "LONG"},
	{regexp.MustCompile(`\b[af][0-9a-z]{19}\b`), "EXECUTION"},
	{regexp.MustCompile(` +`), " "},
	{regexp.MustCompile(` (?m:$)`), ""},
}

// stable replaces what varies.
func stable(s string) string {
	for _, v := range varying {
		s = v.pattern.ReplaceAllString(s, v.with)
	}
	return s
}

const pair = `launchPlan: hello
version: v1
description: Greets
schedule:
  cron: 0 10 * * ? *
  timezone: Europe/Berlin
  kickoffTimeInput: at
  overlap: skip
fixedInputs: {greeting: Hello}
defaultInputs: {name: World, times: 2}
concurrencyPolicy: {max: 3}
workflow:
  inputs: {at: datetime, greeting: string, name: string, times: integer}
  nodes:
    - id: greet
      command: [sh, -c, 'echo "on the way" >&2; echo "$1, $2!" | tee "$TMINUS_OUTPUT_DIR/text"', greet, "{{.inputs.greeting}}", "{{.inputs.name}}"]
      inputs: {greeting: "${inputs.greeting}", name: "${inputs.name}"}
      outputs: {text: string}
  outputs: {text: "${nodes.greet.text}"}
---
launchPlan: idle
version: v1
workflow:
  nodes:
    - id: fail
      command: [sh, -c, "echo this is why >&2; exit 3"]
      retries: 1
`

// manifestFile writes a manifest.
func manifestFile(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "m.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestLaunchPlansFromManifestToDeactivation(t *testing.T) {
	w := newWorld(t)
	file := manifestFile(t, pair)
	second := manifestFile(t, strings.ReplaceAll(strings.Split(pair, "---")[0], "v1", "v2"))
	for _, step := range []struct {
		args []string
		want string
	}{
		{[]string{"apply", "-f", file, "--dry-run"}, `NAME VERSION CHANGE NEXT
hello v1 would be created, activated TIME (WHEN)
 TIME (WHEN)
 TIME (WHEN)
 TIME (WHEN)
 TIME (WHEN)
idle v1 would be created, activated -
`},
		{[]string{"apply", "-f", file}, "NAME VERSION CHANGE NEXT\nhello v1 created, activated TIME (WHEN)\nidle v1 created, activated -\n"},
		{[]string{"apply", "-f", file}, "NAME VERSION CHANGE NEXT\nhello v1 unchanged TIME (WHEN)\nidle v1 unchanged -\n"},
		{[]string{"apply", "-f", second}, "NAME VERSION CHANGE NEXT\nhello v2 created, activated (was v1) TIME (WHEN)\n"},
		{[]string{"launchplans", "list"}, `NAME VERSION STATE SCHEDULE CREATED
hello v2 active 0 10 * * ? * Europe/Berlin TIME (WHEN)
idle v1 active - TIME (WHEN)
`},
		{[]string{"launchplans", "list", "hello"}, `NAME VERSION STATE SCHEDULE CREATED
hello v2 active 0 10 * * ? * Europe/Berlin TIME (WHEN)
hello v1 inactive 0 10 * * ? * Europe/Berlin TIME (WHEN)
`},
		{[]string{"launchplans", "activate", "hello", "--version", "v1"}, "hello v1 is now active, in place of v2\nnext: TIME (WHEN)\n"},
		{[]string{"launchplans", "list", "--active"}, `NAME VERSION STATE SCHEDULE CREATED
hello v1 active 0 10 * * ? * Europe/Berlin TIME (WHEN)
idle v1 active - TIME (WHEN)
`},
		{[]string{"launchplans", "deactivate", "hello", "--version", "v2"}, "hello v2 is inactive already; v1 is active\n"},
		{[]string{"launchplans", "deactivate", "hello"}, "hello v1 is now inactive\n"},
		{[]string{"launchplans", "deactivate", "hello", "--version", "v1"}, "hello v1 is inactive already\n"},
		{[]string{"schedules", "list"}, "LAUNCH PLAN VERSION EXPRESSION STATE NEXT\n"},
		{[]string{"schedules", "list", "--inactive"}, "LAUNCH PLAN VERSION EXPRESSION STATE NEXT\nhello v1 cron(0 10 * * ? *) Europe/Berlin inactive -\n"},
		{[]string{"launchplans", "activate", "hello"}, "hello v2 is now active\nnext: TIME (WHEN)\n"},
		{[]string{"schedules", "list", "-A"}, "LAUNCH PLAN VERSION EXPRESSION STATE NEXT\ndefault/development/hello v2 cron(0 10 * * ? *) Europe/Berlin active TIME (WHEN)\n"},
		{[]string{"schedules", "get", "hello"}, `Launch plan: hello
Version: v2
Expression: cron(0 10 * * ? *)
Timezone: Europe/Berlin
Kickoff input: at
Policy: overlap = skip
Policy: timezone = Europe/Berlin
State: active
Revision: 5
Decided up to: TIME (WHEN)
Next: TIME (WHEN)
Next: TIME (WHEN)
Next: TIME (WHEN)
Next: TIME (WHEN)
Next: TIME (WHEN)
`},
		{[]string{"schedules", "preview", "hello", "-n", "2"}, "SLOT LAUNCH PLAN NOTE\nTIME (WHEN) hello -\nTIME (WHEN) hello -\n"},
		{[]string{"schedules", "next", "-n", "1", "-A"}, "SLOT LAUNCH PLAN NOTE\nTIME (WHEN) default/development/hello -\n"},
		{[]string{"launchplans", "get", "hello"}, `Name: hello
Version: v2
Project: default/development
State: active
Workflow: hello@v2
Schedule: 0 10 * * ? * Europe/Berlin
Kickoff input: at
Next: TIME (WHEN)
Annotation: tminus.dev/overlap = skip
Annotation: tminus.dev/timezone = Europe/Berlin
Running at most: 3
Input: greeting = Hello (fixed)
Input: at (datetime, required)
Input: name = World (string)
Input: times = 2 (integer)
Created: TIME (WHEN)
Updated: TIME (WHEN)
`},
	} {
		if diff := cmp.Diff(step.want, stable(w.must(t, step.args...))); diff != "" {
			t.Errorf("%q (-want +got)\n%s", step.args, diff)
		}
	}
}

func TestSchedulesThatWillNotFire(t *testing.T) {
	w := newWorld(t, func(c *server.Config) { c.Silent = func() string { return "the engine is off" } })
	w.must(t, "apply", "-f", manifestFile(t, pair+`---
launchPlan: also
version: v1
schedule: {rate: 1 hour}
workflow: {nodes: [{id: a, command: [x]}]}
`))
	warning := regexp.MustCompile(`\Awarning: (also|hello) and 1 more: the engine is off\n\z`)
	already := result{out: "also v1 is active already\n", err: "warning: also: the engine is off\n"}
	if diff := cmp.Diff(already, w.run(t, "launchplans", "activate", "also"), cmp.AllowUnexported(result{})); diff != "" {
		t.Errorf("activate (-want +got)\n%s", diff)
	}
	if got := w.run(t, "schedules", "list"); got.code != cli.ExitDone || !warning.MatchString(got.err) {
		t.Errorf("list: %+v", got)
	}
	for _, args := range [][]string{{"preview"}, {"preview", "also"}, {"herd"}} {
		if got := w.run(t, append([]string{"schedules"}, args...)...); got.code != cli.ExitDone || got.err != "warning: the engine is off\n" {
			t.Errorf("%q: %+v", args, got)
		}
	}
	if got := stable(w.must(t, "schedules", "list")); !strings.Contains(got, "also v1 rate(1 hour) will not fire") {
		t.Errorf("list:\n%s", got)
	}
	if got := stable(w.must(t, "schedules", "get", "also")); !strings.Contains(got, "State: will not fire\nProblem: the engine is off\n") {
		t.Errorf("get:\n%s", got)
	}
}

func TestFailedApplyPrintsNoTable(t *testing.T) {
	w := newWorld(t)
	got := w.run(t, "apply", "-f", manifestFile(t, "launchPlan: l\nworkflow: {nodes: []}\n"))
	if got.code != cli.ExitFailed || got.out != "" || !strings.HasSuffix(got.err, "tminus: 1 of 1 failed\n") {
		t.Errorf("got %+v", got)
	}
}

// What does not go as planned is said where people look.
func TestMissedAndPausedSchedules(t *testing.T) {
	w := newWorld(t)
	w.must(t, "apply", "-f", manifestFile(t, `launchPlan: often
version: v1
schedule: {rate: 2 hours, catchUp: none}
workflow: {nodes: [{id: a, command: [x]}]}
`))
	later := time.Now().Add(23 * time.Hour)
	if _, err := w.db.Advance(t.Context(), 0, later, 10, 0); err != nil {
		t.Fatal(err)
	}
	key := ident.Key{Project: "default", Domain: "development", Name: "often"}
	if err := w.db.Pause(t.Context(), key, "3 executions in a row failed", time.Time{}, store.Change{At: later}); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		args []string
		want string
	}{
		{[]string{"firings", "list"}, "SLOT LAUNCH PLAN KIND OUTCOME LATENESS EXECUTION REASON\nTIME … TIME (11) often scheduled missed - - down until TIME: catch-up is none within 24h0m0s\n"},
		{[]string{"schedules", "list"}, "LAUNCH PLAN VERSION EXPRESSION STATE NEXT\noften v1 rate(2 hours) paused -\n"},
		{[]string{"launchplans", "list"}, "NAME VERSION STATE SCHEDULE CREATED\noften v1 active rate(2 hours) TIME (WHEN)\n"},
		{[]string{"schedules", "get", "often"}, `Launch plan: often
Version: v1
Expression: rate(2 hours)
Timezone: UTC
Policy: catch-up = none
State: paused
Paused: 3 executions in a row failed
Resume with: tminus schedules resume often
Revision: 2
Decided up to: TIME (WHEN)
`},
		{[]string{"launchplans", "activate", "often"}, "often was paused; resumed, next TIME (WHEN)\n"},
		{[]string{"schedules", "list"}, "LAUNCH PLAN VERSION EXPRESSION STATE NEXT\noften v1 rate(2 hours) active TIME (WHEN)\n"},
		{[]string{"launchplans", "activate", "often"}, "often v1 is active already\nnext: TIME (WHEN)\n"},
	} {
		if diff := cmp.Diff(step.want, stable(w.must(t, step.args...))); diff != "" {
			t.Errorf("%q (-want +got)\n%s", step.args, diff)
		}
	}
}

func TestFiringsList(t *testing.T) {
	w := newWorld(t)
	w.must(t, "apply", "-f", manifestFile(t, pair))
	w.fire(t, time.Now().Add(48*time.Hour))
	head := "SLOT LAUNCH PLAN KIND OUTCOME LATENESS EXECUTION REASON\n"
	launched := "TIME hello scheduled launched LONG EXECUTION -\n"
	skipped := "TIME hello scheduled skipped - - overlap is skip, and an earlier execution runs\n"
	for _, step := range []struct {
		args []string
		want string
	}{
		{[]string{"firings", "list"}, head + skipped + launched},
		{[]string{"firings", "list", "hello", "--limit", "1"}, head + skipped},
		{[]string{"firings", "list", "idle"}, head},
		{[]string{"firings", "list", "--outcome", "missed"}, head},
		{[]string{"firings", "list", "--since", time.Now().Add(24 * time.Hour).UTC().Format(time.RFC3339)}, head + skipped},
		{[]string{"firings", "list", "-A", "--until", time.Now().UTC().Format(time.RFC3339)}, head},
	} {
		if diff := cmp.Diff(step.want, stable(w.must(t, step.args...))); diff != "" {
			t.Errorf("%q (-want +got)\n%s", step.args, diff)
		}
	}
}

func TestAnswersForPrograms(t *testing.T) {
	w := newWorld(t)
	w.must(t, "apply", "-f", manifestFile(t, pair))
	for _, args := range [][]string{
		{"launchplans", "list"},
		{"launchplans", "get", "hello"},
		{"schedules", "list"},
		{"schedules", "get", "hello"},
		{"schedules", "preview"},
		{"schedules", "diff", "hello"},
		{"firings", "list"},
		{"executions", "list"},
		{"version"},
		{"apply", "-f", manifestFile(t, pair)},
	} {
		first := w.must(t, append(args, "-o", "json")...)
		if !json.Valid([]byte(first)) {
			t.Errorf("%q: no JSON:\n%s", args, first)
		}
		if diff := cmp.Diff(first, w.must(t, append(args, "-o", "json")...)); diff != "" {
			t.Errorf("%q is not the same twice:\n%s", args, diff)
		}
		if yaml := w.must(t, append(args, "-o", "yaml")...); strings.HasPrefix(first, "{\n") && strings.HasPrefix(yaml, "{") && yaml != "{}\n" {
			t.Errorf("%q as YAML:\n%s", args, yaml)
		}
	}
	got := w.must(t, "schedules", "preview", "hello", "-n", "1", "-o", "json")
	want := "{\n \"coming\": [\n {\n \"launchPlan\": {\n \"resourceType\": \"LAUNCH_PLAN\",\n \"project\": \"default\",\n \"domain\": \"development\"," +
		"\n \"name\": \"hello\",\n \"version\": \"v1\"\n },\n \"slot\": \"TIME\",\n \"launchAt\": \"TIME\"\n }\n ]\n}\n"
	if diff := cmp.Diff(want, stable(got)); diff != "" {
		t.Error(diff)
	}
}

func TestApplyTellsWhatFailed(t *testing.T) {
	w := newWorld(t, func(c *server.Config) { c.Silent = func() string { return "the engine is off" } })
	dir := t.TempDir()
	for name, text := range map[string]string{
		"a.yaml": "launchPlan: bad\nschedule: {corn: x}\nworkflow: {nodes: [{id: a, command: [x]}]}\n",
		"b.yaml": "launchPlan: good\nschedule: {rate: 1 minute}\nworkflow: {nodes: [{id: a, command: [x]}]}\n",
		"c.yaml": "launchPlan: lost\nworkflow: {name: nowhere, version: v1}\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got := w.run(t, "apply", "-f", dir)
	if got.code != cli.ExitFailed {
		t.Errorf("exit code %d", got.code)
	}
	want := `warning: good: the engine is off
DIR/a.yaml:2:12: schedule.corn: unknown key; did you mean cron?
DIR/c.yaml:2:11: workflow: nowhere: NotFound: workflow default/development/nowhere@v1 is not registered
tminus: 2 of 3 failed
`
	if diff := cmp.Diff(want, strings.ReplaceAll(got.err, dir, "DIR")); !strings.HasPrefix(strings.ReplaceAll(got.err, dir, "DIR"), strings.Split(want, "NotFound")[0]) {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if lines := strings.Split(got.out, "\n"); len(lines) != 3 || !strings.HasPrefix(lines[1], "good ") {
		t.Errorf("printed\n%s", got.out)
	}
	stdin := tminus(t, "launchPlan: piped\nworkflow: {nodes: [{id: a, command: [x]}]}\n", "apply", "-f", "-", "--endpoint", w.endpoint)
	if stdin.code != cli.ExitDone || !strings.Contains(stdin.out, "piped") {
		t.Errorf("standard input: %+v", stdin)
	}
}

func TestServersErrorsAreReadable(t *testing.T) {
	w := newWorld(t)
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"launchplans", "get", "nope"}, "tminus: NotFound: there is no launch plan nope in default/development\n"},
		{[]string{"launchplans", "list", "-p", "nope"}, "tminus: NotFound: "},
		{[]string{"executions", "get", "nope"}, "tminus: NotFound: "},
		{[]string{"executions", "logs", "nope"}, "tminus: NotFound: "},
		{[]string{"schedules", "get", "nope"}, "tminus: NotFound: "},
		{[]string{"executions", "list", "--phase", "asleep"}, "tminus: InvalidArgument: "},
	} {
		got := w.run(t, test.args...)
		if got.code != cli.ExitFailed || !strings.HasPrefix(got.err, test.want) || strings.Contains(got.err, "rpc error") {
			t.Errorf("%q: exit code %d, %s; want %s", test.args, got.code, got.err, test.want)
		}
	}
}

func TestNoServer(t *testing.T) {
	l := listen(t)
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	want := result{code: cli.ExitFailed, err: "tminus: no server at " + address + "; start one with `tminus serve`\n"}
	for _, args := range [][]string{{"launchplans", "list"}, {"executions", "logs", "x"}, {"apply", "-f", "."}} {
		if diff := cmp.Diff(want, tminus(t, "", append(args, "--endpoint", address)...), cmp.AllowUnexported(result{})); diff != "" {
			t.Errorf("%q (-want +got)\n%s", args, diff)
		}
	}
	got := tminus(t, "", "version", "--endpoint", address)
	if got.code != cli.ExitDone || !strings.HasPrefix(got.out, "tminus:      v1.2.3 (go") || !strings.Contains(got.out, "server:      none at "+address) {
		t.Errorf("version: %+v", got)
	}
}

func TestEndpointOfTheEnvironment(t *testing.T) {
	w := newWorld(t)
	t.Setenv("TMINUS_ENDPOINT", w.endpoint)
	got := tminus(t, "", "version")
	if want := "server:      v9.9.9 at " + w.endpoint; got.code != cli.ExitDone || !strings.Contains(got.out, want) {
		t.Errorf("got %+v, want %s", got, want)
	}
}

func TestCompletion(t *testing.T) {
	w := newWorld(t)
	w.must(t, "apply", "-f", manifestFile(t, pair))
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"launchplans", "get", ""}, "hello\nidle\n:4\n"},
		{[]string{"launchplans", "get", "hello", ""}, ":4\n"},
		{[]string{"firings", "list", "--outcome", ""}, "pending\nlaunched\nskipped\nmissed\ndead\n:4\n"},
		{[]string{"version", "-o", ""}, "table\njson\nyaml\n:4\n"},
	} {
		args := append([]string{"__complete", "--endpoint", w.endpoint}, test.args...)
		if got := tminus(t, "", args...); got.out != test.want {
			t.Errorf("%q: %q, want %q", test.args, got.out, test.want)
		}
	}
}
