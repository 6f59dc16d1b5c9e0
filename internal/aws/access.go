package aws

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// access is what a queue's policy means for rules that are to send to it.
type access struct {
	// allowed says that a statement lets them send.
	allowed bool
	// denied is a statement that keeps them from it, wide one that lets others send as
	// well, and unclear one that may do either; each is empty where there is none.
	denied, wide, unclear string
}

// accessOf reads the policy of a queue for rules. Their ARN may be a pattern, of all of them.
func accessOf(policy, queue, rules string) (a access, err error) {
	if policy == "" {
		return a, nil
	}
	var p struct{ Statement list[permission] }
	if err := json.Unmarshal([]byte(policy), &p); err != nil {
		return a, fmt.Errorf("read the access policy: %w", err)
	}
	for i := range p.Statement {
		s := &p.Statement[i]
		name := fmt.Sprintf("statement %d", i+1)
		if s.Sid != "" {
			name = "statement " + s.Sid
		}
		if !s.concerns(queue) {
			continue
		}
		m := s.meets(rules)
		switch deny := s.Effect == "Deny"; {
		case deny && m.no: // Of these rules it says nothing.
		case deny && m.always:
			a.denied = name
		case deny, m.unknown:
			a.unclear = name
		default:
			a.allowed = a.allowed || !m.no
			if !m.narrow {
				a.wide = name
			}
		}
	}
	return a, nil
}

// permission is a statement of a policy.
type permission struct {
	Sid, Effect                          string
	Principal                            json.RawMessage
	Action, Resource                     list[string]
	Condition                            map[string]map[string]list[string]
	NotPrincipal, NotAction, NotResource json.RawMessage
}

// concerns says that s is, or may be, about what rules send to a queue.
func (s *permission) concerns(queue string) bool {
	var by struct{ Service, AWS list[string] }
	var all string
	_ = json.Unmarshal(s.Principal, &all) //nolint:errcheck // It is the one
	_ = json.Unmarshal(s.Principal, &by)  //nolint:errcheck // or the other.
	rules := all == "*" || slices.Contains(by.AWS, "*") || slices.Contains(by.Service, "events.amazonaws.com")
	return (rules || s.NotPrincipal != nil) &&
		(s.NotAction != nil || slices.ContainsFunc(s.Action, func(p string) bool { return covers(strings.ToLower(p), "sqs:sendmessage") })) &&
		(s.NotResource != nil || slices.ContainsFunc(s.Resource, func(p string) bool { return covers(p, queue) }))
}

// meeting is how rules meet the conditions of a statement.
type meeting struct {
	// always says that there are none, no that they do not meet one, unknown that one
	// cannot be told, and narrow that no other rules meet them.
	always, no, unknown, narrow bool
}

func (s *permission) meets(rules string) (m meeting) {
	m.unknown = s.NotPrincipal != nil || s.NotAction != nil || s.NotResource != nil
	m.always = len(s.Condition) == 0 && !m.unknown
	of, _ := parseARN(rules)
	for operator, keys := range s.Condition {
		compare := comparisons[operator]
		for key, values := range keys {
			switch key = strings.ToLower(key); {
			case operator == "Bool" && key == "aws:securetransport":
				m.no = m.no || !slices.Contains(values, "true") // AWS sends by TLS.
			case compare != nil && key == "aws:sourceaccount":
				m.no = m.no || !slices.ContainsFunc(values, func(v string) bool { return compare(v, of.account) })
			case compare != nil && key == "aws:sourcearn":
				m.no = m.no || !slices.ContainsFunc(values, func(v string) bool { return compare(v, rules) })
				m.narrow = m.narrow || !slices.ContainsFunc(values, func(v string) bool { return !covers(rules, v) })
			default:
				m.unknown = true
			}
		}
	}
	return m
}

// comparisons are the operators of conditions that are known here, by what they
// make of a value of the policy and one of the request.
var comparisons = map[string]func(want, got string) bool{
	"ArnEquals":    coversARN,
	"ArnLike":      coversARN,
	"StringEquals": func(want, got string) bool { return want == got && !strings.ContainsAny(want, "*?") },
	"StringLike":   covers,
}

// coversARN is covers for ARNs, of which IAM compares each part on its own.
func coversARN(pattern, name string) bool {
	const parts = 6
	p, n := strings.SplitN(pattern, ":", parts), strings.SplitN(name, ":", parts)
	return pattern == "*" || (len(p) == parts && slices.EqualFunc(p, n, covers))
}

// covers says that a pattern of IAM matches a name, or all that another pattern does.
func covers(pattern, name string) bool {
	for i := range len(pattern) {
		switch pattern[i] {
		case '*':
			for j := i; j <= len(name); j++ {
				if covers(pattern[i+1:], name[j:]) {
					return true
				}
			}
			return false
		case '?':
			if i >= len(name) || name[i] == '*' {
				return false
			}
		default:
			if i >= len(name) || name[i] != pattern[i] {
				return false
			}
		}
	}
	return len(pattern) == len(name)
}

// list is one value or several, as policies have them.
type list[T any] []T

// UnmarshalJSON reads either.
func (l *list[T]) UnmarshalJSON(b []byte) error {
	var many []T
	if json.Unmarshal(b, &many) == nil {
		*l = many
		return nil
	}
	var one T
	err := json.Unmarshal(b, &one)
	*l = list[T]{one}
	return err
}
