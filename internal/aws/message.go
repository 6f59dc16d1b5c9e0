// Package aws has AWS keep the time of schedules, as Flyte does: CloudWatch
// Events rules, or schedules of EventBridge Scheduler, that send messages to an
// SQS queue, and an executor that takes them from there to the ledger. Which
// slots that makes, and what launches, is the ledger's.
package aws

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"tminus.dev/gen/flyteidl/admin"
	"tminus.dev/internal/ident"
)

// RuleName is the name of the rule or schedule of a launch plan: Flyte's own, so
// that tminus takes over the rules of a Flyte, and Flyte could take them back. A
// prefix stands before it with an underscore; empty means none.
func RuleName(prefix string, plan ident.Key) string {
	h := fnv.New64()
	fmt.Fprintf(h, "%s:%s:%s", plan.Project, plan.Domain, plan.Name)
	return prefixed(prefix, strconv.FormatUint(h.Sum64(), 10))
}

func prefixed(prefix, name string) string {
	if prefix == "" {
		return name
	}
	return prefix + "_" + name
}

// Description is the description of the rule of a launch plan, which is Flyte's
// as well. It tells whose a rule is.
func Description(plan ident.Key) string {
	return fmt.Sprintf("Schedule for Project:%s Domain:%s Name:%s launch plan", plan.Project, plan.Domain, plan.Name)
}

// Template is the input template of a rule's target: EventBridge puts the time
// of the event, a JSON string, in place of <time>. It is Flyte's, byte for byte,
// but that a kickoff argument is escaped.
func Template(plan ident.Key, kickoffInput string) (string, error) {
	return body("<"+timeVariable+">", plan, kickoffInput)
}

// timeVariable is what the time of an event is called in a template.
const timeVariable = "time"

// Input is the input of a schedule's target: EventBridge Scheduler puts the time
// at which the schedule was to fire in place of the attribute.
func Input(plan ident.Key, kickoffInput string) (string, error) {
	return body(`"`+scheduledTime+`"`, plan, kickoffInput)
}

// scheduledTime is an attribute of EventBridge Scheduler.
const scheduledTime = "<aws.scheduler.scheduled-time>"

// compose is what an API is told to send.
func compose(api string, plan ident.Key, kickoffInput string) (string, error) {
	if api == Scheduler {
		return Input(plan, kickoffInput)
	}
	return Template(plan, kickoffInput)
}

func body(time string, plan ident.Key, kickoffInput string) (string, error) {
	payload, err := proto.MarshalOptions{Deterministic: true}.Marshal(&admin.NamedEntityIdentifier{Project: plan.Project, Domain: plan.Domain, Name: plan.Name})
	if err != nil {
		return "", fmt.Errorf("name the launch plan %s: %w", plan, err)
	}
	return `{"time":` + time + `,"kickoff_time_arg":` + quote(kickoffInput) + `,"payload":"` + base64.StdEncoding.EncodeToString(payload) + `"}`, nil
}

// quote is s as a JSON string, with < and > escaped, which mean something in templates.
func quote(s string) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) //nolint:errcheck // A string, into memory.
	return strings.NewReplacer("<", `\u003c`, ">", `\u003e`).Replace(strings.TrimSuffix(b.String(), "\n"))
}

// Decode reads the body of a message: which launch plan came due, and when. Its
// errors say what is wrong with the body.
func Decode(body []byte) (plan ident.Key, at time.Time, err error) {
	var m struct {
		Time    *string `json:"time"`
		Kickoff *string `json:"kickoff_time_arg"`
		Payload *string `json:"payload"`
		// These two are in an event as EventBridge sends it on its own.
		DetailType *string `json:"detail-type"`
		Source     *string `json:"source"`
	}
	if err := json.Unmarshal(body, &m); err != nil {
		if mismatch, ok := errors.AsType[*json.UnmarshalTypeError](err); ok && mismatch.Field != "" {
			return plan, at, fmt.Errorf("%s: is a JSON %s; it must be a string", mismatch.Field, mismatch.Value)
		}
		return plan, at, fmt.Errorf("the body is no JSON object: %w", err)
	}
	switch {
	case m.Payload == nil && m.DetailType != nil && m.Source != nil:
		return plan, at, errors.New("it is an event of EventBridge as it is: the rule's target has no input transformer; tminus aws sync puts it there")
	case m.Payload == nil:
		return plan, at, errors.New("payload: is missing")
	case m.Time == nil:
		return plan, at, errors.New("time: is missing")
	case strings.HasPrefix(*m.Time, "<"):
		return plan, at, fmt.Errorf("time: %s was not replaced by EventBridge", *m.Time)
	}
	if at, err = time.Parse(time.RFC3339, *m.Time); err != nil {
		return plan, at, fmt.Errorf("time: %q is no RFC 3339 time such as 2026-01-01T10:00:00Z", short(*m.Time))
	}
	if at.Year() < 1970 || at.Year() > 9999 {
		return plan, time.Time{}, fmt.Errorf("time: %q is no year of schedules", short(*m.Time))
	}
	plan, err = decodePayload(*m.Payload)
	if err != nil {
		return ident.Key{}, time.Time{}, fmt.Errorf("payload: %w", err)
	}
	return plan, at.UTC(), nil
}

func decodePayload(payload string) (plan ident.Key, err error) {
	serialized, err := base64.StdEncoding.DecodeString(payload)
	if err != nil {
		return plan, fmt.Errorf("is no base64: %w", err)
	}
	var id admin.NamedEntityIdentifier
	if err := proto.Unmarshal(serialized, &id); err != nil {
		return plan, fmt.Errorf("is no flyteidl.admin.NamedEntityIdentifier: %w", err)
	}
	plan = ident.Key{Project: id.GetProject(), Domain: id.GetDomain(), Name: id.GetName()}
	if err := plan.Validate(""); err != nil {
		return plan, fmt.Errorf("names no launch plan: %w", err)
	}
	return plan, nil
}

// short is the beginning of what somebody sent.
func short(s string) string {
	const most = 80
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
