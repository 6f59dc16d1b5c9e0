package runner

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// maxIdentity is the longest that an identity can be, in bytes.
const maxIdentity = 200

// identity is who runs tasks in root, in every life the same: the name of the
// machine on which it was first asked for, and something that no other has.
func identity(root string) (string, error) {
	path := filepath.Join(root, identityFile)
	b, err := os.ReadFile(path) //nolint:gosec // In the data directory.
	if errors.Is(err, fs.ErrNotExist) {
		host, _, _ := strings.Cut(hostname(), ".")
		id := element(strings.ToLower(host)) + "-" + strings.ToLower(rand.Text()[:8])
		return id, writeWhole(path, id+"\n")
	}
	if err != nil {
		return "", err
	}
	id := strings.TrimSpace(string(b))
	if id == "" || len(id) > maxIdentity {
		return "", fmt.Errorf("%s does not hold the name of a runner; remove it, and this becomes a new one", path)
	}
	return id, nil
}

func hostname() string {
	name, err := os.Hostname()
	if err != nil {
		name = ""
	}
	return cmp.Or(name, "tminus")
}

// writeWhole makes a file that is there with all of its content or not at all,
// whatever ends this process or machine.
func writeWhole(path, content string) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, err = f.WriteString(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
