package runner

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
)

// containerRun is an attempt that runs in a container engine.
type containerRun struct {
	engine Mode
	// image runs command, in place of its entry point unless empty, and args.
	image         string
	command, args []string
	env           environment
	// dir is the attempt's directory. The container sees it under the same path,
	// so that all templates mean the same inside and outside.
	dir string
	// inputs and outputs are where a raw container looks for its directories; empty for others.
	inputs, outputs string
	// uid and gid are those of tminus: what the task writes belongs to it.
	uid, gid int
}

// argv is the command line of the engine's client. The working directory stays
// the image's, where SDKs put the code that is to run.
func (c containerRun) argv() []string {
	user := fmt.Sprintf("%d:%d", c.uid, c.gid)
	argv := []string{
		string(c.engine), "run", "--rm", "--init",
		"--name", containerName(c.dir),
		"--user", user,
		"--volume", c.dir + ":" + c.dir,
	}
	if c.engine == Podman && c.uid != 0 {
		// Without it a rootless podman maps the user to another one outside.
		argv = append(argv, "--userns", "keep-id")
	}
	if c.inputs != "" {
		argv = append(argv, "--volume", layout(c.dir).inputs()+":"+c.inputs+":ro")
	}
	if c.outputs != "" {
		argv = append(argv, "--volume", layout(c.dir).outputs()+":"+c.outputs)
	}
	for _, v := range c.env {
		argv = append(argv, "--env", v)
	}
	args := c.args
	if len(c.command) > 0 {
		argv = append(argv, "--entrypoint", c.command[0])
		args = append(c.command[1:len(c.command):len(c.command)], args...)
	}
	return append(append(argv, c.image), args...)
}

// containerName is the name of the container of the attempt in dir, so that it
// can be removed by whoever knows the directory.
func containerName(dir string) string {
	sum := sha256.Sum256([]byte(dir))
	return "tminus-" + hex.EncodeToString(sum[:10])
}

// removal is the command line that ends the container of the attempt in dir,
// which outlives its client when that is killed.
func removal(engine Mode, dir string) []string {
	return []string{string(engine), "rm", "--force", containerName(dir)}
}
