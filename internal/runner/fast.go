package runner

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// fastExecute is the program of flytekit that unpacks the code of a task which
// was registered fast, and then runs it (flytekit/bin/entrypoint.py).
const fastExecute = "pyflyte-fast-execute"

// unpack has a task that was registered fast unpack its code in its working
// directory and find it there. Its command names a folder of the image for that,
// /root unless somebody said otherwise, and its image has Python look there. On
// this machine it would be one folder for the code of all versions, and
// somebody's home. Other commands stay as they are.
func (c *command) unpack() {
	const flag = "--dest-dir"
	at := slices.IndexFunc(c.argv, func(s string) bool { return filepath.Base(s) == fastExecute })
	if at < 0 {
		return
	}
	for i := at + 1; i < len(c.argv) && c.argv[i] != "--"; i++ { // What follows is the command that runs the code.
		switch {
		case strings.HasPrefix(c.argv[i], flag+"="):
			c.argv[i] = flag + "=" + c.dir
		case c.argv[i-1] == flag:
			c.argv[i] = c.dir
		}
	}
	path := c.dir
	if before := c.env.get("PYTHONPATH"); before != "" {
		path = before + string(os.PathListSeparator) + c.dir
	}
	c.env.set("PYTHONPATH", path)
}
