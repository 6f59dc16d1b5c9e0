package flyte

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/oauth2"

	"tminus.dev/internal/invalid"
)

// cache is the file with the token of whoever logged in to one flyteadmin.
type cache struct{ file string }

// saved is the file's content, in JSON.
type saved struct {
	// Endpoint is for people who look into the file: its name is a hash.
	Endpoint string `json:"endpoint"`
	// Header is the metadata key of the token.
	Header string        `json:"header"`
	Token  *oauth2.Token `json:"token"`
}

// cacheOf is the cache for an endpoint, in the directory tminus of the user's configuration.
func cacheOf(endpoint string) (cache, error) {
	dir, err := os.UserConfigDir()
	if err != nil {
		return cache{}, invalid.Field(block+"authType", "needs a home to keep the token of a person in: %v", err)
	}
	name := sha256.Sum256([]byte(endpoint))
	return cache{filepath.Join(dir, "tminus", "tokens", hex.EncodeToString(name[:8])+".json")}, nil
}

func (c cache) load() (saved, error) {
	var s saved
	content, err := os.ReadFile(c.file)
	if err != nil {
		return s, fmt.Errorf("read token: %w", err)
	}
	if err := json.Unmarshal(content, &s); err != nil || s.Token == nil || s.Token.AccessToken == "" || s.Header == "" {
		return s, fmt.Errorf("%s holds no token", c.file) // Nor does the error, then.
	}
	return s, nil
}

// save replaces the file as a whole, so that whoever reads it sees the old token or the new one.
func (c cache) save(s saved) (err error) {
	content, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return errors.New("save token: it cannot be written in JSON")
	}
	dir := filepath.Dir(c.file)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("save token: %w", err)
	}
	f, err := os.CreateTemp(dir, ".token-*") // With mode 0600.
	if err != nil {
		return fmt.Errorf("save token: %w", err)
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("save token: %w", errors.Join(err, os.Remove(f.Name())))
		}
	}()
	if _, err := f.Write(content); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), c.file)
}
