package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestLayout(t *testing.T) {
	layout := os.Getenv("LAYOUT")
	n, _ := strconv.Atoi(os.Getenv("N"))
	hist, _ := strconv.Atoi(os.Getenv("HIST"))
	os.RemoveAll("/tmp/store/layout")
	db, err := Open(t.Context(), Config{Dir: "/tmp/store/layout"})
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll("/tmp/store/layout")
	defer db.Close()
	cols := `slot        INTEGER NOT NULL, schedule_id INTEGER NOT NULL, plan_id     INTEGER NOT NULL, 
    outcome     INTEGER NOT NULL CHECK (outcome BETWEEN 0 AND 4), priority    INTEGER NOT NULL, attempt_at  INTEGER, deadline    INTEGER,
    recorded_at INTEGER NOT NULL, settled_at  INTEGER, last        INTEGER,  count       INTEGER NOT NULL, attempts    INTEGER NOT NULL,
    overlap     TEXT    NOT NULL, max_running INTEGER NOT NULL, reason      TEXT    NOT NULL,`
	common := `CREATE INDEX firings_pending ON firings (priority, attempt_at) WHERE outcome = 0; CREATE INDEX firings_unlaunched ON firings (slot) WHERE outcome > 1;`
	ddl := map[string]string{
		"A": `DROP TABLE firings; CREATE TABLE firings (` + cols + ` PRIMARY KEY (schedule_id, slot)) STRICT, WITHOUT ROWID; CREATE INDEX firings_by_slot ON firings (slot);` + common,
		"A1": `DROP TABLE firings; CREATE TABLE firings (` + cols + ` PRIMARY KEY (schedule_id, slot)) STRICT, WITHOUT ROWID;` + common,
		"B": ``,
		"C": `DROP TABLE firings; CREATE TABLE firings (id INTEGER PRIMARY KEY, ` + cols + ` UNIQUE (schedule_id, slot)) STRICT; CREATE INDEX firings_by_slot ON firings (slot, schedule_id);` + common,
	}[layout]
	ctx := context.Background()
	db.read.Close()
	if _, err := db.write.ExecContext(ctx, ddl); err != nil {
		t.Fatal(err)
	}
	fill(t, db, n)
	order := "h.i, s.id"
	if strings.HasPrefix(layout, "A") {
		order = "s.id, h.i"
	}
	t0 := time.Now()
	if err := db.update(ctx, "hist", func(tx *sql.Tx) error {
		from := "(WITH RECURSIVE h (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM h WHERE i < " + strconv.Itoa(hist) + ") SELECT i FROM h) h CROSS JOIN schedules s"
		if strings.HasPrefix(layout, "A") {
			from = "schedules s CROSS JOIN (WITH RECURSIVE h (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM h WHERE i < " + strconv.Itoa(hist) + ") SELECT i FROM h) h"
		}
		_ = order
		if hist == 0 {
			return nil
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO firings (slot, schedule_id, plan_id, outcome, priority, attempt_at, deadline, recorded_at, settled_at, last, count, attempts, overlap, max_running, reason)
			SELECT 1767571200000000 - (1000 - h.i)*60000000, s.id, s.id, 1, 0, 1767571200000000, 1767571200000000, 1767571200000000, 1767571200000000, NULL, 1, 0, '', 0, '' FROM `+from)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	db.write.ExecContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)")
	fmt.Println("filled", time.Since(t0))
	db.Close()
	if db, err = Open(t.Context(), Config{Dir: "/tmp/store/layout"}); err != nil {
		t.Fatal(err)
	}
	size := func() int64 { st, _ := os.Stat("/tmp/store/layout/tminus.db"); return st.Size() >> 20 }
	fmt.Println("size MB", size())
	now := midnight
	for range 2 {
		var spent [3]time.Duration
		now = now.Add(time.Minute)
		var a, b syscall.Rusage
		_ = syscall.Getrusage(syscall.RUSAGE_SELF, &a)
		t0 := time.Now()
		f := fire(ctx, t, db, now, 2000, &spent)
		_ = syscall.Getrusage(syscall.RUSAGE_SELF, &b)
		cpu := time.Duration(b.Utime.Nano() + b.Stime.Nano() - a.Utime.Nano() - a.Stime.Nano())
		fmt.Printf("%s hist=%d: %d firings, %.0f/s, cpu %.1fµs, advance %.1f due %.1f settle %.1f, outblocks %d MB, size %d MB\n", layout, hist, f, float64(f)/time.Since(t0).Seconds(),
			float64(cpu.Microseconds())/float64(f), float64(spent[0].Microseconds())/float64(f), float64(spent[1].Microseconds())/float64(f), float64(spent[2].Microseconds())/float64(f), (b.Oublock-a.Oublock)>>11, size())
	}
}
