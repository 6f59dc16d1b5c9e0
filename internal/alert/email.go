package alert

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"strings"
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
	send := func(ctx context.Context, m store.AlertMessage) error {
		secret, err := password.read()
		if err != nil {
			return err
		}
		options := []mail.Option{mail.WithPort(port), mail.WithTimeout(smtpTimeout), mail.WithTLSConfig(trust)}
		switch security {
		case tlsImplicit:
			options = append(options, mail.WithSSL())
		case tlsNone:
			options = append(options, mail.WithTLSPolicy(mail.NoTLS))
		default:
			options = append(options, mail.WithTLSPolicy(mail.TLSMandatory))
		}
		if e.Username != "" {
			options = append(options, mail.WithSMTPAuth(mail.SMTPAuthAutoDiscover), mail.WithUsername(e.Username), mail.WithPassword(secret))
		}
		message, err := letter(m, from, to, subject, body)
		if err != nil {
			return err
		}
		client, err := mail.NewClient(host, options...)
		if err != nil {
			return err
		}
		return post(ctx, client, message)
	}
	return newChannel(channelEmail, send, password), nil
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

// post hands a message to a server. Once the server has taken it, nothing that
// goes wrong in saying goodbye counts: the message would be sent again.
func post(ctx context.Context, client *mail.Client, message *mail.Msg) error {
	conversation, err := client.DialToSMTPClientWithContext(ctx)
	if err != nil {
		return err
	}
	defer client.CloseWithSMTPClient(conversation) //nolint:errcheck // See above.
	// A server that stalls is left when there is no more time.
	defer context.AfterFunc(ctx, func() { conversation.Close() })()
	err = client.SendWithSMTPClient(conversation, message)
	var e *mail.SendError
	if errors.As(err, &e) && e.Reason == mail.ErrSMTPDataClose && e.ErrorCode() >= 500 {
		return &failure{error: err, refused: true} // The message is what it does not like.
	}
	return err
}
