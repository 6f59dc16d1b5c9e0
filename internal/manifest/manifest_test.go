package manifest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tminus.dev/gen/flyteidl/core"
	"tminus.dev/gen/flyteidl/service"
	"tminus.dev/internal/ident"
)

// locate gives addresses as a server does.
func locate(project, domain, name string, digest []byte) (*service.CreateUploadLocationResponse, error) {
	return &service.CreateUploadLocationResponse{NativeUrl: fmt.Sprintf("/uploads/%s/%s/%x/%s", project, domain, digest, name)}, nil
}

// compiled is the one unit that a manifest comes to.
func compiled(t *testing.T, text string) *unit {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "data.csv"), []byte("a,b\n1,2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := &set{o: Options{Project: "default", Domain: "development"}, locate: locate}
	s.content("m.yaml", dir, []byte(text))
	s.resolve(func(id ident.ID) (*core.TypedInterface, error) {
		return nil, errors.New("no server here: " + id.String())
	})
	if len(s.units) != 1 {
		t.Fatalf("%d units, want 1", len(s.units))
	}
	return s.units[0]
}

// decode is every problem with the form of a manifest.
func decode(text string) error {
	documents, err := parse("m.yaml", []byte(text))
	if err != nil {
		return err
	}
	var problems []Problem
	for _, d := range documents {
		problems = append(problems, d.source.problems...)
	}
	return problemsError(problems)
}

const small = `launchPlan: report
schedule:
  cron: 0 10 * * ? *
workflow:
  nodes:
    - id: say
      command: [echo, hello]
`

func TestBadManifestsSayWhereAndWhy(t *testing.T) {
	for _, test := range []struct {
		name, text string
		want       []string
	}{
		{
			"unknown key", strings.Replace(small, "launchPlan", "launchplan", 1),
			[]string{"m.yaml:1:1: launchplan: unknown key; did you mean launchPlan?"},
		},
		{
			"several at once", `launchPlan: report
schedule:
  corn: 0 10 * * ? *
  overlap: skp
  maxRuns: 0
workflow:
  nodes:
    - id: say
      comand: [echo]
`,
			[]string{
				"m.yaml:3:3: schedule.corn: unknown key; did you mean cron?",
				`m.yaml:4:12: schedule.overlap: "skp": use one of allow, skip, buffer-one, buffer-all, cancel-other, terminate-other`,
				"m.yaml:5:12: schedule.maxRuns: is 0; 1 is the least",
				"m.yaml:8:7: workflow.nodes[0].command: is missing",
				"m.yaml:9:7: workflow.nodes[0].comand: unknown key; did you mean command?",
			},
		},
		{
			"duplicate key", strings.Replace(small, "schedule:", "launchPlan: again\nschedule:", 1),
			[]string{"m.yaml:2:1: launchPlan: is there already, in line 1"},
		},
		{
			"wrong kinds", `launchPlan: [report]
active: maybe
schedule: hourly
workflow:
  nodes: {id: say}
`,
			[]string{
				"m.yaml:1:13: launchPlan: is a list; text is expected",
				`m.yaml:2:9: active: is "maybe"; use true or false`,
				`m.yaml:3:11: schedule: is "hourly"; keys and values are expected`,
				"m.yaml:5:10: workflow.nodes: is a mapping; a list is expected",
			},
		},
		{
			"not a mapping", "- a\n- b\n",
			[]string{"m.yaml:1:1: is a list; keys and values are expected"},
		},
		{
			"empty value", strings.Replace(small, "launchPlan: report", "launchPlan:", 1),
			[]string{`m.yaml:1:12: launchPlan: is empty; leave the key out, or write ""`},
		},
		{
			"merge key", small + "      env: {<<: {A: b}}\n",
			[]string{"m.yaml:8:13: workflow.nodes[0].env: merge keys (<<) are not taken; write the keys out, or give an alias as a whole value"},
		},
		{
			"unquoted star", strings.Replace(small, "0 10 * * ? *", "* * * * ? *", 1),
			[]string{`m.yaml:3:10: while scanning an alias: did not find expected alphabetic or numeric character; a value that begins with * needs quotes, as in cron: "* * * * ? *"`},
		},
		{
			"unquoted step", strings.Replace(small, "0 10 * * ? *", "*/5 * * * ? *", 1),
			[]string{`m.yaml:3:14: while scanning an alias: did not find expected alphabetic or numeric character; a value that begins with * needs quotes, as in cron: "* * * * ? *"`},
		},
		{
			"tab", "launchPlan: l\nworkflow:\n\tname: w\n",
			[]string{"m.yaml:3:1: while scanning for the next token: found character that cannot start any token; indent with spaces, not tabs"},
		},
		{
			"tab behind spaces", "launchPlan: l\nworkflow:\n  name: w\n  \tversion: v\n",
			[]string{"m.yaml:4:3: while scanning a plain scalar: found a tab character that violates indentation; indent with spaces, not tabs"},
		},
		{
			"no manifest", strings.Repeat("wörter ", 100),
			[]string{`m.yaml:1:1: is "` + strings.Repeat("wörter ", 8) + `wört…"; keys and values are expected`},
		},
		{
			"no nodes in the list", "launchPlan: l\nworkflow: {nodes: []}\n",
			[]string{"m.yaml:2:19: workflow.nodes: is empty; a workflow has at least one node"},
		},
		{
			"unquoted at", strings.Replace(small, "0 10 * * ? *", "@daily", 1),
			[]string{`m.yaml:3:9: while scanning for the next token: found character that cannot start any token; a value that begins with @, % or a backquote needs quotes, as in cron: "@daily"`},
		},
		{
			"bad expression", strings.Replace(small, "0 10 * * ? *", "0 61 * * ? *", 1),
			[]string{"m.yaml:3:11: schedule.cron: "},
		},
		{
			"bad quoted expression", strings.Replace(small, "0 10 * * ? *", `"0 61 * * ? *"`, 1),
			[]string{"m.yaml:3:12: schedule.cron: "},
		},
		{
			"bad rate", strings.Replace(small, "cron: 0 10 * * ? *", "rate: 10 minute", 1),
			[]string{"m.yaml:3:12: schedule.rate: "},
		},
		{
			"rate as cron", strings.Replace(small, "0 10 * * ? *", "rate(5 minutes)", 1),
			[]string{`m.yaml:3:9: schedule.cron: "rate(5 minutes)" is a rate; write it as rate: 5 minutes`},
		},
		{
			"never", strings.Replace(small, "0 10 * * ? *", "0 0 30 2 ? *", 1),
			[]string{`m.yaml:3:9: schedule.cron: "0 0 30 2 ? *" can never fire: no such date exists`},
		},
		{
			"policies", strings.Replace(small, "workflow:", `  timezone: Europe/Berln
  jitter: 5
  catchUp: some
  exclude: ["* * 25 12 ? *", "61 * * * ? *"]
  startAt: 2026-01-01
workflow:`, 1),
			[]string{
				`m.yaml:4:13: schedule.timezone: "Europe/Berln" is no known IANA time zone; use a name such as Europe/Berlin, or UTC`,
				`m.yaml:5:11: schedule.jitter: "5": use a duration such as 90s, 30m or 24h`,
				`m.yaml:6:12: schedule.catchUp: "some": use none, latest, all or how many of the latest slots to launch`,
				`m.yaml:7:31: schedule.exclude[1]: `,
				`m.yaml:8:12: schedule.startAt: "2026-01-01": use an RFC 3339 time such as 2026-01-31T09:00:00Z`,
			},
		},
		{
			"end before start", strings.Replace(small, "workflow:", "  startAt: 2027-01-01T00:00:00Z\n  endAt: 2026-01-01T00:00:00Z\nworkflow:", 1),
			[]string{"m.yaml:5:10: schedule.endAt: lies before tminus.dev/start-at"},
		},
		{
			"annotation", small + "annotations:\n  tminus.dev/dst-gap: skip\n",
			[]string{"m.yaml:9:23: annotations.tminus.dev/dst-gap: is a key of its own here: schedule.dstGap"},
		},
		{
			"types", `workflow:
  name: w
  inputs:
    a: strng
    b: {type: list<>}
    c: {description: no type}
  nodes: [{id: n, command: [x], outputs: {o: files}}]
`,
			[]string{"m.yaml:6:8: workflow.inputs.c.type: is missing"},
		},
		{
			"types again", `workflow:
  name: w
  inputs:
    a: strng
    b: {type: list<>}
  nodes: [{id: n, command: [x], outputs: {o: files}}]
`,
			[]string{
				`m.yaml:4:8: workflow.inputs.a: "strng" is no type`,
				`m.yaml:5:15: workflow.inputs.b.type: "" is no type`,
				`m.yaml:6:46: workflow.nodes[0].outputs.o: "files" is no type`,
			},
		},
		{
			"promises", `workflow:
  name: w
  inputs: {city: string}
  nodes:
    - id: a
      command: [x, "{{.inputs.ctiy}}"]
      inputs:
        city: ${inputs.ctiy}
        b: ${nodes.bb.o}
        c: ${nodes.b.p}
        d: in ${inputs.city}
        e: ${city}
        f: [1, x]
        g: []
    - id: b
      command: [x]
      outputs: {o: integer}
      after: [aa]
  outputs: {city: "${inputs.cities}"}
`,
			[]string{
				`m.yaml:6:20: workflow.nodes[0].command[1]: {{.inputs.ctiy}} is no input of the node; did you mean city?`,
				`m.yaml:8:15: workflow.nodes[0].inputs.city: the workflow has no input "ctiy"; did you mean city?`,
				`m.yaml:9:12: workflow.nodes[0].inputs.b: there is no node "bb"; did you mean b?`,
				`m.yaml:10:12: workflow.nodes[0].inputs.c: node b has no output "p"; did you mean o?`,
				`m.yaml:11:12: workflow.nodes[0].inputs.d: "in ${inputs.city}": a promise is the whole value, as in ${inputs.city}; `,
				`m.yaml:12:12: workflow.nodes[0].inputs.e: "city": a promise is ${inputs.NAME} or ${nodes.ID.NAME}`,
				`m.yaml:13:16: workflow.nodes[0].inputs.f[1]: is string, and the items before are integer; a list holds one type`,
				`m.yaml:14:12: workflow.nodes[0].inputs.g: an empty list has no type; take it from an input of the workflow`,
				`m.yaml:18:15: workflow.nodes[1].after[0]: there is no node "aa"; did you mean a?`,
				`m.yaml:19:19: workflow.outputs.city: the workflow has no input "cities"; did you mean city?`,
			},
		},
		{
			"cycle", `workflow:
  name: w
  nodes:
    - {id: a, command: [x], after: [b]}
    - {id: b, command: [x], after: [a]}
`,
			[]string{`m.yaml:4:7: workflow.nodes[0]: nodes wait for each other in a cycle: a → b → a`},
		},
		{
			"same id", `workflow:
  name: w
  nodes:
    - {id: a, command: [x]}
    - {id: a, command: [y]}
`,
			[]string{`m.yaml:5:12: workflow.nodes[1].id: "a" is the id of workflow.nodes[0] already`},
		},
		{
			"inputs of the launch plan", `launchPlan: l
schedule: {rate: 1 minute, kickoffTimeInput: cty}
fixedInputs:
  city: Berlin
  days: many
  data: nowhere.csv
defaultInputs:
  city: Bonn
  ctiy: Bonn
workflow:
  inputs: {city: string, days: integer, data: file, kickoff: datetime}
  nodes: [{id: n, command: [x]}]
`,
			[]string{
				`m.yaml:5:9: fixedInputs.days: want integer, got "many"`,
				`m.yaml:6:9: fixedInputs.data: read file: stat `,
				`m.yaml:8:9: defaultInputs.city: is among fixedInputs as well; keep one of them`,
				`m.yaml:9:9: defaultInputs.ctiy: the workflow has no input "ctiy"; did you mean city?`,
			},
		},
		{
			"kickoff input", `launchPlan: l
schedule:
  rate: 1 minute
  kickoffTimeInput: kickof
workflow:
  inputs: {kickoff: datetime}
  nodes: [{id: n, command: [x]}]
`,
			[]string{`m.yaml:4:21: schedule.kickoffTimeInput: the workflow has no input "kickof"; did you mean "kickoff"?`},
		},
		{
			"open input", `launchPlan: l
schedule: {rate: 1 minute}
workflow:
  inputs: {city: string}
  nodes: [{id: n, command: [x]}]
`,
			[]string{`m.yaml:1:1: defaultInputs.city: a launch plan with a schedule must give every input a default or a fixed value; without one: city`},
		},
		{
			"no names", "workflow: {nodes: [{id: a, command: [x]}]}\n",
			[]string{"m.yaml:1:11: workflow.name: is missing; a document names a launchPlan, a workflow or both"},
		},
		{
			"names", "launchPlan: a/b\nproject: a b\nversion: v/1\nworkflow: {nodes: [{id: a, command: [x]}]}\n",
			[]string{
				`m.yaml:1:13: launchPlan: "a/b": character '/' is not allowed`,
				`m.yaml:2:10: project: "a b": character ' ' is not allowed`,
				`m.yaml:3:10: version: "v/1": character '/' is not allowed`,
			},
		},
		{
			"belongs to a launch plan", "workflow: {name: w, nodes: [{id: a, command: [x]}]}\nschedule: {rate: 1 minute}\n",
			[]string{"m.yaml:2:11: schedule: belongs to a launch plan; name one with launchPlan"},
		},
		{
			"two expressions", strings.Replace(small, "workflow:", "  rate: 1 minute\nworkflow:", 1),
			[]string{"m.yaml:4:9: schedule.rate: is one way to say when, and schedule.cron another; keep one of them"},
		},
		{
			"no expression", strings.Replace(small, "cron: 0 10 * * ? *", "jitter: 1s", 1),
			[]string{"m.yaml:3:3: schedule.cron: is missing; say when with cron or rate"},
		},
		{
			"registered workflow without a version", "launchPlan: l\nworkflow: {name: w}\n",
			[]string{"m.yaml:2:11: workflow: w: no document here defines it; give the version of a registered one"},
		},
		{
			"node id and timeout", `workflow:
  name: w
  nodes: [{id: "a b", command: [x]}, {id: b, command: [x], timeout: 5, retries: -1}]
`,
			[]string{"m.yaml:3:81: workflow.nodes[1].retries: is -1; 0 is the least"},
		},
		{
			"node id", `workflow:
  name: w
  nodes: [{id: "-", command: [x]}]
`,
			[]string{`m.yaml:3:16: workflow.nodes[0].id: "-": use a letter or digit`},
		},
		{
			"tag", "launchPlan: l\nfixedInputs: {a: !secret x}\nworkflow: {name: w}\n",
			[]string{"m.yaml:2:18: fixedInputs.a: the tag !secret is not taken"},
		},
		{
			"cyclic alias", "launchPlan: l\nfixedInputs: {a: &a [*a]}\nworkflow: {name: w}\n",
			[]string{"m.yaml:2:18: fixedInputs.a: is nested too deeply; 64 levels are the most"},
		},
		{
			"values", `workflow:
  name: w
  nodes:
    - id: a
      command: [x]
      inputs: {a: {}, b: {x: 1, y: z}, c: ~, d: [[1], []]}
`,
			[]string{
				"m.yaml:6:19: workflow.nodes[0].inputs.a: an empty map has no type; take it from an input of the workflow",
				"m.yaml:6:36: workflow.nodes[0].inputs.b.y: is string, and the values before are integer; a map holds one type",
				"m.yaml:6:43: workflow.nodes[0].inputs.c: is empty; leave the key out, or give it a value",
				"m.yaml:6:55: workflow.nodes[0].inputs.d[1]: an empty list has no type; take it from an input of the workflow",
			},
		},
		{
			"files", `launchPlan: l
fixedInputs: {folder: here, files: [nowhere], data: .}
workflow:
  inputs: {folder: directory, files: list<file>, data: file}
  nodes: [{id: a, command: [x]}]
`,
			[]string{
				"m.yaml:2:23: fixedInputs.folder: a directory cannot be shipped with a manifest; give the address of one, or its files one by one",
				"m.yaml:2:36: fixedInputs.files: read file: stat ",
				"m.yaml:2:53: fixedInputs.data: ",
			},
		},
		{
			"long key", "launchPlan: l\nenvs:\n  " + strings.Repeat("A", 257) + ": x\nworkflow: {name: w}\n",
			[]string{"m.yaml:3:3: envs: a key is 257 bytes long; 256 is the most"},
		},
		{"nothing", "# nothing\n---\n", []string{"m.yaml: there is nothing in it"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := compiled(t, test.text).err
			if err == nil {
				t.Fatal("no problem was found")
			}
			got := strings.Split(err.Error(), "\n")
			if len(got) != len(test.want) {
				t.Fatalf("problems:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(test.want, "\n"))
			}
			for i, want := range test.want {
				if !strings.HasPrefix(got[i], want) {
					t.Errorf("problem %d\n got %s\nwant %s", i, got[i], want)
				}
			}
		})
	}
}

func TestDifferentDocumentsAreReportedTogether(t *testing.T) {
	err := decode("lanchPlan: a\nworkflow: {}\n---\nlaunchPlan: b\nworkfow: {}\n")
	want := `m.yaml:1:1: lanchPlan: unknown key; did you mean launchPlan?
m.yaml:4:1: workflow: is missing
m.yaml:5:1: workfow: unknown key; did you mean workflow?`
	if err == nil || err.Error() != want {
		t.Errorf("got %v\nwant %s", err, want)
	}
}

func TestManifestsAreBounded(t *testing.T) {
	for name, test := range map[string]struct{ text, want string }{
		"bytes":     {strings.Repeat("#", maxSize+1), "m.yaml: is larger than 4 MiB"},
		"documents": {strings.Repeat("---\n"+small, maxDocuments+1), "m.yaml:8001:1: holds more than 1000 documents"},
		"depth":     {strings.Repeat("[", 20_000), "m.yaml:1:10001: while increasing flow level: exceeded max depth of 10000"},
	} {
		if err := decode(test.text); err == nil || err.Error() != test.want {
			t.Errorf("%s: got %v, want %s", name, err, test.want)
		}
	}
}

func TestAliasesAreBounded(t *testing.T) {
	var b strings.Builder
	b.WriteString("launchPlan: l\nworkflow: {name: w}\nfixedInputs:\n  a00: &a00 [x]\n")
	for i := 1; i < 20; i++ {
		n := strings.TrimSuffix(strings.Repeat("*a"+itoa(i-1)+", ", 10), ", ")
		b.WriteString("  a" + itoa(i) + ": &a" + itoa(i) + " [" + n + "]\n")
	}
	err := decode(b.String())
	if err == nil || !strings.Contains(err.Error(), "the manifest is too large: aliases count as often as they are used") {
		t.Errorf("got %v", err)
	}
	if len(b.String()) > 3000 {
		t.Errorf("the manifest has %d bytes; it is meant to be small", len(b.String()))
	}
}

func itoa(i int) string { return string(rune('0'+i/10)) + string(rune('0'+i%10)) }

func FuzzParse(f *testing.F) {
	f.Add([]byte(small))
	f.Add([]byte("a: &a [*a]\n<<: {b: 1}\n? [x]\n: y\n---\n- !!int x\n"))
	f.Add([]byte("launchPlan: 1.10\nactive: yes\nfixedInputs: {a: [1, 2.5, {b: ~}]}\nworkflow: {inputs: {a: {type: map<list<string>>}}}\n"))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte) {
		s := &set{o: Options{Project: "default", Domain: "development"}, locate: locate}
		s.content("m.yaml", dir, data)
		s.resolve(func(ident.ID) (*core.TypedInterface, error) { return &core.TypedInterface{}, nil })
		for _, u := range s.units {
			if u.err == nil && len(u.messages()) == 0 {
				t.Error("neither an error nor anything to register")
			}
			if problems, ok := errors.AsType[ProblemsError](u.err); ok {
				for _, p := range problems {
					if p.File == "" || p.Message == "" || p.Line < 0 || (p.Line > 0) != (p.Column > 0) {
						t.Errorf("incomplete problem %+v", p)
					}
				}
			}
		}
	})
}

func TestKeysAndAnnotationsAreSpelledBothWays(t *testing.T) {
	for key, annotation := range map[string]string{
		"timezone": "timezone", "dstGap": "dst-gap", "catchUpWindow": "catch-up-window", "pauseOnFailure": "pause-on-failure",
	} {
		if diff := cmp.Diff([]string{annotation, key}, []string{kebab(key), camel(annotation)}); diff != "" {
			t.Error(diff)
		}
	}
}
