package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// output collects what a program writes and lets a test wait for it.
type output struct {
	mu      sync.Mutex
	content bytes.Buffer
	grown   chan struct{}
}

func newOutput() *output { return &output{grown: make(chan struct{}, 1)} }

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	select {
	case o.grown <- struct{}{}:
	default:
	}
	return o.content.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.content.String()
}

// process is a whole tminus in this process.
type process struct {
	t              *testing.T
	stdout, stderr *output
	stop           context.CancelFunc
	done           chan int
}

// begin starts tminus with ports of its own choice. It ends with the test.
func begin(t *testing.T, args ...string) *process {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	p := &process{t: t, stdout: newOutput(), stderr: newOutput(), stop: cancel, done: make(chan int, 1)}
	args = append(args, "--http-addr", "127.0.0.1:0", "--grpc-addr", "127.0.0.1:0")
	go func() {
		defer close(p.done)
		p.done <- run(ctx, args, nil, strings.NewReader(""), p.stdout, p.stderr)
	}()
	t.Cleanup(func() { // Tasks of a test that failed end before it does.
		cancel()
		for range p.done {
		}
	})
	return p
}

// wait waits until standard output matches pattern, and returns its first group.
func (p *process) wait(pattern string) string {
	p.t.Helper()
	r := regexp.MustCompile(pattern)
	limit := time.After(2 * time.Minute)
	for {
		if m := r.FindStringSubmatch(p.stdout.String()); m != nil {
			return m[len(m)-1]
		}
		select {
		case <-p.stdout.grown:
		case code := <-p.done:
			p.t.Fatalf("exit code %d before %q\n%s%s", code, pattern, p.stdout, p.stderr)
		case <-limit:
			p.t.Fatalf("no %q in\n%s%s", pattern, p.stdout, p.stderr)
		}
	}
}

// end stops the process as Ctrl-C does and expects it to exit 0.
func (p *process) end() {
	p.t.Helper()
	p.stop()
	if code := <-p.done; code != 0 {
		p.t.Errorf("exit code %d\n%s%s", code, p.stdout, p.stderr)
	}
}

// once runs a command to its end.
func once(t *testing.T, environ []string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), args, environ, strings.NewReader(""), &out, &errs)
	return code, out.String(), errs.String()
}

func save(t *testing.T, name, content string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

const manual = `
launchPlan: adder
workflow:
  inputs: {n: integer}
  nodes:
    - id: add
      inputs: {n: "${inputs.n}"}
      command: [sh, -c, 'echo "adding"; echo $(($1 + 1)) > "$TMINUS_OUTPUT_DIR/n"', add, "{{.inputs.n}}"]
      outputs: {n: integer}
  outputs: {n: "${nodes.add.n}"}
`

// TestServeRunsWhatIsAppliedAndCarriesOn is the main job but for the waiting:
// the smoke test waits for a slot.
func TestServeRunsWhatIsAppliedAndCarriesOn(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	manifest := save(t, "adder.yaml", manual)
	p := begin(t, "serve", "--data", data, "--apply", manifest, "--apply", "../../examples")
	endpoint := p.wait(`gRPC (\S+)`)
	p.wait(`activated +adder`)
	p.wait(`cold-store-watch +\* \* \* \* \? \* +next 2`)

	code, stdout, stderr := once(t, nil, "executions", "create", "adder", "--input", "n=41", "--endpoint", endpoint)
	if code != 0 {
		t.Fatalf("create: exit code %d\n%s%s", code, stdout, stderr)
	}
	name := p.wait(`succeeded +adder +(\S+) +in \S+ +n=42`)
	if _, stdout, _ := once(t, nil, "executions", "logs", name, "--endpoint", endpoint); !strings.Contains(stdout, "adding") {
		t.Errorf("logs: %q", stdout)
	}

	code, _, stderr = once(t, nil, "serve", "--data", data, "--http-addr", "127.0.0.1:0", "--grpc-addr", "127.0.0.1:0")
	if code != 1 || !strings.Contains(stderr, "has it open") {
		t.Errorf("a second process on the same data: exit code %d, %s", code, stderr)
	}
	p.end()

	p = begin(t, "serve", "--data", data, "--apply", manifest, "--apply", "../../examples")
	endpoint = p.wait(`gRPC (\S+)`)
	p.wait(`unchanged +adder`)
	code, stdout, _ = once(t, nil, "executions", "get", name, "--endpoint", endpoint)
	if code != 0 || !strings.Contains(stdout, "n = 42") {
		t.Errorf("after a restart: exit code %d\n%s", code, stdout)
	}
	p.end()
}

func TestServeWithABrokenManifestSaysWhereAndGoesOn(t *testing.T) {
	manifest := save(t, "broken.yaml", strings.Replace(manual, "workflow:", "fixedInputs: {n: 1}\nschedule:\n  cron: 0 0 30 2 ? *\nworkflow:", 1))
	p := begin(t, "serve", "--data", filepath.Join(t.TempDir(), "data"), "--apply", manifest)
	p.wait(`failed +\S+broken.yaml:5:9(?s:.*)Nothing is scheduled yet`)
	if errs := p.stderr.String(); !strings.Contains(errs, "broken.yaml:5:9") {
		t.Errorf("the log does not name the place:\n%s", errs)
	}
	p.end()
}

func TestServeThatCannotFireSaysSo(t *testing.T) {
	file := save(t, "tminus.yaml", "data: "+filepath.Join(t.TempDir(), "data")+"\n")
	manifest := save(t, "a.yaml", strings.Replace(manual, "workflow:", "schedule: {rate: 1 minute}\nfixedInputs: {n: 1}\nworkflow:", 1))
	p := begin(t, "serve", "--config", file, "--apply", manifest)
	rest := p.wait(`REST (\S+)`)
	p.wait(`WARNING: nothing will fire: scheduler.eventScheduler.scheme is noop`)
	p.wait(`WARNING +.*nothing will fire(?s:.*)Scheduled(?s:.*)never: nothing will fire`)
	response, err := get(t, rest+"/readyz")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(response, "nothing will fire") {
		t.Errorf("readiness: %s", response)
	}
	p.end()
}

func get(t *testing.T, url string) (string, error) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		return "", err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return string(body), err
}

func TestServeRefusesOtherAddressesThanLoopback(t *testing.T) {
	code, _, stderr := once(t, nil, "serve", "--data", t.TempDir(), "--http-addr", "0.0.0.0:0")
	if code != 1 || !strings.Contains(stderr, "server.httpAddr") || !strings.Contains(stderr, "loopback") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
}

func TestConfigShowTellsWhereValuesComeFrom(t *testing.T) {
	file := save(t, "tminus.yaml", "scheduler: {eventScheduler: {scheme: local}}\n")
	environ := []string{"TMINUS_RUNNER_GRACE=7s", "TMINUS_CONFIG=" + file}
	code, stdout, stderr := once(t, environ, "config", "show", "-o", "json", "--data", "here")
	if code != 0 {
		t.Fatalf("exit code %d, %s", code, stderr)
	}
	var values []struct{ Key, Value, Origin string }
	if err := json.Unmarshal([]byte(stdout), &values); err != nil {
		t.Fatal(err)
	}
	want := map[string][2]string{
		"data":                              {"here", "flag"},
		"runner.grace":                      {"7s", "TMINUS_RUNNER_GRACE"},
		"scheduler.eventScheduler.scheme":   {"local", file},
		"scheduler.workflowExecutor.scheme": {"noop", "default with a configuration file"},
		"server.httpAddr":                   {"127.0.0.1:8088", "default"},
	}
	found := 0
	for _, v := range values {
		if w, ok := want[v.Key]; ok {
			found++
			if w != [2]string{v.Value, v.Origin} {
				t.Errorf("%s: %q from %q, want %q from %q", v.Key, v.Value, v.Origin, w[0], w[1])
			}
		}
	}
	if found != len(want) {
		t.Errorf("%d of %d settings are shown", found, len(want))
	}
}

func TestExitCodes(t *testing.T) {
	for _, tc := range []struct {
		args []string
		want int
	}{
		{[]string{"version"}, 0},
		{[]string{"cron", "next", "0 10 * * ? *", "-n", "1"}, 0},
		{[]string{"cron", "validate", "0 10 * * * *"}, 1},
		{[]string{"serve", "--no-such-flag"}, 2},
		{[]string{"serve", "unexpected"}, 2},
		{[]string{"config", "show", "-o", "xml"}, 2},
		{[]string{"config", "shwo"}, 2},
		{[]string{"no-such-command"}, 2},
		{[]string{"executions", "list", "--endpoint", "127.0.0.1:1"}, 1},
	} {
		if code, stdout, stderr := once(t, nil, tc.args...); code != tc.want {
			t.Errorf("%v: exit code %d, want %d\n%s%s", tc.args, code, tc.want, stdout, stderr)
		}
	}
}
