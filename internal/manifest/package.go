package manifest

import (
	"archive/tar"
	"bytes"
	"cmp"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"tminus.dev/gen/flyteidl/admin"
	"tminus.dev/gen/flyteidl/core"
)

// The bounds of a package, all of it unpacked.
const (
	maxEntries  = 20_000
	maxUnpacked = 256 << 20
)

// An entry is one file of a package.
type entry struct {
	name    string
	content []byte
}

// unpack reads the files of a gzipped tar archive into memory, at most so many
// bytes: nothing is written, so the names in it can do no harm.
func unpack(archive []byte, most int64) ([]entry, error) {
	zipped, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		return nil, fmt.Errorf("unpack: %w", err)
	}
	files := tar.NewReader(zipped)
	left := most
	var entries []entry
	for {
		header, err := files.Next()
		if errors.Is(err, io.EOF) {
			// What follows the last file has the checksum of them all.
			if _, err = io.Copy(io.Discard, io.LimitReader(zipped, left)); err == nil {
				return entries, nil
			}
		}
		if err != nil {
			return nil, fmt.Errorf("unpack: %w", err)
		}
		if header.Typeflag != tar.TypeReg {
			continue
		}
		content, err := io.ReadAll(io.LimitReader(files, left+1))
		if err != nil {
			return nil, fmt.Errorf("unpack %s: %w", header.Name, err)
		}
		if left -= int64(len(content)); left < 0 || len(entries) == maxEntries {
			return nil, fmt.Errorf("holds more than %d MiB or %d files", most>>20, maxEntries)
		}
		entries = append(entries, entry{name: path.Base(header.Name), content: content})
	}
}

// What SDKs leave for the one who registers to fill in.
const (
	projectPlaceholder     = "{{ registration.project }}"
	domainPlaceholder      = "{{ registration.domain }}"
	versionPlaceholder     = "{{ registration.version }}"
	sourcePlaceholder      = "{{ .remote_package_path }}"
	destinationPlaceholder = "{{ .dest_dir }}"
)

// readPackage turns the serialized entities of an SDK into a unit. Their files
// are called N_NAME_K.pb: N gives the order, and K is 1 for a TaskSpec, 2 for a
// WorkflowSpec and 3 for a LaunchPlan, all of flyteidl.admin. An archive of
// source code beside them is uploaded.
func readPackage(file string, entries []entry, locate locator, o Options) *unit {
	u := &unit{Position: Position{File: file}}
	slices.SortStableFunc(entries, func(a, b entry) int { return cmp.Compare(order(a.name), order(b.name)) })
	source := ""
	for _, e := range entries {
		var err error
		switch {
		case strings.HasSuffix(e.name, ".pb"):
			err = u.entity(e, o)
		case strings.HasSuffix(e.name, ".tar.gz"):
			if source != "" {
				err = errors.New("there is an archive of source code already: " + u.uploads[0].name)
				break
			}
			source, err = u.ship(locate, o.Project, o.Domain, e.name, e.content)
		}
		if err != nil {
			u.err = fmt.Errorf("%s: %s: %w", file, e.name, err)
			return u
		}
	}
	if len(u.messages()) == 0 {
		u.err = fmt.Errorf("%s: no entity in it; a package holds files such as 0_mod.task_1.pb", file)
		return u
	}
	u.fill(source, o)
	return u
}

// order is the number that an entry's name begins with.
func order(name string) int {
	digits, _, _ := strings.Cut(name, "_")
	n, err := strconv.Atoi(digits)
	if err != nil {
		return -1
	}
	return n
}

// entity adds what one file holds.
func (u *unit) entity(e entry, o Options) error {
	switch {
	case strings.HasSuffix(e.name, "_1.pb"):
		spec := &admin.TaskSpec{}
		if err := proto.Unmarshal(e.content, spec); err != nil {
			return fmt.Errorf("is no TaskSpec: %w", err)
		}
		u.tasks = append(u.tasks, &admin.TaskCreateRequest{Id: spec.GetTemplate().GetId(), Spec: spec})
	case strings.HasSuffix(e.name, "_2.pb"):
		spec := &admin.WorkflowSpec{}
		if err := proto.Unmarshal(e.content, spec); err != nil {
			return fmt.Errorf("is no WorkflowSpec: %w", err)
		}
		u.workflows = append(u.workflows, &admin.WorkflowCreateRequest{Id: spec.GetTemplate().GetId(), Spec: spec})
	case strings.HasSuffix(e.name, "_3.pb"):
		lp := &admin.LaunchPlan{}
		if err := proto.Unmarshal(e.content, lp); err != nil {
			return fmt.Errorf("is no LaunchPlan: %w", err)
		}
		p := plan{LaunchPlanCreateRequest: &admin.LaunchPlanCreateRequest{Id: lp.GetId(), Spec: lp.GetSpec()}}
		if o.Activate && lp.GetSpec().GetEntityMetadata().GetSchedule().GetScheduleExpression() != nil {
			p.activation = activate
		}
		u.plans = append(u.plans, p)
	default:
		return errors.New("its name does not say what it is; it ends in _1.pb for a task, _2.pb for a workflow, _3.pb for a launch plan")
	}
	return nil
}

// fill puts in what the SDK left open; source is the address of the source code.
func (u *unit) fill(source string, o Options) {
	replace := func(version string) {
		// The version comes last: it is a hash of all the rest.
		replacer := strings.NewReplacer(
			projectPlaceholder, o.Project, domainPlaceholder, o.Domain,
			sourcePlaceholder, source, destinationPlaceholder, ".",
			versionPlaceholder, cmp.Or(version, versionPlaceholder),
		)
		for _, m := range u.messages() {
			replaceStrings(m.ProtoReflect(), replacer.Replace)
			identify(m.ProtoReflect(), o.Project, o.Domain, version)
		}
	}
	replace("")
	replace(cmp.Or(o.Version, u.hash()))
}

// identify completes the identifiers in m that an SDK left without a project, domain or version.
func identify(m protoreflect.Message, project, domain, version string) {
	if id, ok := m.Interface().(*core.Identifier); ok {
		if id.GetName() != "" {
			id.Project, id.Domain = cmp.Or(id.GetProject(), project), cmp.Or(id.GetDomain(), domain)
			id.Version = cmp.Or(id.GetVersion(), version)
		}
		return
	}
	m.Range(func(field protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case field.IsMap() && field.MapValue().Kind() == protoreflect.MessageKind:
			v.Map().Range(func(_ protoreflect.MapKey, v protoreflect.Value) bool {
				identify(v.Message(), project, domain, version)
				return true
			})
		case field.IsList() && field.Kind() == protoreflect.MessageKind:
			for i := range v.List().Len() {
				identify(v.List().Get(i).Message(), project, domain, version)
			}
		case !field.IsMap() && !field.IsList() && field.Kind() == protoreflect.MessageKind:
			identify(v.Message(), project, domain, version)
		}
		return true
	})
}
