package relational

import (
	"context"
	"database/sql"

	"tminus.dev/internal/store"
)

var projectEntity = entity{
	noun: "projects", prefix: "project",
	columns: "identifier, name, description, state, created_at, spec",
	from:    "projects",
	fields: map[string]field{
		"project":     {column: "identifier"},
		"identifier":  {column: "identifier"},
		"name":        {column: "name"},
		"description": {column: "description"},
		"state":       {column: "state", kind: enum, values: projectStates},
		"created_at":  {column: "created_at", kind: instants},
	},
	order: "created_at DESC, id DESC", tie: []string{"id"},
}

func scanProject(rows *sql.Rows) (p store.Project, err error) {
	err = rows.Scan(&p.ID, &p.Name, &p.Description, &p.State, instant{&p.CreatedAt}, &p.Spec)
	return p, err
}

// CreateProject stores a project.
func (db *DB) CreateProject(ctx context.Context, p store.Project) error {
	return db.update(ctx, "create project "+p.ID, func(tx transaction) error {
		_, err := tx.exec(ctx, `INSERT INTO projects (identifier, name, description, state, created_at, spec)
			VALUES (?, ?, ?, ?, ?, ?)`, p.ID, p.Name, p.Description, p.State, micros(p.CreatedAt), blob(p.Spec))
		return err
	})
}

// UpdateProject replaces what may change of a project.
func (db *DB) UpdateProject(ctx context.Context, p store.Project) error {
	return db.update(ctx, "update project "+p.ID, func(tx transaction) error {
		return one(tx.exec(ctx, `UPDATE projects SET name = ?, description = ?, state = ?, spec = ? WHERE identifier = ?`,
			p.Name, p.Description, p.State, blob(p.Spec), p.ID))
	})
}

// one makes a statement that changed nothing store.ErrNotFound.
func one(r sql.Result, err error) error {
	if err != nil {
		return err
	}
	n, err := r.RowsAffected()
	if err == nil && n == 0 {
		err = store.ErrNotFound
	}
	return err
}

// Project reads one project.
func (db *DB) Project(ctx context.Context, id string) (store.Project, error) {
	p, err := get(ctx, db.reading(), &projectEntity, scanProject, "identifier = ?", id)
	return p, db.failed(ctx, "read project "+id, err)
}

// Projects lists projects.
func (db *DB) Projects(ctx context.Context, q store.Query) ([]store.Project, error) {
	return list(ctx, db, &projectEntity, q, scanProject)
}

// get reads the one record of e that meets the condition.
//
//nolint:ireturn // T is a record.
func get[T any](ctx context.Context, s session, e *entity, scan func(*sql.Rows) (T, error), where string, args ...any) (T, error) {
	text := "SELECT " + e.columns + " FROM " + e.from + " WHERE " + where
	if e.group != "" {
		text += " GROUP BY " + e.group
	}
	return first(ctx, s, scan, text, args...)
}

// first reads the first row of a query; store.ErrNotFound where there is none.
//
//nolint:ireturn // T is a record.
func first[T any](ctx context.Context, s session, scan func(*sql.Rows) (T, error), query string, args ...any) (T, error) {
	found, err := collect(ctx, s, scan, query, args...)
	if err == nil && len(found) == 0 {
		err = store.ErrNotFound
	}
	if err != nil {
		var none T
		return none, err
	}
	return found[0], nil
}
