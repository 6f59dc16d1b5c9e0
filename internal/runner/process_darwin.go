package runner

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// processAttributes put a child into a process group of its own. Nothing here
// ends it when tminus dies; the next tminus does, see signalLeftovers.
func processAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}

// wait waits for cmd and then calls ended. On Linux it is the other way round;
// here waitid, which could wait without taking the exit status, also returns for
// processes that only stopped (golang.org/issue/19314).
func wait(cmd *exec.Cmd, ended func()) error {
	defer ended()
	return cmd.Wait()
}

// processFile is the record of an attempt's process, in its directory while it runs.
const processFile = "process.json"

// processRecord tells a process from others that are given its number later.
type processRecord struct {
	// PID is of the leader, and of its process group.
	PID int `json:"pid"`
	// Started is when it began, as the kernel has it.
	Started string `json:"started"`
}

// remember writes down the process of the attempt in dir.
func remember(dir string, pid int) error {
	b, err := json.Marshal(processRecord{PID: pid, Started: startOf(pid)})
	if err != nil {
		return err
	}
	path := filepath.Join(dir, processFile)
	if err := os.WriteFile(path+".new", b, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// forget removes what remember wrote.
func forget(dir string) error {
	if err := os.Remove(filepath.Join(dir, processFile)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// signalLeftovers sends a signal, which may be none (0), to the process group of
// every attempt below root whose leader is alive, and says how many there were.
// Of a group whose leader has ended nothing tells whose it is, so it is left alone.
func signalLeftovers(root string, signal syscall.Signal) (int, error) {
	records, err := fs.Glob(os.DirFS(root), "*/*/*/*/*/"+processFile)
	if err != nil {
		return 0, err
	}
	found := 0
	var failed error
	for _, name := range records {
		b, err := os.ReadFile(filepath.Join(root, name)) //nolint:gosec // A path made here.
		var p processRecord
		if err == nil {
			err = json.Unmarshal(b, &p)
		}
		if err == nil && p.PID > 1 && p.Started != "" && startOf(p.PID) == p.Started {
			found++
			err = syscall.Kill(-p.PID, signal)
		}
		if err != nil && !errors.Is(err, syscall.ESRCH) {
			failed = errors.Join(failed, fmt.Errorf("%s: %w", name, err))
		}
	}
	return found, failed
}

// startOf is when a process began; empty when there is none.
func startOf(pid int) string {
	k, err := unix.SysctlKinfoProc("kern.proc.pid", pid)
	if err != nil || int(k.Proc.P_pid) != pid {
		return ""
	}
	return fmt.Sprintf("%d.%06d", k.Proc.P_starttime.Sec, k.Proc.P_starttime.Usec)
}
