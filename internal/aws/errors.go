package aws

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/aws/smithy-go"

	"tminus.dev/internal/invalid"
)

// kind is what can be done about an error of AWS.
type kind int

const (
	again  kind = iota // try again soon: throttled, unavailable, no connection, or in the middle of another change
	denied             // somebody has to change permissions or credentials, and then it may work
	quota              // somebody has to raise a quota, or make room
	refuse             // somebody has to change what is asked for
	gone               // what it is about is not there
)

// codes are those of AWS, of all its services that are used here.
var codes = map[kind][]string{
	denied: {
		"AccessDenied", "AccessDeniedException", "AuthorizationError", "ExpiredToken", "ExpiredTokenException", "IncompleteSignature", "InvalidAccessKeyId",
		"InvalidClientTokenId", "InvalidSecurity", "InvalidSignatureException", "KmsAccessDenied", "MissingAuthenticationToken", "MissingAuthenticationTokenException",
		"NotAuthorized", "OptInRequired", "SignatureDoesNotMatch", "UnauthorizedOperation", "UnrecognizedClientException",
	},
	quota:  {"LimitExceededException", "ServiceQuotaExceededException", "ServiceQuotaExceeded", "OverLimit", "AWS.SimpleQueueService.OverLimit"},
	refuse: {"InvalidEventPatternException", "InvalidParameterValue", "InvalidParameterValueException", "ManagedRuleException", "SerializationException", "ValidationError", "ValidationException"},
	gone:   {"AWS.SimpleQueueService.NonExistentQueue", "NonExistentQueue", "QueueDoesNotExist", "ResourceNotFoundException"},
}

// kindOf sorts an error. What it does not know may work the next time.
func kindOf(err error) kind {
	if _, ok := errors.AsType[*invalid.Error](err); ok {
		return refuse
	}
	code := codeOf(err)
	for k, known := range codes {
		if slices.Contains(known, code) {
			return k
		}
	}
	if strings.Contains(err.Error(), "failed to retrieve credentials") || strings.Contains(err.Error(), "failed to refresh cached credentials") {
		return denied
	}
	return again
}

// codeOf is AWS's own code of an error, "" if it is not AWS's.
func codeOf(err error) string {
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		// SQS answers with its code of before and then the namespace of it, in the JSON protocol.
		code, _, _ := strings.Cut(api.ErrorCode(), "#")
		return code
	}
	return ""
}

// explain is an error for people: what was done, what AWS said, and what to do about it.
func explain(operation string, err error) error {
	if err == nil || errors.Is(err, context.Canceled) {
		return err
	}
	advice := ""
	switch kindOf(err) {
	case denied:
		if locked(err) {
			advice = "; " + unlock
			break
		}
		advice = "; see that tminus has valid credentials and the permissions that tminus aws policy prints, then it goes on by itself"
	case quota:
		advice = "; have the quota raised in the AWS console (Service Quotas), or set scheduler.eventScheduler.api to scheduler, which takes millions of schedules"
	case refuse, gone, again:
	}
	return &failure{fmt.Sprintf("%s: %s%s", operation, said(err), advice), err}
}

// locked says that the key with which the queue is encrypted may not be used.
func locked(err error) bool { return codeOf(err) == "KmsAccessDenied" }

// unlock is what to do about it.
const unlock = "let the identity of tminus use the queue's key (kms:Decrypt), in its policy and in that of the key"

// said is what AWS said, or why it could not be asked.
func said(err error) string {
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		if m := api.ErrorMessage(); m != "" {
			return api.ErrorCode() + ": " + m
		}
		return api.ErrorCode()
	}
	if request, ok := errors.AsType[*url.Error](err); ok {
		return fmt.Sprintf("cannot reach %s: %v", request.URL, request.Err)
	}
	return err.Error()
}

// failure is an error of AWS with what to do about it.
type failure struct {
	text string
	err  error
}

func (f *failure) Error() string { return f.text }

func (f *failure) Unwrap() error { return f.err }
