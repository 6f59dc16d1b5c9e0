package server_test

import (
	"context"
	"crypto/md5"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"tminus.dev/gen/flyteidl/admin"
	"tminus.dev/gen/flyteidl/service"
)

func sum(content string) []byte {
	s := md5.Sum([]byte(content))
	return s[:]
}

func base64MD5(content string) string { return base64.StdEncoding.EncodeToString(sum(content)) }

// location asks where to upload content.
func (a *api) location(t *testing.T, content string, change func(*service.CreateUploadLocationRequest)) *service.CreateUploadLocationResponse {
	t.Helper()
	r := &service.CreateUploadLocationRequest{Project: project, Domain: domain, Filename: "fast.tar.gz", ContentMd5: sum(content)}
	if change != nil {
		change(r)
	}
	l, err := a.data.CreateUploadLocation(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestUpload(t *testing.T) {
	t.Parallel()
	a := start(t)
	const content = "the code of a workflow"
	l := a.location(t, content, nil)
	want := fmt.Sprintf("%s/uploads/weather/development/%x/fast.tar.gz", a.dir, sum(content))
	if l.GetNativeUrl() != want {
		t.Errorf("native URL %s, want %s", l.GetNativeUrl(), want)
	}
	if until := time.Until(l.GetExpiresAt().AsTime()); until < 55*time.Minute || until > time.Hour {
		t.Errorf("expires in %s", until)
	}
	headers := []string{}
	for k, v := range l.GetHeaders() {
		headers = append(headers, k, v)
	}
	if diff := cmp.Diff([]string{"Content-MD5", base64MD5(content)}, headers); diff != "" {
		t.Errorf("headers (-want +got):\n%s", diff)
	}
	for range 2 { // A client that did not hear the answer sends it again.
		if code, body, _ := a.request(t, "PUT", l.GetSignedUrl(), content, headers...); code != 200 {
			t.Fatalf("PUT: %d %s", code, body)
		}
	}
	path := l.GetNativeUrl() // flytekit finds a FlyteFile by its path alone.
	got, err := os.ReadFile(path)
	if err != nil || string(got) != content {
		t.Errorf("stored %q, %v", got, err)
	}
	a.location(t, content, nil) // And asks again.

	d, err := a.data.CreateDownloadLocation(t.Context(), &service.CreateDownloadLocationRequest{NativeUrl: l.GetNativeUrl()}) //nolint:staticcheck // Older clients call it.
	if err != nil {
		t.Fatal(err)
	}
	if code, body, _ := a.request(t, "GET", d.GetSignedUrl(), ""); code != 200 || body != content {
		t.Errorf("GET: %d %s", code, body)
	}
	_, err = a.data.CreateDownloadLocation(t.Context(), &service.CreateDownloadLocationRequest{NativeUrl: l.GetNativeUrl() + "x"}) //nolint:staticcheck // Older clients call it.
	if status.Code(err) != codes.NotFound {
		t.Errorf("what was not uploaded: %v", err)
	}
}

func TestUploadNames(t *testing.T) {
	t.Parallel()
	a := start(t)
	for i, name := range []string{"a b.txt", "å/ø/æ.txt", "100%25.txt", "what?.txt", "a#b", "a+b&c=d", ""} {
		content := fmt.Sprint("content ", i)
		l := a.location(t, content, func(r *service.CreateUploadLocationRequest) {
			r.Filename, r.FilenameRoot = name, fmt.Sprint("root/", i)
		})
		if code, body, _ := a.request(t, "PUT", l.GetSignedUrl(), content, "Content-MD5", base64MD5(content)); code != 200 {
			t.Errorf("%q: %d %s", name, code, body)
			continue
		}
		got, err := os.ReadFile(l.GetNativeUrl())
		if err != nil || string(got) != content || !strings.HasSuffix(l.GetNativeUrl(), name) {
			t.Errorf("%q: %s holds %q, %v", name, l.GetNativeUrl(), got, err)
		}
	}
}

// Only what the link was signed for gets in, and only whole.
func TestUploadsAreRefused(t *testing.T) {
	t.Parallel()
	a := start(t)
	const content = "the code of a workflow"
	l := a.location(t, content, nil).GetSignedUrl()
	short := a.location(t, content, func(r *service.CreateUploadLocationRequest) { r.ExpiresIn = durationpb.New(time.Second) }).GetSignedUrl()
	md5Header := []string{"Content-MD5", base64MD5(content)}
	for _, row := range []struct {
		name, url, body string
		headers         []string
		code            int
		want            string
	}{
		{"no signature", l[:strings.Index(l, "?")], content, md5Header, 403, "signature"},
		{"another signature", strings.Replace(l, "signature=", "signature=00", 1), content, md5Header, 403, "signature"},
		{"another file", strings.Replace(l, "fast.tar.gz", "slow.tar.gz", 1), content, md5Header, 403, "signature"},
		{"another time", strings.Replace(l, "expires=", "expires=9", 1), content, md5Header, 403, "signature"},
		{"another folder", strings.Replace(l, "/weather/", "/weather%2F..%2F", 1), content, md5Header, 403, "signature"},
		{"no MD5", l, content, nil, 400, "Content-MD5"},
		{"an MD5 that is none", l, content, []string{"Content-MD5", "abc"}, 400, "Content-MD5"},
		{"another MD5", l, content, []string{"Content-MD5", base64MD5("x")}, 400, "Content-MD5"},
		{"another content", l, "x" + content[1:], md5Header, 400, "Content-MD5"},
		{"half the content", l, content[:10], md5Header, 400, "Content-MD5"},
	} {
		code, body, _ := a.request(t, "PUT", row.url, row.body, row.headers...)
		if code != row.code || !strings.Contains(body, row.want) {
			t.Errorf("%s: %d %s, want %d %s", row.name, code, body, row.code, row.want)
		}
	}
	if code, body, _ := a.request(t, "GET", l, ""); code != 403 {
		t.Errorf("reading with a link for writing: %d %s", code, body)
	}
	for deadline := time.Now().Add(10 * time.Second); ; {
		code, body, _ := a.request(t, "PUT", short, "wrong", md5Header...)
		if code == 403 && strings.Contains(body, "expired") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the link of a second does not expire: %d %s", code, body)
		}
	}
	var files []string
	if err := filepath.WalkDir(filepath.Join(a.dir, "uploads"), func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files = append(files, path)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if len(files) > 0 {
		t.Errorf("stored %v", files)
	}
	info, err := os.Stat(filepath.Join(a.dir, "upload.key"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key's mode is %v, %v", info.Mode(), err)
	}
}

// An upload never changes: registered tasks refer to it.
func TestUploadsDoNotChange(t *testing.T) {
	t.Parallel()
	a := start(t)
	named := func(r *service.CreateUploadLocationRequest) { r.FilenameRoot = "mine" }
	first, second := a.location(t, "first", named), a.location(t, "second", named)
	if code, body, _ := a.request(t, "PUT", first.GetSignedUrl(), "first", "Content-MD5", base64MD5("first")); code != 200 {
		t.Fatalf("the first: %d %s", code, body)
	}
	if code, body, _ := a.request(t, "PUT", second.GetSignedUrl(), "second", "Content-MD5", base64MD5("second")); code != 409 {
		t.Errorf("another under its name: %d %s", code, body)
	}
	for name, root := range map[string]string{"another content": "mine", "a file within it": "mine/fast.tar.gz"} {
		_, err := a.data.CreateUploadLocation(t.Context(), &service.CreateUploadLocationRequest{
			Project: project, Domain: domain, FilenameRoot: root, Filename: "fast.tar.gz", ContentMd5: sum("second"),
		})
		if status.Code(err) != codes.AlreadyExists {
			t.Errorf("%s: %v, want AlreadyExists", name, err)
		}
	}
	got, err := os.ReadFile(first.GetNativeUrl())
	if err != nil || string(got) != "first" {
		t.Errorf("it holds %q, %v", got, err)
	}
}

// Clients that upload the same file at the same time all succeed.
func TestUploadAtOnce(t *testing.T) {
	t.Parallel()
	a := start(t)
	content := strings.Repeat("code ", 100_000)
	l := a.location(t, content, nil)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if code, body, _ := a.request(t, "PUT", l.GetSignedUrl(), content, "Content-MD5", base64MD5(content)); code != 200 {
				t.Errorf("PUT: %d %s", code, body)
			}
		})
	}
	wg.Wait()
	got, err := os.ReadFile(l.GetNativeUrl())
	if err != nil || string(got) != content {
		t.Errorf("stored %d bytes, %v", len(got), err)
	}
}

// A link outlives the process that signed it, and what an upload left behind half-way does not.
func TestUploadAfterARestart(t *testing.T) {
	t.Parallel()
	a := start(t)
	const content = "the code of a workflow"
	l := a.location(t, content, nil)
	if err := a.stop(); err != nil {
		t.Fatal(err)
	}
	left := filepath.Join(a.dir, "uploads", ".partial-X")
	if err := os.WriteFile(left, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	b := serve(t, a.db, a.db, a.dir)
	if _, err := b.GetDomains(context.WithoutCancel(t.Context()), nil); err != nil { // It is up.
		t.Fatal(err)
	}
	if _, err := os.Stat(left); !os.IsNotExist(err) {
		t.Errorf("what was left behind is still there: %v", err)
	}
	url := strings.Replace(l.GetSignedUrl(), a.url, b.url, 1)
	if code, body, _ := b.request(t, "PUT", url, content, "Content-MD5", base64MD5(content)); code != 200 {
		t.Errorf("PUT: %d %s", code, body)
	}
}

// A project of such a name kept the server from starting again.
func TestRestartWithAProjectNamedLikeAPartialFile(t *testing.T) {
	t.Parallel()
	const content, name = "the code of a workflow", ".partial-x"
	a := start(t)
	if _, err := a.RegisterProject(t.Context(), &admin.ProjectRegisterRequest{Project: &admin.Project{Id: name}}); err != nil {
		t.Fatal(err)
	}
	l := a.location(t, content, func(r *service.CreateUploadLocationRequest) { r.Project = name })
	if code, body, _ := a.request(t, "PUT", l.GetSignedUrl(), content, "Content-MD5", base64MD5(content)); code != 200 {
		t.Fatalf("PUT: %d %s", code, body)
	}
	if err := a.stop(); err != nil {
		t.Fatal(err)
	}
	b := serve(t, a.db, a.db, a.dir)
	if code, body, _ := b.request(t, "GET", "/healthz", ""); code != 200 {
		t.Errorf("/healthz: %d %s", code, body)
	}
	got, err := os.ReadFile(l.GetNativeUrl())
	if err != nil || string(got) != content {
		t.Errorf("stored %q, %v", got, err)
	}
}

// A path below a file was an internal error, and a folder got a link to nothing.
func TestDownloadOfWhatIsNoFile(t *testing.T) {
	t.Parallel()
	a := start(t)
	const content = "the code of a workflow"
	l := a.location(t, content, nil)
	if code, body, _ := a.request(t, "PUT", l.GetSignedUrl(), content, "Content-MD5", base64MD5(content)); code != 200 {
		t.Fatalf("PUT: %d %s", code, body)
	}
	for name, url := range map[string]string{
		"below a file": l.GetNativeUrl() + "/more",
		"a folder":     strings.TrimSuffix(l.GetNativeUrl(), "/fast.tar.gz"),
	} {
		_, err := a.data.CreateDownloadLocation(t.Context(), &service.CreateDownloadLocationRequest{NativeUrl: url}) //nolint:staticcheck // Older clients call it.
		if status.Code(err) != codes.NotFound {
			t.Errorf("%s: %v, want NotFound", name, err)
		}
	}
}
