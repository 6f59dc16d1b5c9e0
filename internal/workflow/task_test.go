package workflow

import (
	"errors"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"tminus.dev/gen/flyteidl/core"
	"tminus.dev/internal/ident"
	"tminus.dev/internal/invalid"
)

func container(c *core.Container) *core.TaskTemplate {
	return &core.TaskTemplate{Type: "raw-container", Target: &core.TaskTemplate_Container{Container: c}}
}

func TestCompileTask(t *testing.T) {
	for name, sent := range map[string]*core.TaskTemplate{
		"a command":       container(&core.Container{Command: []string{"true"}}),
		"arguments alone": container(&core.Container{Image: "alpine", Args: []string{"pyflyte-execute"}}),
		"its own id":      {Id: Identifier(core.ResourceType_TASK, id("main")), Type: "x"},
		"no kind in the id": {
			Id: Identifier(core.ResourceType_UNSPECIFIED, id("main")), Type: "x",
			Metadata: &core.TaskMetadata{Timeout: durationpb.New(0), Retries: &core.RetryStrategy{Retries: 100}},
		},
		"a pod":       {Type: "sidecar", Target: &core.TaskTemplate_K8SPod{K8SPod: &core.K8SPod{}}},
		"SQL":         {Type: "hive", Target: &core.TaskTemplate_Sql{Sql: &core.Sql{}}},
		"a plugin's":  {Type: "bigquery_query_job_task"},
		"an empty id": {Type: "x", Id: &core.Identifier{}},
	} {
		untouched := proto.CloneOf(sent)
		c, err := CompileTask(id("main"), sent)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !proto.Equal(untouched, sent) {
			t.Errorf("%s: the client's message was changed", name)
		}
		if ID(c.GetTemplate().GetId()) != id("main") || c.GetTemplate().GetId().GetResourceType() != core.ResourceType_TASK {
			t.Errorf("%s: the id is %v", name, c.GetTemplate().GetId())
		}
		if c.GetTemplate().GetInterface() == nil {
			t.Errorf("%s: there is no interface", name)
		}
	}
}

func TestCompileTaskRefuses(t *testing.T) {
	metadata := func(m *core.TaskMetadata) *core.TaskTemplate { return &core.TaskTemplate{Type: "x", Metadata: m} }
	for _, c := range []struct {
		name string
		id   ident.ID
		sent *core.TaskTemplate
		want string
	}{
		{"nothing", id("main"), nil, "spec.template: is missing"},
		{"no name", id(""), container(nil), "id.name: is empty"},
		{"another id", id("main"), &core.TaskTemplate{Id: Identifier(core.ResourceType_TASK, id("other"))}, "spec.template.id: names p/d/other@v1, but the request registers p/d/main@v1"},
		{"a workflow's id", id("main"), &core.TaskTemplate{Id: Identifier(core.ResourceType_WORKFLOW, id("main"))}, "spec.template.id.resource_type: is WORKFLOW; it must be TASK"},
		{"no type", id("main"), &core.TaskTemplate{}, "spec.template.type: is empty; a command's is raw-container"},
		{"an input without a type", id("main"), &core.TaskTemplate{Type: "x", Interface: &core.TypedInterface{Inputs: &core.VariableMap{
			Variables: map[string]*core.Variable{"b": nil, "a": nil},
		}}}, "spec.template.interface.inputs.variables[a].type: no type is given"},
		{"nothing to run", id("main"), container(&core.Container{Image: "alpine"}), "spec.template.container.command: is empty, and so are the args; say what to run"},
		{"no container at all", id("main"), container(nil), "spec.template.container.command: is empty, and so are the args; say what to run"},
		{"a NUL", id("main"), container(&core.Container{Command: []string{"a"}, Args: []string{"b", "c\x00"}}), "spec.template.container.args[1]: holds a NUL byte, which no command line can"},
		{"no variable", id("main"), container(&core.Container{Command: []string{"a"}, Env: []*core.KeyValuePair{{Key: "A=B"}}}), `spec.template.container.env[0]: "A=B" is no environment variable`},
		{"a negative timeout", id("main"), metadata(&core.TaskMetadata{Timeout: durationpb.New(-1e9)}), "spec.template.metadata.timeout: -1s is negative"},
		{"a malformed timeout", id("main"), metadata(&core.TaskMetadata{Timeout: &durationpb.Duration{Seconds: 1, Nanos: -1}}), "spec.template.metadata.timeout: is longer than a year or malformed"},
		{"a long timeout", id("main"), metadata(&core.TaskMetadata{Timeout: &durationpb.Duration{Seconds: 1e9}}), "spec.template.metadata.timeout: is longer than a year or malformed"},
		{"many retries", id("main"), metadata(&core.TaskMetadata{Retries: &core.RetryStrategy{Retries: 1 << 31}}), "spec.template.metadata.retries: 2147483648 retries; 100 is the most"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := CompileTask(c.id, c.sent)
			wantInvalid(t, err, c.want)
		})
	}
}

func FuzzCompileTask(f *testing.F) {
	for _, m := range []proto.Message{
		container(&core.Container{Command: []string{"true"}, Env: []*core.KeyValuePair{{Key: "A", Value: "B"}}}),
		&core.TaskTemplate{Type: "x", Metadata: &core.TaskMetadata{Timeout: durationpb.New(1)}},
	} {
		b, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		sent := &core.TaskTemplate{}
		if proto.Unmarshal(b, sent) != nil {
			return
		}
		c, err := CompileTask(id("main"), sent)
		var bad *invalid.Error
		switch {
		case err != nil && !errors.As(err, &bad):
			t.Errorf("no *invalid.Error: %v", err)
		case err == nil:
			if again, err := CompileTask(id("main"), c.GetTemplate()); err != nil || !proto.Equal(c, again) {
				t.Errorf("what compiled does not compile again: %v", err)
			}
		}
	})
}
