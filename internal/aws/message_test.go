package aws_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"tminus.dev/internal/aws"
	"tminus.dev/internal/aws/awstest"
	"tminus.dev/internal/ident"
)

func TestMain(m *testing.M) { awstest.Main(m) }

func key(project, domain, name string) ident.Key {
	return ident.Key{Project: project, Domain: domain, Name: name}
}

var nightly = key("flytesnacks", "development", "nightly-report")

func TestNamesAndPayloadsEqualFlytes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		plan          ident.Key
		hash, payload string
	}{
		{nightly, "863337312034735171", "CgtmbHl0ZXNuYWNrcxILZGV2ZWxvcG1lbnQaDm5pZ2h0bHktcmVwb3J0"},
		{key("p", "d", "n"), "4437059696971630725", "CgFwEgFkGgFu"},
		{key("forecast", "production", "app.workflows.train"), "14414592155564916726", "Cghmb3JlY2FzdBIKcHJvZHVjdGlvbhoTYXBwLndvcmtmbG93cy50cmFpbg=="},
	} {
		if got := aws.RuleName("", c.plan); got != c.hash {
			t.Errorf("%s: the rule is %s, and Flyte's %s", c.plan, got, c.hash)
		}
		if got := aws.RuleName("flyte", c.plan); got != "flyte_"+c.hash {
			t.Errorf("%s: with a prefix the rule is %s", c.plan, got)
		}
		want := `{"time":<time>,"kickoff_time_arg":"kickoff","payload":"` + c.payload + `"}`
		if got, err := aws.Template(c.plan, "kickoff"); err != nil || got != want {
			t.Errorf("%s: the template is %s (%v), and Flyte's %s", c.plan, got, err, want)
		}
		body := strings.Replace(want, "<time>", `"2026-01-01T10:00:00Z"`, 1)
		plan, at, err := aws.Decode([]byte(body))
		if err != nil || plan != c.plan || !at.Equal(time.Date(2026, 1, 1, 10, 0, 0, 0, time.UTC)) {
			t.Errorf("%s is read as %s at %s (%v)", body, plan, at, err)
		}
	}
	if got, want := aws.Description(nightly), "Schedule for Project:flytesnacks Domain:development Name:nightly-report launch plan"; got != want {
		t.Errorf("the description is %q, and Flyte's %q", got, want)
	}
}

func TestKickoffArgumentsAreEscaped(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ arg, want string }{
		{"", `""`},
		{"kickoff_time", `"kickoff_time"`},
		{`say "when"`, `"say \"when\""`},
		{`back\slash`, `"back\\slash"`},
		{"<time>", `"\u003ctime\u003e"`},
		{"<aws.scheduler.scheduled-time>", `"\u003caws.scheduler.scheduled-time\u003e"`},
		{"zeit_für_🚀&", `"zeit_für_🚀&"`},
		{"two\nlines\t", `"two\nlines\t"`},
	} {
		template, err := aws.Template(nightly, c.arg)
		if err != nil {
			t.Fatal(err)
		}
		if want := `{"time":<time>,"kickoff_time_arg":` + c.want + `,"payload":"CgtmbHl0ZXNuYWNrcxILZGV2ZWxvcG1lbnQaDm5pZ2h0bHktcmVwb3J0"}`; template != want {
			t.Errorf("%q: the template is\n%s, want\n%s", c.arg, template, want)
		}
		input, err := aws.Input(nightly, c.arg)
		if err != nil {
			t.Fatal(err)
		}
		if want := `{"time":"<aws.scheduler.scheduled-time>","kickoff_time_arg":` + c.want + `,"payload":"CgtmbHl0ZXNuYWNrcxILZGV2ZWxvcG1lbnQaDm5pZ2h0bHktcmVwb3J0"}`; input != want {
			t.Errorf("%q: the input is\n%s, want\n%s", c.arg, input, want)
		}
		for _, r := range []awstest.Rule{{Template: template}, {Template: input}} {
			body := r.Body(time.Date(2026, 3, 29, 1, 30, 0, 0, time.UTC))
			var m struct {
				Arg string `json:"kickoff_time_arg"`
			}
			if err := json.Unmarshal([]byte(body), &m); err != nil || m.Arg != c.arg {
				t.Errorf("%q arrives as %q (%v)", c.arg, m.Arg, err)
			}
			if plan, at, err := aws.Decode([]byte(body)); err != nil || plan != nightly || at.Format(time.RFC3339) != "2026-03-29T01:30:00Z" {
				t.Errorf("%s is read as %s at %s (%v)", body, plan, at, err)
			}
		}
	}
}

func TestBadMessagesAreRefusedWithTheReason(t *testing.T) {
	t.Parallel()
	const payload = `"payload":"CgFwEgFkGgFu"`
	for _, c := range []struct{ name, body, want string }{
		{"nothing", ``, "no JSON object"},
		{"no JSON", `}{`, "no JSON object"},
		{"a list", `[]`, "no JSON object"},
		{"another type", `{"time":1,` + payload + `}`, "time: is a JSON number"},
		{"no payload", `{"time":"2026-01-01T10:00:00Z"}`, "payload: is missing"},
		{"no time", `{` + payload + `}`, "time: is missing"},
		{"no RFC 3339", `{"time":"2026-01-01 10:00",` + payload + `}`, `time: "2026-01-01 10:00" is no RFC 3339 time`},
		{"a time that was not replaced", `{"time":"<aws.scheduler.scheduled-time>",` + payload + `}`, "was not replaced"},
		{"a year of nobody", `{"time":"0001-01-01T10:00:00Z",` + payload + `}`, "no year of schedules"},
		{"no base64", `{"time":"2026-01-01T10:00:00Z","payload":"%%%"}`, "payload: is no base64"},
		{"no message", `{"time":"2026-01-01T10:00:00Z","payload":"/w=="}`, "payload: is no flyteidl.admin.NamedEntityIdentifier"},
		{"an empty name", `{"time":"2026-01-01T10:00:00Z","payload":""}`, "payload: names no launch plan: project"},
		{"an event as it is", `{"version":"0","id":"53dc4d37","detail-type":"Scheduled Event","source":"aws.events","time":"2015-10-08T16:53:06Z","resources":[],"detail":{}}`, "no input transformer"},
	} {
		plan, at, err := aws.Decode([]byte(c.body))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q in it", c.name, err, c.want)
		}
		if plan != (ident.Key{}) || !at.IsZero() {
			t.Errorf("%s: it is read as %s at %s", c.name, plan, at)
		}
	}
	if _, _, err := aws.Decode([]byte(`{"time":"2026-01-01T10:00:00+01:00","kickoff_time_arg":null,"more":{},` + payload + `}`)); err != nil {
		t.Errorf("what it need not know is refused: %v", err)
	}
}

func FuzzDecode(f *testing.F) {
	for _, arg := range []string{"", "kickoff", `"\`, "<time>"} {
		template, err := aws.Template(nightly, arg)
		if err != nil {
			f.Fatal(err)
		}
		f.Add([]byte(awstest.Rule{Template: template}.Body(time.Unix(1767225600, 0))))
	}
	f.Add([]byte(`{"time":"2026-01-01T10:00:00Z","payload":"/w=="}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		plan, at, err := aws.Decode(body)
		if err != nil {
			return
		}
		template, err := aws.Template(plan, "")
		if err != nil {
			t.Fatal(err)
		}
		again, then, err := aws.Decode([]byte(awstest.Rule{Template: template}.Body(at)))
		if err != nil || again != plan || !then.Equal(at.Truncate(time.Second)) {
			t.Fatalf("%s at %s comes back as %s at %s (%v)", plan, at, again, then, err)
		}
	})
}
