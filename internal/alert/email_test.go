package alert_test

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/http/httptest"
	"net/mail"
	"strings"
	"sync"
	"testing"

	"tminus.dev/internal/alert"
	"tminus.dev/internal/store"
)

// mailServer is a small SMTP server on loopback.
type mailServer struct {
	address string
	taken   chan letter
	tls     *tls.Config // with a certificate for 127.0.0.1
	trust   *x509.CertPool

	// starttls and auth are the extensions it offers; implicit means TLS from the first byte on.
	starttls, auth, implicit bool
	// refuse answers a command in its own way, where it has an entry.
	refuse map[string]string
	// hangup drops the connection once a message is taken.
	hangup bool
}

// letter is what the server took.
type letter struct {
	from, login string
	to          []string
	data        string
	encrypted   bool
}

func newMailServer(t *testing.T, options ...func(*mailServer)) *mailServer {
	t.Helper()
	certified := httptest.NewTLSServer(nil)
	defer certified.Close()
	s := &mailServer{taken: make(chan letter, 10), trust: x509.NewCertPool(), tls: &tls.Config{Certificates: certified.TLS.Certificates, MinVersion: tls.VersionTLS12}}
	s.trust.AddCert(certified.Certificate())
	for _, o := range options {
		o(s)
	}
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.address = l.Addr().String()
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				s.talk(c)
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		wg.Wait()
	})
	return s
}

// talk holds one conversation.
func (s *mailServer) talk(c net.Conn) {
	var m letter
	if s.implicit {
		c, m.encrypted = tls.Server(c, s.tls), true
	}
	r := bufio.NewReader(c)
	say := func(line string) { fmt.Fprintf(c, "%s\r\n", line) }
	say("220 ready")
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimSpace(line)
		verb, rest, _ := strings.Cut(line, " ")
		if answer, ok := s.refuse[verb]; ok {
			say(answer)
			continue
		}
		switch verb {
		case "EHLO":
			say("250-loopback")
			if s.starttls && !m.encrypted {
				say("250-STARTTLS")
			}
			if s.auth {
				say("250-AUTH PLAIN")
			}
			say("250 8BITMIME")
		case "STARTTLS":
			say("220 go on")
			c, m.encrypted = tls.Server(c, s.tls), true
			r = bufio.NewReader(c)
		case "AUTH":
			_, response, _ := strings.Cut(rest, " ")
			login, err := base64.StdEncoding.DecodeString(response)
			if m.login = string(login); err != nil || m.login != "\x00tminus\x00hunter2" {
				say("535 5.7.8 " + strings.ReplaceAll(m.login, "\x00", " ") + " is wrong")
				continue
			}
			say("235 welcome")
		case "MAIL":
			m.from = rest
			say("250 fine")
		case "RCPT":
			m.to = append(m.to, rest)
			say("250 fine")
		case "DATA":
			say("354 go on")
			var data strings.Builder
			for {
				line, err := r.ReadString('\n')
				if err != nil {
					return
				}
				if line == ".\r\n" {
					break
				}
				data.WriteString(strings.TrimPrefix(line, "."))
			}
			m.data = data.String()
			if answer, ok := s.refuse["."]; ok {
				say(answer)
				continue
			}
			say("250 taken")
			s.taken <- m
			if s.hangup {
				return
			}
		case "QUIT":
			say("221 bye")
			return
		default:
			say("250 fine")
		}
	}
}

// mailing is a configuration for s.
func mailing(s *mailServer) alert.Config {
	return alert.Config{Email: alert.Email{
		SMTP: s.address, From: "tminus <tminus@example.com>", To: "oncall@example.com, Second <second@example.com>",
	}}
}

// post sends what there is to say this morning, once.
func post(t *testing.T, s *mailServer, cfg alert.Config) store.AlertReceipt {
	t.Helper()
	m := about(t, cfg, morning)
	a, err := alert.NewEmailing(newMemory(), cfg, &tls.Config{RootCAs: s.trust, MinVersion: tls.VersionTLS12})
	if err != nil {
		t.Fatal(err)
	}
	return a.Attempt(t.Context(), m[0])
}

func TestMailIsWhatIsDocumented(t *testing.T) {
	s := newMailServer(t, func(s *mailServer) { s.starttls = true })
	if r := post(t, s, mailing(s)); r.Result != store.AlertSent {
		t.Fatal(r.Error)
	}
	got := <-s.taken
	same(t, "encrypted", got.encrypted, true)
	same(t, "sender", strings.HasPrefix(got.from, "FROM:<tminus@example.com>"), true)
	same(t, "recipients", got.to, []string{"TO:<oncall@example.com>", "TO:<second@example.com>"})
	m, err := mail.ReadMessage(strings.NewReader(got.data))
	if err != nil {
		t.Fatal(err)
	}
	subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(quotedprintable.NewReader(m.Body))
	if err != nil {
		t.Fatal(err)
	}
	text := "Subject: " + subject + "\n\n" + strings.TrimSpace(strings.NewReplacer("\r\n", "\n", "-- \r", "--").Replace(string(body)))
	same(t, "text", text, documented(t, "The default mail reads"))
	same(t, "Message-ID", m.Header.Get("Message-ID"), "<ID-email@example.com>")
	same(t, "Auto-Submitted", m.Header.Get("Auto-Submitted"), "auto-generated")
}

func TestMailServers(t *testing.T) {
	login := func(e *alert.Email) { e.Username, e.Password = "tminus", "hunter2" }
	for _, tc := range []struct {
		name   string
		server func(*mailServer)
		email  func(*alert.Email)
		want   store.AlertResult
		text   string // of the error
		login  string // that the server saw
	}{
		{name: "STARTTLS and a login", server: func(s *mailServer) { s.starttls, s.auth = true, true }, email: login, want: store.AlertSent, login: "\x00tminus\x00hunter2"},
		{name: "implicit TLS and a login", server: func(s *mailServer) { s.implicit, s.auth = true, true }, email: func(e *alert.Email) {
			login(e)
			e.TLS = "implicit"
		}, want: store.AlertSent, login: "\x00tminus\x00hunter2"},
		{name: "no TLS", server: func(*mailServer) {}, email: func(e *alert.Email) { e.TLS = "none" }, want: store.AlertSent},
		{name: "a server without TLS", server: func(s *mailServer) { s.auth = true }, email: login, want: store.AlertRetry, text: "STARTTLS"},
		{name: "a server without logins", server: func(s *mailServer) { s.starttls = true }, email: login, want: store.AlertRetry, text: "AUTH"},
		{name: "a wrong password", server: func(s *mailServer) { s.starttls, s.auth = true, true }, email: func(e *alert.Email) {
			e.Username, e.Password = "tminus", "correcthorse"
		}, want: store.AlertRetry, text: "is wrong"},
		{name: "busy", server: func(s *mailServer) { s.starttls, s.refuse = true, map[string]string{"MAIL": "451 4.3.0 later"} }, email: func(*alert.Email) {}, want: store.AlertRetry, text: "later"},
		{name: "an unknown recipient", server: func(s *mailServer) { s.starttls, s.refuse = true, map[string]string{"RCPT": "550 5.1.1 unknown"} }, email: func(*alert.Email) {}, want: store.AlertRetry, text: "unknown"},
		{name: "a message it does not like", server: func(s *mailServer) { s.starttls, s.refuse = true, map[string]string{".": "554 5.6.0 spam"} }, email: func(*alert.Email) {}, want: store.AlertLost, text: "spam"},
		{name: "a message it does not like now", server: func(s *mailServer) { s.starttls, s.refuse = true, map[string]string{".": "452 4.3.1 full"} }, email: func(*alert.Email) {}, want: store.AlertRetry, text: "full"},
		{name: "gone once it has the message", server: func(s *mailServer) { s.starttls, s.hangup = true, true }, email: func(*alert.Email) {}, want: store.AlertSent},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newMailServer(t, tc.server)
			cfg := mailing(s)
			tc.email(&cfg.Email)
			r := post(t, s, cfg)
			same(t, "result", r.Result, tc.want)
			if !strings.Contains(r.Error, tc.text) || strings.Contains(r.Error, "correcthorse") || strings.Contains(r.Error, "hunter2") {
				t.Errorf("error: %s", r.Error)
			}
			if r.Result == store.AlertSent {
				same(t, "login", (<-s.taken).login, tc.login)
			}
		})
	}
}

func TestACertificateOfNobodyIsNotTrusted(t *testing.T) {
	s := newMailServer(t, func(s *mailServer) { s.starttls = true })
	s.trust = x509.NewCertPool()
	if r := post(t, s, mailing(s)); r.Result != store.AlertRetry || !strings.Contains(r.Error, "certificate") {
		t.Errorf("%+v", r)
	}
}
