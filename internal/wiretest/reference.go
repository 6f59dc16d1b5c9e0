package wiretest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bufbuild/protocompile"
	// The reference's files import this one for the documentation of its REST API.
	_ "github.com/grpc-ecosystem/grpc-gateway/v2/protoc-gen-openapiv2/options"
	_ "google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// The reference: Flyte's npm package, its .proto files below protos/. The digest is the SHA-512 of
// the tarball as npm's registry publishes it (npm view @flyteorg/flyteidl@1.16.5 dist.integrity).
const (
	referencePackage = "@flyteorg/flyteidl@1.16.5"
	referenceTarball = "flyteorg-flyteidl-1.16.5.tgz"
	referenceSHA512  = "mMjjwzQ+v9tzSoIRg0U506UR4tRyb8tsYpczHJ6cHm9Z+IETwTJA2jV8Nd8opWNZgQOq9nuT394LeYz39KVjag=="
	referenceProtos  = "package/protos/"
)

// Reference returns the descriptors of Flyte's published .proto files. It asks npm for the package
// the first time and keeps the tarball in the user's cache directory; either way its digest must
// match before a byte of it is read.
func Reference(ctx context.Context) (*protoregistry.Files, error) {
	tarball, err := download(ctx)
	if err != nil {
		return nil, fmt.Errorf("fetch the reference %s: %w", referencePackage, err)
	}
	sources, err := protos(tarball)
	if err != nil {
		return nil, fmt.Errorf("unpack the reference %s: %w", referencePackage, err)
	}
	files, err := compile(ctx, sources)
	if err != nil {
		return nil, fmt.Errorf("compile the reference %s: %w", referencePackage, err)
	}
	return files, nil
}

// download returns the package's tarball, from the cache if it is there intact.
func download(ctx context.Context) (tarball []byte, err error) {
	userCache, err := os.UserCacheDir()
	if err != nil {
		return nil, fmt.Errorf("find the cache directory: %w", err)
	}
	dir := filepath.Join(userCache, "tminus")
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("create the cache directory: %w", err)
	}
	cache, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open the cache directory: %w", err)
	}
	defer func() { err = errors.Join(err, cache.Close()) }()
	tarball, err = cache.ReadFile(referenceTarball)
	if err == nil && verify(tarball) == nil {
		return tarball, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read the cached tarball: %w", err)
	}

	// A directory of its own, so that a download that was cut off, or is going on, is never read.
	tmp, err := os.MkdirTemp(dir, "npm-")
	if err != nil {
		return nil, fmt.Errorf("create a download directory: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(tmp)) }()
	npm := exec.CommandContext(ctx, "npm", "pack", "--ignore-scripts", referencePackage)
	npm.Dir = tmp
	out, err := npm.CombinedOutput()
	if errors.Is(err, exec.ErrNotFound) {
		return nil, fmt.Errorf("install Node.js for its npm, or put the tarball into %s as %s: %w", dir, referenceTarball, err)
	}
	if err != nil {
		return nil, fmt.Errorf("npm pack: %w\n%s", err, out)
	}
	fresh := filepath.Join(filepath.Base(tmp), referenceTarball)
	tarball, err = cache.ReadFile(fresh)
	if err != nil {
		return nil, fmt.Errorf("read what npm packed: %w", err)
	}
	if err := verify(tarball); err != nil {
		return nil, err
	}
	if err := cache.Rename(fresh, referenceTarball); err != nil {
		return nil, fmt.Errorf("keep the tarball: %w", err)
	}
	return tarball, nil
}

// verify returns an error unless tarball has the pinned digest.
func verify(tarball []byte) error {
	sum := sha512.Sum512(tarball)
	if got := base64.StdEncoding.EncodeToString(sum[:]); got != referenceSHA512 {
		return fmt.Errorf("the tarball's SHA-512 is %s, want %s", got, referenceSHA512)
	}
	return nil
}

// protos returns the .proto files in an npm tarball by their import path.
func protos(tarball []byte) (map[string]string, error) {
	zr, err := gzip.NewReader(bytes.NewReader(tarball))
	if err != nil {
		return nil, err
	}
	sources := make(map[string]string)
	for tr := tar.NewReader(zr); ; {
		header, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return sources, nil
		}
		if err != nil {
			return nil, err
		}
		name, ok := strings.CutPrefix(header.Name, referenceProtos)
		if !ok || !strings.HasSuffix(name, ".proto") {
			continue
		}
		b, err := io.ReadAll(tr)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", header.Name, err)
		}
		sources[name] = string(b)
	}
}

// compile compiles .proto sources by their import path. Imports that are not among them must be
// linked into this program, as google/api and google/protobuf are.
func compile(ctx context.Context, sources map[string]string) (*protoregistry.Files, error) {
	compiler := protocompile.Compiler{
		Resolver: protocompile.CompositeResolver{
			&protocompile.SourceResolver{Accessor: protocompile.SourceAccessorFromMap(sources)},
			protocompile.ResolverFunc(func(path string) (protocompile.SearchResult, error) {
				file, err := protoregistry.GlobalFiles.FindFileByPath(path)
				return protocompile.SearchResult{Desc: file}, err
			}),
		},
	}
	compiled, err := compiler.Compile(ctx, slices.Sorted(maps.Keys(sources))...)
	if err != nil {
		return nil, err
	}
	files := new(protoregistry.Files)
	for _, file := range compiled {
		if err := files.RegisterFile(file); err != nil {
			return nil, err
		}
	}
	return files, nil
}
