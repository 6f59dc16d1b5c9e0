package flytetest

import (
	"cmp"
	"iter"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"tminus.dev/gen/flyteidl/admin"
)

// An entity is what a filter speaks of. Its value is what flyteadmin's messages call it (pkg/common/entity.go).
type entity string

const (
	executionEntity entity = "e"
	planEntity      entity = "l"
	workflowEntity  entity = "w"
	taskEntity      entity = "t"
	projectEntity   entity = "p"
)

// prefixes are how a filter names an entity other than that which is listed: launch_plan.name
// (pkg/manager/impl/util/filters.go).
var prefixes = map[string]entity{
	"execution.": executionEntity, "launch_plan.": planEntity, "workflow.": workflowEntity, "task.": taskEntity, "project.": projectEntity,
}

// unmodelled are those that flyteadmin joins to executions, and this server does not.
var unmodelled = []string{"execution_tag.", "admin_tag."}

// joins are the entities that a list of one may be filtered by.
var joins = map[entity][]entity{
	executionEntity: {executionEntity, planEntity, workflowEntity, taskEntity},
	planEntity:      {planEntity, workflowEntity},
	workflowEntity:  {workflowEntity},
	taskEntity:      {taskEntity},
	projectEntity:   {projectEntity},
}

// columns are the fields that filters and sort keys may name: the columns of the tables, as gorm derives them from
// pkg/repositories/models/*.go.
var columns = map[entity][]string{
	executionEntity: {
		"id", "created_at", "updated_at", "deleted_at", "execution_project", "execution_domain", "execution_name",
		"launch_plan_id", "workflow_id", "task_id", "phase", "closure", "spec", "started_at", "execution_created_at",
		"execution_updated_at", "duration", "abort_cause", "mode", "source_execution_id", "parent_node_execution_id", "cluster",
		"inputs_uri", "user_inputs_uri", "error_kind", "error_code", "user", "state", "launch_entity",
	},
	planEntity: {
		"id", "created_at", "updated_at", "deleted_at", "project", "domain", "name", "version", "spec", "workflow_id",
		"closure", "state", "digest", "schedule_type", "launch_condition_type",
	},
	workflowEntity: {
		"id", "created_at", "updated_at", "deleted_at", "project", "domain", "name", "version", "typed_interface",
		"remote_closure_identifier", "digest", "short_description",
	},
	taskEntity: {
		"id", "created_at", "updated_at", "deleted_at", "project", "domain", "name", "version", "closure", "digest", "type", "short_description",
	},
	projectEntity: {"id", "created_at", "updated_at", "deleted_at", "identifier", "name", "description", "labels", "state"},
}

// A condition is one filter: op(column, values).
type condition struct {
	of     entity
	op     string
	column string
	values []string
}

// expression is what a filter looks like. Values of value_in are separated by semicolons, filters by +, which is why no value may
// contain one (pkg/manager/impl/util/filters.go).
var expression = regexp.MustCompile(`(.+)\((.+),\s?(.+)\)`)

func parseFilters(filters string, of entity) ([]condition, error) {
	if filters == "" {
		return nil, nil
	}
	var out []condition
	for f := range strings.SplitSeq(filters, "+") {
		m := expression.FindStringSubmatch(f)
		if m == nil {
			return nil, invalidf("invalid value for filters")
		}
		c := condition{of: of, op: m[1], column: m[2], values: strings.Split(m[3], ";")}
		for prefix, e := range prefixes {
			if rest, ok := strings.CutPrefix(c.column, prefix); ok {
				c.of, c.column = e, rest
				break
			}
		}
		if of == executionEntity && slices.ContainsFunc(unmodelled, func(p string) bool { return strings.HasPrefix(c.column, p) }) {
			return nil, status.Errorf(codes.Unimplemented, "flytetest does not filter by %s", c.column)
		}
		if !slices.Contains(joins[of], c.of) {
			return nil, invalidf("'%s' entity is not allowed in filters", c.of)
		}
		if !slices.Contains(columns[c.of], c.column) {
			return nil, invalidf("'%s.%s' is invalid filter", c.of, c.column)
		}
		switch c.op {
		case "contains", "not_like", "gt", "gte", "lt", "lte", "eq", "ne", "value_in", "value_not_in":
		default:
			return nil, invalidf("unrecognized filter function: %s", c.op)
		}
		out = append(out, c)
	}
	return out, nil
}

// holds says whether a value of the column is one that the condition selects. What a database would not compare is an error of code Unknown, as
// pkg/repositories/errors/postgres.go makes one.
func (c condition) holds(v any) (bool, error) {
	if v == nil {
		return false, nil // NULL compares with nothing, not even for inequality.
	}
	if len(c.values) > 1 && c.op != "value_in" && c.op != "value_not_in" {
		return false, status.Error(codes.Unknown, "failed database operation with syntax error")
	}
	if c.op == "contains" || c.op == "not_like" {
		text, ok := v.(string)
		if !ok {
			return false, status.Error(codes.Unknown, "failed database operation with operator does not exist")
		}
		if c.op == "contains" {
			return like(text, "%"+c.values[0]+"%"), nil
		}
		return !like(text, c.values[0]), nil
	}
	if c.op == "value_in" || c.op == "value_not_in" {
		found := false
		for _, value := range c.values {
			order, err := compare(v, value)
			if err != nil {
				return false, err
			}
			found = found || order == 0
		}
		return found == (c.op == "value_in"), nil
	}
	order, err := compare(v, c.values[0])
	if err != nil {
		return false, err
	}
	switch c.op {
	case "eq":
		return order == 0, nil
	case "ne":
		return order != 0, nil
	case "gt":
		return order > 0, nil
	case "gte":
		return order >= 0, nil
	case "lt":
		return order < 0, nil
	default:
		return order <= 0, nil
	}
}

// compare orders a column's value and what a filter says, read as the column's type.
func compare(v any, value string) (int, error) {
	switch v := v.(type) {
	case int64:
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			return 0, status.Errorf(codes.Unknown, "failed database operation with invalid input syntax for type integer: %q", value)
		}
		return cmp.Compare(v, n), nil
	case time.Time:
		t, err := time.Parse(time.RFC3339Nano, value)
		if err != nil {
			return 0, status.Errorf(codes.Unknown, "failed database operation with invalid input syntax for type timestamp with time zone: %q", value)
		}
		return v.Compare(t), nil
	default:
		text, _ := v.(string) //nolint:errcheck // The only other type of a column.
		return cmp.Compare(text, value), nil
	}
}

// like is SQL's LIKE: % stands for anything, _ for one character.
func like(text, pattern string) bool {
	var b strings.Builder
	b.WriteString(`(?s)^`)
	for _, r := range pattern {
		switch r {
		case '%':
			b.WriteString(".*")
		case '_':
			b.WriteString(".")
		default:
			b.WriteString(regexp.QuoteMeta(string(r)))
		}
	}
	b.WriteString("$")
	return regexp.MustCompile(b.String()).MatchString(text)
}

// A query is one list request, checked.
type query struct {
	conditions []condition
	sort       *admin.Sort
	offset     int
	limit      int
	method     string
}

// newQuery checks what all lists check: the filters, the sort key, the token (pkg/common/sorting.go,
// pkg/manager/impl/validation/validation.go). The list has to be filtered by its project and domain beside.
func newQuery(of entity, filters string, sort *admin.Sort, token string, limit uint32, method string) (query, error) {
	q := query{sort: sort, limit: int(limit), method: method}
	var err error
	if q.conditions, err = parseFilters(filters, of); err != nil {
		return q, err
	}
	if sort != nil && !slices.Contains(columns[of], sort.GetKey()) {
		return q, invalidf("invalid sort key '%s'", sort.GetKey())
	}
	if token == "" {
		return q, nil
	}
	if q.offset, err = strconv.Atoi(token); err != nil || q.offset < 0 {
		return q, invalidf("invalid pagination token %s for %s", token, method)
	}
	return q, nil
}

// has says whether the query is filtered by a column, of whichever entity.
func (q query) has(column string) bool {
	return slices.ContainsFunc(q.conditions, func(c condition) bool { return c.column == column })
}

// find answers a query: the rows of one page, and the token of the next. Joined is the value of a column of another entity's row that
// belongs to one.
func find[R row](p Page, q query, rows iter.Seq[R], keep func(R) bool, joined func(R, entity, string) any) ([]R, string, error) {
	var found []R
	for r := range rows {
		ok, err := keep(r), error(nil)
		for _, c := range q.conditions {
			if !ok {
				break
			}
			if ok, err = c.holds(joined(r, c.of, c.column)); err != nil {
				return nil, "", err
			}
		}
		if ok {
			found = append(found, r)
		}
	}
	if q.sort != nil {
		slices.SortStableFunc(found, func(a, b R) int {
			order := byColumn(a.column(q.sort.GetKey()), b.column(q.sort.GetKey()))
			if q.sort.GetDirection() == admin.Sort_DESCENDING {
				return -order
			}
			return order
		})
	}
	w, token := p.cut(len(found), q.offset, q.limit)
	return found[w.from:w.to], token, nil
}

// byColumn orders two values of one column. NULL is more than anything.
func byColumn(a, b any) int {
	switch a := a.(type) {
	case int64:
		b, ok := b.(int64)
		if !ok {
			return -1
		}
		return cmp.Compare(a, b)
	case time.Time:
		b, ok := b.(time.Time)
		if !ok {
			return -1
		}
		return a.Compare(b)
	case string:
		b, ok := b.(string)
		if !ok {
			return -1
		}
		return cmp.Compare(a, b)
	default:
		if b == nil {
			return 0
		}
		return 1
	}
}
