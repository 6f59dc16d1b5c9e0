package sqlite

import (
	"context"
	"database/sql"
	"fmt"

	"tminus.dev/internal/ident"
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
	return db.update(ctx, "create project "+p.ID, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO projects (identifier, name, description, state, created_at, spec)
			VALUES (?, ?, ?, ?, ?, ?)`, p.ID, p.Name, p.Description, p.State, micros(p.CreatedAt), blob(p.Spec))
		return err
	})
}

// UpdateProject replaces what may change of a project.
func (db *DB) UpdateProject(ctx context.Context, p store.Project) error {
	return db.update(ctx, "update project "+p.ID, func(tx *sql.Tx) error {
		return one(tx.ExecContext(ctx, `UPDATE projects SET name = ?, description = ?, state = ?, spec = ? WHERE identifier = ?`,
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
	p, err := get(ctx, db.read, &projectEntity, scanProject, "identifier = ?", id)
	return p, failed(ctx, "read project "+id, err)
}

// Projects lists projects.
func (db *DB) Projects(ctx context.Context, q store.Query) ([]store.Project, error) {
	return list(ctx, db.read, &projectEntity, q, scanProject)
}

// get reads the one record of e that meets the condition.
func get[T any](ctx context.Context, db queryer, e *entity, scan func(*sql.Rows) (T, error), where string, args ...any) (T, error) {
	found, err := collect(ctx, db, scan, "SELECT "+e.columns+" FROM "+e.from+" WHERE "+where, args...)
	if err == nil && len(found) == 0 {
		err = store.ErrNotFound
	}
	if err != nil {
		var none T
		return none, err
	}
	return found[0], nil
}

// versions is where the registered versions of a kind of entity are found.
func versions(kind store.Kind) (from string, err error) {
	switch kind {
	case store.Task:
		return "definitions WHERE kind = 'task'", nil
	case store.Workflow:
		return "definitions WHERE kind = 'workflow'", nil
	case store.LaunchPlan:
		return "launch_plans WHERE true", nil
	}
	return "", fmt.Errorf("%q is no kind of entity", string(kind))
}

// namedEntity is the entity of one kind: the names that have versions, and what is said of them.
func namedEntity(kind store.Kind) (*entity, error) {
	registered, err := versions(kind)
	if err != nil {
		return nil, err
	}
	return &entity{
		noun: "named entities", prefix: "named_entity",
		columns: "v.project, v.domain, v.name, coalesce(e.description, ''), coalesce(e.state, 0)",
		from: "(SELECT DISTINCT project, domain, name FROM " + registered + ") v LEFT JOIN named_entities e" +
			" ON e.kind = '" + string(kind) + "' AND e.project = v.project AND e.domain = v.domain AND e.name = v.name",
		fields: map[string]field{
			"project":     {column: "v.project"},
			"domain":      {column: "v.domain"},
			"name":        {column: "v.name"},
			"description": {column: "coalesce(e.description, '')"},
			"state":       {column: "coalesce(e.state, 0)", kind: enum, values: entityStates},
		},
		order: "v.name, v.project, v.domain", tie: []string{"v.name", "v.project", "v.domain"},
	}, nil
}

func scanNamedEntity(kind store.Kind) func(rows *sql.Rows) (store.NamedEntity, error) {
	return func(rows *sql.Rows) (store.NamedEntity, error) {
		e := store.NamedEntity{Kind: kind}
		err := rows.Scan(&e.Project, &e.Domain, &e.Name, &e.Description, &e.State)
		return e, err
	}
}

// NamedEntity reads what is said of an entity that has a version.
func (db *DB) NamedEntity(ctx context.Context, kind store.Kind, key ident.Key) (store.NamedEntity, error) {
	operation := fmt.Sprintf("read %s %s", kind, key)
	entity, err := namedEntity(kind)
	if err != nil {
		return store.NamedEntity{}, failed(ctx, operation, err)
	}
	e, err := get(ctx, db.read, entity, scanNamedEntity(kind),
		"v.project = ? AND v.domain = ? AND v.name = ?", key.Project, key.Domain, key.Name)
	return e, failed(ctx, operation, err)
}

// NamedEntities lists the entities of a kind.
func (db *DB) NamedEntities(ctx context.Context, kind store.Kind, q store.Query) ([]store.NamedEntity, error) {
	entity, err := namedEntity(kind)
	if err != nil {
		return nil, failed(ctx, "list named entities", err)
	}
	return list(ctx, db.read, entity, q, scanNamedEntity(kind))
}

// UpdateNamedEntity sets what is said of an entity that has a version.
func (db *DB) UpdateNamedEntity(ctx context.Context, e store.NamedEntity) error {
	operation := fmt.Sprintf("update %s %s", e.Kind, e.Key)
	registered, err := versions(e.Kind)
	if err != nil {
		return failed(ctx, operation, err)
	}
	return db.update(ctx, operation, func(tx *sql.Tx) error {
		return one(tx.ExecContext(ctx, `INSERT INTO named_entities (kind, project, domain, name, description, state)
			SELECT ?1, ?2, ?3, ?4, ?5, ?6
			WHERE EXISTS (SELECT 1 FROM `+registered+` AND project = ?2 AND domain = ?3 AND name = ?4)
			ON CONFLICT DO UPDATE SET description = excluded.description, state = excluded.state`,
			string(e.Kind), e.Project, e.Domain, e.Name, e.Description, e.State))
	})
}
