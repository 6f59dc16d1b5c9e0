package tzdata

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func TestInUse(t *testing.T) {
	t.Parallel()
	folder := func(files map[string]string) string {
		dir := t.TempDir()
		for name, text := range files {
			path := filepath.Join(dir, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return dir
	}
	empty := folder(nil)
	debian := folder(map[string]string{"America/New_York": "TZif2", "tzdata.zi": "# version 2031b\n# This zic input\n"})
	macOS := folder(map[string]string{"America/New_York": "TZif2", "+VERSION": "2031c\n"})
	silent := folder(map[string]string{"America/New_York": "TZif2", "tzdata.zi": "R d 1916"})
	zip := filepath.Join(folder(map[string]string{"zoneinfo.zip": "PK"}), "zoneinfo.zip")
	embedded := Database{Version: embeddedVersion, Where: "embedded"}
	if runtime.Version() != embeddedIn {
		embedded.Version = "that of " + runtime.Version()
	}
	for name, test := range map[string]struct {
		places []string
		want   Database
	}{
		"tzdata.zi says it":          {[]string{empty, debian, macOS}, Database{"2031b", debian}},
		"+VERSION says it":           {[]string{macOS, debian}, Database{"2031c", macOS}},
		"nothing says it":            {[]string{silent}, Database{"unknown", silent}},
		"a zip file":                 {[]string{zip, debian}, Database{"unknown", zip}},
		"a machine without zones":    {[]string{empty, filepath.Join(empty, "none")}, embedded},
		"a machine without a folder": {nil, embedded},
	} {
		if got := inUse(test.places); got != test.want {
			t.Errorf("%s: %+v, want %+v", name, got, test.want)
		}
	}
}

// TestEmbeddedVersion checks the constants against the Go they are about, where that is the one at hand.
func TestEmbeddedVersion(t *testing.T) {
	t.Parallel()
	root, err := exec.CommandContext(t.Context(), "go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	script, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(root)), "lib", "time", "update.bash"))
	if err != nil {
		t.Fatalf("Go comes with the script that made its database: %v", err)
	}
	if runtime.Version() == embeddedIn && !strings.Contains(string(script), "\nDATA="+embeddedVersion+"\n") {
		t.Errorf("the database of %s is not %s", embeddedIn, embeddedVersion)
	}
}
