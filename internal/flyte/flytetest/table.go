package flytetest

import (
	"container/list"
	"iter"
	"time"
)

// A table is one of PostgreSQL's: rows by key, and in the order in which a query without ORDER BY finds them. An
// update writes a new version of a row, so the row moves to the end.
type table[K comparable, R any] struct {
	rows   map[K]*list.Element
	heap   *list.List
	serial int64
}

func newTable[K comparable, R any]() *table[K, R] {
	return &table[K, R]{rows: map[K]*list.Element{}, heap: list.New()}
}

func (t *table[K, R]) get(k K) (*R, bool) {
	e, ok := t.rows[k]
	if !ok {
		return nil, false
	}
	return t.row(e), true
}

func (t *table[K, R]) row(e *list.Element) *R {
	row, _ := e.Value.(*R) //nolint:errcheck // Only put adds rows.
	return row
}

// put inserts a row, or replaces one.
func (t *table[K, R]) put(k K, row *R) {
	if old, ok := t.rows[k]; ok {
		t.heap.Remove(old)
	}
	t.rows[k] = t.heap.PushBack(row)
}

// touch says that a row was updated.
func (t *table[K, R]) touch(k K) {
	if e, ok := t.rows[k]; ok {
		t.heap.MoveToBack(e)
	}
}

// nextID is a row's value of the column id.
func (t *table[K, R]) nextID() int64 {
	t.serial++
	return t.serial
}

// all are the rows as the database finds them.
func (t *table[K, R]) all() iter.Seq[*R] {
	return func(yield func(*R) bool) {
		for e := t.heap.Front(); e != nil; e = e.Next() {
			if !yield(t.row(e)) {
				return
			}
		}
	}
}

// A row answers for its columns: a string, an int64, a time.Time, or nil for NULL.
type row interface {
	column(name string) any
}

// rowTimes are the columns that every table has (pkg/repositories/models/base_model.go).
type rowTimes struct {
	id               int64
	created, updated time.Time
}

func (r *rowTimes) column(name string) any {
	switch name {
	case "id":
		return r.id
	case "created_at":
		return r.created.Truncate(time.Microsecond)
	case "updated_at":
		return r.updated.Truncate(time.Microsecond)
	default:
		return nil // deleted_at, and columns that no query asks for.
	}
}
