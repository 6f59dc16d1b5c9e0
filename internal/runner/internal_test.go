package runner

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tminus.dev/gen/flyteidl/core"
	"tminus.dev/internal/ident"
	"tminus.dev/internal/literal"
)

func TestFill(t *testing.T) {
	typed := func(name string, v any) *core.Literal {
		typ, err := literal.ParseType(name)
		if err != nil {
			t.Fatal(err)
		}
		l, err := literal.FromValue(typ, v)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	inputs := map[string]*core.Literal{
		"city":  typed("string", "Bern {{.input}}"),
		"days":  typed("list<integer>", "[1, 2]"),
		"at":    typed("datetime", "2026-02-01T03:04:05Z"),
		"empty": typed("string", ""),
	}
	declared := map[string]*core.Variable{"optional": {}}
	for name := range inputs {
		declared[name] = &core.Variable{}
	}
	templates := templates{
		inputs: inputs, declared: declared,
		values: map[string]string{"input": "/in/inputs.pb", "inputprefix": "/in", "outputprefix": "/out", "prevcheckpointprefix": `""`},
	}
	for _, test := range []struct{ in, want, err string }{
		{in: ``, want: ``},
		{in: `--inputs`, want: `--inputs`},
		{in: `{{.input}}`, want: `/in/inputs.pb`},
		{in: `{{ .Input }}`, want: `/in/inputs.pb`},
		{in: `{{$INPUT}}`, want: `/in/inputs.pb`},
		{in: `{{.inputPrefix}}/{{.outputPrefix}}`, want: `/in//out`},
		{in: `{{.prevCheckpointPrefix}}`, want: `""`},
		{in: `{{.inputs.city}}`, want: `Bern {{.input}}`},
		{in: `{{ .Inputs.city }}`, want: `Bern {{.input}}`},
		{in: `{{.inputs.days}}`, want: `[1,2]`},
		{in: `from {{.inputs.at}} on`, want: `from 2026-02-01T03:04:05Z on`},
		{in: `[{{.inputs.empty}}{{.inputs.optional}}]`, want: `[]`},
		{in: `{{.inputs.City}}`, err: `{{.inputs.City}}: the task has no such input; it has at, city, days, empty, optional`},
		{in: `{{.other}}`, want: `{{.other}}`},
		{in: `{{input}}`, want: `{{input}}`},
		{in: `{{.inputs.}}`, want: `{{.inputs.}}`},
		{in: `{{.inputs city}}`, want: `{{.inputs city}}`},
		{in: `{{.input}`, want: `{{.input}`},
	} {
		got, err := templates.fill(test.in)
		if err != nil {
			got = ""
		}
		if got != test.want || (err == nil) != (test.err == "") || err != nil && err.Error() != test.err {
			t.Errorf("%q became %q %v; want %q %s", test.in, got, err, test.want, test.err)
		}
	}
}

func FuzzFill(f *testing.F) {
	f.Add("{{.input}}", "x")
	f.Add("a{{ $Inputs.x }}{{.y}}", "{{.inputs.x}}")
	f.Fuzz(func(t *testing.T, s, value string) {
		input := &core.Literal{Value: &core.Literal_Scalar{Scalar: &core.Scalar{Value: &core.Scalar_Primitive{
			Primitive: &core.Primitive{Value: &core.Primitive_StringValue{StringValue: value}},
		}}}}
		templates := templates{inputs: map[string]*core.Literal{"x": input}, values: map[string]string{"input": "/in"}}
		filled, err := templates.fill(s)
		if !strings.Contains(s, "{{") && (err != nil || filled != s) {
			t.Errorf("%q became %q %v", s, filled, err)
		}
		if got, err := templates.fill("<{{.inputs.x}}>"); err != nil || got != "<"+value+">" {
			t.Errorf("the value %q became %q %v", value, got, err)
		}
	})
}

func TestIdentifier(t *testing.T) {
	for in, want := range map[string]string{
		"f123-n0-0": "f123_n0_0",
		"1a-n0-0-b": "a1a_n0_0_b",
		"é.x--y":    "_x_y",
	} {
		if got := identifier(in); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
}

func TestMovePaths(t *testing.T) {
	for _, test := range []struct{ in, want string }{
		{"/var/inputs", "/new"},
		{"/var/inputs/x", "/new/x"},
		{"/var/inputs/", "/new/"},
		{"cat /var/inputs/x > /var/inputs/y", "cat /new/x > /new/y"},
		{"--in=/var/inputs", "--in=/new"},
		{`"/var/inputs"`, `"/new"`},
		{"/var/inputs:/var/inputs/x", "/new:/new/x"},
		{"/var/inputs2", "/var/inputs2"},
		{"/var/inputs.d", "/var/inputs.d"},
		{"/mnt/var/inputs", "/mnt/var/inputs"},
		{"s3://bucket/var/inputs/x", "s3://bucket/var/inputs/x"},
		{"/var/inputs/var/inputs", "/new/var/inputs"},
		{"/var/inputs/deep/x /var/inputs/deeper", "/deep/x /new/deeper"},
		{"caf\xe9 /var/inputs", "caf\xe9 /new"},
		{"", ""},
	} {
		if got := movePaths(test.in, move{"/var/inputs/", "/new"}, move{"/var/inputs/deep", "/deep"}, move{"/new", "/newer"}); got != test.want {
			t.Errorf("%q became %q, want %q", test.in, got, test.want)
		}
	}
	if got := movePaths("a/b /", move{"/", "/new"}); got != "a/b /" {
		t.Error(got)
	}
}

func TestUnpack(t *testing.T) {
	for _, test := range []struct{ in, want, path string }{
		{
			"pyflyte-fast-execute --additional-distribution /u/a.tar.gz --dest-dir /root -- pyflyte-execute --dest-dir /x",
			"pyflyte-fast-execute --additional-distribution /u/a.tar.gz --dest-dir /work -- pyflyte-execute --dest-dir /x",
			"/work",
		},
		{"/venv/bin/pyflyte-fast-execute --dest-dir=/root -- a", "/venv/bin/pyflyte-fast-execute --dest-dir=/work -- a", "/work"},
		{"env X=1 pyflyte-fast-execute --dest-dir . -- a", "env X=1 pyflyte-fast-execute --dest-dir /work -- a", "/work"},
		{"pyflyte-fast-execute --additional-distribution x -- a", "pyflyte-fast-execute --additional-distribution x -- a", "/work"},
		{"pyflyte-fast-execute --dest-dir", "pyflyte-fast-execute --dest-dir", "/work"},
		{"pyflyte-execute --dest-dir /root", "pyflyte-execute --dest-dir /root", ""},
		{"", "", ""},
	} {
		c := command{dir: "/work", argv: strings.Fields(test.in)}
		c.unpack()
		if got := strings.Join(c.argv, " "); got != test.want || c.env.get("PYTHONPATH") != test.path {
			t.Errorf("%q became %q with %q, want %q with %q", test.in, got, c.env, test.want, test.path)
		}
	}
	c := command{dir: "/work", argv: []string{fastExecute}, env: environment{"PYTHONPATH=/opt/lib"}}
	c.unpack()
	if got := c.env.get("PYTHONPATH"); got != "/opt/lib:/work" {
		t.Errorf("the task's own path became %q", got)
	}
}

func TestGist(t *testing.T) {
	for _, test := range []struct{ message, want string }{
		{"exit status 3: no space left\non device\n", "exit status 3: no space left"},
		{"\n no space left \n", "no space left"},
		{"Traceback (most recent call last):\n  File \"till.py\", line 3\nValueError: no cheques\n", "ValueError: no cheques"},
		// flytekit 1.16, and 1.10.
		{"node n0: Trace:\n\n    Traceback (most recent call last):\n      …\n\nMessage:\n\n    ValueError: no cheques\n", "ValueError: no cheques"},
		{"Traceback (most recent call last):\n\n      …\n\nMessage:\n\n    ValueError: no cheques\n\nUser error.", "ValueError: no cheques"},
		{"Trace:\n…\nMessage:\n", "Message:"},
		{"node n0:", "node n0:"},
		{"", ""},
	} {
		if got := Gist(test.message); got != test.want {
			t.Errorf("%q became %q, want %q", test.message, got, test.want)
		}
	}
}

func TestElement(t *testing.T) {
	long := strings.Repeat("n0-0-", 30) + "n1"
	for _, test := range []struct{ name, want string }{
		{"n0-0-n1", "n0-0-n1"},
		{"v1.2_x", "v1.2_x"},
		{"", "~e3b0c44298fc1c14"},
		{"..", "~5ec1f7e700f37c3d"},
		{".hidden", "hidden~"},
		{"../../etc/passwd", "etcpasswd~"},
		{"Upper", "pper~"},
		{"n~1", "n1~"},
		{"a\x00b", "ab~"},
		{"Zürich", "rich~"},
		{long, long[:50] + "~"},
	} {
		got := element(test.name)
		if !strings.HasPrefix(got, test.want) {
			t.Errorf("%q became %q, want %q", test.name, got, test.want)
		}
		if got == "" || strings.Contains(got, "/") || strings.HasPrefix(got, ".") || len(got) > maxElement {
			t.Errorf("%q became %q", test.name, got)
		}
	}
}

func FuzzAttemptDir(f *testing.F) {
	f.Add("p", "d", "n", "n0-0-n1")
	f.Add("..", "../..", "/", "")
	f.Fuzz(func(t *testing.T, project, domain, name, node string) {
		dir := attemptDir(ident.Key{Project: project, Domain: domain, Name: name}, node, 3)
		if strings.Count(dir, "/") != 5 || !filepath.IsLocal(dir) || filepath.Clean(dir) != dir || strings.Contains(dir, "\x00") {
			t.Errorf("got %q", dir)
		}
	})
}

func TestContainerCommandLine(t *testing.T) {
	run := containerRun{
		engine: Docker, image: "example.com/app:1", command: []string{"sh", "-c"}, args: []string{"echo $X"},
		env: environment{"X=a b", "Y="}, root: "/data", dir: "/data/e/n0/1", previous: "/data/e/n0/0/checkpoint", uid: 1000, gid: 100,
	}
	name := containerName(run.dir)
	docker := []string{
		"docker", "run", "--rm", "--init", "--name", name, "--label", "dev.tminus.data-dir=/data", "--user", "1000:100",
		"--volume", "/data/e/n0/1/outputs:/data/e/n0/1/outputs",
		"--volume", "/data/e/n0/1/raw:/data/e/n0/1/raw",
		"--volume", "/data/e/n0/1/checkpoint:/data/e/n0/1/checkpoint",
		"--volume", "/data/e/n0/1/work:/data/e/n0/1/work",
		"--volume", "/data/e/n0/1/inputs:/data/e/n0/1/inputs:ro",
		"--volume", "/data/e/n0/1/task.pb:/data/e/n0/1/task.pb:ro",
		"--volume", "/data/e/n0/0/checkpoint:/data/e/n0/0/checkpoint:ro",
		"--env", "X=a b", "--env", "Y=", "--entrypoint", "sh", "example.com/app:1", "-c", "echo $X",
	}
	if diff := cmp.Diff(docker, run.argv()); diff != "" {
		t.Error(diff)
	}

	run.engine, run.command, run.env, run.previous = Podman, nil, nil, ""
	run.inputs, run.outputs = "/var/inputs", "/var/outputs"
	podman := []string{
		"podman", "run", "--rm", "--init", "--name", name, "--label", "dev.tminus.data-dir=/data", "--user", "1000:100", "--userns", "keep-id",
		"--volume", "/data/e/n0/1/outputs:/data/e/n0/1/outputs",
		"--volume", "/data/e/n0/1/raw:/data/e/n0/1/raw",
		"--volume", "/data/e/n0/1/checkpoint:/data/e/n0/1/checkpoint",
		"--volume", "/data/e/n0/1/work:/data/e/n0/1/work",
		"--volume", "/data/e/n0/1/inputs:/data/e/n0/1/inputs:ro",
		"--volume", "/data/e/n0/1/task.pb:/data/e/n0/1/task.pb:ro",
		"--volume", "/data/e/n0/1/inputs:/var/inputs:ro",
		"--volume", "/data/e/n0/1/outputs:/var/outputs",
		"example.com/app:1", "echo $X",
	}
	if diff := cmp.Diff(podman, run.argv()); diff != "" {
		t.Error(diff)
	}
	if containerName("/data/e/n0/2") == name {
		t.Error("two attempts share a container")
	}
}

func TestFollow(t *testing.T) {
	typed := func(name, v string) *core.Literal {
		typ, err := literal.ParseType(name)
		if err != nil {
			t.Fatal(err)
		}
		l, err := literal.FromValue(typ, v)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	binary := func(b string) *core.Literal {
		return scalarLiteral(&core.Scalar{Value: &core.Scalar_Binary{Binary: &core.Binary{Value: []byte(b), Tag: "msgpack"}}})
	}
	union := func(l *core.Literal) *core.Literal {
		return scalarLiteral(&core.Scalar{Value: &core.Scalar_Union{Union: &core.Union{Value: l}}})
	}
	object := typed("struct", `{"n": 1, "s": "x", "t": true, "z": null, "l": [1, "a"], "o": {"k": "v"}}`)
	// {"n": 1, "big": 2^64-1, "f": 1.5}
	dataclass := binary("\x83\xa1n\x01\xa3big\xcf\xff\xff\xff\xff\xff\xff\xff\xff\xa1f\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00")
	for _, test := range []struct {
		from *core.Literal
		path []any
		want any
		err  string
	}{
		{from: object, path: []any{"n"}, want: 1.0},
		{from: object, path: []any{"s"}, want: "x"},
		{from: object, path: []any{"t"}, want: true},
		{from: object, path: []any{"z"}, want: nil},
		{from: object, path: []any{"l"}, want: []any{1.0, "a"}},
		{from: object, path: []any{"l", 1}, want: "a"},
		{from: object, path: []any{"o"}, want: map[string]any{"k": "v"}},
		{from: object, path: []any{"o", "k"}, want: "v"},
		{from: object, path: []any{0}, err: "[0] is not among l, n, o, s, t, z"},
		{from: object, path: []any{"l", "k"}, err: ".k does not lead into a list of 2"},
		{from: dataclass, path: []any{"n"}, want: int64(1)},
		{from: dataclass, path: []any{"f"}, want: 1.5},
		{from: dataclass, path: []any{"big"}, err: "18446744073709551615 does not fit an integer"},
		{from: binary("no"), path: []any{"n"}, err: ".n leads into a value that has no parts"},
		{from: typed("list<list<integer>>", "[[1, 2], [3]]"), path: []any{0, 1}, want: int64(2)},
		{from: typed("map<list<string>>", `{"k": ["v"]}`), path: []any{"k", 0}, want: "v"},
		{from: typed("list<struct>", `[{"k": "v"}]`), path: []any{0, "k"}, want: "v"},
		{from: union(typed("list<string>", `["v"]`)), path: []any{0}, want: "v"},
		{from: union(object), path: []any{"o", "k"}, want: "v"},
		{from: typed("list<string>", `["v"]`), path: []any{0, 0}, err: "[0] leads into a value that has no parts"},
		{from: typed("list<string>", `["v"]`), path: []any{"k"}, err: ".k does not lead into a list of 1"},
		{from: typed("map<string>", `{}`), path: []any{"k"}, err: ".k is not among none"},
	} {
		var path []*core.PromiseAttribute
		for _, step := range test.path {
			switch step := step.(type) {
			case int:
				path = append(path, &core.PromiseAttribute{Value: &core.PromiseAttribute_IntValue{IntValue: int32(step)}})
			case string:
				path = append(path, &core.PromiseAttribute{Value: &core.PromiseAttribute_StringValue{StringValue: step}})
			}
		}
		got, err := follow(test.from, path)
		if text := fmt.Sprint(err); err != nil && text != test.err || err == nil && test.err != "" {
			t.Errorf("%v: %v, want %s", test.path, err, test.err)
			continue
		}
		if diff := cmp.Diff(test.want, literal.ToValue(got)); diff != "" {
			t.Errorf("%v: %s", test.path, diff)
		}
	}
}
