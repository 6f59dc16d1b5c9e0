package postgres

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// boundUnacknowledged ends a connection whose peer does not acknowledge what it is sent.
func boundUnacknowledged(network, _ string, c syscall.RawConn) error {
	if network == "unix" {
		return nil
	}
	var err error
	if e := c.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(unanswered.Milliseconds()))
	}); e != nil {
		return e
	}
	return err
}
