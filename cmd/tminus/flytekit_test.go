package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// withFlytekit has this process, and so the tasks that it runs, find flytekit,
// which make test installs, and nothing of what the user keeps at home. It
// returns a folder with a project of flytekit's.
func withFlytekit(t *testing.T) string {
	t.Helper()
	bin := strings.TrimSpace(runIn(t, "../..", "scripts/install-flytekit"))
	t.Setenv("PATH", bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	t.Setenv("HOME", t.TempDir())
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("testdata/flytekit")); err != nil {
		t.Fatal(err)
	}
	return dir
}

// runIn runs a program in dir to its end, and returns what it wrote to standard output.
func runIn(t *testing.T, dir, program string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = dir
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %s: %v\n%s%s", program, strings.Join(args, " "), err, &stdout, &stderr)
	}
	return stdout.String()
}

// TestFlytekitIsAClient takes a project of flytekit's from its registration to
// the outputs of its executions, with flytekit as PyPI has it. Its tasks run in
// the runner of this process, from the code that was uploaded.
func TestFlytekitIsAClient(t *testing.T) {
	dir := withFlytekit(t)
	data := filepath.Join(t.TempDir(), "data")
	p := begin(t, "serve", "--data", data)
	endpoint := p.wait(`gRPC (\S+)`)
	config := save(t, "flyte.yaml", "admin: {endpoint: 'dns:///"+endpoint+"', insecure: true}\n")
	pyflyte := func(args ...string) {
		t.Helper()
		runIn(t, dir, "pyflyte", append([]string{"--config", config}, args...)...)
	}
	activate := func(flag, plan string) {
		t.Helper()
		pyflyte("launchplan", "--project", "default", "--domain", "development", flag, plan)
	}
	tminus := func(args ...string) string {
		t.Helper()
		code, stdout, stderr := once(t, nil, append(args, "--endpoint", endpoint)...)
		if code != 0 {
			t.Fatalf("%v: exit code %d\n%s%s", args, code, stdout, stderr)
		}
		return stdout
	}
	expectScheduled := func(want ...string) {
		t.Helper()
		var got []string
		for _, line := range strings.Split(strings.TrimSpace(tminus("schedules", "list")), "\n")[1:] {
			row, _, _ := strings.Cut(strings.Join(strings.Fields(line), " "), " active ")
			got = append(got, row)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("scheduled (-want +got):\n%s", d)
		}
	}

	pyflyte("register", "--project", "default", "--domain", "development", "--version", "v1", "shop")
	expectScheduled()
	activate("--activate", "add_hourly")
	activate("--activate", "close_daily")
	expectScheduled("add_hourly v1 rate(1 hour)", "close_daily v1 0 18 * * *")
	activate("--deactivate", "add_hourly")
	expectScheduled("close_daily v1 0 18 * * *")

	tminus("schedules", "run", "close_daily", "--slot", "2026-01-31T18:00:00Z")
	pyflyte("run", "--remote", "--wait", "--poll-interval", "1", "--project", "default", "--domain", "development", "shop/till.py", "adding", "--a", "3")
	p.wait(`succeeded +shop.till.adding +\S+ +in \S+ +o0=5`)
	p.wait(`succeeded +close_daily +\S+ +in \S+ +day=\{"sales":\[7,35\],"shop":"north","total":42\} first_line=north took in 42 by 2026-01-31T18:00:00\+00:00 `)

	var got map[string]any
	if err := json.Unmarshal([]byte(runIn(t, dir, "python3", "remote.py", endpoint, filepath.Join(dir, "shop", "till.py"))), &got); err != nil {
		t.Fatal(err)
	}
	// Each attempt has the code to itself.
	if code, ok := got["code"].(string); !ok || !strings.HasPrefix(code, filepath.Join(data, "executions")+string(filepath.Separator)) {
		t.Errorf("the tasks' code is in %v", got["code"])
	}
	delete(got, "code")
	want := map[string]any{
		"scheduled":               true,
		"version of the workflow": "v1",
		"launch plan":             map[string]any{"phase": "SUCCEEDED", "inputs": map[string]any{"a": 40.0, "b": 5.0}, "outputs": map[string]any{"o0": 45.0}},
		"named as asked":          true,
		"node":                    map[string]any{"inputs": map[string]any{"a": 40.0, "b": 5.0}, "outputs": map[string]any{"o0": 45.0}, "attempts": 1.0},
		"workflow":                map[string]any{"phase": "FAILED", "error": "ValueError: we do not take a cheque"},
		"task":                    map[string]any{"outputs": map[string]any{"o0": `"""What a shop takes in, with the types that people use, and what can go wrong."""`}},
		"terminated":              map[string]any{"phase": "ABORTED", "cause": "the shop is shut"},
		"failed of late":          true,
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("FlyteRemote (-want +got):\n%s", d)
	}
	p.end()
}
