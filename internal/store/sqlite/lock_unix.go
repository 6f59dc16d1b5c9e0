//go:build darwin || linux

package sqlite

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// lock is the right to a data directory. The kernel holds it for as long as the
// file is open and ends it with the process, however that ends.
type lock struct{ file *os.File }

func acquire(path string) (*lock, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600) //nolint:gosec // The operator chose the directory.
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = heldBy(f)
		} else {
			err = fmt.Errorf("lock %s: %w", path, err)
		}
		return nil, errors.Join(err, f.Close())
	}
	l := &lock{f}
	if err := l.sign(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return l, nil
}

// sign writes into the file who holds it, for the message of the next to come.
func (l *lock) sign() error {
	if err := l.file.Truncate(0); err != nil {
		return err
	}
	_, err := l.file.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return err
}

func heldBy(f *os.File) error {
	text, err := io.ReadAll(io.LimitReader(f, 32))
	if err != nil {
		return err
	}
	holder := "another process"
	if pid := strings.TrimSpace(string(text)); pid == strconv.Itoa(os.Getpid()) {
		holder = "this process (" + pid + ")"
	} else if pid != "" {
		holder = "process " + pid
	}
	return fmt.Errorf("%s has it open; stop it, or use another data directory than %s", holder, filepath.Dir(f.Name()))
}

func (l *lock) release() error { return l.file.Close() }
