package relational

import (
	"context"
	"database/sql"
	"fmt"
	"maps"

	"tminus.dev/internal/ident"
	"tminus.dev/internal/store"
)

var definitionEntity = map[store.Kind]*entity{
	store.Task: definitions("tasks", "task", map[string]field{
		"type": {column: "type"},
	}),
	store.Workflow: definitions("workflows", "workflow", nil),
}

func definitions(noun, prefix string, more map[string]field) *entity {
	e := &entity{
		noun: noun, prefix: prefix,
		columns: "project, domain, name, version, type, created_at, closure",
		from:    "definitions",
		fields: map[string]field{
			"project":    {column: "project"},
			"domain":     {column: "domain"},
			"name":       {column: "name"},
			"version":    {column: "version"},
			"created_at": {column: "created_at", kind: instants},
		},
		order: "created_at DESC, id DESC", tie: []string{"id"},
	}
	maps.Copy(e.fields, more)
	return e
}

// CreateDefinition stores a version of a task or workflow.
func (db *DB) CreateDefinition(ctx context.Context, d store.Definition) error {
	operation := fmt.Sprintf("create %s %s", d.Kind, d.ID)
	if definitionEntity[d.Kind] == nil {
		return fmt.Errorf("%s: %q is neither a task nor a workflow", operation, string(d.Kind))
	}
	return db.update(ctx, operation, func(tx transaction) error {
		_, err := tx.exec(ctx, `INSERT INTO definitions
			(kind, project, domain, name, version, type, created_at, closure, spec) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			string(d.Kind), d.Project, d.Domain, d.Name, d.Version, d.Type, micros(d.CreatedAt), blob(d.Closure), blob(d.Spec))
		return err
	})
}

// Definition reads a version of a task or workflow.
func (db *DB) Definition(ctx context.Context, kind store.Kind, id ident.ID) (store.Definition, error) {
	d := store.Definition{ID: id, Kind: kind}
	err := db.reading().row(ctx, `SELECT type, created_at, closure, spec FROM definitions
		WHERE kind = ? AND project = ? AND domain = ? AND name = ? AND version = ?`,
		string(kind), id.Project, id.Domain, id.Name, id.Version,
	).Scan(&d.Type, instant{&d.CreatedAt}, &d.Closure, &d.Spec)
	if err != nil {
		return store.Definition{}, db.failed(ctx, fmt.Sprintf("read %s %s", kind, id), err)
	}
	return d, nil
}

// Definitions lists versions of tasks or workflows, without their Spec.
func (db *DB) Definitions(ctx context.Context, kind store.Kind, q store.Query) ([]store.Definition, error) {
	e := definitionEntity[kind]
	if e == nil {
		return nil, fmt.Errorf("list definitions: %q is neither a task nor a workflow", string(kind))
	}
	scan := func(rows *sql.Rows) (store.Definition, error) {
		d := store.Definition{Kind: kind}
		err := rows.Scan(&d.Project, &d.Domain, &d.Name, &d.Version, &d.Type, instant{&d.CreatedAt}, &d.Closure)
		return d, err
	}
	return list(ctx, db, e, q, scan, condition{"kind = ?", []any{string(kind)}})
}
