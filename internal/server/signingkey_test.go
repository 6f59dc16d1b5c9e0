package server

import (
	"bytes"
	"path/filepath"
	"sync"
	"testing"
)

// The key was written in place once: whoever read it in that moment, or after a
// crash in it, found an empty file and could not start.
func TestTheSigningKeyIsWholeFromTheStart(t *testing.T) {
	for range 50 {
		file := filepath.Join(t.TempDir(), "upload.key")
		keys := make([][]byte, 8)
		var all sync.WaitGroup
		for i := range keys {
			all.Go(func() {
				var err error
				if keys[i], err = signingKey(file); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		for _, key := range keys {
			if len(key) != 32 || !bytes.Equal(key, keys[0]) {
				t.Fatalf("keys differ: %x and %x", key, keys[0])
			}
		}
	}
}
