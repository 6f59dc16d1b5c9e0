package main

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"

	"google.golang.org/protobuf/proto"

	"tminus.dev/gen/flyteidl/core"
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

func TestAFailureIsOneLine(t *testing.T) {
	for message, want := range map[string]string{
		"node n0: exit status 3: no space left\non device\n": "node n0: exit status 3: no space left",
		"node n0: Trace:\n\n    Traceback (most recent call last):\n      File \"till.py\", line 3\n\nMessage:\n\n    ValueError: no cheques\n": "ValueError: no cheques",
		"node n0:": "node n0:",
		"":         "",
	} {
		serialized, err := proto.Marshal(&core.ExecutionError{Message: message})
		if err != nil {
			t.Fatal(err)
		}
		if got := failure(serialized); got != want {
			t.Errorf("%q became %q, want %q", message, got, want)
		}
	}
}
