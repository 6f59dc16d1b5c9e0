package runner

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// processAttributes put a child into a process group of its own and let the
// kernel kill it if tminus dies first.
func processAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// wait waits for cmd and calls ended between its end and the taking of its exit
// status. Until that is taken the process holds on to its number, so that
// ended's signals to the group reach nobody else.
func wait(cmd *exec.Cmd, ended func()) error {
	for {
		err := unix.Waitid(unix.P_PID, cmd.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	ended()
	return cmd.Wait()
}

// remember has nothing to do: leftovers finds processes without a record.
func remember(string, int) error { return nil }

func forget(string) error { return nil }

// signalLeftovers sends a signal, which may be none (0), to every process of an
// attempt below root that is alive, and says how many there were. They show by
// the variable that they all inherit; what clears its environment stays unseen.
func signalLeftovers(root string, signal syscall.Signal) (int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return 0, err
	}
	found := 0
	var failed error
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() || !isAttempt(pid, root) {
			continue
		}
		// The handle stays with the process even if its number goes to another
		// one, so what is true of the number now is true of what is signalled.
		p, err := os.FindProcess(pid)
		if err != nil {
			return found, err
		}
		if isAttempt(pid, root) {
			found++
			err = p.Signal(signal)
		}
		if err != nil && !errors.Is(err, os.ErrProcessDone) {
			failed = errors.Join(failed, fmt.Errorf("signal process %d: %w", pid, err))
		}
		failed = errors.Join(failed, p.Release())
	}
	return found, failed
}

// isAttempt says that a process is alive and part of an attempt below root.
func isAttempt(pid int, root string) bool {
	env, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "environ"))
	if err != nil { // It has ended, or is somebody else's.
		return false
	}
	return slices.ContainsFunc(strings.Split(string(env), "\x00"), func(v string) bool {
		return strings.HasPrefix(v, attemptVariable+"="+root+"/")
	})
}
