package manifest

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"tminus.dev/gen/flyteidl/admin"
	"tminus.dev/internal/literal"
)

// everything has every key that a manifest can have.
const everything = `launchPlan: nightly-report
project: sales
domain: production
version: 1.10
description: What was sold, and where
active: false
schedule:
  cron: "0 10 * * ? *"
  kickoffTimeInput: kickoff_time
  timezone: Europe/Berlin
  dstGap: skip
  dstRepeat: first
  startAt: 2026-01-01T00:00:00Z
  endAt: 2096-01-01T00:00:00Z
  jitter: 30s
  catchUp: 3
  catchUpWindow: 6h
  catchUpOrder: newest
  overlap: skip
  buffer: 20
  launchDeadline: 15m
  lateAfter: 5m
  pauseOnFailure: 4
  maxRuns: 100
  exclude: ["* * 25 12 ? *", "* * ? * SUN *"]
  priority: -5
fixedInputs:
  rows: data.csv
  zip: 01234
defaultInputs:
  limit: 7
  cities: [Bonn, 1]
maxParallelism: 2
concurrencyPolicy: {max: 1}
labels: {team: sales}
annotations: {note: "1"}
envs: {LC_ALL: C, A: 1}
workflow:
  name: sold
  inputs:
    kickoff_time: datetime
    rows: file
    zip: string
    limit: {type: integer, description: How many at most}
    cities: list<string>
  onFailure: fail-after-executable-nodes-complete
  nodes:
    - id: count
      command: [sh, -c, 'wc -l < "$1" > "$TMINUS_OUTPUT_DIR/count"', count, "{{.inputs.rows}}", "{{.inputs.price}}"]
      image: docker.io/library/alpine:3
      env: {TZ: UTC}
      inputs:
        rows: ${inputs.rows}
        both: [x, "${inputs.zip}"]
        named: {a: 1, b: "${inputs.limit}"}
        price: $${5}
      outputs: {count: integer}
      retries: 2
      timeout: 5m
    - id: tell
      command: [echo]
      inputs: {count: "${nodes.count.count}"}
    - id: last
      command: [echo]
      after: [tell]
  outputs:
    total: ${nodes.count.count}
    constant: 1.5
`

func TestManifestBecomesWhatClientsSend(t *testing.T) {
	u := compiled(t, everything)
	if u.err != nil {
		t.Fatal(u.err)
	}
	if diff := cmp.Diff(1, len(u.uploads)); diff != "" {
		t.Fatalf("uploads: %s", diff)
	}
	p := u.plans[0]
	if p.activation != deactivate || p.description != "What was sold, and where" {
		t.Errorf("activation %v, description %q", p.activation, p.description)
	}
	same(t, p.LaunchPlanCreateRequest, &admin.LaunchPlanCreateRequest{}, `
id { resource_type: LAUNCH_PLAN project: "sales" domain: "production" name: "nightly-report" version: "1.10" }
spec {
  workflow_id { resource_type: WORKFLOW project: "sales" domain: "production" name: "sold" version: "1.10" }
  entity_metadata { schedule { cron_schedule { schedule: "0 10 * * ? *" } kickoff_time_input_arg: "kickoff_time" } }
  default_inputs {
    parameters { key: "limit" value {
      var { type { simple: INTEGER } description: "How many at most" }
      default { scalar { primitive { integer: 7 } } }
    } }
    parameters { key: "cities" value {
      var { type { collection_type { simple: STRING } } }
      default { collection {
        literals { scalar { primitive { string_value: "Bonn" } } }
        literals { scalar { primitive { string_value: "1" } } }
      } }
    } }
  }
  fixed_inputs {
    literals { key: "zip" value { scalar { primitive { string_value: "01234" } } } }
    literals { key: "rows" value { scalar { blob { metadata { type {} } uri: "/uploads/sales/production/e5ebd4c02cefbe7955977c67ada242b7/data.csv" } } } }
  }
  labels { values { key: "team" value: "sales" } }
  annotations {
    values { key: "note" value: "1" }
    values { key: "tminus.dev/timezone" value: "Europe/Berlin" }
    values { key: "tminus.dev/dst-gap" value: "skip" }
    values { key: "tminus.dev/dst-repeat" value: "first" }
    values { key: "tminus.dev/start-at" value: "2026-01-01T00:00:00Z" }
    values { key: "tminus.dev/end-at" value: "2096-01-01T00:00:00Z" }
    values { key: "tminus.dev/jitter" value: "30s" }
    values { key: "tminus.dev/catch-up" value: "3" }
    values { key: "tminus.dev/catch-up-window" value: "6h" }
    values { key: "tminus.dev/catch-up-order" value: "newest" }
    values { key: "tminus.dev/overlap" value: "skip" }
    values { key: "tminus.dev/buffer" value: "20" }
    values { key: "tminus.dev/launch-deadline" value: "15m" }
    values { key: "tminus.dev/late-after" value: "5m" }
    values { key: "tminus.dev/pause-on-failure" value: "4" }
    values { key: "tminus.dev/max-runs" value: "100" }
    values { key: "tminus.dev/exclude-1" value: "* * 25 12 ? *" }
    values { key: "tminus.dev/exclude-2" value: "* * ? * SUN *" }
    values { key: "tminus.dev/priority" value: "-5" }
  }
  max_parallelism: 2
  envs { values { key: "A" value: "1" } values { key: "LC_ALL" value: "C" } }
  concurrency_policy { max: 1 behavior: CONCURRENCY_LIMIT_BEHAVIOR_SKIP }
}`)
	same(t, u.workflows[0], &admin.WorkflowCreateRequest{}, `
id { resource_type: WORKFLOW project: "sales" domain: "production" name: "sold" version: "1.10" }
spec { template {
  id { resource_type: WORKFLOW project: "sales" domain: "production" name: "sold" version: "1.10" }
  metadata { on_failure: FAIL_AFTER_EXECUTABLE_NODES_COMPLETE }
  metadata_defaults {}
  interface {
    inputs {
      variables { key: "kickoff_time" value { type { simple: DATETIME } } }
      variables { key: "rows" value { type { blob {} } } }
      variables { key: "zip" value { type { simple: STRING } } }
      variables { key: "limit" value { type { simple: INTEGER } description: "How many at most" } }
      variables { key: "cities" value { type { collection_type { simple: STRING } } } }
    }
    outputs {
      variables { key: "total" value { type { simple: INTEGER } } }
      variables { key: "constant" value { type { simple: FLOAT } } }
    }
  }
  nodes {
    id: "count"
    metadata { name: "count" }
    inputs { var: "both" binding { collection {
      bindings { scalar { primitive { string_value: "x" } } }
      bindings { promise { var: "zip" } }
    } } }
    inputs { var: "named" binding { map {
      bindings { key: "a" value { scalar { primitive { integer: 1 } } } }
      bindings { key: "b" value { promise { var: "limit" } } }
    } } }
    inputs { var: "price" binding { scalar { primitive { string_value: "${5}" } } } }
    inputs { var: "rows" binding { promise { var: "rows" } } }
    task_node { reference_id { resource_type: TASK project: "sales" domain: "production" name: "sold.count" version: "1.10" } }
  }
  nodes {
    id: "tell"
    metadata { name: "tell" }
    inputs { var: "count" binding { promise { node_id: "count" var: "count" } } }
    upstream_node_ids: "count"
    task_node { reference_id { resource_type: TASK project: "sales" domain: "production" name: "sold.tell" version: "1.10" } }
  }
  nodes {
    id: "last"
    metadata { name: "last" }
    upstream_node_ids: "tell"
    task_node { reference_id { resource_type: TASK project: "sales" domain: "production" name: "sold.last" version: "1.10" } }
  }
  outputs { var: "constant" binding { scalar { primitive { float_value: 1.5 } } } }
  outputs { var: "total" binding { promise { node_id: "count" var: "count" } } }
} }`)
	if len(u.tasks) != 3 {
		t.Fatalf("%d tasks, want 3", len(u.tasks))
	}
	same(t, u.tasks[0], &admin.TaskCreateRequest{}, `
id { resource_type: TASK project: "sales" domain: "production" name: "sold.count" version: "1.10" }
spec { template {
  id { resource_type: TASK project: "sales" domain: "production" name: "sold.count" version: "1.10" }
  type: "raw-container"
  metadata { runtime { flavor: "tminus" } timeout { seconds: 300 } retries { retries: 2 } }
  interface {
    inputs {
      variables { key: "rows" value { type { blob {} } } }
      variables { key: "both" value { type { collection_type { simple: STRING } } } }
      variables { key: "named" value { type { map_value_type { simple: INTEGER } } } }
      variables { key: "price" value { type { simple: STRING } } }
    }
    outputs { variables { key: "count" value { type { simple: INTEGER } } } }
  }
  container {
    image: "docker.io/library/alpine:3"
    command: "sh" command: "-c" command: "wc -l < \"$1\" > \"$TMINUS_OUTPUT_DIR/count\"" command: "count" command: "/var/inputs/rows" command: "{{.inputs.price}}"
    env { key: "TMINUS_INPUT_DIR" value: "/var/inputs" }
    env { key: "TMINUS_OUTPUT_DIR" value: "/var/outputs" }
    env { key: "TZ" value: "UTC" }
    data_config { enabled: true input_path: "/var/inputs" output_path: "/var/outputs" }
  }
} }`)
}

func same(t *testing.T, got, want proto.Message, text string) {
	t.Helper()
	if err := prototext.Unmarshal([]byte(text), want); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Errorf("%s differs (-want +got):\n%s", want.ProtoReflect().Descriptor().Name(), diff)
	}
}

func TestVersionIsAHashOfTheMeaning(t *testing.T) {
	version := func(text string) string {
		t.Helper()
		u := compiled(t, text)
		if u.err != nil {
			t.Fatal(u.err)
		}
		return u.plans[0].GetId().GetVersion()
	}
	first := version(small)
	if len(first) != versionLength {
		t.Errorf("version %q, want %d digits", first, versionLength)
	}
	for name, text := range map[string]string{
		"a comment":        "# hello\n" + small,
		"another order":    strings.Replace(small, "launchPlan: report\n", "", 1) + "launchPlan: report\n",
		"another style":    strings.Replace(small, "[echo, hello]", "\n        - 'echo'\n        - \"hello\"", 1),
		"an anchor":        strings.Replace(small, "echo, hello", "&e echo, hello", 1),
		"the state":        small + "active: false\n",
		"the description":  small + "description: d\n",
		"a default's name": small + "project: default\n",
	} {
		if got := version(text); got != first {
			t.Errorf("%s changes the version from %s to %s", name, first, got)
		}
	}
	for name, text := range map[string]string{
		"the command":  strings.Replace(small, "hello", "hullo", 1),
		"the schedule": strings.Replace(small, "10", "11", 1),
		"a policy":     strings.Replace(small, "workflow:", "  jitter: 1s\nworkflow:", 1),
		"a label":      small + "labels: {a: b}\n",
	} {
		if version(text) == first {
			t.Errorf("%s does not change the version", name)
		}
	}
}

func TestDocumentsShareAWorkflow(t *testing.T) {
	s := &set{o: Options{Project: "p", Domain: "d"}}
	s.content("m.yaml", ".", []byte(`launchPlan: hourly
workflow: {name: w}
schedule: {rate: 1 hour}
fixedInputs: {n: 5}
---
launchPlan: daily
workflow: {name: w, inputs: {n: integer}, nodes: [{id: a, command: [x]}]}
---
launchPlan: daily
workflow: {name: w}
---
workflow: {name: w, nodes: [{id: a, command: [x]}]}
`))
	s.resolve(nil)
	var got []string
	for _, u := range s.units {
		switch {
		case u.err != nil:
			got = append(got, u.err.Error())
		default:
			got = append(got, u.plans[0].GetId().GetName()+" launches "+u.plans[0].GetSpec().GetWorkflowId().GetName())
		}
	}
	want := []string{
		"hourly launches w",
		"daily launches w",
		"m.yaml:9:13: launchPlan: p/d/daily is defined in m.yaml:6:1 already",
		"m.yaml:12:11: workflow: p/d/w is defined in m.yaml:6:1 already",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	first, second := s.units[0].plans[0].GetSpec().GetWorkflowId(), s.units[1].workflows[0].GetId()
	if diff := cmp.Diff(second, first, protocmp.Transform()); diff != "" {
		t.Error(diff)
	}
}

func TestValuesOfEveryKind(t *testing.T) {
	u := compiled(t, `launchPlan: l
fixedInputs:
  files: [data.csv, s3://bucket/key]
  named: {a: ./data.csv}
  folder: s3://bucket/folder/
  anything: {list: [1, a, {deep: yes}], number: 2.5, flag: true, nothing: ~}
  day: 2026-01-31
  pause: 90s
  ratio: 1
  flag: false
  matrix: [[1, 2], [3]]
  words: {a: 01, b: 2026-01-31}
workflow:
  inputs:
    files: list<file>
    named: map<file>
    folder: directory
    anything: struct
    day: datetime
    pause: duration
    ratio: float
    flag: boolean
    matrix: list<list<integer>>
    words: map<string>
  nodes:
    - {id: n, command: [x], inputs: {flag: true, share: 0.5, big: 7}}
`)
	if u.err != nil {
		t.Fatal(u.err)
	}
	got := map[string]any{}
	for name, l := range u.plans[0].GetSpec().GetFixedInputs().GetLiterals() {
		got[name] = literal.ToValue(l)
	}
	const address = "/uploads/default/development/e5ebd4c02cefbe7955977c67ada242b7/data.csv"
	want := map[string]any{
		"files":    []any{address, "s3://bucket/key"},
		"named":    map[string]any{"a": address},
		"folder":   "s3://bucket/folder/",
		"anything": map[string]any{"list": []any{1.0, "a", map[string]any{"deep": "yes"}}, "number": 2.5, "flag": true, "nothing": nil},
		"day":      "2026-01-31T00:00:00Z",
		"pause":    "1m30s",
		"ratio":    1.0,
		"flag":     false,
		"matrix":   []any{[]any{int64(1), int64(2)}, []any{int64(3)}},
		"words":    map[string]any{"a": "01", "b": "2026-01-31"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	types := map[string]string{}
	for name, v := range u.tasks[0].GetSpec().GetTemplate().GetInterface().GetInputs().GetVariables() {
		types[name] = literal.TypeName(v.GetType())
	}
	if diff := cmp.Diff(map[string]string{"flag": "boolean", "share": "float", "big": "integer"}, types); diff != "" {
		t.Error(diff)
	}
}
