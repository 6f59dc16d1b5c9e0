package postgrestest

import (
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"syscall"
)

// command is a program in a process group of its own, so that a Ctrl-C leaves
// it to those who end it in order. PostgreSQL and PgBouncer do not run as root.
func command(program string, args ...string) *exec.Cmd {
	cmd := exec.Command(program, args...) //nolint:noctx,gosec // Servers outlive the contexts of tests, which name no other programs.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: unprivileged()}
	return cmd
}

// unprivileged is a user that is not root; nil where this process is none.
func unprivileged() *syscall.Credential {
	if os.Getuid() != 0 {
		return nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, errUID := strconv.ParseUint(u.Uid, 10, 32)
		gid, errGID := strconv.ParseUint(u.Gid, 10, 32)
		if errUID == nil && errGID == nil {
			return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		}
	}
	return nil
}
