package runner

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSignalLeftovers(t *testing.T) {
	root := t.TempDir() + "/executions"
	start := func(env ...string) *exec.Cmd {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "sleep", "300")
		cmd.Env = append(os.Environ(), env...)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := errors.Join(cmd.Process.Kill(), cmd.Wait()); err == nil {
				t.Error("it ended by itself")
			}
		})
		return cmd
	}
	ours := start(attemptVariable + "=" + root + "/p/d/e/n0/0")
	others := map[string]*exec.Cmd{
		"of no attempt":               start(),
		"of another data directory":   start(attemptVariable + "=" + root + "2/p/d/e/n0/0"),
		"that mentions our directory": start("X=" + attemptVariable + "=" + root + "/p/d/e/n0/0"),
	}
	if found, err := signalLeftovers(root, 0); found != 1 || err != nil {
		t.Fatalf("found %d: %v", found, err)
	}
	if found, err := signalLeftovers(root, syscall.SIGKILL); found != 1 || err != nil {
		t.Fatalf("found %d: %v", found, err)
	}
	if err := ours.Wait(); err == nil || ours.ProcessState.String() != "signal: killed" {
		t.Errorf("ours ended with %v", ours.ProcessState)
	}
	if found, err := signalLeftovers(root, 0); found != 0 || err != nil {
		t.Errorf("found %d: %v", found, err)
	}
	alive := map[string]bool{}
	for name, cmd := range others {
		alive[name] = cmd.Process.Signal(syscall.Signal(0)) == nil
	}
	want := map[string]bool{"of no attempt": true, "of another data directory": true, "that mentions our directory": true}
	if diff := cmp.Diff(want, alive); diff != "" {
		t.Error(diff)
	}
}
