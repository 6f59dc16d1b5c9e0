package launchplan

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"tminus.dev/gen/flyteidl/admin"
	"tminus.dev/gen/flyteidl/core"
)

func TestDiff(t *testing.T) {
	task := func(args ...string) *admin.TaskSpec {
		return &admin.TaskSpec{Template: &core.TaskTemplate{Target: &core.TaskTemplate_Container{
			Container: &core.Container{Args: args},
		}}}
	}
	labels := func(kv ...string) *admin.LaunchPlanSpec {
		m := map[string]string{}
		for i := 0; i < len(kv); i += 2 {
			m[kv[i]] = kv[i+1]
		}
		return &admin.LaunchPlanSpec{Labels: &admin.Labels{Values: m}}
	}
	unknown := manual(t)
	unknown.ProtoReflect().SetUnknown([]byte{0xc0, 0x3e, 0x01})
	fixed := manual(t)
	fixed.FixedInputs.Literals["city"] = lit(t, "string", "Bonn")
	for _, c := range []struct {
		name string
		a, b proto.Message
		want string
	}{
		{"the same", manual(t), manual(t), ""},
		{"an element", task("a", "b"), task("a", "c"), `template.container.args[1]: registered "b", sent "c"`},
		{"an element more", task("a"), task("a", "c"), `template.container.args[1]: registered nothing, sent "c"`},
		{"an element less", task("a", "b"), task("a"), `template.container.args[1]: registered "b", sent nothing`},
		{"no elements", task("a", "b"), task(), `template.container.args: registered 2 entries, sent nothing`},
		{"an entry", labels("k", "1"), labels("k", "2"), `labels.values[k]: registered "1", sent "2"`},
		{"an entry more", labels("k", "1"), labels("j", "0", "k", "2"), `labels.values[j]: registered nothing, sent "0"`},
		{"an entry less", labels("k", "1", "l", "2"), labels("k", "1"), `labels.values[l]: registered "2", sent nothing`},
		{"the first entry", &admin.LaunchPlanSpec{}, labels("k", "1"), `labels: registered nothing, sent {values:{key:"k" value:"1"}}`},
		{"a number", &admin.LaunchPlanSpec{MaxParallelism: 1}, &admin.LaunchPlanSpec{MaxParallelism: 2}, "max_parallelism: registered 1, sent 2"},
		{"a number that is zero", &admin.LaunchPlanSpec{MaxParallelism: 1}, &admin.LaunchPlanSpec{}, "max_parallelism: registered 1, sent 0"},
		{"an enum", timed(t, rate(1, 0)), timed(t, rate(1, 2)), "entity_metadata.schedule.rate.unit: registered MINUTE, sent DAY"},
		{"another kind of schedule", timed(t, cronSchedule("@daily")), timed(t, rate(1, 2)), "entity_metadata.schedule.rate: registered nothing, sent {value:1 unit:DAY}"},
		{"another schedule", timed(t, cronSchedule("@daily")), timed(t, cronSchedule("@hourly")), `entity_metadata.schedule.cron_schedule.schedule: registered "@daily", sent "@hourly"`},
		{"a value", manual(t), fixed, `fixed_inputs.literals[city].scalar.primitive.string_value: registered "Berlin", sent "Bonn"`},
		{"an unknown field", manual(t), unknown, "the message: differs in fields that are unknown here"},
		{"bytes", binary("a"), binary("bc"), "value: registered 1 byte, sent 2 bytes"},
		{"another message", manual(t), task(), "registered a LaunchPlanSpec, sent a TaskSpec"},
		{"a long value", task(strings.Repeat("ä", 100)), task("b"), `template.container.args[0]: registered "` + strings.Repeat("ä", 39) + `…, sent "b"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := Diff(c.a, c.b); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func binary(s string) *core.Binary { return &core.Binary{Value: []byte(s)} }

// Diff finds a difference exactly where proto.Equal does, whatever the messages hold.
func TestDiffAgreesWithEqual(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := func(label string) *admin.LaunchPlanSpec {
			s := &admin.LaunchPlanSpec{}
			// Bytes drawn over few values decode often, and often to the same.
			b := rapid.SliceOfN(rapid.SampledFrom([]byte{0x0a, 0x02, 0x00, 0x12, 0x1a, 0x32, 0x08, 0x01, 0x04}), 0, 12).Draw(t, label)
			if proto.Unmarshal(b, s) != nil {
				s.Reset()
			}
			return s
		}
		a, b := draw("a"), draw("b")
		if equal, diff := proto.Equal(a, b), Diff(a, b); equal != (diff == "") {
			t.Fatalf("equal is %v and the difference %q", equal, diff)
		}
	})
}
