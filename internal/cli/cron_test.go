package cli_test

import (
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
			result{out: "[\n  \"2026-01-02T09:00:00Z\",\n  \"2026-01-05T09:00:00Z\"\n]\n"},
		},
		{
			"next as YAML",
			[]string{"cron", "next", "@daily", "--from", "2026-01-02T00:00:00Z", "-n", "1", "-o", "yaml"},
			result{out: "- '2026-01-03T00:00:00Z'\n"},
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
			result{code: cli.ExitFailed, err: "tminus: cron(0 0 1 JAN ? 2025) has no slot after 2026-01-01T00:00:00Z\n"},
		},
		{
			"no more slots as JSON",
			[]string{"cron", "next", "0 0 1 1 ? 2025", "--from", "2026-01-01T00:00:00Z", "-o", "json"},
			result{code: cli.ExitFailed, err: "tminus: cron(0 0 1 JAN ? 2025) has no slot after 2026-01-01T00:00:00Z\n"},
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
			result{out: "{\n  \"expression\": \"rate(5 minutes)\",\n  \"dialect\": \"rate\"\n}\n"},
		},
		{
			"never",
			[]string{"cron", "validate", "0 0 30 2 ? *"},
			result{code: cli.ExitFailed, err: "tminus: cron(0 0 30 FEB ? *) can never fire: there is no such date\n"},
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
		{[]string{"schedules", "next", "-n", "-1"}, "tminus: -n -1: use a number from 1 to 100\nSee 'tminus schedules next --help'.\n"},
		{[]string{"apply"}, "tminus: -f is missing: name a file, a directory, or - for standard input\nSee 'tminus apply --help'.\n"},
		{[]string{"firings", "list", "--since", "now"}, "tminus: --since \"now\": use an RFC 3339 time such as 2026-01-31T09:00:00Z\nSee 'tminus firings list --help'.\n"},
		{[]string{"schedules", "next", "-n", "101"}, "tminus: -n 101: use a number from 1 to 100\nSee 'tminus schedules next --help'.\n"},
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
