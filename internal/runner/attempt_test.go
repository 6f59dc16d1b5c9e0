package runner_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"tminus.dev/gen/flyteidl/admin"
	"tminus.dev/gen/flyteidl/core"
	"tminus.dev/internal/runner"
	"tminus.dev/internal/store"
)

// message writes a message to a file that a task can copy.
func message(t *testing.T, m proto.Message) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "message.pb")
	if err := os.WriteFile(path, must(proto.Marshal(m)), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// What a task does, and what becomes of its attempts.
func TestAttempts(t *testing.T) {
	t.Parallel()
	report := func(kind core.ContainerError_Kind) string {
		return `cp ` + message(t, &core.ErrorDocument{Error: &core.ContainerError{
			Code: "USER:City", Message: "Traceback:\n  city.py\nno such city\n", Kind: kind, Origin: core.ExecutionError_USER,
		}}) + ` {{.outputPrefix}}/error.pb`
	}
	big := strings.Repeat("x", 3000)
	for name, test := range map[string]struct {
		task     *core.TaskTemplate
		attempts []string
		err      string
	}{
		"succeeds": {
			shell("t", "", "", `:`),
			[]string{"0 SUCCEEDED"},
			"",
		},
		"fails": {
			shell("t", "", "", `echo one >&2; echo two >&2; exit 3`),
			[]string{"0 FAILED exit status 3: one"},
			"NonZeroExit: exit status 3: one\ntwo",
		},
		"fails and says so on stdout": {
			shell("t", "", "", `echo one; exit 3`),
			[]string{"0 FAILED exit status 3: one"},
			"NonZeroExit: exit status 3: one",
		},
		"fails in silence": {
			shell("t", "", "", `exit 3`),
			[]string{"0 FAILED exit status 3"},
			"NonZeroExit: exit status 3",
		},
		"fails after many words": {
			shell("t", "", "", `echo `+big+` >&2; echo the end >&2; exit 3`),
			[]string{"0 FAILED exit status 3: the end"},
			"NonZeroExit: exit status 3: the end",
		},
		"writes what is no text": {
			shell("t", "", "", `printf 'caf\351\n' >&2; exit 3`),
			[]string{"0 FAILED exit status 3: caf\uFFFD"},
			"NonZeroExit: exit status 3: caf\uFFFD",
		},
		"is killed": {
			shell("t", "", "", `kill -9 $$`),
			[]string{"0 FAILED signal: killed"},
			"Signaled: signal: killed",
		},
		"succeeds at the third attempt": {
			retries(3, shell("t", "", "", `test $FLYTE_ATTEMPT_NUMBER = 2`)),
			[]string{"0 RETRYABLE_FAILED exit status 1", "1 RETRYABLE_FAILED exit status 1", "2 SUCCEEDED"},
			"",
		},
		"uses up its attempts": {
			retries(1, shell("t", "", "", `exit 3`)),
			[]string{"0 RETRYABLE_FAILED exit status 3", "1 FAILED exit status 3"},
			"RetriesExhausted|NonZeroExit: attempt 2 of 2: exit status 3",
		},
		"reports an error that may pass": {
			retries(1, plain(shell("t", "", "", report(core.ContainerError_RECOVERABLE)))),
			[]string{"0 RETRYABLE_FAILED no such city", "1 FAILED no such city"},
			"RetriesExhausted|USER:City: attempt 2 of 2: Traceback:\n  city.py\nno such city\n",
		},
		"reports an error for good": {
			retries(1, plain(shell("t", "", "", report(core.ContainerError_NON_RECOVERABLE)+`; exit 1`))),
			[]string{"0 FAILED no such city"},
			"USER:City: Traceback:\n  city.py\nno such city\n",
		},
		"reports an error that is none": {
			plain(shell("t", "", "", `echo oops > {{.outputPrefix}}/error.pb`)),
			[]string{"0 FAILED the task reports an error that cannot be read"},
			"ErrorFileBadFormat: the task reports an error that cannot be read",
		},
		"reports an error as a raw container does": {
			retries(1, shell("t", "", "", `echo no such city > /var/outputs/_ERROR`)),
			[]string{"0 RETRYABLE_FAILED no such city", "1 FAILED no such city"},
			"RetriesExhausted|OutputUploadFailed: attempt 2 of 2: no such city",
		},
		"takes too long": {
			timeout(50*time.Millisecond, retries(1, shell("t", "", "", `sleep 300`))),
			[]string{
				"0 RETRYABLE_FAILED the attempt ran longer than its timeout of 50ms",
				"1 FAILED the attempt ran longer than its timeout of 50ms",
			},
			"RetriesExhausted|TimeoutExpired: attempt 2 of 2: the attempt ran longer than its timeout of 50ms",
		},
		"takes too long and says it succeeded": {
			timeout(50*time.Millisecond, shell("t", "", "", `trap 'exit 0' TERM; sleep 300 & wait`)),
			[]string{"0 FAILED the attempt ran longer than its timeout of 50ms"},
			"TimeoutExpired: the attempt ran longer than its timeout of 50ms",
		},
		"forgets its outputs": {
			retries(1, shell("t", "", "a string, b integer, c float", `echo 1 > /var/outputs/b`)),
			[]string{
				"0 RETRYABLE_FAILED the task declares outputs that it did not write: a, c; they are expected as files in /var/outputs ($TMINUS_OUTPUT_DIR)",
				"1 FAILED the task declares outputs that it did not write: a, c; they are expected as files in /var/outputs ($TMINUS_OUTPUT_DIR)",
			},
			"RetriesExhausted|OutputsNotFound: attempt 2 of 2: the task declares outputs that it did not write: a, c; " +
				"they are expected as files in /var/outputs ($TMINUS_OUTPUT_DIR)",
		},
		"forgets its outputs.pb": {
			plain(shell("t", "", "a string, b integer", `:`)),
			[]string{"0 FAILED the task declares outputs that it did not write: a, b; they are expected in outputs.pb in {{.outputPrefix}}"},
			"OutputsNotFound: the task declares outputs that it did not write: a, b; they are expected in outputs.pb in {{.outputPrefix}}",
		},
		"is a dynamic workflow": {
			retries(1, plain(shell("t", "", "a string", `: > {{.outputPrefix}}/futures.pb`))),
			[]string{"0 FAILED the task is a dynamic workflow; those need a Flyte cluster"},
			"BadSpecificationError: the task is a dynamic workflow; those need a Flyte cluster",
		},
		"hides its last words in a pipe": {
			shell("t", "", "", `rm ../stderr; mkfifo ../stderr; exit 3`),
			[]string{"0 FAILED exit status 3"},
			"NonZeroExit: exit status 3",
		},
		"forgets an output in outputs.pb": {
			plain(shell("t", "", "a string, b integer", `cp `+
				message(t, values(vars("b integer"), map[string]any{"b": 1}))+` {{.outputPrefix}}/outputs.pb`)),
			[]string{"0 FAILED the task declares outputs that it did not write: a; they are expected in outputs.pb in {{.outputPrefix}}"},
			"OutputsNotFound: the task declares outputs that it did not write: a; they are expected in outputs.pb in {{.outputPrefix}}",
		},
		"writes an outputs.pb that is none": {
			retries(1, plain(shell("t", "", "a string", `echo oops > {{.outputPrefix}}/outputs.pb`))),
			[]string{"0 FAILED the outputs cannot be read: outputs.pb"},
			"OutputsNotReadable: the outputs cannot be read: outputs.pb",
		},
		"writes an output of another type": {
			retries(1, shell("t", "", "n integer", `echo many > /var/outputs/n`)),
			[]string{`0 FAILED the outputs cannot be read: output n`},
			`OutputsNotReadable: the outputs cannot be read: output n`,
		},
		"writes too much": {
			shell("t", "", "s string", `head -c 11000000 /dev/zero > /var/outputs/s`),
			[]string{"0 FAILED output s: s is larger than 10 MiB"},
			"OutputSizeExceeded: output s: s is larger than 10 MiB",
		},
		"links an output to a secret": {
			shell("t", "", "s string", `ln -s /etc/passwd /var/outputs/s`),
			[]string{"0 FAILED the outputs cannot be read: output s"},
			"OutputsNotReadable: the outputs cannot be read: output s",
		},
		"makes an output of a pipe": {
			shell("t", "", "s string", `mkfifo /var/outputs/s`),
			[]string{"0 FAILED the outputs cannot be read: output s: s is not a regular file"},
			"OutputsNotReadable: the outputs cannot be read: output s: s is not a regular file",
		},
		"asks for an input it has not": {
			retries(1, shell("t", "", "", `echo {{.inputs.city}}`)),
			[]string{"0 FAILED args: {{.inputs.city}}: the task has no such input; it has none"},
			"BadTemplate: args: {{.inputs.city}}: the task has no such input; it has none",
		},
		"has no command of this machine": {
			retries(1, command("no-such-program")),
			[]string{`0 FAILED the command cannot be started: command "no-such-program" is not in PATH`},
			`StartError: the command cannot be started: command "no-such-program" is not in PATH`,
		},
		"has a command of another machine": {
			retries(1, command("/opt/no/such/program")),
			[]string{`0 FAILED the command cannot be started: fork/exec /opt/no/such/program: no such file or directory`},
			`StartError: the command cannot be started: fork/exec /opt/no/such/program: no such file or directory`,
		},
		"has the PATH of its container": {
			env(command("true"), "PATH", "/nowhere"),
			[]string{`0 FAILED the command cannot be started: command "true" is not in PATH (/nowhere)`},
			`StartError: the command cannot be started: command "true" is not in PATH (/nowhere)`,
		},
		"is of a kind that needs a cluster": {
			&core.TaskTemplate{Id: command("t").GetId(), Type: "spark", Interface: face("", "")},
			[]string{`0 FAILED a task of type spark without a container cannot run here`},
			`StartError: a task of type spark without a container cannot run here`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			test.task.Id.Name = "t"
			w.register(test.task)
			w.queue("e1", "t", nil, alone)
			e := w.run(runner.Config{Grace: 100 * time.Millisecond}).next()
			if got := errorOf(e.Error); !strings.HasPrefix(got, test.err) || (got == "") != (test.err == "") {
				t.Errorf("got %s\nwant %s", got, test.err)
			}
			equal := cmp.Comparer(func(got, want string) bool { return strings.HasPrefix(got, want) || strings.HasPrefix(want, got) })
			if diff := cmp.Diff(test.attempts, w.attempts("e1", "n0"), equal); diff != "" {
				t.Error(diff)
			}
			want := store.Failed
			switch {
			case test.err == "":
				want = store.Succeeded
			case strings.Contains(test.err, "TimeoutExpired"):
				want = store.TimedOut
			}
			if e.Phase != want || w.nodes("e1")["n0"] != want {
				t.Errorf("execution %s, node %s, want %s", e.Phase, w.nodes("e1")["n0"], want)
			}
		})
	}
}

// command is a task that runs a program without a shell.
func command(argv ...string) *core.TaskTemplate {
	t := shell("t", "", "", "")
	t.GetContainer().Command, t.GetContainer().Args = argv, nil
	return t
}

func env(t *core.TaskTemplate, name, value string) *core.TaskTemplate {
	t.GetContainer().Env = append(t.GetContainer().Env, &core.KeyValuePair{Key: name, Value: value})
	return t
}

func TestNodeOverridesTask(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	n := call("n0", "t")
	n.Metadata.Retries = &core.RetryStrategy{Retries: 2}
	n.Metadata.Timeout = durationpb.New(50 * time.Millisecond)
	w.register(
		timeout(time.Hour, retries(9, shell("t", "", "", `sleep 300`))),
		flow("f", "", "", []*core.Node{n}),
	)
	w.queue("e1", "f", nil)
	e := w.run(runner.Config{}).await("e1", store.TimedOut)
	want := "RetriesExhausted|TimeoutExpired: node n0: attempt 3 of 3: the attempt ran longer than its timeout of 50ms"
	if diff := cmp.Diff(want, errorOf(e.Error)); diff != "" {
		t.Error(diff)
	}
}

func TestEnvironment(t *testing.T) {
	t.Setenv("TMINUS_DATABASE_URL", "postgres://secret")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	w := newWorld(t)
	task := shell("t", "city string", "", `env; pwd`)
	env(env(env(task, "FROM_CONTAINER", "1"), "CITY", "{{.inputs.city}}"), "OVERRIDDEN", "container")
	w.register(task, flow("f", "city string", "", []*core.Node{call("n0", "t", "city=.city")}))
	w.queue("e1", "f", values(vars("city string"), map[string]any{"city": "Bern"}), spec(&admin.ExecutionSpec{
		Envs: &admin.Envs{Values: []*core.KeyValuePair{{Key: "OVERRIDDEN", Value: "execution"}, {Key: "TMINUS_OUTPUT_DIR", Value: "/"}}},
	}))
	w.run(runner.Config{}).await("e1", store.Succeeded)
	dir := filepath.Join(w.dir, "executions/etl/production/e1/n0/0")
	got := w.read("e1", "n0", 0, "stdout")
	for _, want := range []string{
		"FROM_CONTAINER=1", "CITY=Bern", "OVERRIDDEN=execution", "PATH=" + os.Getenv("PATH"),
		"FLYTE_INTERNAL_EXECUTION_ID=e1", "FLYTE_INTERNAL_EXECUTION_PROJECT=etl", "FLYTE_INTERNAL_EXECUTION_DOMAIN=production",
		"FLYTE_INTERNAL_EXECUTION_WORKFLOW=etl:production:f", "FLYTE_ATTEMPT_NUMBER=0",
		"FLYTE_INTERNAL_TASK_PROJECT=etl", "FLYTE_INTERNAL_TASK_DOMAIN=production", "FLYTE_INTERNAL_TASK_NAME=t", "FLYTE_INTERNAL_TASK_VERSION=v1",
		"FLYTE_INTERNAL_PROJECT=etl", "FLYTE_INTERNAL_DOMAIN=production", "FLYTE_INTERNAL_NAME=t", "FLYTE_INTERNAL_VERSION=v1",
		"TMINUS_ATTEMPT_DIR=" + dir, "TMINUS_INPUT_DIR=" + dir + "/inputs", "TMINUS_OUTPUT_DIR=" + dir + "/outputs",
		dir + "/work",
	} {
		if !strings.Contains("\n"+got, "\n"+want+"\n") {
			t.Errorf("no %s in:\n%s", want, got)
		}
	}
	if strings.Contains(got, "secret") {
		t.Error("a secret of tminus reaches the task")
	}
}

func TestHugeOutputOnStdout(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register(shell("t", "", "", `head -c 30000000 /dev/zero; head -c 30000000 /dev/zero >&2; exit 1`))
	w.queue("e1", "t", nil, alone)
	w.run(runner.Config{}).await("e1", store.Failed)
	for _, name := range []string{"stdout", "stderr"} {
		info, err := os.Stat(filepath.Join(w.dir, "executions/etl/production/e1/n0/0", name))
		if err != nil || info.Size() != 30_000_000 {
			t.Errorf("%s: %v %v", name, info, err)
		}
	}
}

func TestAttemptsAreForTheirOwnerAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register(shell("t", "", "", `:`))
	w.queue("e1", "t", nil, alone)
	w.run(runner.Config{}).await("e1", store.Succeeded)
	err := filepath.Walk(filepath.Join(w.dir, "executions"), func(path string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %s", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestCheckpoints(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register(retries(2, plain(shell("t", "", "",
		`echo '{{.prevCheckpointPrefix}}'; `+
			`if [ $FLYTE_ATTEMPT_NUMBER = 1 ]; then cat {{.prevCheckpointPrefix}}/state; exit 0; fi; `+
			`echo half done > {{.checkpointOutputPrefix}}/state; exit 1`))))
	w.queue("e1", "t", nil, alone)
	w.run(runner.Config{}).await("e1", store.Succeeded)
	if got := w.read("e1", "n0", 0, "stdout"); got != "\"\"\n" {
		t.Errorf("first attempt: %s", got)
	}
	want := filepath.Join(w.dir, "executions/etl/production/e1/n0/0/checkpoint") + "\nhalf done\n"
	if diff := cmp.Diff(want, w.read("e1", "n0", 1, "stdout")); diff != "" {
		t.Error(diff)
	}
}
