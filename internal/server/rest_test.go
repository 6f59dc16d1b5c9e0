package server_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"tminus.dev/gen/flyteidl/admin"
	"tminus.dev/internal/server"
)

func toJSON(t *testing.T, m proto.Message) string {
	t.Helper()
	b, err := protojson.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// lookup finds a value in decoded JSON by its path, such as closure.state.
func lookup(t *testing.T, body, path string) any {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(body), &v); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	for part := range strings.SplitSeq(path, ".") {
		switch c := v.(type) {
		case map[string]any:
			v = c[part]
		case []any:
			var i int
			if _, err := fmt.Sscan(part, &i); err != nil || i >= len(c) {
				return nil
			}
			v = c[i]
		default:
			return nil
		}
	}
	return v
}

// A whole life over REST, on Flyte's own paths.
func TestREST(t *testing.T) {
	t.Parallel()
	a := start(t)
	for _, step := range []struct {
		method, path, body string
		code               int
		field              string // of the answer, with the value below
		want               any
	}{
		{"POST", "/api/v1/tasks", toJSON(t, forecastTask()), 200, "", nil},
		{"POST", "/api/v1/tasks", toJSON(t, forecastTask()), 409, "code", 6.0},
		{"POST", "/api/v1/workflows", toJSON(t, reportWorkflow()), 200, "", nil},
		{"POST", "/api/v1/launch_plans", toJSON(t, dailyPlan()), 200, "", nil},
		{"GET", "/api/v1/tasks/weather/development/forecast/1", "", 200, "closure.compiled_task.template.type", "raw-container"},
		{"GET", "/api/v1/workflows/weather/development/report/1", "", 200, "closure.compiled_workflow.primary.template.id.name", "report"},
		{"GET", "/api/v1/launch_plans/weather/development/daily/1", "", 200, "closure.state", "INACTIVE"},
		{"PUT", "/api/v1/launch_plans/weather/development/daily/1", `{"state":"ACTIVE"}`, 200, "", nil},
		{"GET", "/api/v1/active_launch_plans/weather/development/daily", "", 200, "spec.entity_metadata.schedule.cron_schedule.schedule", "0 6 * * *"},
		{"GET", "/api/v1/active_launch_plans/weather/development", "", 200, "launch_plans.0.id.version", "1"},
		{"GET", "/api/v1/launch_plans/weather/development?limit=5&filters=eq(state,1)+ne(schedule_type,NONE)&sort_by.key=created_at", "", 200, "launch_plans.0.closure.state", "ACTIVE"},
		{"GET", "/api/v1/launch_plans/weather/development?filters=value_in(name,daily;weekly)", "", 200, "launch_plans.0.id.name", "daily"},
		{"GET", "/api/v1/launch_plans/weather/development?filters=eq(state,0)", "", 200, "launch_plans.0", nil},
		{"GET", "/api/v1/launch_plan_ids/weather/development", "", 200, "entities.0.name", "daily"},
		{"GET", "/api/v1/named_entities/LAUNCH_PLAN/weather/development/daily", "", 200, "metadata.state", "NAMED_ENTITY_ACTIVE"},
		{"POST", "/api/v1/executions", toJSON(t, launch(func(r *admin.ExecutionCreateRequest) { r.Name = "one" })), 200, "id.name", "one"},
		{"GET", "/api/v1/executions/weather/development/one", "", 200, "closure.phase", "QUEUED"},
		{"GET", "/api/v1/data/executions/weather/development/one", "", 200, "full_inputs.literals.city.scalar.primitive.string_value", "Oslo"},
		{"GET", "/api/v1/executions/weather/development", "", 200, "executions.0.id.name", "one"},
		{"DELETE", "/api/v1/executions/weather/development/one", `{"cause":"sunshine"}`, 200, "", nil},
		{"POST", "/api/v1/executions/relaunch", `{"id":{"project":"weather","domain":"development","name":"one"},"name":"two"}`, 200, "id.name", "two"},
		{"PUT", "/api/v1/executions/weather/development/one", `{"state":"EXECUTION_ARCHIVED"}`, 200, "", nil},
		{"GET", "/api/v1/projects", "", 200, "projects.0.domains.2.id", "production"},
		{"GET", "/api/v1/domains", "", 200, "domains.0.id", "development"},
		{"GET", "/api/v1/version", "", 200, "control_plane_version.Version", "v1.2.3"},
		{"GET", "/tminus/v1/schedules/weather/development/daily?next=2", "", 200, "schedule.timezone", "Europe/Oslo"},
		{"GET", "/tminus/v1/firings?project=weather", "", 200, "firings.0", nil},
		{"PUT", "/tminus/v1/calendars/closed", `{"dates":["2026-12-25","2026-12-24"],"reason":"Christmas"}`, 200, "calendar.dates.0", "2026-12-24"},
		{"PUT", "/tminus/v1/calendars/closed", `{"dates":["25.12.2026"]}`, 400, "details.0.field_violations.0.field", "dates"},
		{"GET", "/tminus/v1/calendars", "", 200, "calendars.0.last", "2026-12-25"},
		{"GET", "/tminus/v1/calendars/closed", "", 200, "calendar.reason", "Christmas"},
		{"DELETE", "/tminus/v1/calendars/closed", "", 200, "", nil},
		{"DELETE", "/tminus/v1/calendars/closed", "", 404, "message", `name: there is no calendar "closed"`},
		{"GET", "/tminus/v1/alerts?project=weather&filters=eq(kind,late)", "", 200, "alerts.0", nil},
		{"GET", "/tminus/v1/alerts?filters=eq(colour,red)", "", 400, "code", 3.0},
		{"POST", "/tminus/v1/alerts/test", "{}", 200, "channels.0", nil},
		{"GET", "/me", "", 200, "subject", ""},
		{"GET", "/config/v1/flyte_client", "", 501, "code", 12.0},
		{"GET", "/healthcheck", "", 200, "status", "ok"},
		{"GET", "/healthz", "", 200, "status", "ok"},
		{"GET", "/readyz", "", 200, "ready", true},

		// And what is wrong with a request, in JSON as well.
		{"GET", "/api/v1/launch_plans/weather/development/daily/9", "", 404, "message", "launch plan weather/development/daily@9 is not registered"},
		{"GET", "/api/v1/launch_plans/weather/development?limit=-1", "", 400, "code", 3.0},
		{"GET", "/api/v1/launch_plans/weather/development?limit=9999", "", 400, "details.0.field_violations.0.field", "limit"},
		{"GET", "/api/v1/launch_plans/weather/development?lmit=5", "", 400, "message", `query parameter "lmit": unknown to GET /api/v1/launch_plans/{id.project}/{id.domain}`},
		{"GET", "/api/v1/launch_plans/weather/development?sort_by.direktion=1", "", 400, "code", 3.0},
		{"PUT", "/api/v1/launch_plans/weather/development/daily/1?state=ACTIVE", "", 400, "code", 3.0}, // It belongs in the body.
		{"POST", "/api/v1/launch_plans", `{"id":{},"spec":{"workflow":1}}`, 400, "message", `body: (line 1:18): unknown field "workflow"`},
		{"POST", "/api/v1/launch_plans", `{"id":`, 400, "code", 3.0},
		{"POST", "/api/v1/launch_plans", `{"id":{}} {}`, 400, "code", 3.0},
		{"POST", "/api/v1/launch_plans", `[1]`, 400, "code", 3.0},
		{"POST", "/api/v1/launch_plans", ``, 400, "message", "id: is missing"},
		{"POST", "/api/v1/tasks", `{"id":{"name":"` + strings.Repeat("x", 17<<20) + `"}}`, 413, "code", 3.0},
		{"PATCH", "/api/v1/tasks", `{}`, 405, "code", 12.0},
		{"GET", "/api/v1/nothing", "", 404, "code", 5.0},
		{"GET", "/nothing", "", 404, "code", 5.0},
		{"GET", "/", "", 404, "code", 5.0},
	} {
		code, body, header := a.request(t, step.method, step.path, step.body)
		where := step.method + " " + step.path
		if code != step.code {
			t.Fatalf("%s: %d, want %d: %s", where, code, step.code, body)
		}
		if got := header.Get("Content-Type"); got != "application/json" {
			t.Errorf("%s: content type %q", where, got)
		}
		if step.field == "" {
			continue
		}
		if diff := cmp.Diff(step.want, lookup(t, body, step.field)); diff != "" {
			t.Errorf("%s: %s (-want +got):\n%s\n%s", where, step.field, diff, body)
		}
	}
	if diff := cmp.Diff([]string{"weather/development/one|sunshine|"}, a.runner.ended()); diff != "" {
		t.Errorf("ended (-want +got):\n%s", diff)
	}
}

// Who makes a browser send requests here from another site gets nothing.
func TestOtherSitesAreRefused(t *testing.T) {
	t.Parallel()
	open := start(t)
	for _, row := range []struct {
		name    string
		method  string
		headers []string
		code    int
	}{
		{"no browser", "GET", nil, 200},
		{"localhost", "GET", []string{"Host", "localhost:8088"}, 200},
		{"IPv6", "GET", []string{"Host", "[::1]:8088"}, 200},
		{"a name of loopback", "GET", []string{"Host", "tminus.localhost"}, 200},
		{"the same site", "GET", []string{"Host", "localhost:8088", "Origin", "http://localhost:8088"}, 200},
		{"a name pointed here", "GET", []string{"Host", "evil.example"}, 403},
		{"a name pointed here, with a port", "GET", []string{"Host", "evil.example:8088"}, 403},
		{"an address", "GET", []string{"Host", "192.0.2.1"}, 403},
		{"another site", "GET", []string{"Origin", "https://evil.example"}, 403},
		{"another port", "GET", []string{"Host", "localhost:8088", "Origin", "http://localhost:3000"}, 403},
		{"a sandboxed page", "GET", []string{"Origin", "null"}, 403},
		{"another site's form", "POST", []string{"Sec-Fetch-Site", "cross-site"}, 403},
		{"a sibling's form", "POST", []string{"Sec-Fetch-Site", "same-site"}, 403},
		{"another site's preflight", "OPTIONS", []string{"Origin", "https://evil.example", "Access-Control-Request-Method", "DELETE"}, 403},
	} {
		path := "/api/v1/version"
		if row.method == "POST" {
			path = "/api/v1/projects"
		}
		code, body, header := open.request(t, row.method, path, `{"project":{"id":"evil"}}`, row.headers...)
		if code != row.code {
			t.Errorf("%s: %d, want %d: %s", row.name, code, row.code, body)
		}
		if got := header.Get("Access-Control-Allow-Origin"); got != "" {
			t.Errorf("%s: allowed for %s", row.name, got)
		}
	}
	if n := open.counts(t)["projects"]; n != 1 {
		t.Errorf("%d projects", n)
	}
}

// flyteconsole asks for protobuf.
func TestProtobufOverREST(t *testing.T) {
	t.Parallel()
	a := start(t)
	code, body, header := a.request(t, "GET", "/api/v1/domains", "", "Accept", "application/octet-stream")
	got := &admin.GetDomainsResponse{}
	if err := proto.Unmarshal([]byte(body), got); err != nil || code != 200 || len(got.GetDomains()) != 3 {
		t.Errorf("%d %v: %v, %v", code, header, got, err)
	}
}

// REST and the warning of gRPC's metadata.
func TestWarningHeader(t *testing.T) {
	t.Parallel()
	a := start(t, func(c *server.Config) { c.Silent = func() string { return "nothing will fire: naïve" } })
	a.register(t)
	_, _, header := a.request(t, "PUT", "/api/v1/launch_plans/weather/development/daily/1", `{"state":"ACTIVE"}`)
	if got := header.Get("Tminus-Warning"); got != "nothing will fire: na?ve" {
		t.Errorf("Tminus-Warning: %q", got)
	}
}

// The text of some JSON errors was cut down to "body: (line".
func TestBadJSONIsExplained(t *testing.T) {
	t.Parallel()
	a := start(t)
	for _, row := range []struct{ name, body, want string }{
		{"truncated", `{"id":`, "body: unexpected EOF"},
		{"no colon", `{"id" {}}`, `body: syntax error (line 1:7): unexpected character {, missing ":" after field name`},
		{"bad escape", `{"id":{"name":"\q"}}`, `body: syntax error (line 1:15): invalid escape code "\\q" in string`},
		{"unknown field", `{"of":1}`, `body: (line 1:2): unknown field "of"`},
	} {
		code, body, _ := a.request(t, "POST", "/api/v1/launch_plans", row.body)
		if got := lookup(t, body, "message"); code != 400 || got != row.want {
			t.Errorf("%s: %d %q, want %q", row.name, code, got, row.want)
		}
	}
}
