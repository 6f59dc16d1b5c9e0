package flyte_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"tminus.dev/internal/flyte"
	"tminus.dev/internal/invalid"
)

// atHome gives the user a configuration directory that is empty.
func atHome(t *testing.T) {
	t.Helper()
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("XDG_CONFIG_HOME", filepath.Join(home, ".config"))
}

// visit is a browser.
func visit(ctx context.Context, page string) (int, string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, page, nil)
	if err != nil {
		return 0, "", err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, "", err
	}
	body, err := io.ReadAll(answer.Body)
	return answer.StatusCode, string(body), errors.Join(err, answer.Body.Close())
}

// browser is one that somebody sits before. Its page comes once the login is through.
func browser(t *testing.T, wantStatus int, wantText string) func(context.Context, string) error {
	t.Helper()
	var visits sync.WaitGroup
	t.Cleanup(visits.Wait)
	return func(_ context.Context, page string) error {
		visits.Go(func() {
			if code, text, err := visit(context.Background(), page); err != nil || code != wantStatus || !strings.Contains(text, wantText) {
				t.Errorf("the page is %d %q, %v", code, text, err)
			}
		})
		return nil
	}
}

func noBrowser(context.Context, string) error { return errors.New("no browser") }

func login(t *testing.T, c flyte.Config, open func(context.Context, string) error) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var out bytes.Buffer
	err := flyte.LoginWith(ctx, c, &out, open)
	if strings.Contains(out.String(), hidden) || err != nil && strings.Contains(err.Error(), hidden) {
		t.Errorf("a secret is shown: %s, %v", out.String(), err)
	}
	return out.String(), err
}

func person(f *flyteadmin, way flyte.AuthType) flyte.Config {
	return flyte.Config{Endpoint: "dns:///" + f.address, Insecure: true, AuthType: way}
}

func TestAPersonLogsInWithABrowser(t *testing.T) {
	atHome(t)
	f := withIDP(t)
	c := person(f, flyte.Pkce)
	serving := dial(t, f, c)
	serving.fails(codes.Unauthenticated, "admin.authType Pkce", "nobody is", "tminus login")

	out, err := login(t, c, browser(t, http.StatusOK, "Logged in"))
	if err != nil {
		t.Fatal(err)
	}
	file, err := flyte.CacheFile(c.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{f.idp.URL + "/authorize?", "Logged in to " + c.Endpoint, file, "renewed when it ends"} {
		if !strings.Contains(out, want) {
			t.Errorf("got %q, want %q in it", out, want)
		}
	}
	for path, want := range map[string]os.FileMode{file: 0o600, filepath.Dir(file): 0o700 | os.ModeDir} {
		if info, err := os.Stat(path); err != nil || info.Mode() != want {
			t.Errorf("%s: got %v, %v", path, info.Mode(), err)
		}
	}

	serving.eventually() // What runs already finds the token.
	before := len(f.seen())
	dial(t, f, c).works()
	if got := len(f.seen()) - before; got != 1 {
		t.Errorf("a new connection took %d calls, want 1: there is a token already", got)
	}
	if other := (&flyteadmin{address: "127.0.0.1:1"}); !strings.Contains(fmt.Sprint(dial(t, other, person(other, flyte.Pkce)).call()), "connection refused") {
		t.Error("another endpoint shares the token")
	}
	if got := f.idp.count(); got != 1 {
		t.Errorf("got %d tokens", got)
	}
}

func TestALoginIsRenewedByItsRefreshToken(t *testing.T) {
	atHome(t)
	f := withIDP(t)
	c := person(f, flyte.Pkce)
	if _, err := login(t, c, browser(t, http.StatusOK, "Logged in")); err != nil {
		t.Fatal(err)
	}
	one, two := dial(t, f, c), dial(t, f, c)
	one.works()
	two.works()
	f.idp.set(func(i *idp) { clear(i.valid) })
	one.works()
	two.works() // By the token that the other kept: a refresh token is good for once.
	if got := f.idp.count(); got != 2 {
		t.Errorf("got %d tokens", got)
	}
	f.idp.set(func(i *idp) { clear(i.valid); i.down = http.StatusBadGateway })
	one.fails(codes.Unavailable, "admin.tokenUrl", "502")
	f.idp.set(func(i *idp) { i.down = 0; i.lost = true })
	one.until(func(err error) bool { return status.Code(err) == codes.Unauthenticated })
	one.fails(codes.Unauthenticated, "the login is over", "tminus login")
	if _, err := login(t, c, browser(t, http.StatusOK, "Logged in")); err != nil {
		t.Fatal(err)
	}
	one.eventually()
}

func TestALoginThatAnotherProcessRenewsMeanwhile(t *testing.T) {
	atHome(t)
	f := withIDP(t)
	c := person(f, flyte.Pkce)
	if _, err := login(t, c, browser(t, http.StatusOK, "Logged in")); err != nil {
		t.Fatal(err)
	}
	file, err := flyte.CacheFile(c.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	f.idp.set(func(i *idp) {
		clear(i.valid)
		i.before = func(i *idp) {
			content, err := os.ReadFile(file)
			if err == nil {
				err = os.WriteFile(file, bytes.ReplaceAll(content, []byte("token-s3cret-1"), []byte("token-s3cret-9")), 0o600)
			}
			if err != nil {
				t.Error(err)
			}
			i.valid["token-s3cret-9"], i.lost = true, true
		}
	})
	dial(t, f, c).works()
}

func TestTheHeaderOfTheConfigurationGoesOverThatOfTheLogin(t *testing.T) {
	atHome(t)
	f := withIDP(t)
	c := person(f, flyte.Pkce)
	if _, err := login(t, c, browser(t, http.StatusOK, "Logged in")); err != nil {
		t.Fatal(err)
	}
	f.client.AuthorizationMetadataKey, c.AuthorizationHeader = "x-token", "X-Token"
	dial(t, f, c).works()
	if got := len(f.seen()); got != 1 {
		t.Errorf("it took %d calls", got)
	}
}

func TestAPersonEntersACode(t *testing.T) {
	atHome(t)
	f := withIDP(t)
	f.idp.pending = 1
	c := person(f, flyte.DeviceFlow)
	out, err := login(t, c, noBrowser)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"https://idp.example.com/device", "ABCD-1234", "Logged in to " + c.Endpoint} {
		if !strings.Contains(out, want) {
			t.Errorf("got %q, want %q in it", out, want)
		}
	}
	if got := f.idp.audiences["device"]; got != f.client.GetAudience() {
		t.Errorf("got the audience %q", got)
	}
	dial(t, f, c).works()
}

func TestOnlyTheBrowserOfThisLoginIsHeard(t *testing.T) {
	atHome(t)
	f := withIDP(t)
	_, err := login(t, person(f, flyte.Pkce), func(ctx context.Context, page string) error {
		u, err := url.Parse(page)
		if err != nil {
			return err
		}
		for _, forged := range []string{"?code=code-s3cret&state=guess", "?code=code-s3cret", "?error=access_denied"} {
			code, text, err := visit(ctx, u.Query().Get("redirect_uri")+forged)
			if err != nil || code != http.StatusBadRequest || !strings.Contains(text, "not the login") {
				t.Errorf("%s: got %d %q, %v", forged, code, text, err)
			}
		}
		return browser(t, http.StatusOK, "Logged in")(ctx, page)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestALoginThatFails(t *testing.T) {
	back := func(t *testing.T, query string) func(context.Context, string) error {
		t.Helper()
		return func(ctx context.Context, page string) error {
			u, err := url.Parse(page)
			if err != nil {
				return err
			}
			return browser(t, http.StatusForbidden, "tminus: ")(ctx, u.Query().Get("redirect_uri")+"?state="+u.Query().Get("state")+query)
		}
	}
	for _, tc := range []struct {
		name   string
		change func(*flyteadmin)
		config func(*flyte.Config)
		query  string // with which the browser comes back; "" means that it does not
		want   []string
	}{
		{name: "refused", query: "&error=access_denied&error_description=not+you", want: []string{"refused: access_denied not you"}},
		{name: "refused without a reason", query: "&x=", want: []string{"no reason given"}},
		{name: "a bad code", query: "&code=other", want: []string{"invalid_grant"}},
		{name: "nobody comes", config: func(c *flyte.Config) { c.PkceConfig.Timeout = time.Millisecond }, want: []string{"nobody logged in within 1ms", "admin.pkceConfig.timeout"}},
		{
			name: "a browser that comes back elsewhere", change: func(f *flyteadmin) { f.client.RedirectUri = "https://flyte.example.com/callback" },
			want: []string{"https://flyte.example.com/callback", "redirectUri", "http://localhost:port/path"},
		},
		{
			name: "nobody enters the code", config: func(c *flyte.Config) {
				c.AuthType, c.DeviceFlowConfig.Timeout = flyte.DeviceFlow, time.Millisecond*50
			},
			change: func(f *flyteadmin) { f.idp.pending = 1000 },
			want:   []string{"nobody entered the code in time", "admin.deviceFlowConfig.timeout"},
		},
		{
			name: "no device endpoint", config: func(c *flyte.Config) { c.AuthType = flyte.DeviceFlow },
			change: func(f *flyteadmin) { f.idp.Config.Handler = http.NotFoundHandler() },
			want:   []string{"404", "device flow allowed for the client flytectl"},
		},
		{name: "nobody needs to", config: func(c *flyte.Config) { c.AuthType = flyte.ClientSecret }, want: []string{"admin.authType", "is ClientSecret", "Pkce or DeviceFlow"}},
		{name: "nowhere", config: func(c *flyte.Config) { c.Endpoint = "" }, want: []string{"admin.endpoint", "is empty"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			atHome(t)
			f := withIDP(t)
			if tc.change != nil {
				tc.change(f)
			}
			c := person(f, flyte.Pkce)
			if tc.config != nil {
				tc.config(&c)
			}
			open := noBrowser
			if tc.query != "" {
				open = back(t, tc.query)
			}
			_, err := login(t, c, open)
			contains(t, err, tc.want...)
		})
	}
	t.Run("a flyteadmin without authentication", func(t *testing.T) {
		atHome(t)
		f := serve(t, &flyteadmin{})
		_, err := login(t, person(f, flyte.Pkce), noBrowser)
		contains(t, err, "does not say where tokens come from")
	})
}

func TestNobodyHasAHome(t *testing.T) {
	t.Setenv("HOME", "")
	t.Setenv("XDG_CONFIG_HOME", "")
	_, err := flyte.Dial(t.Context(), flyte.Config{Endpoint: "localhost:1", AuthType: flyte.Pkce}, nil)
	if e, ok := errors.AsType[*invalid.Error](err); !ok || e.Field != "admin.authType" {
		t.Errorf("got %v", err)
	}
}
