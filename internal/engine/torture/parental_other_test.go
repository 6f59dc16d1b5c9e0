//go:build !linux

package torture_test

import "syscall"

func parental() *syscall.SysProcAttr { return nil }
