package runner

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
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

// startOf tells a process from every other that has or had its number: the boot
// and the clock tick it began at. It is empty when there is no such process.
func startOf(pid int) string {
	s, ok := readStat(pid)
	if !ok {
		return ""
	}
	return bootID() + " " + s.start
}

var bootID = sync.OnceValue(func() string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "?"
	}
	return strings.TrimSpace(string(b))
})

// lives says that p, or another process of its group, is alive. The latter
// shows by the variable that all processes of the attempt in dir inherit: while
// a member of the group is alive, its number is not given to another.
func (p processRecord) lives(dir string) bool {
	if s, ok := readStat(p.PID); ok && s.alive() && p.Started == startOf(p.PID) {
		return true
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return false
	}
	mark := []byte(attemptVariable + "=" + dir)
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if s, ok := readStat(pid); !ok || s.group != p.PID || !s.alive() {
			continue
		}
		env, err := os.ReadFile(filepath.Join("/proc", e.Name(), "environ"))
		if err == nil && slices.ContainsFunc(bytes.Split(env, []byte{0}), func(v []byte) bool { return bytes.Equal(v, mark) }) {
			return true
		}
	}
	return false
}

// stat is what /proc/PID/stat says of a process; see proc_pid_stat(5).
type stat struct {
	state byte
	group int
	start string
}

func (s stat) alive() bool { return s.state != 'Z' && s.state != 'X' }

func readStat(pid int) (stat, bool) {
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return stat{}, false
	}
	// The second field is the program's name, in parentheses; it may hold anything.
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	const state, group, start = 3 - 3, 5 - 3, 22 - 3
	if len(fields) <= start || len(fields[state]) != 1 {
		return stat{}, false
	}
	pgid, err := strconv.Atoi(fields[group])
	if err != nil {
		return stat{}, false
	}
	return stat{state: fields[state][0], group: pgid, start: fields[start]}, true
}
