package manifest_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"tminus.dev/gen/flyteidl/admin"
	"tminus.dev/gen/flyteidl/service"
	"tminus.dev/internal/ident"
	"tminus.dev/internal/manifest"
	"tminus.dev/internal/server"
	"tminus.dev/internal/store"
	"tminus.dev/internal/store/sqlite"
)

// idle is a runner and an engine that do nothing.
type idle struct{}

func (idle) Wake() {}

func (idle) Problem() string { return "" }

func (idle) Terminate(context.Context, ident.Key, string, string) error { return nil }

// connect boots a server with the projects default and sales, and connects to it.
func connect(t *testing.T, change ...func(*server.Config)) *grpc.ClientConn {
	t.Helper()
	cfg := server.Config{Version: "v1", Data: t.TempDir()}
	for _, f := range change {
		f(&cfg)
	}
	db, err := sqlite.Open(t.Context(), sqlite.Config{Dir: cfg.Data})
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"default", "sales"} {
		err := db.CreateProject(t.Context(), store.Project{ID: id, Name: id, CreatedAt: time.Now()})
		if err != nil && !errors.Is(err, store.ErrExists) {
			t.Fatal(err)
		}
	}
	rpc, web := listen(t), listen(t)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- server.New(db, idle{}, idle{}, cfg).Serve(ctx, rpc, web) }()
	conn, err := grpc.NewClient(rpc.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return conn
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

const report = `launchPlan: report
description: Reports
schedule:
  cron: 0 10 * * ? *
  kickoffTimeInput: at
fixedInputs:
  data: data.csv
workflow:
  inputs: {at: datetime, data: file}
  nodes:
    - id: count
      command: [wc, -l, "{{.inputs.data}}"]
      inputs: {data: "${inputs.data}"}
`

// folder holds files by name, report's data among them.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "data.csv"), "a\nb\n")
	for name, text := range files {
		write(t, filepath.Join(dir, name), text)
	}
	return dir
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// apply applies a path and returns the results on one line each; of versions
// that are hashes it shows none.
func apply(t *testing.T, conn grpc.ClientConnInterface, path string, o manifest.Options) []string {
	t.Helper()
	o.Slots = 2
	got, err := manifest.Apply(t.Context(), conn, []string{path}, o)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, r := range got.Results {
		if r.Err != nil {
			lines = append(lines, strings.ReplaceAll(r.Err.Error(), path, "PATH"))
			continue
		}
		version := r.Version
		if len(version) == 12 {
			version = "HASH"
		}
		words := []string{r.Kind, r.Project + "/" + r.Domain + "/" + r.Name, version, string(r.Registration), string(r.Activation)}
		if r.Active {
			words = append(words, "active")
		}
		if r.Was != "" {
			words = append(words, "other version")
		}
		if r.Description == manifest.Updated {
			words = append(words, "described")
		}
		for _, e := range r.Others {
			words = append(words, e.Kind, e.Name, string(e.Registration))
		}
		lines = append(lines, strings.Join(strings.Fields(strings.Join(words, " ")), " "))
		if len(r.Next) > 0 && len(r.Next) != 2 {
			t.Errorf("%d next slots, want 2", len(r.Next))
		}
	}
	return lines
}

func TestApplyIsIdempotent(t *testing.T) {
	conn := connect(t)
	dir := folder(t, map[string]string{"report.yaml": report})
	first := []string{"launch plan default/development/report HASH created activated active described task report.count created workflow report created"}
	again := []string{"launch plan default/development/report HASH unchanged unchanged active task report.count unchanged workflow report unchanged"}
	changed := []string{"launch plan default/development/report HASH created activated active other version task report.count created workflow report created"}
	for _, step := range []struct {
		name   string
		change func()
		dryRun bool
		want   []string
	}{
		{"a dry run", func() {}, true, first},
		{"the first", func() {}, false, first},
		{"a dry run of the same", func() {}, true, again},
		{"the same", func() {}, false, again},
		{"another file of the same content", func() { write(t, filepath.Join(dir, "data.csv"), "a\nb\n") }, false, again},
		{"another content, dry", func() { write(t, filepath.Join(dir, "data.csv"), "a\nb\nc\n") }, true, changed},
		{"another content", func() {}, false, changed},
		{"the first content again", func() { write(t, filepath.Join(dir, "data.csv"), "a\nb\n") }, false, []string{
			"launch plan default/development/report HASH unchanged activated active other version task report.count unchanged workflow report unchanged",
		}},
		{"inactive", func() { write(t, filepath.Join(dir, "report.yaml"), report+"active: false\n") }, false, []string{
			"launch plan default/development/report HASH unchanged deactivated task report.count unchanged workflow report unchanged",
		}},
		{"still inactive", func() {}, false, []string{
			"launch plan default/development/report HASH unchanged unchanged task report.count unchanged workflow report unchanged",
		}},
	} {
		step.change()
		if diff := cmp.Diff(step.want, apply(t, conn, dir, manifest.Options{DryRun: step.dryRun})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", step.name, diff)
		}
	}
}

func TestFilesAreUploaded(t *testing.T) {
	conn := connect(t)
	dir := folder(t, map[string]string{"report.yaml": report})
	apply(t, conn, dir, manifest.Options{})
	plan, err := service.NewAdminServiceClient(conn).GetActiveLaunchPlan(t.Context(), &admin.ActiveLaunchPlanRequest{
		Id: &admin.NamedEntityIdentifier{Project: "default", Domain: "development", Name: "report"},
	})
	if err != nil {
		t.Fatal(err)
	}
	address := plan.GetSpec().GetFixedInputs().GetLiterals()["data"].GetScalar().GetBlob().GetUri()
	content, err := os.ReadFile(address)
	if err != nil || string(content) != "a\nb\n" {
		t.Errorf("%q holds %q, %v", address, content, err)
	}
}

// The addresses of uploads hold the data directory. A version made of the
// manifest alone would be registered already, with the old addresses.
func TestMovedDataDirectoryIsANewVersion(t *testing.T) {
	data := t.TempDir()
	dir := folder(t, map[string]string{"report.yaml": report})
	for _, step := range []struct{ data, want string }{
		{"before", "launch plan default/development/report HASH created activated active described task report.count created workflow report created"},
		{"after", "launch plan default/development/report HASH created activated active other version task report.count created workflow report created"},
	} {
		if step.data == "after" {
			if err := os.Rename(filepath.Join(data, "before"), filepath.Join(data, "after")); err != nil {
				t.Fatal(err)
			}
		}
		t.Run(step.data, func(t *testing.T) {
			conn := connect(t, func(c *server.Config) { c.Data = filepath.Join(data, step.data) })
			if diff := cmp.Diff([]string{step.want}, apply(t, conn, dir, manifest.Options{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestDryRunChangesNothing(t *testing.T) {
	conn := connect(t)
	dir := folder(t, map[string]string{"report.yaml": report})
	apply(t, conn, dir, manifest.Options{DryRun: true})
	client := service.NewAdminServiceClient(conn)
	id := &admin.NamedEntityIdentifier{Project: "default", Domain: "development"}
	plans, err := client.ListLaunchPlans(t.Context(), &admin.ResourceListRequest{Id: id, Limit: 10})
	if err != nil {
		t.Fatal(err)
	}
	tasks, err := client.ListTasks(t.Context(), &admin.ResourceListRequest{Id: id, Limit: 10})
	if err != nil {
		t.Fatal(err)
	}
	if len(plans.GetLaunchPlans()) > 0 || len(tasks.GetTasks()) > 0 {
		t.Errorf("registered: %v %v", plans, tasks)
	}
}

func TestOneBadDocumentKeepsNobodyElse(t *testing.T) {
	conn := connect(t)
	dir := folder(t, map[string]string{
		"1-later.yaml":  "launchPlan: later\nworkflow: {name: shared}\nfixedInputs: {n: 1}\n",
		"2-bad.yaml":    "launchPlan: bad\nworkflow: {nodes: [{id: a, command: []}]}\n---\nlaunchPlan: good\nworkflow: {name: shared}\n",
		"3-torn.yaml":   "launchPlan: torn\nworkflow: {nodes: [",
		"4-shared.yaml": "project: default\nworkflow: {name: shared, inputs: {n: integer}, nodes: [{id: a, command: [x]}]}\n",
		"5-place.yaml":  "launchPlan: lost\nproject: nowhere\nworkflow: {nodes: [{id: a, command: [x]}]}\n",
		"6-typo.yaml":   "launchPlan: typo\nworkflow: {name: shred, version: v1}\n",
		"README.txt":    "not a manifest",
		".hidden.yaml":  "not a manifest either",
	})
	want := []string{
		"launch plan default/development/later HASH created activated active",
		"PATH/2-bad.yaml:2:37: workflow.nodes[0].command: is empty; name a program",
		"launch plan default/development/good HASH created activated active",
		"PATH/3-torn.yaml:3:1: ",
		"workflow default/development/shared HASH created task shared.a created",
		`PATH/5-place.yaml:2:10: project: project "nowhere" is not registered`,
		"PATH/6-typo.yaml:2:11: workflow: shred: NotFound: ",
	}
	got := apply(t, conn, dir, manifest.Options{})
	if len(got) != len(want) {
		t.Fatalf("%d results, want %d:\n%s", len(got), len(want), strings.Join(got, "\n"))
	}
	for i, w := range want {
		if !strings.HasPrefix(got[i], w) {
			t.Errorf("result %d\n got %s\nwant %s", i, got[i], w)
		}
	}
}

// A refusal of the server is about a field of a request; people wrote a key.
func TestRefusalsOfTheServerNameTheLine(t *testing.T) {
	conn := connect(t)
	dir := folder(t, map[string]string{"report.yaml": "version: v1\n" + report})
	apply(t, conn, dir, manifest.Options{})
	for _, test := range []struct{ name, from, to, want string }{
		{"a changed command", "wc, -l", "wc, -c", "PATH/report.yaml:12:7: workflow.nodes[0]: task default/development/report.count@v1 is registered already with another spec"},
		{"a changed output", "  inputs: {at: datetime, data: file}", "  outputs: {x: 1}\n  inputs: {at: datetime, data: file}", "PATH/report.yaml:10:3: workflow: workflow default/development/report@v1 is registered already with another spec"},
		{"a changed schedule", "0 10 * * ? *", "0 11 * * ? *", "PATH/report.yaml:1:1: launch plan default/development/report@v1 is registered already with another spec"},
		{"a schedule that has ended", "version: v1", "version: v2\n", ""},
	} {
		text := strings.Replace("version: v1\n"+report, test.from, test.to, 1)
		if test.want == "" {
			text = strings.Replace(text, "0 10 * * ? *", "0 10 * * ? 2020", 1)
			test.want = "PATH/report.yaml:6:9: schedule.cron: "
		}
		write(t, filepath.Join(dir, "report.yaml"), text)
		got := apply(t, conn, dir, manifest.Options{})
		if len(got) != 1 || !strings.HasPrefix(got[0], test.want) {
			t.Errorf("%s:\n got %s\nwant %s", test.name, got, test.want)
		}
	}
	write(t, filepath.Join(dir, "report.yaml"), strings.Replace("version: v1\n"+report, "wc, -l", "wc, -c", 1))
	got := apply(t, conn, dir, manifest.Options{DryRun: true})
	if want := "PATH/report.yaml:12:7: workflow.nodes[0]: this version is registered with another content ("; len(got) != 1 || !strings.HasPrefix(got[0], want) {
		t.Errorf("dry run:\n got %s\nwant %s", got, want)
	}
}

func TestPackagesOfPyflyte(t *testing.T) {
	conn := connect(t)
	for _, step := range []struct {
		name, file string
		o          manifest.Options
		want       []string
	}{
		{"registered", "pyflyte-package.tgz", manifest.Options{Version: "v1"}, []string{
			"launch plan default/development/flows.report v1 created task flows.count created workflow flows.report created",
			"launch plan default/development/nightly v1 created",
			"launch plan default/development/often v1 created",
		}},
		{"activated", "pyflyte-package.tgz", manifest.Options{Version: "v1", Activate: true}, []string{
			"launch plan default/development/flows.report v1 unchanged task flows.count unchanged workflow flows.report unchanged",
			"launch plan default/development/nightly v1 unchanged activated active",
			"launch plan default/development/often v1 unchanged activated active",
		}},
		{"unchanged", "pyflyte-package.tgz", manifest.Options{Version: "v1", Activate: true, DryRun: true}, []string{
			"launch plan default/development/flows.report v1 unchanged task flows.count unchanged workflow flows.report unchanged",
			"launch plan default/development/nightly v1 unchanged unchanged active",
			"launch plan default/development/often v1 unchanged unchanged active",
		}},
		{"with its source, elsewhere", "pyflyte-package-fast.tgz", manifest.Options{Project: "sales", Domain: "production", Activate: true}, []string{
			"launch plan sales/production/flows.report HASH created task flows.count created workflow flows.report created",
			"launch plan sales/production/nightly HASH created activated active",
			"launch plan sales/production/often HASH created activated active",
		}},
	} {
		got := apply(t, conn, filepath.Join("testdata", step.file), step.o)
		if diff := cmp.Diff(step.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", step.name, diff)
		}
	}
	client := service.NewAdminServiceClient(conn)
	list, err := client.ListTasks(t.Context(), &admin.ResourceListRequest{
		Id: &admin.NamedEntityIdentifier{Project: "sales", Domain: "production", Name: "flows.count"}, Limit: 1,
	})
	if err != nil || len(list.GetTasks()) != 1 {
		t.Fatal(list, err)
	}
	args := list.GetTasks()[0].GetClosure().GetCompiledTask().GetTemplate().GetContainer().GetArgs()
	if args[1] != "--additional-distribution" {
		t.Fatalf("arguments %q", args)
	}
	source := args[2]
	if content, err := os.ReadFile(source); err != nil || !bytes.HasPrefix(content, []byte{0x1f, 0x8b}) {
		t.Errorf("the source at %s: %v", source, err)
	}
}

// flytectl's way: the files of an archive, unpacked into a directory.
func TestPackagesAsFiles(t *testing.T) {
	archive, err := os.ReadFile(filepath.Join("testdata", "pyflyte-package.tgz"))
	if err != nil {
		t.Fatal(err)
	}
	zipped, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	files := tar.NewReader(zipped)
	for header, err := files.Next(); err == nil; header, err = files.Next() {
		var content bytes.Buffer
		if _, err := content.ReadFrom(files); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, filepath.Base(header.Name)), content.String())
	}
	conn := connect(t)
	whole := apply(t, conn, filepath.Join("testdata", "pyflyte-package.tgz"), manifest.Options{})
	if got := apply(t, conn, dir, manifest.Options{}); len(got) != len(whole) || !strings.Contains(got[0], "flows.report HASH unchanged") {
		t.Errorf("got %q", got)
	}
	one := filepath.Join(dir, "0_flows.count_1.pb")
	got := apply(t, conn, one, manifest.Options{Version: "v3"})
	if diff := cmp.Diff([]string{"task default/development/flows.count v3 created"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestBadPackages(t *testing.T) {
	conn := connect(t)
	for _, test := range []struct {
		name  string
		files map[string]string
		want  string
	}{
		{"empty", nil, "no entity in it; a package holds files such as 0_mod.task_1.pb"},
		{"unnamed", map[string]string{"task.pb": ""}, "task.pb: its name does not say what it is"},
		{"garbage", map[string]string{"0_a_1.pb": "\xff\xff\xff"}, "0_a_1.pb: is no TaskSpec: "},
		{"nameless", map[string]string{"0_a_1.pb": ""}, "id: is missing"},
		{"two sources", map[string]string{"a.tar.gz": "", "b.tar.gz": ""}, "there is an archive of source code already"},
	} {
		var packed bytes.Buffer
		zipped := gzip.NewWriter(&packed)
		files := tar.NewWriter(zipped)
		for name, content := range test.files {
			if err := files.WriteHeader(&tar.Header{Name: "../../" + name, Size: int64(len(content)), Mode: 0o600, Typeflag: tar.TypeReg}); err != nil {
				t.Fatal(err)
			}
			if _, err := files.Write([]byte(content)); err != nil {
				t.Fatal(err)
			}
		}
		if err := files.Close(); err != nil {
			t.Fatal(err)
		}
		if err := zipped.Close(); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "p.tgz")
		write(t, file, packed.String())
		if got := apply(t, conn, file, manifest.Options{}); len(got) != 1 || !strings.Contains(got[0], test.want) {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
		write(t, file, packed.String()[:packed.Len()-10])
		if got := apply(t, conn, file, manifest.Options{}); len(got) != 1 || !strings.Contains(got[0], "unpack") {
			t.Errorf("%s, torn: got %q", test.name, got)
		}
	}
}

func TestStdin(t *testing.T) {
	conn := connect(t)
	text := "launchPlan: l\nworkflow: {nodes: [{id: a, command: [x]}]}\n"
	got := apply(t, conn, manifest.Stdin, manifest.Options{Stdin: strings.NewReader(text), Project: "sales"})
	want := []string{"launch plan sales/development/l HASH created activated active task l.a created workflow l created"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestWarningsOfTheServerAreKept(t *testing.T) {
	conn := connect(t, func(c *server.Config) { c.Silent = func() string { return "nothing fires here" } })
	dir := folder(t, map[string]string{"report.yaml": report})
	got, err := manifest.Apply(t.Context(), conn, []string{dir}, manifest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"nothing fires here"}, got.Results[0].Warnings); diff != "" {
		t.Error(diff)
	}
}

func TestWithoutAServerNothingIsApplied(t *testing.T) {
	l := listen(t)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	conn, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := manifest.Apply(t.Context(), conn, []string{"."}, manifest.Options{}); status.Code(err) != codes.Unavailable {
		t.Errorf("got %v, want Unavailable", err)
	}
}

func TestResultsAsJSON(t *testing.T) {
	r := manifest.Result{
		Position: manifest.Position{File: "m.yaml", Line: 3, Column: 1},
		Entity:   manifest.Entity{Kind: "launch plan", Project: "p", Domain: "d", Name: "n", Version: "v"},
		Err:      manifest.ProblemsError{{Position: manifest.Position{File: "m.yaml", Line: 4, Column: 2}, Key: "schedule", Message: "is wrong"}},
	}
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"file":"m.yaml","line":3,"column":1,"kind":"launch plan","project":"p","domain":"d","name":"n","version":"v","active":false,"error":"m.yaml:4:2: schedule: is wrong"}`
	if diff := cmp.Diff(want, string(b)); diff != "" {
		t.Error(diff)
	}
}
