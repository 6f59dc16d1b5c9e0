package aws_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/google/go-cmp/cmp"

	"tminus.dev/internal/aws"
	"tminus.dev/internal/aws/awstest"
)

// patient is a set-up in AWS to look at.
type patient struct {
	t       *testing.T
	proxy   *awstest.Proxy
	queue   *awstest.Queue
	access  string
	redrive string
	s       aws.SchedulerConfig
	e       aws.ExecutorConfig
}

func newPatient(t *testing.T) *patient {
	t.Helper()
	moto := awstest.Moto(t)
	p := &patient{t: t, proxy: awstest.NewProxy(t, moto), queue: awstest.NewQueue(t, moto, nil)}
	p.s = aws.SchedulerConfig{Region: awstest.Region, ScheduleRole: awstest.Role, TargetName: p.queue.ARN, ScheduleNamePrefix: p.queue.Name[16:], Endpoint: p.proxy.URL}
	p.e = aws.ExecutorConfig{Region: awstest.Region, ScheduleQueueName: p.queue.Name, AccountID: awstest.Account, Endpoint: p.proxy.URL}
	policies, err := aws.Policies(&p.s, &p.e)
	if err != nil {
		t.Fatal(err)
	}
	dead := awstest.NewQueue(t, moto, nil)
	redrive, err := json.Marshal(map[string]any{"deadLetterTargetArn": dead.ARN, "maxReceiveCount": 20})
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(policies, func(p aws.Policy) bool { return p.Name == "access policy" })
	p.redrive = string(redrive)
	p.policy(policies[i].Document)
	return p
}

// policy sets the access policy of the queue, and its redrive policy, which moto
// forgets one without the other.
func (p *patient) policy(document string) {
	p.t.Helper()
	p.access = document
	p.attribute("RedrivePolicy", p.redrive)
}

// attribute sets one of the queue, beside those policies.
func (p *patient) attribute(name, value string) {
	p.t.Helper()
	attributes := map[string]string{"Policy": p.access, "RedrivePolicy": p.redrive, name: value}
	if _, err := p.queue.Client.SetQueueAttributes(p.t.Context(), &sqs.SetQueueAttributesInput{QueueUrl: &p.queue.URL, Attributes: attributes}); err != nil {
		p.t.Fatal(err)
	}
}

// examine tells the findings that did not pass, as "check verdict: what was seen: the fix".
func (p *patient) examine(endToEnd bool) (trouble []string, checks int, ok bool) {
	p.t.Helper()
	ok = aws.Examine(p.t.Context(), &p.s, &p.e, endToEnd, func(f aws.Finding) {
		checks++
		if f.Verdict != aws.Pass {
			trouble = append(trouble, f.Check+" "+string(f.Verdict)+": "+f.Seen+": "+f.Fix)
		}
	})
	if left := awstest.RulesOf(p.t, awstest.Moto(p.t), p.s.ScheduleNamePrefix); len(left) > 0 {
		p.t.Errorf("it leaves behind %+v", left)
	}
	if left := awstest.SchedulesOf(p.t, awstest.Moto(p.t), "default", p.s.ScheduleNamePrefix); len(left) > 0 {
		p.t.Errorf("it leaves behind %+v", left)
	}
	return trouble, checks, ok
}

func TestDoctorFindsWhatIsWrong(t *testing.T) {
	t.Parallel()
	const least = `{"Statement":{"Effect":"Allow","Principal":{"Service":"events.amazonaws.com"},"Action":"sqs:SendMessage","Resource":"*"}}`
	for _, c := range []struct {
		name   string
		change func(p *patient)
		want   []string // the beginnings of what did not pass
		ok     bool
	}{
		{"nothing", func(*patient) {}, nil, true},
		{"EventBridge Scheduler", func(p *patient) { p.s.API = aws.Scheduler }, nil, true},
		{"a value", func(p *patient) { p.s.ScheduleRole = "me" }, []string{`configuration fail: scheduler.eventScheduler.scheduleRole: "me": use the ARN`}, false},
		{"credentials", func(p *patient) { p.proxy.Always("sts:GetCallerIdentity", awstest.Expired) }, []string{"credentials fail: ExpiredTokenException"}, false},
		{"another account", func(p *patient) {
			p.s.ScheduleRole = "arn:aws:iam::999999999999:role/r"
		}, []string{"account cannot tell: scheduleRole is of account 999999999999, and the credentials are of 123456789012"}, true},
		{"no permission to put rules", func(p *patient) { p.proxy.Always("events:PutRule", awstest.Denied) }, []string{"rules fail: AccessDeniedException: User is not authorized to perform this action: give the identity"}, false},
		{"a role that cannot be passed", func(p *patient) {
			p.proxy.Always("events:PutRule", awstest.Answer(400, "AccessDeniedException", "User is not authorized to perform: iam:PassRole"))
		}, []string{"rules fail: AccessDeniedException: User is not authorized to perform: iam:PassRole: let the identity of tminus pass the role"}, false},
		{"no permission to put targets", func(p *patient) { p.proxy.Always("events:PutTargets", awstest.Denied) }, []string{"targets fail: AccessDeniedException"}, false},
		{"the four permissions alone", func(p *patient) {
			p.proxy.Allow("events:PutRule", "events:PutTargets", "events:DeleteRule", "events:RemoveTargets", "sts:GetCallerIdentity",
				"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility", "sqs:GetQueueUrl")
		}, []string{"look at rules cannot tell:", "list rules cannot tell:", "queue policy cannot tell:"}, true},
		{"no queue", func(p *patient) { p.s.TargetName += "x"; p.e.ScheduleQueueName += "x" }, []string{"queue fail: "}, false},
		{"a queue that lets nobody send", func(p *patient) { p.policy(`{"Statement":[]}`) }, []string{"queue policy fail: it does not let rules"}, false},
		{"a queue that lets other rules send", func(p *patient) {
			p.policy(strings.Replace(least, `"Resource"`, `"Condition":{"ArnEquals":{"aws:SourceArn":"arn:aws:events:us-east-1:123456789012:rule/other"}},"Resource"`, 1))
		}, []string{"queue policy fail: it does not let rules"}, false},
		{"a queue that lets all rules send", func(p *patient) { p.policy(least) }, []string{"queue policy cannot tell: statement 1 lets other rules send as well"}, true},
		{"no permission to receive", func(p *patient) { p.proxy.Always("sqs:ReceiveMessage", awstest.Denied) }, []string{"receive fail: AccessDeniedException"}, false},
		{"no permission to use the queue's key", func(p *patient) {
			p.attribute("KmsMasterKeyId", "alias/ours")
			p.proxy.Always("sqs:ReceiveMessage", awstest.Answer(400, "KmsAccessDenied", "The ciphertext refers to a key that you may not use"))
		}, []string{
			"encryption cannot tell: the queue is encrypted with the key alias/ours: the key's policy has to let AWS send",
			"receive fail: KmsAccessDenied: The ciphertext refers to a key that you may not use: let the identity of tminus use the queue's key (kms:Decrypt)",
		}, false},
		{"no permission to delete", func(p *patient) { p.proxy.Always("sqs:DeleteMessage", awstest.Denied) }, []string{"delete fail: AccessDeniedException"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := newPatient(t)
			c.change(p)
			got, checks, ok := p.examine(false)
			if ok != c.ok || checks == 0 || !slices.EqualFunc(c.want, got, func(w, g string) bool { return strings.HasPrefix(g, w) }) {
				t.Errorf("it says %t after %d checks, and finds\n%s", ok, checks, cmp.Diff(c.want, got))
			}
		})
	}
}

// TestDoctorGoesTheWholeWay plays EventBridge for the doctor's own rule, beside a message of somebody else.
func TestDoctorGoesTheWholeWay(t *testing.T) {
	t.Parallel()
	for api := range apis {
		t.Run(api, func(t *testing.T) {
			t.Parallel()
			p := newPatient(t)
			p.s.API = api
			p.queue.Send(t, body(t, "somebody", time.Now()))
			put := make(chan struct{}, 10)
			operation := "events:PutTargets"
			if api == aws.Scheduler {
				operation = "scheduler:CreateSchedule"
			}
			p.proxy.Always(operation, awstest.After(func() { put <- struct{}{} }))
			played, over := make(chan struct{}), make(chan struct{})
			go func() {
				defer close(played)
				for range 2 { // The first one never fires.
					select {
					case <-put:
					case <-over:
						return
					}
				}
				rules := awstest.RulesOf(t, awstest.Moto(t), p.s.ScheduleNamePrefix)
				if api == aws.Scheduler {
					rules = awstest.SchedulesOf(t, awstest.Moto(t), "default", p.s.ScheduleNamePrefix)
				}
				p.queue.Fire(t, time.Now(), rules...)
			}()
			got, _, ok := p.examine(true)
			close(over)
			<-played
			if !ok || len(got) > 0 {
				t.Errorf("it finds %q", got)
			}
			if n := p.queue.Size(t); n != 1 {
				t.Errorf("%d messages are left, want that of somebody else", n)
			}
		})
	}
}

// TestDoctorHidesNoMessageForLong has a message of somebody else in the queue, whose
// own visibility timeout is half a minute.
func TestDoctorHidesNoMessageForLong(t *testing.T) {
	t.Parallel()
	p := newPatient(t)
	p.queue.Send(t, body(t, "somebody", time.Now()))
	if got, _, ok := p.examine(false); !ok || len(got) > 0 {
		t.Errorf("it finds %q", got)
	}
	awstest.Until(t, 15*time.Second, "visible", func() bool {
		out, err := p.queue.Client.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &p.queue.URL})
		return err == nil && len(out.Messages) == 1
	})
}

// TestDoctorUsesUpFewReceives waits for a message that does not come, in a queue
// that nobody reads: what is there is hidden for longer each time it turns up.
func TestDoctorUsesUpFewReceives(t *testing.T) {
	t.Parallel()
	p := newPatient(t)
	p.queue.Send(t, body(t, "somebody", time.Now()))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var mu sync.Mutex
	var hidden []int
	p.proxy.Always("sqs:ChangeMessageVisibility", func(w http.ResponseWriter, r *http.Request, forward http.Handler) {
		text, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		var in struct {
			ReceiptHandle     string
			VisibilityTimeout int
		}
		if err := json.Unmarshal(text, &in); err != nil {
			t.Error(err)
		}
		r.Body = io.NopCloser(bytes.NewReader(text))
		forward.ServeHTTP(w, r)
		if in.ReceiptHandle == "nobodys-receipt" {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		if hidden = append(hidden, in.VisibilityTimeout); len(hidden) == 5 {
			cancel()
		}
	})
	if aws.Examine(ctx, &p.s, &p.e, true, func(aws.Finding) {}) {
		t.Error("it finds the message that nobody sent")
	}
	mu.Lock()
	defer mu.Unlock()
	if diff := cmp.Diff([]int{0, 1, 2, 4, 8}, hidden); diff != "" {
		t.Errorf("seconds for which the message was hidden (-want +got):\n%s", diff)
	}
}
