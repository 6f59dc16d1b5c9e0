package flyte

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os/exec"
	"runtime"
	"time"

	"golang.org/x/oauth2"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"tminus.dev/gen/flyteidl/service"
	"tminus.dev/internal/invalid"
)

// Login has a person log in to the flyteadmin of c, with a browser (Pkce) or a code (DeviceFlow), and keeps the
// token in a file of mode 0600 in the user's configuration directory, one for each endpoint. Connections of Dial with the
// same endpoint use it and renew it. What the person has to do is written to out.
//
// It is an *invalid.Error where c cannot be used, or needs nobody to log in.
func Login(ctx context.Context, c Config, out io.Writer) error {
	return login(ctx, c, out, openBrowser)
}

func login(ctx context.Context, c Config, out io.Writer, open func(ctx context.Context, url string) error) error {
	if err := c.Validate(); err != nil {
		return err
	}
	c = c.withDefaults()
	if !c.person() {
		return invalid.Field(block+"authType", "is %s, which needs nobody to log in; use Pkce or DeviceFlow for people", c.AuthType)
	}
	s := &source{Config: c, log: slog.New(slog.DiscardHandler)}
	gates, err := s.gates()
	if err != nil {
		return err
	}
	conn, err := connect(c, gates[1:]) // Flyteadmin's own is what we are about to open.
	if err != nil {
		return err
	}
	defer conn.Close()
	s.metadata = service.NewAuthMetadataServiceClient(conn)
	d, err := s.discover(ctx)
	if err != nil {
		return err
	}
	ctx = context.WithValue(ctx, oauth2.HTTPClient, s.http)
	var token *oauth2.Token
	if c.AuthType == Pkce {
		token, err = d.browser(ctx, c.PkceConfig.Timeout, out, open)
	} else {
		token, err = d.device(ctx, c.DeviceFlowConfig, out)
	}
	if err != nil {
		return err
	}
	if err := s.cache.save(saved{c.Endpoint, d.header, token}); err != nil {
		return err
	}
	until := ""
	switch {
	case token.RefreshToken != "":
		until = ", and renewed when it ends"
	case !token.Expiry.IsZero():
		until = ", and good until " + token.Expiry.UTC().Format(time.RFC3339)
	}
	fmt.Fprintf(out, "Logged in to %s. The token is in %s%s.\n", c.Endpoint, s.cache.file, until)
	return nil
}

// browser is the authorization code grant with PKCE. The browser comes back to a server of ours, at the address that
// flyteadmin says the authorization server sends it to.
func (d discovered) browser(ctx context.Context, timeout time.Duration, out io.Writer, open func(context.Context, string) error) (*oauth2.Token, error) {
	if !isHTTP(d.oauth2.Endpoint.AuthURL) {
		return nil, errors.New("flyteadmin names no authorization endpoint for admin.authType Pkce; use DeviceFlow, or have its administrator configure auth.appAuth")
	}
	back, err := url.Parse(d.oauth2.RedirectURL)
	if err != nil || back.Scheme != "http" || back.Port() == "" || !loopback(back.Hostname()) {
		return nil, fmt.Errorf("flyteadmin has browsers come back to %q (auth.appAuth.thirdPartyConfig.flyteClient.redirectUri), and tminus listens on this machine alone; it takes http://localhost:port/path", d.oauth2.RedirectURL)
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var listen net.ListenConfig
	l, err := listen.Listen(ctx, "tcp", back.Host)
	if err != nil {
		return nil, fmt.Errorf("wait for the browser at %s: %w", d.oauth2.RedirectURL, err)
	}
	verifier, state := oauth2.GenerateVerifier(), rand.Text()
	type outcome struct {
		token *oauth2.Token
		err   error
	}
	done := make(chan outcome, 1)
	exchange := func(r *http.Request) (o outcome) {
		q := r.URL.Query()
		if code := q.Get("code"); code == "" {
			o.err = fmt.Errorf("login was refused: %s", cmp.Or(shortened(q.Get("error")+" "+q.Get("error_description")), "no reason given"))
		} else if o.token, o.err = d.oauth2.Exchange(ctx, code, oauth2.VerifierOption(verifier)); o.err != nil {
			o.err = refusal(d.oauth2.Endpoint.TokenURL, "try again", o.err)
		}
		return o
	}
	handler := http.NewServeMux()
	handler.HandleFunc("GET "+cmp.Or(back.EscapedPath(), "/"), func(w http.ResponseWriter, r *http.Request) {
		if subtle.ConstantTimeCompare([]byte(r.URL.Query().Get("state")), []byte(state)) != 1 {
			http.Error(w, "This is not the login that tminus waits for.", http.StatusBadRequest)
			return
		}
		o := exchange(r)
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		if o.err != nil {
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprintf(w, "tminus: %s\n", o.err)
		} else {
			fmt.Fprintln(w, "Logged in. You can close this page.")
		}
		select {
		case done <- o:
		default: // A page that was loaded again.
		}
	})
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	stopped := make(chan error, 1)
	go func() { stopped <- server.Serve(l) }()
	defer func() {
		// Let the page arrive.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		if server.Shutdown(ctx) != nil {
			_ = server.Close()
		}
	}()
	options := []oauth2.AuthCodeOption{oauth2.S256ChallengeOption(verifier)}
	if d.audience != "" {
		options = append(options, oauth2.SetAuthURLParam("audience", d.audience))
	}
	page := d.oauth2.AuthCodeURL(state, options...)
	fmt.Fprintf(out, "Log in with a browser on this machine, at\n\n  %s\n\n", page)
	if err := open(ctx, page); err == nil {
		fmt.Fprintln(out, "It should have opened by itself.")
	}
	select {
	case o := <-done:
		return o.token, o.err
	case err := <-stopped:
		return nil, fmt.Errorf("wait for the browser at %s: %w", d.oauth2.RedirectURL, err)
	case <-ctx.Done():
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return nil, fmt.Errorf("nobody logged in within %s (admin.pkceConfig.timeout)", timeout)
		}
		return nil, ctx.Err()
	}
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// openBrowser shows a page to whoever sits before this machine, if somebody does.
func openBrowser(ctx context.Context, page string) error {
	name := "xdg-open"
	if runtime.GOOS == "darwin" {
		name = "open"
	}
	cmd := exec.CommandContext(context.WithoutCancel(ctx), name, page) //nolint:gosec // Whoever logs in to a flyteadmin goes where it says.
	if err := cmd.Start(); err != nil {
		return err
	}
	go cmd.Wait() //nolint:errcheck // It may be the browser, and last.
	return nil
}

// device is the device authorization grant.
func (d discovered) device(ctx context.Context, c DeviceFlowConfig, out io.Writer) (*oauth2.Token, error) {
	if !isHTTP(d.oauth2.Endpoint.DeviceAuthURL) {
		return nil, errors.New("flyteadmin names no device authorization endpoint for admin.authType DeviceFlow; use Pkce, or an authorization server that has one")
	}
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	var options []oauth2.AuthCodeOption
	if d.audience != "" {
		options = append(options, oauth2.SetAuthURLParam("audience", d.audience))
	}
	answer, err := d.oauth2.DeviceAuth(ctx, options...)
	if err != nil {
		return nil, refusal(d.oauth2.Endpoint.DeviceAuthURL, "is the device flow allowed for the client "+d.oauth2.ClientID+"?", err)
	}
	if answer.Interval <= 0 {
		answer.Interval = max(1, int64(c.PollInterval/time.Second))
	}
	if answer.VerificationURIComplete != "" {
		fmt.Fprintf(out, "Log in with any browser, at\n\n  %s\n\nThe code is %s.\n", answer.VerificationURIComplete, answer.UserCode)
	} else {
		fmt.Fprintf(out, "Log in with any browser, at\n\n  %s\n\nand enter the code %s\n", answer.VerificationURI, answer.UserCode)
	}
	token, err := d.oauth2.DeviceAccessToken(ctx, answer)
	switch {
	case err == nil:
		return token, nil
	case errors.Is(err, context.DeadlineExceeded):
		return nil, errors.New("nobody entered the code in time (admin.deviceFlowConfig.timeout, or the authorization server's)")
	case ctx.Err() != nil:
		return nil, ctx.Err()
	}
	return nil, refusal(d.oauth2.Endpoint.TokenURL, "try again", err)
}

// renewLogin is the token of whoever is logged in: another that is in the file by now, or a new one by its refresh
// token. It never waits for a person.
func (s *source) renewLogin(ctx context.Context, refused *credential) (*credential, error) {
	before, err := s.cache.load()
	if err != nil {
		return nil, s.notLoggedIn("nobody is")
	}
	if c := s.fresh(before, refused); c != nil {
		return c, nil
	}
	if before.Token.RefreshToken == "" {
		return nil, s.notLoggedIn("the login is over")
	}
	d, err := s.discover(ctx)
	if err != nil {
		return nil, err
	}
	ctx = context.WithValue(ctx, oauth2.HTTPClient, s.http)
	token, err := d.oauth2.TokenSource(ctx, &oauth2.Token{RefreshToken: before.Token.RefreshToken}).Token()
	if err != nil {
		err = refusal(d.oauth2.Endpoint.TokenURL, "", err)
		if status.Code(err) == codes.Unavailable {
			return nil, err
		}
		// Another process may have renewed it, which can only be done once.
		if now, e := s.cache.load(); e == nil && now.Token.AccessToken != before.Token.AccessToken {
			if c := s.fresh(now, refused); c != nil {
				return c, nil
			}
		}
		return nil, s.notLoggedIn("the login is over")
	}
	if err := s.cache.save(saved{s.Endpoint, d.header, token}); err != nil {
		s.log.WarnContext(ctx, "cannot keep the renewed token; the next tminus has to log in again", slog.Any("error", err))
	}
	return s.credential(d.header, token, s.refreshTime(), "the token endpoint "+d.oauth2.Endpoint.TokenURL)
}

// fresh is a saved token, if it is another than refused, and not over.
func (s *source) fresh(in saved, refused *credential) *credential {
	c := s.kept(in)
	if refused != nil && c.value == refused.value || c.over(time.Now()) {
		return nil
	}
	return c
}

// kept is a saved token as it is sent.
func (s *source) kept(in saved) *credential {
	header := cmp.Or(s.AuthorizationHeader, in.Header)
	return newCredential(header, in.Token.Type()+" "+in.Token.AccessToken, time.Now(), in.Token.Expiry, s.refreshTime())
}

func (s *source) notLoggedIn(why string) error {
	return status.Errorf(codes.Unauthenticated, "flyteadmin wants somebody to be logged in (admin.authType %s), and %s: run `tminus login`, as the user that this runs as", s.AuthType, why)
}

// refreshTime is how long before its end the token of a person is renewed.
func (c Config) refreshTime() time.Duration {
	if c.AuthType == DeviceFlow {
		return c.DeviceFlowConfig.RefreshTime
	}
	return c.PkceConfig.RefreshTime
}
