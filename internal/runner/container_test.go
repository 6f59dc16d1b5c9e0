package runner_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tminus.dev/gen/flyteidl/core"
	"tminus.dev/internal/runner"
	"tminus.dev/internal/store"
)

// engine puts a stand-in for docker into PATH. It writes down how it is called
// and does what a container of the image would.
func engine(t *testing.T) (calls string) {
	t.Helper()
	dir := t.TempDir()
	must(0, os.WriteFile(filepath.Join(dir, "left"), []byte("id1\nid2\n"), 0o600))
	calls = filepath.Join(dir, "calls")
	script := `#!/bin/sh
		echo "$@" >> ` + calls + `
		for arg; do case "$arg" in *:/var/outputs) outputs=${arg%%:*};; esac; done
		case "$*" in
		ps*) cat ` + filepath.Join(dir, "left") + `;;
		rm*) ;;
		*hang*) echo up > "$PIPE"; exec sleep 300;;
		*) echo 5 > "$outputs/n";;
		esac
	`
	if err := os.WriteFile(filepath.Join(dir, "docker"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	return calls
}

func TestContainerEngine(t *testing.T) {
	calls := engine(t)
	p := newPipe(t)
	t.Setenv("PIPE", p.path)
	w := newWorld(t)
	overridden := call("n0", "t")
	overridden.GetTaskNode().Overrides = &core.TaskNodeOverrides{ContainerImage: "example.com/other"}
	w.register(
		shell("t", "", "n integer", `echo 5 > /var/outputs/n`), shell("hang", "", "", `hang`),
		flow("f", "", "n integer", []*core.Node{overridden}, "n=n0.n"),
	)
	w.queue("e1", "f", nil)
	l := w.run(runner.Config{Mode: runner.Docker})
	e := l.await("e1", store.Succeeded)
	if diff := cmp.Diff(map[string]any{"n": int64(5)}, outputsOf(e.Outputs)); diff != "" {
		t.Error(diff)
	}
	w.queue("e2", "hang", nil, alone)
	l.Wake()
	p.line()
	if err := l.Terminate(t.Context(), key("e2"), "", ""); err != nil {
		t.Fatal(err)
	}
	l.await("e2", store.Aborted)

	all := strings.Split(strings.TrimSpace(string(must(os.ReadFile(calls)))), "\n")
	leftovers := []string{"ps --all --quiet --filter label=dev.tminus.data-dir=" + w.dir, "rm --force id1 id2"}
	if diff := cmp.Diff(leftovers, all[:min(2, len(all))]); diff != "" {
		t.Error(diff)
	}
	got := all[2:]
	if len(got) != 3 || !strings.HasSuffix(got[0], "--entrypoint /bin/sh example.com/other -ec echo 5 > /var/outputs/n") ||
		!strings.Contains(got[0], " --env FLYTE_INTERNAL_EXECUTION_ID=e1 ") || strings.Contains(got[0], "PATH=") ||
		!strings.Contains(got[1], "example.com/shell -ec hang") ||
		!strings.HasPrefix(got[2], "rm --force tminus-") || !strings.Contains(got[1], strings.TrimPrefix(got[2], "rm --force ")) {
		t.Errorf("called\n%s", strings.Join(got, "\n"))
	}
}

func TestImagesThatAreNone(t *testing.T) {
	engine(t)
	for _, image := range []string{"", "--privileged"} {
		t.Run(image, func(t *testing.T) {
			w := newWorld(t)
			task := shell("t", "", "", `:`)
			task.GetContainer().Image = image
			w.register(task)
			w.queue("e1", "t", nil, alone)
			e := w.run(runner.Config{Mode: runner.Docker}).await("e1", store.Failed)
			if diff := cmp.Diff(`StartError: "`+image+`" is no image`, errorOf(e.Error)); diff != "" {
				t.Error(diff)
			}
		})
	}
}
