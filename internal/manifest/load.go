package manifest

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"tminus.dev/gen/flyteidl/core"
	"tminus.dev/internal/ident"
	"tminus.dev/internal/workflow"
)

// maxArchive bounds a package as it lies on disk.
const maxArchive = 256 << 20

// Stdin is the path that means standard input.
const Stdin = "-"

// A set is everything that one apply registers.
type set struct {
	units []*unit
	// later are the documents that name a workflow without defining it, with
	// the place in units that they take.
	later  []reference
	locate locator
	o      Options
}

type reference struct {
	place int
	parsed
	dir string
}

// load reads what paths name. What cannot be read becomes a unit with its error.
func load(paths []string, locate locator, o Options) *set {
	s := &set{o: o, locate: locate}
	for _, path := range paths {
		s.path(path)
	}
	return s
}

func (s *set) fail(file string, err error) {
	s.units = append(s.units, &unit{Position: Position{File: file}, err: err})
}

func (s *set) path(path string) {
	if path == Stdin {
		content, err := io.ReadAll(io.LimitReader(s.o.Stdin, maxArchive))
		if err != nil {
			s.fail(Stdin, fmt.Errorf("read standard input: %w", err))
			return
		}
		s.content("<stdin>", ".", content)
		return
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		s.fail(path, fmt.Errorf("read manifest: %w", err))
	case info.IsDir():
		s.directory(path)
	default:
		s.file(path)
	}
}

// directory reads the manifests of a directory, without those below it. Its .pb
// files together are one package.
func (s *set) directory(dir string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		s.fail(dir, fmt.Errorf("read manifests: %w", err))
		return
	}
	before := len(s.units)
	var serialized []entry
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		info, err := os.Stat(path) // Follows links, as those of a Kubernetes volume.
		if err != nil || info.IsDir() || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		switch {
		case strings.HasSuffix(e.Name(), ".pb"):
			content, err := readBounded(path, maxSize)
			if err != nil {
				s.fail(path, err)
				continue
			}
			serialized = append(serialized, entry{name: e.Name(), content: content})
		case isYAML(e.Name()), isArchive(e.Name()):
			s.file(path)
		}
	}
	if len(serialized) > 0 {
		s.units = append(s.units, readPackage(dir, serialized, s.locate, s.o))
	}
	if len(s.units) == before {
		s.fail(dir, fmt.Errorf("%s: no manifest in it (*.yaml, *.yml, *.tgz, *.pb)", dir))
	}
}

func isYAML(name string) bool {
	return strings.HasSuffix(name, ".yaml") || strings.HasSuffix(name, ".yml")
}

func isArchive(name string) bool {
	return strings.HasSuffix(name, ".tgz") || strings.HasSuffix(name, ".tar.gz")
}

func (s *set) file(path string) {
	content, err := readBounded(path, maxArchive)
	if err != nil {
		s.fail(path, err)
		return
	}
	if strings.HasSuffix(path, ".pb") {
		s.units = append(s.units, readPackage(path, []entry{{name: filepath.Base(path), content: content}}, s.locate, s.o))
		return
	}
	s.content(path, filepath.Dir(path), content)
}

// gzipMagic begins every gzipped file.
var gzipMagic = []byte{0x1f, 0x8b}

func (s *set) content(name, dir string, content []byte) {
	if bytes.HasPrefix(content, gzipMagic) {
		entries, err := unpack(content, maxUnpacked)
		if err != nil {
			s.fail(name, fmt.Errorf("%s: %w", name, err))
			return
		}
		s.units = append(s.units, readPackage(name, entries, s.locate, s.o))
		return
	}
	documents, err := parse(name, content)
	if err != nil {
		s.fail(name, err)
		return
	}
	if len(documents) == 0 {
		s.fail(name, fmt.Errorf("%s: there is nothing in it", name))
	}
	for _, d := range documents {
		d.Project, d.Domain = cmp.Or(d.Project, s.o.Project), cmp.Or(d.Domain, s.o.Domain)
		d.Version = cmp.Or(d.Version, s.o.Version)
		if d.defines() || len(d.source.problems) > 0 {
			s.units = append(s.units, compile(d, place{dir: dir, locate: s.locate}))
			continue
		}
		s.later = append(s.later, reference{place: len(s.units), parsed: d, dir: dir})
		s.units = append(s.units, nil)
	}
}

// resolve compiles the documents that name a workflow which they do not define.
// Registered ones are found by fetch.
func (s *set) resolve(fetch func(ident.ID) (*core.TypedInterface, error)) {
	defined := map[ident.Key]*unit{}
	for _, u := range s.units {
		if u == nil {
			continue
		}
		for _, w := range u.workflows {
			if key := workflow.ID(w.GetId()).Key; defined[key] == nil {
				defined[key] = u
			}
		}
	}
	find := func(id ident.ID) (ident.ID, *core.TypedInterface, error) {
		if u, ok := defined[id.Key]; ok {
			for _, w := range u.workflows {
				if own := workflow.ID(w.GetId()); own.Key == id.Key && (id.Version == "" || id.Version == own.Version) {
					return own, w.GetSpec().GetTemplate().GetInterface(), nil
				}
			}
		}
		if id.Version == "" {
			return id, nil, errNoVersion
		}
		face, err := fetch(id)
		return id, face, err
	}
	for _, r := range s.later {
		s.units[r.place] = compile(r.parsed, place{dir: r.dir, lookup: find, locate: s.locate})
	}
	s.later = nil
	s.distinct()
}

// distinct refuses a second definition of the same thing, of which only the
// last would count.
func (s *set) distinct() {
	type what struct {
		kind core.ResourceType
		key  ident.Key
	}
	first := map[what]Position{}
	check := func(u *unit, kind core.ResourceType, key string, id *core.Identifier) {
		w := what{kind, workflow.ID(id).Key}
		at, twice := first[w]
		if !twice {
			first[w] = u.Position
			return
		}
		if u.err != nil {
			return
		}
		u.err = ProblemsError{{Position: u.Position, Message: fmt.Sprintf("%s %s is defined in %s already", kindWord(kind), w.key, at)}}
		if u.source != nil {
			u.err = ProblemsError{{Position: u.source.find(key), Key: key, Message: fmt.Sprintf("%s is defined in %s already", w.key, at)}}
		}
	}
	for _, u := range s.units {
		if u == nil {
			continue
		}
		for _, w := range slices.Clone(u.workflows) {
			check(u, core.ResourceType_WORKFLOW, "workflow", w.GetId())
		}
		for _, p := range u.plans {
			check(u, core.ResourceType_LAUNCH_PLAN, "launchPlan", p.GetId())
		}
	}
}

// kindWord is what people call a kind of entity.
func kindWord(kind core.ResourceType) string {
	switch kind {
	case core.ResourceType_TASK:
		return "task"
	case core.ResourceType_WORKFLOW:
		return "workflow"
	case core.ResourceType_LAUNCH_PLAN:
		return "launch plan"
	default:
		return "entity"
	}
}
