package awstest

import (
	"crypto/md5" //nolint:gosec // SQS says so.
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Stub is an SQS with one queue, in memory, that answers at once: for figures of
// what reads it, and for more messages than moto takes in a reasonable time. It
// hides what was taken for as long as it is told to.
type Stub struct {
	URL string

	server *http.Server

	mu       sync.Mutex
	messages []*stubMessage // visible ones, in the order in which they came
	hidden   map[string]*stubMessage
	expiries []*stubMessage // hidden ones, in the order in which they were hidden
	receipts int
	grown    chan struct{}
}

type stubMessage struct {
	id, body, digest string
	sent             int64
	receives         int
	receipt          string // while it is hidden
	visible          time.Time
}

// NewStub starts one on loopback. Close ends it.
func NewStub() (*Stub, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // It ends with Close.
	if err != nil {
		return nil, err
	}
	s := Unserved()
	s.URL = "http://" + l.Addr().String()
	s.server = &http.Server{Handler: s, ReadHeaderTimeout: time.Minute}
	go func() { _ = s.server.Serve(l) }() //nolint:errcheck // Close ends it.
	return s, nil
}

// Unserved is one that nobody listens for: it is reached by its ServeHTTP alone,
// and so in a bubble of synctest as well.
func Unserved() *Stub {
	return &Stub{hidden: make(map[string]*stubMessage), grown: make(chan struct{})}
}

// Do answers a request, as an HTTP client does.
func (s *Stub) Do(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w.Result(), r.Context().Err()
}

// Close ends it.
func (s *Stub) Close() error { return s.server.Close() }

// Put puts bodies into the queue.
func (s *Stub) Put(bodies ...string) { s.PutOld(0, bodies...) }

// PutOld puts bodies into the queue that were sent a while ago.
func (s *Stub) PutOld(age time.Duration, bodies ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now().Add(-age).UnixMilli()
	for _, b := range bodies {
		sum := md5.Sum([]byte(b)) //nolint:gosec // SQS says so.
		s.receipts++
		s.messages = append(s.messages, &stubMessage{id: fmt.Sprintf("m-%d", s.receipts), body: b, digest: hex.EncodeToString(sum[:]), sent: now})
	}
	close(s.grown)
	s.grown = make(chan struct{})
}

// Size is how many messages there are, hidden ones included.
func (s *Stub) Size() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.messages) + len(s.hidden)
}

// Taken says that somebody has taken messages that he has not deleted.
func (s *Stub) Taken() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.hidden) > 0
}

// stubRequest is what of SQS's requests matters here.
type stubRequest struct {
	MaxNumberOfMessages, WaitTimeSeconds, VisibilityTimeout int
	Entries                                                 []struct {
		ID                string `json:"Id"`
		ReceiptHandle     string
		VisibilityTimeout int
	}
}

func (s *Stub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var in stubRequest
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	switch operation := strings.TrimPrefix(operationOf(r), "sqs:"); operation {
	case "GetQueueUrl":
		fmt.Fprintf(w, `{"QueueUrl":"%s/queue"}`, s.URL) //nolint:gosec // No browser reads it.
	case "ReceiveMessage":
		s.receive(w, r, &in)
	case "DeleteMessageBatch", "ChangeMessageVisibilityBatch":
		s.change(w, &in, operation == "DeleteMessageBatch")
	case "GetQueueAttributes":
		s.mu.Lock()
		defer s.mu.Unlock()
		fmt.Fprintf(w, `{"Attributes":{"ApproximateNumberOfMessages":"%d","ApproximateNumberOfMessagesNotVisible":"%d"}}`, len(s.messages), len(s.hidden)) //nolint:gosec // No browser reads it.
	default:
		Denied(w, r, nil)
	}
}

func (s *Stub) receive(w http.ResponseWriter, r *http.Request, in *stubRequest) {
	deadline := time.After(time.Duration(in.WaitTimeSeconds) * time.Second)
	for {
		taken, grown := s.take(max(in.MaxNumberOfMessages, 1), time.Duration(in.VisibilityTimeout)*time.Second)
		if len(taken) > 0 {
			_, _ = w.Write(encodeMessages(taken)) //nolint:errcheck,gosec // Who asked is gone; it comes again. No browser reads it.
			return
		}
		select {
		case <-grown:
		case <-time.After(100 * time.Millisecond): // Something may be visible again.
		case <-deadline:
			_, _ = w.Write([]byte(`{}`)) //nolint:errcheck // Likewise.
			return
		case <-r.Context().Done():
			return
		}
	}
}

func (s *Stub) take(most int, visibility time.Duration) (taken []stubMessage, grown chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	for len(s.expiries) > 0 && !s.expiries[0].visible.After(now) {
		m := s.expiries[0]
		s.expiries = s.expiries[1:]
		if s.hidden[m.receipt] == m { // It was not deleted, nor hidden for longer.
			delete(s.hidden, m.receipt)
			m.receipt = ""
			s.messages = append(s.messages, m)
		}
	}
	n := min(most, len(s.messages))
	for _, m := range s.messages[:n] {
		s.receipts++
		m.receives++
		m.receipt, m.visible = "r-"+strconv.Itoa(s.receipts), now.Add(visibility)
		s.hidden[m.receipt] = m
		s.expiries = append(s.expiries, m)
		taken = append(taken, *m)
	}
	s.messages = s.messages[n:]
	return taken, s.grown
}

func encodeMessages(taken []stubMessage) []byte {
	b := []byte(`{"Messages":[`)
	for i, m := range taken {
		if i > 0 {
			b = append(b, ',')
		}
		b = fmt.Appendf(b, `{"MessageId":%q,"ReceiptHandle":%q,"MD5OfBody":%q,"Attributes":{"SentTimestamp":"%d","ApproximateReceiveCount":"%d"},"Body":`, m.id, m.receipt, m.digest, m.sent, m.receives)
		body, _ := json.Marshal(m.body) //nolint:errcheck,errchkjson // A string.
		b = append(b, body...)
		b = append(b, '}')
	}
	return append(b, ']', '}')
}

// change deletes messages, or hides them for longer or shorter.
func (s *Stub) change(w http.ResponseWriter, in *stubRequest, deletes bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := []byte(`{"Successful":[`)
	for i, e := range in.Entries {
		if m := s.hidden[e.ReceiptHandle]; m != nil {
			delete(s.hidden, e.ReceiptHandle)
			if !deletes {
				again := *m
				again.visible = time.Now().Add(time.Duration(e.VisibilityTimeout) * time.Second)
				s.hidden[again.receipt] = &again
				// In order, as most are hidden for the same time.
				at := len(s.expiries)
				for at > 0 && s.expiries[at-1].visible.After(again.visible) {
					at--
				}
				s.expiries = slices.Insert(s.expiries, at, &again)
			}
		}
		if i > 0 {
			b = append(b, ',')
		}
		b = fmt.Appendf(b, `{"Id":%q}`, e.ID)
	}
	_, _ = w.Write(append(b, `],"Failed":[]}`...)) //nolint:errcheck // Who asked is gone.
}
