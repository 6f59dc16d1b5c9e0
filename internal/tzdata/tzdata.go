// Package tzdata says which time zone database the program reads.
package tzdata

import (
	"bufio"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// Database is an edition of the IANA time zone database.
type Database struct {
	Version string // such as 2026a, or unknown
	Where   string // a folder, a zip file, or embedded
}

// The database that is compiled into the program comes with Go.
const (
	embeddedIn      = "go1.26.8"
	embeddedVersion = "2025c"
)

// folders are where time.LoadLocation looks on unix systems, in this order.
var folders = []string{"/usr/share/zoneinfo", "/usr/share/lib/zoneinfo", "/usr/lib/locale/TZ", "/etc/zoneinfo"}

// InUse returns the database that time.LoadLocation finds first: that of the environment variable ZONEINFO, the system's, or
// the one compiled into the program. A zone that it lacks is looked up in the others.
func InUse() Database {
	places := folders
	if where := os.Getenv("ZONEINFO"); where != "" {
		places = append([]string{where}, places...)
	}
	return inUse(places)
}

func inUse(places []string) Database {
	for _, where := range places {
		info, err := os.Stat(where) //nolint:gosec // the operator says where
		switch {
		case err != nil:
			continue
		case !info.IsDir(): // ZONEINFO may be a zip file, which does not say
			return Database{Version: "unknown", Where: where}
		}
		// There may be a folder with a list of zones but no zones.
		if _, err := os.Stat(filepath.Join(where, "America", "New_York")); err == nil { //nolint:gosec // as above
			return Database{Version: versionOf(os.DirFS(where)), Where: where}
		}
	}
	version := embeddedVersion
	if runtime.Version() != embeddedIn {
		version = "that of " + runtime.Version()
	}
	return Database{Version: version, Where: "embedded"}
}

// versionOf returns what a database says of itself: in +VERSION on BSD and macOS, and in the first line of tzdata.zi elsewhere.
func versionOf(database fs.FS) string {
	if text, err := fs.ReadFile(database, "+VERSION"); err == nil {
		return strings.TrimSpace(string(text))
	}
	file, err := database.Open("tzdata.zi")
	if err != nil {
		return "unknown"
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	if lines.Scan() {
		if version, ok := strings.CutPrefix(lines.Text(), "# version "); ok {
			return strings.TrimSpace(version)
		}
	}
	return "unknown"
}
