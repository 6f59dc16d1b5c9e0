package flyte_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"tminus.dev/gen/flyteidl/admin"
	"tminus.dev/gen/flyteidl/service"
	"tminus.dev/internal/flyte"
)

// hidden is in every secret and every token of these tests, and may be in no log and no error.
const hidden = "s3cret"

// idp is an authorization server with one client, whose secret is s3cret-1, and one person.
type idp struct {
	*httptest.Server

	mu       sync.Mutex
	secret   string
	lifetime time.Duration // of tokens; 0 means that it does not say
	down     int           // the status of every answer; 0 means that it is up
	reject   bool          // flyteadmin takes none of its tokens
	lost     bool          // the refresh token is void
	pending  int           // how often a device still has to ask
	before   func(i *idp)  // comes before each refresh

	made      int               // tokens so far
	valid     map[string]bool   // those that flyteadmin takes
	refresh   string            // the refresh token
	challenge string            // of the login under way
	requests  []url.Values      // to the token endpoint
	proxyAuth []string          // the header proxy-authorization of each
	audiences map[string]string // asked for, by endpoint
}

// newIDP makes one with TLS, or without.
func newIDP(t *testing.T, secured ...*tls.Config) *idp {
	t.Helper()
	i := &idp{secret: "s3cret-1", lifetime: time.Hour, valid: map[string]bool{}, audiences: map[string]string{}}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /token", i.token)
	mux.HandleFunc("GET /authorize", i.authorize)
	mux.HandleFunc("POST /device", i.device)
	i.Server = httptest.NewUnstartedServer(mux)
	i.Config.ErrorLog = log.New(io.Discard, "", 0) // Of handshakes that are to fail.
	if len(secured) > 0 {
		i.TLS = secured[0]
		i.StartTLS()
	} else {
		i.Start()
	}
	t.Cleanup(i.Close)
	return i
}

// set changes what it does.
func (i *idp) set(change func(i *idp)) {
	i.mu.Lock()
	defer i.mu.Unlock()
	change(i)
}

// count is how many tokens it has made.
func (i *idp) count() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.made
}

// takes says whether a header's value is a good token.
func (i *idp) takes(value string) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	token, bearer := strings.CutPrefix(value, "Bearer ")
	return bearer && i.valid[token] && !i.reject
}

func (i *idp) token(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if err := r.ParseForm(); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	i.requests = append(i.requests, r.Form)
	i.proxyAuth = append(i.proxyAuth, r.Header.Get("Proxy-Authorization"))
	if i.down != 0 {
		http.Error(w, "of "+hidden, i.down)
		return
	}
	refuse := func(code int, reason string) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		fmt.Fprintf(w, `{"error": %q, "error_description": "said the server", "sent": %q}`, reason, r.Form.Encode())
	}
	withRefresh := true
	switch r.Form.Get("grant_type") {
	case "client_credentials":
		withRefresh = false
		if id, secret, _ := r.BasicAuth(); id != "flytepropeller" || secret != i.secret {
			refuse(http.StatusUnauthorized, "invalid_client")
			return
		}
	case "authorization_code":
		sum := sha256.Sum256([]byte(r.Form.Get("code_verifier")))
		if r.Form.Get("code") != "code-s3cret" || base64.RawURLEncoding.EncodeToString(sum[:]) != i.challenge {
			refuse(http.StatusBadRequest, "invalid_grant")
			return
		}
	case "urn:ietf:params:oauth:grant-type:device_code":
		if i.pending > 0 {
			i.pending--
			refuse(http.StatusBadRequest, "authorization_pending")
			return
		}
	case "refresh_token":
		if i.before != nil {
			i.before(i)
		}
		if i.lost || r.Form.Get("refresh_token") != i.refresh {
			refuse(http.StatusBadRequest, "invalid_grant")
			return
		}
	default:
		refuse(http.StatusBadRequest, "unsupported_grant_type")
		return
	}
	i.made++
	answer := map[string]any{"access_token": fmt.Sprintf("token-s3cret-%d", i.made), "token_type": "bearer"}
	i.valid[fmt.Sprintf("token-s3cret-%d", i.made)] = true
	if i.lifetime != 0 {
		answer["expires_in"] = int(i.lifetime / time.Second)
	}
	if withRefresh {
		i.refresh = fmt.Sprintf("refresh-s3cret-%d", i.made)
		answer["refresh_token"] = i.refresh
	}
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(answer); err != nil {
		panic(err) // A map of texts and numbers.
	}
}

// authorize sends a browser back at once, as if the person were logged in here already.
func (i *idp) authorize(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	defer i.mu.Unlock()
	q := r.URL.Query()
	i.challenge, i.audiences["authorize"] = q.Get("code_challenge"), q.Get("audience")
	if q.Get("response_type") != "code" || q.Get("client_id") != "flytectl" || q.Get("code_challenge_method") != "S256" || q.Get("scope") != "all offline" {
		http.Error(w, "bad request: "+r.URL.RawQuery, http.StatusBadRequest)
		return
	}
	back := q.Get("redirect_uri") + "?" + url.Values{"code": {"code-s3cret"}, "state": {q.Get("state")}}.Encode()
	http.Redirect(w, r, back, http.StatusFound)
}

func (i *idp) device(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.audiences["device"] = r.FormValue("audience")
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprint(w, `{"device_code": "device-s3cret", "user_code": "ABCD-1234", "verification_uri": "https://idp.example.com/device", "expires_in": 600, "interval": 1}`)
}

// flyteadmin is a gRPC server that asks for tokens of an idp, as a flyteadmin does; without one it has no authentication.
type flyteadmin struct {
	service.UnimplementedAdminServiceServer
	service.UnimplementedAuthMetadataServiceServer

	address string
	idp     *idp
	client  *service.PublicClientAuthConfigResponse
	methods []string // by which clients prove who they are
	proxy   string   // the proxy's header must have this value; "" means that there is none

	mu      sync.Mutex
	calls   []metadata.MD // those for a version
	failing int           // how many calls are Unavailable yet
	hanging int           // how many calls are never answered yet
	version string
}

func serve(t *testing.T, f *flyteadmin, options ...grpc.ServerOption) *flyteadmin {
	t.Helper()
	var l net.ListenConfig
	address := f.address
	if address == "" {
		address = "127.0.0.1:0"
	}
	listener, err := l.Listen(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	f.address = listener.Addr().String()
	s := grpc.NewServer(append(options, grpc.UnaryInterceptor(f.guard))...)
	service.RegisterAdminServiceServer(s, f)
	if f.idp != nil {
		service.RegisterAuthMetadataServiceServer(s, f)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(listener) }()
	t.Cleanup(func() {
		s.Stop()
		if err := <-done; err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			t.Error(err)
		}
	})
	return f
}

// withIDP is a flyteadmin with authentication.
func withIDP(t *testing.T, change ...func(*flyteadmin)) *flyteadmin {
	t.Helper()
	f := &flyteadmin{idp: newIDP(t), client: &service.PublicClientAuthConfigResponse{
		ClientId: "flytectl", RedirectUri: "http://localhost:" + freePort(t) + "/callback", Scopes: []string{"all", "offline"},
		AuthorizationMetadataKey: "flyte-authorization", Audience: "https://flyte.example.com",
	}}
	for _, c := range change {
		c(f)
	}
	return serve(t, f)
}

func freePort(t *testing.T) string {
	t.Helper()
	var l net.ListenConfig
	listener, err := l.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	return port
}

func (f *flyteadmin) header() string {
	if key := f.client.GetAuthorizationMetadataKey(); key != "" {
		return key
	}
	return "authorization"
}

func (f *flyteadmin) guard(ctx context.Context, request any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	if f.proxy != "" && !slices.Equal(md.Get("proxy-authorization"), []string{f.proxy}) {
		return nil, status.Error(codes.Unauthenticated, "the proxy wants a token")
	}
	if strings.HasSuffix(info.FullMethod, "/GetVersion") {
		f.mu.Lock()
		f.calls = append(f.calls, md)
		f.mu.Unlock()
		if f.idp != nil {
			if values := md.Get(f.header()); len(values) != 1 || !f.idp.takes(values[0]) {
				return nil, status.Error(codes.Unauthenticated, "token parse error")
			}
		}
	}
	return handle(ctx, request)
}

// seen is the metadata of every call for a version.
func (f *flyteadmin) seen() []metadata.MD {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.calls)
}

func (f *flyteadmin) GetVersion(ctx context.Context, _ *admin.GetVersionRequest) (*admin.GetVersionResponse, error) {
	f.mu.Lock()
	fail, hang := f.failing > 0, f.hanging > 0
	f.failing, f.hanging = f.failing-1, f.hanging-1
	f.mu.Unlock()
	if fail {
		return nil, status.Error(codes.Unavailable, "rolling over")
	}
	if hang {
		<-ctx.Done()
		return nil, status.FromContextError(ctx.Err()).Err()
	}
	return &admin.GetVersionResponse{ControlPlaneVersion: &admin.Version{Version: f.version}}, nil
}

func (f *flyteadmin) GetPublicClientConfig(context.Context, *service.PublicClientAuthConfigRequest) (*service.PublicClientAuthConfigResponse, error) {
	return f.client, nil
}

func (f *flyteadmin) GetOAuth2Metadata(context.Context, *service.OAuth2MetadataRequest) (*service.OAuth2MetadataResponse, error) {
	return &service.OAuth2MetadataResponse{
		TokenEndpoint: f.idp.URL + "/token", AuthorizationEndpoint: f.idp.URL + "/authorize", DeviceAuthorizationEndpoint: f.idp.URL + "/device",
		TokenEndpointAuthMethodsSupported: f.methods,
	}, nil
}

// buffer is a log.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// caller makes calls as c says. No error of theirs, and no line of the log, may have a secret.
type caller struct {
	*testing.T
	admin service.AdminServiceClient
	log   *buffer
}

func dial(t *testing.T, f *flyteadmin, c flyte.Config) *caller {
	t.Helper()
	if c.Endpoint == "" {
		c.Endpoint, c.Insecure = "dns:///"+f.address, true
	}
	if c.MaxBackoffDelay == 0 {
		c.MaxBackoffDelay = time.Millisecond
	}
	log := &buffer{}
	conn, err := flyte.Dial(t.Context(), c, slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
		if strings.Contains(log.String(), hidden) {
			t.Errorf("the log has a secret: %s", log)
		}
	})
	return &caller{t, service.NewAdminServiceClient(conn), log}
}

// call asks for a version.
func (c *caller) call() error {
	c.Helper()
	ctx, cancel := context.WithTimeout(c.Context(), 20*time.Second)
	defer cancel()
	_, err := c.admin.GetVersion(ctx, &admin.GetVersionRequest{})
	if err != nil && strings.Contains(err.Error(), hidden) {
		c.Errorf("the error has a secret: %v", err)
	}
	return err
}

func (c *caller) works() {
	c.Helper()
	if err := c.call(); err != nil {
		c.Fatal(err)
	}
}

// fails wants a call to fail with a code, and an error that has all of these texts.
func (c *caller) fails(code codes.Code, texts ...string) {
	c.Helper()
	check(c.T, c.call(), code, texts...)
}

func check(t *testing.T, err error, code codes.Code, texts ...string) {
	t.Helper()
	if status.Code(err) != code {
		t.Fatalf("got %v, want %s", err, code)
	}
	contains(t, err, texts...)
}

func contains(t *testing.T, err error, texts ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("got %q, want %q in it", err, text)
		}
	}
}

// until calls until the outcome is as it should be.
func (c *caller) until(good func(error) bool) {
	c.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		err := c.call()
		if good(err) {
			return
		}
		if time.Now().After(deadline) {
			c.Fatalf("still %v", err)
		}
		time.Sleep(time.Millisecond)
	}
}

// eventually calls until the calls work.
func (c *caller) eventually() {
	c.Helper()
	c.until(func(err error) bool { return err == nil })
}

func write(t *testing.T, content string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func tlsOption(c *tls.Config) grpc.ServerOption { return grpc.Creds(credentials.NewTLS(c)) }
