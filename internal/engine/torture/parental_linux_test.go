package torture_test

import "syscall"

// parental has a process die with the thread that started it, and so with the test.
func parental() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
