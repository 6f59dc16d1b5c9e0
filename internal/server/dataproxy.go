package server

import (
	"bytes"
	"context"
	"crypto/md5" //nolint:gosec // As in upload.go.
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"tminus.dev/gen/flyteidl/admin"
	"tminus.dev/gen/flyteidl/core"
	"tminus.dev/gen/flyteidl/service"
	"tminus.dev/internal/ident"
	"tminus.dev/internal/invalid"
	"tminus.dev/internal/store"
)

// dataProxy hands out links to files, and data by their flyte:// addresses.
type dataProxy struct {
	service.UnimplementedDataProxyServiceServer
	*Server
}

const (
	// defaultExpiry is how long a link works when it is not said, maxExpiry the most.
	defaultExpiry = time.Hour
	maxExpiry     = 24 * time.Hour
)

// expiry is when a link for that long stops to work.
func expiry(d *durationpb.Duration) (time.Time, error) {
	now := time.Now().Truncate(time.Second)
	if d == nil {
		return now.Add(defaultExpiry), nil
	}
	if !d.IsValid() || d.AsDuration() < time.Second || d.AsDuration() > maxExpiry {
		return time.Time{}, invalid.Field("expires_in", "must be from one second to %s", maxExpiry)
	}
	return now.Add(d.AsDuration()), nil
}

// CreateUploadLocation returns a link that takes one file. The file goes to
// project/domain/root/filename below the folder uploads, where root is the
// content's MD5 unless the client gives one.
func (d *dataProxy) CreateUploadLocation(ctx context.Context, r *service.CreateUploadLocationRequest) (*service.CreateUploadLocationResponse, error) {
	if err := checkOrg("", r); err != nil {
		return nil, err
	}
	digest := r.GetContentMd5()
	if len(digest) != 0 && len(digest) != md5.Size {
		return nil, invalid.Field("content_md5", "is %d bytes long; an MD5 has %d", len(digest), md5.Size)
	}
	if len(digest) == 0 && r.GetFilenameRoot() == "" {
		return nil, invalid.Field("content_md5", "is missing, and so is filename_root; give either")
	}
	expires, err := expiry(r.GetExpiresIn())
	if err != nil {
		return nil, err
	}
	root, filename := r.GetFilenameRoot(), r.GetFilename()
	if root == "" {
		root = hex.EncodeToString(digest)
	}
	if filename == "" {
		filename = strings.ToLower(rand.Text())
	}
	if err := checkPath("filename_root", root); err != nil {
		return nil, err
	}
	if err := checkPath("filename", filename); err != nil {
		return nil, err
	}
	if err := d.openPlace(ctx, "", r.GetProject(), r.GetDomain()); err != nil {
		return nil, err
	}
	name := strings.Join([]string{r.GetProject(), r.GetDomain(), root, filename}, "/")
	before, err := d.uploads.digest(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, err
	case !bytes.Equal(before, digest):
		return nil, exists("filename: %s is there already with other content; uploads never change", name)
	}
	response := &service.CreateUploadLocationResponse{
		SignedUrl: d.uploads.signed(d.base, http.MethodPut, name, digest, expires),
		NativeUrl: d.uploads.native(name),
		ExpiresAt: timestamppb.New(expires),
	}
	if len(digest) > 0 {
		response.Headers = map[string]string{"Content-MD5": base64.StdEncoding.EncodeToString(digest)}
	}
	return response, nil
}

// checkPath refuses a path that is not plainly one below a folder.
func checkPath(field, p string) error {
	const most = 1024
	if len(p) > most {
		return invalid.Field(field, "is %d bytes long; %d is the most", len(p), most)
	}
	if !utf8.ValidString(p) {
		return invalid.Field(field, "is not valid UTF-8")
	}
	for _, r := range p {
		if !unicode.IsPrint(r) || r == '\\' {
			return invalid.Field(field, "%q: character %q is not allowed", p, r)
		}
	}
	for part := range strings.SplitSeq(p, "/") {
		switch {
		case part == "" || part == "." || part == "..":
			return invalid.Field(field, "%q: between slashes there has to be a name", p)
		case len(part) > 255:
			return invalid.Field(field, "%q: a name is longer than 255 bytes", short(p, 60))
		}
	}
	return nil
}

// CreateDownloadLocation returns a link to something that was uploaded.
func (d *dataProxy) CreateDownloadLocation(_ context.Context, r *service.CreateDownloadLocationRequest) (*service.CreateDownloadLocationResponse, error) {
	name, ok := strings.CutPrefix(r.GetNativeUrl(), d.uploads.native("")+"/")
	if !ok {
		return nil, invalid.Field("native_url", "%q: use an address that CreateUploadLocation gave out", short(r.GetNativeUrl(), 100))
	}
	if err := checkPath("native_url", name); err != nil {
		return nil, err
	}
	expires, err := expiry(r.GetExpiresIn())
	if err != nil {
		return nil, err
	}
	switch info, err := d.uploads.root.Stat(name); {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR), err == nil && !info.Mode().IsRegular():
		return nil, notFound("native_url: nothing was uploaded as %s", name)
	case err != nil:
		return nil, err
	}
	return &service.CreateDownloadLocationResponse{
		SignedUrl: d.uploads.signed(d.base, http.MethodGet, name, nil, expires),
		ExpiresAt: timestamppb.New(expires),
	}, nil
}

// CreateDownloadLink would return links to a node's deck.
func (d *dataProxy) CreateDownloadLink(ctx context.Context, r *service.CreateDownloadLinkRequest) (*service.CreateDownloadLinkResponse, error) {
	if r.GetArtifactType() != service.ArtifactType_ARTIFACT_TYPE_DECK {
		return nil, invalid.Field("artifact_type", "is %s; use ARTIFACT_TYPE_DECK", r.GetArtifactType())
	}
	if _, err := expiry(r.GetExpiresIn()); err != nil {
		return nil, err
	}
	n, err := d.node(ctx, "node_execution_id", r.GetNodeExecutionId())
	if err != nil {
		return nil, err
	}
	return nil, noDeck(n.Node)
}

func noDeck(node string) error { return notFound("node %q has no deck: decks are not kept here", node) }

// GetData returns the inputs or outputs of a node or attempt, or one value among them.
func (d *dataProxy) GetData(ctx context.Context, r *service.GetDataRequest) (*service.GetDataResponse, error) {
	u, err := parseFlyteURL(r.GetFlyteUrl())
	if err != nil {
		return nil, err
	}
	var inputs, outputs []byte
	if u.attempt == "" {
		n, err := d.readNode(ctx, u.execution, u.node)
		if err != nil {
			return nil, err
		}
		inputs, outputs = n.Inputs, n.Outputs
	} else {
		attempt, err := strconv.ParseUint(u.attempt, 10, 31)
		if err != nil {
			return nil, invalid.Field("flyte_url", "%q is no attempt's number", short(u.attempt, 40))
		}
		t, err := d.readAttempt(ctx, u.execution, u.node, uint32(attempt))
		if err != nil {
			return nil, err
		}
		inputs, outputs = t.Inputs, t.Outputs
	}
	in, out, err := literals("node "+u.node, inputs, outputs)
	if err != nil {
		return nil, err
	}
	var of *core.LiteralMap
	switch u.side {
	case "i":
		of = in
	case "o":
		of = out
	default:
		return nil, noDeck(u.node)
	}
	if u.literal == "" {
		return &service.GetDataResponse{Data: &service.GetDataResponse_LiteralMap{LiteralMap: of}}, nil
	}
	literal, ok := of.GetLiterals()[u.literal]
	if !ok {
		return nil, notFound("flyte_url: there is no value %q", u.literal)
	}
	return &service.GetDataResponse{Data: &service.GetDataResponse_Literal{Literal: literal}}, nil
}

// flyteURL is an address of data:
// flyte://v1/project/domain/execution/node[/attempt]/side[/literal], where side is i, o or d.
type flyteURL struct {
	execution                    ident.Key
	node, attempt, side, literal string
}

const flyteScheme = "flyte://v1/"

func parseFlyteURL(s string) (flyteURL, error) {
	const form = "flyte://v1/project/domain/execution/node, then an attempt for a task's own, then i or o, then a value's name for it alone"
	bad := func() (flyteURL, error) {
		return flyteURL{}, invalid.Field("flyte_url", "%q: write it as %s", short(s, 200), form)
	}
	rest, ok := strings.CutPrefix(s, flyteScheme)
	parts := strings.Split(rest, "/")
	if !ok || len(parts) < 5 {
		return bad()
	}
	u := flyteURL{execution: ident.Key{Project: parts[0], Domain: parts[1], Name: parts[2]}, node: parts[3]}
	parts = parts[4:]
	if parts[0] != "" && strings.Trim(parts[0], "0123456789") == "" {
		u.attempt, parts = parts[0], parts[1:]
	}
	if len(parts) == 0 || len(parts) > 2 || parts[0] != "i" && parts[0] != "o" && parts[0] != "d" {
		return bad()
	}
	u.side = parts[0]
	if len(parts) == 2 {
		if u.literal = parts[1]; u.literal == "" || u.side == "d" {
			return bad()
		}
	}
	if u.execution.Validate("") != nil || checkNode("", u.node) != nil {
		return bad()
	}
	return u, nil
}

func nodeURLs(execution ident.Key, node string) *admin.FlyteURLs {
	base := flyteScheme + execution.String() + "/" + node
	return &admin.FlyteURLs{Inputs: base + "/i", Outputs: base + "/o"}
}

func attemptURLs(t store.TaskExecution) *admin.FlyteURLs {
	base := fmt.Sprintf("%s%s/%s/%d", flyteScheme, t.Execution, t.Node, t.Attempt)
	return &admin.FlyteURLs{Inputs: base + "/i", Outputs: base + "/o"}
}
