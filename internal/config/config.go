// Package config reads tminus's configuration: a YAML file, environment
// variables and flags, each over the one before it, and knows where every value came from.
package config

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/providers/rawbytes"
	"github.com/knadh/koanf/v2"

	"tminus.dev/internal/alert"
	"tminus.dev/internal/aws"
	"tminus.dev/internal/flyte"
	"tminus.dev/internal/invalid"
)

// Config is the configuration in force.
type Config struct {
	// Data is the data directory: the database unless it is elsewhere, uploads and the files of executions.
	Data      string    `koanf:"data"`
	Database  Database  `koanf:"database"`
	Server    Server    `koanf:"server"`
	Scheduler Scheduler `koanf:"scheduler"`
	Runner    Runner    `koanf:"runner"`
	Launches  Launches  `koanf:"launches"`
	Retention Retention `koanf:"retention"`
	Sweep     Sweep     `koanf:"sweep"`
	Log       Log       `koanf:"log"`
	// Alerts says whom to tell of schedules in trouble.
	Alerts alert.Config `koanf:"alerts"`
	// Admin says how to reach a remote flyteadmin; without an endpoint, there is none.
	Admin flyte.Config `koanf:"admin"`
	// Launcher is where executions run, and Source where launch plans are registered.
	Launcher Place `koanf:"launcher"`
	Source   Place `koanf:"source"`
	Flyte    Flyte `koanf:"flyte"`

	values  map[string]any
	origins map[string]string
}

// Place is this tminus, or the flyteadmin of Admin.
type Place string

// The places.
const (
	Here    Place = "local"
	OnFlyte Place = "flyte"
)

// Flyte tunes what is done with a remote flyteadmin.
type Flyte struct {
	// Concurrency is the most calls for executions that are open at once.
	Concurrency int `koanf:"concurrency"`
	// FollowEvery is how often it is asked what changed, ListEvery how often for all active launch plans.
	FollowEvery time.Duration `koanf:"followEvery"`
	ListEvery   time.Duration `koanf:"listEvery"`
	// Projects are those that are followed; none means all.
	Projects []string `koanf:"projects"`
}

// Database says where everything is kept.
type Database struct {
	// URL is that of a PostgreSQL database, with its password; empty means SQLite in the data directory.
	URL string `koanf:"url"`
	// Connections is the most connections to PostgreSQL.
	Connections int `koanf:"connections"`
	// Migrate says that a schema of an older tminus is brought up to date at the start.
	Migrate bool `koanf:"migrate"`
}

// Server is where tminus listens; port 0 picks a free one.
type Server struct {
	HTTPAddr string `koanf:"httpAddr"`
	GRPCAddr string `koanf:"grpcAddr"`
}

// Scheduler holds the two blocks of Flyte's own configuration.
type Scheduler struct {
	EventScheduler   EventScheduler   `koanf:"eventScheduler"`
	WorkflowExecutor WorkflowExecutor `koanf:"workflowExecutor"`
}

// EventScheduler says what turns active schedules into timed events.
type EventScheduler struct {
	Scheme             Scheme `koanf:"scheme"`
	Region             string `koanf:"region"`
	ScheduleRole       string `koanf:"scheduleRole"`
	TargetName         string `koanf:"targetName"`
	ScheduleNamePrefix string `koanf:"scheduleNamePrefix"`
	API                string `koanf:"api"`
	Group              string `koanf:"group"`
	DeadLetterQueue    string `koanf:"deadLetterQueue"`
	Endpoint           string `koanf:"endpoint"`
}

// WorkflowExecutor says what takes the events and kicks off executions.
type WorkflowExecutor struct {
	Scheme            Scheme `koanf:"scheme"`
	Region            string `koanf:"region"`
	ScheduleQueueName string `koanf:"scheduleQueueName"`
	AccountID         string `koanf:"accountId"`
	Endpoint          string `koanf:"endpoint"`
	// ReconnectAttempts is how often in a row the queue may fail before tminus ends; 0 means as often as it likes.
	ReconnectAttempts     int `koanf:"reconnectAttempts"`
	ReconnectDelaySeconds int `koanf:"reconnectDelaySeconds"`
	Workers               int `koanf:"workers"`
	// Visibility is how long a message that was taken stays hidden from others.
	Visibility time.Duration `koanf:"visibility"`
	// Local is about executions that are kicked off on a flyteadmin.
	Local LocalExecutor `koanf:"local"`
}

// LocalExecutor is the block of Flyte's native scheduler.
type LocalExecutor struct {
	AdminRateLimit struct {
		// TPS is the most launches a second, and Burst how many of them at once; a TPS of 0 means no limit.
		TPS   float64 `koanf:"tps"`
		Burst int     `koanf:"burst"`
	} `koanf:"adminRateLimit"`
}

// Scheme picks an implementation of a scheduler block.
type Scheme string

// The schemes.
const (
	Noop  Scheme = "noop"
	Local Scheme = "local"
	AWS   Scheme = "aws"
)

// Runner says how executions run on this machine.
type Runner struct {
	Mode string `koanf:"mode"`
	// Parallel is the most task processes at once; 0 means as many as there are CPUs, at least 2.
	Parallel int           `koanf:"parallel"`
	Grace    time.Duration `koanf:"grace"`
	Drain    time.Duration `koanf:"drain"`
}

// Launches bounds how many launches are asked for in a second, of all replicas together; 0 means no limit.
type Launches struct {
	PerSecond        float64 `koanf:"perSecond"`
	Burst            int     `koanf:"burst"`
	ProjectPerSecond float64 `koanf:"projectPerSecond"`
	ProjectBurst     int     `koanf:"projectBurst"`
}

// Retention says what is old enough to be deleted; 0 keeps all.
type Retention struct {
	Firings    time.Duration `koanf:"firings"`
	Executions time.Duration `koanf:"executions"`
	// Keep is how many of the latest executions of each launch plan stay, however old they are.
	Keep int `koanf:"keep"`
}

// Sweep says how often the ledger is checked.
type Sweep struct {
	Every time.Duration `koanf:"every"`
}

// Log says how the log is written.
type Log struct {
	Level  string `koanf:"level"`
	Format string `koanf:"format"`
}

// secret is text that is shown to nobody.
type secret string

// setting is one key: its default, and what its values may be.
type setting struct {
	key   string
	value any // the default, whose type is the setting's
	usage string
	check func(string) error
}

var settings = []setting{
	{"data", "tminus-data", "data directory, created with mode 0700", notEmpty},
	{"database.url", secret(""), "PostgreSQL to keep everything in, as postgres://user:password@host:port/database; empty means SQLite in the data directory", postgresURL},
	{"database.connections", 16, "most connections to PostgreSQL", atLeast2},
	{"database.migrate", true, "bring the schema up to date at the start; false refuses to start instead (see tminus migrate)", nil},
	{"server.httpAddr", "127.0.0.1:8088", "address of the REST API; port 0 picks a free one", loopback},
	{"server.grpcAddr", "127.0.0.1:8089", "address of the gRPC API; port 0 picks a free one", loopback},
	{"scheduler.eventScheduler.scheme", string(Local), "what keeps time: local, aws or noop", scheme},
	{"scheduler.eventScheduler.region", "", "AWS region (scheme aws)", nil},
	{"scheduler.eventScheduler.scheduleRole", "", "ARN of the role with which rules send (scheme aws)", nil},
	{"scheduler.eventScheduler.targetName", "", "ARN of the SQS queue that rules send to (scheme aws)", nil},
	{"scheduler.eventScheduler.scheduleNamePrefix", "", "prefix of the rules' names (scheme aws)", nil},
	{"scheduler.eventScheduler.api", "rules", "what keeps time in AWS: rules (CloudWatch Events, as Flyte does) or scheduler (EventBridge Scheduler)", oneOf("rules", "scheduler")},
	{"scheduler.eventScheduler.group", "", "schedule group (api scheduler); empty means default", nil},
	{"scheduler.eventScheduler.deadLetterQueue", "", "ARN of the SQS queue that takes what could not be sent (api scheduler)", nil},
	{"scheduler.eventScheduler.endpoint", "", "URL of AWS for rules and schedules, where it is not AWS's own", nil},
	{"scheduler.workflowExecutor.scheme", string(Local), "what kicks off executions: local, aws or noop", scheme},
	{"scheduler.workflowExecutor.region", "", "AWS region (scheme aws)", nil},
	{"scheduler.workflowExecutor.scheduleQueueName", "", "name of the SQS queue to read (scheme aws)", nil},
	{"scheduler.workflowExecutor.accountId", "", "AWS account of the queue (scheme aws)", nil},
	{"scheduler.workflowExecutor.endpoint", "", "URL of AWS for the queue, where it is not AWS's own", nil},
	{"scheduler.workflowExecutor.reconnectAttempts", 0, "how often in a row the queue may fail before tminus ends; 0 means as often as it likes", atLeast0},
	{"scheduler.workflowExecutor.reconnectDelaySeconds", 30, "most seconds between two attempts to reach a queue that fails", atLeast1},
	{"scheduler.workflowExecutor.workers", 4, "how many requests for messages are open at once", atLeast1},
	{"scheduler.workflowExecutor.visibility", time.Minute, "how long a message that was taken stays hidden from others, 10s to 12h", nil},
	{"scheduler.workflowExecutor.local.adminRateLimit.tps", 100.0, "most launches a second on Flyte, of all replicas together (launcher flyte); 0 means no limit; launches.perSecond goes over it", notNegative},
	{"scheduler.workflowExecutor.local.adminRateLimit.burst", 10, "launches that may be made at once under tps", atLeast0},
	{"scheduler.workflowExecutor.local.useUTCTz", true, "no effect: cron is in UTC unless the launch plan names a time zone", nil},
	{"scheduler.profilerPort", 10254, "no effect: tminus has no profiling server", nil},
	{"launcher", string(Here), "where executions run: local, on this machine, or flyte, on the flyteadmin of admin.endpoint", oneOf(string(Here), string(OnFlyte))},
	{"source", string(Here), "where launch plans are registered: local, here, or flyte, where those that are active are followed", oneOf(string(Here), string(OnFlyte))},
	{"flyte.concurrency", 64, "most calls for executions on Flyte at once; how many there are follows how fast it answers", atLeast1},
	{"flyte.followEvery", 10 * time.Second, "how often Flyte is asked which launch plans changed (source flyte)", positive},
	{"flyte.listEvery", time.Minute, "how often Flyte is asked for all active launch plans (source flyte)", positive},
	{"flyte.projects", []string{}, "projects whose launch plans are followed (source flyte); none means all", nil},
	{"runner.mode", "process", "how tasks run: process, docker or podman", oneOf("process", "docker", "podman")},
	{"runner.parallel", 0, "most task processes at once; 0 means as many as there are CPUs, at least 2", atLeast0},
	{"runner.grace", 5 * time.Second, "time a task has to end between SIGTERM and SIGKILL", positive},
	{"runner.drain", 10 * time.Second, "time running tasks have to end at shutdown", positive},
	{"launches.perSecond", 0.0, "most launches a second, of all replicas together; 0 means no limit", notNegative},
	{"launches.burst", 0, "launches that may be made at once under perSecond; 0 means a second's worth", atLeast0},
	{"launches.projectPerSecond", 0.0, "most launches a second of each project; 0 means no limit", notNegative},
	{"launches.projectBurst", 0, "launches of a project that may be made at once under projectPerSecond; 0 means a second's worth", atLeast0},
	{"retention.firings", 90 * 24 * time.Hour, "how long firings are kept after they were settled; 0 keeps all", notNegativeDuration},
	{"retention.executions", 90 * 24 * time.Hour, "how long executions and their files are kept after they ended; 0 keeps all", notNegativeDuration},
	{"retention.keep", 10, "how many of the latest executions of each launch plan are kept however old they are", atLeast0},
	{"sweep.every", time.Hour, "how often the ledger is checked for slots without an outcome and what is too old is deleted", positive},
	{"log.level", "info", "least level that is logged: debug, info, warn or error", oneOf("debug", "info", "warn", "error")},
	{"log.format", "text", "form of the log: text or json", oneOf("text", "json")},
	{"alerts.name", "tminus", "name of this installation in alerts", nil},
	{"alerts.lateAfter", 5 * time.Minute, "how late slots may be where the schedule has no limit of its own; 0s means as late as they like", nil},
	{"alerts.remind", time.Duration(0), "after how long people are told again of what lasts; 0s means never", nil},
	{"alerts.groupWait", 10 * time.Second, "how long the first alert waits for others, to make one message", nil},
	{"alerts.groupInterval", time.Minute, "least time between two messages about alerts", nil},
	{"alerts.giveUpAfter", time.Hour, "how long a message about alerts is tried", nil},
	{"alerts.maxListed", 20, "how many alerts a part of a message names, 200 at most; the others are counted", nil},
	{"alerts.webhook.url", secret(""), "where to send alerts as JSON", nil},
	{"alerts.webhook.urlFile", "", "file with the URL", nil},
	{"alerts.webhook.secret", secret(""), "key that signs webhook requests", nil},
	{"alerts.webhook.secretFile", "", "file with the key", nil},
	{"alerts.slack.url", secret(""), "incoming webhook of Slack", nil},
	{"alerts.slack.urlFile", "", "file with the URL", nil},
	{"alerts.slack.text", "", "template of Slack's text; empty means the default", nil},
	{"alerts.pagerduty.url", "https://events.pagerduty.com/v2/enqueue", "where PagerDuty takes events", nil},
	{"alerts.pagerduty.routingKey", secret(""), "integration key of PagerDuty's Events API v2", nil},
	{"alerts.pagerduty.routingKeyFile", "", "file with the integration key", nil},
	{"alerts.pagerduty.summary", "", "template of an incident's summary; empty means the default", nil},
	{"alerts.email.smtp", "", "mail server, host:port", nil},
	{"alerts.email.tls", "", "TLS with the mail server: starttls, implicit or none; empty means implicit on port 465, else starttls", nil},
	{"alerts.email.from", "", "sender of alerts", nil},
	{"alerts.email.to", "", "recipients of alerts, separated by commas", nil},
	{"alerts.email.username", "", "login at the mail server", nil},
	{"alerts.email.password", secret(""), "password at the mail server", nil},
	{"alerts.email.passwordFile", "", "file with the password", nil},
	{"alerts.email.subject", "", "template of a mail's subject; empty means the default", nil},
	{"alerts.email.body", "", "template of a mail's text; empty means the default", nil},
	{configFileKey, "", "configuration file of flytectl, FlytePropeller or flyteadmin, whose admin block holds where this one says nothing", nil},
	{"admin.endpoint", "", "gRPC address of a remote flyteadmin, dns:///host:port; empty means none", nil},
	{"admin.insecure", false, "flyteadmin has no TLS", nil},
	{"admin.insecureSkipVerify", false, "take any certificate of flyteadmin", nil},
	{"admin.caCertFilePath", "", "PEM file of the authorities that vouch for flyteadmin; empty means the system's", nil},
	{"admin.clientCertFilePath", "", "PEM file of the certificate to show flyteadmin; empty means none", nil},
	{"admin.clientKeyFilePath", "", "PEM file of that certificate's key", nil},
	{"admin.maxBackoffDelay", 8 * time.Second, "most time between two attempts to connect, or to get a token", nil},
	{"admin.perRetryTimeout", 15 * time.Second, "time for each attempt at a call or at a token endpoint", nil},
	{"admin.maxRetries", 4, "how often a call is repeated at once while flyteadmin is unavailable", nil},
	{"admin.maxMessageSizeBytes", 64 << 20, "most bytes of one answer of flyteadmin", nil},
	{"admin.defaultServiceConfig", "", "service config of gRPC, in JSON", nil},
	{"admin.authType", string(flyte.ClientSecret), "how to get a token once flyteadmin asks for one: ClientSecret, Pkce, ExternalCommand or DeviceFlow", oneOf(string(flyte.ClientSecret), string(flyte.Pkce), string(flyte.ExternalCommand), string(flyte.DeviceFlow))},
	{"admin.tokenRefreshWindow", time.Duration(0), "how long before its end a token is renewed; under 10s means that", nil},
	{"admin.clientId", "flytepropeller", "OAuth 2 client (ClientSecret)", nil},
	{"admin.clientSecretLocation", "/etc/secrets/client_secret", "file with the client's secret, read anew for every token", nil},
	{"admin.clientSecretEnvVar", "", "environment variable with the client's secret, in place of the file", nil},
	{"admin.scopes", []string{}, "scopes to ask for (ClientSecret); none means those that flyteadmin names", nil},
	{"admin.audience", "", "audience to ask for", nil},
	{"admin.useAudienceFromAdmin", false, "ask for the audience that flyteadmin names", nil},
	{"admin.tokenUrl", "", "token endpoint (ClientSecret); empty means the one that flyteadmin names", nil},
	{"admin.authorizationHeader", "", "metadata key of the token; empty means the one that flyteadmin names", nil},
	{"admin.command", []string{}, "command that prints a token (ExternalCommand), word by word", nil},
	{"admin.proxyCommand", []string{}, "command that prints a token for a proxy before flyteadmin, word by word", nil},
	{"admin.httpProxyURL", secret(""), "HTTP proxy of requests to token endpoints; empty means that of the environment", nil},
	{"admin.pkceConfig.timeout", 2 * time.Minute, "how long a login waits for the browser (Pkce)", nil},
	{"admin.pkceConfig.refreshTime", 5 * time.Minute, "how long before its end a token is renewed (Pkce)", nil},
	{"admin.deviceFlowConfig.timeout", 10 * time.Minute, "how long a login waits (DeviceFlow)", nil},
	{"admin.deviceFlowConfig.refreshTime", 5 * time.Minute, "how long before its end a token is renewed (DeviceFlow)", nil},
	{"admin.deviceFlowConfig.pollInterval", 5 * time.Second, "time between two questions whether the code was entered, where the server does not say (DeviceFlow)", nil},
	{"admin.useAuth", false, "no effect, as in Flyte: flyteadmin says whether it wants a token", nil},
	{"admin.authorizationServerUrl", "", "no effect, as in Flyte: flyteadmin names its authorization server", nil},
}

// Load reads the configuration. file is a path, or empty for none; environ is
// as from os.Environ; flags holds values by key, as text. Errors name the key,
// where its value came from, and what it may be.
func Load(file string, environ []string, flags map[string]string) (*Config, error) {
	c := &Config{values: map[string]any{}, origins: map[string]string{}}
	for _, s := range settings {
		c.put(s.key, s.value, "default")
	}
	if file != "" {
		// A file that names no scheme means noop, as in Flyte.
		c.put("scheduler.eventScheduler.scheme", string(Noop), "default with a configuration file")
		c.put("scheduler.workflowExecutor.scheme", string(Noop), "default with a configuration file")
		if err := c.readFile(file); err != nil {
			return nil, err
		}
	}
	if err := c.readEnvironment(environ); err != nil {
		return nil, err
	}
	for key, v := range flags {
		c.put(key, v, "flag")
	}
	if err := c.readFlyteFile(); err != nil {
		return nil, err
	}
	for _, s := range settings {
		if s.check == nil {
			continue
		}
		if err := s.check(fmt.Sprint(c.values[s.key])); err != nil {
			return nil, fmt.Errorf("%s (%s): %w", s.key, c.origins[s.key], err)
		}
	}
	k := koanf.New(".")
	if err := k.Load(confmap.Provider(c.values, "."), nil); err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	if err := k.Unmarshal("", c); err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	for _, err := range []error{c.checkSchemes(), aws.Validate(c.Scheduler.AWS()), c.Alerts.Validate(), c.checkAdmin(), c.checkPlaces()} {
		if err := c.named(err); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// named says where the value came from that an error is about.
func (c *Config) named(err error) error {
	if e, ok := errors.AsType[*invalid.Error](err); ok {
		return fmt.Errorf("%s (%s): %s", e.Field, c.origins[e.Field], e.Problem)
	}
	return err
}

// checkSchemes refuses an event scheduler whose events the executor does not take.
func (c *Config) checkSchemes() error {
	events, executor := c.Scheduler.EventScheduler.Scheme, c.Scheduler.WorkflowExecutor.Scheme
	switch {
	case events == AWS && executor == Local:
		return invalid.Field("scheduler.workflowExecutor.scheme", "is local, which takes what the local event scheduler records, and eventScheduler.scheme is aws: use aws, or noop where another process reads the queue")
	case events == Local && executor == AWS:
		return invalid.Field("scheduler.eventScheduler.scheme", "is local, and workflowExecutor.scheme is aws, which takes what comes by SQS: use aws, or noop where another process makes the rules")
	}
	return nil
}

// AWS is what AWS does of the two blocks; nil is what it does not.
func (s Scheduler) AWS() (events *aws.SchedulerConfig, executor *aws.ExecutorConfig) {
	if s.EventScheduler.Scheme == AWS {
		c := s.EventScheduler.AWS()
		events = &c
	}
	if s.WorkflowExecutor.Scheme == AWS {
		c := s.WorkflowExecutor.AWS()
		executor = &c
	}
	return events, executor
}

// checkAdmin checks the keys of a remote flyteadmin, where there is one.
func (c *Config) checkAdmin() error {
	if c.Admin.Endpoint == "" {
		return nil
	}
	return c.Admin.Validate()
}

// checkPlaces refuses a Flyte that is not there, or that is followed and launches nothing.
func (c *Config) checkPlaces() error {
	switch {
	case c.Launcher == OnFlyte && c.Admin.Endpoint == "":
		return invalid.Field("admin.endpoint", "is empty, and launcher is flyte: set it to the address of flyteadmin, dns:///host:port")
	case c.Source == OnFlyte && c.Launcher != OnFlyte:
		return invalid.Field("launcher", "is local, and source is flyte: the launch plans of Flyte launch there, so set launcher to flyte")
	}
	return nil
}

// AWS is what the block says of rules.
func (s EventScheduler) AWS() aws.SchedulerConfig {
	return aws.SchedulerConfig{
		Region: s.Region, ScheduleRole: s.ScheduleRole, TargetName: s.TargetName, ScheduleNamePrefix: s.ScheduleNamePrefix,
		API: s.API, Group: s.Group, DeadLetterQueue: s.DeadLetterQueue, Endpoint: s.Endpoint,
	}
}

// AWS is what the block says of the queue.
func (e WorkflowExecutor) AWS() aws.ExecutorConfig {
	return aws.ExecutorConfig{
		Region: e.Region, ScheduleQueueName: e.ScheduleQueueName, AccountID: e.AccountID, Endpoint: e.Endpoint,
		ReconnectAttempts: e.ReconnectAttempts, ReconnectDelay: time.Duration(e.ReconnectDelaySeconds) * time.Second,
		Workers: e.Workers, Visibility: e.Visibility,
	}
}

// put sets a value. Where a list belongs, one that comes as text is separated by commas.
func (c *Config) put(key string, value any, origin string) {
	if s, _ := find(key); isList(s) {
		switch v := value.(type) {
		case []any:
			list := make([]string, len(v))
			for i, element := range v {
				list[i] = fmt.Sprint(element)
			}
			value = list
		case []string:
		default:
			value = slices.DeleteFunc(strings.Split(fmt.Sprint(v), ","), func(s string) bool { return s == "" })
		}
	}
	c.values[key], c.origins[key] = value, origin
}

func isList(s setting) bool {
	_, list := s.value.([]string)
	return list
}

func (c *Config) readFile(file string) error {
	k, err := parse(file)
	if err != nil {
		return err
	}
	given := map[string]string{} // which spelling gave a key
	for _, spelled := range k.Keys() {
		key := spelled
		for _, block := range []string{"scheduler.eventScheduler.", "scheduler.workflowExecutor."} {
			if rest, nested := strings.CutPrefix(spelled, block+"aws."); nested {
				key = block + rest // Flyte nests the AWS keys, or not.
			}
		}
		if rest, outside := strings.CutPrefix(spelled, "scheduler.reconnect"); outside {
			key = "scheduler.workflowExecutor.reconnect" + rest // Where Flyte has them.
		}
		if spelled == "scheduler.eventScheduler.local" {
			continue // Flyte's block of that name is empty.
		}
		s, known := find(key)
		if !known {
			if root, _, _ := strings.Cut(spelled, "."); slices.Contains(flyteBlocks, strings.ToLower(root)) {
				return fmt.Errorf("%s: %s is a key of Flyte's own configuration, which tminus has no use for; name that file in %s to take its admin block", file, spelled, configFileKey)
			}
			return fmt.Errorf("%s: unknown key %s; did you mean %s?", file, spelled, invalid.Nearest(key, keys()))
		}
		if other, twice := given[key]; twice {
			return fmt.Errorf("%s: %s and %s are the same setting; keep one", file, other, spelled)
		}
		given[key] = spelled
		if err := c.take(s, k.Get(spelled), file, spelled); err != nil {
			return err
		}
	}
	return nil
}

func parse(file string) (*koanf.Koanf, error) {
	content, err := os.ReadFile(filepath.Clean(file))
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	k := koanf.New(".")
	if err := k.Load(rawbytes.Provider(content), yaml.Parser()); err != nil {
		return nil, fmt.Errorf("read configuration %s: %w", file, err)
	}
	return k, nil
}

// take puts the value that a file has for s, as it is spelled there.
func (c *Config) take(s setting, value any, file, spelled string) error {
	if value == nil {
		return nil // A key without a value is as good as absent.
	}
	if err := fits(s, value); err != nil {
		return fmt.Errorf("%s: %s: %w", file, spelled, err)
	}
	c.put(s.key, value, file)
	return nil
}

// configFileKey names a configuration file of Flyte's.
const configFileKey = "admin.configFile"

// flyteBlocks are what Flyte 1.16 has beside admin at the top of the configurations of flytectl, FlytePropeller and flyteadmin,
// and tminus has not.
var flyteBlocks = []string{
	"adminutils", "auth", "catalog-cache", "cloudevents", "cluster_resources", "clusterpools", "clusters", "console", "domains", "event",
	"externalevents", "files", "flyte", "flyteadmin", "logger", "manager", "namespace_mapping", "notifications", "otel", "plugins", "prof",
	"propeller", "qualityofservice", "queues", "registration", "remotedata", "root", "secrets", "storage", "task", "task_resources",
	"task_type_whitelist", "tasks", "webhook",
}

// readFlyteFile takes the admin block of a file of Flyte's, below all that tminus itself was told. The file's other
// blocks are Flyte's. As in Flyte, case makes no difference to keys.
func (c *Config) readFlyteFile() error {
	file := fmt.Sprint(c.values[configFileKey])
	if file == "" {
		return nil
	}
	k, err := parse(file)
	if err != nil {
		return fmt.Errorf("%s (%s): %w", configFileKey, c.origins[configFileKey], err)
	}
	found := false
	for _, spelled := range k.Keys() {
		if root, _, _ := strings.Cut(spelled, "."); !strings.EqualFold(root, "admin") {
			continue
		}
		found = true
		i := slices.IndexFunc(settings, func(s setting) bool { return strings.EqualFold(s.key, spelled) && s.key != configFileKey })
		if i < 0 {
			return fmt.Errorf("%s (%s): %s: unknown key %s; did you mean %s?", configFileKey, c.origins[configFileKey], file, spelled, invalid.Nearest(spelled, keys()))
		}
		if s := settings[i]; c.origins[s.key] == "default" {
			if err := c.take(s, k.Get(spelled), file, spelled); err != nil {
				return fmt.Errorf("%s (%s): %w", configFileKey, c.origins[configFileKey], err)
			}
		}
	}
	if !found {
		return fmt.Errorf("%s (%s): %s has no admin block", configFileKey, c.origins[configFileKey], file)
	}
	return nil
}

// fits refuses a list or mapping where one value belongs, and text that is no
// number or duration where one belongs.
func fits(s setting, value any) error {
	switch value := value.(type) {
	case []any, map[string]any:
		if list, ok := value.([]any); ok && isList(s) {
			for _, element := range list {
				switch element.(type) {
				case nil, []any, map[string]any:
					return errors.New("use a list of texts")
				}
			}
			return nil
		}
		if _, hidden := s.value.(secret); hidden {
			return errors.New("use a single value")
		}
		return fmt.Errorf("%v: use a single value", value)
	}
	text := fmt.Sprint(value)
	var err error
	switch s.value.(type) {
	case int:
		if _, err = strconv.Atoi(text); err != nil {
			err = fmt.Errorf("%q: use a whole number", text)
		}
	case bool:
		if _, err = strconv.ParseBool(text); err != nil {
			err = fmt.Errorf("%q: use true or false", text)
		}
	case float64:
		if _, err = strconv.ParseFloat(text, 64); err != nil {
			err = fmt.Errorf("%q: use a number", text)
		}
	case time.Duration:
		if _, err = time.ParseDuration(text); err != nil {
			err = fmt.Errorf("%q: use a duration such as 10s or 2m", text)
		}
	}
	return err
}

// environmentPrefix begins the name of every variable that configures tminus.
const environmentPrefix = "TMINUS_"

// otherVariables begin with the prefix too and configure the client commands,
// or are what a task is told.
var otherVariables = []string{
	"TMINUS_ENDPOINT", "TMINUS_PROJECT", "TMINUS_DOMAIN", "TMINUS_CONFIG", "TMINUS_INPUT_DIR", "TMINUS_OUTPUT_DIR",
}

func (c *Config) readEnvironment(environ []string) error {
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, environmentPrefix) || slices.Contains(otherVariables, name) || ofKubernetes(name) {
			continue
		}
		i := slices.IndexFunc(settings, func(s setting) bool { return Variable(s.key) == name })
		if i < 0 {
			return fmt.Errorf("unknown environment variable %s; `tminus config show` lists the known ones", name)
		}
		if err := fits(settings[i], value); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		c.put(settings[i].key, value, name)
	}
	return nil
}

// ofKubernetes says that a variable is one of those that Kubernetes sets in
// every pod for a Service that is called tminus.
func ofKubernetes(name string) bool {
	return strings.HasPrefix(name, "TMINUS_SERVICE_") || name == "TMINUS_PORT" || strings.HasPrefix(name, "TMINUS_PORT_")
}

// Variable is the environment variable that sets a key: server.httpAddr is TMINUS_SERVER_HTTP_ADDR.
func Variable(key string) string {
	var b strings.Builder
	b.WriteString(environmentPrefix)
	lower := false
	for _, r := range key {
		if unicode.IsUpper(r) && lower {
			b.WriteByte('_')
		}
		lower = unicode.IsLower(r)
		if r == '.' {
			r = '_'
		}
		b.WriteRune(unicode.ToUpper(r))
	}
	return b.String()
}

// Value is one setting as it is in force.
type Value struct {
	Key      string `json:"key"`
	Value    string `json:"value"`
	Origin   string `json:"origin"`
	Variable string `json:"variable"`
	Usage    string `json:"usage"`
}

// Values lists every setting, in the order of the documentation. Secrets are hidden.
func (c *Config) Values() []Value {
	values := make([]Value, len(settings))
	for i, s := range settings {
		text := fmt.Sprint(c.values[s.key])
		if list, ok := c.values[s.key].([]string); ok {
			text = strings.Join(list, ",")
		}
		if _, hidden := s.value.(secret); hidden && text != "" {
			text = "(hidden)"
		}
		values[i] = Value{s.key, text, c.origins[s.key], Variable(s.key), s.usage}
	}
	return values
}

func find(key string) (setting, bool) {
	i := slices.IndexFunc(settings, func(s setting) bool { return s.key == key })
	if i < 0 {
		return setting{}, false
	}
	return settings[i], true
}

func keys() []string {
	keys := make([]string, len(settings))
	for i, s := range settings {
		keys[i] = s.key
	}
	return keys
}

func notEmpty(v string) error {
	if v == "" {
		return errors.New("is empty")
	}
	return nil
}

// postgresURL says nothing of what it refuses: a password is in there somewhere.
func postgresURL(v string) error {
	if v == "" {
		return nil
	}
	u, err := url.Parse(v)
	if err != nil || (u.Scheme != "postgres" && u.Scheme != "postgresql") {
		return errors.New("use postgres://user:password@host:port/database, with special characters in the password percent-encoded (@ is %40)")
	}
	return nil
}

// loopback keeps the API on this machine: whoever reaches it can run commands here.
func loopback(v string) error {
	host, port, err := net.SplitHostPort(v)
	if err != nil {
		return fmt.Errorf("%q: use host:port, such as 127.0.0.1:8088", v)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("%q: the port must be a number from 0 to 65535", v)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return fmt.Errorf("%q: registered commands run on this machine and nobody is asked who they are, so only loopback addresses (127.0.0.1, ::1, localhost) are taken", v)
	}
	return nil
}

func scheme(v string) error {
	switch Scheme(v) {
	case Local, Noop, AWS:
		return nil
	}
	return fmt.Errorf("%q: use local, aws or noop", v)
}

func oneOf(allowed ...string) func(string) error {
	return func(v string) error {
		if slices.Contains(allowed, v) {
			return nil
		}
		return fmt.Errorf("%q: use one of %s", v, strings.Join(allowed, ", "))
	}
}

func atLeast0(v string) error {
	if n, err := strconv.Atoi(v); err != nil || n < 0 {
		return fmt.Errorf("%q: use a whole number of at least 0", v)
	}
	return nil
}

func atLeast1(v string) error {
	if n, err := strconv.Atoi(v); err != nil || n < 1 {
		return fmt.Errorf("%q: use a whole number of at least 1", v)
	}
	return nil
}

func notNegative(v string) error {
	if n, err := strconv.ParseFloat(v, 64); err != nil || n < 0 || math.IsNaN(n) || math.IsInf(n, 0) {
		return fmt.Errorf("%q: use a number of at least 0", v)
	}
	return nil
}

func notNegativeDuration(v string) error {
	if d, err := time.ParseDuration(v); err != nil || d < 0 {
		return fmt.Errorf("%q: use a duration such as 720h, or 0s to keep all", v)
	}
	return nil
}

func atLeast2(v string) error {
	if n, err := strconv.Atoi(v); err != nil || n < 2 {
		return fmt.Errorf("%q: use a whole number of at least 2", v)
	}
	return nil
}

func positive(v string) error {
	if d, err := time.ParseDuration(v); err != nil || d <= 0 {
		return fmt.Errorf("%q: use a duration such as 10s or 2m", v)
	}
	return nil
}
