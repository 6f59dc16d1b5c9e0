//go:build darwin || linux

package runner

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
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

// processRecord is what the attempt's directory says of its process, so that
// the next tminus can end what this one could not.
type processRecord struct {
	// PID is of the leader, and of its process group.
	PID int `json:"pid"`
	// Started tells the process from another one that is given its PID later; see startOf.
	Started string `json:"started"`
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
func (c command) run(ctx context.Context, grace time.Duration, started func(processRecord)) (exit, error) {
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
	started(processRecord{PID: pid, Started: startOf(pid)})

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

// write puts the record into an attempt's directory.
func (p processRecord) write(dir string) error {
	b, err := json.Marshal(p)
	if err != nil {
		return err
	}
	path := filepath.Join(dir, processFile)
	if err := os.WriteFile(path+".new", b, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// readProcess is the record in an attempt's directory; false when there is none.
func readProcess(dir string) (processRecord, bool, error) {
	b, err := os.ReadFile(filepath.Join(dir, processFile))
	if errors.Is(err, fs.ErrNotExist) {
		return processRecord{}, false, nil
	}
	var p processRecord
	if err == nil {
		err = json.Unmarshal(b, &p)
	}
	if err != nil {
		return processRecord{}, false, err
	}
	return p, p.PID > 1, nil
}

// endLeftover ends the process group of an attempt of a previous tminus. It
// touches only processes that it can tell are the attempt's, never others that
// were given their numbers since.
func endLeftover(ctx context.Context, dir string, grace time.Duration) (found bool, err error) {
	p, ok, err := readProcess(dir)
	if err != nil || !ok || !p.lives(dir) {
		return false, err
	}
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		if err := syscall.Kill(-p.PID, signal); err != nil && !errors.Is(err, syscall.ESRCH) {
			return true, fmt.Errorf("send %s to process group %d: %w", signal, p.PID, err)
		}
		if gone := awaitGroup(ctx, p, dir, grace); gone {
			return true, nil
		}
	}
	return true, fmt.Errorf("process group %d does not end", p.PID)
}

// awaitGroup waits until p and its group are gone, up to limit.
func awaitGroup(ctx context.Context, p processRecord, dir string, limit time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond) // Other people's children cannot be waited for.
	defer tick.Stop()
	for p.lives(dir) {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return false
		}
	}
	return true
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
		if info, err := os.Stat(candidate); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return candidate, nil
		}
	}
	return "", fmt.Errorf("command %q is not in PATH (%s)", name, path)
}
