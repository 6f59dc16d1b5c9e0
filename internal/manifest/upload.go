package manifest

import (
	"bytes"
	"context"
	"crypto/md5" //nolint:gosec // Flyte's upload protocol; it guards against accidents, not attacks.
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"tminus.dev/gen/flyteidl/core"
	"tminus.dev/gen/flyteidl/service"
)

// maxUpload bounds a file that a manifest ships.
const maxUpload = 256 << 20

// An upload is a file that goes to the server with a unit.
type upload struct {
	name    string
	content []byte
	// location is where it goes, and its address there. Servers make the
	// address of the project, the content and the name, so that the same file
	// has the same address however often it is sent.
	location *service.CreateUploadLocationResponse
}

// A locator asks a server where a file of that name and digest goes.
type locator func(project, domain, name string, digest []byte) (*service.CreateUploadLocationResponse, error)

// ship adds a file to those that go to the server with u, and returns its address there.
func (u *unit) ship(locate locator, project, domain, name string, content []byte) (string, error) {
	digest := md5.Sum(content) //nolint:gosec // See the import.
	location, err := locate(project, domain, name, digest[:])
	if err != nil {
		return "", clientError(fmt.Errorf("upload %s: %w", name, err))
	}
	u.uploads = append(u.uploads, upload{name: name, content: content, location: location})
	return location.GetNativeUrl(), nil
}

// files replaces the paths in tree, a value of type t, by the addresses that
// the files get on the server. What has a scheme, such as s3://bucket/key, is an
// address already.
func (c *compiler) files(tree any, t *core.LiteralType) (any, error) {
	switch tree := tree.(type) {
	case leaf:
		path, ok := tree.value.(string)
		if t.GetBlob() == nil || !ok || strings.Contains(path, "://") {
			return tree, nil
		}
		address, err := c.file(path, t.GetBlob())
		return leaf{text: address, value: address}, err
	case []any:
		list := make([]any, len(tree))
		for i, item := range tree {
			var err error
			if list[i], err = c.files(item, t.GetCollectionType()); err != nil {
				return nil, err
			}
		}
		return list, nil
	case map[string]any:
		m := make(map[string]any, len(tree))
		for name, item := range tree {
			var err error
			if m[name], err = c.files(item, t.GetMapValueType()); err != nil {
				return nil, err
			}
		}
		return m, nil
	default:
		return tree, nil
	}
}

// file ships the file at path, which is relative to the manifest.
func (c *compiler) file(path string, t *core.BlobType) (string, error) {
	if t.GetDimensionality() == core.BlobType_MULTIPART {
		return "", errors.New("a directory cannot be shipped with a manifest; give the address of one, or its files one by one")
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(c.dir, filepath.FromSlash(path))
	}
	info, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("read file: %w", err)
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("%s is no regular file", path)
	}
	content, err := readBounded(path, maxUpload)
	if err != nil {
		return "", err
	}
	return c.unit.ship(c.locate, c.Project, c.Domain, filepath.Base(path), content)
}

// readBounded reads a file of at most so many bytes.
func readBounded(path string, most int64) ([]byte, error) {
	f, err := os.Open(path) //nolint:gosec // The user names the file.
	if err != nil {
		return nil, fmt.Errorf("read file: %w", err)
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, most+1))
	if err != nil {
		return nil, fmt.Errorf("read file: %w", err)
	}
	if int64(len(content)) > most {
		return nil, fmt.Errorf("%s is larger than %d MiB", path, most>>20)
	}
	return content, nil
}

// put sends the content to the server.
func (u upload) put(ctx context.Context, client *http.Client) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPut, u.location.GetSignedUrl(), bytes.NewReader(u.content))
	if err != nil {
		return fmt.Errorf("upload %s: %w", u.name, err)
	}
	digest := md5.Sum(u.content) //nolint:gosec // See the import.
	request.Header.Set("Content-MD5", base64.StdEncoding.EncodeToString(digest[:]))
	for name, value := range u.location.GetHeaders() {
		request.Header.Set(name, value)
	}
	response, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("upload %s: %w", u.name, err)
	}
	defer response.Body.Close()
	if response.StatusCode/100 != 2 {
		said, _ := io.ReadAll(io.LimitReader(response.Body, 500)) //nolint:errcheck // It only adds to the error.
		return fmt.Errorf("upload %s: %s: %s", u.name, response.Status, bytes.TrimSpace(said))
	}
	return nil
}

// replaceStrings changes every string in m, except map keys, to what change makes of it.
func replaceStrings(m protoreflect.Message, change func(string) string) {
	m.Range(func(field protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		isString, isMessage := field.Kind() == protoreflect.StringKind, field.Kind() == protoreflect.MessageKind
		switch {
		case field.IsMap():
			value := field.MapValue()
			v.Map().Range(func(key protoreflect.MapKey, v protoreflect.Value) bool {
				if value.Kind() == protoreflect.StringKind {
					m.Mutable(field).Map().Set(key, protoreflect.ValueOfString(change(v.String())))
				} else if value.Kind() == protoreflect.MessageKind {
					replaceStrings(v.Message(), change)
				}
				return true
			})
		case field.IsList():
			for i := range v.List().Len() {
				if isString {
					v.List().Set(i, protoreflect.ValueOfString(change(v.List().Get(i).String())))
				} else if isMessage {
					replaceStrings(v.List().Get(i).Message(), change)
				}
			}
		case isString:
			m.Set(field, protoreflect.ValueOfString(change(v.String())))
		case isMessage:
			replaceStrings(v.Message(), change)
		}
		return true
	})
}

// A request registers something.
type request interface {
	proto.Message
	GetId() *core.Identifier
}

// messages are everything that u registers.
func (u *unit) messages() []request {
	var list []request
	for _, t := range u.tasks {
		list = append(list, t)
	}
	for _, w := range u.workflows {
		list = append(list, w)
	}
	for _, p := range u.plans {
		list = append(list, p.LaunchPlanCreateRequest)
	}
	return list
}
