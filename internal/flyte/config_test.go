package flyte_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"tminus.dev/internal/flyte"
	"tminus.dev/internal/invalid"
)

func TestEndpoints(t *testing.T) {
	for endpoint, good := range map[string]bool{
		"dns:///flyte.example.com":           true,
		"dns:///flyte.example.com:443":       true,
		"dns://8.8.8.8/flyte.example.com:80": true,
		"flyteadmin:81":                      true,
		"flyteadmin.flyte.svc:81":            true,
		"127.0.0.1:8089":                     true,
		"[::1]:8089":                         true,
		"passthrough:///flyteadmin:81":       true,
		"unix:///run/flyteadmin.sock":        true,
		"":                                   false,
		"http://localhost:30080":             false,
		"https://flyte.example.com":          false,
		"grpc://flyte.example.com:443":       false,
		"flyte.example.com/console":          false,
		"dns:///flyte.example.com:443/":      false,
		"two words":                          false,
	} {
		err := flyte.Config{Endpoint: endpoint}.Validate()
		if good {
			if err != nil {
				t.Errorf("%s: %v", endpoint, err)
			}
			continue
		}
		if e, ok := errors.AsType[*invalid.Error](err); !ok || e.Field != "admin.endpoint" || !strings.Contains(e.Problem, "dns:///") {
			t.Errorf("%s: got %v", endpoint, err)
		}
	}
}

func TestValidate(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(*flyte.Config)
		field  string // "" means that it is good
		want   string
	}{
		{"nothing but an endpoint", func(*flyte.Config) {}, "", ""},
		{"all of it", func(c *flyte.Config) {
			c.InsecureSkipVerify, c.CACertFilePath, c.ClientCertFilePath, c.ClientKeyFilePath = true, "a", "b", "c"
			c.MaxBackoffDelay, c.PerRetryTimeout, c.MaxRetries, c.MaxMessageSizeBytes = time.Second, time.Second, 4, 4194304
			c.DefaultServiceConfig = `{"loadBalancingConfig": [{"round_robin":{}}]}`
			c.AuthType, c.Command, c.ProxyCommand = flyte.ExternalCommand, []string{"a"}, []string{"b"}
			c.TokenURL, c.HTTPProxyURL, c.AuthorizationHeader = "https://idp/token", "http://u:p@proxy:3128", "Flyte-Authorization"
		}, "", ""},
		{"no TLS, with an authority", func(c *flyte.Config) { c.Insecure, c.CACertFilePath = true, "a" }, "", ""},
		{"no TLS, with a client's certificate", func(c *flyte.Config) { c.Insecure, c.ClientCertFilePath, c.ClientKeyFilePath = true, "a", "b" }, "admin.insecure", "leave out"},
		{"a certificate without its key", func(c *flyte.Config) { c.ClientCertFilePath = "a" }, "admin.clientKeyFilePath", "both"},
		{"a key without its certificate", func(c *flyte.Config) { c.ClientKeyFilePath = "a" }, "admin.clientCertFilePath", "both"},
		{"negative backoff", func(c *flyte.Config) { c.MaxBackoffDelay = -1 }, "admin.maxBackoffDelay", "0 or more"},
		{"negative timeout", func(c *flyte.Config) { c.PerRetryTimeout = -time.Second }, "admin.perRetryTimeout", "-1s"},
		{"negative window", func(c *flyte.Config) { c.TokenRefreshWindow = -1 }, "admin.tokenRefreshWindow", "0 or more"},
		{"negative time for a browser", func(c *flyte.Config) { c.PkceConfig.Timeout = -1 }, "admin.pkceConfig.timeout", "0 or more"},
		{"negative time before the end", func(c *flyte.Config) { c.DeviceFlowConfig.RefreshTime = -1 }, "admin.deviceFlowConfig.refreshTime", "0 or more"},
		{"negative poll", func(c *flyte.Config) { c.DeviceFlowConfig.PollInterval = -1 }, "admin.deviceFlowConfig.pollInterval", "0 or more"},
		{"negative retries", func(c *flyte.Config) { c.MaxRetries = -1 }, "admin.maxRetries", "from 0"},
		{"too many retries", func(c *flyte.Config) { c.MaxRetries = 101 }, "admin.maxRetries", "100"},
		{"negative size", func(c *flyte.Config) { c.MaxMessageSizeBytes = -1 }, "admin.maxMessageSizeBytes", "from 0"},
		{"no JSON", func(c *flyte.Config) { c.DefaultServiceConfig = "round_robin" }, "admin.defaultServiceConfig", "loadBalancingConfig"},
		{"an unknown way", func(c *flyte.Config) { c.AuthType = "Kerberos" }, "admin.authType", "ClientSecret, Pkce, ExternalCommand or DeviceFlow"},
		{"a way in other letters, as in Flyte", func(c *flyte.Config) { c.AuthType = "pkce" }, "admin.authType", `"pkce"`},
		{"no command", func(c *flyte.Config) { c.AuthType = flyte.ExternalCommand }, "admin.command", "is empty"},
		{"an empty command", func(c *flyte.Config) { c.AuthType, c.Command = flyte.ExternalCommand, []string{""} }, "admin.command", "is empty"},
		{"an empty command for the proxy", func(c *flyte.Config) { c.ProxyCommand = []string{"", "x"} }, "admin.proxyCommand", "list of its words"},
		{"a token endpoint that is none", func(c *flyte.Config) { c.TokenURL = "idp/token" }, "admin.tokenUrl", "https://"},
		{"a proxy that is none", func(c *flyte.Config) { c.HTTPProxyURL = "user:s3cret@proxy" }, "admin.httpProxyURL", "http://"},
		{"a header with a space", func(c *flyte.Config) { c.AuthorizationHeader = "flyte authorization" }, "admin.authorizationHeader", "letters"},
		{"a header of gRPC's", func(c *flyte.Config) { c.AuthorizationHeader = "grpc-token" }, "admin.authorizationHeader", "grpc-"},
		{"a binary header", func(c *flyte.Config) { c.AuthorizationHeader = "token-Bin" }, "admin.authorizationHeader", "-bin"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := flyte.Config{Endpoint: "dns:///flyte.example.com"}
			tc.change(&c)
			err := c.Validate()
			if tc.field == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			e, ok := errors.AsType[*invalid.Error](err)
			if !ok || e.Field != tc.field || !strings.Contains(e.Problem, tc.want) {
				t.Fatalf("got %v, want %s and %q", err, tc.field, tc.want)
			}
			if strings.Contains(err.Error(), hidden) {
				t.Errorf("a secret is shown: %v", err)
			}
		})
	}
}
