package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"tminus.dev/gen/flyteidl/core"
	tminusv1 "tminus.dev/gen/tminus/v1"
	"tminus.dev/internal/ident"
	"tminus.dev/internal/store"
	"tminus.dev/internal/workflow"
)

// logs reads what the tasks of executions wrote.
type logs struct {
	tminusv1.UnimplementedLogServiceServer
	*Server
}

const (
	logPath = "/tminus/v1/logs/"
	// followPoll is how often a log that is followed is looked at.
	followPoll = 500 * time.Millisecond
	// logChunk is how much of a log one message holds, in bytes.
	logChunk = 32 << 10
)

// logFiles are the files in an attempt's directory.
var logFiles = []struct {
	name   string
	stream tminusv1.ReadLogsResponse_Stream
}{
	{"stdout", tminusv1.ReadLogsResponse_STREAM_STDOUT},
	{"stderr", tminusv1.ReadLogsResponse_STREAM_STDERR},
}

// logLinks is where the logs of an attempt can be read as plain text.
func (s *Server) logLinks(t store.TaskExecution) []*core.TaskLog {
	if t.Dir == "" {
		return nil
	}
	var links []*core.TaskLog
	for _, f := range logFiles {
		links = append(links, &core.TaskLog{
			Name: f.name,
			Uri:  fmt.Sprintf("%s%s%s/%s/%d/%s", s.base, logPath, t.Execution, url.PathEscape(t.Node), t.Attempt, f.name),
		})
	}
	return links
}

// openLog opens a log. A task can put what it likes in its directory; what is
// no plain file, such as a link elsewhere or a pipe that would block, is no log
// and as good as absent.
func openLog(in *os.Root, path string) (*os.File, error) {
	info, err := in.Lstat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fs.ErrNotExist
	}
	return in.Open(path)
}

// checkHere refuses to read the files of an attempt that are in another replica's data directory.
func (s *Server) checkHere(t store.TaskExecution) error {
	if t.Dir == "" || t.Runner == "" {
		return nil
	}
	if _, err := s.data.Lstat(t.Dir); !errors.Is(err, fs.ErrNotExist) {
		return nil // What else may be wrong shows when it is read.
	}
	return notFound("the logs of attempt %d of node %q are not in the data directory of this replica: runner %s ran it; ask the replica that has the data directory of that runner",
		t.Attempt, t.Node, t.Runner)
}

// serveLog serves one log of one attempt as plain text.
func (s *Server) serveLog(w http.ResponseWriter, r *http.Request) error {
	key := ident.Key{Project: r.PathValue("project"), Domain: r.PathValue("domain"), Name: r.PathValue("name")}
	attempt, err := strconv.ParseUint(r.PathValue("attempt"), 10, 31)
	if err != nil {
		return refuse(http.StatusBadRequest, codes.InvalidArgument, "attempt: %q is no number", short(r.PathValue("attempt"), 40))
	}
	name := r.PathValue("stream")
	if name != logFiles[0].name && name != logFiles[1].name {
		return refuse(http.StatusNotFound, codes.NotFound, "there is no log %q; use stdout or stderr", short(name, 40))
	}
	t, err := s.readAttempt(r.Context(), key, r.PathValue("node"), uint32(attempt))
	if err != nil {
		return err
	}
	if err := s.checkHere(t); err != nil {
		return refuse(http.StatusNotFound, codes.NotFound, "%s", status.Convert(err).Message())
	}
	f, err := openLog(s.data, filepath.Join(t.Dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return refuse(http.StatusNotFound, codes.NotFound, "the attempt has written no %s", name)
	}
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	return serveFile(w, r, f)
}

// serveFile answers with the content of f, whose type the header has already, and closes f.
func serveFile(w http.ResponseWriter, r *http.Request, f *os.File) (err error) {
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		w.Header().Del("Content-Type") // The answer is an error's.
		w.Header().Del("Content-Disposition")
		return err
	}
	http.ServeContent(w, r, "", info.ModTime(), f)
	return nil
}

// ReadLogs sends the logs of an execution's attempts, one attempt after the
// other; to follow, until the execution has ended. Those that other replicas
// have it leaves out, and then says so.
func (l *logs) ReadLogs(r *tminusv1.ReadLogsRequest, stream grpc.ServerStreamingServer[tminusv1.ReadLogsResponse]) error {
	ctx := stream.Context()
	key := ident.Key{Project: r.GetProject(), Domain: r.GetDomain(), Name: r.GetName()}
	if err := key.Validate(""); err != nil {
		return err
	}
	if r.GetNode() != "" {
		if err := checkNode("node", r.GetNode()); err != nil {
			return err
		}
	}
	sent := map[attemptKey]bool{}
	planned := false // whether the node is known to be one of the workflow's
	for {
		// Read first whether it is over, so that nothing it did until then is missed.
		x, err := l.readExecution(ctx, key)
		if err != nil {
			return err
		}
		if x.Runner == store.Elsewhere {
			return status.Errorf(codes.FailedPrecondition, "%s runs on a Flyte: its tasks, and what they wrote, are there", key)
		}
		attempts, err := l.attemptsIn(ctx, key, r.GetNode())
		toCome := errors.Is(err, store.ErrNotFound) && r.GetFollow() && !x.Phase.Terminal()
		if err != nil && !toCome {
			return err
		}
		if toCome && !planned {
			if err := l.checkPlanned(ctx, x, r.GetNode()); err != nil {
				return err
			}
			planned = true
		}
		fresh := false
		var elsewhere error
		for _, t := range attempts {
			k := attemptKey{t.Node, t.Attempt}
			if sent[k] {
				continue
			}
			if err := l.checkHere(t); err != nil {
				elsewhere = err
				continue
			}
			if err := l.sendAttempt(t, r.GetFollow(), stream); err != nil {
				return err
			}
			sent[k], fresh = true, true
		}
		switch {
		case elsewhere != nil:
			return elsewhere
		case !r.GetFollow() || x.Phase.Terminal():
			return nil
		case fresh:
			continue // More may have begun meanwhile.
		}
		if err := l.pause(ctx); err != nil {
			return err
		}
	}
}

type attemptKey struct {
	node    string
	attempt int
}

// pause waits before a log is looked at again.
func (l *logs) pause(ctx context.Context) error {
	timer := time.NewTimer(followPoll)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-l.stopping:
		return status.Error(codes.Unavailable, "the server is stopping; ask again when it is back")
	}
}

// checkPlanned refuses a node that execution x will never have.
func (l *logs) checkPlanned(ctx context.Context, x store.Execution, node string) error {
	planned := node == workflow.TaskNode
	if x.Kind != store.Task {
		closure, err := l.workflow(ctx, x.Workflow)
		if err != nil {
			return err
		}
		planned = hasNode(closure.GetCompiledWorkflow(), node)
	}
	if !planned {
		return notFound("node: execution %s has no node %q, and will have none", x.Key, node)
	}
	return nil
}

// hasNode says whether w has a node that is called so in executions: by its id,
// behind those of the nodes that hold it ("n0-0-n1"). As ids may hold hyphens
// too, every way to read it counts.
func hasNode(w *core.CompiledWorkflowClosure, node string) bool {
	subWorkflows := map[ident.ID]*core.WorkflowTemplate{}
	for _, sub := range w.GetSubWorkflows() {
		subWorkflows[workflow.ID(sub.GetTemplate().GetId())] = sub.GetTemplate()
	}
	type place struct {
		in   *core.WorkflowTemplate
		node string
	}
	seen := map[place]bool{}
	for todo := []place{{w.GetPrimary().GetTemplate(), node}}; len(todo) > 0; todo = todo[1:] {
		at := todo[0]
		if seen[at] {
			continue
		}
		seen[at] = true
		for _, n := range at.in.GetNodes() {
			if n.GetId() == at.node {
				return n.GetId() != workflow.StartNode && n.GetId() != workflow.EndNode // Those two are not run.
			}
			rest, within := strings.CutPrefix(at.node, n.GetId()+"-0-")
			if ref := n.GetWorkflowNode().GetSubWorkflowRef(); within && ref != nil {
				todo = append(todo, place{subWorkflows[workflow.ID(ref)], rest})
			}
		}
	}
	return false
}

// attemptsIn lists the attempts in an execution, or at one of its nodes, in the
// order in which they began; store.ErrNotFound says that it has no such node yet.
func (l *logs) attemptsIn(ctx context.Context, execution ident.Key, node string) ([]store.TaskExecution, error) {
	q := store.Query{SortBy: "created_at", Ascending: true}
	if node != "" {
		q.Filters = []store.Filter{{Field: "node_id", Op: store.Eq, Values: []string{node}}}
	}
	nodes, err := every(ctx, q, l.nodesOf(execution))
	if err != nil {
		return nil, err
	}
	if node != "" && len(nodes) == 0 {
		return nil, fmt.Errorf("node: execution %s has no node %q yet: %w", execution, node, store.ErrNotFound)
	}
	var attempts []store.TaskExecution
	for _, n := range nodes {
		of, err := every(ctx, store.Query{SortBy: "retry_attempt", Ascending: true}, l.attemptsOf(execution, n.Node))
		if err != nil {
			return nil, err
		}
		attempts = append(attempts, of...)
	}
	return attempts, nil
}

// every fetches all the records of q, a page at a time.
func every[R any](ctx context.Context, q store.Query, fetch func(context.Context, store.Query) ([]R, error)) ([]R, error) {
	var records []R
	for q.Limit = maxLimit; ; q.Offset += q.Limit {
		some, err := fetch(ctx, q)
		if err != nil {
			return nil, err
		}
		records = append(records, some...)
		if len(some) < q.Limit {
			return records, nil
		}
	}
}

// sendAttempt sends what an attempt has written and, to follow, what it writes until it ends.
func (l *logs) sendAttempt(t store.TaskExecution, follow bool, stream grpc.ServerStreamingServer[tminusv1.ReadLogsResponse]) (err error) {
	if t.Dir == "" {
		return nil
	}
	tails := make([]tail, len(logFiles))
	for i, f := range logFiles {
		tails[i] = tail{path: filepath.Join(t.Dir, f.name)}
	}
	defer func() {
		for i := range tails {
			err = errors.Join(err, tails[i].close())
		}
	}()
	for {
		over := t.Phase.Terminal() || t.Phase == store.Retryable
		for i, f := range logFiles {
			err := tails[i].read(l.data, func(data []byte) error {
				return stream.Send(&tminusv1.ReadLogsResponse{Node: t.Node, Attempt: attemptNumber(t), Stream: f.stream, Data: data})
			})
			if err != nil {
				return err
			}
		}
		if over || !follow {
			return nil
		}
		if err := l.pause(stream.Context()); err != nil {
			return err
		}
		if t, err = l.store.Task(stream.Context(), t.Execution, t.Node, t.Attempt); err != nil {
			return err
		}
	}
}

// tail reads a file that may not be there yet and may grow.
type tail struct {
	path string
	file *os.File
}

// read hands on what was written since it was last called.
func (t *tail) read(in *os.Root, send func([]byte) error) error {
	if t.file == nil {
		f, err := openLog(in, t.path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		t.file = f
	}
	for {
		data := make([]byte, logChunk) // A new one each time: what was sent may still be on its way.
		n, err := t.file.Read(data)
		if n > 0 {
			if err := send(data[:n]); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (t *tail) close() error {
	if t.file == nil {
		return nil
	}
	return t.file.Close()
}
