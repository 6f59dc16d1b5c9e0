package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tminus.dev/internal/config"
	"tminus.dev/internal/flyte"
)

func write(t *testing.T, content string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "tminus.yaml")
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestWithoutAFileBothSchemesAreLocal(t *testing.T) {
	c, err := config.Load("", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Scheduler.EventScheduler.Scheme; got != config.Local {
		t.Errorf("event scheduler scheme: got %q", got)
	}
	if got := c.Scheduler.WorkflowExecutor.Scheme; got != config.Local {
		t.Errorf("workflow executor scheme: got %q", got)
	}
	if c.Server.HTTPAddr != "127.0.0.1:8088" || c.Server.GRPCAddr != "127.0.0.1:8089" {
		t.Errorf("addresses: got %+v", c.Server)
	}
}

func TestAFileThatNamesNoSchemeMeansNoop(t *testing.T) {
	c, err := config.Load(write(t, "data: /var/lib/tminus\n"), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Scheduler.EventScheduler.Scheme; got != config.Noop {
		t.Errorf("event scheduler scheme: got %q", got)
	}
	if got := c.Scheduler.WorkflowExecutor.Scheme; got != config.Noop {
		t.Errorf("workflow executor scheme: got %q", got)
	}
}

func TestFlagsGoOverEnvironmentOverFile(t *testing.T) {
	file := write(t, `
data: from-file
server: {httpAddr: "127.0.0.1:1", grpcAddr: "127.0.0.1:2"}
scheduler:
  eventScheduler: {scheme: local, aws: {region: eu-west-1}}
runner: {drain: 3s, parallel: 7}
`)
	environ := []string{"TMINUS_SERVER_HTTP_ADDR=127.0.0.1:3", "TMINUS_SERVER_GRPC_ADDR=127.0.0.1:4", "HOME=/root", "TMINUS_ENDPOINT=x", "TMINUS_PORT=tcp://10.0.0.1:80", "TMINUS_SERVICE_HOST=10.0.0.1"}
	c, err := config.Load(file, environ, map[string]string{"server.grpcAddr": "127.0.0.1:5"})
	if err != nil {
		t.Fatal(err)
	}
	if c.Data != "from-file" || c.Runner.Drain != 3*time.Second || c.Runner.Parallel != 7 {
		t.Errorf("from the file: got %+v", c)
	}
	if c.Scheduler.EventScheduler.Region != "eu-west-1" {
		t.Errorf("nested AWS key: got %+v", c.Scheduler.EventScheduler)
	}
	want := map[string][2]string{
		"data":                                {"from-file", file},
		"server.httpAddr":                     {"127.0.0.1:3", "TMINUS_SERVER_HTTP_ADDR"},
		"server.grpcAddr":                     {"127.0.0.1:5", "flag"},
		"runner.grace":                        {"5s", "default"},
		"scheduler.eventScheduler.region":     {"eu-west-1", file},
		"scheduler.workflowExecutor.scheme":   {"noop", "default with a configuration file"},
		"scheduler.workflowExecutor.region":   {"", "default"},
		"scheduler.eventScheduler.targetName": {"", "default"},
	}
	for _, v := range c.Values() {
		if w, listed := want[v.Key]; listed && w != [2]string{v.Value, v.Origin} {
			t.Errorf("%s: got %q from %q, want %q from %q", v.Key, v.Value, v.Origin, w[0], w[1])
		}
	}
}

// TestTheNativeSchedulersFileIsTaken reads what flytescheduler is configured with.
func TestTheNativeSchedulersFileIsTaken(t *testing.T) {
	t.Parallel()
	file := write(t, `
scheduler:
  profilerPort: 10254
  eventScheduler: {scheme: local, local: {}}
  workflowExecutor: {scheme: local, local: {adminRateLimit: {tps: 50, burst: 5}, useUTCTz: true}}
admin: {endpoint: "dns:///flyteadmin:81", insecure: true}
launcher: flyte
source: flyte
`)
	c, err := config.Load(file, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if limit := c.Scheduler.WorkflowExecutor.Local.AdminRateLimit; limit.TPS != 50 || limit.Burst != 5 {
		t.Errorf("the limit is %+v", limit)
	}
	for _, tc := range []struct{ file, want string }{
		{"launcher: flyte", "admin.endpoint"},
		{"source: flyte\nadmin: {endpoint: 'dns:///flyteadmin:81'}", "set launcher to flyte"},
		{"launcher: moon", "launcher"},
	} {
		if _, err := config.Load(write(t, tc.file), nil, nil); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want %q", tc.file, err, tc.want)
		}
	}
}

func TestBadConfigurationNamesTheKeyAndTheFix(t *testing.T) {
	for _, tc := range []struct {
		name, file string
		environ    []string
		want       []string
	}{
		{name: "unknown key", file: "servr: {httpAddr: x}", want: []string{"unknown key servr.httpAddr", "server.httpAddr"}},
		{name: "misspelled scheme key", file: "scheduler: {eventScheduler: {shceme: local}}", want: []string{"scheduler.eventScheduler.shceme", "scheduler.eventScheduler.scheme"}},
		{name: "unknown scheme", file: "scheduler: {eventScheduler: {scheme: kafka}}", want: []string{"scheduler.eventScheduler.scheme", "kafka", "local, aws or noop"}},
		{name: "flat and nested", file: "scheduler: {eventScheduler: {region: a, aws: {region: b}}}", want: []string{"same setting"}},
		{name: "every interface", file: `server: {httpAddr: "0.0.0.0:8088"}`, want: []string{"server.httpAddr", "loopback"}},
		{name: "no host", file: `server: {grpcAddr: ":8089"}`, want: []string{"server.grpcAddr", "loopback"}},
		{name: "no port", file: `server: {grpcAddr: "127.0.0.1"}`, want: []string{"server.grpcAddr", "host:port"}},
		{name: "port out of range", file: `server: {grpcAddr: "127.0.0.1:70000"}`, want: []string{"server.grpcAddr", "65535"}},
		{name: "no number", file: "runner: {parallel: many}", want: []string{"runner.parallel", "whole number"}},
		{name: "negative number", file: "runner: {parallel: -1}", want: []string{"runner.parallel", "at least 0"}},
		{name: "no duration", file: "runner: {grace: soon}", want: []string{"runner.grace", "duration"}},
		{name: "a list", file: "data: [a, b]", want: []string{"data", "single value"}},
		{name: "a block without its keys", file: "server: here", want: []string{"unknown key server"}},
		{name: "broken YAML", file: "server: {", want: []string{"yaml"}},
		{name: "empty data directory", file: `data: ""`, want: []string{"data", "empty"}},
		{name: "unknown variable", file: "{}", environ: []string{"TMINUS_SERVER_HTTPADDR=x"}, want: []string{"TMINUS_SERVER_HTTPADDR"}},
		{name: "negative duration", file: "alerts: {remind: -1s}", want: []string{"alerts.remind", "0 or more"}},
		{name: "less than none listed", file: "alerts: {maxListed: -1}", want: []string{"alerts.maxListed", "1 to 200"}},
		{name: "too many listed", file: "alerts: {maxListed: 500}", want: []string{"alerts.maxListed", "200", "tminus.yaml"}},
		{name: "half of a channel", environ: []string{"TMINUS_ALERTS_EMAIL_SMTP=mail:25"}, file: "{}", want: []string{"alerts.email.from", "is empty"}},
		{name: "bad template", file: "alerts: {slack: {text: \"{{.Nobody}}\"}}", want: []string{"alerts.slack.text", "Nobody", "tminus.yaml"}},
		{name: "bad URL", environ: []string{"TMINUS_ALERTS_SLACK_URL=nowhere"}, file: "{}", want: []string{"alerts.slack.url", "TMINUS_ALERTS_SLACK_URL", "https://"}},
		{name: "bad URL of PagerDuty", file: "alerts: {pagerduty: {url: nowhere}}", want: []string{"alerts.pagerduty.url", "https://"}},
		{name: "bad way of TLS", file: "alerts: {email: {tls: ssl}}", want: []string{"alerts.email.tls", "starttls"}},
		{name: "AWS without a role", file: "scheduler: {eventScheduler: {scheme: aws, aws: {region: us-east-1}}}", want: []string{"scheduler.eventScheduler.scheduleRole", "ARN of the role"}},
		{name: "AWS without a queue", file: "scheduler: {workflowExecutor: {scheme: aws, region: us-east-1}}", want: []string{"scheduler.workflowExecutor.scheduleQueueName", "name of the queue"}},
		{name: "a bad region", file: "scheduler: {workflowExecutor: {scheme: aws, region: Ohio}}", want: []string{"scheduler.workflowExecutor.region (", "tminus.yaml", "us-east-1"}},
		{name: "an API", file: "scheduler: {eventScheduler: {api: pipes}}", want: []string{"scheduler.eventScheduler.api", "rules, scheduler"}},
		{name: "halves that do not belong together", file: "scheduler: {eventScheduler: {scheme: local}, workflowExecutor: {scheme: aws}}", want: []string{"scheduler.eventScheduler.scheme", "use aws, or noop"}},
		{name: "no delay", file: "scheduler: {reconnectDelaySeconds: 0}", want: []string{"scheduler.workflowExecutor.reconnectDelaySeconds", "at least 1"}},
		{name: "bad variable", file: "{}", environ: []string{"TMINUS_RUNNER_DRAIN=x"}, want: []string{"TMINUS_RUNNER_DRAIN", "duration"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := config.Load(write(t, tc.file), tc.environ, nil)
			if err == nil {
				t.Fatal("taken")
			}
			for _, w := range tc.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("got %q, want %q in it", err, w)
				}
			}
		})
	}
}

func TestAWSKeysAreFlytes(t *testing.T) {
	c, err := config.Load(write(t, `
scheduler:
  reconnectAttempts: 10
  reconnectDelaySeconds: 5
  eventScheduler:
    scheme: aws
    aws:
      region: us-east-1
      scheduleRole: arn:aws:iam::123456789012:role/flyte-schedules
      targetName: arn:aws:sqs:us-east-1:123456789012:flyte-schedules
      scheduleNamePrefix: flyte
  workflowExecutor:
    scheme: aws
    region: us-east-1
    scheduleQueueName: flyte-schedules
    accountId: "123456789012"
`), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	s, e := c.Scheduler.EventScheduler.AWS(), c.Scheduler.WorkflowExecutor.AWS()
	if s.ScheduleNamePrefix != "flyte" || s.API != "rules" || e.ReconnectAttempts != 10 || e.ReconnectDelay != 5*time.Second || e.Workers != 4 || e.Visibility != time.Minute {
		t.Errorf("got %+v and %+v", s, e)
	}
}

func TestAlerts(t *testing.T) {
	file := write(t, `
alerts:
  lateAfter: 1m
  remind: 2h
  slack: {url: "https://hooks.example.com/services/T0/B0/s3cret", text: "{{.Summary}}"}
  email: {smtp: "smtp.example.com:587", from: tminus@example.com, to: "a@example.com, b@example.com"}
`)
	c, err := config.Load(file, []string{"TMINUS_ALERTS_PAGERDUTY_ROUTING_KEY=0123456789abcdef0123456789s3cret"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	a := c.Alerts
	if a.Name != "tminus" || a.LateAfter != time.Minute || a.Remind != 2*time.Hour || a.GroupWait != 10*time.Second ||
		a.GroupInterval != time.Minute || a.GiveUpAfter != time.Hour || a.MaxListed != 20 {
		t.Errorf("got %+v", a)
	}
	if a.Slack.URL != "https://hooks.example.com/services/T0/B0/s3cret" || a.PagerDuty.RoutingKey != "0123456789abcdef0123456789s3cret" ||
		a.Email.To != "a@example.com, b@example.com" || a.Webhook.URL != "" {
		t.Errorf("got %+v", a)
	}
	shown := map[string]string{}
	for _, v := range c.Values() {
		shown[v.Key] = v.Value
		if strings.Contains(v.Value, "s3cret") {
			t.Errorf("%s shows %s", v.Key, v.Value)
		}
	}
	if shown["alerts.slack.url"] != "(hidden)" || shown["alerts.webhook.url"] != "" || shown["alerts.slack.text"] != "{{.Summary}}" {
		t.Errorf("got %v", shown)
	}
}

func TestSecretsAreNotInErrors(t *testing.T) {
	_, err := config.Load(write(t, "alerts: {webhook: {url: [s3cret]}}"), nil, nil)
	if err == nil || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("got %v", err)
	}
}

// flytectl is what `flytectl config init` writes, with more of the block.
const flytectl = `
admin:
  # For GRPC endpoints you might want to use dns:///flyte.myexample.com
  endpoint: dns:///flyte.example.com
  insecure: false
  authType: Pkce
  clientid: from-flytectl
  scopes: [all, offline]
  pkceConfig: {timeout: 3m}
  useAuth: true
  httpProxyURL: http://user:s3cret@proxy:3128
console:
  endpoint: https://flyte.example.com
logger:
  show-source: true
  level: 0
storage: {type: stow, stow: {kind: s3, config: {auth_type: iam}}}
`

func TestAFileOfFlytectlIsTakenBelowOurOwn(t *testing.T) {
	theirs := write(t, flytectl)
	ours := write(t, "admin: {configFile: \""+theirs+"\", scopes: all}\n")
	c, err := config.Load(ours, []string{"TMINUS_ADMIN_AUTH_TYPE=DeviceFlow", "TMINUS_ADMIN_COMMAND=get-token,--audience,flyte"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := flyte.Config{
		Endpoint: "dns:///flyte.example.com", AuthType: flyte.DeviceFlow, ClientID: "from-flytectl", Scopes: []string{"all"},
		Command: []string{"get-token", "--audience", "flyte"}, ProxyCommand: []string{}, HTTPProxyURL: "http://user:s3cret@proxy:3128",
		// Flyte's defaults, but for the size.
		MaxBackoffDelay: 8 * time.Second, PerRetryTimeout: 15 * time.Second, MaxRetries: 4, MaxMessageSizeBytes: 64 << 20,
		ClientSecretLocation: "/etc/secrets/client_secret", PkceConfig: flyte.PkceConfig{Timeout: 3 * time.Minute, RefreshTime: 5 * time.Minute},
		DeviceFlowConfig: flyte.DeviceFlowConfig{Timeout: 10 * time.Minute, RefreshTime: 5 * time.Minute, PollInterval: 5 * time.Second},
	}
	if diff := cmp.Diff(want, c.Admin); diff != "" {
		t.Error(diff)
	}
	shown := map[string][2]string{
		"admin.endpoint":     {"dns:///flyte.example.com", theirs},
		"admin.clientId":     {"from-flytectl", theirs},
		"admin.scopes":       {"all", ours},
		"admin.authType":     {"DeviceFlow", "TMINUS_ADMIN_AUTH_TYPE"},
		"admin.command":      {"get-token,--audience,flyte", "TMINUS_ADMIN_COMMAND"},
		"admin.proxyCommand": {"", "default"},
		"admin.httpProxyURL": {"(hidden)", theirs},
		"admin.useAuth":      {"true", theirs},
		"admin.maxRetries":   {"4", "default"},
	}
	for _, v := range c.Values() {
		if w, listed := shown[v.Key]; listed && w != [2]string{v.Value, v.Origin} {
			t.Errorf("%s: got %q from %q, want %q from %q", v.Key, v.Value, v.Origin, w[0], w[1])
		}
	}
}

func TestAFileOfFlytectlIsNoneOfOurs(t *testing.T) {
	_, err := config.Load(write(t, flytectl), nil, nil)
	if err == nil || !strings.Contains(err.Error(), "clientid") {
		t.Errorf("got %v", err)
	}
	_, err = config.Load(write(t, "admin: {endpoint: \"flyteadmin:81\"}\nlogger: {level: 5}\n"), nil, nil)
	if err == nil || !strings.Contains(err.Error(), "logger.level is a key of Flyte's own configuration") || !strings.Contains(err.Error(), "admin.configFile") {
		t.Errorf("got %v", err)
	}
}

func TestAFileOfFlytesThatCannotBeTaken(t *testing.T) {
	for _, tc := range []struct {
		name, file string
		want       []string
	}{
		{"no admin block", "logger: {level: 5}", []string{"admin.configFile (TMINUS_ADMIN_CONFIG_FILE)", "no admin block"}},
		{"an unknown key", "admin: {endpoit: x}", []string{"admin.configFile", "admin.endpoit", "did you mean admin.endpoint?"}},
		{"a file that names another", "admin: {configFile: x}", []string{"admin.configFile", "unknown key"}},
		{"no duration", "admin: {maxBackoffDelay: soon}", []string{"admin.configFile", "admin.maxBackoffDelay", "duration"}},
		{"no list", "admin: {scopes: {all: true}}", []string{"admin.scopes.all"}},
		{"a list of lists", "admin: {command: [[a]]}", []string{"admin.command", "list of texts"}},
		{"broken YAML", "admin: {", []string{"admin.configFile", "yaml"}},
		{"an endpoint of the web", "admin: {endpoint: \"http://localhost:30080\"}", []string{"admin.endpoint (", "tminus.yaml", "dns:///"}},
		{"a way that Flyte does not have", "admin: {authType: pkce}", []string{"admin.authType", "Pkce"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := config.Load("", []string{"TMINUS_ADMIN_CONFIG_FILE=" + write(t, tc.file)}, nil)
			if err == nil {
				t.Fatal("taken")
			}
			for _, w := range tc.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("got %q, want %q in it", err, w)
				}
			}
		})
	}
	if _, err := config.Load("", []string{"TMINUS_ADMIN_CONFIG_FILE=/nowhere"}, nil); err == nil || !strings.Contains(err.Error(), "admin.configFile (TMINUS_ADMIN_CONFIG_FILE)") {
		t.Errorf("got %v", err)
	}
}

func TestTheDatabaseURLIsShownToNobody(t *testing.T) {
	const url = "postgres://tminus:hunter2@db:5432/tminus"
	c, err := config.Load(write(t, "database: {url: \""+url+"\", migrate: false}\n"), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if c.Database.URL != url || c.Database.Migrate || c.Database.Connections != 16 {
		t.Errorf("got %+v", c.Database)
	}
	for _, v := range c.Values() {
		if strings.Contains(v.Value, "hunter2") {
			t.Errorf("%s is shown as %s", v.Key, v.Value)
		}
	}
	for _, wrong := range []string{"mysql://tminus:hunter2@db/tminus", "tminus:hunter2@db", "postgres://tminus:hunter2%@db", "postgres://tminus:hunter2/@db:x"} {
		_, err := config.Load("", []string{"TMINUS_DATABASE_URL=" + wrong}, nil)
		if err == nil {
			t.Errorf("%s is taken", wrong)
			continue
		}
		if !strings.Contains(err.Error(), "database.url (TMINUS_DATABASE_URL)") || !strings.Contains(err.Error(), "postgres://") || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the error is %q", err)
		}
	}
}

func TestTheSchemaIsMigratedUnlessToldOtherwise(t *testing.T) {
	for _, c := range []struct {
		environ string
		want    bool
	}{{"", true}, {"TMINUS_DATABASE_MIGRATE=true", true}, {"TMINUS_DATABASE_MIGRATE=false", false}} {
		got, err := config.Load("", []string{c.environ}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got.Database.Migrate != c.want {
			t.Errorf("%s: got %t", c.environ, got.Database.Migrate)
		}
	}
	if _, err := config.Load("", []string{"TMINUS_DATABASE_MIGRATE=perhaps"}, nil); err == nil || !strings.Contains(err.Error(), "use true or false") {
		t.Errorf("the error is %v", err)
	}
}
