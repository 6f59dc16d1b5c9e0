package aws

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	etypes "github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"tminus.dev/internal/ident"
)

// Verdict is how a check ended.
type Verdict string

// The verdicts.
const (
	Pass       Verdict = "pass"
	Fail       Verdict = "fail"
	CannotTell Verdict = "cannot tell"
)

// Finding is what a check saw, and what to do about it; Fix is empty where nothing is.
type Finding struct {
	Check   string
	Verdict Verdict
	Seen    string
	Fix     string
}

// doctor checks a set-up in AWS by trying it, harmlessly.
type doctor struct {
	s       *SchedulerConfig
	e       *ExecutorConfig
	tell    func(Finding)
	failed  bool
	cfg     sdk.Config
	account string // of the credentials
	queue   *sqs.Client
	url     string // of the queue; empty while it was not found
	nonce   string
}

// Examine checks a configuration, with the credentials that this process finds,
// and tells each finding as it comes. A half that is nil is another process's. With
// endToEnd a message goes the whole way, which takes some minutes. What it puts into
// AWS it takes out again. It says whether nothing failed.
func Examine(ctx context.Context, s *SchedulerConfig, e *ExecutorConfig, endToEnd bool, tell func(Finding)) (ok bool) {
	d := &doctor{s: s, e: e, tell: tell, nonce: strings.ToLower(rand.Text()[:10])}
	if !d.configuration(ctx) || !d.credentials(ctx) {
		return false
	}
	if s != nil {
		d.puts(ctx)
	}
	d.reads(ctx)
	if endToEnd && !d.failed {
		d.endToEnd(ctx)
	}
	return !d.failed
}

func (d *doctor) pass(check, format string, args ...any) {
	d.tell(Finding{check, Pass, fmt.Sprintf(format, args...), ""})
}

// optional tells whether something works that tminus can do without.
func (d *doctor) optional(check string, err error, without string) {
	if err != nil {
		d.unknown(check, said(err), without)
		return
	}
	d.pass(check, "allowed")
}

func (d *doctor) unknown(check, seen, fix string) { d.tell(Finding{check, CannotTell, seen, fix}) }

func (d *doctor) fail(check, seen, fix string) {
	d.failed = true
	d.tell(Finding{check, Fail, seen, fix})
}

func (d *doctor) configuration(ctx context.Context) bool {
	const check = "configuration"
	err := Validate(d.s, d.e)
	if err == nil {
		var region string
		if d.s != nil {
			region = d.s.Region
		} else {
			region = d.e.Region
		}
		d.cfg, err = session(ctx, region, httpClient(2, longPoll+callTime), slog.New(slog.DiscardHandler))
	}
	if err != nil {
		d.fail(check, err.Error(), "correct the key")
		return false
	}
	d.pass(check, "every value has the form that it must have")
	return true
}

// standIn is the endpoint of services that have none of their own, where AWS's
// are those of something else altogether.
func standIn(endpoints ...string) *string {
	for _, e := range endpoints {
		u, err := url.Parse(e)
		if e != "" && err == nil && !strings.Contains(u.Hostname(), "amazonaws.com") {
			return &e
		}
	}
	return nil
}

func (d *doctor) credentials(ctx context.Context) bool {
	const check = "credentials"
	var endpoints []string
	if d.s != nil {
		endpoints = append(endpoints, d.s.Endpoint)
	}
	if d.e != nil {
		endpoints = append(endpoints, d.e.Endpoint)
	}
	client := sts.NewFromConfig(d.cfg, func(o *sts.Options) { o.BaseEndpoint = standIn(endpoints...) })
	me, err := client.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil && kindOf(err) == again {
		d.fail(check, said(err), "see that this machine reaches AWS, and that `endpoint` and `region` are right")
		return false
	}
	if err != nil {
		d.fail(check, said(err), "give tminus credentials: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile, or a role of the machine or pod")
		return false
	}
	d.account = sdk.ToString(me.Account)
	d.pass(check, "%s", sdk.ToString(me.Arn))
	d.clock(me)
	for name, value := range d.accounts() {
		if value != d.account {
			d.unknown("account", fmt.Sprintf("%s is of account %s, and the credentials are of %s", name, value, d.account),
				"correct it, unless both accounts are meant; then the policies of both have to allow it")
		}
	}
	return true
}

// accounts are those that the configuration names.
func (d *doctor) accounts() map[string]string {
	all := make(map[string]string)
	if d.s != nil {
		role, _ := parseARN(d.s.ScheduleRole)
		target, _ := parseARN(d.s.TargetName)
		all["scheduleRole"], all["targetName"] = role.account, target.account
	}
	if d.e != nil {
		all["accountId"] = d.e.AccountID
	}
	return all
}

// The skews of this machine's clock that matter: AWS refuses requests with more than the second.
const (
	someSkew = 5 * time.Second
	muchSkew = 5 * time.Minute
)

func (d *doctor) clock(me *sts.GetCallerIdentityOutput) {
	const check, fix = "clock", "set this machine's clock by NTP"
	skew, ok := awsmiddleware.GetAttemptSkew(me.ResultMetadata)
	switch off := skew.Abs().Round(time.Second); {
	case !ok:
		d.unknown(check, "the answer had no time", "")
	case off >= muchSkew:
		d.fail(check, fmt.Sprintf("this machine is %s off AWS", off), fix)
	case off >= someSkew:
		d.unknown(check, fmt.Sprintf("this machine is %s off AWS, which works until it is %s", off, muchSkew), fix)
	default:
		d.pass(check, "within %s of AWS", someSkew)
	}
}

// probe is the launch plan that probes are about, which nobody has.
func (d *doctor) probe() ident.Key {
	return ident.Key{Project: probeProject, Domain: probeDomain, Name: d.nonce}
}

// probeEntry is what is put into AWS to try it, under a name that the policies of rules allow.
func (d *doctor) probeEntry(expression string) (entry, error) {
	body, err := compose(d.s.api(), d.probe(), "")
	return entry{
		name: prefixed(d.s.ScheduleNamePrefix, "doctor-"+d.nonce), description: "a probe of tminus aws doctor",
		expression: Expression{Expression: expression}, target: d.s.TargetName, role: d.s.ScheduleRole, body: body,
	}, err
}

const permit = "give the identity of tminus the policy that `tminus aws policy` prints"

// puts tries what the event scheduler does, with something that never fires.
func (d *doctor) puts(ctx context.Context) {
	e, err := d.probeEntry("rate(1 day)")
	if err != nil {
		d.fail("probe", err.Error(), "")
		return
	}
	e.disabled = true
	if d.s.api() == Scheduler {
		d.putSchedule(ctx, e)
		return
	}
	d.putRule(ctx, e)
}

func (d *doctor) putSchedule(ctx context.Context, e entry) {
	s := newSchedules(d.cfg, d.s.Endpoint, d.s.Group, d.s.DeadLetterQueue)
	if err := s.put(ctx, e); err != nil {
		d.fail("schedules", said(err), permit+"; the role has to trust scheduler.amazonaws.com, and the schedule group has to be there")
		return
	}
	defer d.cleanUp(ctx, s, e.name)
	d.pass("schedules", "can be created with the role")
	_, _, err := s.look(ctx, e.name)
	d.optional("look at schedules", err, "without scheduler:GetSchedule tminus overwrites without looking whose a schedule is, and cannot compare")
}

func (d *doctor) putRule(ctx context.Context, e entry) {
	r := newRules(d.cfg, d.s.Endpoint)
	if _, err := r.client.PutRule(ctx, &eventbridge.PutRuleInput{
		Name: &e.name, Description: &e.description, ScheduleExpression: &e.expression.Expression, RoleArn: &e.role, State: etypes.RuleStateDisabled,
	}); err != nil {
		fix := permit
		if strings.Contains(err.Error(), "PassRole") {
			fix = "let the identity of tminus pass the role (iam:PassRole), as `tminus aws policy` prints"
		}
		d.fail("rules", said(err), fix)
		return
	}
	defer d.cleanUp(ctx, r, e.name)
	d.pass("rules", "events:PutRule is allowed, with the role")
	if err := r.put(ctx, e); err != nil {
		d.fail("targets", said(err), permit)
		return
	}
	d.pass("targets", "events:PutTargets is allowed")
	_, _, err := r.look(ctx, e.name)
	d.optional("look at rules", err, "without events:DescribeRule and ListTargetsByRule tminus overwrites without looking whose a rule is, and cannot compare")
	err = r.list(ctx, e.name, func(string) {})
	d.optional("list rules", err, "without events:ListRules tminus aws diff does not find what is there too much")
}

// cleanUp takes out what was put, however the check ended.
func (d *doctor) cleanUp(ctx context.Context, s service, name string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTime)
	defer cancel()
	if err := s.remove(ctx, name); err != nil {
		d.fail("removal", fmt.Sprintf("%s is left behind: %s", name, said(err)), permit+", and remove it in the console")
		return
	}
	d.pass("removal", "%s is gone again", name)
}

// reads tries what the executor does, and looks at the queue to which AWS sends.
func (d *doctor) reads(ctx context.Context) {
	var name, account string
	var base *string
	if d.e != nil {
		name, account, base = d.e.ScheduleQueueName, d.e.AccountID, endpoint(d.e.Endpoint)
	} else {
		target, _ := parseARN(d.s.TargetName)
		name, account, base = target.resource, target.account, standIn(d.s.Endpoint)
	}
	d.queue = sqs.NewFromConfig(d.cfg, func(o *sqs.Options) { o.BaseEndpoint = base })
	queue, err := d.queue.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: &name, QueueOwnerAWSAccountId: &account})
	switch {
	case err != nil && kindOf(err) == gone:
		d.fail("queue", fmt.Sprintf("%s is not in account %s and region %s", name, account, d.cfg.Region), "create it, a standard queue, or correct the configuration")
		return
	case err != nil && d.e == nil:
		d.unknown("queue", said(err), "the event scheduler does without; the executor needs sqs:GetQueueUrl")
		return
	case err != nil:
		d.fail("queue", said(err), permit)
		return
	}
	d.url = sdk.ToString(queue.QueueUrl)
	d.pass("queue", "%s is there", name)
	d.attributes(ctx)
	if d.e != nil {
		d.receives(ctx)
	}
}

func (d *doctor) attributes(ctx context.Context) {
	out, err := d.queue.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: &d.url, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameAll}})
	if err != nil {
		d.unknown("queue policy", said(err), "let tminus see it (sqs:GetQueueAttributes), or compare it by hand with what `tminus aws policy` prints")
		return
	}
	a := out.Attributes
	if a["RedrivePolicy"] == "" {
		d.unknown("redrive policy", "the queue has none", "give it a dead-letter queue with maxReceiveCount 20 or so, for what no tminus can take")
	} else {
		d.pass("redrive policy", "%s", a["RedrivePolicy"])
	}
	if key := a["KmsMasterKeyId"]; key != "" {
		d.unknown("encryption", "the queue is encrypted with the key "+key,
			"the key's policy has to let AWS send (kms:Decrypt and kms:GenerateDataKey for events.amazonaws.com, or for the role where api is scheduler), and tminus read (kms:Decrypt for its identity)")
	}
	if d.s == nil || d.s.api() == Scheduler {
		return // EventBridge Scheduler sends with the role.
	}
	const check, fix = "queue policy", "set the access policy of the queue that `tminus aws policy` prints"
	switch access, err := accessOf(a["Policy"], d.s.TargetName, d.s.things()); {
	case err != nil:
		d.unknown(check, err.Error(), fix)
	case access.denied != "":
		d.fail(check, access.denied+" keeps all rules from sending to the queue", fix)
	case access.unclear != "":
		d.unknown(check, access.unclear+" has conditions that only AWS can judge", "see that rules of these names may send, or "+fix)
	case !access.allowed:
		d.fail(check, "it does not let rules of these names send to the queue", fix)
	case access.wide != "":
		d.unknown(check, access.wide+" lets other rules send as well", fix)
	default:
		d.pass(check, "it lets rules of these names send, and no others")
	}
}

// receives tries the calls of the executor: it takes at most one message, which
// others see again a second later, and deletes none. The SDK knows no timeout of
// zero here: it leaves it out, and the queue's own would hide the message.
func (d *doctor) receives(ctx context.Context) {
	if _, err := d.queue.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: &d.url, MaxNumberOfMessages: 1, VisibilityTimeout: 1}); err != nil {
		fix := permit
		if locked(err) {
			fix = unlock
		}
		d.fail("receive", said(err), fix)
	} else {
		d.pass("receive", "sqs:ReceiveMessage is allowed")
	}
	nobodys := "nobodys-receipt"
	_, err := d.queue.DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: &d.url, ReceiptHandle: &nobodys})
	d.permitted("delete", "sqs:DeleteMessage", err)
	_, err = d.queue.ChangeMessageVisibility(ctx, &sqs.ChangeMessageVisibilityInput{QueueUrl: &d.url, ReceiptHandle: &nobodys, VisibilityTimeout: 0})
	d.permitted("hide", "sqs:ChangeMessageVisibility", err)
}

// permitted reads the answer to a call that was not meant to work.
func (d *doctor) permitted(check, action string, err error) {
	if err != nil && kindOf(err) == denied {
		d.fail(check, said(err), permit)
		return
	}
	if err != nil && !strings.Contains(codeOf(err), "ReceiptHandle") && !strings.Contains(codeOf(err), "InvalidParameter") {
		d.unknown(check, said(err), "")
		return
	}
	d.pass(check, "%s is allowed", action)
}

// probeLimit is how long a message may take from AWS to the queue.
const probeLimit = 3 * time.Minute

// endToEnd has AWS send a message, and waits for it in the queue. An executor
// that reads the queue leaves it there.
func (d *doctor) endToEnd(ctx context.Context) {
	const check = "end to end"
	if d.s == nil || d.e == nil {
		d.unknown(check, "one half is not in this configuration", "run it with both")
		return
	}
	var s service = newRules(d.cfg, d.s.Endpoint)
	if d.s.api() == Scheduler {
		s = newSchedules(d.cfg, d.s.Endpoint, d.s.Group, d.s.DeadLetterQueue)
	}
	e, err := d.probeEntry("rate(1 minute)")
	if err == nil {
		err = s.put(ctx, e)
	}
	defer d.cleanUp(ctx, s, e.name)
	if err != nil {
		d.fail(check, said(err), permit)
		return
	}
	begun := time.Now()
	ctx, cancel := context.WithTimeout(ctx, probeLimit)
	defer cancel()
	seen := make(map[string]int)
	for {
		found, err := d.find(ctx, seen)
		if found {
			d.pass(check, "a message came through in %s", time.Since(begun).Round(time.Second))
			return
		}
		if err != nil {
			why := fmt.Sprintf("no message came within %s", probeLimit)
			if ctx.Err() == nil {
				why = said(err)
			}
			d.fail(check, why, "see that the access policy of the queue lets AWS send (and the key's policy, if it is encrypted), and that the role does")
			return
		}
	}
}

// find looks for the probe among the messages of the queue, and gives back the
// others. seen counts how often it has met each of those: the first time an executor
// that reads the queue has it at once, and if none does it is hidden for longer each
// time, as each receive brings it nearer to the queue's dead-letter queue.
func (d *doctor) find(ctx context.Context, seen map[string]int) (found bool, err error) {
	out, err := d.queue.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: &d.url, MaxNumberOfMessages: receiveMost, VisibilityTimeout: 5, WaitTimeSeconds: int32(longPoll / time.Second)})
	if err != nil {
		return false, err
	}
	for _, m := range out.Messages {
		if plan, _, err := Decode([]byte(sdk.ToString(m.Body))); err == nil && plan == d.probe() {
			found = true
			if _, err := d.queue.DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: &d.url, ReceiptHandle: m.ReceiptHandle}); err != nil {
				return true, err
			}
			continue
		}
		id := sdk.ToString(m.MessageId)
		hidden := int32(1) << min(seen[id], 10) >> 1 // Seconds: 0, 1, 2, 4 and so on.
		seen[id]++
		if _, err := d.queue.ChangeMessageVisibility(ctx, &sqs.ChangeMessageVisibilityInput{QueueUrl: &d.url, ReceiptHandle: m.ReceiptHandle, VisibilityTimeout: hidden}); err != nil {
			return found, err
		}
	}
	return found, nil
}
