package sqlite_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"tminus.dev/internal/ident"
	"tminus.dev/internal/schedule"
	"tminus.dev/internal/store"
	"tminus.dev/internal/store/sqlite"
)

// childDir names the data directory to a child process of a test, which then
// writes to it until it is killed.
const childDir = "TMINUS_TEST_SQLITE_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		err := write(context.Background(), dir)
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

var (
	crashPlan  = ident.ID{Key: ident.Key{Project: "p", Domain: "d", Name: "n"}, Version: "v"}
	crashStart = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
)

// write fires a schedule for ever, and says on standard output what is on disk:
// first "open", then "planned SLOT" and "launched SLOT" for every slot.
func write(ctx context.Context, dir string) error {
	db, err := sqlite.Open(ctx, sqlite.Config{Dir: dir})
	if err != nil {
		return err
	}
	fmt.Println("open")
	now := crashStart
	if s, err := db.Schedule(ctx, crashPlan.Key); err == nil {
		now = s.Cursor // A child before this one was here.
	} else {
		if err := db.CreatePlan(ctx, store.Plan{ID: crashPlan, CreatedAt: now, UpdatedAt: now}); err != nil {
			return err
		}
		if err := db.Activate(ctx, crashPlan, &schedule.Spec{Expression: "* * * * *"}, store.Change{At: now}); err != nil {
			return err
		}
	}
	begun, err := db.Beat(ctx, 0, now, time.Hour)
	if err != nil {
		return err
	}
	for {
		for range 1 + rand.IntN(300) { // Beats without a break, so that no slot is missed.
			now = now.Add(time.Minute)
			if begun, err = db.Beat(ctx, begun.Session, now, time.Hour); err != nil {
				return err
			}
		}
		if _, err := db.Advance(ctx, begun.Session, now, 10, 0); err != nil {
			return err
		}
		claimed, err := db.Claim(ctx, store.Claim{Session: begun.Session, Now: now, Share: func(projects []string) []int {
			return slices.Repeat([]int{1000}, len(projects))
		}})
		if err != nil {
			return err
		}
		launched := claimed.Launch
		for _, f := range launched {
			fmt.Println("planned", f.Slot.Format(time.RFC3339))
		}
		for i := range launched {
			launched[i].Outcome, launched[i].SettledAt = schedule.Launched, now
		}
		if _, err := db.Settle(ctx, launched); err != nil {
			return err
		}
		for _, f := range launched {
			fmt.Println("launched", f.Slot.Format(time.RFC3339))
		}
	}
}

// child starts write in a process of its own, and returns it when it says "open".
func child(t *testing.T, dir string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childDir+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	// Opening prints nothing of its own: what is said first is said by write.
	if !lines.Scan() || lines.Text() != "open" {
		t.Fatalf("the child said %q first", lines.Text())
	}
	return cmd, lines
}

// kill ends the child as kill -9 does.
func kill(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
}

// wait takes in what the child said before it was killed.
func wait(t *testing.T, cmd *exec.Cmd, lines *bufio.Scanner, heard func(line string)) {
	t.Helper()
	for lines.Scan() {
		heard(lines.Text())
	}
	if err := cmd.Wait(); err == nil {
		t.Fatal("the child ended by itself")
	}
}

func TestAnotherProcessHasTheDatabase(t *testing.T) {
	dir := t.TempDir()
	cmd, lines := child(t, dir)
	refused(t, dir, dir, fmt.Sprintf("process %d", cmd.Process.Pid), "stop it", "another data directory")
	kill(t, cmd)
	wait(t, cmd, lines, func(string) {})
	openIn(t, dir) // The kernel ended the lock with the process.
}

func TestKilledInTheMiddleOfWriting(t *testing.T) {
	dir := t.TempDir()
	said := make(map[string]schedule.Outcome) // by slot
	for range 6 {
		cmd, lines := child(t, dir)
		hear := func(line string) {
			verb, slot, whole := strings.Cut(line, " ")
			switch {
			case !whole || len(slot) != len("2006-01-02T15:04:05Z"):
				// The last line may be cut off by the kill.
			case verb == "planned" && said[slot] == "":
				said[slot] = schedule.Pending
			case verb == "launched":
				said[slot] = schedule.Launched
			}
		}
		for range 100 + rand.IntN(2000) {
			if lines.Scan() {
				hear(lines.Text())
			}
		}
		kill(t, cmd)
		wait(t, cmd, lines, hear)
		inspect(t, dir, said)
	}
}

// inspect opens the database of a child that was killed, and expects all that
// the child said, and no slot left out.
func inspect(t *testing.T, dir string, said map[string]schedule.Outcome) {
	t.Helper()
	ctx := t.Context()
	db, err := sqlite.Open(ctx, sqlite.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	write, _ := db.Pools()
	var integrity string
	if err := write.QueryRowContext(ctx, "PRAGMA integrity_check").Scan(&integrity); err != nil {
		t.Fatal(err)
	}
	if integrity != "ok" {
		t.Fatalf("integrity check: %s", integrity)
	}
	s, err := db.Schedule(ctx, crashPlan.Key)
	if err != nil {
		t.Fatal(err)
	}
	firings, err := db.Firings(ctx, store.Query{Limit: 1_000_000, SortBy: "slot", Ascending: true})
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[string]schedule.Outcome)
	slot := crashStart
	for _, f := range firings {
		slot = slot.Add(time.Minute)
		if !f.Slot.Equal(slot) {
			t.Fatalf("the ledger has slot %s where %s should be", f.Slot, slot)
		}
		found[f.Slot.Format(time.RFC3339)] = f.Outcome
	}
	if !s.Cursor.Equal(slot) {
		t.Errorf("the cursor is at %s, the last firing at %s", s.Cursor, slot)
	}
	for slot, outcome := range said {
		if got := found[slot]; got != outcome && got != schedule.Launched {
			t.Errorf("slot %s was said to be %s, and is %q", slot, outcome, got)
		}
	}
}
