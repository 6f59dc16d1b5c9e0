package alert

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/mail"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"tminus.dev/internal/invalid"
)

// Config is the alerts block of the configuration. A channel is on when it is
// told where to send. Secrets come as themselves, best by an environment
// variable, or as a file with nothing else in it, which is read anew for every
// message, so that they can be changed while tminus runs.
type Config struct {
	// Name is this installation's in messages and in PagerDuty's keys; "" means tminus.
	Name string `koanf:"name"`
	// LateAfter is how late slots may be where the schedule has no limit of its own; 0 means as late as they like.
	LateAfter time.Duration `koanf:"lateAfter"`
	// Remind is after how long people are told again of what lasts; 0 means never.
	Remind time.Duration `koanf:"remind"`
	// GroupWait is how long the first alert waits for others, so that they make one message.
	GroupWait time.Duration `koanf:"groupWait"`
	// GroupInterval is the least time between two messages.
	GroupInterval time.Duration `koanf:"groupInterval"`
	// GiveUpAfter is how long a message is tried; 0 means an hour.
	GiveUpAfter time.Duration `koanf:"giveUpAfter"`
	// MaxListed is how many alerts a message names, the others being counted; 0 means 20.
	MaxListed int `koanf:"maxListed"`

	Webhook   Webhook   `koanf:"webhook"`
	Slack     Slack     `koanf:"slack"`
	PagerDuty PagerDuty `koanf:"pagerduty"`
	Email     Email     `koanf:"email"`

	// Log takes what operators should know; nil means none of it.
	Log *slog.Logger `koanf:"-"`
}

// Webhook is an HTTP endpoint that takes a Notification in JSON.
type Webhook struct {
	URL     string `koanf:"url"`
	URLFile string `koanf:"urlFile"`
	// Secret signs requests as standardwebhooks.com says; "" means they are not signed.
	Secret     string `koanf:"secret"`
	SecretFile string `koanf:"secretFile"`
}

// Slack is an incoming webhook of Slack, or of what takes the same.
type Slack struct {
	URL     string `koanf:"url"`
	URLFile string `koanf:"urlFile"`
	// Text is a template over Notification; "" means the default.
	Text string `koanf:"text"`
}

// PagerDuty is an integration by its Events API v2.
type PagerDuty struct {
	// URL is where events go; "" means https://events.pagerduty.com/v2/enqueue.
	URL            string `koanf:"url"`
	RoutingKey     string `koanf:"routingKey"`
	RoutingKeyFile string `koanf:"routingKeyFile"`
	// Summary is a template over Notification; "" means the default.
	Summary string `koanf:"summary"`
}

// Email is sent by SMTP.
type Email struct {
	// SMTP is the server, host:port.
	SMTP string `koanf:"smtp"`
	// TLS is starttls, implicit (from the first byte on) or none; "" means implicit on port 465, else starttls.
	TLS string `koanf:"tls"`
	// From is an address, To one or more, separated by commas.
	From string `koanf:"from"`
	To   string `koanf:"to"`
	// Username logs in; "" means that nobody does.
	Username     string `koanf:"username"`
	Password     string `koanf:"password"`
	PasswordFile string `koanf:"passwordFile"`
	// Subject and Body are templates over Notification; "" means the default.
	Subject string `koanf:"subject"`
	Body    string `koanf:"body"`
}

// The ways to use TLS with SMTP.
const (
	tlsStart    = "starttls"
	tlsImplicit = "implicit"
	tlsNone     = "none"
)

const (
	defaultPagerDutyURL = "https://events.pagerduty.com/v2/enqueue"
	// routingKeyLength is what PagerDuty's API insists on.
	routingKeyLength = 32
	maxListed        = 200
)

// Validate reports the first key that cannot be used, as an *invalid.Error
// whose Field is the key. It reads no files.
func (c Config) Validate() error {
	_, err := c.build()
	return err
}

// withDefaults is c with what its zero values mean.
func (c Config) withDefaults() Config {
	c.Name = cmp.Or(c.Name, "tminus")
	c.GiveUpAfter = cmp.Or(c.GiveUpAfter, time.Hour)
	c.MaxListed = cmp.Or(c.MaxListed, 20)
	c.PagerDuty.URL = cmp.Or(c.PagerDuty.URL, defaultPagerDutyURL)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

// build checks c and makes its channels.
func (c Config) build() ([]*channel, error) {
	c = c.withDefaults()
	for _, d := range []struct {
		key   string
		value time.Duration
	}{
		{"lateAfter", c.LateAfter},
		{"remind", c.Remind},
		{"groupWait", c.GroupWait},
		{"groupInterval", c.GroupInterval},
		{"giveUpAfter", c.GiveUpAfter},
	} {
		if d.value < 0 {
			return nil, invalid.Field("alerts."+d.key, "%s: use 0 or more", d.value)
		}
	}
	if c.MaxListed < 1 || c.MaxListed > maxListed {
		return nil, invalid.Field("alerts.maxListed", "%d: use 1 to %d", c.MaxListed, maxListed)
	}
	if c.Name != oneLine(c.Name) || len(c.Name) > 50 {
		return nil, invalid.Field("alerts.name", "%q: use one line of at most 50 bytes", c.Name)
	}
	var channels []*channel
	for _, build := range []func(Config) (*channel, error){newWebhook, newSlack, newPagerDuty, newEmail} {
		ch, err := build(c)
		if err != nil {
			return nil, err
		}
		if ch != nil {
			channels = append(channels, ch)
		}
	}
	return channels, nil
}

// secret is a value of the configuration that no log, error or listing shows.
type secret struct {
	key         string // of the value; that of the file ends in File
	value, file string
	check       func(string) error // its error must not hold the value
}

func newSecret(key, value, file string, check func(string) error) (secret, error) {
	s := secret{key, value, file, check}
	if value != "" && file != "" {
		return s, invalid.Field(key+"File", "%s is set as well; keep one", key)
	}
	if value != "" && check != nil {
		if err := check(value); err != nil {
			return s, invalid.Field(key, "%v", err)
		}
	}
	return s, nil
}

// given says that there is a value.
func (s secret) given() bool { return s.value != "" || s.file != "" }

// read is the value in force; "" when none is given.
func (s secret) read() (string, error) {
	if s.file == "" {
		return s.value, nil
	}
	content, err := os.ReadFile(filepath.Clean(s.file))
	if err != nil {
		return "", invalid.Field(s.key+"File", "%v", err)
	}
	value := strings.TrimSpace(string(content))
	if value == "" {
		return "", invalid.Field(s.key+"File", "%s is empty", s.file)
	}
	if s.check != nil {
		if err := s.check(value); err != nil {
			return "", invalid.Field(s.key+"File", "%s: %v", s.file, err)
		}
	}
	return value, nil
}

// webURL takes what requests can be sent to. Its errors do not show the URL.
func webURL(v string) error {
	u, err := url.Parse(v)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return errors.New("not a URL such as https://example.com/path (it is a secret and not shown)")
	}
	return nil
}

func routingKey(v string) error {
	if len(v) != routingKeyLength {
		return fmt.Errorf("has %d characters, an integration key of the Events API v2 has %d", len(v), routingKeyLength)
	}
	return nil
}

// server splits Email.SMTP, and says how TLS is used with it.
func (e Email) server() (host string, port int, security string, err error) {
	host, digits, err := net.SplitHostPort(e.SMTP)
	if err != nil || host == "" {
		return "", 0, "", invalid.Field("alerts.email.smtp", "%q: use host:port, such as smtp.example.com:587", e.SMTP)
	}
	if port, err = strconv.Atoi(digits); err != nil || port < 1 || port > 65535 {
		return "", 0, "", invalid.Field("alerts.email.smtp", "%q: the port must be a number from 1 to 65535", e.SMTP)
	}
	security = e.TLS
	if security == "" {
		security = tlsStart
		if port == 465 {
			security = tlsImplicit
		}
	}
	return host, port, security, nil
}

func address(key, v string) (string, error) {
	a, err := mail.ParseAddress(v)
	if err != nil {
		return "", invalid.Field(key, "%q: use an address such as tminus@example.com", v)
	}
	return a.String(), nil
}

func addresses(key, v string) ([]string, error) {
	list, err := mail.ParseAddressList(v)
	if err != nil {
		return nil, invalid.Field(key, "%q: use addresses such as oncall@example.com, separated by commas", v)
	}
	all := make([]string, len(list))
	for i, a := range list {
		all[i] = a.String()
	}
	return all, nil
}
