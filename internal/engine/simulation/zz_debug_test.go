package simulation_test

import ("fmt";"os";"slices";"time")

func debugOverlap(w *world, name string, all []*launch) {
	if os.Getenv("DEBUG") == "" { return }
	slices.SortFunc(all, func(a, b *launch) int { return a.claim.at.Compare(b.claim.at) })
	for _, l := range all {
		fmt.Printf("%s slot %s %s behind=%t overlap=%q max=%d claim %s(%d-%d) begun %s over %s ledger owner=%d attempts=%d\n", name, l.firing.Slot.Format("15:04:05"), l.firing.Kind, l.firing.Behind, l.firing.Overlap, l.firing.MaxRunning, l.claim.at.Format("15:04:05.000"), l.claim.before, l.claim.after, l.begun.Format("15:04:05.000"), l.over.Format(time.TimeOnly), l.firing.Owner, l.firing.Attempts)
	}
	for _, j := range w.jumps { fmt.Println("jump", j.Format("15:04:05.000")) }
}
