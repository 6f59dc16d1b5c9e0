package runner_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	"tminus.dev/gen/flyteidl/core"
	"tminus.dev/internal/literal"
	"tminus.dev/internal/runner"
	"tminus.dev/internal/store"
)

// tree is what the directory dir holds, by path.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err != nil || info.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err == nil {
			files[name] = string(must(os.ReadFile(path)))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestRawContainerInputs(t *testing.T) {
	t.Parallel()
	blobs := t.TempDir()
	must(0, os.WriteFile(blobs+"/f.csv", []byte("a,b\n"), 0o600))
	must(0, os.MkdirAll(blobs+"/d/sub", 0o700))
	must(0, os.WriteFile(blobs+"/d/one", []byte("1"), 0o600))
	must(0, os.WriteFile(blobs+"/d/sub/two", []byte("2"), 0o600))

	in := "i integer, f float, s string, b boolean, at datetime, d duration, l list<integer>, m map<string>, j struct, file file, dir directory"
	inputs := values(vars(in), map[string]any{
		"i": 5, "f": 2.5, "s": "two\nlines", "b": true, "at": "2026-02-01T03:04:05.5Z", "d": "90s",
		"l": "[1, 2]", "m": `{"k": "v"}`, "j": `{"x": 1}`, "file": blobs + "/f.csv", "dir": "file://" + blobs + "/d",
	})
	want := map[string]string{
		"i": "5", "f": "2.5", "s": "two\nlines", "b": "true", "at": "2026-02-01T03:04:05.5Z", "d": "1m30s",
		"l/0": "1", "l/1": "2", "m/k": "v", "j": `{"x":1}`, "file": "a,b\n", "dir/one": "1", "dir/sub/two": "2",
	}
	for format, test := range map[core.DataLoadingConfig_LiteralMapFormat]struct{ file, content string }{
		core.DataLoadingConfig_JSON: {
			"inputs.json",
			`{"at":"2026-02-01T03:04:05.5Z","b":true,"d":90000000000,"dir":"DIR/dir","f":2.5,"file":"DIR/file","i":5,` +
				`"j":{"x":1},"l":[1,2],"m":{"k":"v"},"s":"two\nlines"}`,
		},
		core.DataLoadingConfig_YAML: {
			"inputs.yaml",
			"at: \"2026-02-01T03:04:05.5Z\"\nb: true\nd: 90000000000\ndir: DIR/dir\nf: 2.5\nfile: DIR/file\ni: 5\n" +
				"j:\n    x: 1\nl:\n    - 1\n    - 2\nm:\n    k: v\ns: |-\n    two\n    lines\n",
		},
		core.DataLoadingConfig_PROTO: {},
	} {
		t.Run(format.String(), func(t *testing.T) {
			w := newWorld(t)
			task := shell("t", in, "", `test "$(cat /var/inputs/i)" = 5; test "$(cat $TMINUS_INPUT_DIR/l/1)" = 2`)
			task.GetContainer().DataConfig.Format = format
			w.register(task)
			w.queue("e1", "t", inputs, alone)
			w.run(runner.Config{}).await("e1", store.Succeeded)

			dir := filepath.Join(w.dir, "executions/etl/production/e1/n0/0/inputs")
			got := tree(t, dir)
			var staged core.LiteralMap
			must(0, proto.Unmarshal([]byte(got["inputs.pb"]), &staged))
			for name, value := range map[string]any{"i": int64(5), "file": dir + "/file", "dir": dir + "/dir"} {
				if diff := cmp.Diff(value, literal.ToValue(staged.GetLiterals()[name])); diff != "" {
					t.Errorf("inputs.pb has %s: %s", name, diff)
				}
			}
			delete(got, "inputs.pb")
			if test.file != "" {
				if diff := cmp.Diff(strings.ReplaceAll(test.content, "DIR", dir), got[test.file]); diff != "" {
					t.Error(diff)
				}
				delete(got, test.file)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestRawContainerOutputs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	out := "i integer, f float, s string, s2 string, b boolean, at datetime, d duration, l list<integer>, m map<string>, j struct, file file, dir directory"
	w.register(shell("t", "", out, `
		cd /var/outputs
		echo ' 5 ' > i; echo 2.5 > f; printf 'two\n lines\n\n' > s; printf x > s2; echo true > b; echo 2026-02-01T03:04:05Z > at; echo 90s > d
		echo '[1, 2]' > l; echo '{"k": "v"}' > m; echo '{"x": 1}' > j; echo a,b > file; mkdir dir; echo 1 > dir/one`))
	w.queue("e1", "t", nil, alone)
	e := w.run(runner.Config{}).await("e1", store.Succeeded)
	dir := filepath.Join(w.dir, "executions/etl/production/e1/n0/0/outputs")
	want := map[string]any{
		"i": int64(5), "f": 2.5, "s": "two\n lines\n", "s2": "x", "b": true, "at": "2026-02-01T03:04:05Z", "d": "1m30s",
		"l": []any{int64(1), int64(2)}, "m": map[string]any{"k": "v"}, "j": map[string]any{"x": 1.0}, "file": dir + "/file", "dir": dir + "/dir",
	}
	if diff := cmp.Diff(want, outputsOf(e.Outputs)); diff != "" {
		t.Error(diff)
	}
}

func TestInputsThatCannotBeFiles(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		in   string
		v    any
		want string
	}{
		"a path":           {"m map<string>", `{"../../x": "v"}`, `"../../x" of m cannot name a file`},
		"a file elsewhere": {"f file", "s3://bucket/f.csv", `f: "s3://bucket/f.csv" is not on this machine; raw containers get files from file:// URIs and paths only`},
		"no file":          {"f file", "/no/such/file", `f: stat /no/such/file: no such file or directory`},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.register(shell("t", test.in, "", `:`))
			w.queue("e1", "t", values(vars(test.in), map[string]any{test.in[:1]: test.v}), alone)
			e := w.run(runner.Config{}).await("e1", store.Failed)
			want := "InputsNotUsable: the inputs cannot be written as files: " + test.want
			if diff := cmp.Diff(want, errorOf(e.Error)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A task of an SDK reads inputs.pb and writes outputs.pb, by the paths in its arguments.
func TestSDKContainer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	task := plain(shell("copy", "n integer", "n integer", ""))
	task.GetContainer().Command = []string{"cp"}
	task.GetContainer().Args = []string{"{{.input}}", "{{.outputPrefix}}/outputs.pb"}
	w.register(task)
	w.queue("e1", "copy", values(vars("n integer"), map[string]any{"n": 7}), alone)
	e := w.run(runner.Config{}).await("e1", store.Succeeded)
	if diff := cmp.Diff(map[string]any{"n": int64(7)}, outputsOf(e.Outputs)); diff != "" {
		t.Error(diff)
	}
	var template core.TaskTemplate
	must(0, proto.Unmarshal([]byte(w.read("e1", "n0", 0, "task.pb")), &template))
	if template.GetId().GetName() != "copy" {
		t.Error(template.GetId())
	}
}

func TestBindings(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in := vars("s string, l list<integer>, m map<string>, j struct")
	optional := &core.LiteralType{Type: &core.LiteralType_UnionType{UnionType: &core.UnionType{
		Variants: []*core.LiteralType{must(literal.ParseType("integer")), must(literal.ParseType("none"))},
	}}}
	text := &core.BindingData{Value: &core.BindingData_Scalar{
		Scalar: must(literal.FromValue(must(literal.ParseType("string")), "text")).GetScalar(),
	}}
	task := shell("show", "literal string, input string, element integer, entry string, deep string, part struct, list list<string>, map map<string>",
		"", `echo "[{{.inputs.some}}][{{.inputs.none}}][{{.inputs.unbound}}][{{.inputs.absent}}]"`)
	for _, name := range []string{"some", "none", "unbound", "absent"} {
		task.Interface.Inputs.Variables[name] = &core.Variable{Type: optional}
	}
	n := call("n0", "show")
	for name, b := range map[string]*core.BindingData{
		"literal": text,
		"input":   promise(".s"),
		"element": promise(".l", 1),
		"entry":   promise(".m", "k"),
		"deep":    promise(".j", "a", "b", 0),
		"part":    promise(".j", "a"),
		"some":    {Value: &core.BindingData_Scalar{Scalar: must(literal.FromValue(optional, 5)).GetScalar()}},
		"none":    {Value: &core.BindingData_Scalar{Scalar: must(literal.FromValue(optional, nil)).GetScalar()}},
		"absent":  promise(".absent"),
		"list": {Value: &core.BindingData_Collection{Collection: &core.BindingDataCollection{
			Bindings: []*core.BindingData{text, promise(".s")},
		}}},
		"map": {Value: &core.BindingData_Map{Map: &core.BindingDataMap{
			Bindings: map[string]*core.BindingData{"a": text, "b": promise(".m", "k")},
		}}},
	} {
		n.Inputs = append(n.Inputs, &core.Binding{Var: name, Binding: b})
	}
	f := flow("f", "", "l list<integer>, e integer", []*core.Node{n}, "l=.l")
	f.Interface.Inputs = in
	f.Outputs = append(f.Outputs, &core.Binding{Var: "e", Binding: promise(".l", 0)})
	f.Interface.Inputs.Variables["absent"] = &core.Variable{Type: optional}
	w.register(task, f)
	w.queue("e1", "f", values(in, map[string]any{
		"s": "input", "l": "[1, 2]", "m": `{"k": "entry"}`, "j": `{"a": {"b": ["deep"]}}`,
	}))
	e := w.run(runner.Config{}).await("e1", store.Succeeded)
	if diff := cmp.Diff(map[string]any{"l": []any{int64(1), int64(2)}, "e": int64(1)}, outputsOf(e.Outputs)); diff != "" {
		t.Error(diff)
	}
	node, err := w.db.Node(t.Context(), key("e1"), "n0")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"literal": "text", "input": "input", "element": int64(2), "entry": "entry", "deep": "deep",
		"part": map[string]any{"b": []any{"deep"}}, "some": int64(5), "none": nil, "absent": nil,
		"list": []any{"text", "input"}, "map": map[string]any{"a": "text", "b": "entry"},
	}
	if diff := cmp.Diff(want, outputsOf(node.Inputs)); diff != "" {
		t.Error(diff)
	}
	if got := w.read("e1", "n0", 0, "stdout"); got != "[5][][][]\n" {
		t.Error(got)
	}
}

func TestBindingsThatLeadNowhere(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		path []any
		want string
	}{
		"beyond a list":    {[]any{"l", 5}, `[5] does not lead into a list of 2`},
		"a negative index": {[]any{"l", -1}, `[-1] does not lead into a list of 2`},
		"no such key":      {[]any{"x"}, `.x is not among l, s`},
		"into a string":    {[]any{"s", "x"}, `.x leads into a value that has no parts`},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			n := call("n0", "t")
			n.Inputs = []*core.Binding{{Var: "s", Binding: promise(".j", test.path...)}}
			w.register(shell("t", "s string", "", `:`), flow("f", "j struct", "", []*core.Node{n}))
			w.queue("e1", "f", values(vars("j struct"), map[string]any{"j": `{"l": [1, 2], "s": "text"}`}))
			e := w.run(runner.Config{}).await("e1", store.Failed)
			want := "BindingResolutionError: node n0: the inputs cannot be bound: s: workflow input j: " + test.want
			if diff := cmp.Diff(want, errorOf(e.Error)); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(map[string]store.Phase{"n0": store.Failed}, w.nodes("e1")); diff != "" {
				t.Error(diff)
			}
		})
	}
}
