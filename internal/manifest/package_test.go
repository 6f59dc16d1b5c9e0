package manifest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// pack makes an archive of files of one size, all zeros.
func pack(t *testing.T, files, size int) []byte {
	t.Helper()
	var packed bytes.Buffer
	zipped := gzip.NewWriter(&packed)
	archive := tar.NewWriter(zipped)
	for i := range files {
		header := &tar.Header{Name: strconv.Itoa(i) + "_a_1.pb", Size: int64(size), Mode: 0o600, Typeflag: tar.TypeReg}
		if err := archive.WriteHeader(header); err != nil {
			t.Fatal(err)
		}
		if _, err := archive.Write(make([]byte, size)); err != nil {
			t.Fatal(err)
		}
	}
	for _, close := range []func() error{archive.Close, zipped.Close} {
		if err := close(); err != nil {
			t.Fatal(err)
		}
	}
	return packed.Bytes()
}

func TestArchivesAreBounded(t *testing.T) {
	const most = 1 << 20
	for _, test := range []struct {
		name        string
		files, size int
		refused     bool
	}{
		{"as much as may be", 4, most / 4, false},
		{"one byte more", 1, most + 1, true},
		{"in many files", 8, most/8 + 1, true},
		{"too many files", maxEntries + 1, 0, true},
	} {
		packed := pack(t, test.files, test.size)
		entries, err := unpack(packed, most)
		if refused := err != nil && strings.Contains(err.Error(), "holds more than"); refused != test.refused {
			t.Errorf("%s: %d bytes gave %d files, %v", test.name, len(packed), len(entries), err)
		}
	}
}

func FuzzPackage(f *testing.F) {
	for _, name := range []string{"pyflyte-package.tgz", "pyflyte-package-fast.tgz"} {
		content, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		entries, err := unpack(content, maxUnpacked)
		if err != nil {
			f.Fatal(err)
		}
		for _, e := range entries {
			f.Add(e.name, e.content)
		}
	}
	f.Fuzz(func(t *testing.T, name string, content []byte) {
		u := readPackage("p.tgz", []entry{{name: name, content: content}}, locate, Options{Project: "default", Domain: "development"})
		if u.err == nil && len(u.messages()) == 0 {
			t.Error("neither an error nor anything to register")
		}
	})
}
