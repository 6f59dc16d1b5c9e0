package wiretest

import (
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	// The generated code registers the descriptors that the tests look at.
	_ "tminus.dev/gen/flyteidl/service"
)

// What tminus declares of Flyte's API is what Flyte declares.
func TestWireMatchesReference(t *testing.T) {
	reference, err := Reference(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	differences, err := Compare(declared(t), reference)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range differences {
		t.Error(d)
	}
}

// The methods Flyte's clients call, and no others: a method that is declared here and not served
// answers Unimplemented, like one that is not declared.
func TestDeclaredMethods(t *testing.T) {
	want := map[protoreflect.FullName][]string{
		"flyteidl.service.AdminService": {
			"CreateTask", "GetTask", "ListTaskIds", "ListTasks",
			"CreateWorkflow", "GetWorkflow", "ListWorkflowIds", "ListWorkflows",
			"CreateLaunchPlan", "GetLaunchPlan", "GetActiveLaunchPlan", "ListActiveLaunchPlans",
			"ListLaunchPlanIds", "ListLaunchPlans", "UpdateLaunchPlan",
			"CreateExecution", "RelaunchExecution", "RecoverExecution", "GetExecution", "UpdateExecution",
			"GetExecutionData", "ListExecutions", "TerminateExecution",
			"GetNodeExecution", "GetDynamicNodeWorkflow", "ListNodeExecutions", "ListNodeExecutionsForTask",
			"GetNodeExecutionData",
			"RegisterProject", "UpdateProject", "GetProject", "ListProjects", "GetDomains",
			"GetTaskExecution", "ListTaskExecutions", "GetTaskExecutionData",
			"ListNamedEntities", "GetNamedEntity", "UpdateNamedEntity",
			"GetVersion",
		},
		"flyteidl.service.AuthMetadataService": {"GetOAuth2Metadata", "GetPublicClientConfig"},
		"flyteidl.service.DataProxyService":    {"CreateUploadLocation", "CreateDownloadLocation", "CreateDownloadLink", "GetData"},
		"flyteidl.service.IdentityService":     {"UserInfo"},
	}
	got := make(map[protoreflect.FullName][]string)
	for _, file := range declared(t) {
		for i := range file.Services().Len() {
			service := file.Services().Get(i)
			for j := range service.Methods().Len() {
				got[service.FullName()] = append(got[service.FullName()], string(service.Methods().Get(j).Name()))
			}
		}
	}
	for _, methods := range []map[protoreflect.FullName][]string{want, got} {
		for _, names := range methods {
			slices.Sort(names)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("methods (-want +got):\n%s", diff)
	}
}

// declared returns the descriptors of every file below proto/flyteidl.
func declared(t *testing.T) []protoreflect.FileDescriptor {
	t.Helper()
	var files []protoreflect.FileDescriptor
	err := fs.WalkDir(os.DirFS("../../proto"), "flyteidl", func(name string, _ fs.DirEntry, err error) error {
		if err != nil || path.Ext(name) != ".proto" {
			return err
		}
		file, err := protoregistry.GlobalFiles.FindFileByPath(name)
		if err != nil {
			t.Errorf("%s is not in the generated code this test imports: %v", name, err)
			return nil
		}
		files = append(files, file)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(files, func(f protoreflect.FileDescriptor) bool { return strings.HasSuffix(f.Path(), "/schedule.proto") }) {
		t.Fatal("no flyteidl/admin/schedule.proto: is this the right directory?")
	}
	return files
}
