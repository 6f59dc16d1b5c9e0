package sqlite_test

import (
	"testing"
	"time"
	"fmt"

	"tminus.dev/internal/ident"
	"tminus.dev/internal/schedule"
	"tminus.dev/internal/store"
	"tminus.dev/internal/store/sqlite"
	"tminus.dev/internal/store/storetest"
)

var _ storetest.Store = (*sqlite.DB)(nil)

func TestSmoke(t *testing.T) {
	ctx := t.Context()
	db, err := sqlite.Open(ctx, sqlite.Config{Dir: t.TempDir()})
	if err != nil { t.Fatal(err) }
	defer db.Close()
	id := ident.ID{Key: ident.Key{Project: "p", Domain: "d", Name: "n"}, Version: "1"}
	now := time.Date(2026,1,1,0,0,30,0,time.UTC)
	if err := db.CreatePlan(ctx, store.Plan{ID: id, CreatedAt: now, UpdatedAt: now}); err != nil { t.Fatal(err) }
	if err := db.CreatePlan(ctx, store.Plan{ID: id, CreatedAt: now, UpdatedAt: now}); err == nil { t.Fatal(err) } else { t.Log(err) }
	if err := db.Activate(ctx, id, &schedule.Spec{Expression: "* * * * *"}, now, now); err != nil { t.Fatal(err) }
	n, err := db.Advance(ctx, now.Add(2*time.Minute), now, 10)
	fmt.Println(n, err)
	fs, err := db.Due(ctx, now.Add(2*time.Minute), 10)
	fmt.Println(fs, err)
	fmt.Println(db.NextDue(ctx))
	fs[0].Outcome = schedule.Launched
	fmt.Println(db.Settle(ctx, fs))
	fmt.Println(db.Firings(ctx, store.Query{Project: "p", Domain: "d", Name: "n", Limit: 5, SortBy: "outcome"}))
	fmt.Println(db.Schedules(ctx, store.Query{Project: "p", Domain: "d", Name: "n", Limit: 5}))
	fmt.Println(db.NamedEntities(ctx, store.LaunchPlan, store.Query{Project: "p", Limit: 5}))
	fmt.Println(db.UpdateNamedEntity(ctx, store.NamedEntity{Kind: store.LaunchPlan, Key: id.Key, Description: "x"}))
	fmt.Println(db.NamedEntity(ctx, store.LaunchPlan, id.Key))
	e := store.Execution{Key: id.Key, LaunchPlan: id, Kind: store.LaunchPlan, Phase: store.Queued, Spec: []byte("x"), CreatedAt: now}
	fmt.Println(db.CreateExecutions(ctx, []store.Execution{e,e}))
	fmt.Println(db.UpdateExecution(ctx, id.Key, func(e *store.Execution) error { e.Phase = store.Running; return nil}))
	fmt.Println(db.RunningOf(ctx, id.Key))
	fmt.Println(db.PutNode(ctx, store.NodeExecution{Execution: id.Key, Node: "n0"}), db.PutTask(ctx, store.TaskExecution{Execution: id.Key, Node: "n0"}))
	fmt.Println(db.Nodes(ctx, id.Key, store.Query{Limit: 3}))
	fmt.Println(db.Tasks(ctx, id.Key,"n0", store.Query{Limit: 3}))
	_, err = sqlite.Open(ctx, sqlite.Config{Dir: t.TempDir()+"/a/b?c%#"})
	fmt.Println(err)
}
