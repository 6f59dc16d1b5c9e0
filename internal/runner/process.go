//go:build darwin || linux

package runner

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// command is what an attempt runs.
type command struct {
	// argv is the program, found as a shell would find it, and its arguments.
	argv []string
	dir  string
	env  environment
	// stdout and stderr are files, not pipes: nobody has to be there to read
	// them, and a grandchild that keeps one open keeps nobody waiting.
	stdout, stderr *os.File
}

// exit is how a process ended.
type exit struct {
	state *os.ProcessState
	// ended says that it was told to end, because its context had.
	ended bool
}

// run starts c in a process group of its own and waits for it. When ctx ends,
// the group gets SIGTERM and, if the leader is still there after grace, SIGKILL.
// When the leader has ended in whatever way, what is left of the group is
// killed, as the end of its first process is the end of a container.
// The error says why the process could not be started.
func (c command) run(ctx context.Context, grace time.Duration, started func(pid int)) (exit, error) {
	path, err := lookPath(c.argv[0], c.env.get("PATH"))
	if err != nil {
		return exit{}, err
	}
	// The kernel ends a child when the thread that made it ends (Pdeathsig), so
	// this goroutine keeps its thread. It would block one anyway.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	var mu sync.Mutex
	var told, over bool
	cmd := exec.CommandContext(ctx, path) //nolint:gosec // To run what users registered is its purpose.
	cmd.Args = c.argv
	cmd.Dir = c.dir
	cmd.Env = c.env
	cmd.Stdout, cmd.Stderr = c.stdout, c.stderr
	cmd.SysProcAttr = processAttributes()
	cmd.WaitDelay = grace // After it the leader is killed, and below the rest.
	cmd.Cancel = func() error {
		mu.Lock()
		defer mu.Unlock()
		if over {
			return os.ErrProcessDone
		}
		told = true
		return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
	}
	if err := cmd.Start(); err != nil {
		if ctx.Err() != nil {
			return exit{ended: true}, nil
		}
		return exit{}, err
	}
	pid := cmd.Process.Pid
	started(pid)

	err = wait(cmd, func() {
		mu.Lock()
		over = true
		mu.Unlock()
		killGroup(pid)
	})
	if cmd.ProcessState == nil {
		return exit{}, fmt.Errorf("wait for the process: %w", err)
	}
	reapGroup(pid)
	return exit{state: cmd.ProcessState, ended: told}, nil
}

// killGroup kills what is left of a process group; that may be nothing.
func killGroup(pgid int) {
	if err := syscall.Kill(-pgid, syscall.SIGKILL); err != nil {
		return // Nobody is left, or they are not ours to kill any more.
	}
}

// reapGroup takes the exit statuses of orphans of a killed group that this
// process inherited, as it does when it is the first process of a container.
func reapGroup(pgid int) {
	for {
		if _, err := syscall.Wait4(-pgid, nil, 0, nil); err != nil && !errors.Is(err, syscall.EINTR) {
			return
		}
	}
}

// lock takes the right to run tasks in dir, which ends with this process at the
// latest: whoever has it may end what others left there.
func lock(dir string) (release func() error, err error) {
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_CREATE|os.O_RDWR, 0o600) //nolint:gosec // In the data directory.
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = fmt.Errorf("another tminus runs tasks in %s; stop it, or use another data directory", dir)
		}
		return nil, errors.Join(err, f.Close())
	}
	return f.Close, nil
}

// lookPath finds a program in the directories of path, unless it is a path itself.
func lookPath(name, path string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	for _, dir := range filepath.SplitList(path) {
		if !filepath.IsAbs(dir) {
			continue // What it is relative to depends on who looks.
		}
		candidate := filepath.Join(dir, name)
		info, err := os.Stat(candidate) //nolint:gosec // To look where PATH says is the purpose.
		if err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return candidate, nil
		}
	}
	return "", fmt.Errorf("command %q is not in PATH (%s)", name, path)
}
