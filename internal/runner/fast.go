package runner

import (
	"path/filepath"
	"slices"
	"strings"
)

// fastExecute is the program of flytekit that unpacks the code of a task which
// was registered fast, and then runs it (flytekit/bin/entrypoint.py).
const fastExecute = "pyflyte-fast-execute"

// unpackIn has a task that was registered fast unpack its code in dir. Its
// command names a folder of the image for that, /root unless somebody said
// otherwise. On this machine it would be one folder for the code of all
// versions, and somebody's home. Other commands stay as they are.
func unpackIn(dir string, argv []string) []string {
	const flag = "--dest-dir"
	at := slices.IndexFunc(argv, func(s string) bool { return filepath.Base(s) == fastExecute })
	if at < 0 {
		return argv
	}
	argv = slices.Clone(argv)
	for i := at + 1; i < len(argv) && argv[i] != "--"; i++ { // What follows is the command that runs the code.
		switch {
		case strings.HasPrefix(argv[i], flag+"="):
			argv[i] = flag + "=" + dir
		case argv[i-1] == flag:
			argv[i] = dir
		}
	}
	return argv
}
