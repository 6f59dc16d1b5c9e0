package cli_test

import (
	"bufio"
	"context"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"tminus.dev/internal/cli"
)

func TestCron(t *testing.T) {
	for _, test := range []struct {
		name string
		args []string
		want result
	}{
		{
			"next",
			[]string{"cron", "next", "0 10 * * ? *", "--from", "2026-01-01T00:00:00Z", "-n", "2"},
			result{out: "2026-01-01T10:00:00Z\n2026-01-02T10:00:00Z\n"},
		},
		{
			"next as JSON",
			[]string{"cron", "next", "0 9 * * MON-FRI", "--from", "2026-01-02T00:00:00Z", "-n", "2", "-o", "json"},
			result{out: "{\n  \"times\": [\n    \"2026-01-02T09:00:00Z\",\n    \"2026-01-05T09:00:00Z\"\n  ]\n}\n"},
		},
		{
			"next as YAML",
			[]string{"cron", "next", "@daily", "--from", "2026-01-02T00:00:00Z", "-n", "1", "-o", "yaml"},
			result{out: "times:\n- '2026-01-03T00:00:00Z'\n"},
		},
		{
			"a zone, over the change of clocks",
			[]string{"cron", "next", "30 1 * * ? *", "--from", "2026-03-28T00:00:00Z", "-n", "2", "--timezone", "Europe/Berlin"},
			result{out: "2026-03-28T01:30:00+01:00\n2026-03-29T01:30:00+01:00\n"},
		},
		{
			"a rate counts from --from",
			[]string{"cron", "next", "rate(90 minutes)", "--from", "2026-01-01T00:10:00Z", "-n", "2"},
			result{out: "2026-01-01T01:40:00Z\n2026-01-01T03:10:00Z\n"},
		},
		{
			"no more slots",
			[]string{"cron", "next", "0 0 1 1 ? 2025", "--from", "2026-01-01T00:00:00Z"},
			result{code: cli.ExitFailed, err: "tminus: 0 0 1 1 ? 2025 has no slot after 2026-01-01T00:00:00Z\n"},
		},
		{
			"no more slots as JSON",
			[]string{"cron", "next", "0 0 1 1 ? 2025", "--from", "2026-01-01T00:00:00Z", "-o", "json"},
			result{code: cli.ExitFailed, err: "tminus: 0 0 1 1 ? 2025 has no slot after 2026-01-01T00:00:00Z\n"},
		},
		{
			"bad expression",
			[]string{"cron", "next", "0 61 * * ? *"},
			result{code: cli.ExitFailed, err: "  0 61 * * ? *\n    ^^\n"},
		},
		{
			"bad expression, to programs",
			[]string{"cron", "validate", "0 61 * * ? *", "-o", "json"},
			result{code: cli.ExitFailed},
		},
		{
			"what a terminal must not see",
			[]string{"cron", "validate", "0 \x1b[31m * * ? *"},
			result{code: cli.ExitFailed, err: "  0 ?[31m * * ? *\n    ^^^^^\n"},
		},
		{
			"validate",
			[]string{"cron", "validate", "0 10 ? * mon-fri 2025"},
			result{out: "Expression:  cron(0 10 ? * MON-FRI 2025)\nDialect:     aws\nTimezone:    UTC\n"},
		},
		{
			"validate as JSON",
			[]string{"cron", "validate", "rate(5 minutes)", "-o", "json"},
			result{out: "{\n  \"expr\": \"rate(5 minutes)\",\n  \"dialect\": \"rate\"\n}\n"},
		},
		{
			"never",
			[]string{"cron", "validate", "0 0 30 2 ? *"},
			result{code: cli.ExitFailed, err: "tminus: cron(0 0 30 FEB ? *) can never fire: there is no such date as cron(0 0 30 FEB ? *) asks for\n"},
		},
		{
			"prev, the latest first",
			[]string{"cron", "prev", "0 10 L * ? *", "--from", "2026-03-01T00:00:00Z", "-n", "2"},
			result{out: "2026-02-28T10:00:00Z\n2026-01-31T10:00:00Z\n"},
		},
		{
			"prev of a rate counts from 1970",
			[]string{"cron", "prev", "rate(1 day)", "--from", "2026-03-01T12:00:00Z", "-n", "1"},
			result{out: "2026-03-01T00:00:00Z\n"},
		},
		{
			"prev of a rate, with an anchor",
			[]string{"cron", "prev", "rate(1 day)", "--from", "2026-03-01T12:00:00Z", "--anchor", "2026-02-28T07:30:00Z"},
			result{out: "2026-03-01T07:30:00Z\n"},
		},
		{
			"no slot before",
			[]string{"cron", "prev", "0 0 1 1 ? 2025", "--from", "2024-01-01T00:00:00Z"},
			result{code: cli.ExitFailed, err: "tminus: 0 0 1 1 ? 2025 has no slot before 2024-01-01T00:00:00Z\n"},
		},
		{
			"between, without the start and with the end",
			[]string{"cron", "between", "0 9 * * *", "--from", "2026-01-01T09:00:00Z", "--to", "2026-01-03T09:00:00Z"},
			result{out: "2026-01-02T09:00:00Z\n2026-01-03T09:00:00Z\n"},
		},
		{
			"between, nothing",
			[]string{"cron", "between", "0 9 * * *", "--from", "2026-01-01T09:00:00Z", "--to", "2026-01-01T09:00:00Z", "-o", "json"},
			result{out: "{\n  \"times\": []\n}\n"},
		},
		{
			"between, too much",
			[]string{"cron", "between", "* * * * *", "--from", "2026-01-01T00:00:00Z", "--to", "2026-01-02T00:00:00Z", "-n", "100"},
			result{code: cli.ExitMisused, err: "tminus: -n 100: there are 1440 slots; narrow the window, or ask for up to 100000\nSee 'tminus cron between --help'.\n"},
		},
		{
			"between, backwards",
			[]string{"cron", "between", "* * * * *", "--from", "2026-01-02T00:00:00Z", "--to", "2026-01-01T00:00:00Z"},
			result{code: cli.ExitMisused, err: "tminus: --to \"2026-01-01T00:00:00Z\": is before 2026-01-02T00:00:00Z, where the window begins\nSee 'tminus cron between --help'.\n"},
		},
		{
			"between, without an end",
			[]string{"cron", "between", "* * * * *"},
			result{code: cli.ExitMisused, err: "tminus: --to \"\": say until when, as in 2026-01-31T09:00:00Z\nSee 'tminus cron between --help'.\n"},
		},
		{
			"explain",
			[]string{"cron", "explain", "15 10 ? * 6L 2030-2035"},
			result{out: "At 10:15 on the last Friday of every month, 2030 to 2035\n"},
		},
		{
			"explain a rate",
			[]string{"cron", "explain", "rate(5 minutes)"},
			result{out: "Every 5 minutes of elapsed time\n"},
		},
		{
			"explain a rate with an anchor",
			[]string{"cron", "explain", "@every 90m", "--anchor", "2026-01-01T00:30:00Z"},
			result{out: "Every 1 hour and 30 minutes of elapsed time, counted from 2026-01-01 00:30:00 UTC\n"},
		},
		{
			"explain, with dates",
			[]string{"cron", "explain", "0 9 * * MON-FRI", "--except", "testdata/holidays.ics"},
			result{out: "At 09:00, Monday to Friday, but not on the dates of holidays\n"},
		},
		{
			"convert to AWS",
			[]string{"cron", "convert", "0 9 * * MON-FRI", "--to", "aws"},
			result{out: "cron(0 9 ? * MON-FRI *)\n"},
		},
		{
			"convert to unix",
			[]string{"cron", "convert", "cron(0 9 ? * 2-6 *)", "--to", "unix", "-o", "json"},
			result{out: "{\n  \"expr\": \"0 9 * * MON-FRI\",\n  \"dialect\": \"unix\"\n}\n"},
		},
		{
			"convert what has no equivalent",
			[]string{"cron", "convert", "0 9 L * ? *", "--to", "unix"},
			result{code: cli.ExitFailed, err: "tminus: "},
		},
		{
			"convert to nothing",
			[]string{"cron", "convert", "0 9 L * ? *", "--to", "quartz"},
			result{code: cli.ExitMisused, err: "tminus: --to \"quartz\": use aws, unix or rate\nSee 'tminus cron convert --help'.\n"},
		},
		{
			"load",
			[]string{
				"cron", "load", "0 9 * * ? *", "0 9 ? * MON-FRI *", "rate(12 hours)", "--top", "2",
				"--from", "2026-01-01T00:00:00Z", "--to", "2026-01-02T12:00:00Z",
			},
			result{out: "7 slots of 3 schedules in 5 minutes, after 2026-01-01T00:00:00Z, until 2026-01-02T12:00:00Z\n\n" +
				"MINUTE                SCHEDULES\n2026-01-01T09:00:00Z  2\n2026-01-02T09:00:00Z  2\n"},
		},
		{
			"load as JSON, of a day",
			[]string{"cron", "load", "0 9 * * ? *", "--from", "2026-01-01T00:00:00Z", "-o", "json"},
			result{out: "{\n  \"schedules\": 1,\n  \"slots\": 1,\n  \"from\": \"2026-01-01T00:00:00Z\",\n  \"to\": \"2026-01-02T00:00:00Z\",\n" +
				"  \"minutes\": [\n    {\n      \"minute\": \"2026-01-01T09:00:00Z\",\n      \"count\": 1\n    }\n  ]\n}\n"},
		},
		{
			"load of too long a time",
			[]string{"cron", "load", "@daily", "--from", "2026-01-01T00:00:00Z", "--to", "2126-01-01T00:00:00Z"},
			result{code: cli.ExitMisused, err: "tminus: --to \"2126-01-01T00:00:00Z\": cron: the window to collide schedules in is longer than ten million minutes (19 years)\n" +
				"See 'tminus cron load --help'.\n"},
		},
		{
			"but not on holidays",
			[]string{"cron", "next", "0 9 * * MON-FRI", "--from", "2026-12-23T12:00:00Z", "-n", "3", "--except", "testdata/holidays.ics"},
			result{out: "2026-12-24T09:00:00Z\n2026-12-28T09:00:00Z\n2026-12-29T09:00:00Z\n"},
		},
		{
			"only on those of one calendar of several",
			[]string{"cron", "next", "0 9 * * *", "--from", "2026-01-01T12:00:00Z", "-n", "2", "--only", "testdata/calendars.yaml#nyse"},
			result{out: "2026-07-03T09:00:00Z\n2026-12-25T09:00:00Z\n"},
		},
		{
			"except for what another fires at, in the same zone",
			[]string{"cron", "next", "@hourly", "--timezone", "Asia/Tokyo", "--from", "2026-01-01T00:00:00Z", "-n", "2", "--except", "0 10 * * *"},
			result{out: "2026-01-01T11:00:00+09:00\n2026-01-01T12:00:00+09:00\n"},
		},
		{
			"two expressions",
			[]string{"cron", "next", "0 9 * * *", "--or", "30 17 * * *", "--from", "2026-01-01T00:00:00Z", "-n", "3"},
			result{out: "2026-01-01T09:00:00Z\n2026-01-01T17:30:00Z\n2026-01-02T09:00:00Z\n"},
		},
		{
			"a file of dates that is not there",
			[]string{"cron", "next", "@daily", "--except", "nowhere.ics"},
			result{
				code: cli.ExitMisused,
				err:  "tminus: --except \"nowhere.ics\": stat nowhere.ics: no such file or directory\nSee 'tminus cron next --help'.\n",
			},
		},
		{
			"only by an expression",
			[]string{"cron", "next", "@daily", "--only", "@weekly"},
			result{
				code: cli.ExitMisused,
				err:  "tminus: --only \"@weekly\": use a file of dates that ends in .yaml, .yml or .ics\nSee 'tminus cron next --help'.\n",
			},
		},
		{
			"times that clocks skip",
			[]string{"cron", "next", "30 2 * * *", "--timezone", "Europe/Berlin", "--dst-gap", "next", "--from", "2026-03-28T12:00:00Z", "-n", "1"},
			result{out: "2026-03-29T03:00:00+02:00\n"},
		},
		{
			"times that come twice",
			[]string{"cron", "next", "30 2 * * *", "--timezone", "Europe/Berlin", "--dst-repeat", "second", "--from", "2026-10-24T12:00:00Z", "-n", "1"},
			result{out: "2026-10-25T02:30:00+01:00\n"},
		},
		{
			"another dialect than it looks like",
			[]string{"cron", "validate", "0 9 * * MON-FRI", "--dialect", "aws"},
			result{code: cli.ExitFailed, err: "  0 9 * * MON-FRI\n  ^^^^^^^^^^^^^^^\n"},
		},
		{
			"an unknown dialect",
			[]string{"cron", "validate", "@daily", "--dialect", "quartz"},
			result{code: cli.ExitMisused, err: "tminus: --dialect \"quartz\": use aws, unix, rate or auto\nSee 'tminus cron validate --help'.\n"},
		},
		{
			"an unknown rule",
			[]string{"cron", "validate", "@daily", "--dst-gap", "first"},
			result{code: cli.ExitMisused, err: "tminus: --dst-gap \"first\": use skip or next\nSee 'tminus cron validate --help'.\n"},
		},
		{
			"unknown zone",
			[]string{"cron", "next", "@daily", "--timezone", "Europe/Berln"},
			result{code: cli.ExitMisused, err: "tminus: --timezone \"Europe/Berln\": use an IANA name such as Europe/Berlin, or UTC\nSee 'tminus cron next --help'.\n"},
		},
		{
			"bad --from",
			[]string{"cron", "next", "@daily", "--from", "today"},
			result{code: cli.ExitMisused, err: "tminus: --from \"today\": use an RFC 3339 time such as 2026-01-31T09:00:00Z\nSee 'tminus cron next --help'.\n"},
		},
		{
			"bad number",
			[]string{"cron", "next", "@daily", "-n", "0"},
			result{code: cli.ExitMisused, err: "tminus: -n 0: use a number from 1 to 100000\nSee 'tminus cron next --help'.\n"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := tminus(t, "", test.args...)
			if test.want.code == cli.ExitFailed && len(got.err) > len(test.want.err) {
				got.err = got.err[:len(test.want.err)] // What follows is package cron's.
			}
			if diff := cmp.Diff(test.want, got, cmp.AllowUnexported(result{})); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// TestCronStream has a question a line, and an answer a line, in the same order.
func TestCronStream(t *testing.T) {
	for _, test := range []struct {
		name    string
		args    []string
		in, out string
		err     string
	}{
		{
			"next",
			[]string{"next", "-"},
			`{"expr":"0 9 * * MON-FRI","timezone":"Europe/Berlin","from":"2026-01-01T00:00:00Z","n":2,"dialect":"auto"}
{"expr":"rate(5 minutes)","from":"2026-01-01T00:00:00Z","n":1}
{"expr":"0 0 1 1 ? 2025","from":"2026-01-01T00:00:00Z"}
`,
			`{"times":["2026-01-01T09:00:00+01:00","2026-01-02T09:00:00+01:00"]}
{"times":["2026-01-01T00:05:00Z"]}
{"times":[]}
`, "",
		},
		{
			"what a line leaves out, the flags say; the last line need not end",
			[]string{"next", "-", "--timezone", "Asia/Tokyo", "--from", "2026-01-01T00:00:00Z", "-n", "1", "--except", "testdata/holidays.ics"},
			`{"expr":"@daily"}
{"expr":"@daily","timezone":"UTC","except":["0 0 2 1 *"]}
{"expr":"@daily","from":"2026-12-24T20:00:00Z"}`,
			`{"times":["2026-01-02T00:00:00+09:00"]}
{"times":["2026-01-03T00:00:00Z"]}
{"times":["2026-12-26T00:00:00+09:00"]}
`, "",
		},
		{
			"errors",
			[]string{"next", "-", "-n", "1", "--from", "2026-01-01T00:00:00Z"},
			`{"expr":"0 9 * * 8"}
{"expr":"0 9 ? * 8 *"}
{"expr":"@daily","timezone":"Mars"}
{"expr":"@daily","n":0}
{"expr":"@daily","timzone":"UTC"}

{"expr":"@daily"} {"expr":"@daily"}
["@daily"]
{"expr":"@daily"}
`,
			`{"error":"unix expression \"0 9 * * 8\": day-of-week at column 9: found \"8\", allowed: 0-6 or SUN-SAT with * ? , - /","field":"day-of-week","span":[8,9]}
{"error":"aws expression \"0 9 ? * 8 *\": day-of-week at column 9: found \"8\", allowed: 1-7 or SUN-SAT with * , - /, or one alone with L or #1 to #5, or ?","field":"day-of-week","span":[8,9]}
{"error":"timezone \"Mars\": use an IANA name such as Europe/Berlin, or UTC","field":"timezone"}
{"error":"n \"0\": use a number from 1 to 100000","field":"n"}
{"error":"the line is no question such as {\"expr\":\"0 10 * * ? *\"}: json: unknown field \"timzone\""}
{"error":"the line is no question such as {\"expr\":\"0 10 * * ? *\"}: EOF"}
{"error":"the line has something after its JSON object; write one a line"}
{"error":"the line is no question such as {\"expr\":\"0 10 * * ? *\"}: json: cannot unmarshal array into Go value of type cli.cronQuestion"}
{"times":["2026-01-02T00:00:00Z"]}
`, "tminus: 8 of 9 lines have no answer\n",
		},
		{
			"prev",
			[]string{"prev", "-"},
			`{"expr":"0 10 L * ? *","from":"2026-03-01T00:00:00Z","n":1}` + "\n",
			`{"times":["2026-02-28T10:00:00Z"]}` + "\n", "",
		},
		{
			"between",
			[]string{"between", "-"},
			`{"expr":"@monthly","from":"2026-01-01T00:00:00Z","to":"2026-03-01T00:00:00Z"}` + "\n",
			`{"times":["2026-02-01T00:00:00Z","2026-03-01T00:00:00Z"]}` + "\n", "",
		},
		{
			"validate",
			[]string{"validate", "-"},
			`{"expr":"0 9 ? * 2-6 2025"}` + "\n" + `{"expr":"rate(60 minutes)"}` + "\n" + `{"expr":"0 0 30 2 *"}` + "\n",
			`{"expr":"cron(0 9 ? * MON-FRI 2025)","dialect":"aws","timezone":"UTC"}` + "\n" + `{"expr":"rate(1 hour)","dialect":"rate"}` + "\n" +
				`{"error":"0 0 30 FEB * can never fire: there is no such date as 0 0 30 FEB * asks for"}` + "\n",
			"tminus: 1 of 3 lines have no answer\n",
		},
		{
			"explain",
			[]string{"explain", "-"},
			`{"expr":"0 9 1 * *","timezone":"Asia/Tokyo"}` + "\n",
			`{"explanation":"At 09:00 on the 1st of every month, Asia/Tokyo time"}` + "\n", "",
		},
		{
			"convert",
			[]string{"convert", "-", "--to", "aws"},
			`{"expr":"0 9 1 * *"}` + "\n" + `{"expr":"cron(0 9 1 * ? *)","to":"unix"}` + "\n",
			`{"expr":"cron(0 9 1 * ? *)","dialect":"aws"}` + "\n" + `{"expr":"0 9 1 * *","dialect":"unix"}` + "\n", "",
		},
		{
			"load",
			[]string{"load", "-", "--from", "2026-01-01T00:00:00Z"},
			`{"expr":"0 9 * * *"}` + "\n" + `{"expr":"0 18 * * *","timezone":"Asia/Tokyo"}` + "\n" + `{"expr":"0 25 * * *"}` + "\n" +
				`{"expr":"0 8 * * *","to":"2027-01-01T00:00:00Z"}` + "\n" + `{"expr":"0 12 * * *"}` + "\n",
			`{"error":"unix expression \"0 25 * * *\": hours at column 3: found \"25\", allowed: 0-23 with * ? , - /","field":"hours","span":[2,4],"line":3}
{"error":"a line has no window of its own: leave out from and to, and set --from and --to","line":4}
{"minute":"2026-01-01T09:00:00Z","count":2}
{"minute":"2026-01-01T12:00:00Z","count":1}
`, "tminus: 2 of 5 lines cannot be read, and were not counted\n",
		},
		{"nothing", []string{"next", "-"}, "", "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			want := result{out: test.out, err: test.err}
			if test.err != "" {
				want.code = cli.ExitFailed
			}
			got := tminus(t, test.in, append([]string{"cron"}, test.args...)...)
			if diff := cmp.Diff(want, got, cmp.AllowUnexported(result{})); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestCronStreamLineTooLong(t *testing.T) {
	got := tminus(t, `{"expr":"@daily","n":1,"from":"2026-01-01T00:00:00Z"}`+"\n"+strings.Repeat("x", 2<<20), "cron", "next", "-")
	want := result{
		code: cli.ExitFailed, out: `{"times":["2026-01-02T00:00:00Z"]}` + "\n",
		err: "tminus: line 2 is longer than 1048576 bytes\n",
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(result{})); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// TestCronStreamAnswersBeforeTheNextQuestion has a program at the other end that waits for each answer, and then interrupts it.
func TestCronStreamAnswersBeforeTheNextQuestion(t *testing.T) {
	in, questions := io.Pipe()
	answers, out := io.Pipe()
	ctx, cancel := context.WithCancel(t.Context())
	root := cli.New("v1.2.3")
	root.SetArgs([]string{"cron", "explain", "-"})
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(io.Discard)
	done := make(chan int)
	go func() { done <- cli.Run(ctx, root) }()
	lines := bufio.NewScanner(answers)
	for range 3 {
		if _, err := io.WriteString(questions, `{"expr":"@hourly"}`+"\n"); err != nil {
			t.Fatal(err)
		}
		if !lines.Scan() || lines.Text() != `{"explanation":"Every hour"}` {
			t.Fatalf("got %q, %v", lines.Text(), lines.Err())
		}
	}
	cancel()
	if code := <-done; code != cli.ExitFailed {
		t.Errorf("exit code %d after an interrupt", code)
	}
}

func TestMisuse(t *testing.T) {
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"launchplan"}, ""},
		{[]string{"lunchplans"}, "tminus: unknown command \"lunchplans\"; did you mean launchplans?\nSee 'tminus --help'.\n"},
		{[]string{"launchplans", "lst"}, "tminus: unknown command \"lst\"; did you mean list?\nSee 'tminus launchplans --help'.\n"},
		{[]string{"launchplans", "get"}, "tminus: NAME is missing\nSee 'tminus launchplans get --help'.\n"},
		{[]string{"launchplans", "get", "a", "b"}, "tminus: unexpected argument \"b\"\nSee 'tminus launchplans get --help'.\n"},
		{[]string{"launchplans", "list", "--limt", "3"}, "tminus: unknown flag: --limt\nSee 'tminus launchplans list --help'.\n"},
		{[]string{"launchplans", "list", "--limit", "x"}, "tminus: invalid argument \"x\" for \"--limit\" flag: use a number from 0 on\nSee 'tminus launchplans list --help'.\n"},
		{[]string{"launchplans", "list", "-o", "xml"}, "tminus: --output \"xml\": use table, json or yaml\nSee 'tminus launchplans list --help'.\n"},
		{[]string{"apply", "hello.yaml"}, "tminus: unexpected argument \"hello.yaml\"; did you mean -f hello.yaml?\nSee 'tminus apply --help'.\n"},
		{[]string{"cron", "validate", "0", "10", "go.mod", "go.sum"}, "tminus: EXPRESSION came as 4 arguments; quote the expression, as in '0 10 * * ? *'\nSee 'tminus cron validate --help'.\n"},
		{[]string{"cron", "next", "0", "10"}, "tminus: EXPRESSION came as 2 arguments; quote the expression, as in '0 10 * * ? *'\nSee 'tminus cron next --help'.\n"},
		{[]string{"cron", "next"}, "tminus: EXPRESSION is missing\nSee 'tminus cron next --help'.\n"},
		{[]string{"cron", "next", "@daily", "-n", "-1"}, "tminus: -n -1: use a number from 1 to 100000\nSee 'tminus cron next --help'.\n"},
		{[]string{"schedules", "next", "-n", "-1"}, "tminus: -n -1: use a number from 1 to 1000\nSee 'tminus schedules preview --help'.\n"},
		{[]string{"schedules", "preview", "-n", "1001"}, "tminus: -n 1001: use a number from 1 to 1000\nSee 'tminus schedules preview --help'.\n"},
		{[]string{"schedules", "herd", "--top", "0"}, "tminus: --top 0: 1 is the least\nSee 'tminus schedules herd --help'.\n"},
		{[]string{"schedules", "diff", "x", "-n", "101"}, "tminus: -n 101: use a number from 1 to 100\nSee 'tminus schedules diff --help'.\n"},
		{[]string{"schedules", "pause", "x"}, "tminus: --reason is missing: say why, for whoever finds the schedule paused\nSee 'tminus schedules pause --help'.\n"},
		{[]string{"schedules", "pause", "x", "--reason", "y", "--for", "1h", "--until", "2030-01-01T00:00:00Z"}, "tminus: --for and --until both say when the pause ends; leave one of them out\nSee 'tminus schedules pause --help'.\n"},
		{[]string{"schedules", "pause", "x", "--reason", "y", "--for", "-1h"}, "tminus: --for -1h0m0s: use a positive duration such as 2h\nSee 'tminus schedules pause --help'.\n"},
		{[]string{"schedules", "unskip", "x"}, "tminus: --slot is missing: the skipped slots are among those of `tminus schedules preview x`\nSee 'tminus schedules unskip --help'.\n"},
		{[]string{"schedules", "rollback", "x"}, "tminus: REVISION is missing\nSee 'tminus schedules rollback --help'.\n"},
		{[]string{"schedules", "rollback", "x", "v1"}, "tminus: REVISION \"v1\": use a number that `tminus schedules history x` lists\nSee 'tminus schedules rollback --help'.\n"},
		{[]string{"backfill", "create", "x"}, "tminus: --first is missing: the RFC 3339 time from which to launch slots, inclusive\nSee 'tminus backfill create --help'.\n"},
		{[]string{"backfill", "create", "x", "--first", "2026-01-01T00:00:00Z"}, "tminus: --last is missing: the RFC 3339 time up to which to launch slots, inclusive\nSee 'tminus backfill create --help'.\n"},
		{[]string{"backfill", "create", "x", "--first", "2026-01-01T00:00:00Z", "--last", "2026-01-01T00:00:00Z", "--include", "launched"}, "tminus: --include \"launched\": use skipped, dead or both\nSee 'tminus backfill create --help'.\n"},
		{[]string{"backfill", "get", "0"}, "tminus: ID \"0\": use a number that `tminus backfill list` shows\nSee 'tminus backfill get --help'.\n"},
		{[]string{"firings", "redrive", "--limit", "0"}, "tminus: --limit 0: use a number from 1 to 10000\nSee 'tminus firings redrive --help'.\n"},
		{[]string{"apply"}, "tminus: -f is missing: name a file, a directory, or - for standard input\nSee 'tminus apply --help'.\n"},
		{[]string{"firings", "list", "--since", "now"}, "tminus: invalid argument \"now\" for \"--since\" flag: use an RFC 3339 time such as 2026-01-31T09:00:00Z\nSee 'tminus firings list --help'.\n"},
	} {
		want := result{code: cli.ExitMisused, err: test.want}
		got := tminus(t, "", test.args...)
		if test.want == "" {
			want = result{out: got.out} // Help.
		}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(result{})); diff != "" {
			t.Errorf("%q (-want +got)\n%s", test.args, diff)
		}
	}
}

func TestNegativeLimitIsMisuse(t *testing.T) {
	for _, of := range []string{"launchplans", "schedules", "firings", "executions"} {
		want := result{
			code: cli.ExitMisused,
			err:  "tminus: invalid argument \"-1\" for \"--limit\" flag: use a number from 0 on\nSee 'tminus " + of + " list --help'.\n",
		}
		if diff := cmp.Diff(want, tminus(t, "", of, "list", "--limit", "-1"), cmp.AllowUnexported(result{})); diff != "" {
			t.Errorf("%s (-want +got)\n%s", of, diff)
		}
	}
}

func TestGroupOfAnotherPackage(t *testing.T) {
	child := &cobra.Command{Use: "show", Run: func(*cobra.Command, []string) {}}
	g := cli.Group("config", "Settings", "", child)
	g.SetArgs([]string{"shw"})
	g.SilenceErrors, g.SilenceUsage = true, true
	err := g.ExecuteContext(t.Context())
	if cli.ExitCode(err) != cli.ExitMisused || err.Error() != `unknown command "shw"; did you mean show?` {
		t.Errorf("got %v", err)
	}
}
