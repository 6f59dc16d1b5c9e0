package server

import (
	"crypto/hmac"
	"crypto/md5" //nolint:gosec // Content-MD5 is what Flyte's clients send; it guards against accidents, the signature against others.
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"google.golang.org/grpc/codes"
)

// uploads keeps what clients upload, in files, and signs the links under which
// they do. A file never changes once it is there, because registered tasks
// refer to it.
type uploads struct {
	root *os.Root
	dir  string // root's absolute path
	key  []byte
}

const (
	uploadPath = "/tminus/v1/uploads/"
	// maxUpload bounds one upload, in bytes.
	maxUpload = 1 << 30
	// uploadTime is how long one upload or download may take.
	uploadTime = 10 * time.Minute
	// partial begins the names of files that are still being written.
	partial = ".partial-"
)

func openUploads(data string) (*uploads, error) {
	data, err := filepath.Abs(data)
	if err != nil {
		return nil, fmt.Errorf("open uploads: %w", err)
	}
	u := &uploads{dir: filepath.Join(data, "uploads")}
	if err := os.MkdirAll(u.dir, 0o700); err != nil {
		return nil, fmt.Errorf("open uploads: %w", err)
	}
	if u.key, err = signingKey(filepath.Join(data, "upload.key")); err != nil {
		return nil, fmt.Errorf("open uploads: %w", err)
	}
	if u.root, err = os.OpenRoot(u.dir); err != nil {
		return nil, fmt.Errorf("open uploads: %w", err)
	}
	if err := u.sweep(); err != nil {
		return nil, errors.Join(fmt.Errorf("open uploads: %w", err), u.root.Close())
	}
	return u, nil
}

func (u *uploads) close() { _ = u.root.Close() }

// sweep removes what an earlier process left unfinished.
func (u *uploads) sweep() error {
	entries, err := fs.ReadDir(u.root.FS(), ".")
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !e.IsDir() && strings.HasPrefix(e.Name(), partial) { // A project's folder may be called so.
			if err := u.root.Remove(e.Name()); err != nil {
				return err
			}
		}
	}
	return nil
}

// signingKey reads the key with which links are signed, and makes one the first time.
func signingKey(file string) ([]byte, error) {
	const size = 32
	key, err := os.ReadFile(filepath.Clean(file))
	if errors.Is(err, fs.ErrNotExist) {
		key = make([]byte, size)
		_, _ = rand.Read(key) // It never fails.
		if err := createWhole(file, key); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
		key, err = os.ReadFile(filepath.Clean(file)) // Somebody else may have been first.
	}
	if err != nil {
		return nil, err
	}
	if len(key) != size {
		return nil, fmt.Errorf("%s holds %d bytes instead of %d; remove it to have a new one made", file, len(key), size)
	}
	return key, nil
}

// createWhole makes a file with content, for its owner alone, or not at all: a
// crash leaves no part of it under its name. fs.ErrExist when it is there.
func createWhole(file string, content []byte) (err error) {
	part, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+".*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(part.Name())) }()
	_, err = part.Write(content)
	if err = errors.Join(err, part.Sync(), part.Close()); err != nil {
		return err
	}
	return os.Link(part.Name(), file)
}

// signed is a link that permits one method on one file until it expires. An MD5
// in it is that of the only content it takes.
func (u *uploads) signed(base, method, name string, digest []byte, expires time.Time) string {
	segments := strings.Split(name, "/")
	for i, s := range segments {
		segments[i] = url.PathEscape(s)
	}
	q := url.Values{"expires": {strconv.FormatInt(expires.Unix(), 10)}}
	if len(digest) > 0 {
		q.Set("md5", hex.EncodeToString(digest))
	}
	q.Set("signature", hex.EncodeToString(u.signature(method, name, q.Get("expires"), q.Get("md5"))))
	return base + uploadPath + strings.Join(segments, "/") + "?" + q.Encode()
}

func (u *uploads) signature(method, name, expires, digest string) []byte {
	h := hmac.New(sha256.New, u.key)
	// Quoted, so that no two requests make the same text.
	fmt.Fprintf(h, "%q %q %q %q", method, name, expires, digest)
	return h.Sum(nil)
}

// native is how tasks on this machine name the file: by its path, as they name
// those they make. flytekit does not find a FlyteFile by a file:// address.
func (u *uploads) native(name string) string { return filepath.Join(u.dir, name) }

// digest is the MD5 of a file; fs.ErrNotExist when there is none, and nil when
// the name or a part of it is taken by something else.
func (u *uploads) digest(name string) (_ []byte, err error) {
	f, err := u.root.Open(name)
	if errors.Is(err, syscall.ENOTDIR) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if info, err := f.Stat(); err != nil || info.IsDir() {
		return nil, err
	}
	h := md5.New() //nolint:gosec // See the import.
	if _, err := io.Copy(h, f); err != nil {
		return nil, err
	}
	return h.Sum(nil), nil
}

// refusal is an error for the client of a link.
type refusal struct {
	status  int
	code    codes.Code
	problem string
}

func (r *refusal) Error() string { return r.problem }

func refuse(status int, code codes.Code, format string, args ...any) error {
	return &refusal{status, code, fmt.Sprintf(format, args...)}
}

// permitted checks the signature of a request and returns the file's name, and
// the MD5 that its content has to have, if any.
func (u *uploads) permitted(r *http.Request, now time.Time) (name string, digest []byte, err error) {
	name = strings.TrimPrefix(r.URL.Path, uploadPath)
	q := r.URL.Query()
	given, err := hex.DecodeString(q.Get("signature"))
	if err != nil || !hmac.Equal(given, u.signature(r.Method, name, q.Get("expires"), q.Get("md5"))) {
		return "", nil, refuse(http.StatusForbidden, codes.PermissionDenied, "signature: the link is not one that CreateUploadLocation or CreateDownloadLocation gave out for %s", r.Method)
	}
	expires, err := strconv.ParseInt(q.Get("expires"), 10, 64)
	if err != nil || !now.Before(time.Unix(expires, 0)) {
		return "", nil, refuse(http.StatusForbidden, codes.PermissionDenied, "expires: the link has expired; ask for another")
	}
	digest, err = hex.DecodeString(q.Get("md5"))
	return name, digest, err
}

// put takes one upload.
func (u *uploads) put(w http.ResponseWriter, r *http.Request) error {
	name, digest, err := u.permitted(r, time.Now())
	if err != nil {
		return err
	}
	if r.ContentLength < 0 {
		return refuse(http.StatusLengthRequired, codes.InvalidArgument, "Content-Length: is missing")
	}
	if r.ContentLength > maxUpload {
		return refuse(http.StatusRequestEntityTooLarge, codes.InvalidArgument, "Content-Length: is %d; %d is the most", r.ContentLength, maxUpload)
	}
	if header := r.Header.Get("Content-MD5"); header != "" || len(digest) > 0 {
		sent, err := base64.StdEncoding.DecodeString(header)
		if err != nil || len(sent) != md5.Size {
			return refuse(http.StatusBadRequest, codes.InvalidArgument, "Content-MD5: %q is no MD5 in base64", short(header, 60))
		}
		if len(digest) > 0 && !hmac.Equal(sent, digest) {
			return refuse(http.StatusBadRequest, codes.InvalidArgument, "Content-MD5: is not the one that the link is for")
		}
		digest = sent
	}
	if err := u.store(name, digest, r.Body, r.ContentLength); err != nil {
		return err
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

// store writes a file whole or not at all: it gets its name only once its
// content is complete, right and on disk.
func (u *uploads) store(name string, digest []byte, content io.Reader, length int64) (err error) {
	temporary := partial + rand.Text()
	f, err := u.root.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, u.root.Remove(temporary)) }()
	h := md5.New() //nolint:gosec // See the import.
	n, err := io.Copy(io.MultiWriter(f, h), content)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write upload: %w", err)
	}
	if n != length {
		return refuse(http.StatusBadRequest, codes.InvalidArgument, "Content-Length: is %d, but %d bytes came", length, n)
	}
	sum := h.Sum(nil)
	if len(digest) > 0 && !hmac.Equal(sum, digest) {
		return refuse(http.StatusBadRequest, codes.InvalidArgument, "Content-MD5: is not that of the %d bytes that came", n)
	}
	err = u.root.MkdirAll(path.Dir(name), 0o700)
	if err == nil {
		err = u.root.Link(temporary, name)
	}
	if !errors.Is(err, fs.ErrExist) && !errors.Is(err, syscall.ENOTDIR) {
		return err
	}
	before, err := u.digest(name)
	if err != nil {
		return err
	}
	if !hmac.Equal(before, sum) {
		return refuse(http.StatusConflict, codes.AlreadyExists, "%s is there already with other content; uploads never change", name)
	}
	return nil // The same upload again.
}

// get serves what was uploaded.
func (u *uploads) get(w http.ResponseWriter, r *http.Request) error {
	name, _, err := u.permitted(r, time.Now())
	if err != nil {
		return err
	}
	f, err := u.root.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return refuse(http.StatusNotFound, codes.NotFound, "nothing was uploaded as %s", name)
	}
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Disposition", "attachment")
	return serveFile(w, r, f)
}
