package manifest

import (
	"bytes"
	"context"
	"crypto/md5" //nolint:gosec // Flyte's upload protocol; it guards against accidents, not attacks.
	"encoding/base64"
	"encoding/hex"
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

// An upload is a file that goes to the server with a unit. The messages hold
// its stand-in, which is made of the file's content and name, until the server
// has said what it is called there.
type upload struct {
	standIn string
	name    string
	digest  [md5.Size]byte
	content []byte
}

func newUpload(name string, content []byte) upload {
	u := upload{name: name, content: content, digest: md5.Sum(content)} //nolint:gosec // See the import.
	u.standIn = "upload:" + hex.EncodeToString(u.digest[:]) + "/" + name
	return u
}

// files replaces the paths in tree, a value of type t, by the stand-ins of the
// files. What has a scheme, such as s3://bucket/key, is an address already.
func (c *compiler) files(tree any, t *core.LiteralType) (any, error) {
	switch tree := tree.(type) {
	case leaf:
		path, ok := tree.value.(string)
		if t.GetBlob() == nil || !ok || strings.Contains(path, "://") {
			return tree, nil
		}
		u, err := c.ship(path, t.GetBlob())
		if err != nil {
			return nil, err
		}
		c.unit.uploads = append(c.unit.uploads, u)
		return leaf{text: u.standIn, value: u.standIn}, nil
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

// ship reads the file at path, which is relative to the manifest.
func (c *compiler) ship(path string, t *core.BlobType) (upload, error) {
	if t.GetDimensionality() == core.BlobType_MULTIPART {
		return upload{}, errors.New("a directory cannot be shipped with a manifest; give the address of one, or its files one by one")
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(c.dir, filepath.FromSlash(path))
	}
	info, err := os.Stat(path)
	if err != nil {
		return upload{}, fmt.Errorf("read file: %w", err)
	}
	if !info.Mode().IsRegular() {
		return upload{}, fmt.Errorf("%s is no regular file", path)
	}
	content, err := readBounded(path, maxUpload)
	if err != nil {
		return upload{}, err
	}
	return newUpload(filepath.Base(path), content), nil
}

// readBounded reads a file of at most so many bytes.
func readBounded(path string, most int64) ([]byte, error) {
	f, err := os.Open(path) //nolint:gosec // The user names the file.
	if err != nil {
		return nil, fmt.Errorf("read file: %w", err)
	}
	defer f.Close() //nolint:errcheck // Nothing was written.
	content, err := io.ReadAll(io.LimitReader(f, most+1))
	if err != nil {
		return nil, fmt.Errorf("read file: %w", err)
	}
	if int64(len(content)) > most {
		return nil, fmt.Errorf("%s is larger than %d MiB", path, most>>20)
	}
	return content, nil
}

// locate asks where u goes and what it is called there.
func (u upload) locate(ctx context.Context, to service.DataProxyServiceClient, project, domain string) (*service.CreateUploadLocationResponse, error) {
	location, err := to.CreateUploadLocation(ctx, &service.CreateUploadLocationRequest{
		Project: project, Domain: domain, Filename: u.name, ContentMd5: u.digest[:], AddContentMd5Metadata: true,
	})
	if err != nil {
		return nil, fmt.Errorf("upload %s: %w", u.name, err)
	}
	return location, nil
}

// put sends the content to location.
func (u upload) put(ctx context.Context, client *http.Client, location *service.CreateUploadLocationResponse) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPut, location.GetSignedUrl(), bytes.NewReader(u.content))
	if err != nil {
		return fmt.Errorf("upload %s: %w", u.name, err)
	}
	request.Header.Set("Content-MD5", base64.StdEncoding.EncodeToString(u.digest[:]))
	for name, value := range location.GetHeaders() {
		request.Header.Set(name, value)
	}
	response, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("upload %s: %w", u.name, err)
	}
	defer response.Body.Close() //nolint:errcheck // The status has been read.
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

// messages are everything that u registers.
func (u *unit) messages() []proto.Message {
	var list []proto.Message
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
