package flyte_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"tminus.dev/internal/flyte"
	"tminus.dev/internal/invalid"
)

func TestAFlyteadminThatIsDownIsAnErrorOfTheCall(t *testing.T) {
	f := &flyteadmin{address: "127.0.0.1:" + freePort(t)}
	c := dial(t, f, flyte.Config{MaxRetries: 2})
	c.fails(codes.Unavailable, "connection refused")
	serve(t, f)
	c.eventually()
}

func TestAFlyteadminThatIsUnavailableIsAskedAgain(t *testing.T) {
	for _, tc := range []struct {
		failing, retries int
		want             codes.Code
	}{{2, 2, codes.OK}, {1, 0, codes.Unavailable}, {3, 2, codes.Unavailable}} {
		f := serve(t, &flyteadmin{failing: tc.failing})
		c := dial(t, f, flyte.Config{MaxRetries: tc.retries})
		if got := status.Code(c.call()); got != tc.want {
			t.Errorf("%d failures and %d retries: got %s", tc.failing, tc.retries, got)
		}
	}
}

func TestACallThatHangsIsMadeAgain(t *testing.T) {
	f := serve(t, &flyteadmin{hanging: 1})
	dial(t, f, flyte.Config{MaxRetries: 1, PerRetryTimeout: 100 * time.Millisecond}).works()
}

func TestTheSizeOfAnAnswer(t *testing.T) {
	f := serve(t, &flyteadmin{version: strings.Repeat("x", 20<<20)})
	dial(t, f, flyte.Config{}).works() // gRPC's own limit is 4 MiB.
	dial(t, f, flyte.Config{MaxMessageSizeBytes: 10 << 20}).fails(codes.ResourceExhausted, "larger than max")
}

// authority signs certificates.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.key, a.file = key, write(t, pemOf("CERTIFICATE", der))
	return a
}

func pemOf(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

// sign makes a certificate for a name, and the files of it and its key.
func (a *authority) sign(name string) (cert, key string) {
	a.t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if ip := net.ParseIP(name); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{name}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &private.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		a.t.Fatal(err)
	}
	return write(a.t, pemOf("CERTIFICATE", der)), write(a.t, pemOf("PRIVATE KEY", secret))
}

// server is the TLS of one that shows a certificate for name; from those of clients it wants one of theirs.
func (a *authority) server(name string, clients *authority) *tls.Config {
	a.t.Helper()
	pair, err := tls.LoadX509KeyPair(a.sign(name))
	if err != nil {
		a.t.Fatal(err)
	}
	c := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	if clients != nil {
		c.ClientAuth, c.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
		c.ClientCAs.AddCert(clients.cert)
	}
	return c
}

func TestTLS(t *testing.T) {
	ours, theirs := newAuthority(t), newAuthority(t)
	cert, key := ours.sign("tminus")
	otherCert, otherKey := theirs.sign("tminus")
	plain := serve(t, &flyteadmin{})
	for _, tc := range []struct {
		name   string
		server *tls.Config // nil means one without TLS
		config flyte.Config
		want   []string // of the error; none means that it works
	}{
		{name: "an authority that the system does not know", server: ours.server("127.0.0.1", nil), want: []string{"unknown authority", "admin.caCertFilePath"}},
		{name: "our authority", server: ours.server("127.0.0.1", nil), config: flyte.Config{CACertFilePath: ours.file}},
		{name: "another authority", server: theirs.server("127.0.0.1", nil), config: flyte.Config{CACertFilePath: ours.file}, want: []string{"unknown authority", "admin.caCertFilePath"}},
		{name: "another name", server: ours.server("flyte.example.com", nil), config: flyte.Config{CACertFilePath: ours.file}, want: []string{"127.0.0.1", "admin.endpoint"}},
		{name: "whatever it is", server: theirs.server("flyte.example.com", nil), config: flyte.Config{InsecureSkipVerify: true}},
		{name: "no TLS there", config: flyte.Config{CACertFilePath: ours.file}, want: []string{"admin.insecure"}},
		{name: "no TLS here", server: ours.server("127.0.0.1", nil), config: flyte.Config{Insecure: true}, want: []string{"Unavailable"}},
		// In TLS 1.3 a client hears that its certificate is refused with what it reads next, or finds the connection gone.
		{name: "a client's certificate", server: ours.server("127.0.0.1", ours), config: flyte.Config{CACertFilePath: ours.file, ClientCertFilePath: cert, ClientKeyFilePath: key}},
		{name: "none of a client", server: ours.server("127.0.0.1", ours), config: flyte.Config{CACertFilePath: ours.file}, want: []string{"Unavailable"}},
		{name: "one of another authority", server: ours.server("127.0.0.1", ours), config: flyte.Config{CACertFilePath: ours.file, ClientCertFilePath: otherCert, ClientKeyFilePath: otherKey}, want: []string{"Unavailable"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := plain
			if tc.server != nil {
				f = serve(t, &flyteadmin{}, tlsOption(tc.server))
			}
			tc.config.Endpoint = "dns:///" + f.address
			c := dial(t, f, tc.config)
			if tc.want == nil {
				c.works()
				return
			}
			c.fails(codes.Unavailable, tc.want...)
		})
	}
}

func TestATokenEndpointOfOurAuthority(t *testing.T) {
	ours := newAuthority(t)
	f := &flyteadmin{idp: newIDP(t, ours.server("127.0.0.1", nil))}
	serve(t, f, tlsOption(ours.server("127.0.0.1", nil)))
	c := flyte.Config{Endpoint: f.address, CACertFilePath: ours.file, ClientSecretLocation: write(t, "s3cret-1"), Scopes: []string{"all"}}
	dial(t, f, c).works()

	// Nobody sends a secret to just anyone, whatever flyteadmin is taken for.
	c.CACertFilePath, c.InsecureSkipVerify = "", true
	dial(t, f, c).fails(codes.Unavailable, f.idp.URL, "unknown authority")
	if got := len(f.idp.requests); got != 1 {
		t.Errorf("got %d requests", got)
	}
}

func TestAClientCertificateIsReadAnewForEveryConnection(t *testing.T) {
	ours, theirs := newAuthority(t), newAuthority(t)
	f := serve(t, &flyteadmin{}, tlsOption(ours.server("127.0.0.1", ours)))
	cert, key := theirs.sign("tminus")
	c := dial(t, f, flyte.Config{Endpoint: f.address, CACertFilePath: ours.file, ClientCertFilePath: cert, ClientKeyFilePath: key})
	c.fails(codes.Unavailable)
	newCert, newKey := ours.sign("tminus")
	for from, to := range map[string]string{newCert: cert, newKey: key} {
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	c.eventually()
}

func TestWhatCannotBeDialled(t *testing.T) {
	ours := newAuthority(t)
	cert, key := ours.sign("tminus")
	junk := write(t, "junk")
	for _, tc := range []struct {
		name   string
		config flyte.Config
		field  string
		want   []string
	}{
		{"a file that is not there", flyte.Config{Endpoint: "x:1", CACertFilePath: "/nowhere"}, "admin.caCertFilePath", []string{"/nowhere"}},
		{"no certificate", flyte.Config{Endpoint: "x:1", CACertFilePath: junk}, "admin.caCertFilePath", []string{junk, "PEM"}},
		{"a key that is not there", flyte.Config{Endpoint: "x:1", ClientCertFilePath: cert, ClientKeyFilePath: "/nowhere"}, "admin.clientCertFilePath", []string{"/nowhere"}},
		{"the wrong way round", flyte.Config{Endpoint: "x:1", ClientCertFilePath: key, ClientKeyFilePath: cert}, "admin.clientCertFilePath", []string{"PEM"}},
		{"no service config", flyte.Config{Endpoint: "x:1", Insecure: true, DefaultServiceConfig: `{"loadBalancingConfig": 1}`}, "admin.defaultServiceConfig", []string{"service config is invalid"}},
		{"nothing", flyte.Config{}, "admin.endpoint", []string{"is empty"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := flyte.Dial(t.Context(), tc.config, slog.New(slog.DiscardHandler))
			if e, ok := errors.AsType[*invalid.Error](err); !ok || e.Field != tc.field {
				t.Fatalf("got %v, want a problem of %s", err, tc.field)
			}
			contains(t, err, tc.want...)
		})
	}
}

func TestSkippingTheCheckIsSaid(t *testing.T) {
	f := serve(t, &flyteadmin{})
	if c := dial(t, f, flyte.Config{Endpoint: f.address, InsecureSkipVerify: true}); !strings.Contains(c.log.String(), "admin.insecureSkipVerify") {
		t.Errorf("the log is %s", c.log)
	}
}
