package cli_test

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tminus.dev/internal/cli"
)

func TestExecutionsFromCreationToTermination(t *testing.T) {
	w := newWorld(t)
	w.must(t, "apply", "-f", manifestFile(t, pair))
	greeted := strings.TrimSpace(w.must(t, "executions", "create", "hello", "--input", "name=Berlin", "--input", "at=2026-01-31T09:00:00Z", "--input", "times=3"))
	logs := w.run(t, "executions", "logs", greeted, "--follow")
	if diff := cmp.Diff(result{out: "Hello, Berlin!\n", err: "==> greet, attempt 1 <==\non the way\n"}, logs, cmp.AllowUnexported(result{})); diff != "" {
		t.Errorf("logs (-want +got)\n%s", diff)
	}
	failed := strings.TrimSpace(w.must(t, "executions", "create", "idle", "--name", "failing-one"))
	w.must(t, "executions", "logs", failed, "--follow")
	for _, step := range []struct {
		args []string
		want string
	}{
		{[]string{"executions", "get", greeted}, `Name: EXECUTION
Launch plan: hello@v1
Mode: manual
Phase: succeeded
Created: TIME (WHEN)
Started: TIME (WHEN)
Duration: LONG

Inputs:
 at = TIME
 greeting = Hello
 name = Berlin
 times = 3

Nodes:
 NODE PHASE ATTEMPTS DURATION TASK
 greet succeeded 1 LONG hello.greet

Outputs:
 text = Hello, Berlin!
`},
		{[]string{"executions", "get", failed}, `Name: failing-one
Launch plan: idle@v1
Mode: manual
Phase: failed
Created: TIME (WHEN)
Started: TIME (WHEN)
Duration: LONG

Nodes:
 NODE PHASE ATTEMPTS DURATION TASK
 fail failed 2 LONG idle.fail

Error: RetriesExhausted|NonZeroExit
 node fail: attempt 2 of 2: exit status 3: this is why
`},
		{[]string{"executions", "list", "--launchplan", "idle"}, "NAME LAUNCH PLAN PHASE SLOT CREATED DURATION\nfailing-one idle failed - TIME (WHEN) LONG\n"},
		{[]string{"executions", "list", "--phase", "succeeded"}, "NAME LAUNCH PLAN PHASE SLOT CREATED DURATION\nEXECUTION hello succeeded - TIME (WHEN) LONG\n"},
	} {
		if diff := cmp.Diff(step.want, stable(w.must(t, step.args...))); diff != "" {
			t.Errorf("%q (-want +got)\n%s", step.args, diff)
		}
	}

	file := manifestFile(t, "launchPlan: endless\nworkflow: {nodes: [{id: wait, command: [sleep, '60']}]}\n")
	w.must(t, "apply", "-f", file)
	endless := strings.TrimSpace(w.must(t, "executions", "create", "endless"))
	if got := w.must(t, "executions", "terminate", endless, "--cause", "enough"); !regexp.MustCompile(endless + ` is abort(ing|ed)\n`).MatchString(got) {
		t.Errorf("terminate: %s", got)
	}
	w.must(t, "executions", "logs", endless, "--follow")
	if got := w.must(t, "executions", "get", endless); !strings.Contains(got, "aborted") || !strings.Contains(got, "enough") {
		t.Errorf("after termination:\n%s", got)
	}
}

func TestBadInputsOfExecutions(t *testing.T) {
	w := newWorld(t)
	w.must(t, "apply", "-f", manifestFile(t, pair))
	for input, want := range map[string]string{
		"name":        `--input "name": use NAME=VALUE`,
		"nam=x":       "--input nam: the launch plan has no such input; did you mean name?",
		"greeting=Hi": "--input greeting: the launch plan fixes it",
		"times=many":  "--input times: ",
		"at=noon":     "--input at: ",
	} {
		got := w.run(t, "executions", "create", "hello", "--input", input)
		if got.code != cli.ExitMisused || !strings.HasPrefix(got.err, "tminus: "+want) {
			t.Errorf("%s: exit code %d, %s; want %s", input, got.code, got.err, want)
		}
	}
}

func TestMissingInputsAreNamedAtOnce(t *testing.T) {
	w := newWorld(t)
	w.must(t, "apply", "-f", manifestFile(t, `launchPlan: l
version: v1
workflow:
  inputs: {n: integer, name: string, at: datetime}
  nodes: [{id: a, command: [x]}]
`))
	for _, test := range []struct {
		given []string
		want  string
	}{
		{nil, "--input at=… (datetime), --input n=… (integer) and --input name=… (string) are missing"},
		{[]string{"at=2026-01-31T09:00:00Z"}, "--input n=… (integer) and --input name=… (string) are missing"},
		{[]string{"at=2026-01-31T09:00:00Z", "n=1"}, "--input name=… (string) is missing"},
	} {
		args := []string{"executions", "create", "l"}
		for _, input := range test.given {
			args = append(args, "--input", input)
		}
		want := result{code: cli.ExitMisused, err: "tminus: " + test.want + "\nSee 'tminus executions create --help'.\n"}
		if diff := cmp.Diff(want, w.run(t, args...), cmp.AllowUnexported(result{})); diff != "" {
			t.Errorf("%q (-want +got)\n%s", test.given, diff)
		}
	}
}

func TestLogsForPrograms(t *testing.T) {
	w := newWorld(t)
	w.must(t, "apply", "-f", manifestFile(t, pair))
	name := strings.TrimSpace(w.must(t, "executions", "create", "hello", "--input", "at=2026-01-31T09:00:00Z"))
	w.must(t, "executions", "logs", name, "--follow")
	written := map[string]string{}
	for part := range strings.Lines(w.must(t, "executions", "logs", name, "--node", "greet", "-o", "json")) {
		var p struct {
			Node, Stream string
			Data         []byte
		}
		if err := json.Unmarshal([]byte(part), &p); err != nil || p.Node != "greet" {
			t.Fatalf("%s: %v", part, err)
		}
		written[p.Stream] += string(p.Data)
	}
	want := map[string]string{"STREAM_STDOUT": "Hello, World!\n", "STREAM_STDERR": "on the way\n"}
	if diff := cmp.Diff(want, written); diff != "" {
		t.Error(diff)
	}
}

func TestLogsSayThatNothingWasWritten(t *testing.T) {
	w := newWorld(t)
	w.must(t, "apply", "-f", manifestFile(t, "launchPlan: quiet\nworkflow: {nodes: [{id: a, command: ['true']}]}\n"))
	name := strings.TrimSpace(w.must(t, "executions", "create", "quiet"))
	got := w.run(t, "executions", "logs", name, "--follow")
	if diff := cmp.Diff(result{err: "no task of " + name + " wrote anything\n"}, got, cmp.AllowUnexported(result{})); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// What runs has been running since it started, whatever duration the server tells.
func TestDurationOfWhatRuns(t *testing.T) {
	w := newWorld(t)
	w.must(t, "apply", "-f", manifestFile(t, "launchPlan: l\nworkflow: {nodes: [{id: wait, command: [sh, -c, 'echo on; sleep 60']}]}\n"))
	name := strings.TrimSpace(w.must(t, "executions", "create", "l"))
	begin := time.Now()
	running := regexp.MustCompile(`(?m)^  wait +running +1 +([\d.]+m?s)`)
	for {
		got := w.must(t, "executions", "get", name)
		if m := running.FindStringSubmatch(got); m != nil {
			if d, err := time.ParseDuration(m[1]); err != nil || d >= 200*time.Millisecond {
				return
			}
		}
		if time.Since(begin) > 30*time.Second {
			t.Fatalf("no duration of what runs:\n%s", got)
		}
	}
}
