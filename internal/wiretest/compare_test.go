package wiretest

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/reflect/protoreflect"
)

const plans = `
syntax = "proto3";
package test;
import "google/api/annotations.proto";
message Plan {
  reserved 9;
  string name = 1;
  repeated int32 sizes = 2;
  map<string, Plan> parts = 3;
  oneof schedule {
    string cron = 4 [deprecated = true];
    Rate rate = 5;
  }
  message Rate { Unit unit = 1; }
}
enum Unit {
  reserved 7;
  MINUTE = 0;
  HOUR = 1;
}
service Plans {
  rpc Get(Plan) returns (Plan) {
    option (google.api.http) = {
      get: "/plans/{name}"
      additional_bindings { get: "/all/{name}" }
    };
  }
  rpc Put(Plan) returns (Plan);
}
`

// Each row edits a copy of the same file: what Compare must say, and nothing else.
func TestCompare(t *testing.T) {
	tests := []struct {
		name     string
		old, new string
		want     []string
	}{
		{"equal", "", "", nil},
		{
			"wrong number", "string name = 1", "string name = 6",
			[]string{"test.Plan.name: number is 6, in the reference 1"},
		},
		{
			"numbers swapped", "MINUTE = 0;\n  HOUR = 1;", "HOUR = 0;\n  MINUTE = 1;",
			[]string{"test.HOUR: number is 0, in the reference 1", "test.MINUTE: number is 1, in the reference 0"},
		},
		{
			"wrong scalar", "string name", "bytes name",
			[]string{"test.Plan.name: type is bytes, in the reference string"},
		},
		{
			"wrong message", "Rate rate", "Plan rate",
			[]string{"test.Plan.rate: type is test.Plan, in the reference test.Plan.Rate"},
		},
		{
			"wrong map value", "map<string, Plan>", "map<string, Rate>",
			[]string{
				"test.Plan.parts: type is map<string, test.Plan.Rate>, in the reference map<string, test.Plan>",
				"test.Plan.PartsEntry.value: type is test.Plan.Rate, in the reference test.Plan",
			},
		},
		{
			"not repeated", "repeated int32 sizes", "int32 sizes",
			[]string{
				"test.Plan.sizes: type is int32, in the reference repeated int32",
				"test.Plan.sizes: packed is false, in the reference true",
			},
		},
		{
			"not packed", "sizes = 2", "sizes = 2 [packed = false]",
			[]string{"test.Plan.sizes: packed is false, in the reference true"},
		},
		{
			"optional", "string name", "optional string name",
			[]string{
				"test.Plan.name: oneof is _name, in the reference absent",
				"test.Plan.name: presence is true, in the reference false",
			},
		},
		{
			"out of the oneof", "oneof schedule {\n    string cron = 4 [deprecated = true];", "string cron = 4 [deprecated = true];\n  oneof schedule {",
			[]string{
				"test.Plan.cron: oneof is absent, in the reference schedule",
				"test.Plan.cron: presence is false, in the reference true",
			},
		},
		{
			"oneof renamed", "oneof schedule", "oneof when",
			[]string{"test.Plan.cron: oneof is when, in the reference schedule", "test.Plan.rate: oneof is when, in the reference schedule"},
		},
		{
			"field renamed", "string name", "string title",
			[]string{"test.Plan.title: name of number 1 is title, in the reference name"},
		},
		{
			"JSON name", "string name = 1", `string name = 1 [json_name = "Name"]`,
			[]string{"test.Plan.name: JSON name is Name, in the reference name"},
		},
		{
			"field missing", "string name = 1;", "",
			[]string{"test.Plan.name: declaration is absent, in the reference present"},
		},
		{
			"field invented", "string name = 1;", "string name = 1; string nick = 8;",
			[]string{"test.Plan.nick: declaration is present, in the reference absent"},
		},
		{
			"no longer deprecated", " [deprecated = true]", "",
			[]string{"test.Plan.cron: deprecated is false, in the reference true"},
		},
		{
			"number no longer reserved", "reserved 9;", "",
			[]string{"test.Plan: reserved numbers is absent, in the reference 9"},
		},
		{
			"message renamed", "message Rate { Unit unit = 1; }", "message Pace { Unit unit = 1; }\n message Rate {}",
			[]string{
				"test.Plan.Pace: declaration is present, in the reference absent",
				"test.Plan.Rate.unit: declaration is absent, in the reference present",
			},
		},
		{
			"enum instead of message", "message Rate { Unit unit = 1; }", "enum Rate { NEVER = 0; }",
			[]string{"test.Plan.Rate: declaration is present, in the reference absent"},
		},
		{
			"value renamed", "HOUR = 1", "HOURS = 1",
			[]string{"test.HOURS: name of number 1 is HOURS, in the reference HOUR"},
		},
		{
			"value missing", "HOUR = 1;", "",
			[]string{"test.HOUR: declaration is absent, in the reference present"},
		},
		{
			"value invented", "HOUR = 1;", "HOUR = 1; DAY = 2;",
			[]string{"test.DAY: declaration is present, in the reference absent"},
		},
		{
			"value no longer reserved", "reserved 7;", "",
			[]string{"test.Unit: reserved numbers is absent, in the reference 7"},
		},
		{
			"wrong request", "Put(Plan)", "Put(Plan.Rate)",
			[]string{"test.Plans.Put: request is test.Plan.Rate, in the reference test.Plan"},
		},
		{
			"wrong response", "Put(Plan) returns (Plan)", "Put(Plan) returns (stream Plan)",
			[]string{"test.Plans.Put: response is stream test.Plan, in the reference test.Plan"},
		},
		{
			"method renamed", "rpc Put", "rpc Post",
			[]string{"test.Plans.Post: declaration is present, in the reference absent"},
		},
		{"method left out", "rpc Put(Plan) returns (Plan);", "", nil},
		{"service left out", plans[strings.Index(plans, "service"):], "", nil},
	}
	reference, err := compile(t.Context(), map[string]string{"plans.proto": plans})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if !strings.Contains(plans, tt.old) {
				t.Fatalf("the file does not contain %q", tt.old)
			}
			edited, err := compile(t.Context(), map[string]string{"plans.proto": strings.Replace(plans, tt.old, tt.new, 1)})
			if err != nil {
				t.Fatal(err)
			}
			file, err := edited.FindFileByPath("plans.proto")
			if err != nil {
				t.Fatal(err)
			}
			differences, err := Compare([]protoreflect.FileDescriptor{file}, reference)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, lines(differences)); diff != "" {
				t.Errorf("Compare (-want +got):\n%s", diff)
			}
		})
	}
}

func TestCompareHTTPRules(t *testing.T) {
	tests := []struct{ name, old, new string }{
		{"path", "/plans/{name}", "/plan/{name}"},
		{"verb", `get: "/plans/{name}"`, `post: "/plans/{name}"`},
		{"body", `get: "/plans/{name}"`, `get: "/plans/{name}" body: "*"`},
		{"additional path", "/all/{name}", "/any/{name}"},
		{"missing", plans[strings.Index(plans, "    option (google") : strings.Index(plans, "    };")+7], ""},
	}
	reference, err := compile(t.Context(), map[string]string{"plans.proto": plans})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			edited, err := compile(t.Context(), map[string]string{"plans.proto": strings.Replace(plans, tt.old, tt.new, 1)})
			if err != nil {
				t.Fatal(err)
			}
			file, err := edited.FindFileByPath("plans.proto")
			if err != nil {
				t.Fatal(err)
			}
			differences, err := Compare([]protoreflect.FileDescriptor{file}, reference)
			if err != nil {
				t.Fatal(err)
			}
			if len(differences) != 1 || differences[0].Name != "test.Plans.Get" || differences[0].Aspect != "HTTP rule" {
				t.Errorf("Compare = %q, want the HTTP rule of test.Plans.Get", lines(differences))
			}
		})
	}
}

func TestCompareWrongFile(t *testing.T) {
	reference, err := compile(t.Context(), map[string]string{"plans.proto": plans})
	if err != nil {
		t.Fatal(err)
	}
	moved, err := compile(t.Context(), map[string]string{"moved.proto": "syntax = \"proto3\";\npackage test;\nmessage Plan {}"})
	if err != nil {
		t.Fatal(err)
	}
	file, err := moved.FindFileByPath("moved.proto")
	if err != nil {
		t.Fatal(err)
	}
	differences, err := Compare([]protoreflect.FileDescriptor{file}, reference)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := lines(differences)[0], "test.Plan: file is moved.proto, in the reference plans.proto"; got != want {
		t.Errorf("Compare begins with %q, want %q", got, want)
	}
}

func lines(differences []Difference) []string {
	var s []string
	for _, d := range differences {
		s = append(s, d.String())
	}
	return s
}
