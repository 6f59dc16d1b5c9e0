// Package flyte speaks to a remote flyteadmin.
package flyte

import (
	"cmp"
	"encoding/json"
	"net/url"
	"regexp"
	"strings"
	"time"

	"tminus.dev/internal/invalid"
)

// Config is the admin block of Flyte's configuration: how its clients (flytectl, FlytePropeller) reach flyteadmin. The
// keys, and what they mean, are those of Flyte 1.16; clientCertFilePath and clientKeyFilePath are ours.
//
// Flyte's keys useAuth and authorizationServerUrl are taken by the configuration and have no effect, as in Flyte.
type Config struct {
	// Endpoint is host:port, or a name of gRPC such as dns:///host:port.
	Endpoint string `koanf:"endpoint"`
	// Insecure means no TLS. Tokens then go over the network as they are.
	Insecure bool `koanf:"insecure"`
	// InsecureSkipVerify takes whatever certificate the server has.
	InsecureSkipVerify bool `koanf:"insecureSkipVerify"`
	// CACertFilePath is a PEM file of the authorities that vouch for flyteadmin, in place of the system's. Token
	// endpoints are checked against both.
	CACertFilePath string `koanf:"caCertFilePath"`
	// ClientCertFilePath and ClientKeyFilePath are PEM files of this client's certificate, for flyteadmin alone. They
	// are read at every handshake, so that they can be renewed.
	ClientCertFilePath string `koanf:"clientCertFilePath"`
	ClientKeyFilePath  string `koanf:"clientKeyFilePath"`

	// MaxBackoffDelay is the most time between two attempts to connect, or to get a token; 0 means 8 s.
	MaxBackoffDelay time.Duration `koanf:"maxBackoffDelay"`
	// PerRetryTimeout bounds each attempt at a call, and at a token endpoint; 0 means 15 s.
	PerRetryTimeout time.Duration `koanf:"perRetryTimeout"`
	// MaxRetries is how often a call is repeated at once while flyteadmin is unavailable.
	MaxRetries int `koanf:"maxRetries"`
	// MaxMessageSizeBytes bounds one answer; 0 means 64 MiB, which a page of 1000 launch plans fits in.
	MaxMessageSizeBytes int `koanf:"maxMessageSizeBytes"`
	// DefaultServiceConfig is gRPC's service config in JSON, such as of load balancing; "" means none.
	DefaultServiceConfig string `koanf:"defaultServiceConfig"`

	// AuthType says how to get a token, once flyteadmin asks for one; "" means ClientSecret.
	AuthType AuthType `koanf:"authType"`
	// TokenRefreshWindow is how long before its end a token is renewed (ClientSecret and ExternalCommand); under 10 s
	// means that. No token is renewed before half its life is over.
	TokenRefreshWindow time.Duration `koanf:"tokenRefreshWindow"`
	// ClientID is that of ClientSecret; "" means flytepropeller. People log in with the one flyteadmin names.
	ClientID string `koanf:"clientId"`
	// ClientSecretLocation is the file with the secret; "" means /etc/secrets/client_secret. It is read for every token,
	// so that secrets can be rotated. ClientSecretEnvVar goes over it.
	ClientSecretLocation string `koanf:"clientSecretLocation"`
	// ClientSecretEnvVar is the environment variable with the secret; "" means none.
	ClientSecretEnvVar string `koanf:"clientSecretEnvVar"`
	// Scopes are asked for with ClientSecret; none means those flyteadmin names.
	Scopes []string `koanf:"scopes"`
	// Audience is asked for; "" means none. UseAudienceFromAdmin asks for the one flyteadmin names.
	Audience             string `koanf:"audience"`
	UseAudienceFromAdmin bool   `koanf:"useAudienceFromAdmin"`
	// TokenURL is the token endpoint of ClientSecret; "" means the one flyteadmin names.
	TokenURL string `koanf:"tokenUrl"`
	// AuthorizationHeader is the metadata key of the token; "" means the one flyteadmin names.
	AuthorizationHeader string `koanf:"authorizationHeader"`
	// Command prints a token (ExternalCommand).
	Command []string `koanf:"command"`
	// ProxyCommand prints a token for a proxy before flyteadmin, which goes with every call, and with every request
	// to a token endpoint, as proxy-authorization; empty means none.
	ProxyCommand []string `koanf:"proxyCommand"`
	// HTTPProxyURL is the HTTP proxy of requests to token endpoints; "" means that of the environment (HTTPS_PROXY…).
	HTTPProxyURL string `koanf:"httpProxyURL"`

	PkceConfig       PkceConfig       `koanf:"pkceConfig"`
	DeviceFlowConfig DeviceFlowConfig `koanf:"deviceFlowConfig"`
}

// PkceConfig is about people who log in with a browser.
type PkceConfig struct {
	// Timeout is how long Login waits for the browser; 0 means 2 min.
	Timeout time.Duration `koanf:"timeout"`
	// RefreshTime is how long before its end a token is renewed; 0 means 5 min.
	RefreshTime time.Duration `koanf:"refreshTime"`
}

// DeviceFlowConfig is about people who log in with a code, on whatever device has a browser.
type DeviceFlowConfig struct {
	// Timeout is how long Login waits; 0 means 10 min.
	Timeout time.Duration `koanf:"timeout"`
	// RefreshTime is how long before its end a token is renewed; 0 means 5 min.
	RefreshTime time.Duration `koanf:"refreshTime"`
	// PollInterval is the time between two questions whether the code was entered, in whole seconds, where the server
	// does not say; 0 means 5 s.
	PollInterval time.Duration `koanf:"pollInterval"`
}

// AuthType is a way to get a token.
type AuthType string

// The ways, as Flyte spells them.
const (
	// ClientSecret is the client credentials grant of RFC 6749, section 4.4.
	ClientSecret AuthType = "ClientSecret"
	// Pkce has a person log in with a browser on this machine: RFC 7636.
	Pkce AuthType = "Pkce"
	// ExternalCommand runs a command that prints a token.
	ExternalCommand AuthType = "ExternalCommand"
	// DeviceFlow has a person enter a code on any device: RFC 8628.
	DeviceFlow AuthType = "DeviceFlow"
)

// The configuration keys begin with this, for errors.
const block = "admin."

// withDefaults is c with what its zero values mean.
func (c Config) withDefaults() Config {
	c.MaxBackoffDelay = cmp.Or(c.MaxBackoffDelay, 8*time.Second)
	c.PerRetryTimeout = cmp.Or(c.PerRetryTimeout, 15*time.Second)
	c.MaxMessageSizeBytes = cmp.Or(c.MaxMessageSizeBytes, 64<<20)
	c.AuthType = cmp.Or(c.AuthType, ClientSecret)
	c.ClientID = cmp.Or(c.ClientID, "flytepropeller")
	c.ClientSecretLocation = cmp.Or(c.ClientSecretLocation, "/etc/secrets/client_secret")
	c.AuthorizationHeader = strings.ToLower(c.AuthorizationHeader)
	c.PkceConfig.Timeout = cmp.Or(c.PkceConfig.Timeout, 2*time.Minute)
	c.PkceConfig.RefreshTime = cmp.Or(c.PkceConfig.RefreshTime, 5*time.Minute)
	c.DeviceFlowConfig.Timeout = cmp.Or(c.DeviceFlowConfig.Timeout, 10*time.Minute)
	c.DeviceFlowConfig.RefreshTime = cmp.Or(c.DeviceFlowConfig.RefreshTime, 5*time.Minute)
	c.DeviceFlowConfig.PollInterval = cmp.Or(c.DeviceFlowConfig.PollInterval, 5*time.Second)
	return c
}

// person says that somebody logs in.
func (c Config) person() bool { return c.AuthType == Pkce || c.AuthType == DeviceFlow }

var (
	// endpointForm is a target of gRPC: resolver:///host:port, resolver://authority/host:port, or host:port.
	endpointForm = regexp.MustCompile(`^((dns|passthrough)://[^/\s]*/)?[^/\s]+$`)
	unixForm     = regexp.MustCompile(`^unix:\S+$`)
	headerForm   = regexp.MustCompile(`^[0-9A-Za-z._-]+$`)
)

// Validate reports the first key that cannot be used, as an *invalid.Error whose Field is the key. It reads no files.
func (c Config) Validate() error {
	if err := c.validateConnection(); err != nil {
		return err
	}
	return c.validateAuth()
}

func (c Config) validateConnection() error {
	switch e := c.Endpoint; {
	case e == "":
		return invalid.Field(block+"endpoint", "is empty; use where flyteadmin listens for gRPC, such as dns:///flyte.example.com:443")
	case !endpointForm.MatchString(e) && !unixForm.MatchString(e):
		return invalid.Field(block+"endpoint", "%q: use where flyteadmin listens for gRPC as dns:///host:port or host:port, without http:// or https:// (admin.insecure says whether there is TLS)", e)
	}
	if c.Insecure && (c.ClientCertFilePath != "" || c.ClientKeyFilePath != "") {
		return invalid.Field(block+"insecure", "is true, which means no TLS, and a client certificate is for TLS; leave out the one or the other")
	}
	if (c.ClientCertFilePath == "") != (c.ClientKeyFilePath == "") {
		missing := "clientKeyFilePath"
		if c.ClientCertFilePath == "" {
			missing = "clientCertFilePath"
		}
		return invalid.Field(block+missing, "is empty; a client certificate takes both clientCertFilePath and clientKeyFilePath")
	}
	for _, d := range []struct {
		key   string
		value time.Duration
	}{
		{"maxBackoffDelay", c.MaxBackoffDelay},
		{"perRetryTimeout", c.PerRetryTimeout},
		{"tokenRefreshWindow", c.TokenRefreshWindow},
		{"pkceConfig.timeout", c.PkceConfig.Timeout},
		{"pkceConfig.refreshTime", c.PkceConfig.RefreshTime},
		{"deviceFlowConfig.timeout", c.DeviceFlowConfig.Timeout},
		{"deviceFlowConfig.refreshTime", c.DeviceFlowConfig.RefreshTime},
		{"deviceFlowConfig.pollInterval", c.DeviceFlowConfig.PollInterval},
	} {
		if d.value < 0 {
			return invalid.Field(block+d.key, "%s: use a duration of 0 or more, such as 15s", d.value)
		}
	}
	if n := c.MaxRetries; n < 0 || n > mostRetries {
		return invalid.Field(block+"maxRetries", "%d: use a number from 0 to %d", n, mostRetries)
	}
	if n := c.MaxMessageSizeBytes; n < 0 || n > mostMessage {
		return invalid.Field(block+"maxMessageSizeBytes", "%d: use a number of bytes from 0 to %d", n, mostMessage)
	}
	if s := c.DefaultServiceConfig; s != "" && !json.Valid([]byte(s)) {
		return invalid.Field(block+"defaultServiceConfig", "is not JSON; use gRPC's service config, such as "+`{"loadBalancingConfig": [{"round_robin": {}}]}`)
	}
	return nil
}

const (
	mostRetries = 100
	// mostMessage is what gRPC can take.
	mostMessage = 1<<31 - 1
)

func (c Config) validateAuth() error {
	switch c.AuthType {
	case "", ClientSecret, Pkce, DeviceFlow:
	case ExternalCommand:
		if len(c.Command) == 0 || c.Command[0] == "" {
			return invalid.Field(block+"command", "is empty, and authType is ExternalCommand; use the command that prints a token, as a list of its words")
		}
	default:
		return invalid.Field(block+"authType", "%q: use ClientSecret, Pkce, ExternalCommand or DeviceFlow", string(c.AuthType))
	}
	if len(c.ProxyCommand) > 0 && c.ProxyCommand[0] == "" {
		return invalid.Field(block+"proxyCommand", "begins with nothing; use the command that prints a token for the proxy, as a list of its words")
	}
	if c.TokenURL != "" && !isHTTP(c.TokenURL) {
		return invalid.Field(block+"tokenUrl", "use the URL of the token endpoint, such as https://idp.example.com/oauth2/token, or leave it out for the one that flyteadmin names")
	}
	if c.HTTPProxyURL != "" && !isHTTP(c.HTTPProxyURL) {
		return invalid.Field(block+"httpProxyURL", "use a URL such as http://proxy.example.com:3128")
	}
	if h := c.AuthorizationHeader; h != "" && (!headerForm.MatchString(h) || strings.HasPrefix(strings.ToLower(h), "grpc-") || strings.HasSuffix(strings.ToLower(h), "-bin")) {
		return invalid.Field(block+"authorizationHeader", "%q: use a metadata key such as flyte-authorization: letters, digits and . - _, not grpc-… or …-bin", h)
	}
	return nil
}

func isHTTP(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
}
