package cli

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"tminus.dev/cron"
)

// maxLine bounds a line of a stream, in bytes.
const maxLine = 1 << 20

// streamCron answers one question a line. defaults is what a line leaves out.
func streamCron(cmd *cobra.Command, defaults cronQuestion, answer func(*cronQuestion, cron.Schedule) (cronAnswer, error)) error {
	w := bufio.NewWriterSize(cmd.OutOrStdout(), maxLine)
	out := json.NewEncoder(w)
	out.SetEscapeHTML(false)
	lines, failed := 0, 0
	err := eachLine(cmd.InOrStdin(), w.Flush, func(line []byte) error {
		lines++
		q, err := defaults.line(line)
		if err == nil {
			var a cronAnswer
			if a, err = q.ask(answer); err == nil {
				return out.Encode(a)
			}
		}
		failed++
		return out.Encode(problemOf(err))
	})
	switch {
	case err != nil:
		return errors.Join(w.Flush(), err)
	case failed > 0:
		return fmt.Errorf("%d of %d lines have no answer", failed, lines)
	}
	return nil
}

// eachLine calls do with each line that there is to read. Whenever it would have to wait for more, it calls flush first, so that whoever
// waits for an answer to a line before writing the next one gets it.
func eachLine(r io.Reader, flush func() error, do func(line []byte) error) error {
	in := bufio.NewReaderSize(r, maxLine)
	for n := 1; ; n++ {
		if in.Buffered() == 0 {
			if err := flush(); err != nil {
				return err
			}
		}
		line, err := in.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			return fmt.Errorf("line %d is longer than %d bytes", n, maxLine)
		}
		if len(line) > 0 { // the last line may have no end
			if err := do(bytes.TrimSpace(line)); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return flush()
		case err != nil:
			return fmt.Errorf("line %d: %w", n, err)
		}
	}
}

// line reads a question from a line of JSON; q has what it leaves out.
func (q cronQuestion) line(text []byte) (*cronQuestion, error) {
	or, except, only := q.Or, q.Except, q.Only
	q.Or, q.Except, q.Only = nil, nil, nil // which a line would write into
	in := json.NewDecoder(bytes.NewReader(text))
	in.DisallowUnknownFields()
	if err := in.Decode(&q); err != nil {
		return nil, fmt.Errorf(`the line is no question such as {"expr":"0 10 * * ? *"}: %w`, err)
	}
	if in.InputOffset() != int64(len(text)) {
		return nil, errors.New("the line has something after its JSON object; write one a line")
	}
	if q.Or == nil {
		q.Or = or
	}
	if q.Except == nil {
		q.Except = except
	}
	if q.Only == nil {
		q.Only = only
	}
	return &q, nil
}
