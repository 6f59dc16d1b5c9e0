package relational

import (
	"context"
	"database/sql"
	"fmt"

	"tminus.dev/internal/ident"
	"tminus.dev/internal/store"
)

// namedEntities are the names that have registered versions, with what is said
// of them, by kind.
var namedEntities = map[store.Kind]*entity{
	store.Task:       namedEntity("definitions v", store.Task),
	store.Workflow:   namedEntity("definitions v", store.Workflow),
	store.LaunchPlan: namedEntity("launch_plans v", store.LaunchPlan),
}

func namedEntity(versions string, kind store.Kind) *entity {
	return &entity{
		noun: "named entities", prefix: "named_entity",
		columns: "v.project, v.domain, v.name, coalesce(max(e.description), ''), coalesce(max(e.state), 0)",
		from: versions + " LEFT JOIN named_entities e ON e.kind = '" + string(kind) + "'" +
			" AND e.project = v.project AND e.domain = v.domain AND e.name = v.name",
		group: "v.project, v.domain, v.name",
		fields: map[string]field{
			"project":     {column: "v.project"},
			"domain":      {column: "v.domain"},
			"name":        {column: "v.name"},
			"description": {column: "coalesce(e.description, '')"},
			"state":       {column: "coalesce(e.state, 0)", kind: enum, values: entityStates},
		},
		order: "v.project, v.domain, v.name", tie: []string{"v.project", "v.domain", "v.name"},
	}
}

// registered is the condition for the versions of a kind.
func registered(kind store.Kind) string {
	if kind == store.LaunchPlan {
		return "true"
	}
	return "v.kind = '" + string(kind) + "'"
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
	entity, ok := namedEntities[kind]
	if !ok {
		return store.NamedEntity{}, fmt.Errorf("%s: there is no such kind of entity", operation)
	}
	e, err := get(ctx, db.reading(), entity, scanNamedEntity(kind),
		registered(kind)+" AND v.project = ? AND v.domain = ? AND v.name = ?", key.Project, key.Domain, key.Name)
	return e, db.failed(ctx, operation, err)
}

// NamedEntities lists the entities of a kind, by default by project, domain and name.
func (db *DB) NamedEntities(ctx context.Context, kind store.Kind, q store.Query) ([]store.NamedEntity, error) {
	entity, ok := namedEntities[kind]
	if !ok {
		return nil, fmt.Errorf("list named entities: there is no kind %q", string(kind))
	}
	return list(ctx, db, entity, q, scanNamedEntity(kind), condition{sql: registered(kind)})
}

// UpdateNamedEntity sets what is said of an entity that has a version.
func (db *DB) UpdateNamedEntity(ctx context.Context, e store.NamedEntity) error {
	operation := fmt.Sprintf("update %s %s", e.Kind, e.Key)
	entity, ok := namedEntities[e.Kind]
	if !ok {
		return fmt.Errorf("%s: there is no such kind of entity", operation)
	}
	return db.update(ctx, operation, func(tx transaction) error {
		if _, err := get(ctx, tx.session, entity, scanNamedEntity(e.Kind),
			registered(e.Kind)+" AND v.project = ? AND v.domain = ? AND v.name = ?", e.Project, e.Domain, e.Name); err != nil {
			return err
		}
		_, err := tx.exec(ctx, `INSERT INTO named_entities (kind, project, domain, name, description, state)
			VALUES (?, ?, ?, ?, ?, ?)
			ON CONFLICT (kind, project, domain, name) DO UPDATE SET description = excluded.description, state = excluded.state`,
			string(e.Kind), e.Project, e.Domain, e.Name, e.Description, e.State)
		return err
	})
}
