package aws_test

import (
	"encoding/json"
	"testing"

	"tminus.dev/internal/aws"
)

// TestWhoMaySendToAQueue has the statements of policies, for rules t_* of one account.
func TestWhoMaySendToAQueue(t *testing.T) {
	t.Parallel()
	const (
		queue = "arn:aws:sqs:us-east-1:123456789012:q"
		rules = "arn:aws:events:us-east-1:123456789012:rule/t_*"
		send  = `"Effect":"Allow","Principal":{"Service":"events.amazonaws.com"},"Action":"sqs:SendMessage","Resource":"` + queue + `"`
		deny  = `"Effect":"Deny","Principal":"*","Action":"sqs:*","Resource":"*"`
		ours  = send + `,"Condition":{"ArnLike":{"aws:SourceArn":"` + rules + `"}}`
		no    = "it does not let them send"
		narrow,
		wide,
		denied,
		unclear = "it lets them send, and no others", "it lets others send as well", "it keeps them from sending", "it cannot be told"
	)
	for _, c := range []struct {
		statements []string
		want       string
	}{
		{[]string{ours}, narrow},
		{[]string{`"Effect":"Allow","Principal":{"Service":["sns.amazonaws.com","events.amazonaws.com"]},"Action":["sqs:Send*"],"Resource":"*","Condition":{"ArnEquals":{"AWS:SourceARN":["` + rules + `"]},"StringEquals":{"aws:SourceAccount":"123456789012"}}`}, narrow},
		{[]string{ours, `"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::123456789012:root"},"Action":"sqs:*","Resource":"*"`}, narrow},
		{[]string{ours, `"Effect":"Deny","Principal":"*","Action":"sqs:DeleteQueue","Resource":"*"`}, narrow},
		{[]string{ours, deny + `,"Condition":{"Bool":{"aws:SecureTransport":"false"}}`}, narrow},
		{[]string{ours, deny + `,"Condition":{"StringEquals":{"aws:SourceAccount":"999999999999"}}`}, narrow},
		{[]string{send + `,"Condition":{"ArnLike":{"aws:SourceArn":["` + rules + `","arn:aws:events:us-east-1:123456789012:rule/t_1"]}}`}, narrow},

		{[]string{send}, wide},
		{[]string{`"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"`}, wide},
		{[]string{send + `,"Condition":{"StringEquals":{"aws:SourceAccount":"123456789012"}}`}, wide},
		{[]string{send + `,"Condition":{"ArnLike":{"aws:SourceArn":"*"}}`}, wide},
		{[]string{send + `,"Condition":{"ArnLike":{"aws:SourceArn":"arn:aws:events:*:*:rule/*"}}`}, wide},
		{[]string{send + `,"Condition":{"StringLike":{"aws:SourceArn":"arn:aws:events:us-east-1:123456789012:rule/*"}}`}, wide},
		{[]string{send + `,"Condition":{"ArnEquals":{"aws:SourceArn":["` + rules + `","arn:aws:events:us-east-1:123456789012:rule/other"]}}`}, wide},
		{[]string{ours, send + `,"Condition":{"ArnEquals":{"aws:SourceArn":"arn:aws:events:us-east-1:123456789012:rule/other"}}`}, wide},

		{nil, no},
		{[]string{send + `,"Condition":{"ArnLike":{"aws:SourceArn":"arn:aws:events:us-east-1:123456789012:rule/t_1*"}}`}, no},
		{[]string{send + `,"Condition":{"ArnLike":{"aws:SourceArn":"arn:aws:events:us-east-1:123456789012:rule/t_?"}}`}, no},
		{[]string{send + `,"Condition":{"ArnLike":{"aws:SourceArn":"arn:aws:events:*"}}`}, no},
		{[]string{send + `,"Condition":{"StringEquals":{"aws:SourceArn":"` + rules + `"}}`}, no},
		{[]string{ours[:len(ours)-1] + `,"StringEquals":{"aws:SourceAccount":"999999999999"}}`}, no},
		{[]string{`"Effect":"Allow","Principal":{"Service":"scheduler.amazonaws.com"},"Action":"sqs:SendMessage","Resource":"*"`}, no},
		{[]string{`"Effect":"Allow","Principal":"*","Action":["sqs:Receive*","sqs:DeleteMessage"],"Resource":"*"`}, no},
		{[]string{`"Effect":"Allow","Principal":"*","Action":"sqs:*","Resource":"` + queue + `2"`}, no},

		{[]string{ours, deny}, denied},
		{[]string{deny, ours}, denied},

		{[]string{ours, deny + `,"Condition":{"StringNotEquals":{"aws:SourceAccount":"123456789012"}}`}, unclear},
		{[]string{ours, deny + `,"Condition":{"ArnLike":{"aws:SourceArn":"` + rules + `"}}`}, unclear},
		{[]string{send + `,"Condition":{"ArnNotLike":{"aws:SourceArn":"` + rules + `"}}`}, unclear},
		{[]string{send + `,"Condition":{"StringEquals":{"aws:PrincipalOrgID":"o-1"}}`}, unclear},
		{[]string{`"Effect":"Allow","NotPrincipal":{"AWS":"arn:aws:iam::123456789012:root"},"Action":"sqs:*","Resource":"*"`}, unclear},
		{[]string{ours, `"Effect":"Deny","Principal":"*","NotAction":"sqs:SendMessage","Resource":"*"`}, unclear},
	} {
		policy := `{"Version":"2012-10-17","Statement":[`
		for i, s := range c.statements {
			if i > 0 {
				policy += ","
			}
			policy += "{" + s + "}"
		}
		policy += "]}"
		if !json.Valid([]byte(policy)) {
			t.Fatalf("this is no JSON: %s", policy)
		}
		a, err := aws.AccessOf(policy, queue, rules)
		got := no
		switch {
		case err != nil:
			got = err.Error()
		case a.Denied != "":
			got = denied
		case a.Unclear != "":
			got = unclear
		case a.Allowed && a.Wide != "":
			got = wide
		case a.Allowed:
			got = narrow
		}
		if got != c.want {
			t.Errorf("%s: want, and got:\n%s\n%s", policy, c.want, got)
		}
	}
}
