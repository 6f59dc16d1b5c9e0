package runner

import (
	"fmt"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// processAttributes put a child into a process group of its own. Nothing here
// ends it when tminus dies; the next tminus does, see endLeftover.
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

// startOf tells a process from every other that has or had its number: the time
// it began at. It is empty when there is no such process.
func startOf(pid int) string {
	k, err := unix.SysctlKinfoProc("kern.proc.pid", pid)
	if err != nil || int(k.Proc.P_pid) != pid {
		return ""
	}
	return fmt.Sprintf("%d.%06d", k.Proc.P_starttime.Sec, k.Proc.P_starttime.Usec)
}

// lives says that p is alive. Of a group whose leader has ended nothing tells
// whose it is, so it is left alone.
func (p processRecord) lives(string) bool {
	return p.Started != "" && startOf(p.PID) == p.Started
}
