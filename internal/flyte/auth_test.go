package flyte_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"tminus.dev/gen/flyteidl/service"
	"tminus.dev/internal/flyte"
)

func TestAFlyteadminWithoutAuthenticationGetsNoToken(t *testing.T) {
	f := serve(t, &flyteadmin{})
	c := dial(t, f, flyte.Config{ClientSecretLocation: "/nowhere"})
	c.works()
	for _, header := range []string{"authorization", "flyte-authorization"} {
		if got := f.seen()[0].Get(header); len(got) != 0 {
			t.Errorf("%s: got %v", header, got)
		}
	}
	if got := f.seen()[0].Get("user-agent"); len(got) != 1 || !strings.HasPrefix(got[0], "tminus ") {
		t.Errorf("user agent: got %v", got)
	}
}

func TestATokenIsFetchedOnceFlyteadminAsks(t *testing.T) {
	for _, tc := range []struct {
		name            string
		config          flyte.Config
		key             string // authorizationMetadataKey
		methods         []string
		scope, audience string
	}{
		{name: "as flyteadmin says", key: "flyte-authorization", scope: "all offline"},
		{name: "flyteadmin names no header", key: "", scope: "all offline"},
		{name: "a header in other letters", key: "Flyte-Authorization", scope: "all offline"},
		{name: "a header of the configuration", config: flyte.Config{AuthorizationHeader: "Flyte-Authorization"}, key: "flyte-authorization", scope: "all offline"},
		{name: "scopes of the configuration", config: flyte.Config{Scopes: []string{"a", "b"}}, key: "flyte-authorization", scope: "a b"},
		{name: "an audience", config: flyte.Config{Audience: "urn:flyte"}, key: "flyte-authorization", scope: "all offline", audience: "urn:flyte"},
		{name: "flyteadmin's audience", config: flyte.Config{UseAudienceFromAdmin: true}, key: "flyte-authorization", scope: "all offline", audience: "https://flyte.example.com"},
		{name: "a secret in the header", key: "flyte-authorization", methods: []string{"client_secret_basic", "client_secret_post"}, scope: "all offline"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := withIDP(t, func(f *flyteadmin) { f.client.AuthorizationMetadataKey, f.methods = tc.key, tc.methods })
			tc.config.ClientSecretLocation = write(t, " s3cret-1\n")
			c := dial(t, f, tc.config)
			for range 3 {
				c.works()
			}
			seen := f.seen()
			if len(seen) != 4 || len(seen[0].Get(f.header())) != 0 {
				t.Errorf("got the calls %v, want one without a token and three with", seen)
			}
			if len(f.idp.requests) != 1 {
				t.Fatalf("got %d requests for tokens", len(f.idp.requests))
			}
			if r := f.idp.requests[0]; r.Get("scope") != tc.scope || r.Get("audience") != tc.audience {
				t.Errorf("got the request %v", r)
			}
		})
	}
}

func TestATokenEndpointOfTheConfigurationNeedsNoMetadata(t *testing.T) {
	i := newIDP(t)
	f := withIDP(t, func(f *flyteadmin) { f.client = &service.PublicClientAuthConfigResponse{} })
	f.idp = i
	t.Setenv("FLYTE_SECRET", "s3cret-1")
	dial(t, f, flyte.Config{
		TokenURL: i.URL + "/token", Scopes: []string{"all"}, AuthorizationHeader: "authorization",
		ClientSecretEnvVar: "FLYTE_SECRET", ClientSecretLocation: "/nowhere",
	}).works()
}

func TestAFlyteadminThatDoesNotSayWhereTokensComeFrom(t *testing.T) {
	f := withIDP(t)
	f.idp.URL = "" // It is asked for tokens, and names no endpoint.
	dial(t, f, flyte.Config{ClientSecretLocation: write(t, "s3cret-1")}).
		fails(codes.Unauthenticated, "does not say where tokens come from", "admin.tokenUrl")
}

func TestASecretIsReadAnewForEveryToken(t *testing.T) {
	f := withIDP(t)
	file := write(t, "s3cret-0")
	c := dial(t, f, flyte.Config{ClientSecretLocation: file})
	c.fails(codes.Unauthenticated, "invalid_client", "said the server", "admin.clientId (flytepropeller)", "admin.clientSecretLocation, "+file)
	if err := os.WriteFile(file, []byte("s3cret-1"), 0o600); err != nil {
		t.Fatal(err)
	}
	c.eventually()
}

func TestASecretThatIsNotThere(t *testing.T) {
	for _, tc := range []struct {
		name   string
		config flyte.Config
		want   []string
	}{
		{"no file", flyte.Config{ClientSecretLocation: "/nowhere"}, []string{"admin.clientSecretLocation", "/nowhere", "no such file"}},
		{"the default file", flyte.Config{}, []string{"admin.clientSecretLocation", "/etc/secrets/client_secret"}},
		{"an empty file", flyte.Config{ClientSecretLocation: write(t, "\n")}, []string{"admin.clientSecretLocation", "is empty"}},
		{"no variable", flyte.Config{ClientSecretEnvVar: "TMINUS_TEST_NO_SUCH"}, []string{"admin.clientSecretEnvVar", "$TMINUS_TEST_NO_SUCH", "is empty"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dial(t, withIDP(t), tc.config).fails(codes.Unauthenticated, tc.want...)
		})
	}
}

func TestATokenEndpointThatIsDownIsUnavailable(t *testing.T) {
	f := withIDP(t)
	c := dial(t, f, flyte.Config{ClientSecretLocation: write(t, "s3cret-1"), MaxRetries: 1})
	for _, code := range []int{http.StatusInternalServerError, http.StatusServiceUnavailable, http.StatusTooManyRequests} {
		f.idp.set(func(i *idp) { i.down = code })
		c.until(func(err error) bool {
			check(t, err, codes.Unavailable, f.idp.URL+"/token", "admin.tokenUrl")
			return strings.Contains(err.Error(), strconv.Itoa(code)) // An answer holds for a while.
		})
	}
	f.idp.set(func(i *idp) { i.down = 0 })
	c.eventually()

	f = withIDP(t)
	f.idp.Close()
	dial(t, f, flyte.Config{ClientSecretLocation: write(t, "s3cret-1")}).fails(codes.Unavailable, "admin.tokenUrl", "connection refused")
}

func TestATokenThatFlyteadminRefusesIsReplacedAndTheCallRepeated(t *testing.T) {
	f := withIDP(t)
	c := dial(t, f, flyte.Config{ClientSecretLocation: write(t, "s3cret-1")})
	c.works()
	for want := 2; want < 5; want++ {
		f.idp.set(func(i *idp) { clear(i.valid) })
		c.works()
		if got := f.idp.count(); got != want {
			t.Errorf("got %d tokens, want %d", got, want)
		}
	}
}

func TestAThousandCallersFetchOneToken(t *testing.T) {
	f := withIDP(t)
	c := dial(t, f, flyte.Config{ClientSecretLocation: write(t, "s3cret-1")})
	for round := 1; round <= 3; round++ {
		f.idp.set(func(i *idp) { clear(i.valid) })
		var all sync.WaitGroup
		for range 1000 {
			all.Go(func() {
				if err := c.call(); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if got := f.idp.count(); got != round {
			t.Errorf("round %d: got %d tokens", round, got)
		}
	}
}

func TestAFlyteadminThatRefusesEveryTokenDoesNotGetOneForEachCall(t *testing.T) {
	f := withIDP(t)
	f.idp.reject = true
	c := dial(t, f, flyte.Config{ClientSecretLocation: write(t, "s3cret-1"), MaxBackoffDelay: time.Hour})
	for range 20 {
		c.fails(codes.Unauthenticated, `refuses the token of admin.clientId "flytepropeller"`, "token parse error")
	}
	if got := f.idp.count(); got != 1 {
		t.Errorf("got %d tokens", got)
	}
}

func TestACommandPrintsTheToken(t *testing.T) {
	jwt := func(end time.Time) string {
		part := base64.RawURLEncoding.EncodeToString
		return part([]byte(`{"alg":"none"}`)) + "." + part(fmt.Appendf(nil, `{"exp":%d}`, end.Unix())) + ".s3cret"
	}
	for _, tc := range []struct {
		name, script string
		want         []string // of the error; none means that it works
	}{
		{name: "a token", script: "echo ' token-s3cret '"},
		{name: "a JWT", script: "echo " + jwt(time.Now().Add(time.Hour))},
		{name: "a JWT that is over", script: "echo " + jwt(time.Now().Add(-time.Hour)), want: []string{"admin.command", "was over at", "clock"}},
		{name: "nothing", script: "true", want: []string{"admin.command", "0 bytes"}},
		{name: "more than a token", script: "echo your token: token-s3cret", want: []string{"admin.command", "one and nothing else"}},
		{name: "failure", script: "echo token-s3cret; echo log in first >&2; exit 3", want: []string{"admin.command (/bin/sh)", "exit status 3", "log in first"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := withIDP(t)
			f.idp.valid["token-s3cret"] = true
			if word, ok := strings.CutPrefix(tc.script, "echo "); ok {
				f.idp.valid[word] = true
			}
			c := dial(t, f, flyte.Config{AuthType: flyte.ExternalCommand, Command: []string{"/bin/sh", "-c", tc.script}})
			if tc.want == nil {
				c.works()
				return
			}
			c.fails(codes.Unauthenticated, tc.want...)
		})
	}
	t.Run("no such command", func(t *testing.T) {
		dial(t, withIDP(t), flyte.Config{AuthType: flyte.ExternalCommand, Command: []string{"/nowhere/token"}}).
			fails(codes.Unauthenticated, "admin.command (/nowhere/token)", "no such file")
	})
}

func TestAProxyBeforeFlyteadminGetsATokenOfItsOwn(t *testing.T) {
	f := withIDP(t, func(f *flyteadmin) { f.proxy = "Bearer proxy-s3cret" })
	file := write(t, "proxy-s3cret-old")
	c := dial(t, f, flyte.Config{ClientSecretLocation: write(t, "s3cret-1"), ProxyCommand: []string{"cat", file}})
	c.fails(codes.Unauthenticated, "proxy before it, refuses the token of admin.proxyCommand", "the proxy wants a token")
	if err := os.WriteFile(file, []byte("proxy-s3cret"), 0o600); err != nil {
		t.Fatal(err)
	}
	c.eventually()
	if got := f.idp.proxyAuth; len(got) != 1 || got[0] != "Bearer proxy-s3cret" {
		t.Errorf("the token endpoint got %q", got)
	}

	dial(t, f, flyte.Config{ProxyCommand: []string{"/nowhere/token"}}).fails(codes.Unauthenticated, "admin.proxyCommand (/nowhere/token)")
}

func TestTokenEndpointsAreReachedByAProxy(t *testing.T) {
	f := withIDP(t)
	var asked []string
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.String())
		f.idp.Config.Handler.ServeHTTP(w, r)
	}))
	defer proxy.Close()
	dial(t, f, flyte.Config{
		ClientSecretLocation: write(t, "s3cret-1"), TokenURL: "http://idp.invalid/token", HTTPProxyURL: proxy.URL,
	}).works()
	if len(asked) != 1 || asked[0] != "http://idp.invalid/token" {
		t.Errorf("the proxy was asked for %q", asked)
	}
}
