package runner

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"os/exec"
	"strings"
	"time"
)

// dirLabel is the label that says to which data directory a container belongs.
const dirLabel = "dev.tminus.data-dir"

// containerRun is an attempt that runs in a container engine.
type containerRun struct {
	engine Mode
	// image runs command, in place of its entry point unless empty, and args.
	image         string
	command, args []string
	env           environment
	// dir is the attempt's directory. The container sees what is for it under the
	// same paths, so that all templates mean the same inside and outside, and
	// nothing of what tminus writes down beside it.
	dir string
	// root is the data directory, by which the next tminus knows the container.
	root string
	// previous is the checkpoint of the attempt before; empty for the first.
	previous string
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
		"--name", containerName(c.dir), "--label", dirLabel + "=" + c.root,
		"--user", user,
	}
	if c.engine == Podman && c.uid != 0 {
		// Without it a rootless podman maps the user to another one outside.
		argv = append(argv, "--userns", "keep-id")
	}
	for _, v := range c.volumes() {
		argv = append(argv, "--volume", v)
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

// volumes are what of this machine the container sees, and where.
func (c containerRun) volumes() []string {
	l := layout(c.dir)
	var volumes []string
	for _, dir := range []string{outputsDir, rawDir, checkpointDir, workDir} {
		volumes = append(volumes, l.path(dir)+":"+l.path(dir))
	}
	readOnly := []string{l.inputs(), l.path(taskFile)}
	if c.previous != "" {
		readOnly = append(readOnly, c.previous)
	}
	for _, path := range readOnly {
		volumes = append(volumes, path+":"+path+":ro")
	}
	if c.inputs != "" {
		volumes = append(volumes, l.inputs()+":"+c.inputs+":ro")
	}
	if c.outputs != "" {
		volumes = append(volumes, l.outputs()+":"+c.outputs)
	}
	return volumes
}

// containerName is the name of the container of the attempt in dir, so that it
// can be removed by whoever knows the directory.
func containerName(dir string) string {
	sum := sha256.Sum256([]byte(dir))
	return "tminus-" + hex.EncodeToString(sum[:10])
}

// removal are the arguments with which the engine ends containers.
func removal(containers ...string) []string {
	return append([]string{"rm", "--force"}, containers...)
}

// removeContainers ends the containers that a previous tminus left behind.
func (r *Runner) removeContainers(ctx context.Context) error {
	var ids strings.Builder
	if err := r.engineTo(ctx, &ids, "ps", "--all", "--quiet", "--filter", "label="+dirLabel+"="+r.cfg.Dir); err != nil {
		return err
	}
	left := strings.Fields(ids.String())
	if len(left) == 0 {
		return nil
	}
	r.cfg.Log.WarnContext(ctx, "ending containers of a previous run", slog.Int("containers", len(left)))
	return r.engine(ctx, removal(left...)...)
}

// engine runs a command of the container engine.
func (r *Runner) engine(ctx context.Context, args ...string) error {
	return r.engineTo(ctx, io.Discard, args...)
}

func (r *Runner) engineTo(ctx context.Context, stdout io.Writer, args ...string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	var stderr strings.Builder
	cmd := exec.CommandContext(ctx, string(r.cfg.Mode), args...) //nolint:gosec // The engine's client; the mode is checked.
	cmd.Stdout, cmd.Stderr = stdout, &stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", r.cfg.Mode, args[0], err, strings.TrimSpace(stderr.String()))
	}
	return nil
}
