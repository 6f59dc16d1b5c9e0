package runner

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"go.yaml.in/yaml/v4"
	"google.golang.org/protobuf/proto"

	"tminus.dev/gen/flyteidl/core"
	"tminus.dev/internal/literal"
)

// maxOutputs bounds what is read of a task's outputs, in bytes; it is the limit
// at which Flyte's storage layer refuses to read, and keeps one task from
// filling the database.
const maxOutputs = 10 << 20

// layout is the directory of an attempt.
type layout string

func (l layout) path(elements ...string) string {
	return filepath.Join(append([]string{string(l)}, elements...)...)
}

func (l layout) inputs() string  { return l.path(inputsDir) }
func (l layout) outputs() string { return l.path(outputsDir) }

// create makes the directories, empty and for their owner alone.
func (l layout) create() error {
	if err := os.RemoveAll(string(l)); err != nil {
		return err
	}
	for _, dir := range []string{inputsDir, outputsDir, rawDir, checkpointDir, workDir} {
		if err := os.MkdirAll(l.path(dir), 0o700); err != nil {
			return err
		}
	}
	return nil
}

// writeInputs writes inputs.pb, which every task gets.
func (l layout) writeInputs(inputs *core.LiteralMap) error {
	b, err := proto.Marshal(inputs)
	if err != nil {
		return err
	}
	return os.WriteFile(l.path(inputsDir, inputsFile), b, 0o600)
}

// stager writes the inputs of a raw container: for each input a file of its
// name, and inputs.json or inputs.yaml with all of them, as Flyte's copilot does
// (flytecopilot/data/download.go). Lists and maps become directories with a
// file for each element, named after its index or key.
type stager struct {
	root *os.Root
	dir  string
}

// stage writes inputs and returns them as inputs.pb has them: with the paths of
// the staged files in place of their URIs.
func (l layout) stage(inputs *core.LiteralMap, format core.DataLoadingConfig_LiteralMapFormat) (_ *core.LiteralMap, err error) {
	root, err := os.OpenRoot(l.inputs())
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	s := stager{root: root, dir: l.inputs()}
	staged, err := s.literals("", inputs.GetLiterals())
	if err != nil {
		return nil, err
	}
	summary := make(map[string]any, len(staged))
	for name, l := range staged {
		summary[name] = summarize(l)
	}
	switch format {
	case core.DataLoadingConfig_JSON:
		b, err := json.Marshal(summary)
		if err != nil {
			return nil, err
		}
		err = root.WriteFile("inputs.json", b, 0o600)
		return &core.LiteralMap{Literals: staged}, err
	case core.DataLoadingConfig_YAML:
		b, err := yaml.Marshal(summary)
		if err != nil {
			return nil, err
		}
		err = root.WriteFile("inputs.yaml", b, 0o600)
		return &core.LiteralMap{Literals: staged}, err
	default: // PROTO is inputs.pb, which is always there.
		return &core.LiteralMap{Literals: staged}, nil
	}
}

func (s stager) literals(dir string, literals map[string]*core.Literal) (map[string]*core.Literal, error) {
	staged := make(map[string]*core.Literal, len(literals))
	for _, name := range slices.Sorted(maps.Keys(literals)) {
		if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00") {
			return nil, fmt.Errorf("%q of %s cannot name a file", name, cmp.Or(dir, "the inputs"))
		}
		l, err := s.literal(filepath.Join(dir, name), literals[name])
		if err != nil {
			return nil, err
		}
		staged[name] = l
	}
	return staged, nil
}

func (s stager) literal(path string, l *core.Literal) (*core.Literal, error) {
	switch v := l.GetValue().(type) {
	case *core.Literal_Collection:
		if err := s.root.Mkdir(path, 0o700); err != nil {
			return nil, err
		}
		staged := make([]*core.Literal, len(v.Collection.GetLiterals()))
		for i, e := range v.Collection.GetLiterals() {
			var err error
			if staged[i], err = s.literal(filepath.Join(path, strconv.Itoa(i)), e); err != nil {
				return nil, err
			}
		}
		return &core.Literal{Value: &core.Literal_Collection{Collection: &core.LiteralCollection{Literals: staged}}}, nil
	case *core.Literal_Map:
		if err := s.root.Mkdir(path, 0o700); err != nil {
			return nil, err
		}
		staged, err := s.literals(path, v.Map.GetLiterals())
		return &core.Literal{Value: &core.Literal_Map{Map: &core.LiteralMap{Literals: staged}}}, err
	case *core.Literal_Scalar:
		return s.scalar(path, l, v.Scalar)
	default:
		return nil, fmt.Errorf("%s holds a value that tminus cannot write to a file", path)
	}
}

func (s stager) scalar(path string, l *core.Literal, scalar *core.Scalar) (*core.Literal, error) {
	switch v := scalar.GetValue().(type) {
	case *core.Scalar_Blob:
		if err := s.copyFrom(v.Blob.GetUri(), path); err != nil {
			return nil, err
		}
		return scalarLiteral(&core.Scalar{Value: &core.Scalar_Blob{Blob: &core.Blob{
			Metadata: v.Blob.GetMetadata(), Uri: filepath.Join(s.dir, path),
		}}}), nil
	case *core.Scalar_Schema:
		if err := s.copyFrom(v.Schema.GetUri(), path); err != nil {
			return nil, err
		}
		return scalarLiteral(&core.Scalar{Value: &core.Scalar_Schema{Schema: &core.Schema{
			Type: v.Schema.GetType(), Uri: filepath.Join(s.dir, path),
		}}}), nil
	case *core.Scalar_Union:
		inner, err := s.literal(path, v.Union.GetValue())
		return scalarLiteral(&core.Scalar{Value: &core.Scalar_Union{Union: &core.Union{
			Type: v.Union.GetType(), Value: inner,
		}}}), err
	case *core.Scalar_NoneType:
		return l, s.root.WriteFile(path, []byte("null"), 0o600)
	case *core.Scalar_Binary:
		return l, s.root.WriteFile(path, v.Binary.GetValue(), 0o600)
	default:
		return l, s.root.WriteFile(path, []byte(literal.Text(l)), 0o600)
	}
}

// copyFrom copies a file or directory of this machine to path.
func (s stager) copyFrom(uri, path string) error {
	from, err := localPath(uri)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	info, err := os.Stat(from)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if info.IsDir() {
		return os.CopyFS(filepath.Join(s.dir, path), os.DirFS(from))
	}
	return s.copyFile(from, path)
}

func (s stager) copyFile(from, path string) (err error) {
	in, err := os.Open(from) //nolint:gosec // Tasks may read what tminus may.
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	out, err := s.root.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// localPath is the path that uri means on this machine.
func localPath(uri string) (string, error) {
	if filepath.IsAbs(uri) {
		return uri, nil
	}
	u, err := url.Parse(uri)
	if err == nil && u.Scheme == "file" && (u.Host == "" || u.Host == "localhost") {
		return u.Path, nil
	}
	return "", fmt.Errorf("%q is not on this machine; raw containers get files from file:// URIs and paths only", uri)
}

// summarize is l as inputs.json has it: as literal.ToValue but for durations,
// which the copilot writes in nanoseconds.
func summarize(l *core.Literal) any {
	switch v := l.GetValue().(type) {
	case *core.Literal_Collection:
		all := make([]any, len(v.Collection.GetLiterals()))
		for i, e := range v.Collection.GetLiterals() {
			all[i] = summarize(e)
		}
		return all
	case *core.Literal_Map:
		all := make(map[string]any, len(v.Map.GetLiterals()))
		for key, e := range v.Map.GetLiterals() {
			all[key] = summarize(e)
		}
		return all
	}
	if u := l.GetScalar().GetUnion(); u != nil {
		return summarize(u.GetValue())
	}
	if d := l.GetScalar().GetPrimitive().GetDuration(); d != nil {
		return d.AsDuration().Nanoseconds()
	}
	return literal.ToValue(l)
}

func scalarLiteral(s *core.Scalar) *core.Literal {
	return &core.Literal{Value: &core.Literal_Scalar{Scalar: s}}
}

// open opens a regular file below dir that a task may have written or replaced.
// It can have put anything there: a link to somewhere else, a pipe that never ends.
func open(dir, name string) (_ *os.File, _ os.FileInfo, err error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file", name)
	}
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return f, info, nil
}

// errTooBig says that an output is larger than maxOutputs.
var errTooBig = errors.New("is larger than 10 MiB")

// readOutput reads a file in the output directory.
func (l layout) readOutput(name string) (_ []byte, err error) {
	f, info, err := open(l.outputs(), name)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if info.Size() > maxOutputs {
		return nil, fmt.Errorf("%s %w", name, errTooBig)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxOutputs+1))
	if err == nil && len(b) > maxOutputs { // It grew.
		err = fmt.Errorf("%s %w", name, errTooBig)
	}
	return b, err
}

// collect makes the outputs of a raw container of the files it wrote. Lists,
// maps and structs are JSON; Flyte's copilot takes only simple types and files.
func (l layout) collect(variables map[string]*core.Variable) (*core.LiteralMap, error) {
	outputs := make(map[string]*core.Literal, len(variables))
	var missing []string
	for _, name := range slices.Sorted(maps.Keys(variables)) {
		value, err := l.output(name, variables[name].GetType())
		switch {
		case errors.Is(err, fs.ErrNotExist):
			missing = append(missing, name)
		case err != nil:
			return nil, fmt.Errorf("output %s: %w", name, err)
		default:
			outputs[name] = value
		}
	}
	if len(missing) > 0 {
		return nil, &missingOutputsError{missing}
	}
	return &core.LiteralMap{Literals: outputs}, nil
}

// missingOutputsError names outputs that a task declares but did not write.
type missingOutputsError struct{ names []string }

func (e *missingOutputsError) Error() string {
	return "the task declares outputs that it did not write: " + list(e.names)
}

func (l layout) output(name string, t *core.LiteralType) (*core.Literal, error) {
	if t.GetBlob() != nil {
		return l.outputBlob(name, t.GetBlob())
	}
	b, err := l.readOutput(name)
	if err != nil {
		return nil, err
	}
	if simple, ok := t.GetType().(*core.LiteralType_Simple); ok {
		switch simple.Simple {
		case core.SimpleType_BINARY:
			return scalarLiteral(&core.Scalar{Value: &core.Scalar_Binary{Binary: &core.Binary{Value: b, Tag: "msgpack"}}}), nil
		case core.SimpleType_ERROR:
			return scalarLiteral(&core.Scalar{Value: &core.Scalar_Error{Error: &core.Error{Message: validText(string(b))}}}), nil
		case core.SimpleType_NONE:
			return scalarLiteral(&core.Scalar{Value: &core.Scalar_NoneType{NoneType: &core.Void{}}}), nil
		case core.SimpleType_STRING:
			text := strings.TrimSuffix(string(b), "\n") // What echo ends its output with.
			return literal.FromValue(t, strings.TrimSuffix(text, "\r"))
		default:
		}
	}
	return literal.FromValue(t, strings.TrimSpace(string(b)))
}

// outputBlob refers to a file or directory where the task put it.
func (l layout) outputBlob(name string, t *core.BlobType) (_ *core.Literal, err error) {
	root, err := os.OpenRoot(l.outputs())
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	info, err := root.Stat(name)
	if err != nil {
		return nil, err
	}
	if multipart := t.GetDimensionality() == core.BlobType_MULTIPART; multipart != info.IsDir() {
		want := "a file"
		if multipart {
			want = "a directory"
		}
		return nil, fmt.Errorf("is to be %s", want)
	}
	return scalarLiteral(&core.Scalar{Value: &core.Scalar_Blob{Blob: &core.Blob{
		Metadata: &core.BlobMetadata{Type: t}, Uri: l.path(outputsDir, name),
	}}}), nil
}
