package aws

import (
	"net/url"
	"regexp"
	"strings"
	"time"

	"tminus.dev/internal/invalid"
)

// The APIs of AWS that keep time.
const (
	// Rules are CloudWatch Events rules, as Flyte makes them.
	Rules = "rules"
	// Scheduler is EventBridge Scheduler.
	Scheduler = "scheduler"
)

// SchedulerConfig says what turns active schedules into messages.
type SchedulerConfig struct {
	Region string
	// ScheduleRole is the ARN of the role with which AWS sends, TargetName that of the queue to which.
	ScheduleRole, TargetName string
	// ScheduleNamePrefix begins the names of rules, with an underscore after it; empty means none.
	ScheduleNamePrefix string
	// API is Rules or Scheduler; empty means Rules.
	API string
	// Group is a schedule group; empty means default. DeadLetterQueue is the ARN of a queue for what cannot be
	// sent; empty means none. Both are for the API Scheduler alone.
	Group, DeadLetterQueue string
	// Endpoint is a URL in place of AWS's own; empty means that.
	Endpoint string
}

// ExecutorConfig says what takes the messages.
type ExecutorConfig struct {
	Region            string
	ScheduleQueueName string
	// AccountID is the account of the queue.
	AccountID string
	Endpoint  string
	// ReconnectAttempts is how often in a row the queue may fail before Run gives up; 0 means that it never does.
	ReconnectAttempts int
	// ReconnectDelay is the most time between two attempts; 0 means 30 s.
	ReconnectDelay time.Duration
	// Workers is how many requests for messages are open at once; 0 means 4.
	Workers int
	// Visibility is how long a message that was taken stays hidden from others, 10 s to 12 h; 0 means a minute.
	Visibility time.Duration
}

// The configuration keys, for errors.
const (
	events   = "scheduler.eventScheduler."
	executor = "scheduler.workflowExecutor."
)

// arn is one of AWS's names of things, by its parts.
type arn struct{ partition, service, region, account, resource string }

func parseARN(s string) (arn, bool) {
	parts := strings.SplitN(s, ":", 6)
	if len(parts) != 6 || parts[0] != "arn" || !strings.HasPrefix(parts[1], "aws") {
		return arn{}, false
	}
	return arn{parts[1], parts[2], parts[3], parts[4], parts[5]}, true
}

var (
	accountForm = regexp.MustCompile(`^[0-9]{12}$`)
	queueForm   = regexp.MustCompile(`^[A-Za-z0-9_-]{1,80}$`)
	prefixForm  = regexp.MustCompile(`^[.A-Za-z0-9_-]*$`)
	regionForm  = regexp.MustCompile(`^[a-z]{2,}(-[a-z]+)+-[0-9]+$`)
	groupForm   = regexp.MustCompile(`^[.A-Za-z0-9_-]{1,64}$`)
)

// maxPrefix is what a rule name leaves for a prefix: it has 64 characters, the hash up to 20, and an underscore between them.
const maxPrefix = 64 - 20 - 1

// Validate checks each value. Its error is an *invalid.Error whose field is a configuration key.
func (c SchedulerConfig) Validate() error {
	if err := checkRegion(events, c.Region); err != nil {
		return err
	}
	role, ok := parseARN(c.ScheduleRole)
	if !ok || role.service != "iam" || role.region != "" || !accountForm.MatchString(role.account) || !strings.HasPrefix(role.resource, "role/") || role.resource == "role/" {
		return invalid.Field(events+"scheduleRole", "%q: use the ARN of the role with which AWS sends, such as arn:aws:iam::123456789012:role/flyte-schedules", c.ScheduleRole)
	}
	target, err := queueARN(events+"targetName", c.TargetName, c.Region)
	if err != nil {
		return err
	}
	if role.partition != target.partition {
		return invalid.Field(events+"scheduleRole", "is in the partition %s, and targetName in %s; both must be in one", role.partition, target.partition)
	}
	if !prefixForm.MatchString(c.ScheduleNamePrefix) {
		return invalid.Field(events+"scheduleNamePrefix", "%q: use letters, digits, and . - _ alone", c.ScheduleNamePrefix)
	}
	if n := len(c.ScheduleNamePrefix); n > maxPrefix {
		return invalid.Field(events+"scheduleNamePrefix", "has %d characters; %d is the most, as AWS's names have 64 and the hash of the launch plan takes the rest", n, maxPrefix)
	}
	if err := c.validateAPI(target); err != nil {
		return err
	}
	return checkEndpoint(events, c.Endpoint)
}

// validateAPI checks what depends on the API.
func (c SchedulerConfig) validateAPI(target arn) error {
	switch c.API {
	case Scheduler:
		if c.Group != "" && !groupForm.MatchString(c.Group) {
			return invalid.Field(events+"group", "%q: use the name of a schedule group, up to 64 letters, digits, and . - _", c.Group)
		}
		if c.DeadLetterQueue == "" {
			return nil
		}
		if dead, err := queueARN(events+"deadLetterQueue", c.DeadLetterQueue, c.Region); err != nil {
			return err
		} else if dead == target {
			return invalid.Field(events+"deadLetterQueue", "is the queue of targetName; use another one, or leave it out")
		}
		return nil
	case "", Rules:
		for key, value := range map[string]string{"group": c.Group, "deadLetterQueue": c.DeadLetterQueue} {
			if value != "" {
				return invalid.Field(events+key, "is for api scheduler, and api is rules; leave it out, or set api to scheduler")
			}
		}
		return nil
	default:
		return invalid.Field(events+"api", "%q: use rules or scheduler", c.API)
	}
}

// Validate checks each value, as that of SchedulerConfig.
func (c ExecutorConfig) Validate() error {
	if err := checkRegion(executor, c.Region); err != nil {
		return err
	}
	if strings.HasSuffix(c.ScheduleQueueName, ".fifo") {
		return invalid.Field(executor+"scheduleQueueName", "%q is a FIFO queue, to which rules send nothing without a message group; use a standard queue", c.ScheduleQueueName)
	}
	if !queueForm.MatchString(c.ScheduleQueueName) {
		return invalid.Field(executor+"scheduleQueueName", "%q: use the name of the queue, up to 80 letters, digits, - and _, not its URL or ARN", c.ScheduleQueueName)
	}
	if !accountForm.MatchString(c.AccountID) {
		return invalid.Field(executor+"accountId", "%q: use the 12 digits of the AWS account that the queue is in, in quotes", c.AccountID)
	}
	if v := c.Visibility; v != 0 && (v < leastVisibility || v > mostVisibility) {
		return invalid.Field(executor+"visibility", "%s: use a duration from %s to 12h", v, leastVisibility)
	}
	return checkEndpoint(executor, c.Endpoint)
}

const (
	leastVisibility = 10 * time.Second
	mostVisibility  = 12 * time.Hour
)

// Validate checks each half, and that they belong together. One that is nil is
// another process's. Its error is that of each half's Validate.
func Validate(s *SchedulerConfig, e *ExecutorConfig) error {
	if s != nil {
		if err := s.Validate(); err != nil {
			return err
		}
	}
	if e != nil {
		if err := e.Validate(); err != nil {
			return err
		}
	}
	if s == nil || e == nil {
		return nil
	}
	return together(s, e)
}

// together checks that the executor reads the queue that the event scheduler sends to.
func together(s *SchedulerConfig, e *ExecutorConfig) error {
	target, _ := parseARN(s.TargetName)
	switch {
	case target.resource != e.ScheduleQueueName:
		return invalid.Field(executor+"scheduleQueueName", "is %s, and eventScheduler.targetName is the queue %s; what is sent to the one is not read from the other", e.ScheduleQueueName, target.resource)
	case target.account != e.AccountID:
		return invalid.Field(executor+"accountId", "is %s, and eventScheduler.targetName is a queue of the account %s; both must be the same", e.AccountID, target.account)
	case target.region != e.Region:
		return invalid.Field(executor+"region", "is %s, and eventScheduler.targetName is a queue in %s; both must be the same", e.Region, target.region)
	}
	return nil
}

func checkRegion(block, region string) error {
	if !regionForm.MatchString(region) {
		return invalid.Field(block+"region", "%q: use an AWS region such as us-east-1", region)
	}
	return nil
}

func queueARN(key, value, region string) (arn, error) {
	a, ok := parseARN(value)
	switch {
	case !ok || a.service != "sqs" || !accountForm.MatchString(a.account):
		return a, invalid.Field(key, "%q: use the ARN of the SQS queue, such as arn:aws:sqs:us-east-1:123456789012:flyte-schedules", value)
	case strings.HasSuffix(a.resource, ".fifo"):
		return a, invalid.Field(key, "%q is a FIFO queue, to which rules send nothing without a message group; use a standard queue", value)
	case !queueForm.MatchString(a.resource):
		return a, invalid.Field(key, "%q: the queue's name has up to 80 letters, digits, - and _", value)
	case a.region != region:
		return a, invalid.Field(key, "is in the region %s, and region is %s; AWS sends within one region alone", a.region, region)
	}
	return a, nil
}

func checkEndpoint(block, endpoint string) error {
	if endpoint == "" {
		return nil
	}
	u, err := url.Parse(endpoint)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.User != nil {
		return invalid.Field(block+"endpoint", "use a URL such as https://events.us-east-1.amazonaws.com or http://127.0.0.1:5000, or leave it out for AWS's own")
	}
	return nil
}

func (c SchedulerConfig) api() string {
	if c.API == "" {
		return Rules
	}
	return c.API
}
