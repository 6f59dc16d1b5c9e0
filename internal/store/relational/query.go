package relational

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"tminus.dev/internal/store"
)

// entity is something that can be listed: how its rows are read, and which
// fields lists may filter and sort by.
type entity struct {
	// noun names it, in the plural, to people.
	noun string
	// prefix may stand before a field, as in launch_plan.state.
	prefix  string
	columns string
	from    string
	// group makes one record of the rows that agree in these columns; empty means that rows are records.
	group  string
	fields map[string]field
	// order is the order of a list that asks for none.
	order string
	// tie is unique, and follows any other order.
	tie []string
}

// field is one field of an entity.
type field struct {
	column string
	kind   kind
	// values are what an enumeration holds, by name.
	values map[string]any
	// where is the condition for records to have the field, in parentheses; empty means all do.
	where string
	// optional says that the column may be NULL.
	optional bool
}

// kind is a field's type.
type kind int

const (
	text kind = iota
	integer
	instants // RFC 3339
	elapsed  // whole nanoseconds, as in Flyte, or a Go duration
	enum     // by name or by number
)

// Bounds that keep a query well within what databases take.
const (
	maxFilters = 100
	maxValues  = 1000
)

// condition is a part of a WHERE clause.
type condition struct {
	sql  string
	args []any
}

func badQuery(format string, args ...any) error {
	return fmt.Errorf("%w: %s", store.ErrBadQuery, fmt.Sprintf(format, args...))
}

// list runs q over the records of e that meet all the conditions.
func list[T any](ctx context.Context, db *DB, e *entity, q store.Query, scan func(*sql.Rows) (T, error), scope ...condition) ([]T, error) {
	text, args, err := e.query(q, scope)
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", e.noun, err)
	}
	records, err := collect(ctx, db.reading(), scan, text, args...)
	return records, db.failed(ctx, "list "+e.noun, err)
}

// collect reads all the rows of a query.
func collect[T any](ctx context.Context, s session, scan func(*sql.Rows) (T, error), query string, args ...any) ([]T, error) {
	rows, err := s.query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	var records []T
	err = Each(rows, func(rows *sql.Rows) error {
		record, err := scan(rows)
		if len(records) == cap(records) {
			records = slices.Grow(records, max(len(records), 16)) // Records are large; append would copy them more often.
		}
		records = append(records, record)
		return err
	})
	if err != nil {
		return nil, err
	}
	return records, nil
}

// visitEach visits all the rows of a query. An error of visit ends that, and is returned as it is.
func visitEach[T any](ctx context.Context, db *DB, operation string, scan func(*sql.Rows) (T, error), visit func(T) error, query string, args ...any) error {
	rows, err := db.reading().query(ctx, query, args...)
	if err != nil {
		return db.failed(ctx, operation, err)
	}
	var stopped error
	err = Each(rows, func(rows *sql.Rows) error {
		record, err := scan(rows)
		if err != nil {
			return err
		}
		stopped = visit(record)
		return stopped
	})
	if stopped != nil {
		return stopped
	}
	return db.failed(ctx, operation, err)
}

// Each calls each for all of the rows, and closes them.
func Each(rows *sql.Rows, each func(*sql.Rows) error) (err error) {
	defer func() {
		if e := rows.Close(); err == nil {
			err = e
		}
	}()
	for rows.Next() {
		if err := each(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// query is the statement for q, and its arguments.
func (e *entity) query(q store.Query, scope []condition) (string, []any, error) {
	switch {
	case q.Limit < 1:
		return "", nil, badQuery("the limit is %d; ask for at least 1", q.Limit)
	case q.Offset < 0:
		return "", nil, badQuery("the offset is %d; it cannot be negative", q.Offset)
	case len(q.Filters) > maxFilters:
		return "", nil, badQuery("there are %d filters; %d is the most", len(q.Filters), maxFilters)
	}
	conditions := slices.Clone(scope)
	for _, part := range []struct{ field, value string }{
		{"project", q.Project}, {"domain", q.Domain}, {"name", q.Name},
	} {
		if part.value == "" {
			continue
		}
		c, err := e.condition(store.Filter{Field: part.field, Op: store.Eq, Values: []string{part.value}})
		if err != nil {
			return "", nil, err
		}
		conditions = append(conditions, c)
	}
	for _, f := range q.Filters {
		c, err := e.condition(f)
		if err != nil {
			return "", nil, err
		}
		conditions = append(conditions, c)
	}
	order, err := e.sorted(q)
	if err != nil {
		return "", nil, err
	}
	var b strings.Builder
	var args []any
	b.WriteString("SELECT " + e.columns + " FROM " + e.from)
	for i, c := range conditions {
		if i == 0 {
			b.WriteString(" WHERE ")
		} else {
			b.WriteString(" AND ")
		}
		b.WriteString(c.sql)
		args = append(args, c.args...)
	}
	if e.group != "" {
		b.WriteString(" GROUP BY " + e.group)
	}
	b.WriteString(" ORDER BY " + order + " LIMIT ? OFFSET ?")
	return b.String(), append(args, q.Limit, q.Offset), nil
}

// sorted is the ORDER BY of q. Records that lack the field come last.
func (e *entity) sorted(q store.Query) (string, error) {
	if q.SortBy == "" {
		return e.order, nil
	}
	f, err := e.field(q.SortBy)
	if err != nil {
		return "", err
	}
	direction := " DESC"
	if q.Ascending {
		direction = " ASC"
	}
	column := f.column
	if e.group != "" && !slices.Contains(e.tie, column) {
		column = "max(" + column + ")" // It is the same in all the rows of a group.
	}
	order := []string{column + direction}
	switch {
	case f.where != "":
		order[0] = "CASE WHEN " + f.where + " THEN " + f.column + " END" + direction + " NULLS LAST"
	case f.optional:
		order[0] += " NULLS LAST"
	}
	for _, column := range e.tie {
		if column != f.column {
			order = append(order, column+direction)
		}
	}
	return strings.Join(order, ", "), nil
}

func (e *entity) field(name string) (field, error) {
	f, ok := e.fields[name]
	if !ok {
		f, ok = e.fields[strings.TrimPrefix(name, e.prefix+".")]
	}
	if !ok {
		known := slices.Sorted(maps.Keys(e.fields))
		return field{}, badQuery("%s have no field %q; they have %s", e.noun, name, strings.Join(known, ", "))
	}
	return f, nil
}

var comparisons = map[store.Op]string{
	store.Eq: "=", store.Ne: "IS DISTINCT FROM", store.Gt: ">", store.Gte: ">=", store.Lt: "<", store.Lte: "<=",
}

// condition makes a filter SQL. A record that lacks the field differs from
// every value, and compares with none.
func (e *entity) condition(f store.Filter) (condition, error) {
	known, err := e.field(f.Field)
	if err != nil {
		return condition{}, err
	}
	switch {
	case f.Op == store.ValueIn && (len(f.Values) < 1 || len(f.Values) > maxValues):
		return condition{}, badQuery("filter on %s: value_in takes 1 to %d values, not %d", f.Field, maxValues, len(f.Values))
	case f.Op != store.ValueIn && len(f.Values) != 1:
		return condition{}, badQuery("filter on %s: %s takes one value, not %d", f.Field, f.Op, len(f.Values))
	case f.Op == store.Contains && known.kind != text:
		return condition{}, badQuery("filter on %s: contains is for texts", f.Field)
	case known.kind == enum && f.Op != store.Eq && f.Op != store.Ne && f.Op != store.ValueIn:
		return condition{}, badQuery("filter on %s: use eq, ne or value_in, not %s", f.Field, f.Op)
	}
	args := make([]any, len(f.Values))
	for i, v := range f.Values {
		if args[i], err = known.value(v); err != nil {
			return condition{}, badQuery("filter on %s: %s", f.Field, err)
		}
	}
	var c string
	switch f.Op {
	case store.ValueIn:
		c = known.column + " IN (?" + strings.Repeat(",?", len(args)-1) + ")"
	case store.Contains:
		c = "{instr}(" + known.column + ", ?) > 0"
	case store.Eq, store.Ne, store.Gt, store.Gte, store.Lt, store.Lte:
		c = known.column + " " + comparisons[f.Op] + " ?"
	default:
		return condition{}, badQuery("filter on %s: %q is no comparison; use eq, ne, gt, gte, lt, lte, contains or value_in", f.Field, string(f.Op))
	}
	switch {
	case known.where != "" && f.Op == store.Ne:
		c = "(NOT " + known.where + " OR " + c + ")"
	case known.where != "":
		c = "(" + known.where + " AND " + c + ")"
	}
	return condition{c, args}, nil
}

// value reads what a filter compares with.
func (f field) value(s string) (any, error) {
	switch f.kind {
	case integer:
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%q: use a whole number", s)
		}
		return n, nil
	case instants:
		t, err := time.Parse(time.RFC3339, s)
		if err != nil {
			return nil, fmt.Errorf("%q: use an RFC 3339 time such as 2026-01-31T09:00:00Z", s)
		}
		return micros(t), nil
	case elapsed:
		if n, err := strconv.ParseInt(s, 10, 64); err == nil {
			return time.Duration(n).Microseconds(), nil
		}
		d, err := time.ParseDuration(s)
		if err != nil {
			return nil, fmt.Errorf("%q: use a duration such as 90s, or a number of nanoseconds", s)
		}
		return d.Microseconds(), nil
	case enum:
		if v, ok := f.values[s]; ok {
			return v, nil
		}
		if n, err := strconv.ParseInt(s, 10, 64); err == nil {
			for _, v := range f.values {
				if v == n {
					return v, nil
				}
			}
		}
		return nil, fmt.Errorf("%q: use one of %s", s, strings.Join(slices.Sorted(maps.Keys(f.values)), ", "))
	case text:
	}
	return s, nil
}
