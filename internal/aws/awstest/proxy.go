package awstest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// Proxy stands before AWS, knows what each request asks for, and can do what AWS
// does on a bad day.
type Proxy struct {
	URL string

	forward http.Handler

	mu      sync.Mutex
	calls   []string
	next    map[string][]Fault
	always  map[string]Fault
	allowed []string // nil allows everything
	denied  string   // no request may have it
}

// Fault answers a request in place of AWS, or after it.
type Fault func(w http.ResponseWriter, r *http.Request, forward http.Handler)

// NewProxy starts a proxy before the AWS at upstream. It ends with the test.
func NewProxy(tb testing.TB, upstream string) *Proxy {
	tb.Helper()
	to, err := url.Parse(upstream)
	if err != nil {
		tb.Fatal(err)
	}
	p := &Proxy{
		forward: &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) }, ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) }},
		next:    make(map[string][]Fault), always: make(map[string]Fault),
	}
	server := httptest.NewServer(p)
	tb.Cleanup(server.Close)
	p.URL = server.URL
	return p
}

// Fail has the next calls of an operation, such as events:PutRule, fail: each with one of the faults.
func (p *Proxy) Fail(operation string, faults ...Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.next[operation] = append(p.next[operation], faults...)
}

// Always has all calls of an operation fail; nil ends that.
func (p *Proxy) Always(operation string, f Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if f == nil {
		delete(p.always, operation)
		return
	}
	p.always[operation] = f
}

// Allow denies every action but these from now on.
func (p *Proxy) Allow(actions ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.allowed = slices.Concat([]string{}, actions)
}

// DenyNames denies every request that has a text, such as a name, in it from now
// on; "" ends that.
func (p *Proxy) DenyNames(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.denied = text
}

// Calls are the operations that were asked for, in order.
func (p *Proxy) Calls() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.calls)
}

// Count is how often an operation was asked for.
func (p *Proxy) Count(operation string) (n int) {
	for _, c := range p.Calls() {
		if c == operation {
			n++
		}
	}
	return n
}

func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	operation := operationOf(r)
	p.mu.Lock()
	p.calls = append(p.calls, operation)
	fault := p.always[operation]
	if faults := p.next[operation]; fault == nil && len(faults) > 0 {
		fault, p.next[operation] = faults[0], faults[1:]
	}
	if p.allowed != nil && !slices.Contains(p.allowed, actionOf(operation)) {
		fault = Denied
	}
	if p.denied != "" && (strings.Contains(r.URL.Path, p.denied) || strings.Contains(string(bodyOf(r)), p.denied)) {
		fault = Denied
	}
	if strings.HasSuffix(operation, "Batch") && entriesOf(r) > mostEntries {
		fault = tooMany
	}
	p.mu.Unlock()
	if fault != nil {
		fault(w, r, p.forward)
		return
	}
	p.forward.ServeHTTP(w, r)
}

// actionOf is the permission that an operation needs.
func actionOf(operation string) string { return strings.TrimSuffix(operation, "Batch") }

// operationOf is what a request asks for, with the service before it as IAM names it.
func operationOf(r *http.Request) string {
	if service, operation, ok := strings.Cut(r.Header.Get("X-Amz-Target"), "."); ok {
		switch service {
		case "AWSEvents":
			return "events:" + operation
		case "AmazonSQS":
			return "sqs:" + operation
		}
		return service + ":" + operation
	}
	if strings.HasPrefix(r.URL.Path, "/schedules") {
		if r.URL.Path == "/schedules" {
			return "scheduler:ListSchedules"
		}
		return "scheduler:" + map[string]string{http.MethodPost: "Create", http.MethodPut: "Update", http.MethodGet: "Get", http.MethodDelete: "Delete"}[r.Method] + "Schedule"
	}
	if form, err := url.ParseQuery(string(bodyOf(r))); err == nil && form.Get("Action") != "" {
		return "sts:" + form.Get("Action")
	}
	return "unknown:" + r.Method + " " + r.URL.Path
}

// mostEntries is how many entries a batch of SQS has at most; moto deletes more all the same.
const mostEntries = 10

// entriesOf is how many entries a batch of SQS has.
func entriesOf(r *http.Request) int {
	var batch struct{ Entries []json.RawMessage }
	_ = json.Unmarshal(bodyOf(r), &batch) //nolint:errcheck // moto says so.
	return len(batch.Entries)
}

// bodyOf is the body of a request, which can be read again; empty where it is cut off.
func bodyOf(r *http.Request) []byte {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	return body
}

// Answer is a fault: an error of AWS with a status and a code.
func Answer(status int, code, message string) Fault {
	return func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		_, _ = io.Copy(io.Discard, r.Body) //nolint:errcheck // Who asked is gone.
		if strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
			w.Header().Set("Content-Type", "text/xml")
			w.WriteHeader(status)
			fmt.Fprintf(w, "<ErrorResponse><Error><Code>%s</Code><Message>%s</Message></Error></ErrorResponse>", code, message)
			return
		}
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		w.Header().Set("X-Amzn-Errortype", code)
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(map[string]string{"__type": code, "message": message, "Message": message}) //nolint:errcheck // Who asked is gone.
	}
}

// The faults of AWS that are met in practice.
var (
	Throttled   = Answer(http.StatusBadRequest, "ThrottlingException", "Rate exceeded")
	Internal    = Answer(http.StatusInternalServerError, "InternalException", "This exception occurs due to unexpected causes")
	Unavailable = Answer(http.StatusServiceUnavailable, "ServiceUnavailable", "The service is unavailable")
	Denied      = Answer(http.StatusBadRequest, "AccessDeniedException", "User is not authorized to perform this action")
	Expired     = Answer(http.StatusBadRequest, "ExpiredTokenException", "The security token included in the request is expired")
	Limit       = Answer(http.StatusBadRequest, "LimitExceededException", "The requested resource exceeds the maximum number allowed.")
	Concurrent  = Answer(http.StatusBadRequest, "ConcurrentModificationException", "There is concurrent modification on a rule, target, archive, or replay.")

	tooMany = Answer(http.StatusBadRequest, "AWS.SimpleQueueService.TooManyEntriesInBatchRequest", "The batch request contains more entries than permissible.")
)

// Cut breaks the connection off before AWS has seen the request.
func Cut(http.ResponseWriter, *http.Request, http.Handler) { panic(http.ErrAbortHandler) }

// Lost lets AWS do what was asked for, and loses its answer.
func Lost(_ http.ResponseWriter, r *http.Request, forward http.Handler) {
	forward.ServeHTTP(httptest.NewRecorder(), r)
	panic(http.ErrAbortHandler)
}

// PartlyFailed is an answer without an error in which each entry failed.
func PartlyFailed(code string) Fault {
	return func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		_, _ = io.Copy(io.Discard, r.Body) //nolint:errcheck // Who asked is gone.
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		fmt.Fprintf(w, `{"FailedEntryCount":1,"FailedEntries":[{"TargetId":"x","ErrorCode":%q,"ErrorMessage":"it did not work"}]}`, code)
	}
}

// After lets AWS do what was asked for, and then calls done before it answers.
func After(done func()) Fault {
	return Changed(func(answer []byte) []byte {
		done()
		return answer
	})
}

// Changed lets AWS do what was asked for, and answers with what change makes of its answer.
func Changed(change func(answer []byte) []byte) Fault {
	return func(w http.ResponseWriter, r *http.Request, forward http.Handler) {
		answer := httptest.NewRecorder()
		forward.ServeHTTP(answer, r)
		body := change(answer.Body.Bytes())
		maps.Copy(w.Header(), answer.Header())
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		w.WriteHeader(answer.Code)
		_, _ = w.Write(body) //nolint:errcheck // Who asked is gone.
	}
}
