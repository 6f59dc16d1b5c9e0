//go:build !linux

package postgres

import "syscall"

// boundUnacknowledged has no means here: the system's own bound holds.
func boundUnacknowledged(string, string, syscall.RawConn) error { return nil }
