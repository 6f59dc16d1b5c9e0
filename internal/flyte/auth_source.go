package flyte

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"tminus.dev/gen/flyteidl/service"
)

// source is where tokens come from.
type source struct {
	Config
	metadata service.AuthMetadataServiceClient
	http     *http.Client
	log      *slog.Logger
	// cache is where Login left a token; for people alone.
	cache cache
}

// gates are those that calls of the connection go through.
func (s *source) gates() ([]gate, error) {
	var (
		proxy []gate
		err   error
	)
	if len(s.ProxyCommand) > 0 {
		t := &tokens{most: s.MaxBackoffDelay, log: s.log, fetch: s.proxyToken}
		proxy = []gate{{tokens: t, name: "flyteadmin, or the proxy before it,", whose: "admin.proxyCommand", always: true}}
		s.http, err = httpClient(s.Config, t)
	} else {
		s.http, err = httpClient(s.Config, nil)
	}
	if err != nil {
		return nil, err
	}
	t := &tokens{most: s.MaxBackoffDelay, log: s.log}
	g := gate{tokens: t, name: "flyteadmin"}
	switch s.AuthType {
	case Pkce, DeviceFlow:
		if s.cache, err = cacheOf(s.Endpoint); err != nil {
			return nil, err
		}
		g.whose, t.fetch = "the one who logged in (`tminus login`)", s.renewLogin
		if saved, err := s.cache.load(); err == nil {
			t.current = s.kept(saved)
		}
	case ExternalCommand:
		g.whose, t.fetch = "admin.command", s.commandToken
	default:
		g.whose, t.fetch = fmt.Sprintf("admin.clientId %q", s.ClientID), s.clientToken
	}
	return append([]gate{g}, proxy...), nil
}

// discovered is what flyteadmin says of how to get a token.
type discovered struct {
	header string
	oauth2 oauth2.Config
	// audience is the one to ask for; "" means none.
	audience string
}

// defaultHeader is the metadata key of tokens where flyteadmin names none, as the comment of its PublicClientAuthConfigResponse says.
const defaultHeader = "authorization"

// discover asks flyteadmin what the configuration does not say. A flyteadmin that has no answer leaves it empty.
func (s *source) discover(ctx context.Context) (discovered, error) {
	d := discovered{header: s.AuthorizationHeader, audience: s.Audience}
	d.oauth2 = oauth2.Config{ClientID: s.ClientID, Scopes: s.Scopes, Endpoint: oauth2.Endpoint{TokenURL: s.TokenURL}}
	grant := s.AuthType != ExternalCommand
	if d.header == "" || grant && (len(d.oauth2.Scopes) == 0 || s.UseAudienceFromAdmin) || s.person() {
		c, err := s.metadata.GetPublicClientConfig(ctx, &service.PublicClientAuthConfigRequest{})
		if err := unanswered(err); err != nil {
			return d, err
		}
		d.header = cmp.Or(d.header, strings.ToLower(c.GetAuthorizationMetadataKey()), defaultHeader)
		if len(d.oauth2.Scopes) == 0 || s.person() {
			d.oauth2.Scopes = c.GetScopes()
		}
		if s.UseAudienceFromAdmin {
			d.audience = c.GetAudience()
		}
		if s.person() {
			d.oauth2.ClientID, d.oauth2.RedirectURL = c.GetClientId(), c.GetRedirectUri()
			// Flyte's device flow asks for it in any case.
			if s.AuthType == DeviceFlow {
				d.audience = cmp.Or(d.audience, c.GetAudience())
			}
		}
	}
	if !grant || (s.TokenURL != "" && !s.person()) {
		return d, nil
	}
	m, err := s.metadata.GetOAuth2Metadata(ctx, &service.OAuth2MetadataRequest{})
	if err := unanswered(err); err != nil {
		return d, err
	}
	d.oauth2.Endpoint = oauth2.Endpoint{
		TokenURL: m.GetTokenEndpoint(), AuthURL: m.GetAuthorizationEndpoint(), DeviceAuthURL: m.GetDeviceAuthorizationEndpoint(),
		AuthStyle: authStyle(s.person(), m.GetTokenEndpointAuthMethodsSupported()),
	}
	if !isHTTP(d.oauth2.Endpoint.TokenURL) {
		return d, status.Error(codes.Unauthenticated, "flyteadmin does not say where tokens come from (AuthMetadataService); set admin.tokenUrl (authType ClientSecret), or have its administrator configure auth.appAuth")
	}
	return d, nil
}

// authStyle is how a client proves who it is. People's clients have no secret.
func authStyle(person bool, methods []string) oauth2.AuthStyle {
	switch {
	case person:
		return oauth2.AuthStyleInParams
	case slices.Contains(methods, "client_secret_basic"):
		return oauth2.AuthStyleInHeader
	case slices.Contains(methods, "client_secret_post"):
		return oauth2.AuthStyleInParams
	}
	return oauth2.AuthStyleAutoDetect // Try the one, then the other.
}

// unanswered is err unless it says that flyteadmin has no such service, as one without authentication has not.
func unanswered(err error) error {
	switch code := status.Code(err); code {
	case codes.OK, codes.Unimplemented, codes.NotFound:
		return nil
	default:
		return status.Errorf(code, "cannot ask flyteadmin how to get a token (AuthMetadataService): %s", status.Convert(err).Message())
	}
}

// clientToken gets a token with the client's secret.
func (s *source) clientToken(ctx context.Context, _ *credential) (*credential, error) {
	secret, from, err := s.secret()
	if err != nil {
		return nil, err
	}
	d, err := s.discover(ctx)
	if err != nil {
		return nil, err
	}
	c := clientcredentials.Config{
		ClientID: d.oauth2.ClientID, ClientSecret: secret, Scopes: d.oauth2.Scopes,
		TokenURL: d.oauth2.Endpoint.TokenURL, AuthStyle: d.oauth2.Endpoint.AuthStyle,
	}
	if d.audience != "" {
		c.EndpointParams = url.Values{"audience": {d.audience}}
	}
	token, err := c.Token(context.WithValue(ctx, oauth2.HTTPClient, s.http))
	if err != nil {
		return nil, refusal(c.TokenURL, fmt.Sprintf("check admin.clientId (%s), the secret (%s), admin.scopes and admin.audience", c.ClientID, from), err)
	}
	return s.credential(d.header, token, s.TokenRefreshWindow, "the token endpoint "+c.TokenURL)
}

// secret is the client's secret, and where it is.
func (s *source) secret() (value, from string, err error) {
	if name := s.ClientSecretEnvVar; name != "" {
		from = "admin.clientSecretEnvVar, $" + name
		value = os.Getenv(name)
	} else {
		from = "admin.clientSecretLocation, " + s.ClientSecretLocation
		content, err := os.ReadFile(filepath.Clean(s.ClientSecretLocation))
		if err != nil {
			return "", "", status.Errorf(codes.Unauthenticated, "flyteadmin wants a token, and the secret of admin.clientId (%s) cannot be read (admin.clientSecretLocation): %v", s.ClientID, err)
		}
		value = string(content)
	}
	if value = strings.TrimSpace(value); value == "" {
		return "", "", status.Errorf(codes.Unauthenticated, "flyteadmin wants a token, and the secret of admin.clientId (%s) is empty (%s)", s.ClientID, from)
	}
	return value, from, nil
}

// refusal is what became of a request to a token endpoint: Unavailable when it may be answered another time.
// Nothing of what was sent is in it, and of the answer only what is meant for people.
func refusal(endpoint, fix string, err error) error {
	if u, e := url.Parse(endpoint); e == nil {
		endpoint = u.Redacted()
	}
	refused, ok := errors.AsType[*oauth2.RetrieveError](err)
	if !ok {
		if failed, ok := errors.AsType[*url.Error](err); ok {
			err = failed.Err // The URL is in the message already.
		}
		if st, ok := status.FromError(err); ok {
			return st.Err() // There is no token for the proxy.
		}
		return status.Errorf(codes.Unavailable, "no token from the endpoint %s (admin.tokenUrl, or what flyteadmin names): %v", endpoint, err)
	}
	var said []string
	if refused.Response != nil {
		said = append(said, refused.Response.Status)
		if code := refused.Response.StatusCode; code >= http.StatusInternalServerError || code == http.StatusTooManyRequests || code == http.StatusRequestTimeout {
			return status.Errorf(codes.Unavailable, "no token from the endpoint %s (admin.tokenUrl, or what flyteadmin names): it answers %s", endpoint, said[0])
		}
	}
	for _, more := range []string{refused.ErrorCode, refused.ErrorDescription} {
		if more != "" {
			said = append(said, shortened(more))
		}
	}
	return status.Errorf(codes.Unauthenticated, "the token endpoint %s refuses: %s; %s", endpoint, strings.Join(said, ", "), fix)
}

// commandToken runs admin.command.
func (s *source) commandToken(ctx context.Context, _ *credential) (*credential, error) {
	d, err := s.discover(ctx)
	if err != nil {
		return nil, err
	}
	token, err := run(ctx, "admin.command", s.Command)
	if err != nil {
		return nil, err
	}
	return s.credential(d.header, token, s.TokenRefreshWindow, "admin.command")
}

// proxyToken runs admin.proxyCommand.
func (s *source) proxyToken(ctx context.Context, _ *credential) (*credential, error) {
	token, err := run(ctx, "admin.proxyCommand", s.ProxyCommand)
	if err != nil {
		return nil, proxyError{err}
	}
	c, err := s.credential("proxy-authorization", token, s.TokenRefreshWindow, "admin.proxyCommand")
	if err != nil {
		return nil, proxyError{err}
	}
	return c, nil
}

// run is the token that a command prints.
func run(ctx context.Context, key string, command []string) (*oauth2.Token, error) {
	cmd := exec.CommandContext(ctx, command[0], command[1:]...) //nolint:gosec // The configuration names it.
	cmd.WaitDelay = time.Second
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil {
		said := err.Error()
		if text := strings.TrimSpace(complaints.String()); text != "" {
			said += ": " + shortened(text)
		}
		return nil, status.Errorf(codes.Unauthenticated, "%s (%s) fails: %s", key, command[0], said)
	}
	text := strings.TrimSpace(string(out))
	if text == "" || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, status.Errorf(codes.Unauthenticated, "%s (%s) prints %d bytes that are not a token; it must print one and nothing else", key, command[0], len(out))
	}
	return &oauth2.Token{AccessToken: text}, nil
}

// shortened is what others said, fit for a line of a log.
func shortened(s string) string {
	const most = 200
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}

// credential is a token that was just made.
func (s *source) credential(header string, token *oauth2.Token, grace time.Duration, maker string) (*credential, error) {
	now, end := time.Now(), token.Expiry
	if end.IsZero() {
		end = claimedEnd(token.AccessToken)
	}
	c := newCredential(header, token.Type()+" "+token.AccessToken, now, end, grace)
	if c.over(now) {
		return nil, status.Errorf(codes.Unauthenticated, "%s gives a token that was over at %s; is the clock right?", maker, end.UTC().Format(time.RFC3339))
	}
	return c, nil
}

// claimedEnd is when a token is over by its own words, where it is a JWT that says so, else zero. Nothing is verified:
// that is for flyteadmin to do.
func claimedEnd(token string) time.Time {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return time.Time{}
	}
	var claims struct {
		End float64 `json:"exp"`
	}
	content, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || json.Unmarshal(content, &claims) != nil || claims.End <= 0 || claims.End > 1<<40 {
		return time.Time{}
	}
	return time.Unix(int64(claims.End), 0)
}
