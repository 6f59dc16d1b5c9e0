package flyte

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/retry"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"

	"tminus.dev/gen/flyteidl/service"
	"tminus.dev/internal/invalid"
)

// userAgent is how flyteadmin's log knows us.
const userAgent = "tminus"

const (
	// pingAfter is how long a call may wait for a word of the server until gRPC asks whether it is there. A server of
	// grpc-go closes connections that ask more often than every five minutes.
	pingAfter = 6 * time.Minute
	// unheard is how long what was sent may go without an answer of the network until the connection is given up.
	unheard = 20 * time.Second
	// firstRetry is the time before the first repetition of a call; it doubles with each. Flyte waits as long.
	firstRetry = 50 * time.Millisecond
)

// Dial makes a connection to the flyteadmin of c. It connects with the first call, so a flyteadmin that is down is no
// error here. Unary calls get a token as c says: one for all of them, fetched when flyteadmin asks for one (or taken
// from where Login left it), renewed before it ends and when flyteadmin refuses it.
//
// What goes wrong with tokens is an error of the call, with a gRPC status: Unavailable where it may mend itself, such as a
// token endpoint that is down, else Unauthenticated. Either says which key to look at, and the next calls try again.
//
// An error of Dial is an *invalid.Error: a value of c, or a file that it names, cannot be used.
func Dial(ctx context.Context, c Config, log *slog.Logger) (*grpc.ClientConn, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	c = c.withDefaults()
	if c.InsecureSkipVerify && !c.Insecure {
		log.WarnContext(ctx, "admin.insecureSkipVerify is set: whoever answers in flyteadmin's place gets the token and, unless admin.tokenUrl is set, says where the client's secret is sent")
	}
	s := &source{Config: c, log: log}
	gates, err := s.gates()
	if err != nil {
		return nil, err
	}
	conn, err := connect(c, gates)
	if err != nil {
		return nil, err
	}
	s.metadata = service.NewAuthMetadataServiceClient(conn)
	return conn, nil
}

// connect makes a connection whose calls go through gates, the first being the outermost, and are retried within them.
func connect(c Config, gates []gate) (*grpc.ClientConn, error) {
	transport := insecure.NewCredentials()
	if !c.Insecure {
		config, err := tlsConfig(c)
		if err != nil {
			return nil, err
		}
		transport = explained{credentials.NewTLS(config)}
	}
	var interceptors []grpc.UnaryClientInterceptor
	for _, g := range gates {
		interceptors = append(interceptors, g.intercept)
	}
	interceptors = append(interceptors, retry.UnaryClientInterceptor(
		retry.WithMax(uint(c.MaxRetries)+1),
		retry.WithCodes(codes.Unavailable),
		retry.WithPerRetryTimeout(c.PerRetryTimeout),
		retry.WithBackoff(retry.BackoffExponentialWithJitterBounded(firstRetry, 0.2, c.MaxBackoffDelay)),
	))
	reconnect := backoff.DefaultConfig
	reconnect.MaxDelay = c.MaxBackoffDelay
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(transport),
		grpc.WithChainUnaryInterceptor(interceptors...),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: reconnect, MinConnectTimeout: unheard}),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: pingAfter, Timeout: unheard}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(c.MaxMessageSizeBytes)),
		grpc.WithUserAgent(userAgent),
	}
	if c.DefaultServiceConfig != "" {
		options = append(options, grpc.WithDefaultServiceConfig(c.DefaultServiceConfig))
	}
	conn, err := grpc.NewClient(c.Endpoint, options...)
	if err != nil {
		key := "endpoint"
		if c.DefaultServiceConfig != "" { // gRPC does not say which; a good endpoint was checked above.
			key = "defaultServiceConfig"
		}
		return nil, invalid.Field(block+key, "%v", err)
	}
	return conn, nil
}

// tlsConfig is how flyteadmin shows who it is, and we do.
func tlsConfig(c Config) (*tls.Config, error) {
	config := &tls.Config{
		MinVersion:         tls.VersionTLS12,
		InsecureSkipVerify: c.InsecureSkipVerify, //nolint:gosec // Said in the log, and in the documentation.
	}
	if c.CACertFilePath != "" {
		config.RootCAs = x509.NewCertPool()
		if err := addAuthorities(config.RootCAs, c.CACertFilePath); err != nil {
			return nil, err
		}
	}
	if c.ClientCertFilePath != "" {
		load := func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(c.ClientCertFilePath, c.ClientKeyFilePath)
			if err != nil {
				return nil, invalid.Field(block+"clientCertFilePath", "cannot use it with clientKeyFilePath: %v", err)
			}
			return &pair, nil
		}
		if _, err := load(nil); err != nil {
			return nil, err
		}
		config.GetClientCertificate = load
	}
	return config, nil
}

func addAuthorities(pool *x509.CertPool, file string) error {
	content, err := os.ReadFile(filepath.Clean(file))
	if err != nil {
		return invalid.Field(block+"caCertFilePath", "cannot read it: %v", err)
	}
	if !pool.AppendCertsFromPEM(content) {
		return invalid.Field(block+"caCertFilePath", "%s has no certificate in PEM form", file)
	}
	return nil
}

// explained is TLS whose errors say what to do.
type explained struct {
	credentials.TransportCredentials
}

// ClientHandshake is TLS's.
func (e explained) ClientHandshake(ctx context.Context, authority string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) { //nolint:ireturn // As gRPC wants it.
	conn, info, err := e.TransportCredentials.ClientHandshake(ctx, authority, raw)
	var (
		unknown x509.UnknownAuthorityError
		name    x509.HostnameError
		plain   tls.RecordHeaderError
	)
	switch {
	case errors.As(err, &unknown):
		err = fmt.Errorf("%w; set admin.caCertFilePath to the certificate of the authority that signed flyteadmin's", err)
	case errors.As(err, &name):
		err = fmt.Errorf("%w; set admin.endpoint to a name that flyteadmin's certificate has", err)
	case errors.As(err, &plain):
		err = fmt.Errorf("%w; where flyteadmin has no TLS, set admin.insecure to true", err)
	}
	return conn, info, err
}

// Clone is TLS's.
func (e explained) Clone() credentials.TransportCredentials { //nolint:ireturn // As gRPC wants it.
	return explained{e.TransportCredentials.Clone()}
}

// httpClient makes requests to token endpoints; proxy has the tokens for a proxy before them, or is nil.
func httpClient(c Config, proxy *tokens) (*http.Client, error) {
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, IdleConnTimeout: time.Minute}
	if c.HTTPProxyURL != "" {
		u, err := url.Parse(c.HTTPProxyURL)
		if err != nil {
			return nil, invalid.Field(block+"httpProxyURL", "is not a URL")
		}
		transport.Proxy = http.ProxyURL(u)
	}
	if c.CACertFilePath != "" {
		// The token endpoint may be flyteadmin's own, or anybody's.
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		if err := addAuthorities(pool, c.CACertFilePath); err != nil {
			return nil, err
		}
		transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool}
	}
	client := &http.Client{Transport: transport, Timeout: c.PerRetryTimeout}
	if proxy != nil {
		client.Transport = proxied{transport, proxy}
	}
	return client, nil
}

// proxied makes requests with the proxy's token.
type proxied struct {
	http.RoundTripper
	tokens *tokens
}

// RoundTrip makes one request.
func (p proxied) RoundTrip(request *http.Request) (*http.Response, error) {
	c, err := p.tokens.get(request.Context())
	if err == nil && c == nil {
		c, err = p.tokens.next(request.Context(), nil)
	}
	if err != nil {
		return nil, err
	}
	request = request.Clone(request.Context())
	request.Header.Set(c.header, c.value)
	return p.RoundTripper.RoundTrip(request)
}
