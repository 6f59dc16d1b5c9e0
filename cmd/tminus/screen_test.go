package main

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"
)

// stalled is a terminal that takes nothing until it is told to.
type stalled struct {
	takes chan struct{}
	bytes.Buffer
}

func (s *stalled) Write(p []byte) (int, error) {
	<-s.takes
	return s.Buffer.Write(p)
}

func TestAStalledTerminalHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &stalled{takes: make(chan struct{})}
		s := newScreen(w)
		synctest.Wait()
		for range 2 * screenRoom {
			s.printf("line\n")
		}
		s.close() // Gives up.
		s.printf("too late\n")
		close(w.takes)
		<-s.written
		got := w.String()
		shown := strings.Count(got, "line\n")
		if shown < screenRoom || shown > screenRoom+1 || !strings.Contains(got, "not shown") {
			t.Errorf("%d lines shown, and: %q", shown, got[max(0, len(got)-40):])
		}
	})
}

func TestOutputDoesNotSteerTheTerminal(t *testing.T) {
	for text, want := range map[string]string{
		"n=1\n":                "n=1\n",
		"\x1b[2Jwiped\a":       "?[2Jwiped?",
		"ümlaut … 日本\ttab\r\n": "ümlaut … 日本?tab?\n",
	} {
		if got := printable(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}
