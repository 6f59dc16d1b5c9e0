package alert

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/wneessen/go-mail"

	"tminus.dev/internal/invalid"
	"tminus.dev/internal/store"
)

// smtpTimeout bounds each half of an attempt: connecting and logging in, and handing the message over.
const smtpTimeout = attemptTimeout / 2

func newEmail(c Config) (*channel, error) { return newEmailTrusting(c, nil) }

// newEmailTrusting is newEmail with the certificates to trust; nil means the system's.
func newEmailTrusting(c Config, trust *tls.Config) (*channel, error) {
	e := c.Email
	subject, err := parseText("alerts.email.subject", e.Subject, defaultSubject)
	if err != nil {
		return nil, err
	}
	body, err := parseText("alerts.email.body", e.Body, defaultBody)
	if err != nil {
		return nil, err
	}
	if !slices.Contains([]string{"", tlsStart, tlsImplicit, tlsNone}, e.TLS) {
		return nil, invalid.Field("alerts.email.tls", "%q: use one of %s, %s, %s", e.TLS, tlsStart, tlsImplicit, tlsNone)
	}
	if e.SMTP == "" && e.From == "" && e.To == "" {
		return nil, nil //nolint:nilnil // No channel.
	}
	for _, k := range []struct{ key, value string }{{"smtp", e.SMTP}, {"from", e.From}, {"to", e.To}} {
		if k.value == "" {
			return nil, invalid.Field("alerts.email."+k.key, "is empty; e-mail needs smtp, from and to")
		}
	}
	host, port, security, err := e.server()
	if err != nil {
		return nil, err
	}
	from, err := address("alerts.email.from", e.From)
	if err != nil {
		return nil, err
	}
	to, err := addresses("alerts.email.to", e.To)
	if err != nil {
		return nil, err
	}
	password, err := newSecret("alerts.email.password", e.Password, e.PasswordFile, nil)
	if err != nil {
		return nil, err
	}
	switch {
	case password.given() != (e.Username != ""):
		return nil, invalid.Field("alerts.email.username", "goes with a password; set both or none")
	case e.Username != "" && security == tlsNone:
		return nil, invalid.Field("alerts.email.tls", "none would send the password in the clear; use %s or %s", tlsStart, tlsImplicit)
	}
	if trust == nil {
		trust = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	trust.ServerName = host
	options := []mail.Option{mail.WithPort(port), mail.WithTimeout(smtpTimeout), mail.WithTLSConfig(trust)}
	switch security {
	case tlsImplicit:
		options = append(options, mail.WithSSL())
	case tlsNone:
		options = append(options, mail.WithTLSPolicy(mail.NoTLS))
	default:
		options = append(options, mail.WithTLSPolicy(mail.TLSMandatory))
	}
	send := func(ctx context.Context, m store.AlertMessage) error {
		secret, err := password.read()
		if err != nil {
			return err
		}
		message, err := letter(m, from, to, subject, body)
		if err != nil {
			return err
		}
		options := slices.Clip(options)
		if e.Username != "" {
			options = append(options, mail.WithUsername(e.Username), mail.WithPassword(secret), mail.WithOpportunisticSMTPAuth(logins...))
		}
		line := &line{}
		defer line.hangUp()
		defer context.AfterFunc(ctx, line.hangUp)()
		if security == tlsImplicit {
			options = append(options, mail.WithDialContextFunc(line.dial(&tls.Dialer{Config: trust})))
		} else {
			options = append(options, mail.WithDialContextFunc(line.dial(&net.Dialer{})))
		}
		client, err := mail.NewClient(host, options...)
		if err != nil {
			return err
		}
		err = client.DialAndSendWithContext(ctx, message)
		var refusal *mail.SendError
		switch {
		case message.IsDelivered():
			return nil // What goes wrong in saying goodbye must not send it again.
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.As(err, &refusal) && refusal.Reason == mail.ErrSMTPDataClose && refusal.ErrorCode() >= 500:
			return &failure{error: err, refused: true} // The message is what the server does not like.
		}
		return err
	}
	return newChannel(channelEmail, send, password), nil
}

// logins are the ways to log in, the first that the server knows being taken;
// only over TLS does anybody log in.
var logins = []mail.SMTPAuthType{
	mail.SMTPAuthSCRAMSHA256, mail.SMTPAuthSCRAMSHA1, mail.SMTPAuthPlain, mail.SMTPAuthLogin, mail.SMTPAuthCramMD5,
}

// letter is m as an e-mail. Its Message-ID is that of every attempt.
func letter(m store.AlertMessage, from string, to []string, subject, body text) (*mail.Msg, error) {
	var n Notification
	if err := json.Unmarshal(m.Body, &n); err != nil {
		return nil, refuse("read message: %w", err)
	}
	x := mail.NewMsg(mail.WithNoDefaultUserAgent())
	if err := errors.Join(x.From(from), x.To(to...)); err != nil {
		return nil, refuse("address message: %w", err)
	}
	_, domain, _ := strings.Cut(strings.TrimSuffix(from, ">"), "@")
	x.SetMessageIDWithValue(m.ID + "@" + domain)
	x.SetDateWithValue(time.Now())
	x.SetGenHeader("Auto-Submitted", "auto-generated")
	x.Subject(oneLine(subject.render(n)))
	x.SetBodyString(mail.TypeTextPlain, body.render(n))
	return x, nil
}

// line is a connection that ends when it has to: the library leaves one open on
// which the conversation failed, and does not look at its context.
type line struct {
	mu     sync.Mutex
	conn   net.Conn
	hungUp bool
}

func (l *line) dial(d interface {
	DialContext(ctx context.Context, network, address string) (net.Conn, error)
},
) mail.DialContextFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := d.DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.hungUp {
			return nil, errors.Join(net.ErrClosed, c.Close())
		}
		l.conn = c
		return c, nil
	}
}

func (l *line) hangUp() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hungUp = true
	if l.conn != nil {
		l.conn.Close()
	}
}
